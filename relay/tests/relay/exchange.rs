//! Envelopes from one client to another: live, stored, again, in order.

use crate::support::{Node, envelope, envelopes, identity, room, to};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Envelope, FromRelay, Recipient, ToRelay};
use relay::{MailboxLimits, RelayConfig};

#[tokio::test]
async fn two_clients_exchange() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    let hello = envelope(&alice, to(&bob), 200);
    a.store(&hello).await;
    assert_eq!(envelopes(&b.take(1, true).await), [hello]);
    let answer = Envelope { handshake: Some(vec![3; 500]), ..envelope(&bob, to(&alice), 100) };
    b.store(&answer).await;
    assert_eq!(envelopes(&a.take(1, true).await), [answer]);
    let to_self = envelope(&alice, to(&alice), 10);
    a.store(&to_self).await;
    assert_eq!(envelopes(&a.take(1, true).await), [to_self]);
    let figures = node.relay.figures();
    assert_eq!((figures.clients, figures.stored, figures.delivered), (2, 3, 3));
    node.stop().await;
}

#[tokio::test]
async fn what_waits_comes_after_reconnecting_in_order_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let sent: Vec<Envelope> = (0..600).map(|i| envelope(&alice, to(&bob), i)).collect();
    for batch in sent.chunks(100) {
        a.submit(batch).await;
    }
    for envelope in &sent {
        assert_eq!(a.fate(envelope.id).await, Ok(()));
    }
    let mut b = node.connect(&bob).await;
    let got = b.take(600, true).await;
    assert!(got.is_sorted_by(|a, b| a.n < b.n));
    assert_eq!(envelopes(&got), sent);
    let live = envelope(&alice, to(&bob), 5);
    a.store(&live).await;
    assert_eq!(envelopes(&b.take(1, true).await), [live]);
    b.settle().await;
    drop(b);
    // All of it was acknowledged: the next thing it hears is the next envelope.
    let mut b = node.connect(&bob).await;
    let next = envelope(&alice, to(&bob), 6);
    a.store(&next).await;
    assert_eq!(envelopes(&b.take(1, true).await), [next]);
    node.stop().await;
}

/// A16.
#[tokio::test]
async fn a_repeat_is_answered_and_not_delivered_twice() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    let once = envelope(&alice, to(&bob), 50);
    a.store(&once).await;
    a.store(&once).await;
    a.submit(&[once.clone(), once.clone()]).await;
    assert_eq!(a.fate(once.id).await, Ok(()));
    assert_eq!(envelopes(&b.take(1, true).await), std::slice::from_ref(&once));
    b.settle().await;
    // Acknowledged, and within the minute.
    a.store(&once).await;
    let next = envelope(&alice, to(&bob), 60);
    a.store(&next).await;
    assert_eq!(envelopes(&b.take(1, true).await), [next]);
    assert_eq!(node.relay.figures().known, 4);
    node.stop().await;
}

#[tokio::test]
async fn an_acknowledged_envelope_is_delivered_again_for_its_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { redeliver_ms: 0, ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    let again = envelope(&alice, to(&bob), 50);
    a.store(&again).await;
    let first = b.take(1, false).await;
    a.store(&again).await;
    b.send(ToRelay::Ack { through: first[0].n }).await;
    // Another client's link orders nothing, but an attach counts every earlier acknowledgement.
    b.settle().await;
    drop(b);
    let mut b = node.connect(&bob).await;
    a.store(&again).await;
    let second = b.take(1, true).await;
    assert_eq!(envelopes(&second), [again]);
    assert!(second[0].n > first[0].n);
    node.stop().await;
}

