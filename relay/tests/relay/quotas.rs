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
    let all = MailboxLimits {
        strangers_share: 1,
        stranger_share: 1,
        reserved_share: 0,
        ..MailboxLimits::default()
    };
    let mailbox = Store::open(dir.path(), MailboxLimits { mailbox_bytes: 1_000_000, ..all });
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

/// Bob has written to Alice. However many strangers fill his mailbox, she has what she has without them; and with their
/// identities they have no more of the relay than their part.
#[tokio::test]
async fn strangers_fill_their_part_and_a_correspondent_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { mailbox_bytes: 1_000_000, ..MailboxLimits::default() };
    let (alice, bob) = (identity(1), identity(2));
    let mut taken = Vec::new();
    for strangers in [0, 100] {
        let dir = dir.path().join(strangers.to_string());
        std::fs::create_dir(&dir).unwrap();
        let mailbox = Store::open(&dir, limits.clone());
        numbers(&mailbox.store(&bob, &[envelope(&bob, to(&alice), 1)], 1).await);
        // What is known of them is known after a restart.
        mailbox.0.close().await;
        let mailbox = Store::open(&dir, limits.clone());
        let mut of_strangers = 0;
        for seed in 10..10 + strangers {
            of_strangers += fill(&mailbox, &identity(seed), |_| to(&bob), 1000).await;
        }
        assert!(of_strangers * 1350 <= 500_000, "{of_strangers}");
        assert!(strangers == 0 || of_strangers * 1400 > 400_000, "{of_strangers}");
        taken.push(fill(&mailbox, &alice, |_| to(&bob), 1000).await);
        mailbox.0.close().await;
    }
    assert!(taken[0] > 100 && taken[0] == taken[1], "{taken:?}");
}

/// Many identities of one network address are one stranger, and one sender.
#[tokio::test]
async fn the_identities_of_one_address_share_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { mailbox_bytes: 1_000_000, ..MailboxLimits::default() };
    let away = identity(1);
    let mailbox = Store::open(dir.path(), limits.clone());
    let mut taken = [0, 0];
    for seed in 10..40 {
        let payer = 1 + u64::from(seed % 2);
        taken[usize::from(seed % 2)] += fill_for(&mailbox, payer, &identity(seed), &away).await;
    }
    // A fifth, which is what one stranger may have, and half of what that left of the strangers' half.
    assert!((130..150).contains(&taken[0]) && (95..115).contains(&taken[1]), "{taken:?}");
    mailbox.0.close().await;
    let mailbox = Store::open(dir.path(), limits);
    let other = fill_for(&mailbox, 1, &identity(50), &away).await;
    assert!((45..60).contains(&other), "what was stored before is of others: {other}");
    mailbox.0.close().await;
}

async fn fill_for(store: &Store, payer: u64, from: &Identity, to_whom: &Identity) -> usize {
    for taken in 0..1000 {
        match store.store_for(payer, from, &[envelope(from, to(to_whom), 1000)]).await[..] {
            [Outcome::Stored(_)] => {}
            [Outcome::Refused(Refusal::MailboxFull)] => return taken,
            ref other => panic!("{other:?}"),
        }
    }
    panic!("nothing is ever full")
}
