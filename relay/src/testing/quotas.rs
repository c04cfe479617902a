//! Bounds, and that they refuse by name.

use chat_core::testing::Violation;
use chat_core::wire::relay::Refusal;

use super::desk::{Desk, envelope, to};
use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::Outcome;

/// Stores envelopes of 1000 bytes, of which each goes to the next recipient, until one is refused: how many were stored.
async fn fill(desk: &Desk, from: u8, recipients: impl Fn(u64) -> u8, first: u64) -> Result<u64, Violation> {
    for stored in 0..200 {
        let number = first + stored;
        match desk.store(from, vec![envelope(number, to(recipients(stored)), 1000)]).await?[..] {
            [Outcome::Stored(_)] => {}
            [Outcome::Refused(Refusal::MailboxFull)] => return Ok(stored),
            ref other => return Err(Violation::new(format!("a new envelope is {other:?}"))),
        }
    }
    Err(Violation::new("nothing is ever full"))
}

pub(super) async fn a_full_mailbox_refuses_until_there_is_room(shelf: &dyn Shelf) -> Result<(), Violation> {
    const FIRST: u64 = 1000;
    let limits = MailboxLimits { mailbox_bytes: 40_000, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    desk.attached(9).await?;
    let stored = fill(&desk, 1, |_| 9, FIRST).await?;
    ensure!((1..=40).contains(&stored), "{stored} envelopes of 1000 bytes are in 40000");
    let waiting = desk.waiting(9, 0).await?;
    ensure!(waiting.len() as u64 == stored, "{} wait, and {stored} were stored", waiting.len());
    // Somebody else's is another matter.
    desk.stored(1, vec![envelope(1, to(8), 1000)]).await?;
    let refused = envelope(FIRST + stored, to(9), 1000);
    let again = desk.store(1, vec![refused.clone()]).await?;
    ensure!(
        again == [Outcome::Refused(Refusal::MailboxFull)],
        "what was refused before is {again:?} when it is repeated"
    );
    let last = waiting.last().map(|(n, _)| *n).unwrap_or_default();
    desk.ack(9, last).await?;
    desk.stored(1, vec![refused]).await?;
    desk.close().await
}

pub(super) async fn all_mailboxes_together_are_bounded(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { stored_bytes: 40_000, stored_share: 1, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    let recipients = |number: u64| 10 + u8::try_from(number % 200).unwrap_or_default();
    let stored = fill(&desk, 1, recipients, 0).await?;
    ensure!((1..=40).contains(&stored), "{stored} envelopes of 1000 bytes are in 40000");
    desk.close().await?;
    // Counted anew, it is the same.
    let desk = Desk::with(shelf, &limits)?;
    let more = fill(&desk, 2, recipients, 1000).await?;
    ensure!(more == 0, "{more} more were stored after a restart");
    let first = desk.waiting(10, 0).await?.first().map(|(n, _)| *n).unwrap_or_default();
    desk.ack(10, first).await?;
    let more = fill(&desk, 2, recipients, 2000).await?;
    ensure!(more == 1, "one was acknowledged, and there was room for {more}");
    desk.close().await
}

pub(super) async fn so_many_peers_are_remembered(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { max_peers: 3, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    for seed in [1, 2, 3, 1] {
        ensure!(desk.attach(seed).await?.is_some(), "peer {seed} is not let in though there is room");
    }
    ensure!(desk.attach(4).await?.is_none(), "a fourth peer is let in where three may be");
    // Who was written to is not known by that.
    desk.stored(1, vec![envelope(1, to(4), 10)]).await?;
    ensure!(desk.attach(4).await?.is_none(), "a fourth peer is let in because somebody wrote to it");
    ensure!(desk.attach(2).await?.is_some(), "who is known is not let in any more");
    desk.close().await
}
