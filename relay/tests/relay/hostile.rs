//! Peers that lie, babble, stall or say nothing.

use std::time::Duration;

use crate::support::{Client, Node, PATIENCE, bundle, envelope, identity, room, to};
use chat_core::transport::MAX_FRAME_BYTES;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, Recipient, ToRelay, WIRE_VERSION};
use futures_util::SinkExt;
use relay::{MailboxLimits, RelayConfig};

fn protocol_error(last: &Option<FromRelay>) -> bool {
    matches!(last, Some(FromRelay::Error { why: Refusal::Protocol, .. }))
}

#[tokio::test]
async fn a_sender_that_is_not_the_peer_at_the_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob, mallory) = (identity(1), identity(2), identity(3));
    let mut m = node.connect(&mallory).await;
    let mut b = node.connect(&bob).await;
    let forged = envelope(&alice, to(&bob), 10);
    let own = envelope(&mallory, to(&bob), 10);
    m.submit(&[forged.clone(), own.clone()]).await;
    assert_eq!(m.fate(forged.id).await, Err(Refusal::NotAllowed));
    assert_eq!(m.fate(own.id).await, Ok(()));
    assert_eq!(b.take(1, true).await[0].envelope, own);
    // Nor may a bundle be another's, forged, or no bundle.
    let mut flipped = bundle(&mallory, "mallory", 1);
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [bundle(&alice, "alice", 1), flipped, vec![0x80], Vec::new()] {
        m.send(ToRelay::Publish { bundle: bad }).await;
        let refused = |record: &FromRelay| {
            matches!(record, FromRelay::Error { why: Refusal::NotAllowed, .. }).then_some(())
        };
        m.wait(refused).await;
    }
    m.send(ToRelay::Find { peer: Some(alice.peer_id()), nick: None }).await;
    m.wait(|record| matches!(record, FromRelay::Unknown { .. }).then_some(())).await;
    node.stop().await;
}

/// B14.
#[tokio::test]
async fn garbage_oversized_and_misplaced_records_end_the_link_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let me = identity(1);
    let submit = ToRelay::Submit { envelopes: vec![envelope(&me, to(&me), 9)] }.encode();
    let cases = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Vec::new(),
        vec![0xff; 100],
        vec![0x9b; 100],
        [submit.clone(), vec![0]].concat(),
        // The outer array of indefinite length: CBOR, but not ours.
        [&[0x9f], &submit[1..], &[0xff]].concat(),
        ToRelay::Hello { version: WIRE_VERSION }.encode(),
        FromRelay::Moving.encode(),
        vec![0; MAX_FRAME_BYTES + 1],
    ];
    for case in &cases {
        let mut client = node.connect(&me).await;
        client.send_bytes(case.clone()).await;
        let last = client.last_words().await;
        assert!(protocol_error(&last), "{last:?}");
    }
    assert_eq!(node.relay.figures().protocol_errors, cases.len() as u64);
    node.stop().await;
}

#[tokio::test]
async fn every_record_cut_at_every_byte_ends_the_link_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (me, other) = (identity(1), identity(2));
    let mut bystander = node.connect(&other).await;
    let records = [
        ToRelay::Publish { bundle: bundle(&me, "me", 1) },
        ToRelay::Join { room: room("#lobby") },
        ToRelay::Leave { room: room("#lobby") },
        ToRelay::Submit { envelopes: vec![envelope(&me, to(&other), 9), envelope(&me, to(&other), 0)] },
        ToRelay::Ack { through: 1 << 40 },
        ToRelay::Find { peer: Some(other.peer_id()), nick: None },
        ToRelay::Ping { n: 1 << 40 },
    ];
    let mut cuts = 0;
    for record in records {
        let whole = record.encode();
        for len in 0..whole.len() {
            let mut client = node.connect(&me).await;
            client.send_bytes(whole[..len].to_vec()).await;
            assert!(protocol_error(&client.last_words().await), "{len} bytes of {record:?}");
            cuts += 1;
        }
    }
    assert!(cuts > 500, "{cuts}");
    assert!(bystander.settle().await.is_empty(), "nothing of it was delivered");
    node.stop().await;
}

