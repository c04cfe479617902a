//! Rooms: who is in them, who may write, who gets what.

use std::collections::BTreeSet;

use bytes::Bytes;
use chat_core::testing::{Must as _, Violation};
use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;

use super::desk::{Desk, content, envelope, peer, room, soon};
use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::{Joined, Outcome};

fn all() -> Result<Recipient, Violation> {
    Ok(Recipient::Room(room("#all")?))
}

/// Stored once, the same bytes to everybody but who sent them.
pub(super) async fn a_rooms_envelope_reaches_every_other_member(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    for seed in [1, 8, 9] {
        desk.attached(seed).await?;
        desk.join(seed, "#all").await?;
    }
    desk.join(1, "#other").await?;
    desk.join(7, "#other").await?;
    let n = desk.stored(1, vec![envelope(1, all()?, 5000), envelope(2, all()?, 10)]).await?;
    let expected: Vec<(u64, Bytes)> = n.into_iter().zip([content(1, 5000), content(2, 10)]).collect();
    for seed in [8, 9] {
        desk.must_wait(seed, &expected, "of a room").await?;
    }
    desk.must_wait(1, &[], "of what one sent oneself").await?;
    desk.must_wait(7, &[], "of another room").await?;
    desk.close().await
}

pub(super) async fn only_members_write_to_a_room(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    desk.join(8, "#all").await?;
    desk.join(7, "#all").await?;
    desk.leave(7, "#all").await?;
    let nowhere = Recipient::Room(room("#nowhere")?);
    for (from, to) in [(1, all()?), (7, all()?), (8, nowhere)] {
        let outcomes = desk.store(from, vec![envelope(1, to.clone(), 10)]).await?;
        ensure!(
            outcomes == [Outcome::Refused(Refusal::NotAllowed)],
            "what {from}, who is no member, sends to {to:?} is {outcomes:?}"
        );
    }
    desk.must_wait(8, &[], "from those who are no members").await?;
    // A refusal is not remembered as if it had been stored.
    desk.stored(8, vec![envelope(1, all()?, 10)]).await?;
    desk.close().await
}

pub(super) async fn who_joins_gets_what_comes_from_then_on(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    for seed in [1, 8] {
        desk.join(seed, "#all").await?;
    }
    desk.stored(1, vec![envelope(1, all()?, 10)]).await?;
    desk.join(9, "#all").await?;
    let n = desk.stored(1, vec![envelope(2, all()?, 10)]).await?;
    let expected: Vec<_> = n.into_iter().map(|n| (n, content(2, 10))).collect();
    desk.must_wait(9, &expected, "of a room joined late").await?;
    desk.leave(9, "#all").await?;
    desk.stored(1, vec![envelope(3, all()?, 10)]).await?;
    desk.must_wait(9, &[], "of a room that was left").await?;
    desk.join(9, "#all").await?;
    desk.must_wait(9, &[], "of a room that was left and joined again").await?;
    desk.close().await
}

pub(super) async fn memberships_are_told(shelf: &dyn Shelf) -> Result<(), Violation> {
    const MEMBERS: u8 = 40;
    let desk = Desk::open(shelf)?;
    for seed in 1..=MEMBERS {
        if seed % 2 == 0 {
            desk.publish(seed, "somebody", 1, content(seed.into(), 100)).await?;
        }
        let joined = desk.join(seed, "#all").await?;
        let bundle = (seed % 2 == 0).then(|| content(seed.into(), 100));
        ensure!(joined == Joined::New { bundle }, "who joins with a bundle or without is told {joined:?}");
        let again = desk.join(seed, "#all").await?;
        ensure!(again == Joined::Already, "who is there already is told {again:?}");
    }
    desk.join(1, "#other").await?;
    let rooms: BTreeSet<_> = desk.attached(1).await?.rooms.into_iter().collect();
    let expected = [room("#all")?, room("#other")?].into_iter().collect();
    ensure!(rooms == expected, "the rooms of a member are {rooms:?}");
    for max_bytes in [usize::MAX, 350, 0] {
        roster_is_whole(&desk, MEMBERS, max_bytes).await?;
    }
    let left = (desk.leave(1, "#all").await?, desk.leave(1, "#all").await?, desk.leave(1, "#no").await?);
    ensure!(left == (true, false, false), "leaving once, twice and nowhere says {left:?}");
    let members = soon("reading", desk.members(room("#all")?)).await?.must("reading members")?;
    ensure!(members.len() == usize::from(MEMBERS) - 1, "{} members are left", members.len());
    desk.close().await
}

/// In pieces that are bounded and fit together.
async fn roster_is_whole(desk: &Desk, members: u8, max_bytes: usize) -> Result<(), Violation> {
    let (mut position, mut seen) = (Some(0), BTreeSet::new());
    while let Some(from) = position {
        let piece = desk.0.roster(room("#all")?, from, max_bytes);
        let piece = soon("reading", piece).await?.must("reading a roster")?;
        let bytes: usize = piece.entries.iter().filter_map(|it| it.bundle.as_ref()).map(Bytes::len).sum();
        // One member's bundle may be over it.
        ensure!(
            bytes <= max_bytes.saturating_add(100),
            "{bytes} bytes of bundles, and {max_bytes} were asked for"
        );
        ensure!(piece.next.is_none_or(|next| next > from), "a roster goes round at {from}");
        for entry in piece.entries {
            let seed = entry.peer.0.first().copied().unwrap_or_default();
            let bundle = (seed % 2 == 0).then(|| content(seed.into(), 100));
            ensure!(entry.bundle == bundle, "the roster has another bundle of a member than was published");
            ensure!(seen.insert(entry.peer), "a member is twice in the roster");
        }
        position = piece.next;
    }
    let expected: BTreeSet<_> = (1..=members).map(peer).collect();
    ensure!(seen == expected, "the roster has {} of {members} members", seen.len());
    Ok(())
}

pub(super) async fn rooms_and_members_are_bounded(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { rooms_per_peer: 2, members_per_room: 3, ..MailboxLimits::default() };
    let desk = Desk::with(shelf, &limits)?;
    for seed in 1..=3 {
        let joined = desk.join(seed, "#all").await?;
        ensure!(matches!(joined, Joined::New { .. }), "there is room, and who joins is told {joined:?}");
    }
    let joined = desk.join(4, "#all").await?;
    ensure!(joined == Joined::RoomFull, "who joins a full room is told {joined:?}");
    desk.join(1, "#two").await?;
    let joined = desk.join(1, "#three").await?;
    ensure!(joined == Joined::TooManyRooms, "who has all rooms one may have is told {joined:?}");
    let members = soon("reading", desk.members(room("#three")?)).await?.must("reading members")?;
    ensure!(members.is_empty(), "a room that could not be joined has members");
    desk.leave(2, "#all").await?;
    let joined = desk.join(4, "#all").await?;
    ensure!(matches!(joined, Joined::New { .. }), "somebody left, and who joins is told {joined:?}");
    desk.close().await
}
