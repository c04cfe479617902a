//! Everybody writes to everybody while links come and go: nothing is lost, and order holds.

use std::collections::HashSet;

use chat_core::wire::{FromRelay, Recipient, ToRelay};
use chat_core::{EnvelopeId, Identity, PeerId};
use relay::{MailboxLimits, RelayConfig};

use crate::support::{Node, PATIENCE, envelope, identity, room};

const PEERS: u8 = 6;
/// Envelopes of each peer, in turn to every peer and to the room.
const EACH: usize = 140;

/// What one peer has received: each envelope once, each sender's in order.
#[derive(Default)]
struct Received {
    ids: HashSet<EnvelopeId>,
    last: std::collections::HashMap<PeerId, u64>,
    count: usize,
}

impl Received {
    fn take(&mut self, from: PeerId, id: EnvelopeId) {
        if self.ids.insert(id) {
            let number = u64::from_be_bytes(id.as_ref()[..8].try_into().unwrap());
            let last = self.last.entry(from).or_default();
            assert!(number > *last, "out of order");
            *last = number;
            self.count += 1;
        }
    }
}

/// Receives until everything is there, and drops the link every now and then with some of it not acknowledged.
async fn receive(node: &Node, me: &Identity, expected: usize) {
    let mut received = Received::default();
    let mut link = 0;
    while received.count < expected {
        let mut client = node.connect(me).await;
        link += 1;
        let until = received.count + 10 + 13 * link;
        while received.count < expected.min(until) {
            let items = client.deliveries().await;
            assert!(items.is_sorted_by(|a, b| a.n < b.n));
            let through = items[items.len() / 2].n;
            for item in items {
                received.take(item.envelope.from, item.envelope.id);
            }
            client.send(ToRelay::Ack { through }).await;
        }
    }
    assert!(link > 3, "{link}");
}

async fn write(node: &Node, me: &Identity) {
    let mut client = node.connect(me).await;
    let mut sent = Vec::new();
    for i in 0..EACH {
        let to = match i % (usize::from(PEERS) + 1) {
            0 => Recipient::Room(room("#all")),
            peer => Recipient::Peer(identity(u8::try_from(peer).unwrap()).peer_id()),
        };
        let envelope = envelope(me, to, 200);
        client.submit(std::slice::from_ref(&envelope)).await;
        sent.push(envelope.id);
    }
    for id in sent {
        assert_eq!(client.fate(id).await, Ok(()));
    }
}

/// C14.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_while_links_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    // So small that clients fall behind all the time.
    let config =
        RelayConfig { live_bytes: 800, window_items: 7, window_bytes: 4000, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    // Receivers are members of the room; writers are peers of their own, and members too.
    for seed in (1..=PEERS).chain(101..=100 + PEERS) {
        let mut client = node.connect(&identity(seed)).await;
        client.send(ToRelay::Join { room: room("#all") }).await;
        client.wait(|record| matches!(record, FromRelay::Room { .. }).then_some(())).await;
    }
    let share = EACH / (usize::from(PEERS) + 1);
    let expected = 2 * share * usize::from(PEERS);
    let receivers = (1..=PEERS).map(|seed| {
        let node = &node;
        async move { receive(node, &identity(seed), expected).await }
    });
    let writers = (101..=100 + PEERS).map(|seed| {
        let node = &node;
        async move { write(node, &identity(seed)).await }
    });
    let all = futures_util::future::join(
        futures_util::future::join_all(receivers),
        futures_util::future::join_all(writers),
    );
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    let figures = node.relay.figures();
    assert!(figures.catch_ups > 0, "{figures:?}");
    assert_eq!(figures.stored, (EACH * usize::from(PEERS)) as u64);
    node.stop().await;
}
