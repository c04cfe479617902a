//! Somebody with an identity of its own, let in by the relay like anybody, who speaks as no client does. The relay and the
//! honest pair are the built programs.

use chat_core::nick::{Nick, RoomName};
use chat_core::transport::MAX_FRAME_BYTES;
use chat_core::wire::relay::{MAX_BATCH, Refusal};
use chat_core::wire::{Body, Envelope, FromRelay, Recipient, ToRelay, WIRE_VERSION};
use chat_core::{Address, ConversationId, EnvelopeId, Identity, MessageId, PeerId, SessionId, Transport};
use chat_hostile::forge::{Forger, fresh};
use chat_hostile::mangle::flips;
use chat_hostile::stack::transport;
use chat_hostile::{Stack, Stranger};
use chat_tests::profiles::{QUIC_RATCHET, TCP_X25519, TLS_RSA, UDP_RSA};
use chat_tests::{Besieged, Profile, on_every_stack, on_profile};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

on_every_stack!(a_session_used_for_nonsense);

/// What is refused before any key exchange takes part: on each transport.
mod relay_alone {
    use super::*;

    macro_rules! on_each_transport {
        ($($scenario:ident),+ $(,)?) => {
            on_profile!(tcp, super::TCP_X25519, $($scenario),+);
            on_profile!(udp, super::UDP_RSA, $($scenario),+);
            on_profile!(tls, super::TLS_RSA, $($scenario),+);
            on_profile!(quic, super::QUIC_RATCHET, $($scenario),+);
        };
    }

    on_each_transport!(
        in_others_names,
        too_large_too_many_too_odd,
        rooms_without_end,
        the_same_peer_twice,
        who_reads_slowly,
    );
}

/// Rooms that somebody wants to be in.
const ROOMS: usize = 3000;

/// The relay and an honest pair, and how to get at them.
struct Scene {
    besieged: Besieged,
    runtime: Runtime,
    transport: Arc<dyn Transport>,
    relay: Address,
    stack: Stack,
}

impl Scene {
    fn new(profile: Profile) -> Self {
        let besieged = Besieged::new(profile);
        let relay = Address::new(besieged.relay.address());
        let (transport, stack) = (transport(profile.transport), Stack::of(profile));
        // Links live on while nobody waits for anything.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Self { besieged, runtime, transport, relay, stack }
    }

    fn stranger(&self, n: u8) -> Stranger {
        let identity = Identity::from_seed(&[n; 32]);
        self.runtime.block_on(Stranger::welcomed(&*self.transport, &self.relay, &identity))
    }

    fn peer(&self, nick: &str) -> PeerId {
        let node = if nick == "alice" { &self.besieged.alice } else { &self.besieged.bob };
        node.peer_id().parse().expect("a peer id")
    }
}

fn envelope(from: PeerId, to: PeerId, len: usize) -> Envelope {
    Envelope {
        id: EnvelopeId(fresh()),
        to: Recipient::Peer(to),
        from,
        conversation: ConversationId([1; 16]),
        message: MessageId(fresh()),
        session: SessionId([2; 16]),
        handshake: None,
        frame: vec![7; len],
    }
}

/// The newest bundle of somebody, as soon as there is one.
async fn find(stranger: &mut Stranger, peer: PeerId) -> Vec<u8> {
    loop {
        stranger.say(&ToRelay::Find { peer: Some(peer), nick: None }).await;
        let answer = |record: &FromRelay| match record {
            FromRelay::Peer { bundle, .. } => Some(Some(bundle.clone())),
            // Not yet; or asked too often for that.
            FromRelay::Unknown { .. } | FromRelay::Error { .. } => Some(None),
            _ => None,
        };
        if let Some(bundle) = stranger.wait(answer).await {
            return bundle;
        }
    }
}

