//! Storing, reading, acknowledging, forgetting.

use bytes::Bytes;
use chat_core::testing::{Must as _, Violation};

use super::desk::{Desk, NOW, content, envelope, numbers, peer, room, soon, to};
use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::{Outcome, Write};
use chat_core::wire::Recipient;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) async fn every_byte_comes_back_in_order(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    let sizes = [1, 2, 255, 256, 1000, 4096, 65_535, 65_536, 300_000, 1 << 20, 0, 7];
    let mut expected = [Vec::new(), Vec::new()];
    for (number, len) in (0..).zip(sizes) {
        // One sender after the other, one recipient after the other.
        for (seed, expected) in [8, 9].into_iter().zip(&mut expected) {
            let number = number * 2 + u64::from(seed);
            let from = 1 + u8::try_from(number % 3).unwrap_or_default();
            let n = desk.stored(from, vec![envelope(number, to(seed), len)]).await?;
            expected.extend(n.into_iter().map(|n| (n, content(number, len))));
        }
    }
    for (seed, expected) in [8, 9].into_iter().zip(&expected) {
        desk.must_wait(seed, expected, "envelopes of all sizes").await?;
    }
    desk.must_wait(1, &[], "of those who sent").await?;
    desk.must_wait(7, &[], "of somebody else").await?;
    desk.close().await
}

pub(super) async fn numbers_grow_and_are_never_used_twice(shelf: &dyn Shelf) -> Result<(), Violation> {
    let mut last = 0;
    for round in 0..4u64 {
        let desk = Desk::open(shelf)?;
        desk.attached(9).await?;
        let batch: Vec<_> = (0..5).map(|i| envelope(round * 100 + i, to(9), 10)).collect();
        let mut given = desk.stored(1, batch).await?;
        given.extend(desk.stored(2, vec![envelope(round * 100 + 50, to(8), 10)]).await?);
        for n in &given {
            ensure!(*n > last, "number {n} was given after {last}");
            last = *n;
        }
        // What had the highest numbers is gone in one way or the other when it is opened again.
        match round {
            0 => drop(desk.ack(9, last).await?),
            1 => desk.write(Write::Discard { numbers: given }).await?,
            _ => {}
        }
        desk.close().await?;
    }
    Ok(())
}

/// By recipient and id, whoever sends it and whatever is in it.
pub(super) async fn a_repeat_is_known(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    desk.join(1, "#all").await?;
    let all = Recipient::Room(room("#all")?);
    let first = desk.stored(1, vec![envelope(5, to(9), 100), envelope(5, all.clone(), 100)]).await?;
    let n = desk.stored(1, vec![envelope(5, to(8), 100)]).await?;
    ensure!(!first.is_empty() && n.len() == 1, "one id for two recipients");
    for again in [envelope(5, to(9), 100), envelope(5, all, 100), envelope(5, to(8), 70)] {
        let outcomes = desk.store(1, vec![again.clone(), again]).await?;
        ensure!(outcomes == [Outcome::Known; 2], "a repeat is {outcomes:?}");
    }
    let twice = desk.store(1, vec![envelope(6, to(9), 10), envelope(6, to(9), 10)]).await?;
    ensure!(
        matches!(twice[..], [Outcome::Stored(_), Outcome::Known]),
        "the same envelope twice in a change is {twice:?}"
    );
    let waiting = desk.waiting(9, 0).await?;
    ensure!(waiting.len() == 2, "{} envelopes wait, and two were stored", waiting.len());
    ensure!(waiting.iter().all(|(_, bytes)| *bytes != content(5, 70)), "a repeat replaced what was there");
    desk.close().await
}

