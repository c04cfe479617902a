//! `chat check` and `chat config show`: every mistake is shown where it is, and nothing is touched.

use chat_tests::files::{contents, listing};
use chat_tests::{Exit, World, profiles};

const GOOD: &str = r##"schema_version = 1
[identity]
nick = "alice"
[topology]
relay = "127.0.0.1:12345"
rooms = ["#lobby"]
[transport]
kind = "tcp"
nodelay = true
[key_exchange]
kind = "x25519"
[cipher]
kind = "aes-256-gcm"
[frontend]
kind = "jsonrpc"
[policy]
require = ["end-to-end"]
"##;

/// A mistake: what stands in the good profile, what stands there instead, the place it is shown at, and what is said.
type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    ("[topology]", "[topologie]", "4:2", &["unknown table `topologie`", "did you mean `topology`?"]),
    (
        "nick = ",
        "nik = ",
        "3:1",
        &["unknown key `nik` in [identity]", "accepted: nick", "did you mean `nick`?"],
    ),
    ("nick = ", "relay = ", "3:1", &["unknown key `relay`", "stands in [topology]"]),
    (
        "nodelay",
        "nodelai",
        "9:1",
        &["unknown key `nodelai` for the transport `tcp`", "did you mean `nodelay`?"],
    ),
    ("\"tcp\"", "\"tpc\"", "8:8", &["there is no transport `tpc`", "did you mean `tcp`?", "^^^^^"]),
    ("\"tcp\"", "\"aes-256-gcm\"", "8:8", &["`aes-256-gcm` is a cipher, not a transport", "[cipher]"]),
    ("\"jsonrpc\"", "\"egui\"", "15:8", &["known, but not built into", "jsonrpc, tui"]),
    ("nodelay = true", "nodelay = 1", "9:11", &["expected true or false, found an integer"]),
    ("\"alice\"", "42", "3:8", &["expected a string, found an integer"]),
    ("\"alice\"", "\"a\\u001b[2J\"", "3:8", &["may not contain"]),
    ("[\"#lobby\"]", "\"#lobby\"", "6:9", &["expected an array, found a string"]),
    ("\"#lobby\"", "\"lobby\"", "6:10", &["begins with `#`"]),
    (
        "rooms",
        "host = \"newer\"\nrooms",
        "6:8",
        &["`newer` is not accepted for `host`", "accepted: auto, never"],
    ),
    ("rooms", "kind = \"direct\"\nrooms", "6:8", &["`direct` is known, but not built into this program yet"]),
    ("relay = \"127.0.0.1:12345\"\n", "", "4:1", &["`relay` is missing in [topology]", "as in: relay ="]),
    ("127.0.0.1:12345", "127.0.0.1", "5:9", &["not an address", "host:port"]),
    ("127.0.0.1:12345", "127.0.0.1:123456", "5:9", &["0 to 65535"]),
    ("127.0.0.1:12345", "abcd@127.0.0.1:1", "5:9", &["fingerprint of 64 hex digits"]),
    ("[cipher]\nkind = \"aes-256-gcm\"\n", "", "16:1", &["the table [cipher] is missing"]),
    ("kind = \"aes-256-gcm\"", "", "12:1", &["`kind` is missing in [cipher]"]),
    ("schema_version = 1", "schema_version = 2", "1:18", &["schema_version 2", "accepted: 1"]),
    ("schema_version = 1", "", "1:1", &["`schema_version` is missing"]),
    (
        "\"end-to-end\"",
        "\"forward-secrecy\"",
        "17:12",
        &["requires `forward-secrecy`", "`x25519` does not give it"],
    ),
    ("\"end-to-end\"", "\"sealed-at-rest\"", "17:12", &["what gives it: [store] with a `passphrase`"]),
    ("\"end-to-end\"", "\"end-to-ent\"", "17:12", &["not accepted", "did you mean `end-to-end`?"]),
    ("nick = \"alice\"", "nick = \"alice", "3:", &["nick = \"alice"]),
    ("nick = \"alice\"", "nick = \"alice\"\nnick = \"bob\"", "4:1", &["`nick` is defined twice"]),
    (
        "[policy]",
        "[store]\npassphrase = { enf = \"hunter2\" }\n[policy]",
        "17:14",
        &["this says no passphrase"],
    ),
];

/// The bytes of everything in a world.
fn everything(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    contents(world.folder())
}

/// B20: every mistake has exit code 2, the place with a caret, what would be right; a run refuses it with the same
/// words; and nothing was started or written.
#[test]
fn every_mistake_is_shown_where_it_is() {
    assert!(MISTAKES.len() >= 15);
    let world = World::new();
    for (number, (right, wrong, place, says)) in MISTAKES.iter().enumerate() {
        assert!(GOOD.contains(right), "{right}");
        let path = world.write(&format!("{number}.toml"), GOOD.replacen(right, wrong, 1));
        let path = path.to_str().unwrap();
        let (before, folders) = (everything(&world), listing(world.folder()));
        let checked = world.chat(&["check", path]);
        checked.refused(2, says);
        // What is missing has a place, but no bytes to point at.
        let caret = if says[0].contains("is missing") { "=" } else { " | " };
        checked.refused(2, &[&format!("--> {path}:{place}"), caret]);
        assert_eq!(checked.stdout, "", "{wrong}");
        let run = world.chat(&["--config", path]);
        assert_eq!((run.exit, &run.stderr), (Exit::Code(2), &checked.stderr), "{wrong}");
        assert!(!checked.stderr.contains("hunter2"), "a secret is shown");
        assert_eq!((everything(&world), listing(world.folder())), (before, folders), "something was written");
    }
}

