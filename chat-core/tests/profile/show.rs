//! `config show`: where each value comes from, and a profile that says the same again.

use chat_core::profile::{Inputs, Profile};

use crate::shipped::SHIPPED;
use crate::stack::{GOOD, load, load_inputs};

fn layered(text: &str) -> Profile {
    let inputs = Inputs::new("udp-rsa.toml", text)
        .environment([("CHAT_TOPOLOGY__RELAY", "10.0.0.1:5")])
        .set("log.level=debug")
        .flag("--nick", "identity.nick", "bob");
    load_inputs(inputs).unwrap().0
}

#[test]
fn each_value_has_its_origin_beside_it() {
    let expected = r##"schema_version = 1                 # file udp-rsa.toml:1

[identity]
nick = "bob"                       # --nick

[topology]
kind = "relay"                     # default
relay = "10.0.0.1:5"               # environment CHAT_TOPOLOGY__RELAY
host = "auto"                      # default
rooms = ["#lobby"]                 # default

[transport]
kind = "udp-arq"                   # file udp-rsa.toml:7
rto_ms = 200                       # file udp-rsa.toml:8

[key_exchange]
kind = "rsa-hybrid"                # file udp-rsa.toml:10

[cipher]
kind = "aes-256-gcm"               # file udp-rsa.toml:12

[frontend]
kind = "tui"                       # file udp-rsa.toml:14

[policy]
require = ["end-to-end"]           # file udp-rsa.toml:16

[relay]
access = "open"                    # default
max_clients = 10000                # default
max_links_per_address = 64         # default
new_peers_per_minute = 30          # default
new_members_per_minute = 60        # default
one_time_keys_per_minute = 30      # default
max_one_time_keys = 128            # default
max_memory_bytes = 536870912       # default
max_mailbox_bytes = 67108864       # default

[log]
level = "debug"                    # --set

[store]
history = "forever"                # default

[padding]
kind = "buckets"                   # default

[privacy]
read_receipts = true               # default
typing = true                      # default
"##;
    let squeeze = |text: &str| {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let shown = layered(GOOD).show();
    assert_eq!(squeeze(&shown), squeeze(expected));
    let columns: Vec<usize> = shown.lines().filter_map(|line| line.rfind("  # ")).collect();
    assert!(columns.len() > 10 && columns.iter().all(|column| *column == columns[0]), "{shown}");
}

/// The nick that is taken for want of another is shown, but not made one that was chosen.
#[test]
fn the_nick_by_default_is_shown_beside_its_origin() {
    let login = chat_core::nick::Nick::new("root").unwrap();
    let line = "# nick = \"root\"";
    for (text, header) in [
        (GOOD.replace("nick = \"alice\"", "key_file = \"k\""), "[identity]"),
        (GOOD.replace("[identity]\nnick = \"alice\"\n", ""), "[identity]"),
    ] {
        let profile = load(text).unwrap().0;
        let shown = profile.show_with_nick(Some(&login));
        let (_, behind) = shown.split_once(header).unwrap_or_else(|| panic!("{shown}"));
        let behind = behind.trim_start();
        assert!(behind.starts_with(line), "{shown}");
        assert!(behind.lines().next().unwrap().ends_with("# default: the login name"), "{shown}");
        let again = load(shown.as_str()).unwrap().0;
        assert!(again.identity.nick.is_none());
        assert_eq!(again.show_with_nick(Some(&login)).matches(line).count(), 1);
        assert!(!profile.show().contains("root"));
    }
    assert!(!load(GOOD).unwrap().0.show_with_nick(Some(&login)).contains("root"));
}

fn pin(nick: &str, digit: char) -> String {
    format!("[[pin]]\nnick = \"{nick}\"\nfingerprint = \"{}\"\n", digit.to_string().repeat(64))
}

#[test]
fn pins_and_switches_are_read() {
    let switches = "[privacy]\ntyping = false\n[padding]\nkind = \"none\"\n";
    let profile = load(format!("{GOOD}{switches}{}{}", pin("bob", 'a'), pin("carol", 'B'))).unwrap().0;
    let pins: Vec<(&str, String)> =
        profile.pins.iter().map(|pin| (pin.nick.as_str(), pin.fingerprint.to_string())).collect();
    assert_eq!(pins, [("bob", "a".repeat(64)), ("carol", "b".repeat(64))]);
    assert_eq!(profile.padding, chat_core::profile::Padding::Off);
    assert!(profile.privacy.read_receipts && !profile.privacy.typing);
    for twice in [pin("bob", 'c'), pin("dave", 'a')] {
        let error = load(format!("{GOOD}{}{twice}", pin("bob", 'a'))).unwrap_err().to_string();
        assert!(error.contains("pinned twice"), "{error}");
    }
}

#[test]
fn what_is_shown_loads_again_and_says_the_same() {
    let odd = GOOD.replace(
        "kind = \"udp-arq\"\nrto_ms = 200",
        "kind = \"tcp\"\naddress = \"h:1\"\nlabel = \"\"\"a\\\"\\\\\tb\n\u{1F600}\\u001b\\u202e\\U000e0001'\"\"\"\nproxies = [{}, { idle_s = 1, share = 0.1 }]\n\
        [transport.limits]\nshare = 1e-9",
    );
    let pins = format!("{GOOD}{}", pin("bob", 'a'));
    let mut count = 0;
    for text in SHIPPED.iter().map(|(_, text)| *text).chain([GOOD, &odd, &pins]) {
        for profile in [load(text).unwrap().0, layered(text)] {
            let shown = profile.show();
            let again = load(shown.as_str()).unwrap_or_else(|error| panic!("{error}\n\n{shown}")).0;
            assert_eq!(again.to_json(), profile.to_json());
            assert!(
                again
                    .show()
                    .lines()
                    .filter(|line| line.contains("  # "))
                    .all(|line| line.contains("file p.toml:"))
            );
            count += 1;
        }
    }
    assert_eq!(count, 2 * (SHIPPED.len() + 3));
}

#[test]
fn a_file_name_cannot_break_out_of_its_comment() {
    let name = "x\n[store]\u{1b}[2J\u{202e}";
    let (profile, _) = load_inputs(Inputs::new(name, GOOD)).unwrap();
    let again = load(profile.show().as_str()).unwrap().0;
    assert_eq!(again.to_json(), profile.to_json());
    let error = load_inputs(Inputs::new(name, "x")).unwrap_err().to_string();
    assert!(!error.contains('\u{1b}') && error.contains("--> x\u{fffd}[store]"), "{error}");
}

#[test]
fn a_value_is_found_by_its_dotted_key() {
    let profile = layered(GOOD);
    assert_eq!(profile.origin("topology.relay").unwrap().to_string(), "environment CHAT_TOPOLOGY__RELAY");
    assert_eq!(profile.place("transport.rto_ms").unwrap().to_string(), "udp-rsa.toml:8:10");
    for missing in ["", "topology.", "nothing", "topology.relay.x", "a.b.c"] {
        assert!(profile.origin(missing).is_none(), "{missing:?}");
    }
}
