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
        Ok(Timestamp(uint(date)))
    }

    pub(crate) fn bundle(&self, hash: &[u8]) -> Result<Option<StoredBundle>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bundles WHERE hash = ?");
        Ok(self.db.prepare_cached(&sql)?.query_row([hash], read).optional()?)
    }

    /// Erases what is too old, and what was made when the clock was ahead.
    pub(crate) fn erase_bundles_outside(&self, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM bundles WHERE created < ? OR created > ?", [int(from.0), int(to.0)])?;
        Ok(())
    }
}
