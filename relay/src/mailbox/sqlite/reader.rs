//! The thread that reads, on a connection of its own: what is committed, as of one moment.

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::mpsc::Receiver;

use super::super::{Entry, Page, Query, Roster};
use super::boxes::{Reading, Recent};
use super::checksum::{self, LOG_ROW, LogRow};
use super::repair::is_damage;
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
    db.prepare_cached("SELECT id, acked, acked_sum FROM peers WHERE peer = ?1")?
        .query_row([peer.as_ref()], |row| {
            Ok((
                row.get(0)?,
                checksum::cursor(peer.as_ref(), checksum::number(row, 1), checksum::number(row, 2)),
            ))
        })
        .optional()
}

pub(super) fn knows(db: &Connection, peer: PeerId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM peers WHERE peer = ?1 AND last_seen > 0")?.exists([peer.as_ref()])
}

pub(super) fn has_written(db: &Connection, peer: PeerId, other: PeerId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM contacts WHERE peer = (SELECT id FROM peers WHERE peer = ?1)
         AND contact = (SELECT id FROM peers WHERE peer = ?2)",
    )?
    .exists([peer.as_ref(), other.as_ref()])
}

/// An envelope that waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    n: i64,
    box_id: i64,
    /// Listed in memory: it may have gone since, or have come into the table.
    recent: bool,
    size: usize,
}

/// Whose mail is looked for: of one box, after one number and before another, but not from one sender.
#[derive(Clone, Copy)]
struct Wanted {
    box_id: i64,
    not_from: i64,
    after: i64,
    before: i64,
    limit: usize,
}

/// What waits in one box, up to `limit` of the oldest at least. False if the table could not be read to its end.
fn waiting_in(
    db: &Connection,
    recent: &Reading<'_>,
    wanted: Wanted,
    found: &mut Vec<Listed>,
) -> rusqlite::Result<bool> {
    let Wanted { box_id, not_from, after, before, limit } = wanted;
    let listed = |n, size, recent| {
        // The size is proven with the row; here it bounds a page.
        Listed { n, box_id, recent, size: usize::try_from(size).unwrap_or(usize::MAX) }
    };
    let in_memory = recent.waiting(box_id, not_from, (after, before), limit);
    found.extend(in_memory.into_iter().map(|(n, size)| listed(n, size, true)));
    let mut query = db.prepare_cached(
        "SELECT n, size FROM boxes WHERE box = ?1 AND n > ?2 AND sender <> ?3 ORDER BY n LIMIT ?4",
    )?;
    let mut rows = query.query(params![box_id, after, not_from, to_sql(limit as u64)])?;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(true),
            Err(error) if is_damage(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let Ok(n) = row.get(0) else { return Ok(false) };
        found.push(listed(n, row.get(1).map(from_sql).unwrap_or_default(), false));
    }
}

/// A page, and whether the table that lists what waits is wrong.
pub(super) fn waiting(
    db: &Connection,
    recent: &Recent,
    peer: PeerId,
    after: u64,
    max_items: usize,
    max_bytes: usize,
) -> rusqlite::Result<(Page, bool)> {
    let recent = recent.reading();
    // All of it sees one state of the database.
    let snapshot = db.unchecked_transaction()?;
    let next_n: i64 = snapshot.query_row("SELECT next_n FROM counters", [], |row| row.get(0))?;
    let end = from_sql(next_n).saturating_sub(1).max(after);
    let mut page = Page { items: Vec::new(), through: end, more: false, damaged: Vec::new() };
    let Some((id, acked)) = peer_row(&snapshot, peer)? else { return Ok((page, false)) };
    let rooms: Vec<(i64, i64)> = snapshot
        .prepare_cached("SELECT room, since, since_sum FROM members WHERE peer = ?1")?
        .query_map([id], |row| {
            let [room, since, sum] = [0, 1, 2].map(|column| checksum::number(row, column));
            Ok((room, checksum::since(room, id, since, sum)))
        })?
        .collect::<Result<_, _>>()?;
    let (after, max_items) = (to_sql(after).max(acked), max_items.max(1));
    // One more than asked for tells whether there is more.
    let limit = max_items.saturating_add(1);
    let mut wanted = Wanted { box_id: id, not_from: 0, after, before: next_n, limit };
    let mut listed = Vec::new();
    let mut list_is_damaged = !waiting_in(&snapshot, &recent, wanted, &mut listed)?;
    wanted.not_from = id;
    // A number that is no room's would be a peer's box.
    for (room, since) in rooms.into_iter().filter(|(room, _)| *room > 0) {
        (wanted.box_id, wanted.after) = (-room, after.max(since));
        list_is_damaged |= !waiting_in(&snapshot, &recent, wanted, &mut listed)?;
    }
    drop(recent);
    listed.sort_unstable();
    listed.dedup_by_key(|listed| (listed.n, listed.box_id));
    let mut bytes: usize = 0;
    for (count, listed) in listed.into_iter().enumerate() {
        if count == max_items || (count > 0 && bytes.saturating_add(listed.size) > max_bytes) {
            page.more = true;
            break;
        }
        bytes = bytes.saturating_add(listed.size);
        page.through = from_sql(listed.n);
        match envelope(&snapshot, listed)? {
            Found::Whole(envelope) => page.items.push((page.through, envelope)),
            Found::Damaged => page.damaged.push(page.through),
            Found::Elsewhere => list_is_damaged |= !listed.recent,
        }
    }
    if !page.more {
        page.through = end;
    }
    Ok((page, list_is_damaged))
}

/// What is found in the place that the list names.
enum Found {
    Whole(Bytes),
    /// Its checksum doesn't match, or it can't be read.
    Damaged,
    /// Nothing, or another's.
    Elsewhere,
}

fn envelope(db: &Connection, listed: Listed) -> rusqlite::Result<Found> {
    let read = db.prepare_cached(LOG_ROW)?.query_row([listed.n], |row| {
        Ok(match LogRow::read(row) {
            Some(row) if row.box_id == listed.box_id && row.n == listed.n => {
                Found::Whole(Bytes::copy_from_slice(row.envelope))
            }
            Some(_) => Found::Elsewhere,
            None => Found::Damaged,
        })
    });
    match read {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(Found::Elsewhere),
        Err(error) if is_damage(&error) => Ok(Found::Damaged),
        read => read,
    }
}

/// Columns `peer, bundle`; a row that is no peer would be damage, and is left out.
fn entry(row: &Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let peer = row.get_ref(0)?.as_blob().ok().and_then(PeerId::from_slice);
    let bundle = row.get_ref(1)?.as_blob().ok().map(Bytes::copy_from_slice);
    Ok(peer.map(|peer| Entry { peer, bundle }))
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
