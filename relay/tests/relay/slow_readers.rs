//! A reader that stops delays nobody and loses nothing; memory stays within its bound.

use crate::support::{Node, envelope, envelopes, identity, to};
use chat_core::wire::Envelope;
use chat_core::wire::relay::Refusal;
use relay::{MailboxLimits, RelayConfig};

#[tokio::test]
async fn a_slow_reader_delays_nobody_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { live_bytes: 64 << 10, window_items: 16, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let (alice, slow, fast) = (identity(1), identity(2), identity(3));
    let mut a = node.connect(&alice).await;
    let mut s = node.connect(&slow).await;
    let mut f = node.connect(&fast).await;
    let mut for_slow = Vec::new();
    // 4 MiB for somebody who reads nothing, each piece followed by one for somebody who does.
    for _ in 0..256 {
        let (one, other) = (envelope(&alice, to(&slow), 16 << 10), envelope(&alice, to(&fast), 100));
        a.submit(&[one.clone(), other.clone()]).await;
        assert_eq!(a.fate(other.id).await, Ok(()));
        assert_eq!(envelopes(&f.take(1, true).await), [other]);
        let live = node.relay.figures().live_bytes;
        assert!(live <= (64 << 10) + (64 << 10), "{live}");
        for_slow.push(one);
    }
    assert!(node.relay.figures().catch_ups >= 1);
    // It reads again, and has everything in order.
    assert_eq!(envelopes(&s.take(256, true).await), for_slow);
    // And is live again.
    let live = envelope(&alice, to(&slow), 5);
    a.store(&live).await;
    assert_eq!(envelopes(&s.take(1, true).await), [live]);
    node.stop().await;
}

#[tokio::test]
async fn memory_is_bounded_for_all_together() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { memory_bytes: 100 << 10, window_items: 1, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let alice = identity(1);
    let mut a = node.connect(&alice).await;
    let mut readers = Vec::new();
    for seed in 10..20 {
        readers.push((identity(seed), node.connect(&identity(seed)).await, Vec::new()));
    }
    for _ in 0..10 {
        for (reader, _, expected) in &mut readers {
            let envelope = envelope(&alice, to(reader), 10 << 10);
            a.store(&envelope).await;
            expected.push(envelope);
        }
        let figures = node.relay.figures();
        assert!(figures.memory_bytes <= 100 << 10, "{figures:?}");
        // The bound, and what each of ten has of its own.
        assert!(figures.live_bytes <= (100 + 10 * 32) << 10, "{figures:?}");
    }
    for (_, client, expected) in &mut readers {
        assert_eq!(envelopes(&client.take(10, true).await), *expected);
    }
    drop(readers);
    node.stop().await;
}

#[tokio::test]
async fn a_full_mailbox_refuses_first_the_one_who_fills_it() {
    let dir = tempfile::tempdir().unwrap();
    let all = MailboxLimits { strangers_share: 1, stranger_share: 1, ..MailboxLimits::default() };
    let limits = MailboxLimits { mailbox_bytes: 40_000, ..all };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (away, alice, bob) = (identity(9), identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    let flood: Vec<Envelope> = (0..30).map(|_| envelope(&alice, to(&away), 1000)).collect();
    a.submit(&flood).await;
    let mut stored = Vec::new();
    for envelope in &flood {
        match a.fate(envelope.id).await {
            Ok(()) => stored.push(envelope.clone()),
            Err(why) => assert_eq!(why, Refusal::MailboxFull),
        }
    }
    assert!((5..10).contains(&stored.len()), "a quarter of it: {}", stored.len());
    let other = envelope(&bob, to(&away), 1000);
    b.store(&other).await;
    // Once it has been fetched there is room again, and what was refused may come.
    let mut w = node.connect(&away).await;
    let mut expected = stored.clone();
    expected.push(other);
    assert_eq!(envelopes(&w.take(expected.len(), true).await), expected);
    w.settle().await;
    drop(w);
    let mut w = node.connect(&away).await;
    let refused = flood.iter().find(|envelope| !stored.contains(envelope)).unwrap();
    a.store(refused).await;
    assert_eq!(envelopes(&w.take(1, true).await), std::slice::from_ref(refused));
    node.stop().await;
}

#[tokio::test]
async fn the_largest_envelope_passes_and_one_byte_more_is_refused() {
    use chat_core::wire::bundle::MAX_HANDSHAKE_BYTES;
    use chat_core::wire::envelope::MAX_SEALED_BYTES;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    let handshake = Some(vec![1; MAX_HANDSHAKE_BYTES]);
    let largest = Envelope { handshake, ..envelope(&alice, to(&bob), MAX_SEALED_BYTES) };
    a.store(&largest).await;
    assert_eq!(envelopes(&b.take(1, true).await), [largest]);
    let larger = envelope(&alice, to(&bob), MAX_SEALED_BYTES + 1);
    a.submit(std::slice::from_ref(&larger)).await;
    assert_eq!(a.fate(larger.id).await, Err(Refusal::TooLarge));
    node.stop().await;
}