/// A21.
#[tokio::test]
async fn a_restart_keeps_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (identity(1), identity(2));
    let sent: Vec<Envelope> = (0..20).map(|i| envelope(&alice, to(&bob), i)).collect();
    let node = Node::start(dir.path());
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    a.submit(&sent).await;
    for envelope in &sent {
        assert_eq!(a.fate(envelope.id).await, Ok(()));
    }
    let got = b.take(20, false).await;
    b.send(ToRelay::Ack { through: got[4].n }).await;
    b.settle().await;
    node.stop().await;

    let node = Node::start(dir.path());
    let mut b = node.connect(&bob).await;
    let again = b.take(15, true).await;
    assert_eq!(envelopes(&again), sent[5..]);
    let mut a = node.connect(&alice).await;
    // Known from before the restart, and not stored a second time.
    a.store(&sent[19]).await;
    assert_eq!(node.relay.figures().known, 1);
    let next = envelope(&alice, to(&bob), 7);
    a.store(&next).await;
    let next_got = b.take(1, true).await;
    assert_eq!(envelopes(&next_got), [next]);
    assert!(next_got[0].n > again[14].n, "numbers grow over a restart");
    node.stop().await;
}

#[tokio::test]
async fn who_never_acknowledges_gets_a_window_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { window_items: 10, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    let sent: Vec<Envelope> = (0..30).map(|i| envelope(&alice, to(&bob), i)).collect();
    a.submit(&sent).await;
    for envelope in &sent {
        assert_eq!(a.fate(envelope.id).await, Ok(()));
    }
    let first = b.take(10, false).await;
    assert_eq!(envelopes(&first), sent[..10]);
    assert!(b.settle().await.is_empty(), "the window is full");
    // Claiming what it did not get moves nothing past what it got.
    drop(b);
    let mut b = node.connect(&bob).await;
    assert_eq!(b.take(10, false).await, first);
    b.send(ToRelay::Ack { through: u64::MAX }).await;
    assert_eq!(envelopes(&b.take(10, true).await), sent[10..20]);
    assert_eq!(envelopes(&b.take(10, true).await), sent[20..]);
    node.stop().await;
}

#[tokio::test]
async fn a_newer_link_of_the_same_peer_replaces_the_older() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut older = node.connect(&bob).await;
    let mut newer = node.connect(&bob).await;
    let last = older.last_words().await;
    assert!(matches!(last, Some(FromRelay::Error { why: Refusal::NotAllowed, .. })), "{last:?}");
    let hello = envelope(&alice, to(&bob), 9);
    a.store(&hello).await;
    assert_eq!(envelopes(&newer.take(1, true).await), [hello]);
    let figures = node.relay.figures();
    assert_eq!((figures.clients, figures.replaced), (2, 1));
    node.stop().await;
}

/// A18.
#[tokio::test]
async fn a_room_envelope_reaches_every_other_member_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = [1, 2, 3, 4].map(identity);
    let mut a = node.connect(&people[0]).await;
    let mut b = node.connect(&people[1]).await;
    let mut c = node.connect(&people[2]).await;
    let mut outsider = node.connect(&people[3]).await;
    for client in [&mut a, &mut b, &mut c] {
        client.join("#all").await;
    }
    c.settle().await;
    drop(c);
    let everybody = Recipient::Room(room("#all"));
    let sent: Vec<Envelope> = (0..5).map(|i| envelope(&people[0], everybody.clone(), i)).collect();
    a.submit(&sent).await;
    for envelope in &sent {
        assert_eq!(a.fate(envelope.id).await, Ok(()));
    }
    let direct = envelope(&people[0], to(&people[1]), 1);
    a.store(&direct).await;
    let mut expected = sent.clone();
    expected.push(direct);
    assert_eq!(envelopes(&b.take(6, true).await), expected);
    let mut c = node.connect(&people[2]).await;
    assert_eq!(envelopes(&c.take(5, true).await), sent);
    assert!(!a.settle().await.iter().any(|record| matches!(record, FromRelay::Deliver { .. })));

    let stranger = envelope(&people[3], everybody, 1);
    outsider.submit(std::slice::from_ref(&stranger)).await;
    assert_eq!(outsider.fate(stranger.id).await, Err(Refusal::NotAllowed));
    // Whoever joins later gets what comes later.
    outsider.join("#all").await;
    outsider.store(&stranger).await;
    assert_eq!(envelopes(&b.take(1, true).await), std::slice::from_ref(&stranger));
    assert_eq!(envelopes(&c.take(1, true).await), [stranger]);
    assert!(!outsider.settle().await.iter().any(|record| matches!(record, FromRelay::Deliver { .. })));
    node.stop().await;
}