#[tokio::test]
async fn hello_comes_first_in_this_version_and_from_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let me = identity(1);
    for (first, why) in [
        (ToRelay::Ping { n: 1 }.encode(), Refusal::Protocol),
        (b"garbage".to_vec(), Refusal::Protocol),
        (ToRelay::Hello { version: WIRE_VERSION + 1 }.encode(), Refusal::Version),
    ] {
        let mut client = node.raw(me.public().as_bytes()).await;
        client.send_bytes(first).await;
        match client.last_words().await {
            Some(FromRelay::Error { why: found, .. }) => assert_eq!(found, why),
            other => panic!("{other:?}"),
        }
    }
    let mut named = node.raw(b"relay.example").await;
    assert_eq!(named.last_words().await, None);
    assert_eq!(node.relay.figures().failed_handshakes, 4);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_closed_at_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let me = identity(1);
    let begun = tokio::time::Instant::now();
    let mut silent = node.raw(me.public().as_bytes()).await;
    let last = silent.last_words().await;
    assert!(protocol_error(&last), "{last:?}");
    assert_eq!(begun.elapsed().as_secs(), RelayConfig::default().hello_timeout.as_secs());
    assert_eq!(node.relay.figures().clients, 0);
    node.serving.abort();
}

/// A41.
#[tokio::test]
async fn who_falls_silent_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { idle_timeout: Duration::from_millis(50), ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let mut silent = node.connect(&identity(1)).await;
    assert_eq!(silent.last_words().await, None);
    node.stop().await;
}

#[tokio::test]
async fn a_flood_of_handshakes_pushes_out_the_oldest_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { max_handshakes: 2, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let me = identity(1);
    let mut first = node.raw(me.public().as_bytes()).await;
    let mut honest = node.connect(&identity(2)).await;
    let flood = [node.raw(b"a").await, node.raw(me.public().as_bytes()).await];
    let _more = node.raw(me.public().as_bytes()).await;
    assert_eq!(first.last_words().await, None, "the oldest was dropped");
    assert!(honest.settle().await.is_empty(), "who has said hello stays");
    drop(flood);
    node.stop().await;
}

