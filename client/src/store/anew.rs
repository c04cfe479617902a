//! What a backup must not go on with: keys and sessions of which another copy may live, or may have lived on.

use chat_core::entropy::Entropy;
use chat_core::ids::{PeerId, Timestamp};

use super::{Store, StoreError, b, uint};
use crate::config::StorePlace;
use crate::vault::StoreKey;

/// What a store of version 2 lacks.
pub(super) const FROM_VERSION_2: &str = "
ALTER TABLE node ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN newest_bundle INTEGER NOT NULL DEFAULT 0;
CREATE TABLE renewals (peer BLOB PRIMARY KEY) WITHOUT ROWID;
";

/// Says of a store that it was put back from a backup, as an import does: the next start destroys its keys and sessions
/// and makes them anew, visibly. Blocks.
///
/// # Errors
/// [`StoreError`] if it can't be opened or written; nothing was changed then.
pub fn mark_restored(
    place: &StorePlace,
    key: &StoreKey,
    entropy: Box<dyn Entropy>,
) -> Result<(), StoreError> {
    let store = Store::open_sealed(place, key, entropy)?;
    store.begin()?;
    store.mark_restored()?;
    store.commit()?;
    store.close()
}

impl Store {
    /// The store was put back from a backup: the next start makes its keys and sessions anew.
    pub(crate) fn mark_restored(&self) -> Result<(), StoreError> {
        self.db.execute("UPDATE node SET restored = 1", [])?;
        Ok(())
    }

    /// If the store was put back from a backup: destroys all bundles, one-time keys and sessions, and takes what they had
    /// sealed back to be sealed anew. The mark goes in the same transaction, so all of it happens once. How many peers
    /// there was a session with, if it was done; [`Store::renewals`] names them until each has a new one.
    pub(crate) fn begin_anew(&self) -> Result<Option<u64>, StoreError> {
        let restored: bool = self.db.query_row("SELECT restored FROM node", [], |row| row.get(0))?;
        if !restored {
            return Ok(None);
        }
        let mut query = self.db.prepare("SELECT DISTINCT peer FROM sessions")?;
        let peers: Vec<[u8; PeerId::LEN]> =
            query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let known = self.renewals()?;
        for peer in peers.iter().filter(|peer| !known.contains(&PeerId(**peer))) {
            self.db.execute("INSERT INTO renewals (peer) VALUES (?)", [peer])?;
        }
        // Others take a bundle for the newest by its date.
        let newest: i64 =
            self.db.query_row("SELECT coalesce(max(created), 0) FROM bundles", [], |row| row.get(0))?;
        self.db.execute("UPDATE node SET newest_bundle = max(newest_bundle, ?)", [newest])?;
        for sql in [
            "DELETE FROM bundles",
            "DELETE FROM one_time_keys",
            "DELETE FROM session_rows",
            "DELETE FROM sessions",
            "DELETE FROM controls",
            "UPDATE contacts SET sending = NULL",
            "UPDATE deliveries SET envelope_id = NULL, envelope = NULL, session = NULL WHERE state < 3",
            "UPDATE node SET restored = 0",
        ] {
            self.db.execute(sql, [])?;
        }
        Ok(Some(self.renewals()?.len() as u64))
    }

    /// The date of the newest bundle that was destroyed, if it does not lie after `ahead`.
    pub(super) fn newest_destroyed(&self, ahead: Timestamp) -> Result<Timestamp, StoreError> {
        let date: i64 = self.db.query_row("SELECT newest_bundle FROM node", [], |row| row.get(0))?;
        Ok(Timestamp(uint(date)).min(ahead))
    }

    /// With whom a session is to be begun anew.
    pub(crate) fn renewals(&self) -> Result<Vec<PeerId>, StoreError> {
        let mut query = self.db.prepare_cached("SELECT peer FROM renewals")?;
        let peers = query.query_map([], |row| Ok(PeerId(row.get(0)?)))?;
        Ok(peers.collect::<Result<_, _>>()?)
    }

    /// There is a session with the peer again, or it is forgotten.
    pub(crate) fn renewed(&self, peer: PeerId) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM renewals WHERE peer = ?")?.execute([b(&peer)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_store_loses_every_secret_once() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        store
            .db
            .execute_batch(
                "INSERT INTO bundles VALUES (x'01', x'', x'', x'aa', 'x', 'y', 'n', 1, 7, 9);
                 INSERT INTO one_time_keys (id, secret, exchange, relay, made) VALUES (x'01', x'aa', 'x', 'r', 1);
                 INSERT INTO session_rows (session, key, value) VALUES (x'01', x'01', x'aa');
                 INSERT INTO controls (envelope_id, peer, envelope, created) VALUES (x'01', x'', x'aa', 1);",
            )
            .unwrap();
        let insert = "INSERT INTO sessions VALUES (?1, ?2, 1, x'', NULL, 1, 1, 'x', 'y', 1, x'aa')";
        for (id, peer) in [(1_u8, 5_u8), (2, 5), (3, 6)] {
            store.db.execute(insert, rusqlite::params![[id; 16].as_slice(), [peer; 32].as_slice()]).unwrap();
        }
        for (message, state) in [(1_u8, 2), (2, 3)] {
            let sql = "INSERT INTO deliveries (message, peer, state, previous, envelope_id, envelope, session, created)
                       VALUES (?1, x'', ?2, x'', x'01', x'aa', x'01', 1)";
            store.db.execute(sql, rusqlite::params![[message].as_slice(), state]).unwrap();
        }
        assert_eq!(store.begin_anew().unwrap(), None, "nothing happens to a store that was not restored");
        store.mark_restored().unwrap();
        assert_eq!(store.begin_anew().unwrap(), Some(2));
        for table in ["bundles", "one_time_keys", "session_rows", "sessions", "controls"] {
            let left: i64 =
                store.db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "{table}");
        }
        let sql = "SELECT count(*) FROM deliveries WHERE envelope IS NOT NULL";
        let sealed: i64 = store.db.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(sealed, 1, "only what has arrived is not sealed anew");
        assert_eq!(store.newest_date(Timestamp(100)).unwrap(), Timestamp(7));
        let mut renewals = store.renewals().unwrap();
        renewals.sort();
        assert_eq!(renewals, [PeerId([5; 32]), PeerId([6; 32])]);
        assert_eq!(store.begin_anew().unwrap(), None);
        store.renewed(PeerId([5; 32])).unwrap();
        assert_eq!(store.renewals().unwrap(), [PeerId([6; 32])]);
    }
}
