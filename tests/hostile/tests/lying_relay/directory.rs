//! The directory is the relay's: whose keys it names, under which name, and whom it calls online.

use chat_core::api::command::AcceptKey;
use chat_core::api::event::{AlarmKind, PeerKeyChanged};
use chat_core::api::{Command, Destination, ErrorKind, LinkState, MessageState, Trust};
use chat_core::wire::FromRelay;
use chat_core::{Event, PeerId, Timestamp};
use chat_hostile::forge::{Forger, another_stack, edited, verified};
use chat_hostile::lie::{self, Honest};
use chat_hostile::scene::identity;
use chat_hostile::{Scene, Stack, X25519};

use crate::support::with_each_key_exchange;

with_each_key_exchange!(
    another_key_at_first_contact,
    edited_bundles,
    an_old_bundle,
    nobody_is_known,
    forged_presence,
    another_key_under_a_known_name
);

fn mallory(scene: &Scene) -> Forger {
    Forger::new(scene.stack(), identity("mallory"))
}

/// P4, P8: the relay gives mallory's keys for bob's, whom alice knows. She is told of a second key, which is kept apart: the name
/// alone is refused as ambiguous from then on, what is for bob waits until she has decided, and nothing is sealed for mallory.
async fn another_key_under_a_known_name(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (mallory, bob) = (mallory(&scene), scene.id("bob"));
    let swapped = mallory.signed("bob");
    scene.relay.lie(lie::on_bundles(move |_, _| vec![swapped.clone()]));
    scene["alice"].restart().await;
    let changed = scene["alice"].wait("another key", key_changed).await;
    assert_eq!((changed.claims.as_str(), changed.known, changed.peer_id), ("bob", bob, mallory.id()));
    assert!(changed.nick.starts_with("bob·"), "{}", changed.nick);
    let refused = scene["alice"].try_send("bob", "for whom?").await.expect_err("which bob?");
    assert_eq!(refused.kind, ErrorKind::Ambiguous);
    let id = scene["alice"].send(&bob.to_string(), "for bob").await;
    assert_eq!(scene["alice"].state(&bob.to_string(), id).await, MessageState::Queued);
    let stays = AcceptKey { peer: Destination::Peer(bob), kind: None };
    scene["alice"].run(Command::AcceptKey(stays)).await.expect("bob keeps his name");
    scene["bob"].wait_text("for bob").await;
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    scene.relay.be_honest();
    let to_mallory =
        scene.relay.with(|desk| desk.submitted().iter().filter(|it| is_to(it, mallory.id())).count());
    assert_eq!(to_mallory, 0);
    scene.goes_on("alice", "bob").await;
}

fn key_changed(event: &Event) -> Option<PeerKeyChanged> {
    match event {
        Event::PeerKeyChanged(changed) => Some(changed.clone()),
        _ => None,
    }
}

fn is_to(envelope: &chat_core::wire::Envelope, peer: PeerId) -> bool {
    envelope.to == chat_core::wire::Recipient::Peer(peer)
}

/// The known truth about first contact (`chat explain` says it): until people compare fingerprints, whoever the relay
/// names first under a name is that name. Nothing detects it but the comparison: what alice has is `unverified`, and its
/// fingerprint is not bob's. When the true bob appears, she is told of a second key.
async fn another_key_at_first_contact(stack: Stack) {
    let mut scene = Scene::empty(stack, Honest).await;
    let (mallory, bob) = (mallory(&scene), scene.id("bob"));
    let swapped = mallory.signed("bob");
    scene.relay.lie(lie::on_bundles(move |_, _| vec![swapped.clone()]));
    scene.add("alice");
    scene.add("bob");
    scene["alice"].wait_seen(mallory.id()).await;
    let false_bob = scene["alice"].knows(mallory.id()).expect("she takes it for bob");
    assert_eq!((false_bob.nick.as_str(), false_bob.trust), ("bob", Trust::Unverified));
    assert_eq!(scene["alice"].knows(bob), None);
    scene.relay.be_honest();
    scene["bob"].restart().await;
    let changed = scene["alice"].wait("another key", key_changed).await;
    assert_eq!((changed.claims.as_str(), changed.known, changed.peer_id), ("bob", mallory.id(), bob));
    scene.says("alice", "bob", "by key").await;
}