#[tokio::test]
async fn the_relay_takes_so_many_clients_and_says_so_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { max_clients: 2, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let _first = node.connect(&identity(1)).await;
    let mut second = node.connect(&identity(2)).await;
    let mut third = node.raw(identity(3).public().as_bytes()).await;
    third.send(ToRelay::Hello { version: WIRE_VERSION }).await;
    let first = third.next().await;
    assert!(matches!(first, Some(FromRelay::Error { why: Refusal::TooFast, .. })), "{first:?}");
    assert_eq!(third.last_words().await, None);
    // The same peer again is no more clients than before.
    let mut again = node.connect(&identity(2)).await;
    second.last_words().await;
    assert!(again.settle().await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn too_fast_is_refused_and_the_link_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig {
        submit_rate: 0,
        submit_burst: 5,
        control_rate: 0,
        control_burst: 3,
        ..RelayConfig::default()
    };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let me = identity(1);
    let mut client = node.connect(&me).await;
    let sent: Vec<_> = (0..8).map(|i| envelope(&me, to(&identity(2)), i)).collect();
    client.submit(&sent).await;
    for (i, envelope) in sent.iter().enumerate() {
        let expected = if i < 5 { Ok(()) } else { Err(Refusal::TooFast) };
        assert_eq!(client.fate(envelope.id).await, expected, "{i}");
    }
    for _ in 0..5 {
        client.send(ToRelay::Find { peer: Some(me.peer_id()), nick: None }).await;
    }
    let answers = client.settle().await;
    let unknown = answers.iter().filter(|r| matches!(r, FromRelay::Unknown { .. })).count();
    let refused =
        answers.iter().filter(|r| matches!(r, FromRelay::Error { why: Refusal::TooFast, .. })).count();
    assert_eq!((unknown, refused), (3, 2));
    node.stop().await;
}

/// A client that submits without reading its answers is not read on, and closed in the end.
#[tokio::test]
async fn who_reads_no_answers_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { write_timeout: Duration::from_millis(200), ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let mut deaf = node.connect(&identity(1)).await;
    let babble = async {
        let ping = ToRelay::Ping { n: u64::MAX }.encode();
        let mut pings = 0u64;
        while deaf.sink.send(ping.clone().into()).await.is_ok() {
            pings += 1;
        }
        pings
    };
    let pings = tokio::time::timeout(PATIENCE, babble).await.unwrap();
    // 256 KiB of answers of 12 bytes, and what the link itself holds.
    assert!((10..50_000).contains(&pings), "{pings}");
    assert_eq!(node.relay.figures().stalled, 1);
    node.stop().await;
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

async fn bystander_lives(node: &Node, bystander: &mut Client) {
    let (sender, receiver) = (identity(8), identity(9));
    let mut s = node.connect(&sender).await;
    let hello = envelope(&sender, to(&receiver), 3);
    s.store(&hello).await;
    let delivered = |record: &FromRelay| match record {
        FromRelay::Deliver { items } => Some(items.iter().any(|item| item.envelope == hello)),
        _ => None,
    };
    while !bystander.wait(delivered).await {}
}

/// C23.
#[tokio::test]
async fn twenty_thousand_damaged_records_disturb_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { control_burst: 1_000_000, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let me = identity(1);
    let seeds: Vec<Vec<u8>> = [
        ToRelay::Hello { version: WIRE_VERSION },
        ToRelay::Publish { bundle: bundle(&me, "me", 1) },
        ToRelay::Join { room: room("#lobby") },
        ToRelay::Leave { room: room("#lobby") },
        ToRelay::Submit { envelopes: vec![envelope(&me, to(&me), 9), envelope(&me, to(&identity(2)), 0)] },
        ToRelay::Submit { envelopes: vec![envelope(&me, Recipient::Room(room("#lobby")), 9)] },
        ToRelay::Ack { through: 3 },
        ToRelay::Find { peer: Some(me.peer_id()), nick: None },
        ToRelay::Ping { n: 1 },
    ]
    .iter()
    .map(ToRelay::encode)
    .collect();
    let mut bystander = node.connect(&identity(9)).await;
    let mut random = Random(0x5eed);
    let mut client = node.connect(&me).await;
    let mut links = 1;
    for i in 0..20_000 {
        let mut record = seeds[random.below(seeds.len())].clone();
        match random.below(4) {
            0 => record = (0..random.below(64)).map(|_| random.below(256) as u8).collect(),
            1 => record.truncate(random.below(record.len() + 1)),
            n => {
                for _ in 0..=n {
                    let at = random.below(record.len());
                    record[at] = random.below(256) as u8;
                }
            }
        }
        let frame = record.into();
        if client.sink.send(frame).await.is_err() || (i % 8 == 7 && !still_there(&mut client).await) {
            client = node.connect(&me).await;
            links += 1;
        }
    }
    assert!(links > 1000, "{links}");
    bystander_lives(&node, &mut bystander).await;
    node.stop().await;
}

/// Reads what is there; false if the relay has closed the link.
async fn still_there(client: &mut Client) -> bool {
    if client.sink.send(ToRelay::Ping { n: 77 }.encode().into()).await.is_err() {
        return false;
    }
    loop {
        match tokio::time::timeout(PATIENCE, futures_util::StreamExt::next(&mut client.source)).await.unwrap()
        {
            Some(Ok(frame)) if FromRelay::decode(&frame) == Ok(FromRelay::Pong { n: 77 }) => return true,
            Some(Ok(_)) => {}
            _ => return false,
        }
    }
}
