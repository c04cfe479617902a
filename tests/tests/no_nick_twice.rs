//! The same command twice, without a nick: the second one is a guest, and says so.

use chat_tests::{Exit, Profile, World, on_main_profiles};
use serde_json::json;

on_main_profiles!(the_second_is_a_guest);

/// E19: two of one login on one machine meet under different names. A nick that was given is not changed: if its
/// folder is in use, the program says what to do. A folder is free again when its program has gone.
fn the_second_is_a_guest(profile: Profile) {
    let world = World::new();
    let first = world.nameless(profile, &world.any_port()).start();
    let second = world.nameless(profile, &first.address()).start();
    let login = first.ready().expect("nick").to_owned();
    let guest = format!("{login}-2");
    assert_eq!(second.ready().expect("nick"), guest);
    assert_ne!(first.peer_id(), second.peer_id());
    assert_eq!(first.process().stderr(), "");
    let said = second.process().stderr();
    assert!(said.contains("in use") && said.contains(&format!("you are {guest} here")), "{said}");
    first.meet(&[&guest]);
    second.meet(&[&login]);
    first.send(&guest, "hello, other me");
    assert_eq!(second.wait_text("hello, other me").author().1, login);

    for nick in [&login, &guest] {
        let mut command = vec!["--config", profile.name, "--frontend", "jsonrpc", "--nick", nick];
        let set = format!("topology.relay={}", first.address());
        command.extend(["--set", &set]);
        let refused = world.chat(&command);
        assert_eq!((refused.exit, refused.stdout.as_str()), (Exit::Code(1), ""), "{}", refused.stderr);
        for piece in ["error: ", "in use by another chat", "--nick", "--data-dir", nick] {
            assert!(refused.stderr.contains(piece), "no {piece:?} in {}", refused.stderr);
        }
    }

    let was = first.peer_id();
    first.kill9();
    let again = world.nameless(profile, &world.any_port()).start();
    assert_eq!(
        (again.ready().expect("nick"), again.peer_id()),
        (login.as_str(), was),
        "the folder was free again"
    );
    let history = again.ask("msg.history", json!({ "with": guest }));
    assert_eq!(history["messages"][0]["text"], "hello, other me");
}
