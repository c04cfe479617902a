//! `relay.listen`: texts and tables, what is wrong with either, and what is shown and told of them.

use chat_core::Transport;
use chat_core::profile::{Inputs, Profile, schema};

use crate::stack::{GOOD, load, load_inputs, registry};

fn with(listen: &str) -> String {
    format!("{GOOD}[relay]\n{listen}\n")
}

fn listeners(profile: &Profile) -> Vec<String> {
    profile.relay.listen.iter().map(ToString::to_string).collect()
}

fn given(profile: &Profile, at: usize) -> Vec<&str> {
    profile.relay.listen[at].options.given().collect()
}

const MIXED: &str = r#"listen = [
    "udp-arq://0.0.0.0:1",
    { kind = "udp-arq", address = "0.0.0.0:2", window = 1 },
    { kind = "tcp", address = "0.0.0.0:1" },
    "quic://[::]:3",
]"#;

#[test]
fn texts_and_tables_stand_in_one_list_each_with_its_own_options() {
    let profile = load(with(MIXED)).unwrap().0;
    assert_eq!(
        listeners(&profile),
        ["udp-arq://0.0.0.0:1", "udp-arq://0.0.0.0:2", "tcp://0.0.0.0:1", "quic://[::]:3"]
    );
    // A text of the profile's own transport has its options, a table none but its own.
    assert_eq!(given(&profile, 0), ["rto_ms"]);
    assert_eq!(given(&profile, 1), ["window"]);
    assert!(given(&profile, 2).is_empty() && given(&profile, 3).is_empty());
    let registry = registry();
    for listen in &profile.relay.listen {
        assert!(registry.build::<dyn Transport>(&listen.options).is_ok());
    }
    let tables = "[[relay.listen]]\nkind = \"tls\"\naddress = \"h:1\"\n[[relay.listen]]\nkind = \"quic\"\naddress = \"h:1\"";
    assert_eq!(listeners(&load(format!("{GOOD}{tables}")).unwrap().0), ["tls://h:1", "quic://h:1"]);
    let set = "relay.listen=[\"tcp://h:1\", { kind = \"tcp\", address = \"h:2\", nodelay = true }]";
    let profile = load_inputs(Inputs::new("p.toml", GOOD).set(set)).unwrap().0;
    assert_eq!(listeners(&profile), ["tcp://h:1", "tcp://h:2"]);
}

#[test]
fn what_is_wrong_with_a_listener_is_said_where_it_stands() {
    let cases: &[(&str, (usize, usize), &[&str])] = &[
        ("listen = \"tcp://h:1\"", (18, 10), &["expected a list, found a string", "[\"tcp://"]),
        (
            "[relay.listen]\nkind = \"tcp\"",
            (18, 1),
            &["expected a list, found a table", "write [[relay.listen]]"],
        ),
        ("listen = [5]", (18, 11), &["expected a string or a table, found an integer", "`kind`, `address`"]),
        (
            "listen = [{ address = \"h:1\" }]",
            (18, 11),
            &["`kind` is missing", "accepted: quic, tcp, tls, udp-arq"],
        ),
        ("listen = [{ kind = \"tcp\" }]", (18, 11), &["`address` is missing", "0.0.0.0:12346"]),
        (
            "listen = [{ kind = \"tcp\", address = \"h:1\", nodelai = true }]",
            (18, 44),
            &[
                "unknown key `nodelai` for the transport `tcp`",
                "accepted: kind, address, nodelay",
                "did you mean `nodelay`",
            ],
        ),
        (
            "listen = [\"tcp://h:1\", { kind = \"tcp\", address = \"h:2\", nodelay = 1 }]",
            (18, 67),
            &["expected true or false, found an integer"],
        ),
        (
            "listen = [{ kind = \"udp-arq\", address = \"h:1\", rto_ms = 0 }]",
            (18, 57),
            &["rto_ms: at least 1", "rto_ms = 0"],
        ),
        ("listen = [{ kind = \"tcp\", address = 5 }]", (18, 37), &["expected a string, found an integer"]),
        (
            "listen = [{ kind = \"tcp\", address = \"h\" }]",
            (18, 37),
            &["expected host:port", "address = \"h\""],
        ),
        ("listen = [{ kind = 1, address = \"h:1\" }]", (18, 20), &["expected a string, found an integer"]),
        (
            "listen = [{ kind = \"tpc\", address = \"h:1\" }]",
            (18, 20),
            &["there is no transport `tpc`", "did you mean `tcp`"],
        ),
        (
            "listen = [{ kind = \"memory\", address = \"h:1\" }]",
            (18, 20),
            &["`memory` is known, but not built"],
        ),
        (
            "listen = [\"tcp://h:1\", { kind = \"tls\", address = \"H:1\" }]",
            (18, 50),
            &["TCP port 1 is taken by `tcp://h:1` in line 18", "its own port"],
        ),
        (
            "listen = [\"udp-arq://0.0.0.0:1\", \"quic://127.0.0.1:1\"]",
            (18, 34),
            &["UDP port 1 is taken by `udp-arq://0.0.0.0:1`"],
        ),
        (
            "[[relay.listen]]\nkind = \"tls\"\naddress = \"h:1\"\n[[relay.listen]]\nkind = \"tls\"\naddress = \"h:1\"",
            (23, 11),
            &["this is in the list twice"],
        ),
    ];
    for (listen, (line, column), says) in cases {
        let text = match listen.starts_with("[[") {
            true => format!("{GOOD}\n{listen}\n"),
            false => with(listen),
        };
        let error = load(text).err().unwrap_or_else(|| panic!("accepted: {listen}")).to_string();
        let at = format!("--> p.toml:{line}:{column}\n");
        assert!(error.contains(&at), "{listen}: {error}");
        for piece in *says {
            assert!(error.contains(piece), "{listen}: no {piece} in {error}");
        }
    }
    let pinned = format!("listen = [{{ kind = \"tcp\", address = \"{}@h:1\" }}]", "a".repeat(64));
    assert!(load(with(&pinned)).unwrap_err().to_string().contains("without a fingerprint"));
    let many: Vec<String> = (1..=17).map(|port| format!("\"tcp://h:{port}\"")).collect();
    let error = load(with(&format!("listen = [{}]", many.join(", ")))).unwrap_err().to_string();
    assert!(error.contains("at most 16 listeners"), "{error}");
}

