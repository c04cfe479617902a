//! The ledger: per table, the number of its rows and two sums over them, of what each row is (its key) and which version
//! of it is the present one. A row that was taken away, added, or put back in an earlier version does not add up.
//!
//! The sums are incremental multiset hashes (MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh, 2003): each
//! row adds the output of a keyed function, lane by lane modulo 2⁶⁴. They lie in the file sealed, so nobody without
//! the key sees what to aim at.

use hmac::{Hmac, Mac};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use sha2::Sha256;

/// A sum of keyed hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    fn of(bytes: [u8; 32]) -> Self {
        let mut lanes = [0; 4];
        for (lane, chunk) in lanes.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *lane = u64::from_be_bytes(*chunk);
        }
        Self(lanes)
    }

    fn bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, lane) in out.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = lane.to_be_bytes();
        }
        out
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].wrapping_sub(other.0[lane])))
    }
}

/// What is in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) rows: i64,
    pub(super) keys: Sum,
    pub(super) versions: Sum,
}

/// The keyed function.
#[derive(Clone)]
pub(super) struct Summer(Hmac<Sha256>);

impl Summer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(super::keyed(key))
    }

    fn sum(&self, what: u8, table: &str, key: &[u8], version: u64) -> Sum {
        let length = u32::try_from(table.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mac = self.0.clone().chain_update([what]).chain_update(length).chain_update(table);
        Sum::of(mac.chain_update(version.to_be_bytes()).chain_update(key).finalize().into_bytes().into())
    }

    pub(super) fn of_key(&self, table: &str, key: &[u8]) -> Sum {
        self.sum(1, table, key, 0)
    }

    pub(super) fn of_version(&self, table: &str, key: &[u8], version: u64) -> Sum {
        self.sum(2, table, key, version)
    }

    /// Enters a row, or strikes it out.
    pub(super) fn enter(&self, entry: &mut Entry, table: &str, key: &[u8], version: u64, comes: bool) {
        let (keys, versions) = (self.of_key(table, key), self.of_version(table, key, version));
        *entry = match comes {
            true => Entry {
                rows: entry.rows.saturating_add(1),
                keys: entry.keys.plus(keys),
                versions: entry.versions.plus(versions),
            },
            false => Entry {
                rows: entry.rows.saturating_sub(1),
                keys: entry.keys.minus(keys),
                versions: entry.versions.minus(versions),
            },
        };
    }
}

/// The ledger of all tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// The highest version that any row ever had.
    pub(super) version: u64,
    /// The commits that changed something; none in a store of before they were counted.
    pub(super) commits: Option<u64>,
    /// In the order of the tables.
    pub(super) entries: Vec<Entry>,
}

#[derive(Encode, Decode)]
struct Line {
    #[n(0)]
    table: String,
    #[n(1)]
    rows: i64,
    #[n(2)]
    keys: ByteArray<32>,
    #[n(3)]
    versions: ByteArray<32>,
}

#[derive(Encode, Decode)]
struct Pages {
    #[n(0)]
    version: u64,
    #[n(1)]
    lines: Vec<Line>,
    #[n(2)]
    commits: Option<u64>,
}

impl Ledger {
    pub(super) fn new(tables: usize) -> Self {
        Self { version: 0, commits: None, entries: vec![Entry::default(); tables] }
    }

    /// As it is sealed.
    pub(super) fn encode<'t>(&self, tables: impl Iterator<Item = &'t str>) -> Option<Vec<u8>> {
        let line = |(table, entry): (&str, &Entry)| Line {
            table: table.to_owned(),
            rows: entry.rows,
            keys: entry.keys.bytes().into(),
            versions: entry.versions.bytes().into(),
        };
        minicbor::to_vec(Pages {
            version: self.version,
            commits: self.commits,
            lines: tables.zip(&self.entries).map(line).collect(),
        })
        .ok()
    }

    /// For these tables; `None` if it is about others, or is none.
    pub(super) fn decode<'t>(bytes: &[u8], tables: impl Iterator<Item = &'t str>) -> Option<Self> {
        let pages: Pages = minicbor::decode(bytes).ok()?;
        let same = pages.lines.iter().map(|line| line.table.as_str()).eq(tables);
        let entry = |line: Line| Entry {
            rows: line.rows,
            keys: Sum::of(*line.keys),
            versions: Sum::of(*line.versions),
        };
        let entries = pages.lines.into_iter().map(entry).collect();
        same.then_some(Self { version: pages.version, commits: pages.commits, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_rows_in_the_same_versions_add_up() {
        let summer = Summer::new(&[1; 32]);
        let of = |rows: &[(&str, &[u8], u64)]| {
            let mut entry = Entry::default();
            rows.iter()
                .for_each(|(table, key, version)| summer.enter(&mut entry, table, key, *version, true));
            entry
        };
        let whole = of(&[("t", b"a", 1), ("t", b"b", 2), ("t", b"c", 3)]);
        assert_eq!(whole, of(&[("t", b"c", 3), ("t", b"a", 1), ("t", b"b", 2)]), "in whatever order");
        for other in [
            of(&[("t", b"a", 1), ("t", b"b", 2)]),
            of(&[("t", b"a", 1), ("t", b"b", 2), ("t", b"c", 2)]),
            of(&[("t", b"a", 1), ("t", b"b", 2), ("t", b"d", 3)]),
            of(&[("t", b"a", 1), ("t", b"b", 2), ("u", b"c", 3)]),
            of(&[("t", b"a", 2), ("t", b"b", 1), ("t", b"c", 3)]),
        ] {
            assert_ne!(whole, other);
        }
        let mut less = whole;
        summer.enter(&mut less, "t", b"b", 2, false);
        assert_eq!(less, of(&[("t", b"a", 1), ("t", b"c", 3)]));
        assert_ne!(whole.keys, less.keys);
        assert_eq!(
            Entry { versions: whole.versions, ..of(&[("t", b"a", 9), ("t", b"b", 2), ("t", b"c", 3)]) },
            whole
        );
    }

    #[test]
    fn a_ledger_comes_back_for_the_same_tables_only() {
        let summer = Summer::new(&[1; 32]);
        let mut ledger = Ledger::new(2);
        (ledger.version, ledger.commits) = (7, Some(3));
        summer.enter(&mut ledger.entries[1], "b", b"key", 7, true);
        let bytes = ledger.encode(["a", "b"].into_iter()).unwrap();
        let back = Ledger::decode(&bytes, ["a", "b"].into_iter()).unwrap();
        assert_eq!((back.version, back.commits, back.entries), (7, Some(3), ledger.entries));
        assert!(Ledger::decode(&bytes, ["a", "c"].into_iter()).is_none());
        assert!(Ledger::decode(&bytes, ["a"].into_iter()).is_none());
        assert!(Ledger::decode(&[0xff], ["a"].into_iter()).is_none());
    }
}
