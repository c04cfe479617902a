//! One's own bundles.

use chat_core::ids::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::{Store, StoreError, int, uint};

/// A bundle of one's own with its private part.
pub(crate) struct StoredBundle {
    pub(crate) hash: [u8; 32],
    pub(crate) signed: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) exchange: String,
    pub(crate) cipher: String,
    pub(crate) nick: String,
    pub(crate) made: Timestamp,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

const COLUMNS: &str = "hash, signed, payload, secret, exchange, cipher, nick, made, created, expires";

fn read(row: &Row<'_>) -> rusqlite::Result<StoredBundle> {
    Ok(StoredBundle {
        hash: row.get(0)?,
        signed: row.get(1)?,
        payload: row.get(2)?,
        secret: Zeroizing::new(row.get(3)?),
        exchange: row.get(4)?,
        cipher: row.get(5)?,
        nick: row.get(6)?,
        made: Timestamp(uint(row.get(7)?)),
        created: Timestamp(uint(row.get(8)?)),
        expires: Timestamp(uint(row.get(9)?)),
    })
}

impl Store {
    pub(crate) fn put_bundle(&self, bundle: &StoredBundle) -> Result<(), StoreError> {
        let mut put =
            self.db.prepare_cached("INSERT OR REPLACE INTO bundles VALUES (?,?,?,?,?,?,?,?,?,?)")?;
        put.execute(params![
            bundle.hash.as_slice(),
            bundle.signed,
            bundle.payload,
            bundle.secret.as_slice(),
            bundle.exchange,
            bundle.cipher,
            bundle.nick,
            int(bundle.made.0),
            int(bundle.created.0),
            int(bundle.expires.0),
        ])?;
        Ok(())
    }

    /// The newest keys of this exchange that are not dated after `ahead`.
    pub(crate) fn newest_bundle(
        &self,
        exchange: &str,
        ahead: Timestamp,
    ) -> Result<Option<StoredBundle>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM bundles WHERE exchange = ?1 AND created <= ?2 AND made <= ?2
             ORDER BY created DESC LIMIT 1"
        );
        Ok(self.db.prepare_cached(&sql)?.query_row(params![exchange, int(ahead.0)], read).optional()?)
    }

    /// The date of the newest bundle of any exchange that is not dated after `ahead`: peers know no older one any more.
    pub(crate) fn newest_date(&self, ahead: Timestamp) -> Result<Timestamp, StoreError> {
        let sql = "SELECT coalesce(max(created), 0) FROM bundles WHERE created <= ?";
        let date: i64 = self.db.prepare_cached(sql)?.query_row([int(ahead.0)], |row| row.get(0))?;
        Ok(Timestamp(uint(date)).max(self.newest_destroyed(ahead)?))
    }

    pub(crate) fn bundle(&self, hash: &[u8]) -> Result<Option<StoredBundle>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bundles WHERE hash = ?");
        Ok(self.db.prepare_cached(&sql)?.query_row([hash], read).optional()?)
    }

    /// Erases what nobody may use any more at `now`, however late it was signed again, and what was made when the clock was
    /// ahead. Whether there was any.
    pub(crate) fn erase_bundles_outside(&self, now: Timestamp, ahead: Timestamp) -> Result<bool, StoreError> {
        let times = [int(now.0), int(ahead.0)];
        let is_over = "expires <= ? OR created > ?";
        let any = self.db.prepare_cached(&format!("SELECT 1 FROM bundles WHERE {is_over}"))?.exists(times)?;
        self.db.prepare_cached(&format!("DELETE FROM bundles WHERE {is_over}"))?.execute(times)?;
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;

    fn bundle(n: u8, exchange: &str, created: u64) -> StoredBundle {
        StoredBundle {
            hash: [n; 32],
            signed: vec![n, 1],
            payload: vec![n, 2],
            secret: Zeroizing::new(vec![n, 3]),
            exchange: exchange.to_owned(),
            cipher: "c".to_owned(),
            nick: "alice".to_owned(),
            made: Timestamp(created - 1),
            created: Timestamp(created),
            expires: Timestamp(created + 1),
        }
    }

    #[test]
    fn the_newest_that_is_not_ahead_is_in_use_and_old_ones_are_found_until_erased() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        assert_eq!(store.newest_date(Timestamp(99)).unwrap(), Timestamp(0));
        for (n, exchange, created) in [(1, "x", 10), (2, "x", 20), (3, "y", 30), (4, "x", 40)] {
            store.put_bundle(&bundle(n, exchange, created)).unwrap();
        }
        let newest =
            |exchange, ahead| store.newest_bundle(exchange, Timestamp(ahead)).unwrap().map(|b| b.hash[0]);
        assert_eq!(
            (newest("x", 9), newest("x", 39), newest("x", 40), newest("y", 99)),
            (None, Some(2), Some(4), Some(3))
        );
        assert_eq!(store.newest_date(Timestamp(39)).unwrap(), Timestamp(30));
        let found = store.bundle(&[2; 32]).unwrap().unwrap();
        assert_eq!(
            (found.signed, found.payload, found.secret.to_vec()),
            (vec![2, 1], vec![2, 2], vec![2, 3])
        );
        assert_eq!((found.made, found.created, found.expires), (Timestamp(19), Timestamp(20), Timestamp(21)));
        assert!(store.erase_bundles_outside(Timestamp(20), Timestamp(30)).unwrap());
        let left: Vec<u8> = (1..=4).filter(|n| store.bundle(&[*n; 32]).unwrap().is_some()).collect();
        assert_eq!(left, [2, 3]);
        assert!(!store.erase_bundles_outside(Timestamp(20), Timestamp(30)).unwrap());
        assert!(store.erase_bundles_outside(Timestamp(21), Timestamp(30)).unwrap(), "at the end of its life");
    }
}
