//! One-time keys are the relay's to give out: it may give one twice, another peer's, its own, damaged ones, or none.

use chat_core::api::MessageState;
use chat_core::api::event::AlarmKind;
use chat_core::wire::{FromRelay, Handshake, OneTimeKey, SignedOneTimeKey, ToRelay};
use chat_core::{OneTimeKeyId, PeerId};
use chat_hostile::lie::{self, Hears, Honest, Lie};
use chat_hostile::scene::identity;
use chat_hostile::{RATCHET, Scene, Stack, X25519};

use crate::support::poll;

/// People who know each other's bundles, and have no session.
async fn met(stack: Stack, nicks: &[&str]) -> Scene {
    let mut scene = Scene::empty(stack, Honest).await;
    nicks.iter().for_each(|nick| scene.add(nick));
    for who in nicks {
        let id = scene.id(who);
        for other in nicks.iter().filter(|other| *other != who) {
            scene[other].wait_seen(id).await;
        }
        poll(|| scene.relay.with(|desk| desk.one_time_key(id)), Option::is_some).await;
    }
    scene
}

/// The one-time keys that first messages of `from` have named, each session once.
fn named(scene: &Scene, from: PeerId) -> Vec<Option<OneTimeKeyId>> {
    scene.relay.with(|desk| {
        let mut sessions = Vec::new();
        let mut named = Vec::new();
        for envelope in desk.submitted().iter().filter(|envelope| envelope.from == from) {
            if let Some(handshake) = &envelope.handshake
                && !sessions.contains(&envelope.session)
            {
                sessions.push(envelope.session);
                named.push(Handshake::decode(handshake).expect("a handshake").one_time);
            }
        }
        named
    })
}

/// Says something with this lie going on, and waits until it is delivered.
async fn under(scene: &mut Scene, lie: impl Lie + 'static) {
    scene.relay.lie(lie);
    let bob = scene.id("bob").to_string();
    let id = scene["alice"].send(&bob, "for bob alone").await;
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    scene["bob"].wait_text("for bob alone").await;
    scene.relay.be_honest();
}

/// The control: an honest relay gives a key, and it is used.
#[tokio::test(start_paused = true)]
async fn with_an_honest_relay_a_key_is_used() {
    for stack in [X25519, RATCHET] {
        let mut scene = met(stack, &["alice", "bob"]).await;
        scene.says("alice", "bob", "hello").await;
        let used = named(&scene, scene.id("alice"));
        assert!(used.len() == 1 && used[0].is_some(), "{used:?}");
        scene.goes_on("alice", "bob").await;
    }
}

/// P4, P5: a key that bob did not sign, or not as it is, or not for this stack, is told and not used.
#[tokio::test(start_paused = true)]
async fn a_key_of_somebody_elses_making() {
    for stack in [X25519, RATCHET] {
        let carols = {
            let scene = met(stack, &["alice", "bob", "carol"]).await;
            let carol = scene.id("carol");
            scene.relay.with(|desk| desk.one_time_key(carol)).expect("carol has keys")
        };
        let read = SignedOneTimeKey::read(&carols).expect("a key");
        let relays = SignedOneTimeKey::sign(&read, &identity("relay")).encode();
        let cut = carols[..carols.len() - 1].to_vec();
        for given in [carols, relays, cut, Vec::new()] {
            let mut scene = met(stack, &["alice", "bob"]).await;
            under(&mut scene, lie::on_one_time_keys(move |_, _| Some(given.clone()))).await;
            scene["alice"].wait_alarm(AlarmKind::Tampered, "not this peer's").await;
            assert_eq!(named(&scene, scene.id("alice")), [None]);
            scene.goes_on("alice", "bob").await;
        }
    }
}

