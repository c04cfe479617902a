//! Plugins' options: strict, located, all at once, whether or not the author thought of it; and the relay,
//! which has fewer plugins.

use chat_core::profile::{Inputs, Options, Profile, Property, given, schema};
use chat_core::{Registry, Transport};
use serde::Deserialize;

use crate::shipped::SHIPPED;
use crate::stack::{GOOD, load, registry};

fn tcp(options: &str) -> String {
    GOOD.replace("kind = \"udp-arq\"\nrto_ms = 200", &format!("kind = \"tcp\"\n{options}"))
}

fn error(options: &str) -> String {
    load(tcp(options)).err().unwrap_or_else(|| panic!("accepted: {options}")).to_string()
}

#[test]
fn a_plugin_without_deny_unknown_fields_is_strict_too() {
    let shown = error("nodelay = true\nnodelai = true\n[transport.limits]\nidle_s = 1\nidle = 2");
    assert!(shown.contains("--> p.toml:9:1") && shown.contains("unknown key `nodelai`"), "{shown}");
    assert!(shown.contains("did you mean `nodelay`?"), "{shown}");
    assert!(shown.contains("--> p.toml:12:1") && shown.contains("accepted: idle_s, share"), "{shown}");
    // Inside a list as well.
    let shown = error("proxies = [{ idle_s = 1 }, { idle = 2 }]");
    assert!(shown.contains("unknown key `idle`"), "{shown}");
}

#[test]
fn options_of_every_shape_arrive() {
    let options = "nodelay = true\nlabel = \"x\"\ntoken = 3\nproxies = [{ idle_s = 1, share = 0.5 }]\n\
        [transport.limits]\nidle_s = 3600\nshare = 0.5";
    assert!(load(tcp(options)).is_ok());
    for congestion in ["\"cubic\"", "\"new-reno\"", "{ fixed = 3 }"] {
        assert!(load(GOOD.replace("rto_ms = 200", &format!("congestion = {congestion}"))).is_ok());
    }
}

#[test]
fn a_type_error_points_at_the_value_however_deep() {
    let cases = [
        ("nodelay = 1", "8:11", "expected true or false, found an integer"),
        ("label = [1]", "8:9", "expected a string, found an array"),
        ("limits = 5", "8:10", "expected a table, found an integer"),
        ("limits = { idle_s = -1 }", "8:21", "out of range: expected an integer from 0 to 4294967295"),
        ("[transport.limits]\nshare = \"x\"", "9:9", "expected a number, found a string"),
        (
            "proxies = [{ idle_s = 1 }, { idle_s = true }]",
            "8:39",
            "expected an integer from 0 to 4294967295, found a boolean",
        ),
        ("proxies = { a = 1 }", "8:11", "expected an array, found a table"),
        ("limits = { idle_s = 9999 }", "8:21", "limits.idle_s: at most 3600"),
        ("nodelay = true\nlabel = \"slow\"", "8:11", "nodelay: not with this label"),
        ("proxies = [{ idle_s = 9999 }]", "6:1", "limits.idle_s: at most 3600"),
    ];
    for (options, at, says) in cases {
        let shown = error(options);
        assert!(shown.contains(&format!("--> p.toml:{at}\n")) && shown.contains(says), "{options}:\n{shown}");
    }
}

#[test]
fn a_required_option_that_is_missing_is_said_once() {
    #[derive(Deserialize, Debug)]
    struct Needs {
        _port: u16,
        _name: String,
    }
    let parse = |text: &str| Options::parse_table(text, "transport").unwrap().parse::<Needs>().unwrap_err();
    let missing = parse("[transport]\nkind = \"x\"\n_name = \"n\"\n");
    assert!(missing.to_string().contains("`_port` is missing for the transport `x`"), "{missing}");
    assert!(missing.to_string().contains("example:1:1"), "{missing}");
    // A wrong one is wrong, not missing too; and the other one is still looked at.
    let wrong = parse("[transport]\nkind = \"x\"\n_port = \"p\"\n_name = 1\n_nane = 1\n");
    assert_eq!(wrong.errors().len(), 3, "{wrong}");
}

#[test]
fn an_example_that_is_no_table_is_an_error_not_a_panic() {
    for bad in
        ["", "[cipher]", "cipher = 1", "[cipher]\nkind = 1", "[[cipher]]\nkind='a'\n[[cipher]]", "[cipher"]
    {
        assert!(Options::parse_table(bad, "cipher").is_err(), "{bad}");
    }
    assert_eq!(Options::parse_table("[[transport]]\nkind = 'a'", "transport").unwrap().kind(), "a");
}

#[test]
fn a_relay_needs_no_plugin_but_its_transports() {
    let only_transports: Vec<_> =
        registry().iter().filter(|entry| entry.kind == chat_core::plugin::PluginKind::Transport).collect();
    let relay = Registry::from_entries(only_transports).unwrap();
    let text = format!(
        "{}[relay]\nlisten = [\"tcp://0.0.0.0:0\", \"udp-arq://[::]:0\"]\n",
        GOOD.replace("end-to-end", "healing")
    );
    let (profile, _) = Profile::load(&Inputs::new("p.toml", text.clone()).for_relay(&relay)).unwrap();
    let listen: Vec<String> = profile.relay.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["tcp://0.0.0.0:0", "udp-arq://[::]:0"]);
    for listen in &profile.relay.listen {
        assert!(relay.build::<dyn Transport>(&listen.options).is_ok());
    }
    // As a client it would be refused, with all that it lacks.
    let error = Profile::load(&Inputs::new("p.toml", text).for_client(&relay, &[])).unwrap_err().to_string();
    for missing in
        ["key exchange `rsa-hybrid` is known", "cipher `aes-256-gcm` is known", "frontend `tui` is known"]
    {
        assert!(error.contains(missing), "{missing}: {error}");
    }
}

