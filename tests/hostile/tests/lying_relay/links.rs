//! A relay that stalls, babbles, hangs up, or reads nothing. On a paused clock: the minutes are the client's.

use std::time::Duration;

use chat_core::api::MessageState;
use chat_core::ids::{MessageId, SessionId};
use chat_core::wire::relay::Delivery;
use chat_core::wire::{Envelope, FromRelay, Recipient, ToRelay, WIRE_VERSION};
use chat_core::{ConversationId, EnvelopeId, Event, PeerId, Timestamp};
use chat_hostile::forge::fresh;
use chat_hostile::lie::{self, Hears, Says, stall};
use chat_hostile::{Desk, Scene, X25519};
use tokio::time::{Instant, timeout};

/// P7, P2: after the handshake the relay says nothing at all. The client gives it up, says why, and dials again; what
/// was sent meanwhile arrives when the relay speaks.
#[tokio::test(start_paused = true)]
async fn it_never_welcomes() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    scene.relay.lie(stall());
    let alice = scene.id("alice");
    scene.relay.with(|desk| desk.hang_up(alice));
    scene["alice"].wait_link_down("closed").await;
    let id = scene["alice"].send("bob", "is anybody there?").await;
    scene["alice"].wait_link_down("the relay is silent").await;
    assert_eq!(scene["alice"].state("bob", id).await, MessageState::Queued);
    scene.relay.be_honest();
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    both_linked(&mut scene).await;
    scene.goes_on("alice", "bob").await;
}

/// bob's link may have been given up meanwhile, too.
async fn both_linked(scene: &mut Scene) {
    for nick in ["alice", "bob"] {
        let id = scene.id(nick);
        crate::support::poll(|| scene.relay.with(|desk| desk.is_online(id)), |online| *online).await;
    }
    scene.relay.with(Desk::catch_up);
}

/// P2, P7: the relay answers pings, but nothing that was submitted: after a minute it is no relay.
#[tokio::test(start_paused = true)]
async fn it_answers_nothing_that_matters() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    scene.relay.lie(Hears(move |_: &mut Desk, from, record| match record {
        ToRelay::Submit { .. } if from == alice => None,
        other => Some(other),
    }));
    let id = scene["alice"].send("bob", "hello?").await;
    scene["alice"].wait_link_down("does not answer").await;
    assert_eq!(scene["alice"].state("bob", id).await, MessageState::Sent);
    scene.relay.be_honest();
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    scene.goes_on("alice", "bob").await;
}

/// P7, P10: the relay reads nothing, while much is to be sent: commands are answered all the same, the link is
/// given up, and all of it arrives later, once and in order.
#[tokio::test(start_paused = true)]
async fn it_reads_nothing() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    scene.relay.be_deaf(true);
    let texts: Vec<String> = (0..30).map(|n| format!("{n} {}", "x".repeat(60_000))).collect();
    let mut ids = Vec::new();
    for text in &texts {
        ids.push(scene["alice"].send("bob", text).await);
    }
    scene["alice"].wait_link_down("the relay").await;
    scene.relay.be_deaf(false);
    scene.relay.be_honest();
    for id in ids {
        scene["alice"].wait_state(id, MessageState::Delivered).await;
    }
    both_linked(&mut scene).await;
    scene["bob"].wait_text(&texts[29]).await;
    let got = scene["bob"].new_texts();
    assert!(got == texts, "{} of {} texts", got.len(), texts.len());
    scene.goes_on("alice", "bob").await;
}

/// P7: what is no record ends the link, with a reason; the next one is as good as any.
#[tokio::test(start_paused = true)]
async fn nonsense() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    let whole =
        FromRelay::Welcome { version: WIRE_VERSION, now: Timestamp(1), one_time_keys: Some(7) }.encode();
    let cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0xff],
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        vec![0x9b; 100],
        vec![0; 2 << 20],
        // An array of 2^32 envelope ids.
        vec![0x82, 0x01, 0x81, 0x9a, 0xff, 0xff, 0xff, 0xff],
        // A number of no record, a record of a client.
        vec![0x82, 0x18, 0x63, 0x80],
        ToRelay::Submit { envelopes: Vec::new() }.encode(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
    ];
    for bytes in cases {
        scene.forget();
        scene.relay.with(|desk| desk.say_bytes(alice, bytes));
        scene["alice"].wait_link_down("what is no record").await;
        scene["alice"].wait_link_up().await;
    }
    scene.goes_on("alice", "bob").await;
}

/// P7: every record, cut after each of its bytes and with each byte changed: the link may end, nothing else does.
#[tokio::test(start_paused = true)]
async fn records_with_any_byte_changed() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let envelope = Envelope {
        id: EnvelopeId(fresh()),
        to: Recipient::Peer(alice),
        from: bob,
        conversation: ConversationId([1; 16]),
        message: MessageId([2; 16]),
        session: SessionId([3; 16]),
        handshake: Some(vec![4; 20]),
        frame: vec![5; 40],
    };
    let records = [
        FromRelay::Deliver { items: vec![Delivery { n: u64::MAX, envelope }] }.encode(),
        FromRelay::Room {
            room: chat_core::nick::RoomName::new("#lobby").unwrap(),
            members: vec![alice, bob],
        }
        .encode(),
        FromRelay::Presence { peer: bob, online: true }.encode(),
        FromRelay::Stored { ids: vec![EnvelopeId([9; 16])] }.encode(),
        FromRelay::Unknown { peer: Some(bob), nick: None }.encode(),
    ];
    let mut sent = 0;
    for record in records {
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 1 << (at % 8);
            for bytes in [changed, record[..at].to_vec()] {
                crate::support::poll(|| scene.relay.with(|desk| desk.is_online(alice)), |online| *online)
                    .await;
                scene.relay.with(|desk| desk.say_bytes(alice, bytes));
                sent += 1;
            }
        }
    }
    assert!(sent > 500, "{sent}");
    scene.relay.with(|desk| desk.hang_up(alice));
    scene["alice"]
        .wait("the last link to end", |event| matches!(event, Event::LinkDown(_)).then_some(()))
        .await;
    crate::support::poll(|| scene.relay.with(|desk| desk.is_online(alice)), |online| *online).await;
    let told = scene.says("bob", "alice", "still there?").await;
    assert_eq!(scene["bob"].state("alice", told).await, MessageState::Delivered);
    scene.says("alice", "bob", "still here").await;
}

