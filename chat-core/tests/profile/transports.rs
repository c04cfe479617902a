//! `[[transport]]`: several ways to one relay.

use chat_core::profile::{Inputs, Profile};

use crate::stack::{GOOD, load, load_inputs};

/// As [`GOOD`], with this in place of its transport; the list begins in line 6.
fn with(transports: &str) -> String {
    GOOD.replace("[transport]\nkind = \"udp-arq\"\nrto_ms = 200\n", transports)
}

const LIST: &str = "[[transport]]\nkind = \"udp-arq\"\nrto_ms = 200\n[[transport]]\nkind = \"tls\"\naddress = \"r:443\"\n\
                    [[transport]]\nkind = \"tcp\"\nnodelay = true\n[transport.limits]\nidle_s = 5\n";

/// Kind and address of each, the pin shortened to its first digit.
fn ways(profile: &Profile) -> Vec<String> {
    let pin = |pin: chat_core::PeerId| format!("{}@", &pin.to_string()[..1]);
    let way = |entry: &chat_core::profile::TransportEntry| {
        let pinned = entry.address.pin.map(pin).unwrap_or_default();
        format!("{} {pinned}{}", entry.options.kind(), entry.address.place)
    };
    profile.transports.iter().map(way).collect()
}

fn refused(text: &str, at: &str, pieces: &[&str]) {
    let error = load(text).map(|(profile, _)| profile).expect_err(text).to_string();
    for piece in pieces.iter().chain([&at]) {
        assert!(error.contains(piece), "no {piece} in {error}");
    }
}

#[test]
fn each_has_its_own_address_and_options() {
    let (profile, warnings) = load(with(LIST)).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(ways(&profile), ["udp-arq 127.0.0.1:12345", "tls r:443", "tcp 127.0.0.1:12345"]);
    let listen: Vec<String> = profile.relay.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["udp-arq://127.0.0.1:12345", "tls://r:443", "tcp://127.0.0.1:12345"]);
    assert_eq!(profile.place("transport.1.kind").unwrap().to_string(), "p.toml:10:8");
    assert!(profile.place("transport.3.kind").is_none() && profile.place("transport.kind").is_none());
    let inline = "transport = [{ kind = \"udp-arq\" }, { kind = \"tcp\", address = \"h:1\" }]\n";
    let (profile, _) = load(format!("{inline}{}", with(""))).unwrap();
    assert_eq!(ways(&profile), ["udp-arq 127.0.0.1:12345", "tcp h:1"]);
}

/// Of `relay.listen`, the entry of the same transport and place is meant; else the first of the transport.
#[test]
fn a_listener_has_the_options_of_its_entry() {
    let two =
        "[[transport]]\nkind = \"tcp\"\nnodelay = true\n[[transport]]\nkind = \"tcp\"\naddress = \"h:1\"\n";
    let listen = "[relay]\nlisten = [\"tcp://h:1\", \"tcp://h:2\", \"udp-arq://h:2\"]\n";
    let (profile, _) = load(format!("{}{listen}", with(two))).unwrap();
    let keys: Vec<String> =
        profile.relay.listen.iter().map(|listen| format!("{:?}", listen.options)).collect();
    assert!(
        !keys[0].contains("nodelay") && keys[1].contains("nodelay") && !keys[2].contains("nodelay"),
        "{keys:?}"
    );
}

