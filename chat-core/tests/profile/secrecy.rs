//! A secret that stands in a profile is in nothing that is printed, whatever is wrong around it.

use chat_core::profile::{Inputs, Profile};

use crate::stack::{GOOD, load, load_inputs, registry};

const CANARY: &str = "hunter2-canary";

/// A profile of the plugin that has a password, with `line` in its table.
fn with(line: &str) -> String {
    GOOD.replace("kind = \"udp-arq\"\nrto_ms = 200", &format!("kind = \"tcp\"\n{line}"))
}

fn assert_silent(shown: &str, what: &str) {
    assert!(!shown.contains("hunter2") && !shown.contains("canary"), "{what}:\n{shown}");
}

#[test]
fn no_fault_around_a_secret_prints_it() {
    let lines = [
        // Too short for the plugin, which says the value.
        "password = \"hunter2\"",
        "password = \"hunter2-canary\" junk",
        "password = \"hunter2-canary",
        "password = hunter2-canary",
        "password = 'hunter2-canary\nnodelay = true",
        "password \"hunter2-canary\"",
        "password = \"\"\"\nhunter2-canary\n",
        "password = \"\"\"\nhunter2-canary\"\"\" junk",
        "password = \"a\"\npassword = \"hunter2-canary\"",
        "password = [\"hunter2-canary\"]",
        "password = { inline = \"hunter2-canary\" }",
        "password = { a = \"hunter2-canary\", b = }",
        "pasword = \"hunter2-canary\"",
        "passwrod = \"hunter2-canary\"",
        "token = \"hunter2-canary\"",
        "secret-token = \"hunter2-canary\"",
        "nodelay = { password = \"hunter2-canary\" }",
        "limits = { idle_s = \"x\", password = \"hunter2-canary\" }",
        "x = { password = \"hunter2-canary\", y = 1 }",
        "x = [{ api_key = \"hunter2-canary\" }]",
        "x.private_key = \"\"\"\n-----BEGIN hunter2-canary\n-----END\"\"\"",
        "password = \"hunter2-canary\u{0}\"",
        "password = \"hunter2-canary\\q\"",
    ];
    for line in lines {
        let error = load(with(line)).err().unwrap_or_else(|| panic!("accepted: {line}"));
        assert_silent(&error.to_string(), line);
        assert_silent(&format!("{error:?}"), line);
        for one in error.errors() {
            assert_silent(&format!("{} {:?}", one.message(), one.notes()), line);
        }
    }
    for table in [
        "[store]\npassphrase = { value = \"hunter2-canary\" }",
        "[store]\nhistory = \"no\"\npassphrase = \"hunter2-canary\"",
        "[stor]\npassphrase = \"hunter2-canary\"",
        "passphrase = \"hunter2-canary\"",
    ] {
        let error = load(format!("{GOOD}{table}\n")).unwrap_err();
        assert_silent(&format!("{error} {error:?}"), table);
    }
}

/// Whoever writes a password under a name nobody knows has made a mistake already, and is told so without it.
#[test]
fn a_value_under_any_unknown_key_is_masked() {
    let lines = [
        "pass = \"hunter2-canary\"",
        "auth = \"hunter2-canary\"",
        "kennwort = 'hunter2-canary'",
        "pwd = \"\"\"hunter2-canary\"\"\"",
        "pwd = \"\"\"\nhunter2-canary\n",
        "pin = [\"a\", \"hunter2-canary\"]",
        "nodelay = { pass = \"hunter2-canary\" }",
        "x = { y = 1, pass = \"hunter2-canary\" }",
        "pass = hunter2-canary",
        "pass \"hunter2-canary\"",
        "pass = \"hunter2-canary",
        "pass = \"hunter2-canary\" junk",
        "label = \"x\" pass = \"hunter2-canary\"",
        "pass = \"a\"\npass = \"hunter2-canary\"",
        "nodelay = \"hunter2-canary\"",
        "label = [\"hunter2-canary\"]",
    ];
    for line in lines {
        for text in [
            with(line),
            GOOD.replace("nick = \"alice\"", line),
            format!("{GOOD}[stoer]\n{line}\n"),
            format!("{GOOD}[store]\n{line}\n"),
        ] {
            let error = load(text.as_str()).err().unwrap_or_else(|| panic!("accepted: {text}"));
            assert_silent(&format!("{error} {error:?}"), &text);
        }
    }
    for set in ["identity.pass=hunter2-canary", "identity={ pwd = 'hunter2-canary' }", "auth=hunter2-canary"]
    {
        let error = load_inputs(Inputs::new("p.toml", GOOD).set(set)).unwrap_err();
        assert_silent(&error.to_string(), set);
    }
}

