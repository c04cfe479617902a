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

    /// The newest keys of this exchange.
    pub(crate) fn newest_bundle(&self, exchange: &str) -> Result<Option<StoredBundle>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bundles WHERE exchange = ? ORDER BY created DESC LIMIT 1");
        Ok(self.db.prepare_cached(&sql)?.query_row([exchange], read).optional()?)
    }

    pub(crate) fn bundle(&self, hash: &[u8]) -> Result<Option<StoredBundle>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM bundles WHERE hash = ?");
        Ok(self.db.prepare_cached(&sql)?.query_row([hash], read).optional()?)
    }

    pub(crate) fn erase_bundles_before(&self, created: Timestamp) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM bundles WHERE created < ?", [int(created.0)])?;
        Ok(())
    }
}