#[test]
fn what_is_wrong_with_an_entry_is_said_where_it_is() {
    for (transports, at, pieces) in [
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"tpc\"\n",
            "p.toml:9:8",
            &["no transport `tpc`", "did you mean `tcp`?"][..],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\naddress = \"h:1\"\n",
            "p.toml:8:1",
            &["`kind` is missing"],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"udp-arq\"\nnodelay = true\n",
            "p.toml:10:1",
            &["unknown key `nodelay` for the transport `udp-arq`"],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"udp-arq\"\naddress = \"nowhere\"\n",
            "p.toml:10:11",
            &["not an address"],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"udp-arq\"\naddress = 5\n",
            "p.toml:10:11",
            &["expected a string"],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"tcp\"\n",
            "p.toml:9:8",
            &["`tcp` is in the list twice", "address"],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\naddress = \"h:1\"\n[[transport]]\nkind = \"tcp\"\naddress = \"h:1\"\n",
            "p.toml:11:11",
            &["twice"],
        ),
        (
            "[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"tls\"\n",
            "p.toml:9:8",
            &["`tls` and `tcp` can't both be at 127.0.0.1:12345"],
        ),
        (
            "[[transport]]\nkind = \"quic\"\n[[transport]]\nkind = \"udp-arq\"\n",
            "p.toml:9:8",
            &["`udp-arq` and `quic` can't both"],
        ),
        (
            "[[transport]]\nkind = \"udp-arq\"\n[[transport]]\nkind = \"udp-arq\"\nrto_ms = 0\naddress = \"h:1\"\n",
            "p.toml:10:10",
            &["rto_ms: at least 1"],
        ),
    ] {
        refused(&with(transports), at, pieces);
    }
    refused(&format!("transport = []\n{}", with("")), "p.toml:1:13", &["this list is empty"]);
    refused(
        &format!("transport = [{{ kind = \"tcp\" }}, 5]\n{}", with("")),
        "p.toml:1:32",
        &["expected a table"],
    );
    let many = (0..9).map(|n| format!("[[transport]]\nkind = \"tcp\"\naddress = \"h:{n}\"\n"));
    refused(&with(&many.collect::<String>()), "p.toml", &["at most 8", "these are 9"]);
    // All at once, and no other plugin may be a list.
    let two = "[[transport]]\nkind = \"tpc\"\n[[transport]]\nkind = \"ucp\"\n";
    refused(&with(two), "p.toml:9:8", &["`tpc`", "`ucp`"]);
    let ciphers = GOOD.replace("[cipher]\n", "[[cipher]]\nkind = \"aes-256-gcm\"\n[[cipher]]\n");
    refused(&ciphers, "p.toml:13:1", &["one table [cipher] is expected here"]);
}

/// With ports that the system chooses, no two are the same.
#[test]
fn any_ports_do_not_collide() {
    let text = with("[[transport]]\nkind = \"tcp\"\n[[transport]]\nkind = \"tls\"\n").replace(":12345", ":0");
    assert_eq!(load(text).unwrap().0.transports.len(), 2);
}

/// P8: a pin holds for every way, wherever it stands; no way is pinned to somebody else, and none is left open.
#[test]
fn a_pin_holds_for_all() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let pinned =
        |transports: &str| with(transports).replace("127.0.0.1:12345", &format!("{a}@127.0.0.1:12345"));
    let (profile, _) = load(pinned(LIST)).unwrap();
    assert_eq!(ways(&profile), ["udp-arq a@127.0.0.1:12345", "tls a@r:443", "tcp a@127.0.0.1:12345"]);
    let (profile, _) = load(with(&LIST.replace("r:443", &format!("{b}@r:443")))).unwrap();
    assert_eq!(ways(&profile), ["udp-arq b@127.0.0.1:12345", "tls b@r:443", "tcp b@127.0.0.1:12345"]);
    let other = LIST.replace("r:443", &format!("{b}@r:443"));
    refused(&pinned(&other), "p.toml:11:11", &["another fingerprint", "p.toml:5:9"]);
    let single = format!("[transport]\nkind = \"tcp\"\naddress = \"{b}@r:443\"\n");
    refused(&pinned(&single), "p.toml:8:11", &["another fingerprint"]);
    let (profile, _) = load(pinned("[transport]\nkind = \"tcp\"\naddress = \"r:443\"\n")).unwrap();
    assert_eq!(ways(&profile), ["tcp a@r:443"]);
}

fn layered(sets: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
    let inputs = sets.iter().fold(Inputs::new("p.toml", with(LIST)), |inputs, set| inputs.set(*set));
    let (profile, warnings) = load_inputs(inputs).map_err(|error| error.to_string())?;
    Ok((ways(&profile), warnings.iter().map(ToString::to_string).collect()))
}

