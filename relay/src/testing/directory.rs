//! The directory: bundles by peer and by name.

use chat_core::testing::{Must as _, Violation};

use super::desk::{Desk, content, envelope, nick, peer, soon, to};
use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::{Entry, Published, Query};

async fn find(desk: &Desk, whom: Query, max_bytes: usize) -> Result<Vec<Entry>, Violation> {
    soon("finding", desk.0.find(whom, max_bytes)).await?.must("finding")
}

pub(super) async fn the_newest_bundle_counts(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    let steps = [(100, Published::New), (100, Published::Old), (99, Published::Old), (101, Published::New)];
    let mut newest = 0;
    for (created, expected) in steps {
        let published = desk.publish(1, "alice", created, content(created, 200)).await?;
        ensure!(published == expected, "a bundle made at {created} is {published:?}, not {expected:?}");
        newest = newest.max(created);
        let found = find(&desk, Query::Peer(peer(1)), 1000).await?;
        let expected = [Entry { peer: peer(1), bundle: Some(content(newest, 200)) }];
        ensure!(found == expected, "the bundle made at {newest} is not what is found");
    }
    desk.close().await
}

pub(super) async fn who_is_known_is_found(shelf: &dyn Shelf) -> Result<(), Violation> {
    let desk = Desk::open(shelf)?;
    desk.publish(3, "bob", 1, content(3, 100)).await?;
    desk.publish(2, "alice", 1, content(2, 100)).await?;
    desk.publish(1, "alice", 1, content(1, 100)).await?;
    let peers = |found: Vec<Entry>| found.into_iter().map(|entry| entry.peer).collect::<Vec<_>>();
    let alices = peers(find(&desk, Query::Nick(nick("alice")?), 1000).await?);
    ensure!(alices == [peer(2), peer(1)], "who has been known longest comes first, and not {alices:?}");
    for max_bytes in [0, 100, 199] {
        let first = peers(find(&desk, Query::Nick(nick("alice")?), max_bytes).await?);
        ensure!(first == [peer(2)], "within {max_bytes} bytes these are found: {first:?}");
    }
    // Under another name from now on.
    desk.publish(2, "bob", 2, content(2, 100)).await?;
    let alices = peers(find(&desk, Query::Nick(nick("alice")?), 1000).await?);
    ensure!(alices == [peer(1)], "after a change of name these are alice: {alices:?}");
    for nobody in [Query::Peer(peer(9)), Query::Nick(nick("nobody")?)] {
        let found = find(&desk, nobody, 1000).await?;
        ensure!(found.is_empty(), "nobody is found as {found:?}");
    }
    desk.close().await
}

/// One way: who is written to has not written.
pub(super) async fn who_has_written_is_known(shelf: &dyn Shelf) -> Result<(), Violation> {
    for reopened in [false, true] {
        let desk = Desk::open(shelf)?;
        for seed in [1, 2] {
            desk.attached(seed).await?;
        }
        if !reopened {
            desk.stored(1, vec![envelope(1, to(2), 100)]).await?;
            desk.ack(2, 1).await?;
        }
        for (from, of, expected) in [(1, 2, true), (2, 1, false), (1, 1, false), (9, 2, false), (1, 9, false)]
        {
            let has_written =
                soon("asking", desk.0.has_written(peer(from), peer(of))).await?.must("asking")?;
            ensure!(has_written == expected, "whether {from} has written to {of} is {has_written}");
        }
        desk.close().await?;
    }
    Ok(())
}

pub(super) async fn the_directory_is_bounded(shelf: &dyn Shelf) -> Result<(), Violation> {
    let limits = MailboxLimits { directory_bytes: 450, ..MailboxLimits::default() };
    for reopened in [false, true] {
        let desk = Desk::with(shelf, &limits)?;
        if !reopened {
            for seed in [1, 2] {
                let published = desk.publish(seed, "somebody", 1, content(1, 200)).await?;
                ensure!(published == Published::New, "there is room, and a bundle is {published:?}");
            }
        }
        let published = desk.publish(3, "somebody", 1, content(1, 200)).await?;
        ensure!(published == Published::Full, "the directory is full, and a bundle is {published:?}");
        let created = if reopened { 3 } else { 2 };
        let published = desk.publish(2, "somebody", created, content(1, 200)).await?;
        ensure!(published == Published::New, "in the place of one's older bundle, a bundle is {published:?}");
        desk.close().await?;
    }
    Ok(())
}
