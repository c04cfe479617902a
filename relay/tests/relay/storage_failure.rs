//! `Stored` comes after the commit or not at all, and a relay whose disk fails lives on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Node, PATIENCE, bundle, database, envelope, envelopes, identity, room, to};
use async_trait::async_trait;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay};
use relay::mailbox::{Entry, Page, Query, Roster, Write};
use relay::{Mailbox, MailboxError, MailboxLimits, Relay, RelayConfig, SqliteMailbox};

/// A mailbox that fails, or holds changes back, when told to.
struct Moody {
    inner: SqliteMailbox,
    fails: AtomicBool,
    held: Mutex<Option<Vec<Write>>>,
    dead: tokio::sync::Notify,
    loses: AtomicBool,
}

impl Moody {
    fn open(dir: &std::path::Path) -> Arc<Self> {
        let inner = SqliteMailbox::open(&database(dir), MailboxLimits::default()).unwrap();
        Arc::new(Self {
            inner,
            fails: AtomicBool::new(false),
            held: Mutex::new(None),
            dead: tokio::sync::Notify::new(),
            loses: AtomicBool::new(false),
        })
    }

    async fn let_go(&self) {
        let held = self.held.lock().unwrap().take().unwrap();
        assert!(!held.is_empty());
        for write in held {
            self.inner.write(write).await;
        }
    }
}

#[async_trait]
impl Mailbox for Moody {
    async fn write(&self, change: Write) {
        if self.fails.load(Ordering::Relaxed) {
            return change.fail(MailboxError::Storage("no space left".into()));
        }
        if self.loses.load(Ordering::Relaxed) {
            return;
        }
        if matches!(change, Write::Store { .. } | Write::Publish { .. } | Write::Join { .. })
            && let Some(held) = self.held.lock().unwrap().as_mut()
        {
            return held.push(change);
        }
        self.inner.write(change).await;
    }
    async fn knows(&self, peer: PeerId) -> Result<bool, MailboxError> {
        self.inner.knows(peer).await
    }
    async fn has_written(&self, peer: PeerId, other: PeerId) -> Result<bool, MailboxError> {
        self.inner.has_written(peer, other).await
    }
    async fn waiting(
        &self,
        peer: PeerId,
        after: u64,
        items: usize,
        bytes: usize,
    ) -> Result<Page, MailboxError> {
        self.inner.waiting(peer, after, items, bytes).await
    }
    async fn roster(&self, room: RoomName, position: u64, bytes: usize) -> Result<Roster, MailboxError> {
        self.inner.roster(room, position, bytes).await
    }
    async fn find(&self, whom: Query, bytes: usize) -> Result<Vec<Entry>, MailboxError> {
        self.inner.find(whom, bytes).await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
    async fn ended(&self) {
        self.dead.notified().await;
    }
}

#[tokio::test]
async fn what_the_mailbox_lost_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Moody::open(dir.path());
    let node = Node::of(Relay::new(RelayConfig::default(), Arc::clone(&mailbox) as _));
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    a.settle().await;
    mailbox.loses.store(true, Ordering::Relaxed);
    let hello = envelope(&alice, to(&bob), 10);
    a.submit(std::slice::from_ref(&hello)).await;
    assert_eq!(a.fate(hello.id).await, Err(Refusal::Storage));
    mailbox.loses.store(false, Ordering::Relaxed);
    a.store(&hello).await;
    assert_eq!(node.relay.figures().refused_storage, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_relay_whose_mailbox_has_ended_stops_serving() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Moody::open(dir.path());
    let mut node = Node::of(Relay::new(RelayConfig::default(), Arc::clone(&mailbox) as _));
    let _client = node.connect(&identity(1)).await;
    assert!(!node.serving.is_finished());
    mailbox.dead.notify_one();
    let served = tokio::time::timeout(PATIENCE, &mut node.serving).await.unwrap().unwrap();
    assert!(matches!(served, Err(chat_core::LinkError::Io(_))), "{served:?}");
    node.relay.shutdown().await;
}

#[tokio::test]
async fn stored_and_delivered_only_after_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Moody::open(dir.path());
    let node = Node::of(Relay::new(RelayConfig::default(), Arc::clone(&mailbox) as _));
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    *mailbox.held.lock().unwrap() = Some(Vec::new());
    let hello = envelope(&alice, to(&bob), 10);
    a.submit(std::slice::from_ref(&hello)).await;
    assert!(a.settle().await.is_empty());
    assert!(!a.heard_of(hello.id), "not acknowledged");
    assert!(b.settle().await.is_empty(), "not delivered");
    mailbox.let_go().await;
    assert_eq!(a.fate(hello.id).await, Ok(()));
    assert_eq!(envelopes(&b.take(1, true).await), [hello]);
    node.stop().await;
}

