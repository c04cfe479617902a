//! Checksums over what is stored. They detect damage on the disk; the end-to-end seal detects malice.
//!
//! A row of the log has one over all its columns. A cursor, and the number from which a room's envelopes are for a
//! member, have one each, because a wrong one would skip envelopes in silence. What the directory holds is signed. The
//! counters are made to agree with the tables whenever the mailbox is opened.

use rusqlite::Row;
use sha2::{Digest, Sha256};

use super::shares::Sent;
use super::writer::from_sql;

/// Bytes of a checksum in the log.
pub(super) const SUM_BYTES: usize = 12;
/// Of those of schema versions 1 and 2, which are over number, box and envelope alone.
const OLD_SUM_BYTES: usize = 8;

/// The row of a number, as [`LogRow::read`] takes it.
pub(super) const LOG_ROW: &str =
    "SELECT n, box, sender, stored_at, size, id, payer, stranger, checksum, envelope FROM log WHERE n = ?1";

/// A row of the log.
pub(super) struct LogRow<'a> {
    pub(super) n: i64,
    pub(super) box_id: i64,
    pub(super) sent: Sent,
    pub(super) stored_at: i64,
    pub(super) size: i64,
    pub(super) id: &'a [u8],
    pub(super) envelope: &'a [u8],
}

impl<'a> LogRow<'a> {
    pub(super) fn checksum(&self) -> [u8; SUM_BYTES] {
        let Sent { sender, payer, stranger } = self.sent;
        let mut hash = Sha256::new();
        for number in [self.n, self.box_id, sender, self.stored_at, self.size, payer, i64::from(stranger)] {
            hash.update(number.to_be_bytes());
        }
        hash.update((self.id.len() as u64).to_be_bytes());
        first(&hash.chain_update(self.id).chain_update(self.envelope))
    }

    /// A row as it was read; none if it is damaged.
    pub(super) fn read(row: &'a Row<'_>) -> Option<Self> {
        let number = |column| row.get_ref(column).ok()?.as_i64().ok();
        let blob = |column| row.get_ref(column).ok()?.as_blob().ok();
        let stranger = match number(7)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let found = Self {
            n: number(0)?,
            box_id: number(1)?,
            sent: Sent { sender: number(2)?, payer: number(6)?, stranger },
            stored_at: number(3)?,
            size: number(4)?,
            id: blob(5)?,
            envelope: blob(9)?,
        };
        let sum = blob(8)?;
        let is_whole = match sum.len() {
            SUM_BYTES => found.checksum()[..] == *sum,
            OLD_SUM_BYTES => found.old_checksum()[..] == *sum,
            _ => false,
        };
        is_whole.then_some(found)
    }

    pub(super) fn old_checksum(&self) -> [u8; OLD_SUM_BYTES] {
        let hash = Sha256::new()
            .chain_update(from_sql(self.n).to_be_bytes())
            .chain_update(self.box_id.to_be_bytes());
        first(&hash.chain_update(self.envelope))
    }
}

fn first<const N: usize>(hash: &Sha256) -> [u8; N] {
    let mut sum = [0; N];
    for (slot, byte) in sum.iter_mut().zip(hash.clone().finalize()) {
        *slot = byte;
    }
    sum
}

/// A number that a checksum proves, or one that it does not prove if something else is in its place.
pub(super) fn number(row: &Row<'_>, column: usize) -> i64 {
    row.get_ref(column).ok().and_then(|found| found.as_i64().ok()).unwrap_or(-1)
}

/// Over what somebody has acknowledged; 0 for nothing, which needs no proof.
pub(super) fn of_cursor(peer: &[u8], acked: i64) -> i64 {
    if acked == 0 {
        return 0;
    }
    i64::from_be_bytes(first(&Sha256::new().chain_update(peer).chain_update(acked.to_be_bytes())))
}

/// The cursor, or 0 if it is damaged: then what was acknowledged comes again, and is recognised.
pub(super) fn cursor(peer: &[u8], acked: i64, sum: i64) -> i64 {
    if of_cursor(peer, acked) == sum && acked >= 0 {
        return acked;
    }
    tracing::error!("a peer's cursor is damaged; it gets again what it may have");
    0
}

/// Over the number from which a room's envelopes are for a member.
pub(super) fn of_membership(room: i64, peer: i64, since: i64) -> i64 {
    let numbers = [room, peer, since].map(i64::to_be_bytes);
    i64::from_be_bytes(first(&Sha256::new().chain_update(numbers.concat())))
}

/// That number, or 0 if it is damaged: nothing is skipped.
pub(super) fn since(room: i64, peer: i64, since: i64, sum: i64) -> i64 {
    if of_membership(room, peer, since) == sum {
        return since;
    }
    tracing::error!("a membership's beginning is damaged; all that the room's log holds is for this member");
    0
}