/// P4, P8: what the relay can change in a bundle of bob's (name, stack, keys, life) is not what bob has signed: refused
/// with an alarm, and nothing about bob changes.
async fn edited_bundles(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let genuine = scene.relay.with(|desk| desk.bundle(bob).unwrap().to_vec());
    let before = scene["alice"].knows(bob);
    let other = mallory(&scene).bundle("bob");
    let mut flipped = genuine.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let edits = vec![
        edited(&genuine, |bundle| bundle.nick = chat_core::nick::Nick::new("mallory").unwrap()),
        edited(&genuine, |bundle| bundle.profile = another_stack(&bundle.profile)),
        edited(&genuine, |bundle| bundle.payload = other.payload.clone()),
        edited(&genuine, |bundle| bundle.identity = other.identity.clone()),
        edited(&genuine, |bundle| bundle.created = Timestamp(bundle.created.0 + 1)),
        edited(&genuine, |bundle| bundle.expires = Timestamp(u64::MAX)),
        flipped,
        genuine[..genuine.len() - 1].to_vec(),
        [&genuine[..], &[0]].concat(),
        Vec::new(),
        vec![0xff; 20_000],
    ];
    for bundle in edits {
        scene.forget();
        scene.relay.with(|desk| desk.say(alice, &FromRelay::Peer { bundle, online: true }));
        scene["alice"].wait_alarm(AlarmKind::Refused, "does not verify").await;
        assert_eq!(
            scene["alice"].knows(bob).map(|it| (it.nick, it.problem)),
            before.clone().map(|it| (it.nick, it.problem))
        );
    }
    scene.goes_on("alice", "bob").await;
}

/// P8: strangers' bundles that are signed and yet not to be used: another stack, a date in the future (used until there is
/// one of today, as a clock may be wrong), a key of low order. Each is told; nobody is in the way of anybody else.
#[tokio::test(start_paused = true)]
async fn genuine_bundles_that_are_no_good() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    let stranger = |name: &str| Forger::new(X25519, identity(name));
    let (other, future, low) = (stranger("other"), stranger("future"), stranger("low"));
    let mut bundle = other.bundle("other");
    bundle.profile = another_stack(&bundle.profile);
    say_peer(&scene, alice, other.sign(&bundle));
    scene["alice"].wait_alarm(AlarmKind::Downgrade, "rot13").await;
    let problem = scene["alice"].knows(other.id()).unwrap().problem.expect("it says why not");
    assert!(problem.contains("cipher.kind") && problem.contains("rot13"), "{problem}");
    let mut bundle = future.bundle("future");
    bundle.created = Timestamp(bundle.created.0 + 3 * 86_400_000);
    say_peer(&scene, alice, future.sign(&bundle));
    scene["alice"].wait_seen(future.id()).await;
    say_peer(&scene, alice, future.signed("today"));
    say_peer(&scene, alice, future.sign(&bundle));
    let mut bundle = low.bundle("low");
    // Wherever the key stands in the payload: the point of order 1 and the one of order 4 (RFC 7748 §6.1, §7).
    for (n, point) in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }]
    .into_iter()
    .enumerate()
    {
        let at = bundle.payload.len() - 32;
        bundle.payload[at..].copy_from_slice(&point);
        bundle.created = Timestamp(bundle.created.0 + n as u64);
        say_peer(&scene, alice, low.sign(&bundle));
    }
    scene["alice"].wait_seen(low.id()).await;
    assert_eq!(
        scene["alice"].knows(future.id()).unwrap().nick,
        "today",
        "what is of the future does not stay"
    );
    let id = scene["alice"].send(&low.id().to_string(), "to nobody").await;
    assert_eq!(scene["alice"].state(&low.id().to_string(), id).await, MessageState::Queued);
    let problem = scene["alice"].knows(low.id()).unwrap().problem.expect("it says why not");
    assert!(problem.contains("no session could be begun"), "{problem}");
    scene.goes_on("alice", "bob").await;
}

