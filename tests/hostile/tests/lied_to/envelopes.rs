//! Dropped, doubled, turned around, altered, relabelled, given to somebody else.

use chat_core::nick::RoomName;
use chat_core::wire::envelope::{direct_conversation, open_room_conversation};
use chat_core::wire::{Envelope, Recipient};
use chat_core::{MessageId, SessionId};
use chat_hostile::forge::fresh;
use chat_hostile::{LOBBY, lie};

use crate::scene::{Scene, alarmed, anew};

/// Dropped: not `delivered` to its sender, and when the relay has become honest it arrives, once.
pub(crate) fn are_dropped(scene: &mut Scene) {
    let [_, bob, _] = scene.ids();
    let text = scene.text("dropped");
    scene.relay.lie(lie::drop_envelopes(move |to, _| to == bob));
    let id = scene.alice.send(&bob.to_string(), &text);
    scene.alice.wait_state(&id, "stored");
    scene.relay.be_honest();
    assert!(!scene.alice.states(&id).contains(&"delivered".to_owned()));
    scene.catch_up();
    scene.alice.wait_state(&id, "delivered");
    scene.bob.wait_text(&text);
    scene.goes_on("after what was dropped");
}

/// Doubled: shown once, and nobody is alarmed.
pub(crate) fn are_doubled(scene: &mut Scene) {
    let alarms = |scene: &Scene| {
        let nodes = [&scene.alice, &scene.bob, &scene.carol];
        nodes.map(|node| node.events().iter().filter(|event| event.method == "alarm").count())
    };
    let before = alarms(scene);
    scene.relay.lie(lie::repeat_envelopes(5));
    let texts: Vec<String> = (0..3).map(|_| scene.text("five times")).collect();
    for text in &texts {
        scene.alice.wait_state(&scene.alice.send(&scene.bob.peer_id(), text), "delivered");
    }
    scene.relay.be_honest();
    scene.goes_on("after what was doubled");
    let shown = scene.bob.texts();
    assert!(texts.iter().all(|text| shown.iter().filter(|it| *it == text).count() == 1), "{shown:?}");
    assert_eq!(alarms(scene), before, "a repeat is ordinary");
}

/// Turned around: shown in the order in which it was said, with no gap.
pub(crate) fn are_turned_around(scene: &mut Scene) {
    let [_, bob, _] = scene.ids();
    let (held, lie) = lie::hold_envelopes(move |to, _| to == bob);
    scene.relay.lie(lie);
    let texts: Vec<String> = (0..10).map(|_| scene.text("turned around")).collect();
    let ids = scene.alice.send_all(&bob.to_string(), &texts);
    scene.alice.wait_states(&ids, &["stored"]);
    scene.relay.be_honest();
    let held = held.take();
    assert!(held.len() >= texts.len());
    held.into_iter().rev().for_each(|(to, envelope)| scene.relay.with(|desk| desk.hand(to, envelope)));
    scene.alice.wait_states(&ids, &["delivered"]);
    scene.bob.wait_text(&texts[9]);
    let shown = scene.bob.texts();
    assert!(shown.ends_with(&texts), "{shown:?}");
    assert!(scene.bob.events().iter().all(|event| event.method != "msg.gap"));
    scene.goes_on("after what was turned around");
}