/// All mistakes come at once, in the order of the text, and for several profiles.
#[test]
fn all_mistakes_at_once() {
    let world = World::new();
    let text = GOOD.replace("nick =", "nik =").replace("\"tcp\"", "\"tpc\"").replace("\"end-to-end\"", "5");
    let wrong = world.write("wrong.toml", text);
    let good = world.write("good.toml", GOOD);
    let checked = world.chat(&["check", wrong.to_str().unwrap(), good.to_str().unwrap(), "of nobody"]);
    checked.refused(2, &["wrong.toml:3:1", "wrong.toml:8:8", "wrong.toml:17:12", "no profile `of nobody`"]);
    let places: Vec<_> = [":3:1", ":8:8", ":17:12"].map(|place| checked.stderr.find(place)).into();
    assert!(places.is_sorted(), "{}", checked.stderr);
    assert_eq!(checked.stdout, format!("{}: ok\n", good.display()));
}

/// Good profiles are good from any folder, by path, by name, and as one's own; checking them touches nothing, also if
/// the address is in use, the name is nobody's, and there is no home.
#[test]
fn good_profiles_are_good_and_nothing_is_touched() {
    let world = World::new();
    let good = world.write("good.toml", GOOD.replace("127.0.0.1:12345", "no.such.name.invalid:1"));
    let own = world.path("home/config/chat/profiles");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("mine.toml"), GOOD).unwrap();
    let (before, folders) = (everything(&world), listing(world.folder()));
    let mut names: Vec<&str> = profiles::ALL.iter().map(|profile| profile.name).collect();
    names.extend([good.to_str().unwrap(), "good.toml", "mine.toml", "mine"]);
    for name in names {
        assert_eq!(world.chat(&["check", name]).succeeded(), format!("{name}: ok\n"));
    }
    let mut homeless = world.command(&["check", profiles::TCP_X25519.name]);
    homeless.env_clear().current_dir("/");
    assert_eq!(world.run(homeless, "").exit, Exit::Code(0));
    assert_eq!((everything(&world), listing(world.folder())), (before, folders), "something was written");
}

/// The lines of a profile without what is only said about it.
fn values(shown: &str) -> Vec<&str> {
    shown.lines().map(|line| line.split_once(" # ").map_or(line, |(value, _)| value).trim_end()).collect()
}

/// `config show` prints a profile that is valid and says the same; with the origin of each value, by one rule of
/// precedence: defaults < file < environment < `--set` < flags.
#[test]
fn what_is_shown_is_a_profile() {
    let world = World::new();
    for profile in profiles::ALL {
        let shown = world.chat(&["config", "show", profile.name]);
        let path = world.write("shown.toml", shown.succeeded());
        let again = world.chat(&["config", "show", path.to_str().unwrap()]);
        assert_eq!(values(again.succeeded()), values(&shown.stdout));
        assert!(shown.stdout.contains(&format!("kind = \"{}\"", profile.transport)));
    }
    let shown = world.chat(&["config", "show", profiles::TCP_X25519.name]);
    let nick = shown.succeeded().lines().find(|line| line.starts_with("# nick = \""));
    assert!(nick.is_some_and(|nick| nick.ends_with("# default: the login name")), "{}", shown.stdout);
    let path = world.write("mine.toml", GOOD);
    let show = |set: &[&str], env: &[(&str, &str)]| {
        let mut command = world.command(&["config", "show", path.to_str().unwrap()]);
        command.args(set).envs(env.iter().copied());
        world.run(command, "").succeeded().to_owned()
    };
    let line = |shown: &str, key: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} ="))).expect("the key");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let env = [("CHAT_TOPOLOGY__RELAY", "127.0.0.1:2"), ("CHAT_LOG__LEVEL", "debug")];
    let file = show(&[], &[]);
    assert!(line(&file, "relay").starts_with("relay = \"127.0.0.1:12345\" # file"), "{file}");
    assert!(line(&file, "level").ends_with("# default"), "{file}");
    let environment = show(&[], &env);
    assert!(line(&environment, "relay").starts_with("relay = \"127.0.0.1:2\""), "{environment}");
    assert!(line(&environment, "relay").contains("CHAT_TOPOLOGY__RELAY"), "{environment}");
    let set = show(&["--set", "topology.relay=127.0.0.1:3", "--set", "identity.nick=bob"], &env);
    assert_eq!(line(&set, "relay"), "relay = \"127.0.0.1:3\" # --set");
    assert_eq!(line(&set, "nick"), "nick = \"bob\" # --set");
    let flag = show(&["--set", "identity.nick=bob", "--nick", "carol"], &env);
    assert_eq!(line(&flag, "nick"), "nick = \"carol\" # --nick");
}
