//! Dropped, doubled, turned around, held back, said again, given to somebody else.

use chat_core::api::command::Retry;
use chat_core::api::event::AlarmKind;
use chat_core::api::{Command, MessageState};
use chat_core::wire::{Envelope, Handshake, Recipient};
use chat_hostile::lie::{self, Honest};
use chat_hostile::{Desk, Scene, Stack};

use crate::support::{caught, fresh_id, poll, sent, with_each_key_exchange};

with_each_key_exchange!(
    one_is_dropped,
    one_is_dropped_for_ever,
    all_are_doubled,
    all_are_turned_around,
    one_is_held_back,
    one_is_given_to_somebody_else,
    one_is_reflected,
    said_again_under_other_ids,
    a_first_message_said_again
);

/// A month, and a day.
const PAST_THE_MONTH_MS: u64 = 31 * 86_400_000;

/// P1, P2, P3: what is dropped is a gap to its recipient and not delivered to its sender. When it arrives after all,
/// it takes its place.
async fn one_is_dropped(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (lost, _) = caught(&mut scene, "alice", "bob", "one").await;
    let next = scene["alice"].send("bob", "two").await;
    scene["alice"].wait_state(next, MessageState::Delivered).await;
    scene["bob"].wait_text("two").await;
    assert!(scene["bob"].saw_gap(), "bob sees that something is missing");
    assert_eq!(scene["alice"].state("bob", lost).await, MessageState::Stored);
    // Now and then what is not confirmed is handed to the relay again.
    scene["alice"].wait_state(lost, MessageState::Delivered).await;
    assert!(scene["bob"].texts("alice").await.ends_with(&["one".to_owned(), "two".to_owned()]));
    scene.goes_on("alice", "bob").await;
}

/// P2: what is dropped for ever fails visibly after 30 days, with a reason; and may be tried again.
async fn one_is_dropped_for_ever(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let bob = scene.id("bob");
    scene.relay.lie(lie::drop_envelopes(move |to, _| to == bob));
    let lost = scene["alice"].send("bob", "one").await;
    let stored = scene["alice"].wait_state(lost, MessageState::Stored).await;
    assert_eq!(stored.state, MessageState::Stored);
    scene.clock.jump_ms(PAST_THE_MONTH_MS);
    let failed = scene["alice"].wait_state(lost, MessageState::Delivered).await;
    assert_eq!(failed.state, MessageState::Failed);
    assert!(failed.reason.is_some_and(|reason| reason.contains("30 days")));
    scene.relay.be_honest();
    scene["alice"].run(Command::Retry(Retry { id: lost })).await.unwrap();
    scene["bob"].wait_text("one").await;
    scene.goes_on("alice", "bob").await;
}

/// P1, P5: what is delivered five times is in history once, and alarms nobody.
async fn all_are_doubled(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    scene.relay.lie(lie::repeat_envelopes(5));
    scene.goes_on("alice", "bob").await;
    scene.forget();
    for text in ["one", "two", "three"] {
        scene.says("alice", "bob", text).await;
    }
    assert_eq!(scene["bob"].new_texts().len(), 3);
    for text in ["one", "two", "three"] {
        assert_eq!(count(&scene, text).await, 1);
    }
    scene.relay.be_honest();
    scene.goes_on("alice", "bob").await;
}

/// P3: what is turned around is shown in the order in which it was said, and nothing seems to be missing.
async fn all_are_turned_around(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let bob = scene.id("bob");
    let (held, lie) = lie::hold_envelopes(move |to, _| to == bob);
    scene.relay.lie(lie);
    let texts: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    let mut ids = Vec::new();
    for text in &texts {
        ids.push(scene["alice"].send("bob", text).await);
    }
    scene["alice"].wait_state(ids[19], MessageState::Stored).await;
    scene.relay.be_honest();
    for (to, envelope) in held.take().into_iter().rev() {
        scene.relay.with(|desk| desk.hand(to, envelope));
    }
    for id in ids {
        scene["alice"].wait_state(id, MessageState::Delivered).await;
    }
    scene["bob"].wait_text("text 19").await;
    assert_eq!(scene["bob"].new_texts(), texts);
    assert!(!scene["bob"].saw_gap());
    scene.goes_on("alice", "bob").await;
}

/// P2, P3: what is held back for a minute is a gap for a while, then stands where it belongs.
async fn one_is_held_back(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (_, first) = caught(&mut scene, "alice", "bob", "one").await;
    let two = scene["alice"].send("bob", "two").await;
    scene["bob"].wait_text("two").await;
    scene["alice"].wait_state(two, MessageState::Delivered).await;
    assert!(scene["bob"].saw_gap());
    let bob = scene.id("bob");
    scene.relay.with(|desk| desk.hand(bob, first));
    assert!(scene["bob"].wait_text("one").await.late, "it is told as late");
    let history = scene["bob"].history("alice").await;
    let [.., one, two] = &history[..] else { panic!("two messages") };
    assert_eq!((one.text.as_str(), two.text.as_str()), ("one", "two"));
    assert!(!one.gap_before && !two.gap_before, "nothing is missing any more");
    scene.goes_on("alice", "bob").await;
}

