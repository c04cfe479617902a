//! The thread that reads, on a connection of its own: what is committed, as of one moment.

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::mpsc::Receiver;

use super::super::{Entry, Page, Query, Roster};
use super::log::checksum;
use super::writer::{from_sql, to_sql};

/// A query, which also answers whoever asked.
pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Most peers in one answer to [`find`].
const MAX_FOUND: i64 = 64;
/// Most members in one piece of a roster.
const ROSTER_ROWS: i64 = 256;

/// Until nobody can ask any more.
pub(super) async fn run(db: Connection, mut reads: Receiver<Read>) {
    while let Some(read) = reads.recv().await {
        read(&db);
    }
}

/// A peer's row, and up to which number it has acknowledged.
fn peer_row(db: &Connection, peer: PeerId) -> rusqlite::Result<Option<(i64, i64)>> {
    db.prepare_cached("SELECT id, acked FROM peers WHERE peer = ?1")?
        .query_row([peer.as_ref()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn knows(db: &Connection, peer: PeerId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM peers WHERE peer = ?1 AND last_seen > 0")?.exists([peer.as_ref()])
}

/// Number and size of what waits in one box, oldest first, up to `limit`.
fn waiting_in(
    db: &Connection,
    box_id: i64,
    not_from: i64,
    after: i64,
    limit: i64,
    found: &mut Vec<(i64, usize)>,
) -> rusqlite::Result<()> {
    let mut query = db.prepare_cached(
        "SELECT n, size FROM log WHERE box = ?1 AND n > ?2 AND sender <> ?3 ORDER BY n LIMIT ?4",
    )?;
    let mut rows = query.query(params![box_id, after, not_from, limit])?;
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX)));
    }
    Ok(())
}

pub(super) fn waiting(
    db: &Connection,
    peer: PeerId,
    after: u64,
    max_items: usize,
    max_bytes: usize,
) -> rusqlite::Result<Page> {
    // All of it sees one state of the database.
    let snapshot = db.unchecked_transaction()?;
    let next_n: i64 = snapshot.query_row("SELECT next_n FROM counters", [], |row| row.get(0))?;
    let end = from_sql(next_n).saturating_sub(1).max(after);
    let mut page = Page { items: Vec::new(), through: end, more: false, damaged: Vec::new() };
    let Some((id, acked)) = peer_row(&snapshot, peer)? else { return Ok(page) };
    let rooms: Vec<(i64, i64)> = snapshot
        .prepare_cached("SELECT room, since FROM members WHERE peer = ?1")?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let (after, max_items) = (to_sql(after).max(acked), max_items.max(1));
    // One more than asked for tells whether there is more.
    let limit = i64::try_from(max_items).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = Vec::new();
    waiting_in(&snapshot, id, 0, after, limit, &mut found)?;
    for (room, since) in rooms {
        waiting_in(&snapshot, -room, id, after.max(since), limit, &mut found)?;
    }
    found.sort_unstable();
    let mut bytes = 0;
    for (count, (n, size)) in found.into_iter().enumerate() {
        if count == max_items || (count > 0 && bytes + size > max_bytes) {
            page.more = true;
            break;
        }
        bytes += size;
        page.through = from_sql(n);
        match envelope(&snapshot, n)? {
            Some(envelope) => page.items.push((page.through, envelope)),
            None => page.damaged.push(page.through),
        }
    }
    if !page.more {
        page.through = end;
    }
    Ok(page)
}

/// The envelope with this number, none if its checksum doesn't match.
fn envelope(db: &Connection, n: i64) -> rusqlite::Result<Option<Bytes>> {
    db.prepare_cached("SELECT box, checksum, envelope FROM log WHERE n = ?1")?.query_row([n], |row| {
        let envelope: Vec<u8> = row.get(2)?;
        let sum: Vec<u8> = row.get(1)?;
        Ok((checksum(from_sql(n), row.get(0)?, &envelope)[..] == sum[..]).then(|| envelope.into()))
    })
}

/// Columns `peer, bundle`; a row that is no peer would be damage, and is left out.
fn entry(row: &Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let peer: Vec<u8> = row.get(0)?;
    let bundle: Option<Vec<u8>> = row.get(1)?;
    Ok(PeerId::from_slice(&peer).map(|peer| Entry { peer, bundle: bundle.map(Bytes::from) }))
}

pub(super) fn roster(
    db: &Connection,
    room: &RoomName,
    position: u64,
    max_bytes: usize,
) -> rusqlite::Result<Roster> {
    let mut query = db.prepare_cached(
        "SELECT peers.peer, directory.bundle, members.peer FROM rooms
         JOIN members ON members.room = rooms.id JOIN peers ON peers.id = members.peer
         LEFT JOIN directory ON directory.peer = members.peer
         WHERE rooms.name = ?1 AND members.peer > ?2 ORDER BY members.peer LIMIT ?3",
    )?;
    // One more than are given tells whether there is more.
    let mut rows = query.query(params![room.as_str(), to_sql(position), ROSTER_ROWS + 1])?;
    let mut roster = Roster { entries: Vec::new(), next: None };
    let (mut count, mut bytes, mut last) = (0, 0, 0);
    while let Some(row) = rows.next()? {
        if count == ROSTER_ROWS || (count > 0 && bytes >= max_bytes) {
            roster.next = Some(last);
            break;
        }
        if let Some(entry) = entry(row)? {
            bytes += entry.bundle.as_ref().map_or(0, Bytes::len);
            roster.entries.push(entry);
        }
        last = from_sql(row.get(2)?);
        count += 1;
    }
    Ok(roster)
}

pub(super) fn find(db: &Connection, whom: &Query, max_bytes: usize) -> rusqlite::Result<Vec<Entry>> {
    const COLUMNS: &str =
        "SELECT peers.peer, directory.bundle FROM directory JOIN peers ON peers.id = directory.peer";
    let (mut query, key): (_, Box<dyn rusqlite::ToSql>) = match whom {
        Query::Peer(peer) => (
            db.prepare_cached(&format!("{COLUMNS} WHERE peers.peer = ?1 LIMIT ?2"))?,
            Box::new(peer.as_ref().to_vec()),
        ),
        Query::Nick(nick) => (
            db.prepare_cached(&format!("{COLUMNS} WHERE directory.nick = ?1 ORDER BY peers.id LIMIT ?2"))?,
            Box::new(nick.as_str().to_owned()),
        ),
    };
    let mut rows = query.query(params![key, MAX_FOUND])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let Some(entry) = entry(row)? else { continue };
        bytes += entry.bundle.as_ref().map_or(0, Bytes::len);
        if !found.is_empty() && bytes > max_bytes {
            break;
        }
        found.push(entry);
    }
    Ok(found)
}