#[test]
fn the_policy_is_checked_apart_too() {
    let (profile, _) =
        Profile::load(&Inputs::new("p.toml", GOOD.replace("\"end-to-end\"", "\"healing\", \"padding\"")))
            .unwrap();
    let registry = registry();
    let lacking = profile.check_policy(&[Property::EndToEnd], &registry).unwrap_err();
    assert_eq!(lacking.errors().len(), 2, "{lacking}");
    assert!(profile.check_policy(&[Property::Healing, Property::Padding], &registry).is_ok());
    assert!(profile.assemble(&registry, &[Property::Padding]).is_err());
}

/// Padding is given unless it is turned off; verified peers by asking for them.
#[test]
fn switches_decide_about_what_the_program_can_give() {
    let registry = registry();
    let can = [Property::VerifiedPeers, Property::Padding];
    let load = |require: &str, more: &str| {
        let text = format!("{}{more}", GOOD.replace("\"end-to-end\"", require));
        let (profile, _) = Profile::load(&Inputs::new("p.toml", text)).unwrap();
        profile.assemble(&registry, &can).map(|stack| stack.gives).map_err(|error| error.to_string())
    };
    let gives = load("\"padding\"", "").unwrap();
    assert!(gives.contains(&Property::Padding) && !gives.contains(&Property::VerifiedPeers));
    assert!(load("\"verified-peers\"", "").unwrap().contains(&Property::VerifiedPeers));
    let off = "[padding]\nkind = \"none\"\n";
    assert!(!load("\"end-to-end\"", off).unwrap().contains(&Property::Padding));
    let error = load("\"padding\"", off).unwrap_err();
    assert!(error.contains("requires `padding`") && error.contains("kind = \"buckets\""), "{error}");
}

#[test]
fn what_a_stack_gives_is_never_more_than_its_parts_give() {
    let exchange = chat_core::Properties { forward_secrecy: true, ..Default::default() };
    // The program can't vouch for what only a key exchange gives.
    let gives = given(&exchange, &[Property::Deniable, Property::Padding]);
    assert_eq!(gives, [Property::EndToEnd, Property::ForwardSecrecy, Property::Padding]);
    assert_eq!(given(&chat_core::Properties::default(), &[]), [Property::EndToEnd]);
}

#[test]
fn the_schema_knows_every_key_of_every_profile() {
    let schema = schema(&registry());
    assert_eq!(schema["properties"]["schema_version"]["const"], 1);
    assert_eq!(
        schema["properties"]["topology"]["properties"]["host"]["enum"],
        serde_json::json!(["auto", "never"])
    );
    assert_eq!(schema["properties"]["relay"]["properties"]["max_clients"]["default"], 10_000);
    assert_eq!(schema["properties"]["store"]["properties"]["history"]["default"], "forever");
    assert!(schema["properties"].get("files").is_none(), "not built in");
    let more = tcp("nodelay = true\n[transport.limits]\nidle_s = 1");
    let (mut seen, mut lists) = (0, 0);
    for text in SHIPPED.iter().map(|(_, text)| *text).chain([GOOD, &more]) {
        let json = load(text).unwrap().0.to_json();
        for (table, keys) in json.as_object().unwrap() {
            let known = &schema["properties"][table];
            assert_ne!(*known, serde_json::Value::Null, "{table}");
            // One transport, or each of a list.
            let one = known.pointer("/$defs/transport").unwrap_or(known);
            let list = keys.as_array().filter(|_| table == "transport");
            lists += usize::from(list.is_some());
            let tables: Vec<_> = list.map_or_else(|| vec![keys], |list| list.iter().collect());
            for keys in tables.into_iter().filter_map(serde_json::Value::as_object) {
                let known = match one.get("oneOf") {
                    Some(choices) => {
                        let is_it = |choice: &&serde_json::Value| {
                            choice["properties"]["kind"]["const"] == keys["kind"]
                        };
                        choices.as_array().unwrap().iter().find(is_it).expect("the plugin's schema")
                    }
                    None => one,
                };
                assert_eq!(known["additionalProperties"], false);
                for key in keys.keys() {
                    assert!(known["properties"].get(key).is_some(), "{table}.{key}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 40 && lists > 0, "{seen} {lists}");
    let of_transport = &schema["properties"]["transport"];
    for choice in of_transport["oneOf"].as_array().unwrap() {
        let to = choice["$ref"].as_str().or(choice["items"]["$ref"].as_str()).unwrap();
        assert_eq!(schema.pointer(to.trim_start_matches('#')), Some(&of_transport["$defs"]["transport"]));
    }
    let pin = &schema["properties"]["pin"];
    assert_eq!(
        (&pin["type"], &pin["items"]["required"]),
        (&"array".into(), &serde_json::json!(["nick", "fingerprint"]))
    );
}
