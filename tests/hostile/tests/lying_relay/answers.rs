//! What the relay answers is its word alone: `stored` is, `delivered` is not.

use chat_core::api::MessageState;
use chat_core::api::command::{Command, Retry};
use chat_core::api::event::AlarmKind;
use chat_core::nick::Nick;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
use chat_core::{EnvelopeId, Event, PeerId, Timestamp};
use chat_hostile::lie::{self, Hears, Says};
use chat_hostile::{Desk, Scene, X25519};

use crate::support::{caught, sent};

/// P1: known truth: `stored` from a lying relay is only its word. `delivered` is not: it is bob's, sealed, so it never
/// comes. P2: an honest relay, after the next link, gets all of it from alice.
#[tokio::test(start_paused = true)]
async fn stored_without_storing() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    scene.relay.lie(lie::store_nothing(scene.id("alice")));
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(scene["alice"].send("bob", text).await);
    }
    let last = scene["alice"].wait_state(ids[2], MessageState::Stored).await;
    assert_eq!(last.state, MessageState::Stored, "as the relay says");
    assert!(scene.relay.be_honest() > 0);
    assert_eq!(scene.relay.with(|desk| desk.waiting_for(scene.id("bob"))), 0, "and as it is not");
    scene["alice"].restart().await;
    for &id in &ids {
        scene["alice"].wait_state(id, MessageState::Delivered).await;
    }
    scene["bob"].wait_text("three").await;
    assert_eq!(scene["bob"].new_texts(), ["one", "two", "three"]);
    scene.goes_on("alice", "bob").await;
}

/// P1: bob has it, and the relay keeps his receipts from alice: she does not call it delivered; once she hears of it,
/// she does; and bob has it once.
#[tokio::test(start_paused = true)]
async fn receipts_are_swallowed() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    scene.relay.lie(lie::drop_envelopes(move |to, _| to == alice));
    let id = scene["alice"].send("bob", "have you got it?").await;
    scene["bob"].wait_text("have you got it?").await;
    scene["alice"].wait_state(id, MessageState::Stored).await;
    assert_eq!(scene["alice"].state("bob", id).await, MessageState::Stored);
    scene.relay.be_honest();
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    assert_eq!(scene["bob"].new_texts(), ["have you got it?"]);
    scene.goes_on("alice", "bob").await;
}

/// P1: an answer of bob's to something else, handed to alice as the receipt for this: in its own envelope it says nothing new,
/// and with other labels it does not open.
#[tokio::test(start_paused = true)]
async fn receipts_for_something_else() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    scene.says("alice", "bob", "before").await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let receipt =
        scene.relay.with(|desk| desk.submitted().iter().rfind(|it| it.from == bob).cloned()).unwrap();
    let (id, _) = caught(&mut scene, "alice", "bob", "now").await;
    for message in [receipt.message, id] {
        for envelope in [receipt.id, EnvelopeId([3; 16])] {
            let again = chat_core::wire::Envelope { id: envelope, message, ..receipt.clone() };
            scene.relay.with(|desk| desk.hand(alice, again));
        }
    }
    scene["alice"].wait_alarm(AlarmKind::Replayed, "").await;
    assert_eq!(scene["alice"].state("bob", id).await, MessageState::Stored);
    scene.relay.with(Desk::catch_up);
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    scene.goes_on("alice", "bob").await;
}

/// P1, P2: `Stored` and `Refused` for what was never submitted, for what was delivered long ago, for somebody else's, and
/// both for one: no state moves back, and nothing is forgotten.
#[tokio::test(start_paused = true)]
async fn answers_to_nothing() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    let done = scene.says("alice", "bob", "done").await;
    let of_bob = scene.says("bob", "alice", "of bob").await;
    let done_in = sent(&scene, done).id;
    let foreign = [sent(&scene, of_bob).id, EnvelopeId([1; 16])];
    scene.forget();
    scene.relay.with(|desk| {
        desk.say(alice, &FromRelay::Stored { ids: foreign.to_vec() });
        desk.say(alice, &FromRelay::Stored { ids: vec![EnvelopeId([2; 16]); 100_000] });
        for id in [done_in, foreign[0], foreign[1]] {
            for why in [Refusal::NotAllowed, Refusal::TooLarge, Refusal::MailboxFull, Refusal::Protocol] {
                desk.say(alice, &FromRelay::Refused { id, why });
            }
        }
    });
    scene.goes_on("alice", "bob").await;
    assert_eq!(scene["alice"].state("bob", done).await, MessageState::Delivered);
    // Refused and stored in one breath, for one that is on its way.
    scene.relay.lie(Says(|_: &mut Desk, _, record| match record {
        FromRelay::Stored { ids } => {
            let refusals =
                ids.iter().map(|&id| FromRelay::Refused { id, why: Refusal::Storage }).collect::<Vec<_>>();
            [refusals, vec![FromRelay::Stored { ids }]].concat()
        }
        other => vec![other],
    }));
    scene.says("alice", "bob", "refused and stored").await;
    scene.relay.be_honest();
    scene.goes_on("alice", "bob").await;
}