#[test]
fn what_is_no_clash_is_no_error() {
    for listen in [
        "\"tcp://h:1\", \"udp-arq://h:1\"",
        "\"tcp://127.0.0.1:1\", \"tls://127.0.0.2:1\"",
        "\"tcp://0.0.0.0:1\", \"tls://[::1]:1\"",
        "\"tcp://h:0\", \"tls://h:0\", { kind = \"tls\", address = \"h:0\" }",
    ] {
        assert!(load(with(&format!("listen = [{listen}]"))).is_ok(), "{listen}");
    }
}

/// All that is wrong with several listeners comes at once.
#[test]
fn every_error_of_every_listener_comes_at_once() {
    let text = with(
        "listen = [{ kind = \"tcp\", nodelai = 1 }, { kind = \"udp-arq\", address = \"h\", rto = 1 }, \"x\"]",
    );
    let error = load(text).unwrap_err();
    assert_eq!(error.errors().len(), 5, "{error}");
}

#[test]
fn what_is_shown_of_listeners_loads_again_and_a_secret_stays_one() {
    let tables = "[[relay.listen]]\nkind = \"tls\"\naddress = \"h:1\"\n";
    for text in [with(MIXED), format!("{GOOD}{tables}")] {
        let profile = load(text).unwrap().0;
        let shown = profile.show();
        let again = load(shown.as_str()).unwrap_or_else(|error| panic!("{error}\n\n{shown}")).0;
        assert_eq!(again.to_json(), profile.to_json());
        assert_eq!(listeners(&again), listeners(&profile));
        assert!(shown.contains("{ kind = \"") && shown.contains("# file p.toml:1"), "{shown}");
    }
    let listen = "listen = [{ kind = \"tcp\", address = \"h:1\", password = \"hunter2-canary\" }]";
    let (profile, warnings) = load(with(listen)).unwrap();
    assert!(warnings.iter().any(|warning| warning.message().contains("`password` looks like a secret")));
    assert!(!profile.show().contains("hunter2") && !profile.to_json().to_string().contains("hunter2"));
    let short = load(with(&listen.replace("hunter2-canary", "canary"))).unwrap_err().to_string();
    assert!(!short.contains("canary"), "{short}");
}

/// A file of a key is named beside that of its certificate; a key itself is a secret wherever it stands.
#[test]
fn the_name_of_a_key_file_is_no_secret() {
    let path = |key: &str| {
        let table = format!("certificate = \"a.pem\"\nkey = \"{key}\"\n");
        let text = GOOD.replace("kind = \"udp-arq\"\nrto_ms = 200", &format!("kind = \"of-files\"\n{table}"));
        let listen = format!(
            "listen = [{{ kind = \"of-files\", address = \"h:1\", certificate = \"a.pem\", key = \"{key}\" }}]"
        );
        let profile = Profile::load(&Inputs::new("p.toml", format!("{text}[relay]\n{listen}\n"))).unwrap();
        (profile.0.show(), profile.1.len())
    };
    for key in ["a.key", "/etc/ssl/private/key", "../keys/a.pem"] {
        let (shown, warnings) = path(key);
        assert_eq!((shown.matches(&format!("key = \"{key}\"")).count(), warnings), (2, 0), "{shown}");
    }
    for secret in ["MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8", "302e0201", "-----BEGIN.X-----"] {
        let (shown, warnings) = path(secret);
        assert!(!shown.contains(secret) && warnings == 2, "{warnings} {shown}");
    }
    let alone = GOOD.replace("rto_ms = 200", "key = \"a.key\"");
    assert!(Profile::load(&Inputs::new("p.toml", alone)).unwrap().0.show().contains("key = \"***\""));
}

#[test]
fn the_schema_knows_listeners_of_every_transport() {
    let schema = schema(&registry());
    let listen = &schema["properties"]["relay"]["properties"]["listen"];
    assert_eq!((&listen["type"], &listen["maxItems"]), (&"array".into(), &16.into()));
    let accepted = listen["items"]["anyOf"].as_array().unwrap();
    assert_eq!(accepted[0]["type"], "string");
    let kinds: Vec<&str> =
        accepted.iter().filter_map(|table| table["properties"]["kind"]["const"].as_str()).collect();
    assert_eq!(kinds, ["quic", "tcp", "tls", "udp-arq"]);
    for table in &accepted[1..] {
        assert_eq!(table["additionalProperties"], false);
        assert!(table["required"].as_array().unwrap().contains(&"address".into()));
    }
    let text = schema.to_string();
    let ids: Vec<&str> = text.split("\"$id\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert!(ids.len() > 8 && unique.len() == ids.len(), "{ids:?}");
}