/// A flipped bit at each place of the frame, cut off, put on: `tampered`; said again under another id: `replayed`. Shown is
/// nothing of it.
pub(crate) fn are_altered_and_said_again(scene: &mut Scene) {
    let [_, bob, _] = scene.ids();
    scene.goes_on("to be altered");
    let genuine = scene.newest();
    let shown = scene.bob.texts();
    let altered: Vec<Envelope> = chat_hostile::mangle::alterations(&genuine.frame)
        .into_iter()
        .step_by(40)
        .map(|frame| Envelope { frame, ..anew(&genuine) })
        .collect();
    assert!(altered.len() > 5);
    let again = std::iter::once(anew(&genuine));
    if scene.stack.key_exchange == "x25519-ratchet" {
        // The first of them is an alarm, and bob asks for a new session, in case alice has an older copy of hers. What is
        // handed to him of the old one from then on is ignored, or refused by numbers in a header that nothing proves.
        let mut altered = altered.into_iter();
        let first = altered.next().expect("some");
        alarmed(&scene.bob, "tampered", || scene.relay.with(|desk| desk.hand(bob, first)));
        altered.chain(again).for_each(|envelope| scene.relay.with(|desk| desk.hand(bob, envelope)));
    } else {
        for envelope in altered {
            alarmed(&scene.bob, "tampered", || scene.relay.with(|desk| desk.hand(bob, envelope)));
        }
        again.for_each(|envelope| {
            alarmed(&scene.bob, "replayed", || scene.relay.with(|desk| desk.hand(bob, envelope)))
        });
    }
    assert_eq!(scene.bob.texts(), shown);
    scene.goes_on("after what was altered");
}

/// A direct message with the label of the room or of another conversation, under another message's id, of another
/// session, from another sender; a message of the room with the label of a direct one: not shown, `tampered` or, where the
/// relay names a session that nobody has, ignored; and the genuine one is taken behind it.
pub(crate) fn are_relabelled(scene: &mut Scene) {
    let [alice, bob, carol] = scene.ids();
    let lobby = open_room_conversation(&RoomName::new(LOBBY).expect("a room"));
    for (to, other) in [(bob.to_string(), lobby), (LOBBY.to_owned(), direct_conversation(alice, bob))] {
        let text = scene.text("relabelled");
        let (id, genuine) = scene.caught(&to, &text);
        let loud = [
            Envelope { conversation: other, ..anew(&genuine) },
            Envelope { conversation: direct_conversation(bob, carol), ..anew(&genuine) },
            Envelope { message: MessageId(fresh()), ..anew(&genuine) },
            Envelope { from: carol, ..anew(&genuine) },
        ];
        for envelope in loud {
            alarmed(&scene.bob, "tampered", || scene.relay.with(|desk| desk.hand(bob, envelope)));
        }
        let quiet = Envelope { session: SessionId(fresh()), ..anew(&genuine) };
        scene.relay.with(|desk| desk.hand(bob, quiet));
        assert!(!scene.bob.texts().contains(&text));
        // It waits for carol; but bob has acknowledged numbers behind it.
        scene.catch_up();
        scene.relay.with(|desk| desk.hand(bob, genuine));
        scene.alice.wait_state(&id, "delivered");
        scene.bob.wait_text(&text);
        scene.goes_on("after what was relabelled");
    }
}

/// An envelope for bob given to carol, or back to alice: `tampered`, not shown; with carol's name on it, it is of a session
/// that she does not have, and quietly refused. bob has it later.
pub(crate) fn are_given_to_others(scene: &mut Scene) {
    let [alice, bob, carol] = scene.ids();
    let text = scene.text("for bob alone");
    let (id, envelope) = scene.caught(&bob.to_string(), &text);
    let readdressed = |to| Envelope { to: Recipient::Peer(to), ..anew(&envelope) };
    scene.relay.with(|desk| desk.hand(carol, readdressed(carol)));
    alarmed(&scene.carol, "tampered", || scene.relay.with(|desk| desk.hand(carol, envelope.clone())));
    let reflected = Envelope { from: bob, ..readdressed(alice) };
    for envelope in [envelope.clone(), reflected] {
        alarmed(&scene.alice, "tampered", || scene.relay.with(|desk| desk.hand(alice, envelope)));
    }
    scene.catch_up();
    scene.alice.wait_state(&id, "delivered");
    scene.bob.wait_text(&text);
    scene.goes_on("after what was given to others");
    assert!([&scene.alice, &scene.carol].iter().all(|node| !node.texts().contains(&text)));
}