/// P2: a relay that refuses for good makes a message fail, visibly, with its reason; tried again, it arrives. One that
/// refuses for now is asked again.
#[tokio::test(start_paused = true)]
async fn everything_is_refused() {
    for why in [Refusal::NotAllowed, Refusal::TooLarge, Refusal::Protocol] {
        let mut scene = refusing(why).await;
        let id = scene["alice"].send("bob", "refused").await;
        let failed = scene["alice"].wait_state(id, MessageState::Failed).await;
        assert!(failed.reason.is_some_and(|reason| reason.contains("relay")), "{why:?}");
        scene.relay.be_honest();
        scene["alice"].run(Command::Retry(Retry { id })).await.unwrap();
        scene["bob"].wait_text("refused").await;
        scene.goes_on("alice", "bob").await;
    }
    for why in [Refusal::MailboxFull, Refusal::TooFast, Refusal::Storage] {
        let mut scene = refusing(why).await;
        let id = scene["alice"].send("bob", "refused for now").await;
        let delayed = move |event: &Event| match event {
            Event::MessageStatus(status) if status.id == id => status.reason.clone(),
            _ => None,
        };
        let reason = scene["alice"].wait("a reason", delayed).await;
        assert!(reason.contains("tried again"), "{why:?}: {reason}");
        scene.relay.be_honest();
        let arrived = scene["alice"].wait_state(id, MessageState::Delivered).await;
        assert_eq!(arrived.state, MessageState::Delivered);
        scene.goes_on("alice", "bob").await;
    }
}

async fn refusing(why: Refusal) -> Scene {
    let scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    scene.relay.lie(Hears(move |desk: &mut Desk, from, record| match record {
        ToRelay::Submit { envelopes } if from == alice => {
            envelopes.iter().for_each(|it| desk.say(from, &FromRelay::Refused { id: it.id, why }));
            None
        }
        other => Some(other),
    }));
    scene
}

/// P7: records at the wrong time, or with words that would act on a terminal: told where a user should know, made inert,
/// and otherwise without effect.
#[tokio::test(start_paused = true)]
async fn records_out_of_order() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    scene.relay.with(|desk| {
        desk.say(
            alice,
            &FromRelay::Welcome { version: WIRE_VERSION, now: Timestamp(0), one_time_keys: None },
        );
        desk.say(
            alice,
            &FromRelay::Welcome {
                version: WIRE_VERSION + 1,
                now: Timestamp(u64::MAX),
                one_time_keys: Some(u32::MAX),
            },
        );
        (0..1000).for_each(|n| desk.say(alice, &FromRelay::Pong { n }));
        for n in 0..1000_u32 {
            let nick = Nick::new(format!("n{n}")).ok();
            let peer = Some(PeerId([n as u8; 32]));
            desk.say(alice, &FromRelay::Unknown { peer, nick });
        }
        desk.say(alice, &FromRelay::Deliver { items: Vec::new() });
        desk.say(alice, &FromRelay::Stored { ids: Vec::new() });
        let detail = format!("\u{1b}[2J\u{202e}{}", "x".repeat(100_000));
        desk.say(alice, &FromRelay::Error { why: Refusal::NotAllowed, detail });
    });
    let alarm = scene["alice"].wait_alarm(AlarmKind::Refused, "the relay refused a record").await;
    assert!(
        !alarm.detail.contains(['\u{1b}', '\u{202e}']) && alarm.detail.len() < 1000,
        "{:?}",
        alarm.detail
    );
    scene.goes_on("alice", "bob").await;
}
