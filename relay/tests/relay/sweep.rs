//! Forgetting: all that is too old and nothing else, whatever the wall clock says.

use chat_core::wire::Envelope;
use chat_core::wire::relay::Refusal;
use relay::mailbox::{MAX_AHEAD_MS, Outcome, Published};
use relay::{Mailbox, MailboxLimits, RelayConfig};
use tokio::time::timeout;

use crate::mailbox::{DAY, Store, numbers};
use crate::support::{Node, PATIENCE, envelope, identity, to};

#[tokio::test]
async fn one_tick_sweeps_all_that_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits {
        mailbox_bytes: 100_000,
        sender_share: 1,
        strangers_share: 1,
        stranger_share: 1,
        sweep_rows: 3,
        redeliver_ms: 0,
        ..MailboxLimits::default()
    };
    let (alice, bob) = (identity(1), identity(2));
    let mailbox = Store::open(dir.path(), limits.clone());
    let old: Vec<Envelope> = (0..60).map(|_| envelope(&alice, to(&bob), 100)).collect();
    numbers(&mailbox.store(&alice, &old, 1).await);
    mailbox.0.close().await;
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let mut a = node.connect(&alice).await;
    let large = envelope(&alice, to(&bob), 49_000);
    let all_gone = async {
        loop {
            a.submit(std::slice::from_ref(&large)).await;
            match a.fate(large.id).await {
                Ok(()) => return,
                Err(why) => assert_eq!(why, Refusal::MailboxFull),
            }
        }
    };
    timeout(PATIENCE, all_gone).await.expect("it waits for the next tick");
    node.stop().await;
}

#[tokio::test]
async fn so_many_ids_are_remembered_of_a_sender_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits {
        ids_per_sender: 10,
        redeliver_ms: u64::MAX,
        sweep_rows: 7,
        ..MailboxLimits::default()
    };
    let (alice, bob, carol) = (identity(1), identity(2), identity(3));
    let mailbox = Store::open(dir.path(), limits.clone());
    let others = [envelope(&carol, to(&bob), 1)];
    numbers(&mailbox.store(&carol, &others, 1).await);
    let sent: Vec<Envelope> = (0..25).map(|_| envelope(&alice, to(&bob), 1)).collect();
    let n = numbers(&mailbox.store(&alice, &sent[..20], 1).await);
    // Counted again after a restart.
    mailbox.0.close().await;
    let mailbox = Store::open(dir.path(), limits);
    numbers(&mailbox.store(&alice, &sent[20..], 1).await);
    mailbox.ack(&bob, n[19] + 5, 1).await;
    let known = vec![Outcome::Known; 10];
    assert_eq!(mailbox.store(&alice, &sent[15..], 1).await, known);
    assert_eq!(mailbox.store(&carol, &others, 1).await, [Outcome::Known]);
    numbers(&mailbox.store(&alice, &sent[14..15], 1).await);
    assert_eq!(mailbox.store(&alice, &sent[16..], 1).await, known[..9]);
    numbers(&mailbox.store(&alice, &sent[15..16], 1).await);
    mailbox.0.close().await;
}

#[tokio::test]
async fn a_clock_that_jumps_drops_no_mail_until_it_stands_by_it() {
    const HOUR: u64 = DAY / 24;
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (identity(1), identity(2));
    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    numbers(&mailbox.store(&alice, &[envelope(&alice, to(&bob), 1)], 100 * DAY).await);
    mailbox.sweep(100 * DAY, &[]).await;
    // There and back again, there again much later, and on from there.
    for now in [200 * DAY, 100 * DAY + HOUR, 200 * DAY + HOUR, 300 * DAY, 300 * DAY + HOUR - 1] {
        mailbox.sweep(now, &[]).await;
        assert_eq!(mailbox.waiting(&bob).await.len(), 1, "{now}");
    }
    // Known also after a restart.
    mailbox.0.close().await;
    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    mailbox.sweep(300 * DAY + HOUR, &[]).await;
    assert!(mailbox.waiting(&bob).await.is_empty());
    mailbox.0.close().await;
}

/// A bundle from the future would be the newest for years. One that was published while this relay's clock was ahead,
/// too, gives way to any that is not.
#[tokio::test]
async fn a_bundle_from_the_future_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    let (alice, today, later) = (identity(1), 100 * DAY, 7_300 * DAY);
    assert_eq!(mailbox.publish_at(&alice, "alice", today, today).await, Published::New);
    assert_eq!(mailbox.publish_at(&alice, "alice", later, today).await, Published::Ahead);
    let ahead = today + MAX_AHEAD_MS;
    assert_eq!(mailbox.publish_at(&alice, "alice", ahead + 1, today).await, Published::Ahead);
    assert_eq!(mailbox.publish_at(&alice, "alice", ahead, today).await, Published::New);
    assert_eq!(mailbox.publish_at(&alice, "alice", today + 1, today).await, Published::Old);
    // Both clocks are wrong for a while.
    assert_eq!(mailbox.publish_at(&alice, "alice", later, later).await, Published::New);
    assert_eq!(mailbox.publish_at(&alice, "alice", today, today).await, Published::New);
    assert_eq!(mailbox.publish_at(&alice, "alice", today, today).await, Published::Old);
    mailbox.0.close().await;
}
