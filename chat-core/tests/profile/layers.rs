//! defaults < file < environment < `--set` < flags, each pair of them; and what is wrong with a layer.

use chat_core::profile::{Inputs, LogLevel, Profile};

use crate::stack::{GOOD, load_inputs};

/// The layers that can say a nick, lowest first, and what each is called.
const LAYERS: [&str; 4] = ["file p.toml", "environment CHAT_IDENTITY__NICK", "--set", "--nick"];

/// The nick and its origin, if only some of the layers say one: each says its own number.
fn nick(says: impl Fn(usize) -> bool) -> (String, String) {
    let line = if says(0) { "nick = \"n0\"" } else { "" };
    let mut inputs = Inputs::new("p.toml", GOOD.replace("nick = \"alice\"", line));
    if says(1) {
        inputs = inputs.environment([("CHAT_IDENTITY__NICK", "n1")]);
    }
    if says(2) {
        inputs = inputs.set("identity.nick=n2");
    }
    if says(3) {
        inputs = inputs.flag("--nick", "identity.nick", "n3");
    }
    let (profile, warnings) = load_inputs(inputs).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let origin = profile.origin("identity.nick").map(ToString::to_string);
    (profile.identity.nick.map(String::from).unwrap_or_default(), origin.unwrap_or_default())
}

#[test]
fn of_each_pair_of_layers_the_later_wins() {
    assert_eq!(nick(|_| false), (String::new(), String::new()));
    for (high, origin) in LAYERS.into_iter().enumerate() {
        for low in 0..=high {
            let expected = (format!("n{high}"), origin.to_owned());
            assert_eq!(nick(|layer| layer == low || layer == high), expected, "{low} {high}");
        }
    }
    assert_eq!(nick(|_| true), ("n3".to_owned(), "--nick".to_owned()));
}

#[test]
fn every_layer_wins_over_the_default() {
    let inputs = || Inputs::new("p.toml", GOOD);
    let in_file = Inputs::new("p.toml", format!("{GOOD}[log]\nlevel = \"warn\"\n"));
    let changes = [
        (in_file, "file p.toml"),
        (inputs().environment([("CHAT_LOG__LEVEL", "warn")]), "environment CHAT_LOG__LEVEL"),
        (inputs().set("log.level=warn"), "--set"),
        (inputs().flag("--log", "log.level", "warn"), "--log"),
    ];
    let level = |inputs| {
        let (profile, _) = load_inputs(inputs).unwrap();
        (profile.log.level, profile.origin("log.level").unwrap().to_string())
    };
    assert_eq!(level(inputs()), (LogLevel::Info, "default".to_owned()));
    for (inputs, origin) in changes {
        assert_eq!(level(inputs), (LogLevel::Warn, origin.to_owned()));
    }
}

