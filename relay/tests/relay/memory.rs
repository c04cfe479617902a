//! What waits to be sent takes a bounded amount of memory, however many wait for it.

use std::sync::Arc;
use std::time::Duration;

use crate::mailbox::Store;
use crate::support::{Client, Node, database, envelope, envelopes, identity, room, to};
use chat_core::environment::{Environment, System, Work};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
use chat_core::{Identity, Timestamp};
use futures_util::{SinkExt, StreamExt};
use relay::{Mailbox, MailboxLimits, Relay, RelayConfig, SqliteMailbox};
use tokio::time::{Instant, timeout};

fn crowd(n: u16) -> Identity {
    let [a, b] = n.to_be_bytes();
    let mut seed = [5; 32];
    (seed[0], seed[1]) = (a, b);
    Identity::from_seed(&seed)
}

/// A room of many with bundles: its list is some hundred KiB.
async fn large_room(dir: &std::path::Path, members: u16) {
    let mailbox = Store::open(dir, MailboxLimits::default());
    for n in 0..members {
        let me = crowd(n);
        mailbox.attach(&me, Timestamp::now().0).await.unwrap();
        mailbox.join(&me, "#lobby").await;
        mailbox.publish(&me, "somebody", 1).await;
    }
    mailbox.0.close().await;
}