/// P7: another version of the wire format is said by name, and the link is not used.
#[tokio::test(start_paused = true)]
async fn another_version() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    scene.relay.lie(Says(move |_: &mut Desk, to, record| match record {
        FromRelay::Welcome { now, one_time_keys, .. } if to == alice => {
            vec![FromRelay::Welcome { version: 99, now, one_time_keys }]
        }
        other => vec![other],
    }));
    scene.relay.with(|desk| desk.hang_up(alice));
    scene["alice"].wait_link_down("version 99").await;
    scene.relay.be_honest();
    scene["alice"].wait_link_up().await;
    scene.goes_on("alice", "bob").await;
}

/// P7: a relay that hangs up on everybody, or sends everybody away, as soon as they come: it is dialed ever more seldom,
/// not in a circle.
#[tokio::test(start_paused = true)]
async fn it_sends_everybody_away() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    for moving in [true, false] {
        scene.relay.lie(Hears(move |desk: &mut Desk, from, _| {
            if moving {
                desk.say(from, &FromRelay::Moving);
            } else {
                desk.hang_up(from);
            }
            None
        }));
        let [alice, bob] = ["alice", "bob"].map(|nick| scene.id(nick));
        scene.relay.with(|desk| [alice, bob].map(|peer| desk.hang_up(peer)));
        let (before, begun) = (scene.relay.linked(), Instant::now());
        let id = scene["alice"].send("bob", "when you are back").await;
        let arrived = scene["alice"].wait_state(id, MessageState::Delivered);
        timeout(Duration::from_secs(120), arrived).await.expect_err("nobody is let in");
        assert!(begun.elapsed() >= Duration::from_secs(120));
        let dialed = scene.relay.linked() - before;
        // Two of them, every 5 s at last, and a few more at first.
        assert!((20..200).contains(&dialed), "{dialed} links in two minutes");
        scene.relay.be_honest();
        scene["alice"].wait_state(id, MessageState::Delivered).await;
        both_linked(&mut scene).await;
        scene.goes_on("alice", "bob").await;
    }
}

/// P7: what is allowed, but huge: a thousand deliveries in a record, of strangers, with frames that nobody can open.
/// Alarms are counted, not repeated; nobody else waits.
#[tokio::test(start_paused = true)]
async fn a_flood_of_what_nobody_can_open() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    let envelope = |n: u32, from: PeerId| Envelope {
        id: EnvelopeId(fresh()),
        to: Recipient::Peer(alice),
        from,
        conversation: ConversationId([1; 16]),
        message: MessageId(fresh()),
        session: SessionId(fresh()),
        handshake: n.is_multiple_of(2).then(|| vec![n as u8; 100]),
        frame: vec![n as u8; 100],
    };
    scene.relay.with(|desk| {
        for round in 0..6_u32 {
            let from = |n: u32| if n.is_multiple_of(3) { bob } else { PeerId([(n + round) as u8; 32]) };
            let items =
                (0..1024).map(|n| Delivery { n: desk.number(), envelope: envelope(n, from(n)) }).collect();
            desk.say(alice, &FromRelay::Deliver { items });
        }
    });
    let counted = |event: &Event| match event {
        Event::Alarm(alarm) => alarm.detail.contains("more within a second").then_some(()),
        _ => None,
    };
    scene["alice"].wait("alarms that are counted", counted).await;
    assert!(scene["alice"].alarms().len() < 2_000);
    scene.goes_on("alice", "bob").await;
}

/// P7: a thousand genuine strangers in the directory, all online: they are known, up to a bound, and nobody waits.
#[tokio::test(start_paused = true)]
async fn a_directory_of_strangers() {
    let mut scene = Scene::of(X25519, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    let keys = chat_hostile::forge::Forger::new(X25519, chat_hostile::scene::identity("keys"));
    scene.relay.with(|desk| {
        for n in 0..1000_u32 {
            let mut seed = [1; 32];
            seed[..4].copy_from_slice(&n.to_be_bytes());
            let identity = chat_core::Identity::from_seed(&seed);
            let mut bundle = keys.bundle("bob");
            bundle.identity = identity.public().as_bytes().to_vec();
            let bundle = chat_core::wire::SignedBundle::sign(&bundle, &identity).encode();
            desk.say(alice, &FromRelay::Peer { bundle, online: true });
        }
    });
    let all = scene.relay.lies();
    assert!(all >= 1000);
    scene.goes_on("alice", "bob").await;
    let known = scene["alice"].handle().snapshot();
    let bobs = known.peers.iter().filter(|peer| peer.nick == "bob").count();
    assert_eq!(bobs, 1, "a name is one key's");
    assert!(known.peers.len() > 1000);
    scene.relay.lie(lie::repeat_envelopes(2));
    scene.goes_on("alice", "bob").await;
}
