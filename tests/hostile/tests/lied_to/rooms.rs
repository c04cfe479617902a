//! Rosters are the relay's word: a member hidden, each member told another roster, a room's message that reaches only one.

use chat_core::nick::RoomName;
use chat_core::wire::envelope::open_room_conversation;
use chat_core::wire::{Body, Envelope, FromRelay, Plaintext, Recipient};
use chat_hostile::forge::Forger;
use chat_hostile::scene::identity;
use chat_hostile::{LOBBY, lie};
use chat_tests::Event;
use serde_json::json;

use crate::scene::Scene;

/// A member who is known can't be hidden: what is said in the room reaches it.
pub(crate) fn lack_a_member(scene: &mut Scene) {
    let [_, bob, _] = scene.ids();
    scene.relay.lie(lie::hide(bob));
    scene.restart_alice();
    let text = scene.text("bob is here");
    let id = scene.alice.send(LOBBY, &text);
    scene.bob.wait_text(&text);
    scene.alice.wait_state(&id, "delivered");
    scene.relay.be_honest();
    scene.restart_alice();
    scene.alice.meet(&["bob", "carol"]);
    scene.goes_on("after bob was hidden");
}

/// Whether somebody was told of a roster with this member in it.
fn has_seen(events: &[Event], member: &str) -> bool {
    let rosters = events.iter().filter(|event| event.is("room.changed", &[("room", LOBBY)]));
    rosters.into_iter().any(|event| {
        let members = event.params["members"].as_array();
        members.is_some_and(|members| members.iter().any(|it| it == member))
    })
}

/// alice is told of a member whom nobody else is told of. Known truth: in an open room what she says is sealed for
/// that one too, and it is shown: the roster she sees says so, and says `open`. The others see theirs; what is said directly
/// is for nobody else.
pub(crate) fn differ(scene: &mut Scene) {
    let [alice, bob, carol] = scene.ids();
    let mallory = Forger::new(scene.stack, identity("mallory"));
    let name = mallory.id().to_string();
    let room = RoomName::new(LOBBY).expect("a room");
    scene.relay.with(|desk| {
        desk.say(alice, &FromRelay::Peer { bundle: mallory.signed("mallory"), online: true });
        let members = vec![alice, bob, carol, mallory.id()];
        desk.say(alice, &FromRelay::Room { room: room.clone(), members });
    });
    scene.alice.wait("mallory in her roster", |events| has_seen(events, &name).then_some(()));
    let shown = scene.alice.events().into_iter().rfind(|event| event.is("room.changed", &[("room", LOBBY)]));
    assert_eq!(shown.expect("a roster").params["open"], json!(true));
    let (to_all, direct) = (scene.text("to all"), scene.text("to bob alone"));
    let id = scene.alice.send(LOBBY, &to_all);
    let direct_id = scene.alice.send(&bob.to_string(), &direct);
    scene.alice.wait_state(&direct_id, "delivered");
    scene.bob.wait_text(&direct);
    for node in [&scene.bob, &scene.carol] {
        node.wait_text(&to_all);
        assert!(!has_seen(&node.events(), &name), "they were told something else");
    }
    let sealed_for_mallory = |id: &str| {
        let to = Recipient::Peer(mallory.id());
        let is_it = |it: &&Envelope| it.to == to && it.message.to_string() == id;
        scene.relay.with(|desk| desk.submitted().iter().find(is_it).map(|it| it.message))
    };
    let message = sealed_for_mallory(&id).expect("as her roster says");
    assert_eq!(sealed_for_mallory(&direct_id), None);
    assert!(!scene.alice.states(&id).contains(&"delivered".to_owned()), "mallory has not said so");
    // In its own name it may say that it does not take it, and leave.
    let theirs = scene.relay.with(|desk| desk.bundle(alice).map(<[u8]>::to_vec)).expect("she has published");
    let mut talk = mallory.begin(&mallory.signed("mallory"), &theirs);
    for body in [Body::NotTaken(vec![message]), Body::Left] {
        let said = Plaintext { conversation: open_room_conversation(&room), ..talk.plaintext(body) };
        let said = talk.seal(&said);
        scene.relay.with(|desk| desk.hand(alice, said));
    }
    scene.alice.wait_state(&id, "delivered");
    scene.goes_on("after rosters that differ");
}

/// What alice says in the room is given to bob and kept from carol: she does not call it `delivered`, until carol has it.
pub(crate) fn reach_one_and_not_the_other(scene: &mut Scene) {
    let [_, _, carol] = scene.ids();
    let text = scene.text("some of you");
    scene.relay.lie(lie::drop_envelopes(move |to, _| to == carol));
    let id = scene.alice.send(LOBBY, &text);
    scene.bob.wait_text(&text);
    scene.alice.wait("that one has it", |events| {
        let of_it = |event: &&Event| event.is("msg.status", &[("id", &id)]);
        events.iter().filter(of_it).any(|event| event.params["counts"]["delivered"] == 1).then_some(())
    });
    scene.relay.be_honest();
    assert!(!scene.alice.states(&id).contains(&"delivered".to_owned()));
    assert!(!scene.carol.texts().contains(&text));
    scene.catch_up();
    scene.alice.wait_state(&id, "delivered");
    scene.carol.wait_text(&text);
    scene.goes_on("after some had it");
}