/// Reads until all members of the room are named.
async fn whole_list(client: &mut Client) -> usize {
    let mut named = 0;
    loop {
        match client.next().await {
            Some(FromRelay::Members { members, .. }) => named += members.len(),
            Some(FromRelay::Room { members, .. }) => return named + members.len(),
            Some(FromRelay::Peer { .. } | FromRelay::Presence { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn lists_wait_with_their_readers_and_take_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    large_room(dir.path(), 500).await;
    let config = RelayConfig { memory_bytes: 1 << 20, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let mut readers = Vec::new();
    for seed in 1..=60 {
        let mut reader = node.connect(&identity(seed)).await;
        reader.send(ToRelay::Join { room: room("#lobby") }).await;
        readers.push(reader);
    }
    let mut honest = node.connect(&identity(100)).await;
    assert!(honest.settle().await.is_empty());
    // Sixty lists of more than 100 KiB each are not in memory.
    let memory = node.relay.figures().memory_bytes;
    assert!(memory < 600_000, "{memory}");
    let first = whole_list(&mut readers[0]).await;
    let last = whole_list(&mut readers[59]).await;
    assert!((501..=560).contains(&first) && (501..=560).contains(&last), "{first} {last}");
    drop(readers);
    node.stop().await;
}

#[tokio::test]
async fn short_of_memory_letters_wait_in_the_mailbox_and_strangers_at_the_door() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { memory_bytes: 400_000, window_bytes: 1 << 30, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let (alice, known) = (identity(1), identity(2));
    drop(node.connect(&known).await);
    let mut a = node.connect(&alice).await;
    let mut readers = Vec::new();
    for seed in 10..30 {
        readers.push((identity(seed), node.connect(&identity(seed)).await, Vec::new()));
    }
    // 160 KiB for each of twenty who read nothing.
    for _ in 0..8 {
        for (reader, _, expected) in &mut readers {
            let envelope = envelope(&alice, to(reader), 20 << 10);
            a.store(&envelope).await;
            expected.push(envelope);
            let memory = node.relay.figures().memory_bytes;
            assert!(memory <= 400_000, "{memory}");
        }
    }
    assert!(node.relay.figures().memory_bytes > 200_000);
    let mut stranger = node.raw(identity(99).public().as_bytes()).await;
    stranger.send(ToRelay::Hello { version: WIRE_VERSION }).await;
    let refused = stranger.next().await;
    assert!(
        matches!(&refused, Some(FromRelay::Error { why: Refusal::TooFast, detail }) if detail.contains("memory")),
        "{refused:?}"
    );
    // Who is known comes in and gets on, a letter at a time if need be.
    let letters: Vec<_> = (0..20).map(|_| envelope(&alice, to(&known), 5_000)).collect();
    for letter in &letters {
        a.store(letter).await;
    }
    let mut k = node.connect(&known).await;
    assert_eq!(envelopes(&k.take(20, true).await), letters);
    // Nothing was lost, and everything is given back.
    for (_, client, expected) in &mut readers {
        assert_eq!(envelopes(&client.take(8, true).await), *expected);
        client.settle().await;
    }
    drop((readers, k, a));
    let mut last = node.connect(&known).await;
    while node.relay.figures().memory_bytes > 0 {
        last.settle().await;
    }
    let mut stranger = node.connect(&identity(99)).await;
    stranger.settle().await;
    node.stop().await;
}

#[tokio::test]
async fn one_address_uses_a_quarter_and_leaves_the_rest_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { memory_bytes: 1 << 20, window_bytes: 1 << 30, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let alice = identity(1);
    let mut a = node.connect(&alice).await;
    let mut deaf = Vec::new();
    for seed in 10..30 {
        let who = identity(seed);
        let mut client = node.raw_from("192.0.2.1:7", who.public().as_bytes()).await;
        client.send(ToRelay::Hello { version: WIRE_VERSION }).await;
        assert!(matches!(client.next().await, Some(FromRelay::Welcome { .. })));
        deaf.push(client);
    }
    for _ in 0..4 {
        for seed in 10..30 {
            a.store(&envelope(&alice, to(&identity(seed)), 30 << 10)).await;
        }
    }
    let memory = node.relay.figures().memory_bytes;
    assert!((100_000..=(1 << 18)).contains(&memory), "{memory}");
    let bob = identity(2);
    let mut b = node.raw_from("192.0.2.2:7", bob.public().as_bytes()).await;
    b.send(ToRelay::Hello { version: WIRE_VERSION }).await;
    assert!(matches!(b.next().await, Some(FromRelay::Welcome { .. })));
    let large = envelope(&alice, to(&bob), 200 << 10);
    a.store(&large).await;
    assert_eq!(envelopes(&b.take(1, true).await), [large]);
    node.stop().await;
}

/// A machine whose threads are tasks, so that the test's clock is everybody's.
struct OneThread;

impl Environment for OneThread {
    fn now(&self) -> Timestamp {
        System.now()
    }
    fn entropy(&self) -> Box<dyn chat_core::Entropy> {
        System.entropy()
    }
    fn spawn(&self, _: &'static str, work: Work) -> std::io::Result<()> {
        drop(tokio::spawn(work));
        Ok(())
    }
}

/// Whoever connects again takes the place of its old link at once, and the old one has one deadline for all it had to
/// say, however much that is.
#[tokio::test(start_paused = true)]
async fn a_replaced_link_ends_within_one_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox =
        SqliteMailbox::open_on_vfs("unix", &database(dir.path()), MailboxLimits::default(), &OneThread)
            .unwrap();
    let config = RelayConfig { write_timeout: Duration::from_secs(30), ..RelayConfig::default() };
    let node = Node::of(Relay::new_in(config, Arc::new(mailbox), Arc::new(OneThread)));
    let me = identity(1);
    let mut old = node.connect(&me).await;
    let ping = ToRelay::Ping { n: 1 }.encode();
    let mut unread = 0;
    while timeout(Duration::from_secs(1), old.sink.send(ping.clone().into())).await.is_ok() {
        unread += 1;
    }
    assert!(unread > 1000, "{unread}");
    let mut new = node.connect(&me).await;
    let replaced = Instant::now();
    assert!(new.settle().await.is_empty());
    // It reads, as slowly as it may.
    while old.source.next().await.is_some() {
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    // Its last frames were in the link already.
    assert!(replaced.elapsed() <= Duration::from_secs(30 + 4 * 20), "{:?}", replaced.elapsed());
    node.stop().await;
}
