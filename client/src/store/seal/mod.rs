//! The store sealed at rest, under the queries.
//!
//! Queries speak to the tables of `schema.sql`. What lies in the file are other tables, `sealed_…`: each row holds
//! its ids and numbers, and one blob in which everything else is sealed together with them. Views and triggers of the
//! connection, made from the schema, open and seal on the way; so nothing can forget to. A ledger of all rows,
//! sealed too, is written with every commit.
//!
//! | room | what is in it |
//! |---|---|
//! | `tables` | the schema: which columns lie in the clear |
//! | `sql` | tables, views, triggers |
//! | `row` | a row's cipher |
//! | `ledger` | what there is, in which version |
//! | `functions` | what the views and triggers call |
//! | `texts` | what search reads |
//! | `schema` | that nothing else lies in the file |
//! | `check` | whether all of it is as it was written |
//! | `round` | the same, a few rows at a time while the store is in use |

mod check;
mod functions;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod ledger;
mod round;
mod row;
mod salvage;
mod schema;
mod sql;
mod tables;
mod texts;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::Payload};
use chat_core::entropy::Entropy;
use hmac::{Hmac, Mac};
use rusqlite::{Connection, OptionalExtension};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::StoreError;
use crate::vault::StoreKey;
pub(super) use functions::DAMAGED;
use ledger::{Ledger, Summer};
use round::Round;
use row::RowKey;
pub(super) use salvage::Salvage;
use tables::Table;

/// Where the ledger lies.
const LEDGER_TABLE: &str = "
CREATE TABLE seal (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    key_id BLOB NOT NULL,   -- tells the key apart from others
    ledger BLOB NOT NULL    -- nonce, ciphertext, tag
);";
const NO_LEDGER: &str = "its ledger is not there";
/// What is said of a store whose key is the right one.
const OTHER_ID: &str = "the name of its key is not what was written";
/// What the ledger is bound to.
const LEDGER_LABEL: &[u8] = b"chat/store/1 ledger";
const NONCE_BYTES: usize = 24;

/// Everything that seals and opens; shared with the functions of the connection.
struct Sealer {
    tables: Vec<Table>,
    rows: Vec<RowKey>,
    lookup: Hmac<Sha256>,
    summer: Summer,
    ledger_cipher: XChaCha20Poly1305,
    key_id: [u8; 16],
    entropy: Box<dyn Entropy>,
    ledger: Ledger,
    /// Something was written since the ledger was.
    dirty: bool,
    /// The check that goes on beside, and how far it had come with the last commit.
    round: Round,
    committed: Round,
    /// Proves that whoever had the key found the store in the clear, see [`super::unsealed`].
    permit: Zeroizing<[u8; 32]>,
    /// Of the count of commits, see [`super::count`].
    count_key: Zeroizing<[u8; 32]>,
    /// The row that was opened last, of which several columns are asked for in turn.
    last: Option<functions::Opened>,
}

/// HMAC-SHA256 with a key, which RFC 2104 fills up with zeros to a block.
pub(super) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    <Hmac<Sha256> as Mac>::new((&*block).into())
}

/// The seal on one database.
pub(crate) struct Seal(Arc<Mutex<Sealer>>);

impl Seal {
    pub(crate) fn new(key: &StoreKey, entropy: Box<dyn Entropy>) -> Result<Self, StoreError> {
        let tables = tables::of_schema(super::SCHEMA)?;
        let mut rows = Vec::with_capacity(tables.len());
        for table in &tables {
            rows.push(RowKey::new(
                &table.name,
                &*key.derive(&format!("chat/store/1 rows of {};", table.name))?,
            ));
        }
        let id = key.derive("chat/store/1 key id")?;
        let mut key_id = [0; 16];
        key_id.copy_from_slice(id.get(..16).unwrap_or(&[0; 16]));
        let sealer = Sealer {
            rows,
            lookup: keyed(&*key.derive("chat/store/1 lookup")?),
            summer: Summer::new(&*key.derive("chat/store/1 sum")?),
            ledger_cipher: XChaCha20Poly1305::new((&*key.derive("chat/store/1 ledger key")?).into()),
            key_id,
            entropy,
            ledger: Ledger::new(tables.len()),
            dirty: false,
            round: Round::default(),
            committed: Round::default(),
            permit: key.derive(super::unsealed::LABEL)?,
            count_key: key.derive(super::count::LABEL)?,
            last: None,
            tables,
        };
        Ok(Self(Arc::new(Mutex::new(sealer))))
    }

    fn sealer(&self) -> MutexGuard<'_, Sealer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Teaches the connection the functions that views and triggers call. Before anything else.
    pub(super) fn attach(&self, db: &Connection) -> Result<(), StoreError> {
        functions::register(db, &self.0)?;
        // A row that another one replaces leaves the ledger too.
        Ok(db.execute_batch("PRAGMA recursive_triggers = ON")?)
    }

    /// See [`super::unsealed`].
    pub(super) fn permit(&self) -> Zeroizing<[u8; 32]> {
        self.sealer().permit.clone()
    }