/// P5: each flipped bit of the key that is given.
#[tokio::test(start_paused = true)]
async fn a_key_with_a_bit_flipped() {
    for byte in [0, 2, 4, 12, 40, 60, 100] {
        let mut scene = met(X25519, &["alice", "bob"]).await;
        let flip = move |_, key: Option<Vec<u8>>| {
            let mut key = key?;
            let at = byte % key.len();
            key[at] ^= 1;
            Some(key)
        };
        under(&mut scene, lie::on_one_time_keys(flip)).await;
        scene["alice"].wait_alarm(AlarmKind::Tampered, "not this peer's").await;
        scene.goes_on("alice", "bob").await;
    }
}

/// P1, P2: bob's key is given to alice and to carol. Who comes second is refused by name and begins anew; both are heard.
#[tokio::test(start_paused = true)]
async fn the_same_key_given_twice() {
    for stack in [X25519, RATCHET] {
        let mut scene = met(stack, &["alice", "bob", "carol"]).await;
        let bob = scene.id("bob");
        let twice = scene.relay.with(|desk| desk.one_time_key(bob));
        let give = move |owner, key| if owner == bob { twice.clone() } else { key };
        scene.relay.lie(lie::on_one_time_keys(give));
        for who in ["alice", "carol"] {
            let id = scene[who].send(&bob.to_string(), who).await;
            scene["bob"].wait_text(who).await;
            scene[who].wait_state(id, MessageState::Delivered).await;
        }
        scene["bob"].wait_alarm(AlarmKind::Replayed, "used before").await;
        let [first, second] = ["alice", "carol"].map(|who| named(&scene, scene.id(who))[0]);
        assert!(first.is_some() && first == second, "both were given it");
        scene.relay.lie(Honest);
        scene.goes_on("alice", "bob").await;
        scene.goes_on("carol", "bob").await;
    }
}

/// P7: the relay gives no key, or does not even answer: a session begins without, after some seconds at most.
#[tokio::test(start_paused = true)]
async fn no_key_and_no_answer() {
    let mut scene = met(RATCHET, &["alice", "bob"]).await;
    under(&mut scene, lie::on_one_time_keys(|_, _| None)).await;
    assert_eq!(named(&scene, scene.id("alice")), [None]);
    scene.goes_on("alice", "bob").await;

    let mut scene = met(RATCHET, &["alice", "bob"]).await;
    let deaf = |_: &mut chat_hostile::desk::Desk, _, record| {
        (!matches!(record, ToRelay::TakeOneTimeKey { .. })).then_some(record)
    };
    under(&mut scene, Hears(deaf)).await;
    assert_eq!(named(&scene, scene.id("alice")), [None]);
    scene.goes_on("alice", "bob").await;
}

/// P7: it says again and again that it has none, or more than there can be: what is made for it is bounded.
#[tokio::test(start_paused = true)]
async fn a_relay_that_miscounts() {
    let mut scene = met(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    for left in [0, u32::MAX].repeat(200) {
        scene.relay.with(|desk| desk.say(alice, &FromRelay::OneTimeKeysLeft { left }));
    }
    scene.relay.with(|desk| {
        let key = desk.one_time_key(alice);
        desk.say(alice, &FromRelay::OneTimeKey { peer: alice, key });
    });
    scene.says("alice", "bob", "unmoved").await;
    scene.goes_on("alice", "bob").await;
}

/// P8: an older key of bob's, which he signed for another stack.
#[tokio::test(start_paused = true)]
async fn keys_for_another_stack_are_passed_over() {
    let mut scene = met(X25519, &["alice", "bob"]).await;
    let (bob, me) = (scene.id("bob"), identity("bob"));
    let key = scene.relay.with(|desk| desk.one_time_key(bob)).expect("bob has keys");
    let read = SignedOneTimeKey::read(&key).expect("a key");
    let other = OneTimeKey { key_exchange_options: "rounds=1".into(), ..read };
    let other = SignedOneTimeKey::sign(&other, &me).encode();
    under(&mut scene, lie::on_one_time_keys(move |_, _| Some(other.clone()))).await;
    assert_eq!(named(&scene, scene.id("alice")), [None]);
    assert_eq!(scene["alice"].alarms(), [], "bob may have had another stack");
    scene.goes_on("alice", "bob").await;
}
