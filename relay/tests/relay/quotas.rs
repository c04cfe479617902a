//! What one sender may take from everybody: of one mailbox, and of all together.

use chat_core::Identity;
use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;
use relay::mailbox::Outcome;
use relay::{Mailbox, MailboxLimits};

use crate::mailbox::{Store, numbers};
use crate::support::{envelope, identity, room, to};

/// Stores envelopes of one size, until one is refused or there were `most`; how many were taken.
async fn fill(store: &Store, from: &Identity, to: impl Fn(usize) -> Recipient, most: usize) -> usize {
    for taken in 0..most {
        match store.store(from, &[envelope(from, to(taken), 1000)], 1).await[..] {
            [Outcome::Stored(_)] => {}
            [Outcome::Refused(Refusal::MailboxFull)] => return taken,
            ref other => panic!("{other:?}"),
        }
    }
    most
}

#[tokio::test]
async fn one_sender_fills_its_part_of_the_relay_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { stored_bytes: 100_000, stored_share: 10, ..MailboxLimits::default() };
    let (mallory, alice, bob) = (identity(1), identity(2), identity(3));
    let stranger = |i: usize| to(&identity(100 + u8::try_from(i).unwrap()));
    let mailbox = Store::open(dir.path(), limits.clone());
    let taken = fill(&mailbox, &mallory, stranger, 100).await;
    assert!((5..10).contains(&taken), "{taken}");
    // The count is that of the tables after a restart too, and also for a mailbox that is known.
    mailbox.0.close().await;
    let mailbox = Store::open(dir.path(), limits);
    assert_eq!(fill(&mailbox, &mallory, stranger, 1).await, 0);
    // A room makes room for its member only from what the member has there.
    for person in [&mallory, &bob] {
        mailbox.attach(person, 1).await.unwrap();
        mailbox.join(person, "#all").await;
    }
    let in_room = |_: usize| Recipient::Room(room("#all"));
    assert_eq!(fill(&mailbox, &mallory, in_room, 1).await, 0);
    assert_eq!(fill(&mailbox, &alice, stranger, 3).await, 3, "others go on");
    let large = envelope(&bob, to(&alice), 20_000);
    numbers(&mailbox.store(&bob, &[large], 1).await);
    // What was fetched is room for its sender again.
    mailbox.ack(&identity(100), 1, 1).await;
    assert_eq!(fill(&mailbox, &mallory, in_room, 1).await, 1);
    assert_eq!(fill(&mailbox, &mallory, in_room, 20).await, 20, "each in the place of the one before");
    assert_eq!(mailbox.waiting(&bob).await.len(), 1);
    mailbox.0.close().await;
}

#[tokio::test]
async fn however_many_fill_a_mailbox_a_newcomer_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { mailbox_bytes: 1_000_000, ..MailboxLimits::default() };
    let mailbox = Store::open(dir.path(), limits);
    let away = identity(1);
    let mut taken = Vec::new();
    for seed in 10..17 {
        taken.push(fill(&mailbox, &identity(seed), |_| to(&away), 1000).await);
    }
    assert!(taken.iter().all(|taken| *taken > 0), "{taken:?}");
    assert!(taken.iter().sum::<usize>() > 600, "{taken:?}");
    // Nor does one envelope of a newcomer take all that is left.
    let rest = 1_000_000 - taken.iter().sum::<usize>() * 1400;
    let large = envelope(&identity(20), to(&away), rest / 4 * 3);
    assert_eq!(mailbox.store(&identity(20), &[large], 1).await, [Outcome::Refused(Refusal::MailboxFull)]);
    assert_eq!(fill(&mailbox, &identity(21), |_| to(&away), 1).await, 1);
    mailbox.0.close().await;
}