/// Of an address that does not fit, everything is said but what stands before the `@`.
#[test]
fn what_may_be_a_password_in_an_address_is_cut() {
    let fingerprint = "a".repeat(64);
    for address in [
        "user:hunter2-canary@host:99999",
        "hunter2-canary@host:1",
        "user:hunter2@canary@host",
        &format!("{fingerprint}@user:hunter2-canary@host:1"),
    ] {
        for text in [
            GOOD.replace("127.0.0.1:12345", address),
            GOOD.replace("rto_ms = 200", &format!("address = \"{address}\"")),
            format!("{GOOD}[relay]\nlisten = [\"tcp://{address}\"]\n"),
        ] {
            let shown = load(text).unwrap_err().to_string();
            assert_silent(&shown, address);
            assert!(shown.contains("***@host"), "{shown}");
        }
    }
    let error = load_inputs(Inputs::new("p.toml", GOOD).set("topology.relay=user:hunter2-canary@h:1"));
    assert_silent(&error.unwrap_err().to_string(), "--set");
    // A fingerprint is no secret.
    let shown =
        load(GOOD.replace("127.0.0.1:12345", &format!("{fingerprint}@host"))).unwrap_err().to_string();
    assert!(shown.contains(&format!("\"{fingerprint}@host\"")), "{shown}");
}

/// The error about a value shows it, if its key is one that holds no secret.
#[test]
fn the_value_an_error_is_about_is_shown_and_its_neighbours_are_not() {
    let neighbour = "identity = { nick = \"a b\", key_file = \"/home/canary\" }\n";
    let text = GOOD.replace("[identity]\nnick = \"alice\"\n", neighbour);
    let shown = load(text).unwrap_err().to_string();
    assert!(shown.contains("identity = { nick = \"a b\", key_file = *** }"), "{shown}");
    let shown = load(GOOD.replace("rto_ms = 200", "rto_ms = 70000")).unwrap_err().to_string();
    assert!(shown.contains("rto_ms = 70000"), "{shown}");
    let shown = load(GOOD.replace("rto_ms = 200", "congestion = \"qubic\"")).unwrap_err().to_string();
    assert!(shown.contains("congestion = \"qubic\""), "{shown}");
    let shown = load(GOOD.replace("nick = \"alice\"", "nick = alice")).unwrap_err().to_string();
    assert!(shown.contains("| nick = alice\n"), "{shown}");
}

#[test]
fn a_file_that_is_no_text_does_not_print_the_secret_beside_the_fault() {
    let mut bytes = with(&format!("password = \"{CANARY}X\"")).into_bytes();
    let at = bytes.windows(7).position(|window| window == b"canaryX").unwrap() + 6;
    bytes[at] = 0xff;
    let error = load(bytes).unwrap_err();
    assert_silent(&format!("{error} {error:?}"), "not UTF-8");
    let error = load(with("password = \"hunter2-canary\" \nx = [[[[[[[[[[[[[[[[[[[[")).unwrap_err();
    assert_silent(&error.to_string(), "too deep");
}

#[test]
fn no_layer_prints_a_secret() {
    let sets = [
        "store.passphrase.value=hunter2-canary",
        "store={ passphrase = { value = 'hunter2-canary' } }",
        "store={ passphrase = 'hunter2-canary'",
        "transport.password=hunter2-canary",
        "password hunter2-canary",
        "log.password=hunter2-canary",
    ];
    for set in sets {
        let registry = registry();
        let error =
            Profile::load(&Inputs::new("p.toml", GOOD).set(set).for_client(&registry, &[])).unwrap_err();
        assert_silent(&format!("{error} {error:?}"), set);
        let Some((key, value)) = set.split_once('=') else { continue };
        let name = format!("CHAT_{}", key.to_ascii_uppercase().replace('.', "__"));
        let inputs = Inputs::new("p.toml", GOOD).environment([(name.as_str(), value)]);
        let error = Profile::load(&inputs.for_client(&registry, &[])).unwrap_err();
        assert_silent(&format!("{error} {error:?}"), set);
    }
}

#[test]
fn a_secret_that_is_used_is_masked_wherever_the_profile_is_shown_and_warned_of() {
    let (profile, warnings) = load(with("password = \"hunter2-canary\"")).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("`password` looks like a secret"), "{}", warnings[0]);
    assert!(warnings[0].to_string().contains("password = ***"), "{}", warnings[0]);
    let shown = profile.show();
    assert!(shown.contains("password = \"***\""), "{shown}");
    for shown in [
        shown,
        profile.to_json().to_string(),
        format!("{profile:?}"),
        format!("{warnings:?}"),
        warnings[0].to_string(),
    ] {
        assert_silent(&shown, "shown");
    }
}
