//! What [`Mailbox::write`](crate::Mailbox::write) promises of its answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chat_core::Timestamp;
use chat_core::testing::{Must as _, Violation};
use tokio::sync::oneshot;

use super::desk::{Desk, NOW, content, envelope, everybody, nick, peer, polled_once, room, soon, to};
use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::{Done, Outcome, Query, Write};

/// A change of one kind or another, which says its number when it is answered.
fn change(number: usize, told: impl Fn() + Send + 'static) -> Result<Write, Violation> {
    let seed = u8::try_from(number % 5).unwrap_or_default() + 1;
    let (peer, now) = (peer(seed), Timestamp(NOW));
    Ok(match number % 6 {
        0 | 1 => {
            let envelopes = vec![envelope(number as u64, to(9), 100 * (number % 7))];
            Write::Store { from: peer, payer: 0, envelopes, now, done: Box::new(move |_| told()) }
        }
        2 => Write::Attach { peer, now, done: Box::new(move |_| told()) },
        3 => {
            let (created, bundle) = (Timestamp(number as u64), content(number as u64, 300));
            Write::Publish {
                peer,
                nick: nick("somebody")?,
                created,
                now,
                bundle,
                done: Box::new(move |_| told()),
            }
        }
        4 => {
            Write::Join { peer, room: room("#all")?, is_online: everybody(), done: Box::new(move |_| told()) }
        }
        _ => Write::Leave { peer, room: room("#all")?, done: Box::new(move |_| told()) },
    })
}

pub(super) async fn answers_come_in_the_order_of_the_changes(shelf: &dyn Shelf) -> Result<(), Violation> {
    const CHANGES: usize = 300;
    let desk = Desk::open(shelf)?;
    let order = Arc::new(Mutex::new(Vec::new()));
    let (all, answered) = oneshot::channel();
    let mut all = Some(all);
    for number in 0..CHANGES {
        let (order, all) = (Arc::clone(&order), Mutex::new(all.take_if(|_| number == CHANGES - 1)));
        let told = move || {
            order.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            if let Some(all) = all.lock().unwrap_or_else(PoisonError::into_inner).take() {
                all.send(()).ok();
            }
        };
        desk.write(change(number, told)?).await?;
    }
    soon("the last answer", answered).await?.must("the last answer")?;
    let order = order.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let late = order.array_windows().find(|[one, next]| one >= next);
    ensure!(late.is_none(), "these were answered one after the other: {late:?}");
    desk.close().await
}

pub(super) async fn every_change_is_answered(shelf: &dyn Shelf) -> Result<(), Violation> {
    const CHANGES: usize = 120;
    let desk = Desk::open(shelf)?;
    let answered = Arc::new(Mutex::new(BTreeSet::new()));
    for number in 0..CHANGES {
        let answered = Arc::clone(&answered);
        let told = move || {
            answered.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        };
        desk.write(change(number, told)?).await?;
    }
    // Whatever is not answered by then never will be.
    desk.close().await?;
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let missing: Vec<_> = (0..CHANGES).filter(|number| !answered.contains(number)).collect();
    ensure!(missing.is_empty(), "of {CHANGES} changes these were never answered: {missing:?}");
    Ok(())
}

/// Its panic is nobody else's.
pub(super) async fn an_answer_that_panics_is_lost_alone(shelf: &dyn Shelf) -> Result<(), Violation> {
    /// Whatever it is given, it panics.
    fn panicking<T: 'static>() -> Done<T> {
        Box::new(|_| std::panic::resume_unwind(Box::new("an answer that panics, as a test")))
    }
    let desk = Desk::open(shelf)?;
    let (from, now) = (peer(1), Timestamp(NOW));
    let envelopes = vec![envelope(1, to(9), 10)];
    desk.write(Write::Store { from, payer: 0, envelopes, now, done: panicking() }).await?;
    desk.write(Write::Attach { peer: peer(9), now, done: panicking() }).await?;
    let n = desk.stored(1, vec![envelope(2, to(9), 10)]).await?;
    let waiting = desk.waiting(9, 0).await?;
    ensure!(waiting.len() == 2, "{} envelopes wait, and 2 were stored", waiting.len());
    ensure!(
        waiting.last().map(|(n, _)| *n) == n.first().copied(),
        "the one behind a panic has another number"
    );
    desk.close().await
}

pub(super) async fn reads_see_what_was_answered(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    desk.attached(1).await?;
    let mut expected = Vec::new();
    for round in 0..20u8 {
        let number = u64::from(round);
        let n = desk.stored(1, vec![envelope(number, to(9), 50)]).await?;
        expected.extend(n.into_iter().map(|n| (n, content(number, 50))));
        desk.must_wait(9, &expected, "right after the answer").await?;
        let member = 100 + round;
        desk.join(member, "#all").await?;
        let members = soon("reading", desk.members(room("#all")?)).await?.must("reading members")?;
        ensure!(members.contains(&peer(member)), "who has joined is not among the members");
        desk.publish(member, "somebody", 1, content(number, 20)).await?;
        let found = soon("reading", desk.0.find(Query::Peer(peer(member)), 1000)).await?.must("finding")?;
        ensure!(found.len() == 1, "what was published is not found");
        desk.leave(member, "#all").await?;
        let members = soon("reading", desk.members(room("#all")?)).await?.must("reading members")?;
        ensure!(!members.contains(&peer(member)), "who has left is among the members");
    }
    desk.close().await
}

/// While the queue is full, a `write` waits; dropped then, it has done nothing.
pub(super) async fn dropping_write_queues_nothing(shelf: &dyn Shelf) -> Result<(), Violation> {
    const CHANGES: u64 = 200;
    // Room for a few at a time.
    let limits = MailboxLimits { queue_bytes: 16 << 10, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    let (mut queued, answered) = (Vec::new(), Arc::new(Mutex::new(Vec::new())));
    for number in 0..CHANGES {
        let told = Arc::clone(&answered);
        let done: Done<Vec<Outcome>> = Box::new(move |outcomes| {
            let stored = matches!(outcomes.as_deref(), Ok([Outcome::Stored(_)]));
            told.lock().unwrap_or_else(PoisonError::into_inner).push((number, stored));
        });
        let envelopes = vec![envelope(number, to(9), 2000)];
        let change = Write::Store { from: peer(1), payer: 0, envelopes, now: Timestamp(NOW), done };
        match polled_once(desk.0.write(change)) {
            Some(()) => queued.push(number),
            None => tokio::task::yield_now().await,
        }
    }
    // Behind all of them.
    let last = desk.stored(1, vec![envelope(CHANGES, to(9), 10)]).await?;
    let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
    answered.sort_unstable();
    let expected: Vec<(u64, bool)> = queued.iter().map(|number| (*number, true)).collect();
    ensure!(
        answered == expected,
        "of {CHANGES} changes these were queued: {queued:?}, and these answered: {answered:?}"
    );
    let waiting: Vec<_> = desk.waiting(9, 0).await?.into_iter().map(|(_, bytes)| bytes).collect();
    let stored: Vec<_> = queued.iter().map(|number| content(*number, 2000)).collect();
    let all = waiting.strip_suffix(&[content(CHANGES, 10)]);
    ensure!(all == Some(&stored[..]), "other envelopes are stored than were queued");
    ensure!(last.len() == 1, "the last one was not stored");
    desk.close().await
}
