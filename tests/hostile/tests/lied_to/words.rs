//! What the relay says by itself: that it has stored something, whose key is whose; and links that it ends.

use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, Recipient, ToRelay};
use chat_hostile::Desk;
use chat_hostile::forge::{Forger, edited};
use chat_hostile::lie::{self, Hears};
use chat_hostile::scene::identity;
use serde_json::json;

use crate::scene::{Scene, alarmed};

/// Known truth: `stored` is the relay's word. `delivered` is not.
pub(crate) fn stored_is_its_word(scene: &mut Scene) {
    let [alice, bob, _] = scene.ids();
    scene.relay.lie(lie::store_nothing(alice));
    let texts = [scene.text("swallowed"), scene.text("and this")];
    let ids = scene.alice.send_all(&bob.to_string(), &texts);
    scene.alice.wait_states(&ids, &["stored"]);
    scene.relay.be_honest();
    assert!(!scene.alice.states(&ids[0]).contains(&"delivered".to_owned()));
    scene.restart_alice();
    scene.alice.wait_states(&ids, &["delivered"]);
    scene.bob.wait_text(&texts[1]);
    scene.goes_on("after what was not stored");
}

/// A bundle with another name, other keys, another life under the old signature: `refused`, and nothing about bob changes.
pub(crate) fn a_bundle_is_edited(scene: &mut Scene) {
    let [alice, bob, _] = scene.ids();
    let genuine = scene.relay.with(|desk| desk.bundle(bob).map(<[u8]>::to_vec)).expect("he has published");
    let other = Forger::new(scene.stack, identity("mallory")).bundle("bob");
    let bundles = [
        edited(&genuine, |bundle| bundle.payload = other.payload.clone()),
        edited(&genuine, |bundle| bundle.identity = other.identity.clone()),
        edited(&genuine, |bundle| bundle.nick = other_nick()),
        edited(&genuine, |bundle| bundle.expires = chat_core::Timestamp(u64::MAX)),
        chat_hostile::mangle::flips(&genuine, genuine.len() - 1).swap_remove(1),
    ];
    for bundle in bundles {
        alarmed(&scene.alice, "refused", || {
            scene.relay.with(|desk| desk.say(alice, &FromRelay::Peer { bundle, online: true }));
        });
    }
    scene.goes_on("after an edited bundle");
}

fn other_nick() -> chat_core::nick::Nick {
    chat_core::nick::Nick::new("mallory").expect("a nick")
}

/// mallory's key under bob's name: told, kept apart, the bare name is ambiguous from then on, and nothing is sealed for it.
pub(crate) fn a_key_is_swapped(scene: &mut Scene) {
    let [alice, bob, _] = scene.ids();
    let mallory = Forger::new(scene.stack, identity("another bob"));
    let swapped = mallory.signed("bob");
    scene.relay.with(|desk| desk.say(alice, &FromRelay::Peer { bundle: swapped, online: true }));
    let changed = scene.alice.wait_event("peer.key_changed", &[("claims", "bob")]);
    assert_eq!(changed.expect("peer_id"), mallory.id().to_string());
    assert_eq!(changed.expect("known"), bob.to_string());
    let refused = scene.alice.call("msg.send", json!({ "to": "bob", "text": "for whom?" })).unwrap_err();
    assert_eq!(refused.kind, "ambiguous");
    scene.goes_on("after a swapped key");
    let to_mallory = Recipient::Peer(mallory.id());
    assert!(scene.relay.with(|desk| desk.submitted().iter().all(|it| it.to != to_mallory)));
}

/// Nonsense ends the link, with a reason; a relay that refuses everything for now is asked again. Nothing is lost.
pub(crate) fn links_that_end_are_told(scene: &mut Scene) {
    let [alice, bob, _] = scene.ids();
    scene.restart_alice();
    scene.relay.with(|desk| desk.say_bytes(alice, b"HTTP/1.1 200 OK".to_vec()));
    let down = scene.alice.wait_event("link.down", &[]);
    assert!(down.expect("reason").contains("what is no record"), "{down:?}");
    scene.goes_on("after nonsense");
    scene.relay.lie(Hears(|desk: &mut Desk, from, record| match record {
        ToRelay::Submit { envelopes } => {
            let refused = envelopes.iter().map(|it| FromRelay::Refused { id: it.id, why: Refusal::Storage });
            refused.for_each(|record| desk.say(from, &record));
            None
        }
        other => Some(other),
    }));
    let text = scene.text("through all of it");
    let id = scene.alice.send(&bob.to_string(), &text);
    scene.alice.wait("a reason", |events| {
        let of_it = events.iter().filter(|event| event.is("msg.status", &[("id", &id)]));
        of_it
            .filter_map(|event| event.text("reason"))
            .any(|reason| reason.contains("tried again"))
            .then_some(())
    });
    scene.relay.be_honest();
    scene.alice.wait_state(&id, "delivered");
    scene.bob.wait_text(&text);
    scene.goes_on("at last");
}