/// P4, P5: envelopes with somebody else's name, and somebody else's bundle, also its own with a flipped bit: refused, and the
/// directory stays as it was.
fn in_others_names(profile: Profile) {
    let mut scene = Scene::new(profile);
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let mut mallory = scene.stranger(7);
    let own = Forger::new(scene.stack, mallory.identity.clone()).signed("bob");
    scene.runtime.block_on(async {
        for from in [alice, bob, PeerId([9; 32])] {
            assert_eq!(mallory.submit(envelope(from, bob, 100)).await, Err(Refusal::NotAllowed));
        }
        let of_bob = find(&mut mallory, bob).await;
        let mut bad: Vec<Vec<u8>> = flips(&own, own.len() / 20);
        bad.extend([of_bob.clone(), Vec::new(), vec![0x80], own[..own.len() - 1].to_vec()]);
        for bundle in bad {
            mallory.say(&ToRelay::Publish { bundle }).await;
            assert_eq!(mallory.refusal().await, Refusal::NotAllowed);
        }
        assert_eq!(find(&mut mallory, bob).await, of_bob);
        // What is its own is taken: the control.
        mallory.say(&ToRelay::Publish { bundle: own.clone() }).await;
        let me = mallory.id();
        assert_eq!(find(&mut mallory, me).await, own);
        assert_eq!(mallory.submit(envelope(mallory.id(), bob, 100)).await, Ok(()));
    });
    scene.besieged.honest_pair_chats("in others' names");
    let texts = scene.besieged.bob.history("alice");
    assert!(!texts.is_empty());
    scene.besieged.survived();
}

/// P7: envelopes that are too large, batches that are too long, frames that are no record or too long, records in the
/// wrong order. What ends a link ends that one.
fn too_large_too_many_too_odd(profile: Profile) {
    let mut scene = Scene::new(profile);
    let bob = scene.peer("bob");
    let mut mallory = scene.stranger(7);
    scene.runtime.block_on(async {
        let large = envelope(mallory.id(), bob, (1 << 20) + (1 << 19) + 1);
        assert_eq!(mallory.submit(large).await, Err(Refusal::TooLarge));
        let mut odd = envelope(mallory.id(), bob, 0);
        odd.handshake = Some(vec![1; 200_000]);
        assert_eq!(mallory.submit(odd).await, Err(Refusal::TooLarge));
        let in_room = Recipient::Room(RoomName::new("#nobody").expect("a room"));
        let uninvited = Envelope { to: in_room, ..envelope(mallory.id(), bob, 10) };
        assert_eq!(mallory.submit(uninvited).await, Err(Refusal::NotAllowed));
        mallory.say(&ToRelay::Ack { through: u64::MAX }).await;
        mallory.say(&ToRelay::Leave { room: RoomName::new("#nobody").expect("a room") }).await;
        mallory.settle().await;
    });
    let me = mallory.id();
    let too_many = (0..=MAX_BATCH).map(|_| envelope(me, bob, 0)).collect();
    let endings: Vec<Vec<u8>> = vec![
        ToRelay::Submit { envelopes: too_many }.encode(),
        ToRelay::Hello { version: WIRE_VERSION }.encode(),
        FromRelay::Moving.encode(),
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x9b; 64],
        vec![0; MAX_FRAME_BYTES],
    ];
    for (n, bytes) in endings.into_iter().enumerate() {
        let mut mallory = scene.stranger(10 + n as u8);
        let last = scene.runtime.block_on(async {
            mallory.say_bytes(bytes).await;
            mallory.last_words().await
        });
        assert!(
            matches!(last.last(), Some(FromRelay::Error { why: Refusal::Protocol, .. })),
            "{n}: {last:?}"
        );
    }
    scene.besieged.honest_pair_chats("too large");
    scene.besieged.survived();
}

/// P7: thousands of rooms, and thousands of questions: a limit answers with a refusal, not with silence, and others have
/// their rooms.
fn rooms_without_end(profile: Profile) {
    let mut scene = Scene::new(profile);
    let mut mallory = scene.stranger(7);
    let (mut refused, mut joined) = (0, 0);
    scene.runtime.block_on(async {
        for n in 0..ROOMS {
            let room = RoomName::new(format!("#room-{n}")).expect("a room");
            mallory.say(&ToRelay::Join { room }).await;
            if n % 100 == 99 {
                count(mallory.settle().await, &mut joined, &mut refused);
            }
        }
        while joined + refused < ROOMS {
            count(mallory.settle().await, &mut joined, &mut refused);
        }
        for _ in 0..1000 {
            mallory.say(&ToRelay::Find { peer: None, nick: Nick::new("alice").ok() }).await;
        }
        mallory.settle().await;
    });
    assert!(joined > 0 && refused > 2000, "{joined} joined, {refused} refused");
    scene.besieged.honest_pair_chats("rooms");
    scene.besieged.survived();
}

/// Counts the answers to `Join`.
fn count(records: Vec<FromRelay>, joined: &mut usize, refused: &mut usize) {
    for record in records {
        *refused += usize::from(matches!(record, FromRelay::Error { .. }));
        *joined += usize::from(matches!(record, FromRelay::Room { .. }));
    }
}