/// P5: an envelope for bob that is handed to carol, as it is or with her name on it, is refused; bob's session and hers
/// stay as they are.
async fn one_is_given_to_somebody_else(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let (id, envelope) = caught(&mut scene, "alice", "bob", "for bob alone").await;
    let carol = scene.id("carol");
    let readdressed = Envelope { to: Recipient::Peer(carol), ..envelope.clone() };
    scene.relay.with(|desk| [envelope, readdressed].map(|it| desk.hand(carol, it)));
    scene["carol"].wait_alarm(AlarmKind::Tampered, "somebody else").await;
    scene.says("alice", "carol", "for carol").await;
    assert!(!scene["carol"].new_texts().iter().any(|text| text == "for bob alone"));
    assert!(!scene["carol"].texts("bob").await.iter().any(|text| text == "for bob alone"));
    scene.relay.with(Desk::catch_up);
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    scene["bob"].wait_text("for bob alone").await;
    for (who, other) in [("alice", "bob"), ("alice", "carol"), ("bob", "carol")] {
        scene.goes_on(who, other).await;
    }
}

/// P5: alice's own envelope comes back to her, as it is, and as if bob had sent it.
async fn one_is_reflected(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let id = scene.says("alice", "bob", "echo").await;
    let (alice, bob, envelope) = (scene.id("alice"), scene.id("bob"), sent(&scene, id));
    let turned = Envelope { id: fresh_id(), to: Recipient::Peer(alice), from: bob, ..envelope.clone() };
    scene.relay.with(|desk| desk.hand(alice, envelope));
    scene["alice"].wait_alarm(AlarmKind::Tampered, "somebody else").await;
    scene.relay.with(|desk| desk.hand(alice, turned));
    scene["alice"].wait_alarm(AlarmKind::Tampered, "a frame was refused").await;
    assert_eq!(scene["alice"].new_texts(), Vec::<String>::new());
    scene.goes_on("alice", "bob").await;
}

/// P1, P5: what bob has is handed to him again: in the same envelope, which he answers with his receipt; in other
/// envelopes, which are refused; and again after he was started anew, when only his store remembers.
async fn said_again_under_other_ids(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let id = scene.says("alice", "bob", "once").await;
    let (bob, envelope) = (scene.id("bob"), sent(&scene, id));
    for _ in 0..2 {
        scene["bob"].forget();
        scene.relay.with(|desk| desk.hand(bob, envelope.clone()));
        scene.says("alice", "bob", "fence").await;
        assert_eq!(scene["bob"].alarms(), [], "a repeat is ordinary");
        let again = Envelope { id: fresh_id(), ..envelope.clone() };
        scene.relay.with(|desk| desk.hand(bob, again));
        scene["bob"].wait_alarm(AlarmKind::Replayed, "opened before").await;
        assert_eq!(count(&scene, "once").await, 1);
        scene["bob"].restart().await;
        scene.goes_on("alice", "bob").await;
    }
}

/// P5: alice's first message to bob, said again under another envelope id, also after bob was started anew, and with
/// another bundle of hers in it: it begins nothing, replaces nothing, and what it said is not shown twice.
async fn a_first_message_said_again(stack: Stack) {
    let mut scene = Scene::empty(stack, Honest).await;
    ["alice", "bob"].into_iter().for_each(|nick| scene.add(nick));
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    scene["alice"].wait_seen(bob).await;
    let id = scene.says("alice", "bob", "first").await;
    let first = sent(&scene, id);
    let handshake = first.handshake.clone().expect("it begins a session");
    scene.goes_on("alice", "bob").await;
    for _ in 0..2 {
        let again = Envelope { id: fresh_id(), ..first.clone() };
        scene.relay.with(|desk| desk.hand(bob, again));
        scene["bob"].wait_alarm(AlarmKind::Replayed, "opened before").await;
        scene.goes_on("alice", "bob").await;
        assert_eq!(count(&scene, "first").await, 1);
        scene["bob"].restart().await;
    }
    // Her next bundle, in front of the first message that she made for the old one.
    let old = scene.relay.with(|desk| desk.bundle(alice).map(<[u8]>::to_vec)).expect("she has published");
    scene.clock.jump_ms(8 * 86_400_000);
    let published = || scene.relay.with(|desk| desk.bundle(alice).map(<[u8]>::to_vec));
    let new = poll(published, |bundle| bundle.as_ref() != Some(&old)).await.expect("a bundle");
    let Handshake { peer_bundle_hash, first: message, one_time, .. } = Handshake::decode(&handshake).unwrap();
    let spliced = Handshake { bundle: new, peer_bundle_hash, first: message, one_time }.encode();
    let session = Handshake::session_id(&spliced);
    scene.forget();
    let spliced = Envelope { id: fresh_id(), session, handshake: Some(spliced), ..first };
    scene.relay.with(|desk| desk.hand(bob, spliced));
    // If it names a one-time key, that is erased already.
    let kind = if one_time.is_some() { AlarmKind::Replayed } else { AlarmKind::Tampered };
    scene["bob"].wait_alarm(kind, "").await;
    assert_eq!(count(&scene, "first").await, 1);
    scene.goes_on("alice", "bob").await;
}

/// How often bob has a text of alice.
async fn count(scene: &Scene, text: &str) -> usize {
    scene["bob"].texts(&scene.id("alice").to_string()).await.iter().filter(|it| it.starts_with(text)).count()
}
