//! Two people on one machine: the first becomes the relay, the second finds it, and they chat; then others come.

use chat_tests::{Exit, Node, Profile, World, on_every_profile};
use serde_json::json;

on_every_profile!(they_meet_and_chat, a_room_of_five);

/// A32: arrival, direct messages and a room both ways, every
/// state in order, and leaving. C07: each is known to the other by the key it shows itself.
fn they_meet_and_chat(profile: Profile) {
    let world = World::new();
    let alice = world.node(profile, "alice", &world.any_port()).start();
    let bob = world.node(profile, "bob", &alice.address()).start();
    assert_eq!(bob.ready().params["listen"], json!([]), "there is a relay already");
    for (one, other, nick) in [(&alice, &bob, "bob"), (&bob, &alice, "alice")] {
        let seen = one.wait_event("peer.seen", &[("nick", nick)]);
        assert_eq!(seen.expect("peer_id"), other.peer_id());
        assert_eq!(other.ready().expect("fingerprint"), other.peer_id());
        assert_eq!(other.ready().expect("nick"), nick);
    }
    for (one, other, nick, to) in [(&alice, &bob, "alice", "bob"), (&bob, &alice, "bob", "alice")] {
        direct(one, other, nick, to);
        room(one, other, nick);
    }
    assert_eq!(bob.leave(), Exit::Code(0));
    alice.wait_event("peer.lost", &[("nick", "bob")]);
    assert_eq!(alice.leave(), Exit::Code(0));
    assert_eq!(alice.process().stderr() + &bob.process().stderr(), "", "nothing to complain about");
}

fn direct(one: &Node, other: &Node, nick: &str, to: &str) {
    let text = format!("from {nick} to you alone");
    let id = one.send(to, &text);
    let new = other.wait_text(&text);
    assert_eq!(new.author(), (one.peer_id().as_str(), nick));
    assert_eq!((new.expect("id"), new.expect("conversation")), (id.as_str(), one.peer_id().as_str()));
    one.wait_state(&id, "delivered");
    assert_eq!(one.states(&id), ["queued", "sent", "stored", "delivered"]);
    other.ask("msg.mark_read", json!({ "with": nick }));
    one.wait_state(&id, "read");
    assert_eq!(one.states(&id), ["queued", "sent", "stored", "delivered", "read"]);
}

fn room(one: &Node, other: &Node, nick: &str) {
    let text = format!("from {nick} to everybody");
    let id = one.send("#lobby", &text);
    let new = other.wait_text(&text);
    assert_eq!(new.author(), (one.peer_id().as_str(), nick));
    assert_eq!(new.expect("conversation"), "#lobby");
    let delivered = one.wait_state(&id, "delivered");
    assert_eq!(delivered.params["counts"]["delivered"], 1);
    assert_eq!(delivered.params["counts"]["of"], 1);
    assert_eq!(one.states(&id), ["queued", "sent", "stored", "delivered"]);
}

/// A18, A20, C28, E23: what one of five says reaches the other four, each once and in order, and not the one.
fn a_room_of_five(profile: Profile) {
    const NICKS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
    let world = World::new();
    let first = world.node(profile, NICKS[0], &world.any_port()).start();
    let address = first.address();
    let mut nodes = vec![first];
    nodes.extend(NICKS[1..].iter().map(|nick| world.node(profile, nick, &address).start()));
    for (node, own) in nodes.iter().zip(NICKS) {
        node.meet(&NICKS.into_iter().filter(|nick| *nick != own).collect::<Vec<_>>());
        node.wait("the room with all five in it", |events| {
            let full = |members: &serde_json::Value| members.as_array().is_some_and(|all| all.len() == 5);
            events
                .iter()
                .any(|event| event.is("room.changed", &[]) && full(&event.params["members"]))
                .then_some(())
        });
    }
    let said = |nick: &str| (0..5).map(|n| format!("{nick} says {n}")).collect::<Vec<_>>();
    let ids: Vec<_> =
        nodes.iter().zip(NICKS).map(|(node, nick)| node.send_all("#lobby", said(nick))).collect();
    for (node, ids) in nodes.iter().zip(&ids) {
        for id in ids {
            assert_eq!(node.wait_state(id, "delivered").params["counts"]["of"], 4);
        }
    }
    for (node, own) in nodes.iter().zip(NICKS) {
        let texts = node.wait_texts(20);
        assert_eq!(texts.len(), 20, "{own} heard {texts:?}");
        for nick in NICKS.into_iter().filter(|nick| *nick != own) {
            let of_nick: Vec<_> = texts.iter().filter(|text| text.starts_with(nick)).cloned().collect();
            assert_eq!(of_nick, said(nick), "what {own} heard of {nick}");
        }
    }
}