/// The sender lacks a receipt that only the recipient can give.
pub(super) async fn a_repeat_of_what_was_acknowledged_comes_again_but_seldom(
    shelf: &dyn Shelf,
) -> Result<(), Violation> {
    let limits = MailboxLimits { redeliver_ms: 60_000, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    let again = || vec![envelope(5, to(9), 100)];
    let first = numbers(&desk.store_at(1, again(), NOW).await?)?;
    let outcome = desk.store_at(1, again(), NOW + 500_000).await?;
    ensure!(outcome == [Outcome::Known], "a repeat of what still waits is {outcome:?}");
    desk.ack(9, first.last().copied().unwrap_or_default()).await?;
    let outcome = desk.store_at(1, again(), NOW + 59_999).await?;
    ensure!(outcome == [Outcome::Known], "a repeat within redeliver_ms is {outcome:?}");
    desk.must_wait(9, &[], "a repeat within redeliver_ms").await?;
    let second = numbers(&desk.store_at(1, again(), NOW + 60_000).await?)?;
    let expected: Vec<_> = second.into_iter().map(|n| (n, content(5, 100))).collect();
    desk.must_wait(9, &expected, "a repeat after redeliver_ms").await?;
    desk.close().await
}

pub(super) async fn what_was_acknowledged_is_gone(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    for seed in [1, 8, 9] {
        desk.attached(seed).await?;
        desk.join(seed, "#all").await?;
    }
    let all = Recipient::Room(room("#all")?);
    let batch = (0..6).map(|i| envelope(i, if i % 2 == 0 { to(9) } else { all.clone() }, 10));
    let n = desk.stored(1, batch.collect()).await?;
    let [_, _, _, fourth, fifth, sixth] = n[..] else { return Err(Violation::new("not six numbers")) };
    let attached = desk.ack(9, fourth).await?;
    ensure!(attached.cursor == fourth, "{fourth} was acknowledged, and the cursor is {}", attached.cursor);
    let rest = [(fifth, content(4, 10)), (sixth, content(5, 10))];
    desk.must_wait(9, &rest, "after an acknowledgement").await?;
    // An old one takes nothing back.
    let attached = desk.ack(9, fourth - 1).await?;
    ensure!(attached.cursor == fourth, "an acknowledgement went back to {}", attached.cursor);
    desk.must_wait(9, &rest, "after an older acknowledgement").await?;
    let others: Vec<_> =
        n.iter().zip(0..).filter(|(_, i)| i % 2 == 1).map(|(n, i)| (*n, content(i, 10))).collect();
    desk.must_wait(8, &others, "another member's, who has acknowledged nothing").await?;
    let attached = desk.attached(8).await?;
    ensure!(attached.cursor == 0, "who has acknowledged nothing has the cursor {}", attached.cursor);
    desk.close().await
}

/// Numbers that were not given yet can't be acknowledged.
pub(super) async fn an_acknowledgement_of_the_future_skips_nothing(
    shelf: &dyn Shelf,
) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    desk.attached(9).await?;
    desk.stored(1, vec![envelope(1, to(9), 10)]).await?;
    for through in [1 << 40, u64::MAX] {
        desk.ack(9, through).await?;
        let n = desk.stored(1, vec![envelope(through, to(9), 10)]).await?;
        let expected: Vec<_> = n.into_iter().map(|n| (n, content(through, 10))).collect();
        desk.must_wait(9, &expected, "stored after an acknowledgement of more than there was").await?;
        desk.write(Write::Discard { numbers: expected.iter().map(|(n, _)| *n).collect() }).await?;
    }
    desk.close().await
}

