//! Closed rooms between programs: made, entered, left; also by typed lines, over a restart, and where open rooms are
//! refused.

use chat_tests::{Exit, Node, Profile, Relay, World, on_main_profiles, on_profile};
use serde_json::json;

on_main_profiles!(a_room_of_ones_own, typed_lines);
// Where keys are made at once, and so in the relay's directory as soon as somebody is there.
on_profile!(tcp_x25519_alone, chat_tests::profiles::TCP_X25519, only_closed_rooms);
on_profile!(relay_ratchet_alone, chat_tests::profiles::RELAY_RATCHET, only_closed_rooms, names_of_rooms);

fn three(world: &World, profile: Profile) -> (Relay, [Node; 3]) {
    let relay = Relay::start(world, profile);
    let nodes =
        ["alice", "bob", "carol"].map(|nick| world.node(profile, nick, relay.address()).guest().start());
    nodes[0].meet(&["bob", "carol"]);
    nodes[1].meet(&["alice", "carol"]);
    nodes[2].meet(&["alice", "bob"]);
    (relay, nodes)
}

/// Waits until a room has so many members, as somebody is told.
fn wait_members(node: &Node, room: &str, count: usize) {
    node.wait(&format!("{count} members in {room}"), |events| {
        let newest = events.iter().rfind(|event| event.is("room.changed", &[("room", room)]))?;
        (newest.params["members"].as_array()?.len() == count).then_some(())
    });
}

/// P4, C28, D08: three talk in a closed room; one is removed and reads nothing later, also after everybody was killed. The
/// relay's disk knows neither the name of the room nor a word.
fn a_room_of_ones_own(profile: Profile) {
    let world = World::new();
    let (relay, [mut alice, mut bob, carol]) = three(&world, profile);
    let made = alice.ask("room.create", json!({ "room": "#den" }));
    assert_eq!(made["room"], "#den");
    for nick in ["bob", "carol"] {
        alice.ask("room.admit", json!({ "room": "#den", "peer": nick }));
    }
    for node in [&bob, &carol] {
        wait_members(node, "#den", 3);
    }
    let changed = bob.wait_event("room.changed", &[("room", "#den")]);
    assert_eq!((&changed.params["open"], &changed.params["joined"]), (&json!(false), &json!(true)));
    assert_eq!(changed.text("by"), Some(alice.peer_id().as_str()));
    let rooms = bob.ask("room.list", json!({}));
    let opens: Vec<_> =
        rooms["rooms"].as_array().unwrap().iter().map(|it| (&it["name"], &it["open"])).collect();
    assert_eq!(opens, [(&json!("#den"), &json!(false)), (&json!("#lobby"), &json!(true))]);
    let id = bob.send("#den", "three of us");
    bob.wait_state(&id, "delivered");
    for node in [&alice, &carol] {
        node.wait_text("three of us");
    }
    alice.ask("room.remove", json!({ "room": "#den", "peer": carol.peer_id() }));
    wait_members(&bob, "#den", 2);
    carol.wait("to be out", |events| {
        let out = |event: &&chat_tests::Event| {
            event.is("room.changed", &[("room", "#den")]) && event.params["joined"] == false
        };
        events.iter().find(out).map(drop)
    });
    for node in [&mut alice, &mut bob] {
        node.kill9();
        node.restart();
    }
    let id = bob.send("#den", "two of us");
    bob.wait_state(&id, "delivered");
    alice.wait_text("two of us");
    bob.wait_state(&bob.send("carol", "fence"), "delivered");
    carol.wait_text("fence");
    assert!(!carol.texts().contains(&"two of us".to_owned()));
    assert_eq!(
        carol.call("msg.send", json!({ "to": "#den", "text": "hello?" })).unwrap_err().kind,
        "not_found"
    );
    assert_eq!(relay.leave(), Exit::Code(0));
    for file in chat_tests::files::contents(relay.folder()) {
        for secret in ["#den", "two of us", made["conversation_id"].as_str().unwrap()] {
            assert_eq!(chat_tests::files::find(&file.1, secret.as_bytes()), None, "{secret} in {:?}", file.0);
        }
    }
}