#[test]
fn a_layer_changes_one_of_the_list() {
    let (found, warnings) = layered(&["transport.1.address=other:1", "transport.0.rto_ms=5"]).unwrap();
    assert_eq!(found, ["udp-arq 127.0.0.1:12345", "tls other:1", "tcp 127.0.0.1:12345"]);
    assert_eq!(warnings, [""; 0]);
    let (found, warnings) = layered(&["transport.0.kind=quic"]).unwrap();
    assert_eq!(found[0], "quic 127.0.0.1:12345");
    assert!(warnings[0].contains("`rto_ms` is an option of `udp-arq`"), "{warnings:?}");
    let text = with(LIST);
    let of_environment = Inputs::new("p.toml", text).environment([("CHAT_TRANSPORT__2__ADDRESS", "e:1")]);
    let (profile, _) = load_inputs(of_environment).unwrap();
    assert_eq!(ways(&profile)[2], "tcp e:1");
    assert_eq!(
        profile.origin("transport.2.address").unwrap().to_string(),
        "environment CHAT_TRANSPORT__2__ADDRESS"
    );
    // A table is a list of one.
    let (profile, _) = load_inputs(Inputs::new("p.toml", GOOD).set("transport.0.address=h:1")).unwrap();
    assert_eq!(ways(&profile), ["udp-arq h:1"]);
}

#[test]
fn a_layer_takes_one_out_of_the_list_or_writes_another() {
    let (found, warnings) = layered(&["transport.kind=tcp"]).unwrap();
    assert_eq!((found, warnings), (vec!["tcp 127.0.0.1:12345".to_owned()], vec![]));
    let (found, _) = layered(&["transport.kind=tls", "transport.address=x:1"]).unwrap();
    assert_eq!(found, ["tls x:1"]);
    assert_eq!(layered(&["transport.kind=quic"]).unwrap().0, ["quic 127.0.0.1:12345"]);
    let list = "transport=[{kind=\"tcp\"},{kind=\"quic\"}]";
    assert_eq!(layered(&[list]).unwrap().0, ["tcp 127.0.0.1:12345", "quic 127.0.0.1:12345"]);
    for (set, pieces) in [
        ("transport.rto_ms=5", &["--set:1:11", "which one's `rto_ms`?", "transport.0.rto_ms"][..]),
        ("transport.3.kind=tcp", &["--set:1:11", "no transport 3", "the numbers 0 to 2"]),
        ("transport.99999999999999999999.kind=tcp", &["no transport 99999999999999999999"]),
        ("transport.1=tcp", &["--set:1:11", "a transport of the list is a table"]),
        ("transport.1.kind=tpc", &["--set:1:18", "no transport `tpc`"]),
        ("transport.1.pass=hunter2", &["unknown key `pass`", "transport.1.pass=***"]),
    ] {
        let error = layered(&[set]).unwrap_err();
        for piece in pieces {
            assert!(error.contains(piece), "no {piece} in {error}");
        }
        assert!(!error.contains("hunter2"));
    }
    let error = load_inputs(Inputs::new("p.toml", GOOD).set("transport.1.kind=tcp")).unwrap_err().to_string();
    assert!(error.contains("number 0 alone"), "{error}");
}

#[test]
fn what_is_shown_is_the_same_list_and_says_where_from() {
    let text = with(&LIST.replace("nodelay = true", "password = \"longenough\""));
    let inputs = Inputs::new("p.toml", text).set("transport.1.address=h:1");
    let (profile, warnings) = load_inputs(inputs).unwrap();
    assert!(warnings[0].to_string().contains("`password` looks like a secret"), "{warnings:?}");
    let shown = profile.show();
    for line in [
        "[[transport]]",
        "address = \"h:1\"",
        "# --set",
        "# file p.toml:10",
        "password = \"***\"",
        "limits = { idle_s = 5 }",
    ] {
        assert!(shown.contains(line), "no {line} in {shown}");
    }
    let again = load(shown.replace("\"***\"", "\"longenough\""))
        .unwrap_or_else(|error| panic!("{error}\n\n{shown}"))
        .0;
    assert_eq!(again.to_json(), profile.to_json());
    assert_eq!(ways(&again), ways(&profile));
}
