//! Whose store it is, and which clock it was last kept by.

use chat_core::ids::{PeerId, Timestamp};
use chat_core::wire::bundle::SignedBundle;
use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, b, int, uint};

/// Longest that a first message is remembered that was accepted with keys of today: 30 days of theirs, and 60.
const LONGEST_MEMORY_MS: u64 = 90 * 24 * 60 * 60 * 1000;

/// By which clock the store was kept. 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// When what is too old was last forgotten.
    pub(crate) kept_at: Timestamp,
    /// What the wall clock showed when it was first found too far from there.
    pub(crate) doubted_at: Timestamp,
}

impl Store {
    /// Takes the store for an identity. It belongs to the first one for ever: sessions, keys and the outbox are of no
    /// use to another, and peers would refuse what it makes of them.
    pub(crate) fn belongs_to(&self, me: PeerId) -> Result<(), StoreError> {
        let known: Option<[u8; 32]> = self.db.query_row("SELECT identity FROM node", [], |row| row.get(0))?;
        let owner = match known {
            Some(owner) => Some(PeerId(owner)),
            None => self.owner_of_old()?,
        };
        match owner {
            Some(owner) if owner != me => Err(StoreError::OtherIdentity { owner, key: me }),
            _ if known.is_none() => {
                self.db.execute("UPDATE node SET identity = ?", params![b(&me)])?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn kept(&self) -> Result<Kept, StoreError> {
        Ok(self.db.query_row("SELECT kept_at, doubted_at FROM node", [], |row| {
            let date = |index| row.get(index).map(|ms| Timestamp(uint(ms)));
            Ok(Kept { kept_at: date(0)?, doubted_at: date(1)? })
        })?)
    }

    pub(crate) fn set_kept(&self, kept: Kept) -> Result<(), StoreError> {
        let Kept { kept_at, doubted_at } = kept;
        self.db
            .execute("UPDATE node SET kept_at = ?, doubted_at = ?", [int(kept_at.0), int(doubted_at.0)])?;
        Ok(())
    }

    /// What is dated after `ahead` was written when the clock was ahead: its age counts from `now`.
    pub(crate) fn pull_back(&self, now: Timestamp, ahead: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "UPDATE deliveries SET created = ?1 WHERE state < 3 AND created > ?2",
            "UPDATE controls SET created = ?1 WHERE created > ?2",
            "UPDATE messages SET arrived = ?1 WHERE mine = 1 AND state = 0 AND arrived > ?2",
            "UPDATE seen_envelopes SET at = ?1 WHERE at > ?2",
            "UPDATE members SET last_seen = ?1 WHERE last_seen > ?2",
            "UPDATE contacts SET last_seen = ?1 WHERE last_seen > ?2",
        ] {
            self.db.prepare_cached(sql)?.execute([int(now.0), int(ahead.0)])?;
        }
        // Those of keys that were made then, and are erased.
        let (from, ahead) = (now.plus_ms(LONGEST_MEMORY_MS), ahead.plus_ms(LONGEST_MEMORY_MS));
        self.db
            .prepare_cached("UPDATE handshakes SET expires = ?1 WHERE expires > ?2")?
            .execute([int(from.0), int(ahead.0)])?;
        Ok(())
    }

    /// Whose a store of schema version 1 is: its bundles are signed.
    fn owner_of_old(&self) -> Result<Option<PeerId>, StoreError> {
        let signed: Option<Vec<u8>> =
            self.db.query_row("SELECT signed FROM bundles LIMIT 1", [], |row| row.get(0)).optional()?;
        Ok(signed.and_then(|signed| SignedBundle::verify(&signed).ok()).map(|bundle| bundle.peer_id))
    }
}

#[cfg(test)]
mod tests {
    use chat_core::identity::Identity;
    use chat_core::nick::Nick;
    use chat_core::wire::bundle::{Bundle, StackProfile};

    use super::*;
    use crate::config::StorePlace;

    fn signed(by: &Identity) -> Vec<u8> {
        let profile = StackProfile {
            wire_version: 1,
            key_exchange: "x".into(),
            key_exchange_options: String::new(),
            cipher: "y".into(),
        };
        let bundle = Bundle {
            identity: by.public().as_bytes().to_vec(),
            profile,
            nick: Nick::new("alice").unwrap(),
            payload: vec![1],
            created: Timestamp(1),
            expires: Timestamp(2),
        };
        SignedBundle::sign(&bundle, by).encode()
    }

    /// Version 1 did not say whose it is, but its bundles do.
    #[test]
    fn a_store_of_version_1_stays_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.db");
        let (alice, bob) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(include_str!("tests/schema-2.sql")).unwrap();
        old.execute_batch(
            "DROP TABLE node; DROP INDEX seen_frames; ALTER TABLE seen_envelopes DROP COLUMN frame;
             PRAGMA user_version = 1;",
        )
        .unwrap();
        let sql = "INSERT INTO bundles VALUES (x'00', ?, x'', x'', 'x', 'y', 'alice', 1, 1, 2)";
        old.execute(sql, [signed(&alice)]).unwrap();
        drop(old);
        crate::store::unsealed::permit(&path, &crate::vault::StoreKey::from_bytes(&[7; 32])).unwrap();
        let store = Store::open(&StorePlace::File(path)).unwrap();
        assert!(matches!(store.belongs_to(bob.peer_id()), Err(StoreError::OtherIdentity { .. })));
        store.belongs_to(alice.peer_id()).unwrap();
    }

    #[test]
    fn a_store_belongs_to_who_made_it() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let (alice, bob) = (PeerId([1; 32]), PeerId([2; 32]));
        store.belongs_to(alice).unwrap();
        store.belongs_to(alice).unwrap();
        let refused = store.belongs_to(bob).unwrap_err();
        assert!(matches!(refused, StoreError::OtherIdentity { owner, key } if owner == alice && key == bob));
        store.belongs_to(alice).unwrap();
    }