fn say_peer(scene: &Scene, to: PeerId, bundle: Vec<u8>) {
    scene.relay.with(|desk| desk.say(to, &FromRelay::Peer { bundle, online: true }));
}

/// P5, P8: an old bundle of bob's, said again after he has made new keys, changes nothing.
async fn an_old_bundle(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let published = |scene: &Scene| scene.relay.with(|desk| desk.bundle(bob).unwrap().to_vec());
    let old = published(&scene);
    scene.clock.jump_ms(8 * 86_400_000);
    let new = crate::support::poll(|| published(&scene), |bundle| *bundle != old).await;
    assert!(verified(&new).bundle.created > verified(&old).bundle.created);
    let before = scene.relay.with(|desk| desk.submitted().len());
    scene.goes_on("alice", "bob").await;
    say_peer(&scene, alice, old.clone());
    // Fresh sessions are made for the new bundle, not for the old one.
    scene.clock.jump_ms(8 * 86_400_000);
    scene.goes_on("alice", "bob").await;
    scene.goes_on("alice", "bob").await;
    if stack.key_exchange().properties().healing {
        // Nor is one made at all: such a session is not renewed by age.
        return;
    }
    let begun: Vec<_> = scene.relay.with(|desk| {
        let since = desk.submitted().iter().skip(before);
        since.filter_map(|it| Some((is_to(it, bob), it.handshake.clone()?))).collect()
    });
    assert!(!begun.is_empty(), "sessions were begun");
    for (_, handshake) in begun.iter().filter(|(to_bob, _)| *to_bob) {
        let handshake = chat_core::wire::Handshake::decode(handshake).unwrap();
        assert_ne!(handshake.peer_bundle_hash, verified(&old).hash);
    }
}

/// P2: nobody is known to the relay. What is addressed by key waits, visibly, and goes when the relay knows better.
async fn nobody_is_known(stack: Stack) {
    let mut scene = Scene::empty(stack, lie::on_bundles(|_, _| Vec::new())).await;
    scene.add("alice");
    scene.add("bob");
    scene["alice"].wait_link_up().await;
    scene["bob"].wait_link_up().await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    crate::support::poll(
        || scene.relay.with(|desk| desk.bundle(alice).is_some() && desk.bundle(bob).is_some()),
        |there| *there,
    )
    .await;
    assert_eq!(scene["alice"].knows(bob), None);
    let refused = scene["alice"].try_send(&bob.to_string(), "anybody there?").await;
    let in_room = scene["alice"].send(chat_hostile::LOBBY, "anybody here?").await;
    scene["alice"].wait_state(in_room, MessageState::Stored).await;
    assert!(refused.is_err(), "a peer nobody has shown the keys of");
    scene.relay.be_honest();
    scene["alice"].restart().await;
    scene["alice"].wait_seen(bob).await;
    scene.goes_on("alice", "bob").await;
}

/// P1: presence is the relay's word. Whoever is called online, or gone, is shown as that; it makes nothing delivered.
async fn forged_presence(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    scene["bob"].leave().await;
    scene["alice"].wait("bob to be gone", |event| matches!(event, Event::PeerLost(_)).then_some(())).await;
    scene.relay.with(|desk| desk.say(alice, &FromRelay::Presence { peer: bob, online: true }));
    scene["alice"].wait_seen(bob).await;
    assert!(scene["alice"].knows(bob).unwrap().online, "the relay says so");
    let id = scene["alice"].send("bob", "are you there?").await;
    scene["alice"].wait_state(id, MessageState::Stored).await;
    tokio::time::timeout(
        std::time::Duration::from_secs(300),
        scene["alice"].wait_state(id, MessageState::Delivered),
    )
    .await
    .expect_err("nobody has it");
    for peer in [alice, PeerId([5; 32])] {
        scene.relay.with(|desk| desk.say(alice, &FromRelay::Presence { peer, online: false }));
    }
    scene["bob"].come_back().await;
    scene["bob"].wait_text("are you there?").await;
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    assert_eq!(scene["alice"].handle().snapshot().link.state, LinkState::Up);
    scene.goes_on("alice", "bob").await;
}
