//! What a relay has answered as stored is in its mailbox after a power cut, once and whole.

use std::time::Duration;

use bytes::Bytes;
use chat_core::wire::{Envelope, Recipient};
use chat_core::{ConversationId, EnvelopeId, Identity, MessageId, SessionId, Timestamp};
use chat_simulation::disk::{CrashMode, Disk, DiskError};
use relay::mailbox::{Done, NewEnvelope, Outcome, Write};
use relay::{Mailbox, MailboxError, MailboxLimits, SqliteMailbox};
use tokio::sync::oneshot;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const ENVELOPES: u8 = 8;

fn open(disk: &Disk) -> Result<SqliteMailbox, MailboxError> {
    SqliteMailbox::open_on_vfs(
        disk.vfs_name(),
        &disk.path("relay.db"),
        MailboxLimits::default(),
        &chat_core::System,
    )
}

fn people() -> (Identity, Identity) {
    (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]))
}

fn envelope(n: u8) -> Bytes {
    let (from, to) = people();
    let envelope = Envelope {
        id: EnvelopeId([n; 16]),
        to: Recipient::Peer(to.peer_id()),
        from: from.peer_id(),
        conversation: ConversationId([1; 16]),
        message: MessageId([n; 16]),
        session: SessionId([2; 16]),
        handshake: None,
        frame: vec![n; usize::from(n) * 900],
    };
    envelope.encode().into()
}

async fn ask<T: Send + 'static>(
    mailbox: &SqliteMailbox,
    write: impl FnOnce(Done<T>) -> Write,
) -> Result<T, MailboxError> {
    let (tell, told) = oneshot::channel();
    mailbox.write(write(Box::new(move |result| assert!(tell.send(result).is_ok())))).await;
    timeout(PATIENCE, told).await.unwrap().unwrap()
}

/// Stores all envelopes, one a transaction; which were answered as stored.
async fn store_all(mailbox: &SqliteMailbox) -> Vec<u8> {
    let (from, to) = people();
    let mut stored = vec![];
    for n in 1..=ENVELOPES {
        let new =
            NewEnvelope { id: EnvelopeId([n; 16]), to: Recipient::Peer(to.peer_id()), bytes: envelope(n) };
        let (from, envelopes, now) = (from.peer_id(), vec![new], Timestamp(1000));
        match ask(mailbox, |done| Write::Store { from, payer: 0, envelopes, now, done }).await {
            Ok(outcomes) => {
                assert!(matches!(outcomes[..], [Outcome::Stored(_) | Outcome::Known]), "{outcomes:?}");
                stored.push(n);
            }
            Err(error) => assert!(matches!(error, MailboxError::Storage(_)), "{error:?}"),
        }
    }
    stored
}

/// Opens, stores, loses the power or not, and closes; whether it opened, and what was answered.
async fn live(disk: &Disk, power_cut: bool) -> (bool, Vec<u8>) {
    let Ok(mailbox) = open(disk) else { return (false, vec![]) };
    let stored = store_all(&mailbox).await;
    if power_cut {
        disk.crash();
    }
    timeout(PATIENCE, mailbox.close()).await.unwrap();
    (true, stored)
}

async fn verify(disk: &Disk, stored: &[u8]) -> Result<(), String> {
    let mailbox = open(disk).map_err(|error| error.to_string())?;
    let page = mailbox.waiting(people().1.peer_id(), 0, 1000, usize::MAX).await;
    let page = page.map_err(|error| error.to_string())?;
    timeout(PATIENCE, mailbox.close()).await.unwrap();
    if !page.damaged.is_empty() || !page.items.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(format!("damaged: {:?}", page.damaged));
    }
    let mut found: Vec<u8> = vec![];
    for (_, bytes) in page.items {
        let n = (1..=ENVELOPES).find(|n| envelope(*n) == bytes).ok_or("a foreign envelope")?;
        found.push(n);
    }
    let doubled = !found.is_sorted_by(|a, b| a < b);
    match stored.iter().find(|n| !found.contains(n)) {
        None if !doubled => Ok(()),
        lost => Err(format!("lost {lost:?}; {stored:?} answered, {found:?} found")),
    }
}

async fn changes() -> u64 {
    let disk = Disk::new(0);
    assert_eq!(live(&disk, false).await, (true, (1..=ENVELOPES).collect()));
    disk.counters().changes
}

#[tokio::test]
async fn what_was_answered_survives_a_power_cut_at_every_change() {
    let mut answered = 0;
    for n in 1..=changes().await {
        let disk = Disk::new(n);
        disk.crash_at(n);
        let (_, stored) = live(&disk, false).await;
        disk.crash();
        disk.power_on();
        disk.forget_faults();
        verify(&disk, &stored).await.unwrap_or_else(|fault| panic!("change {n}: {fault}"));
        answered += stored.len();
        disk.kill();
        disk.power_on();
        assert_eq!(live(&disk, false).await, (true, (1..=ENVELOPES).collect()), "it goes on");
        disk.kill();
        disk.power_on();
        let all: Vec<u8> = (1..=ENVELOPES).collect();
        verify(&disk, &all).await.unwrap_or_else(|fault| panic!("change {n}, afterwards: {fault}"));
    }
    assert!(answered > 100, "{answered}");
}

#[tokio::test]
async fn what_was_answered_survives_a_failure_at_every_change_and_a_power_cut() {
    let changes = changes().await;
    for error in [DiskError::Io, DiskError::Full] {
        let (mut refused, mut unopened) = (0, 0);
        for n in 1..=changes {
            let disk = Disk::new(n);
            disk.set_crash_mode(if n % 2 == 0 { CrashMode::Nothing } else { CrashMode::Drawn });
            disk.fail_change_at(n, error);
            let mut lived = live(&disk, true).await;
            refused += u64::from(lived.0 && lived.1.len() < usize::from(ENVELOPES));
            if !lived.0 {
                unopened += 1;
                lived = live(&disk, true).await;
            }
            disk.power_on();
            disk.forget_faults();
            verify(&disk, &lived.1).await.unwrap_or_else(|fault| panic!("change {n}, {error:?}: {fault}"));
        }
        assert!(refused > 5 && unopened > 5, "{refused} refused, {unopened} unopened");
    }
}

#[tokio::test]
async fn a_disk_that_does_not_sync_is_noticed() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = Disk::new(seed);
        drop(open(&disk).unwrap());
        disk.kill();
        disk.power_on();
        disk.set_lying(true);
        let mailbox = open(&disk).unwrap();
        let stored = store_all(&mailbox).await;
        disk.crash();
        disk.set_lying(false);
        disk.power_on();
        lost += u64::from(verify(&disk, &stored).await.is_err());
    }
    assert!(lost > 3, "{lost}");
}