/// P7: carol makes a closed room of a name and brings alice into it, who is not asked. The open room of that name is alice's
/// to join and to write to, also after she was killed; and a name that is no room is not answered by advice to join it.
fn names_of_rooms(profile: Profile) {
    const NAME: &str = "#general";
    let world = World::new();
    let (_relay, [mut alice, bob, carol]) = three(&world, profile);
    let made = carol.ask("room.create", json!({ "room": NAME }));
    let id = made["conversation_id"].as_str().unwrap();
    carol.ask("room.admit", json!({ "room": NAME, "peer": "alice" }));
    alice.wait_event("room.changed", &[("room", NAME), ("conversation_id", id)]);
    for node in [&bob, &alice] {
        node.ask("room.join", json!({ "room": NAME }));
    }
    let digits = format!("{NAME}·{}", &id[..4]);
    alice.wait_event("room.changed", &[("room", &digits), ("conversation_id", id)]);
    wait_members(&alice, NAME, 2);
    for text in ["to the open one", "and again"] {
        let sent = alice.send(NAME, text);
        alice.wait_state(&sent, "delivered");
        bob.wait_text(text);
        let rooms = alice.ask("room.list", json!({}));
        let names: Vec<_> =
            rooms["rooms"].as_array().unwrap().iter().map(|it| (&it["name"], &it["open"])).collect();
        for expected in [(&json!(NAME), &json!(true)), (&json!(digits), &json!(false))] {
            assert!(names.contains(&expected), "{names:?}");
        }
        alice.kill9();
        alice.restart();
        wait_members(&alice, NAME, 2);
    }
    alice.wait_state(&alice.send("carol", "fence"), "delivered");
    assert!(!carol.texts().iter().any(|text| text.contains("open one") || text == "and again"));
    let slip = alice.call("msg.send", json!({ "to": "#genral", "text": "psst" })).unwrap_err();
    assert!(slip.kind == "not_found" && !slip.message.contains("/join"), "{slip:?}");
}

/// The same by lines as they are typed; an open and a closed room of one name stay apart.
fn typed_lines(profile: Profile) {
    let world = World::new();
    let (_relay, [alice, bob, carol]) = three(&world, profile);
    let run = |node: &Node, line: &str| node.ask("command.run", json!({ "line": line }));
    let made = run(&alice, "/create #lobby");
    let room = made["room"].as_str().unwrap();
    assert!(room.starts_with("#lobby·"), "{room}");
    run(&alice, &format!("/admit {room} bob"));
    wait_members(&bob, room, 2);
    run(&bob, &format!("/admit carol {room}"));
    wait_members(&carol, room, 3);
    let (closed, open) = (carol.send(room, "closed"), carol.send("#lobby", "open"));
    for id in [&closed, &open] {
        carol.wait_state(id, "delivered");
    }
    let where_was = |text: &str| alice.wait_text(text).expect("conversation").to_owned();
    assert_eq!((where_was("closed"), where_was("open")), (room.to_owned(), "#lobby".to_owned()));
    let refused = bob.call("command.run", json!({ "line": format!("/remove {room} alice") }));
    assert_eq!(refused.unwrap_err().kind, "not_allowed");
    run(&bob, &format!("/remove {room} carol"));
    run(&bob, &format!("/leave {room}"));
    wait_members(&alice, room, 1);
    assert_eq!(alice.ask("room.members", json!({ "room": room }))["members"].as_array().unwrap().len(), 1);
}

/// A profile that requires closed rooms is in none of the open ones, and can't be brought there.
fn only_closed_rooms(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let [alice, bob] = ["alice", "bob"].map(|nick| {
        let setup = world.node(profile, nick, relay.address()).guest();
        setup.set("policy.require=[\"closed-rooms\"]").set("topology.rooms=[]").start()
    });
    for node in [&alice, &bob] {
        node.wait_event("link.up", &[]);
        assert_eq!(node.ask("room.list", json!({}))["rooms"], json!([]));
        let refused = node.call("room.join", json!({ "room": "#lobby" })).unwrap_err();
        assert_eq!(refused.kind, "not_allowed");
    }
    alice.ask("room.create", json!({ "room": "#den" }));
    // They share no open room, so the relay is asked for bob.
    let admission = json!({ "room": "#den", "peer": bob.peer_id() });
    assert!((0..200).any(|_| alice.call("room.admit", admission.clone()).is_ok()), "bob is not found");
    wait_members(&bob, "#den", 2);
    let id = bob.send("#den", "found");
    bob.wait_state(&id, "delivered");
    alice.wait_text("found");
}
