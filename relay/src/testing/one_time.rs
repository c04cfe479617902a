//! One-time keys: kept for their owners, given out once.

use bytes::Bytes;
use chat_core::Timestamp;
use chat_core::testing::{Must as _, Violation};

use super::desk::{Desk, NOW, content, peer};
use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::{Stocked, Taken, Write};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const MONTH_MS: u64 = 30 * DAY_MS;

/// Whom a rule's askers are; the owner is peer 1.
const ASKERS: std::ops::Range<u8> = 10..200;

async fn put(desk: &Desk, numbers: &[u64], anew: bool, now: u64) -> Result<Stocked, Violation> {
    let (peer, now) = (peer(1), Timestamp(now));
    let keys = numbers.iter().map(|number| (content(*number, 100), now.plus_ms(MONTH_MS))).collect();
    desk.ask(|done| Write::OneTimeKeys { peer, keys, anew, now, done }).await?.must("putting one-time keys")
}

async fn take_at(desk: &Desk, asker: u8, now: u64) -> Result<Taken, Violation> {
    let (owner, asker, now) = (peer(1), peer(asker), Timestamp(now));
    let take = desk.ask(|done| Write::TakeOneTimeKey { peer: owner, asker, now, done });
    take.await?.must("taking a one-time key")
}

async fn take(desk: &Desk, asker: u8) -> Result<Taken, Violation> {
    take_at(desk, asker, NOW).await
}

/// A mailbox in which the owner and all askers are known.
async fn desk(shelf: &dyn Shelf, limits: &MailboxLimits) -> Result<Desk, Violation> {
    let desk = Desk::with(shelf, limits)?;
    for seed in std::iter::once(1).chain(ASKERS) {
        desk.attached(seed).await?;
    }
    Ok(desk)
}

/// All may be had, by whoever asks.
fn open_handed() -> MailboxLimits {
    MailboxLimits { one_time_keys_floor: 0, one_time_keys_per_asker: 100, ..MailboxLimits::default() }
}

fn given(number: u64, left: u32) -> Taken {
    Taken { key: Some(content(number, 100)), left }
}

/// Each by itself, the oldest first, also after a restart; and the owner is told what is left.
pub(super) async fn a_one_time_key_is_given_out_once(shelf: &dyn Shelf) -> Result<(), Violation> {
    let all = open_handed();
    let first = desk(shelf, &all).await?;
    ensure!(
        take(&first, 10).await? == Taken { key: None, left: 0 },
        "a key is given out that nobody has put there"
    );
    ensure!(put(&first, &[1, 2, 3, 4, 5], false, NOW).await? == Stocked::Left(5), "not all are kept");
    for (asker, number, left) in [(10, 1, 4), (11, 2, 3)] {
        let taken = take(&first, asker).await?;
        ensure!(taken == given(number, left), "the key {number} is to be given, {left} are left: {taken:?}");
    }
    first.close().await?;
    let second = Desk::with(shelf, &all)?;
    let left = second.attached(1).await?.one_time_keys;
    ensure!(left == 3, "the owner is told of {left} keys, not 3");
    for (asker, expected) in [(12, given(3, 2)), (13, given(4, 1)), (14, given(5, 0))] {
        ensure!(take(&second, asker).await? == expected, "another key than {expected:?} is given");
    }
    ensure!(take(&second, 15).await?.key.is_none(), "a key is given out though none is left");
    second.close().await
}

/// Keys of which their owner says so are forgotten, those that have expired are not given out, and over the bound the
/// oldest go.
pub(super) async fn one_time_keys_end(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = desk(shelf, &MailboxLimits { one_time_keys: 4, ..open_handed() }).await?;
    put(&desk, &[1, 2, 3], false, NOW).await?;
    ensure!(
        put(&desk, &[4, 5], true, NOW).await? == Stocked::Left(2),
        "older keys are kept though the owner ended them"
    );
    ensure!(take(&desk, 10).await? == given(4, 1), "a key is given out that its owner has ended");
    ensure!(put(&desk, &[6, 7, 8, 9], false, NOW).await? == Stocked::Left(4), "more than 4 are kept");
    ensure!(take(&desk, 11).await? == given(6, 3), "over the bound, another than the oldest went");
    let later = NOW + MONTH_MS;
    let expired = take_at(&desk, 12, later).await?;
    ensure!(
        expired == Taken { key: None, left: 0 },
        "a key that has expired is given out or counted: {expired:?}"
    );
    ensure!(put(&desk, &[], true, NOW).await? == Stocked::Left(0), "keys are left that their owner ended");
    desk.close().await
}

pub(super) async fn one_time_keys_are_bounded(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = desk(shelf, &MailboxLimits { directory_bytes: 450, ..open_handed() }).await?;
    ensure!(put(&desk, &[1, 2, 3, 4], false, NOW).await? == Stocked::Left(4), "there is room for 4 keys");
    ensure!(
        put(&desk, &[5], false, NOW).await? == Stocked::Full,
        "the directory is full, and a key is taken in"
    );
    take(&desk, 10).await?;
    ensure!(put(&desk, &[5], false, NOW).await? == Stocked::Left(4), "there is room again");
    desk.close().await
}

/// Not by asking again and again, but the next day.
pub(super) async fn one_asker_does_not_get_all_one_time_keys(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { one_time_keys_per_asker: 2, ..open_handed() };
    let desk = desk(shelf, &limits).await?;
    put(&desk, &[1, 2, 3, 4, 5], false, NOW).await?;
    let greedy = |taken: Taken| taken.key;
    let mut had: Vec<Option<Bytes>> = Vec::new();
    for _ in 0..4 {
        had.push(greedy(take(&desk, 10).await?));
    }
    let count = had.iter().flatten().count();
    ensure!(count == 2, "one asker gets {count} keys a day, not 2");
    ensure!(take(&desk, 11).await?.key.is_some(), "another asker gets none");
    ensure!(take_at(&desk, 10, NOW + DAY_MS).await?.key.is_some(), "the next day, the asker gets none");
    desk.close().await
}

/// A crowd of askers, each of them once, does not get the last ones before their owner has had time to come.
pub(super) async fn the_last_one_time_keys_go_slowly(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { one_time_keys_floor: 3, one_time_keys_floor_ms: 1000, ..open_handed() };
    let desk = desk(shelf, &limits).await?;
    put(&desk, &(1..=8).collect::<Vec<_>>(), false, NOW).await?;
    let mut had = 0;
    for asker in 10..30 {
        had += usize::from(take(&desk, asker).await?.key.is_some());
    }
    ensure!(had == 5, "{had} of 8 keys are gone at once, not 5");
    for (asker, after_ms, gives) in [(30, 999, false), (31, 1000, true), (32, 1999, false), (33, 2000, true)]
    {
        let taken = take_at(&desk, asker, NOW + after_ms).await?;
        ensure!(taken.key.is_some() == gives, "after {after_ms} ms, at the floor: {taken:?}");
    }
    put(&desk, &(9..=16).collect::<Vec<_>>(), false, NOW + 2000).await?;
    ensure!(take_at(&desk, 34, NOW + 2000).await?.key.is_some(), "above the floor again, none is given");
    desk.close().await
}