    /// See [`super::count`].
    pub(super) fn count_key(&self) -> Zeroizing<[u8; 32]> {
        self.sealer().count_key.clone()
    }

    /// How many commits the ledger knows of.
    pub(super) fn commits(&self) -> Option<u64> {
        self.sealer().ledger.commits
    }

    /// The tables of a new store. In a transaction; [`Seal::flush`] belongs to it.
    pub(super) fn make_tables(&self, db: &Connection) -> Result<(), StoreError> {
        let mut sql = LEDGER_TABLE.to_owned();
        {
            let mut sealer = self.sealer();
            sealer.ledger = Ledger::new(sealer.tables.len());
            sealer.dirty = true;
            sql.extend(sealer.tables.iter().map(sql::create));
        }
        db.execute_batch(&sql)?;
        db.execute("INSERT INTO seal VALUES (1, ?, x'')", [self.sealer().key_id])?;
        Ok(())
    }

    /// The views that queries see.
    pub(super) fn show_tables(&self, db: &Connection) -> Result<(), StoreError> {
        let sql: String =
            self.sealer().tables.iter().enumerate().map(|(n, table)| sql::open(n, table)).collect();
        Ok(db.execute_batch(&sql)?)
    }

    /// The tables and their columns.
    pub(super) fn columns(&self) -> Vec<(String, Vec<String>)> {
        let columns = |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect();
        self.sealer().tables.iter().map(|table| (table.name.clone(), columns(table))).collect()
    }

    /// Whether this is the key of the database, if it is sealed.
    pub(super) fn fits(&self, db: &Connection) -> Result<(), StoreError> {
        let sealed: i64 =
            db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'seal'", [], |row| row.get(0))?;
        if sealed == 0 {
            return Err(StoreError::Damaged(NO_LEDGER.to_owned()));
        }
        let key_id: Option<Vec<u8>> =
            db.query_row("SELECT key_id FROM seal", [], |row| row.get(0)).optional()?;
        let key_id = key_id.ok_or_else(|| StoreError::Damaged(NO_LEDGER.to_owned()))?;
        if key_id == self.sealer().key_id {
            return Ok(());
        }
        let record: Vec<u8> = db.query_row("SELECT ledger FROM seal", [], |row| row.get(0))?;
        let opens = self.sealer().open_ledger(&record).is_some();
        Err(if opens { StoreError::Damaged(OTHER_ID.to_owned()) } else { StoreError::OtherKey })
    }

    /// Writes the ledger if something has changed. In the transaction that changed it.
    pub(super) fn flush(&self, db: &Connection) -> Result<(), StoreError> {
        let record = {
            let mut sealer = self.sealer();
            // A commit that fails may have taken effect.
            sealer.committed.again();
            if !sealer.dirty {
                return Ok(());
            }
            sealer.ledger.commits = Some(sealer.ledger.commits.unwrap_or(0).saturating_add(1));
            sealer.seal_ledger()?
        };
        db.prepare_cached("UPDATE seal SET ledger = ?")?.execute([record])?;
        self.sealer().dirty = false;
        Ok(())
    }

    /// What was flushed is committed.
    pub(super) fn committed(&self) {
        let mut sealer = self.sealer();
        sealer.committed = sealer.round.clone();
    }

    /// Reads the ledger as it lies in the file: at start, and after what was not committed.
    pub(super) fn load(&self, db: &Connection) -> Result<(), StoreError> {
        let record: Option<Vec<u8>> =
            db.prepare_cached("SELECT ledger FROM seal")?.query_row([], |row| row.get(0)).optional()?;
        let record = record.ok_or_else(|| StoreError::Damaged(NO_LEDGER.to_owned()))?;
        let mut sealer = self.sealer();
        sealer.last = None;
        sealer.round = std::mem::take(&mut sealer.committed);
        sealer.committed = sealer.round.clone();
        sealer.ledger = sealer
            .open_ledger(&record)
            .ok_or_else(|| StoreError::Damaged("its ledger is not what was written".to_owned()))?;
        sealer.dirty = false;
        Ok(())
    }
}

impl Sealer {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    fn seal_ledger(&mut self) -> Result<Vec<u8>, StoreError> {
        let nonce: [u8; NONCE_BYTES] = self.entropy.bytes()?;
        let failed = || StoreError::Damaged("its ledger can't be sealed".to_owned());
        let msg = self.ledger.encode(self.names()).ok_or_else(failed)?;
        let payload = Payload { msg: &msg, aad: LEDGER_LABEL };
        let sealed = self.ledger_cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| failed())?;
        Ok([&nonce[..], &sealed].concat())
    }

    fn open_ledger(&self, record: &[u8]) -> Option<Ledger> {
        let (nonce, msg) = record.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg, aad: LEDGER_LABEL };
        let opened = self.ledger_cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        Ledger::decode(&opened, self.names())
    }
}

#[cfg(test)]
mod tests;