pub(super) async fn pages_are_bounded_and_fit_together(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    for seed in [1, 9] {
        desk.join(seed, "#all").await?;
    }
    let all = Recipient::Room(room("#all")?);
    let len = |i: u64| usize::try_from(i * 100).unwrap_or_default();
    let batch = (0..30).map(|i| envelope(i, if i % 3 == 0 { all.clone() } else { to(9) }, len(i)));
    let n = desk.stored(1, batch.collect()).await?;
    // The newest number is somebody else's.
    let newest = desk.stored(1, vec![envelope(99, to(5), 1)]).await?;
    let newest = newest.first().copied().unwrap_or_default();
    let expected: Vec<(u64, Bytes)> = n.into_iter().zip((0..).map(|i| content(i, len(i)))).collect();
    for (max_items, max_bytes) in [(1, usize::MAX), (7, usize::MAX), (30, 3000), (30, 0), (100, usize::MAX)] {
        let what = format!("pages of at most {max_items} envelopes and {max_bytes} bytes");
        let (mut after, mut got, mut more) = (0, Vec::new(), true);
        while more {
            let page = desk.0.waiting(peer(9), after, max_items, max_bytes);
            let page = soon("reading a page", page).await?.must("reading a page")?;
            let bytes: usize = page.items.iter().map(|(_, bytes)| bytes.len()).sum();
            let bounded = page.items.len() <= max_items && (bytes <= max_bytes || page.items.len() == 1);
            ensure!(bounded, "{what}: one has {} and {bytes}", page.items.len());
            ensure!(page.through > after || !page.more, "{what} do not get on after {after}");
            ensure!(!page.more || !page.items.is_empty(), "{what}: an empty one says that there is more");
            got.extend(page.items);
            (after, more) = (page.through, page.more);
        }
        ensure!(got == expected, "{what} do not fit together: {} envelopes of {}", got.len(), expected.len());
        let last = got.last().map(|(n, _)| *n).unwrap_or_default();
        ensure!(after >= last && after <= newest, "{what}: the last ends at {after}, not {last} to {newest}");
    }
    desk.close().await
}

pub(super) async fn what_was_discarded_is_stored_again(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    let batch = || (0..3).map(|i| envelope(i, to(9), 10)).collect::<Vec<_>>();
    let n = desk.stored(1, batch()).await?;
    let [first, second, third] = n[..] else { return Err(Violation::new("not three numbers")) };
    desk.write(Write::Discard { numbers: vec![second, u64::MAX] }).await?;
    let again = desk.store(1, batch()).await?;
    let [Outcome::Known, Outcome::Stored(anew), Outcome::Known] = again[..] else {
        return Err(Violation::new(format!("the second was discarded, and the three are {again:?}")));
    };
    let expected = [(first, content(0, 10)), (third, content(2, 10)), (anew, content(1, 10))];
    desk.must_wait(9, &expected, "after a discard").await?;
    desk.close().await
}

pub(super) async fn what_is_too_old_is_forgotten(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { ttl_ms: 30 * DAY_MS, unseen_ms: 30 * DAY_MS, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    for seed in [1, 8, 9] {
        desk.attach_at(seed, NOW).await?;
        desk.join(seed, "#all").await?;
    }
    desk.store_at(1, vec![envelope(1, to(9), 10)], NOW).await?;
    let n = numbers(&desk.store_at(1, vec![envelope(2, to(9), 10)], NOW + 20 * DAY_MS).await?)?;
    // Peer 8 has come back, peer 1 is there now, and 9 was not seen any more.
    desk.attach_at(8, NOW + 20 * DAY_MS).await?;
    // Whoever never says anything may be forgotten sooner.
    desk.store_at(8, vec![envelope(8, to(1), 10)], NOW + 20 * DAY_MS).await?;
    let swept = desk.sweep(NOW + 31 * DAY_MS, &[1]).await?;
    ensure!(swept.rooms == [room("#all")?], "rooms that lost a member: {:?}", swept.rooms);
    let rest: Vec<_> = n.into_iter().map(|n| (n, content(2, 10))).collect();
    desk.must_wait(9, &rest, "after 31 days").await?;
    let mut members = soon("reading", desk.members(room("#all")?)).await?.must("reading members")?;
    members.sort_unstable();
    ensure!(members == [peer(1), peer(8)], "members after 31 days: {members:?}");
    let again = desk.store_at(1, vec![envelope(1, to(9), 10)], NOW + 31 * DAY_MS).await?;
    ensure!(matches!(again[..], [Outcome::Stored(_)]), "a repeat of what was forgotten is {again:?}");
    desk.close().await
}