fn load_with(change: impl FnOnce(Inputs<'static>) -> Inputs<'static>) -> crate::stack::Loaded {
    load_inputs(change(Inputs::new("p.toml", GOOD)))
}

fn loaded(change: impl FnOnce(Inputs<'static>) -> Inputs<'static>) -> Profile {
    load_with(change).unwrap_or_else(|error| panic!("{error}")).0
}

fn error(change: impl FnOnce(Inputs<'static>) -> Inputs<'static>) -> String {
    match load_with(change) {
        Ok((profile, warnings)) => panic!("accepted: {} {warnings:?}", profile.to_json()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_layer_changes_one_key_and_leaves_the_others() {
    let profile = loaded(|inputs| inputs.set("transport.rto_ms=300"));
    assert_eq!(profile.transports[0].options.kind(), "udp-arq");
    assert_eq!(profile.to_json()["transport"]["rto_ms"], 300);
    assert_eq!(profile.topology.relay.place, "127.0.0.1:12345");
}

#[test]
fn a_word_is_a_value_or_text_as_the_key_wants_it() {
    let profile = loaded(|inputs| {
        inputs
            .environment([("CHAT_IDENTITY__NICK", "42"), ("CHAT_TOPOLOGY__ROOMS", "['#a', '#b']")])
            .set("relay.max_clients=7")
            .set("log.dir = /tmp/with=equals")
            .set("transport={ kind = 'tcp', label = 'x' }")
    });
    assert_eq!(profile.identity.nick.unwrap().as_str(), "42");
    assert_eq!(profile.topology.rooms.len(), 2);
    assert_eq!(profile.relay.max_clients, 7);
    assert_eq!(profile.log.dir.unwrap().to_str(), Some(" /tmp/with=equals"));
    assert_eq!(profile.transports[0].options.kind(), "tcp");
    // A flag is text whatever it looks like, and so is an option of a plugin.
    let profile = loaded(|inputs| {
        inputs
            .flag("--nick", "identity.nick", "['x']".replace(['[', ']', '\''], ""))
            .set("transport.kind=tcp")
            .set("transport.label=2026-01-01")
    });
    assert_eq!(profile.to_json()["transport"]["label"], "2026-01-01");
}

#[test]
fn of_two_sets_the_later_wins_and_of_two_variables_none() {
    let profile = loaded(|inputs| inputs.set("identity.nick=a").set("identity.nick=b"));
    assert_eq!(profile.identity.nick.unwrap().as_str(), "b");
    let error =
        error(|inputs| inputs.environment([("CHAT_LOG__LEVEL", "info"), ("CHAT_log__level", "warn")]));
    assert!(error.contains("contradicts environment CHAT_LOG__LEVEL"), "{error}");
}

#[test]
fn another_plugin_drops_the_options_of_the_one_before_and_says_so() {
    let (profile, warnings) = load_with(|inputs| inputs.set("transport.kind=tcp")).unwrap();
    assert_eq!(profile.transports[0].options.kind(), "tcp");
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.to_string().starts_with("warning: `rto_ms` is an option of `udp-arq`"), "{warning}");
    assert_eq!(warning.place().unwrap().to_string(), "p.toml:8:1");
    // The same plugin again drops nothing, and the new one's options are strict.
    assert!(load_with(|inputs| inputs.set("transport.kind=udp-arq")).unwrap().1.is_empty());
    let error = error(|inputs| inputs.set("transport.kind=tcp").set("transport.rto_ms=1"));
    assert!(error.contains("unknown key `rto_ms` for the transport `tcp`"), "{error}");
}

#[test]
fn one_entry_of_a_list_of_transports_is_a_transport() {
    let text = GOOD.replace("[transport]", "[[transport]]\naddress = \"10.0.0.1:1\"");
    let (profile, _) = load_inputs(Inputs::new("p.toml", text).set("transport.rto_ms=5")).unwrap();
    assert_eq!(profile.transports[0].address.place, "10.0.0.1:1");
    assert_eq!(profile.topology.relay.place, "127.0.0.1:12345");
    assert_eq!(profile.relay.listen[0].to_string(), "udp-arq://10.0.0.1:1");
}

#[test]
fn faults_of_the_layers_are_said_where_they_are() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "",
            "topology.relai=x:1",
            &["--> --set:1:10", "unknown key `relai`", "| topology.relai=***", "did you mean `relay`?"],
        ),
        ("", "topology", &["--> --set:1:1", "expected `table.key=value`"]),
        ("", "=x", &["expected the name of a key"]),
        ("", "a..b=x", &["--> --set:1:3", "expected the name of a key"]),
        ("", "topology.relay=", &["--> --set:1:16", "must not be empty"]),
        ("", "topology.rooms=#a", &["expected an array, found a string"]),
        ("", "topology.relay.x=1", &["expected a string, found a table"]),
        ("", "log.level=loud", &["--> --set:1:11", "      | ".trim_start(), "^^^^"]),
        ("CHAT_TOPOLOGY__RELAY", "nowhere", &["--> environment CHAT_TOPOLOGY__RELAY:1:22", "not an address"]),
        (
            "CHAT_TOPOLOGY__RELAI",
            "x:1",
            &["--> environment CHAT_TOPOLOGY__RELAI:1:16", "unknown key `relai`"],
        ),
        ("CHAT_TOPOLOGIE__RELAY", "x:1", &["unknown table `topologie`"]),
        ("CHAT_TOPOLOGY_RELAY", "x:1", &["names no key", "did you mean `CHAT_TOPOLOGY__RELAY`?"]),
        ("CHAT_POLICY_REQUIRE", "[]", &["did you mean `CHAT_POLICY__REQUIRE`?"]),
        ("CHAT_LOG", "debug", &["expected a table, found a string", "level, dir"]),
        ("CHAT_SCHEMA_VERSION", "2", &["schema_version 2"]),
        ("CHAT_IDENTITY__", "2", &["expected the name of a key"]),
    ];
    for (variable, value, says) in cases {
        let shown = error(|inputs| match *variable {
            "" => inputs.set(*value),
            name => inputs.environment([(name, *value)]),
        });
        let missing: Vec<_> = says.iter().filter(|piece| !shown.contains(**piece)).collect();
        assert!(missing.is_empty(), "{variable} {value}: {missing:?} not in\n{shown}");
    }
    assert!(cases.len() > 10);
}

#[test]
fn another_programs_variable_is_passed_over_with_a_warning_that_does_not_show_it() {
    let (_, warnings) = load_with(|inputs| {
        inputs.environment([("CHAT_BOT_URL", "hunter2"), ("PATH", "x"), ("XCHAT_A", "x")])
    })
    .unwrap();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let shown = warning.to_string();
    assert!(shown.contains("CHAT_BOT_URL=***") && !shown.contains("hunter2"), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_refused_without_its_value() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::ffi::OsString::from_vec(vec![b'h', 0xff]);
    let name = std::ffi::OsString::from("CHAT_IDENTITY__NICK");
    let error =
        load_inputs(Inputs::new("p.toml", GOOD).environment([(name, value)])).unwrap_err().to_string();
    assert!(error.contains("CHAT_IDENTITY__NICK") && error.contains("UTF-8"), "{error}");
}

#[test]
fn faults_of_all_layers_come_together() {
    let text = GOOD.replace("nick = \"alice\"", "nick = 1");
    let inputs = Inputs::new("p.toml", text)
        .environment([("CHAT_LOG__LEVEL", "loud")])
        .set("relay.max_clients=0")
        .flag("--frontend", "frontend.kind", "gui");
    let error = load_inputs(inputs).unwrap_err();
    let places: Vec<String> = error.errors().iter().map(|error| error.place().unwrap().to_string()).collect();
    assert_eq!(
        places,
        ["p.toml:3:8", "environment CHAT_LOG__LEVEL:1:17", "--set:1:19", "--frontend:1:12"],
        "{error}"
    );
}