/// P7: a mailbox that nobody reads, filled by somebody else of mallory's: full at its bound, and nobody else's is.
#[test]
fn a_mailbox_that_nobody_reads() {
    let mut scene = Scene::new(TCP_X25519);
    let mut filler = scene.stranger(8);
    let unread = scene.stranger(7);
    let full = scene.runtime.block_on(async {
        for n in 0..200 {
            match filler.submit(envelope(filler.id(), unread.id(), 1 << 20)).await {
                Ok(()) => {}
                Err(why) => return Some((n, why)),
            }
        }
        None
    });
    let (stored, why) = full.expect("it is full at last");
    assert!(stored > 0 && why == Refusal::MailboxFull, "{stored} {why:?}");
    scene.besieged.honest_pair_chats("a full mailbox");
    drop(unread);
    scene.besieged.survived();
}

/// P7: much waits for somebody who reads a piece now and then: nobody else notices, the relay keeps no more in memory than it
/// may, and all of it arrives in order at last.
fn who_reads_slowly(profile: Profile) {
    const WAITING: usize = 20;
    let mut scene = Scene::new(profile);
    let (mut filler, mut slow) = (scene.stranger(8), scene.stranger(7));
    let all: Vec<Envelope> = (0..WAITING).map(|_| envelope(filler.id(), slow.id(), 500_000)).collect();
    let sent: Vec<EnvelopeId> = all.iter().map(|it| it.id).collect();
    scene.runtime.block_on(async {
        for it in all {
            assert_eq!(filler.submit(it).await, Ok(()));
        }
    });
    scene.besieged.honest_pair_chats("much waits");
    let mut got: Vec<EnvelopeId> = Vec::new();
    for round in 0.. {
        let items = scene.runtime.block_on(async {
            let items = slow.deliveries().await;
            let through = items.iter().map(|item| item.n).max().expect("there is something in it");
            slow.say(&ToRelay::Ack { through }).await;
            items
        });
        for id in items.into_iter().map(|item| item.envelope.id) {
            // What was on its way when it fell behind may come again.
            if !got.contains(&id) {
                got.push(id);
            }
        }
        if round % 5 == 0 {
            scene.besieged.honest_pair_chats("a piece was read");
        }
        if got.len() == WAITING {
            break;
        }
    }
    assert_eq!(got, sent);
    scene.besieged.survived();
}

/// P1, P5, P10: a genuine session with alice, and in it: a greeting, which arrives; receipts for what bob got, messages under
/// her ids, shapes nobody makes. She is alarmed where she should be and goes on.
fn a_session_used_for_nonsense(profile: Profile) {
    let mut scene = Scene::new(profile);
    let alice = scene.peer("alice");
    let mut mallory = scene.stranger(7);
    let forger = Forger::new(scene.stack, mallory.identity.clone());
    scene.runtime.block_on(async {
        let signed = forger.signed("mallory");
        mallory.say(&ToRelay::Publish { bundle: signed.clone() }).await;
        let theirs = find(&mut mallory, alice).await;
        let mut talk = forger.begin(&signed, &theirs);
        let hello = talk.plaintext(Body::Text("a greeting".into()));
        let hello = talk.seal(&hello);
        assert_eq!(mallory.submit(hello).await, Ok(()));
        for shape in [vec![], vec![0; 192], vec![0x80; 192], vec![0xff; 100_000]] {
            let frame = talk.seal_bytes(&shape).expect("it is sealed");
            let odd = talk.envelope(talk.conversation(), MessageId(fresh()), frame);
            assert_eq!(mallory.submit(odd).await, Ok(()), "the relay is blind");
        }
        let relabelled = talk.plaintext(Body::RoomText("not here".into()));
        let relabelled = talk.seal(&relabelled);
        assert_eq!(mallory.submit(relabelled).await, Ok(()));
    });
    scene.besieged.alice.wait_text("a greeting");
    scene.besieged.alice.wait_event("alarm", &[("kind", "tampered")]);
    scene.besieged.honest_pair_chats("nonsense");
    assert!(!scene.besieged.alice.texts().contains(&"not here".to_owned()));
    scene.besieged.survived();
}

/// P7: the same identity twice: the older link ends, with a word; and nobody else's can be ended like that.
fn the_same_peer_twice(profile: Profile) {
    let mut scene = Scene::new(profile);
    let older = scene.stranger(7);
    let mut newer = scene.stranger(7);
    let last = scene.runtime.block_on(older.last_words());
    assert!(matches!(last.last(), Some(FromRelay::Error { why: Refusal::NotAllowed, .. })), "{last:?}");
    scene.runtime.block_on(newer.settle());
    scene.besieged.honest_pair_chats("twice");
    scene.besieged.survived();
}