    /// Each kind of date that lies ahead is pulled back, and none that doesn't.
    #[test]
    fn what_was_dated_ahead_ages_from_now_on() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let kept = Kept { kept_at: Timestamp(3), doubted_at: Timestamp(4) };
        store.set_kept(kept).unwrap();
        assert_eq!(store.kept().unwrap(), kept);
        // 90 days in milliseconds: how long first messages are remembered at most.
        let memory_ms: u64 = 7_776_000_000;
        store
            .db
            .execute_batch(
                "INSERT INTO deliveries (message, peer, state, previous, created)
                   VALUES (x'01', x'', 2, x'', 50), (x'02', x'', 2, x'', 51), (x'03', x'', 3, x'', 51);
                 INSERT INTO controls (envelope_id, peer, envelope, created) VALUES (x'01', x'', x'', 50), (x'02', x'', x'', 51);
                 INSERT INTO seen_envelopes VALUES (x'01', x'', NULL, 50, NULL), (x'02', x'', NULL, 51, NULL);
                 INSERT INTO members (room, peer, last_seen) VALUES ('#a', x'01', 50), ('#a', x'02', 51);",
            )
            .unwrap();
        for (session, expires) in [(1_u8, 50 + memory_ms), (2, 51 + memory_ms)] {
            let sql = "INSERT INTO handshakes VALUES (?, ?)";
            store.db.execute(sql, params![[session].as_slice(), int(expires)]).unwrap();
        }
        store.pull_back(Timestamp(20), Timestamp(50)).unwrap();
        let dates = |column: &str, table: &str| {
            let mut query = store.db.prepare(&format!("SELECT {column} FROM {table} ORDER BY 1")).unwrap();
            let dates = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap);
            dates.collect::<Vec<i64>>()
        };
        assert_eq!(dates("created", "deliveries"), [20, 50, 51], "what has arrived has no age");
        assert_eq!(dates("created", "controls"), [20, 50]);
        assert_eq!(dates("at", "seen_envelopes"), [20, 50]);
        assert_eq!(dates("last_seen", "members"), [20, 50]);
        let expected = [20, 50].map(|ms| int(ms + memory_ms));
        assert_eq!(dates("expires", "handshakes"), expected);
    }
}
