//! Closing, starting again, being killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chat_core::Timestamp;
use chat_core::testing::{Must as _, Violation};
use chat_core::wire::Recipient;

use super::desk::{Desk, NOW, content, envelope, nick, peer, polled_once, room, soon, to};
use super::{Shelf, ensure, note};
use crate::mailbox::{Joined, MailboxError, Outcome, Published, Query, Write};

pub(super) async fn closing_commits_what_was_queued(shelf: &dyn Shelf) -> Result<(), Violation> {
    const CHANGES: u64 = 100;
    let desk = Desk::open(shelf)?;
    let stored = Arc::new(AtomicU64::new(0));
    for number in 0..CHANGES {
        let (from, envelopes, now) = (peer(1), vec![envelope(number, to(9), 500)], Timestamp(NOW));
        let stored = Arc::clone(&stored);
        let done = Box::new(move |outcomes: Result<Vec<Outcome>, _>| {
            let ok = matches!(outcomes.as_deref(), Ok([Outcome::Stored(_)]));
            stored.fetch_add(u64::from(ok), Ordering::SeqCst);
        });
        desk.write(Write::Store { from, payer: 0, envelopes, now, done }).await?;
    }
    desk.close().await?;
    let stored = stored.load(Ordering::SeqCst);
    ensure!(stored == CHANGES, "{stored} of {CHANGES} changes were stored before it was closed");
    let desk = Desk::open(shelf)?;
    let waiting = desk.waiting(9, 0).await?.len() as u64;
    ensure!(waiting == CHANGES, "{waiting} of {CHANGES} envelopes are there after a restart");
    desk.close().await
}

pub(super) async fn a_closed_mailbox_says_so(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    desk.attached(1).await?;
    ensure!(polled_once(desk.0.ended()).is_none(), "it has ended before it was closed");
    for time in ["closing", "closing again"] {
        soon(time, desk.0.close()).await?;
    }
    soon("the end of a closed mailbox", desk.0.ended()).await?;
    let (from, now, envelopes) = (peer(1), Timestamp(NOW), vec![envelope(1, to(9), 10)]);
    let stored = desk.ask(|done| Write::Store { from, payer: 0, envelopes, now, done }).await?;
    let attached = desk.ask(|done| Write::Attach { peer: peer(1), now, done }).await?;
    desk.write(Write::Ack { peer: peer(1), through: 1 }).await?;
    let waiting = soon("reading", desk.0.waiting(peer(9), 0, 1, 1)).await?;
    let members = soon("reading", desk.members(room("#all")?)).await?;
    let roster = soon("reading", desk.0.roster(room("#all")?, 0, 1)).await?;
    let found = soon("reading", desk.0.find(Query::Nick(nick("alice")?), 1)).await?;
    let refusals = [stored.err(), attached.err(), waiting.err(), members.err(), roster.err(), found.err()];
    let all = refusals.iter().all(|refusal| *refusal == Some(MailboxError::Closed));
    ensure!(all, "storing, attaching and reading after the close say {refusals:?}");
    Ok(())
}

/// Also if another closes already: when `close` returns, it may be opened again.
pub(super) async fn whoever_closes_waits_for_the_end(shelf: &dyn Shelf) -> Result<(), Violation> {
    const CHANGES: u64 = 100;
    let desk = Desk::open(shelf)?;
    for number in 0..CHANGES {
        let (from, envelopes, now) = (peer(1), vec![envelope(number, to(9), 20_000)], Timestamp(NOW));
        desk.write(Write::Store { from, payer: 0, envelopes, now, done: Box::new(drop) }).await?;
    }
    // One who closes, and goes before it is done.
    polled_once(desk.0.close());
    desk.close().await?;
    Desk::open(shelf)?.close().await
}

/// Something of everything, to be found again.
struct Kept {
    room: Vec<(u64, Bytes)>,
    cursor: u64,
}

async fn keep(desk: &Desk) -> Result<Kept, Violation> {
    for seed in [1, 9] {
        desk.attached(seed).await?;
        desk.join(seed, "#all").await?;
    }
    let all = Recipient::Room(room("#all")?);
    let batch = vec![envelope(1, to(9), 400), envelope(2, to(9), 100_000), envelope(3, all, 10)];
    let n = desk.stored(1, batch).await?;
    let cursor = n.first().copied().unwrap_or_default();
    desk.ack(9, cursor).await?;
    // The last change, which nothing comes after.
    desk.publish(1, "alice", 5, content(1, 300)).await?;
    let rest = n.into_iter().zip([content(1, 400), content(2, 100_000), content(3, 10)]).skip(1);
    Ok(Kept { room: rest.collect(), cursor })
}

async fn must_be_kept(desk: &Desk, kept: &Kept, what: &str) -> Result<(), Violation> {
    desk.must_wait(9, &kept.room, what).await?;
    let attached = desk.attached(9).await?;
    ensure!(attached.cursor == kept.cursor, "{what}: the cursor is {}, not {}", attached.cursor, kept.cursor);
    ensure!(attached.rooms == [room("#all")?], "{what}: the rooms are {:?}", attached.rooms);
    let joined = desk.join(1, "#all").await?;
    ensure!(joined == Joined::Already, "{what}: a member who joins again is told {joined:?}");
    let found = soon("finding", desk.0.find(Query::Peer(peer(1)), 1000)).await?.must("finding")?;
    let bundle = found.into_iter().next().and_then(|entry| entry.bundle);
    ensure!(bundle == Some(content(1, 300)), "{what}: the bundle is another, or gone");
    let published = desk.publish(1, "alice", 5, content(1, 300)).await?;
    ensure!(published == Published::Old, "{what}: the same bundle is {published:?}");
    let repeats = desk.store(1, vec![envelope(1, to(9), 400), envelope(2, to(9), 100_000)]).await?;
    ensure!(repeats == [Outcome::Known; 2], "{what}: repeats are {repeats:?}");
    let newest = kept.room.last().map(|(n, _)| *n).unwrap_or_default();
    let n = desk.stored(1, vec![envelope(100, to(8), 10)]).await?;
    ensure!(n.iter().all(|n| *n > newest), "{what}: after number {newest} comes {n:?}");
    Ok(())
}

pub(super) async fn everything_is_there_after_a_restart(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    let kept = keep(&desk).await?;
    desk.close().await?;
    let desk = Desk::open(shelf)?;
    must_be_kept(&desk, &kept, "after a restart").await?;
    desk.close().await
}

pub(super) async fn a_kill_loses_nothing_that_was_answered(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    let kept = keep(&desk).await?;
    let Some(after) = shelf.after_a_kill() else {
        note("nobody can tell what a kill leaves of this mailbox, so none was tried");
        return desk.close().await;
    };
    desk.close().await?;
    let desk = Desk::open(&*after)?;
    must_be_kept(&desk, &kept, "after a kill").await?;
    desk.close().await
}

pub(super) async fn a_power_cut_loses_nothing_that_was_answered(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    let kept = keep(&desk).await?;
    let Some(after) = shelf.after_a_power_cut() else {
        note("nobody can cut the power of this mailbox's disk, so that was not tried");
        return desk.close().await;
    };
    drop(desk);
    let desk = Desk::open(&*after)?;
    must_be_kept(&desk, &kept, "after a power cut").await?;
    desk.close().await
}
