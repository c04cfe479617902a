//! One's own one-time keys.

use chat_core::ids::{OneTimeKeyId, Timestamp};
use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use super::{Store, StoreError, b, int, uint};

/// What a store of version 2 lacks.
pub(super) const FROM_VERSION_2: &str = "
CREATE TABLE one_time_keys (
    id BLOB PRIMARY KEY, secret BLOB, exchange TEXT NOT NULL, relay TEXT NOT NULL, made INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX one_time_keys_of_relay ON one_time_keys (relay, made);
";

/// A one-time key of one's own.
pub(crate) struct StoredOneTimeKey {
    pub(crate) id: OneTimeKeyId,
    /// None once a first message has used it.
    pub(crate) secret: Option<Zeroizing<Vec<u8>>>,
    /// The key exchange and its shared options.
    pub(crate) exchange: String,
    /// The relay that gives it out.
    pub(crate) relay: String,
    pub(crate) made: Timestamp,
}

impl Store {
    pub(crate) fn put_one_time_key(&self, key: &StoredOneTimeKey) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "INSERT INTO one_time_keys (id, secret, exchange, relay, made) VALUES (?,?,?,?,?)",
            )?
            .execute(params![
                b(&key.id),
                key.secret.as_ref().map(|secret| secret.as_slice()),
                key.exchange,
                key.relay,
                int(key.made.0),
            ])?;
        Ok(())
    }

    pub(crate) fn one_time_key(&self, id: OneTimeKeyId) -> Result<Option<StoredOneTimeKey>, StoreError> {
        let mut query =
            self.db.prepare_cached("SELECT secret, exchange, relay, made FROM one_time_keys WHERE id = ?")?;
        let found = query.query_row([b(&id)], |row| {
            let secret: Option<Vec<u8>> = row.get(0)?;
            Ok(StoredOneTimeKey {
                id,
                secret: secret.map(Zeroizing::new),
                exchange: row.get(1)?,
                relay: row.get(2)?,
                made: Timestamp(uint(row.get(3)?)),
            })
        });
        Ok(found.optional()?)
    }

    /// A first message has used it: the secret is erased, and only that it was used is remembered.
    pub(crate) fn use_one_time_key(&self, id: OneTimeKeyId) -> Result<(), StoreError> {
        self.db.prepare_cached("UPDATE one_time_keys SET secret = NULL WHERE id = ?")?.execute([b(&id)])?;
        Ok(())
    }

    /// How many unused keys for an exchange a relay may still give out.
    pub(crate) fn count_one_time_keys(&self, relay: &str, exchange: &str) -> Result<u64, StoreError> {
        let sql =
            "SELECT count(*) FROM one_time_keys WHERE relay_hash = hashed('one_time_keys.relay', ?) AND exchange = ?
             AND secret IS NOT NULL";
        Ok(self.db.prepare_cached(sql)?.query_row([relay, exchange], |row| row.get(0).map(uint))?)
    }

    /// Erases the unused keys of a relay, but for the newest so many. Whether there were any.
    pub(crate) fn erase_one_time_keys_but(&self, relay: &str, newest: u64) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM one_time_keys WHERE relay_hash = hashed('one_time_keys.relay', ?) AND secret IS NOT NULL
                   ORDER BY made DESC, id LIMIT -1 OFFSET ?";
        let mut query = self.db.prepare_cached(sql)?;
        let ids: Vec<[u8; OneTimeKeyId::LEN]> =
            query.query_map(params![relay, int(newest)], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in &ids {
            self.db.prepare_cached("DELETE FROM one_time_keys WHERE id = ?")?.execute([id])?;
        }
        Ok(!ids.is_empty())
    }

    /// Erases keys, used or not, that were made before, or dated after, these times. Whether there were any.
    pub(crate) fn erase_one_time_keys_outside(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<bool, StoreError> {
        let times = [int(from.0), int(to.0)];
        let sql = "SELECT 1 FROM one_time_keys WHERE made < ? OR made > ?";
        let any = self.db.prepare_cached(sql)?.exists(times)?;
        self.db.prepare_cached("DELETE FROM one_time_keys WHERE made < ? OR made > ?")?.execute(times)?;
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;

    fn key(n: u8, relay: &str, made: u64) -> StoredOneTimeKey {
        StoredOneTimeKey {
            id: OneTimeKeyId([n; 16]),
            secret: Some(Zeroizing::new(vec![n; 40])),
            exchange: "x".to_owned(),
            relay: relay.to_owned(),
            made: Timestamp(made),
        }
    }

    #[test]
    fn a_key_is_there_until_it_is_used_and_known_as_used_until_it_is_old() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        for (n, relay, made) in [(1, "a", 10), (2, "a", 20), (3, "a", 30), (4, "b", 30)] {
            store.put_one_time_key(&key(n, relay, made)).unwrap();
        }
        let secret = |n| store.one_time_key(OneTimeKeyId([n; 16])).unwrap().map(|key| key.secret);
        assert_eq!(secret(2), Some(Some(Zeroizing::new(vec![2; 40]))));
        assert_eq!(secret(9), None);
        let count = |relay, exchange| store.count_one_time_keys(relay, exchange).unwrap();
        assert_eq!((count("a", "x"), count("b", "x"), count("a", "y")), (3, 1, 0));
        store.use_one_time_key(OneTimeKeyId([2; 16])).unwrap();
        assert_eq!(secret(2), Some(None));
        assert_eq!(count("a", "x"), 2);
        store.erase_one_time_keys_but("a", 1).unwrap();
        assert_eq!((secret(1).is_some(), secret(3).is_some(), secret(4).is_some()), (false, true, true));
        store.erase_one_time_keys_outside(Timestamp(21), Timestamp(29)).unwrap();
        assert_eq!((secret(2), secret(3).is_some()), (None, false));
    }
}