/// Found by the crash machine, seed 10642: a client that is killed right after its first words. It says the same again
/// at its next start, which is no news to the mailbox; nobody in the room would ever get to know its keys.
#[tokio::test]
async fn who_has_gone_before_its_bundle_is_committed_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Moody::open(dir.path());
    let node = Node::of(Relay::new(RelayConfig::default(), Arc::clone(&mailbox) as _));
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    a.join("#lobby").await;
    *mailbox.held.lock().unwrap() = Some(Vec::new());
    let mut b = node.connect(&bob).await;
    let keys = bundle(&bob, "bob", 1);
    b.send(ToRelay::Join { room: room("#lobby") }).await;
    b.send(ToRelay::Publish { bundle: keys.clone() }).await;
    b.settle().await;
    drop(b);
    tokio::time::timeout(PATIENCE, async {
        while node.relay.figures().clients > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    mailbox.let_go().await;
    let told = a.wait(|record| match record {
        FromRelay::Peer { bundle, online } => Some((bundle.clone(), *online)),
        _ => None,
    });
    assert_eq!(told.await, (keys, false));
    node.stop().await;
}

#[tokio::test]
async fn a_failing_disk_refuses_and_the_relay_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Moody::open(dir.path());
    let node = Node::of(Relay::new(RelayConfig::default(), Arc::clone(&mailbox) as _));
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    mailbox.fails.store(true, Ordering::Relaxed);
    let hello = envelope(&alice, to(&bob), 10);
    a.submit(std::slice::from_ref(&hello)).await;
    assert_eq!(a.fate(hello.id).await, Err(Refusal::Storage));
    assert!(b.settle().await.is_empty());
    a.send(chat_core::wire::ToRelay::Join { room: crate::support::room("#lobby") }).await;
    a.wait(|record| matches!(record, FromRelay::Error { why: Refusal::Storage, .. }).then_some(())).await;
    let mut late = node.raw(identity(3).public().as_bytes()).await;
    late.send(chat_core::wire::ToRelay::Hello { version: 1 }).await;
    let last = late.last_words().await;
    assert!(matches!(last, Some(FromRelay::Error { why: Refusal::Storage, .. })), "{last:?}");
    mailbox.fails.store(false, Ordering::Relaxed);
    a.store(&hello).await;
    assert_eq!(envelopes(&b.take(1, true).await), [hello]);
    assert_eq!(node.relay.figures().refused_storage, 1);
    node.stop().await;
}

/// The same with a database that really is full.
#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { database_bytes: Some(1 << 20), ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let (mut stored, mut refused) = (Vec::new(), 0);
    while refused < 3 {
        let envelope = envelope(&alice, to(&bob), 50_000);
        a.submit(std::slice::from_ref(&envelope)).await;
        match a.fate(envelope.id).await {
            Ok(()) => stored.push(envelope),
            Err(why) => {
                assert_eq!(why, Refusal::Storage);
                refused += 1;
            }
        }
    }
    assert!(stored.len() > 5, "{}", stored.len());
    // Connecting needs no new page; what is fetched makes room.
    let mut b = node.connect(&bob).await;
    assert_eq!(envelopes(&b.take(stored.len(), true).await), stored);
    b.settle().await;
    drop(b);
    let mut b = node.connect(&bob).await;
    let next = envelope(&alice, to(&bob), 50_000);
    a.store(&next).await;
    assert_eq!(envelopes(&b.take(1, true).await), [next]);
    node.stop().await;
}

#[tokio::test]
async fn shutdown_answers_what_was_submitted_and_says_moving() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Moody::open(dir.path());
    let node = Node::of(Relay::new(RelayConfig::default(), Arc::clone(&mailbox) as _));
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    *mailbox.held.lock().unwrap() = Some(Vec::new());
    let hello = envelope(&alice, to(&bob), 10);
    a.submit(std::slice::from_ref(&hello)).await;
    a.settle().await;
    let relay = node.relay.clone();
    let stopping = tokio::spawn(async move { relay.shutdown().await });
    assert_eq!(b.last_words().await, Some(FromRelay::Moving));
    mailbox.let_go().await;
    assert_eq!(a.fate(hello.id).await, Ok(()));
    assert_eq!(a.last_words().await, Some(FromRelay::Moving));
    stopping.await.unwrap();
    node.serving.await.unwrap().unwrap();
    // The database is free for the next relay.
    let node = Node::start(dir.path());
    let mut b = node.connect(&bob).await;
    assert_eq!(envelopes(&b.take(1, true).await), [hello]);
    node.stop().await;
}

/// A client that reads nothing does not keep the relay from stopping.
#[tokio::test]
async fn shutdown_waits_for_nobody_longer_than_its_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        RelayConfig { drain_timeout: std::time::Duration::from_millis(100), ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let _deaf = node.connect(&bob).await;
    for _ in 0..20 {
        a.store(&envelope(&alice, to(&bob), 100_000)).await;
    }
    node.stop().await;
}
