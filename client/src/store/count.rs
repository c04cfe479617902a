//! How many commits there were, in a file beside the database: `client.count`. What lies in the log alone, or the whole
//! database, may be lost so that what is left looks like a whole, older store; the count tells.
//!
//! Two slots of `commits u64 ‖ HMAC-SHA256 32` under a key of the store, 512 bytes apart and written in turn, after the
//! commit that they count: so no crash leaves a count that is ahead of the database. Nothing is synced with a commit, but
//! at the start and at the end; after a power cut the file may be as old as the system lets a page lie. Nought is the
//! count of a store that is being made.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hmac::Mac;

use super::seal::{Seal, keyed};
use super::{StoreError, file};
use crate::vault::{VaultError, write_private};

/// What its key is derived by from the store's.
pub(super) const LABEL: &str = "chat/store/1 commits";
const SLOT_BYTES: usize = 40;
/// A sector: a write that is torn leaves the other slot alone.
const APART: usize = 512;

/// Where the count of the store at `path` lies.
pub(crate) fn count_of(path: &Path) -> PathBuf {
    match path.extension() {
        Some(ending) if ending == "db" => path.with_extension("count"),
        _ => file::beside(path, ".count"),
    }
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// There is none.
    Nothing,
    /// None that was made with this key.
    Rubbish,
    /// There were so many commits.
    Commits(u64),
}

fn slot(key: &[u8; 32], commits: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let (number, tag) = slot.split_at_mut(8);
    number.copy_from_slice(&commits.to_be_bytes());
    tag.copy_from_slice(&keyed(key).chain_update(commits.to_be_bytes()).finalize().into_bytes());
    slot
}

fn opened(key: &[u8; 32], slot: &[u8]) -> Option<u64> {
    let (number, tag) = slot.get(..SLOT_BYTES)?.split_first_chunk::<8>()?;
    keyed(key).chain_update(number).verify_slice(tag).ok()?;
    Some(u64::from_be_bytes(*number))
}

/// Reads the count of the store at `path`.
pub(super) fn read(path: &Path, seal: &Seal) -> Result<Told, StoreError> {
    let path = count_of(path);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Told::Nothing),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.is_file() => return Ok(Told::Rubbish),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(&path)?.take(2 * APART as u64).read_to_end(&mut bytes)?;
    let key = seal.count_key();
    let slots = [0, APART].into_iter().filter_map(|at| opened(&key, bytes.get(at..)?));
    Ok(slots.max().map_or(Told::Rubbish, Told::Commits))
}

/// Begins the count of a store that is made next, or of one that had none.
pub(super) fn begin(path: &Path, seal: &Seal) -> Result<(), StoreError> {
    let slot = slot(&seal.count_key(), 0);
    let mut bytes = [0; 2 * APART];
    for place in [0, APART] {
        bytes.iter_mut().skip(place).zip(slot).for_each(|(to, from)| *to = from);
    }
    write_private(&count_of(path), &bytes).map_err(|error| match error {
        VaultError::Io { source, .. } => source.into(),
        other => StoreError::Damaged(other.to_string()),
    })
}

/// Whether all commits that were counted are in the store at `path`, whose ledger is loaded.
pub(super) fn check(path: &Path, seal: &Seal) -> Result<(), StoreError> {
    let name = count_of(path);
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let said = match (read(path, seal)?, seal.commits()) {
        (Told::Rubbish, _) => format!("{name}, which counts its commits, is not what was written"),
        (Told::Nothing, Some(_)) => format!(
            "{name}, which counts its commits, is not there, so it can't be told whether this is an older copy"
        ),
        (Told::Commits(told), has) if told > has.unwrap_or(0) => format!(
            "the last {} commits are missing: its write-ahead log was damaged or taken away, or an older copy of the store \
             was put in its place",
            told - has.unwrap_or(0)
        ),
        _ => return Ok(()),
    };
    Err(StoreError::Damaged(said))
}

/// The count, while the store is in use.
pub(super) struct Count {
    file: File,
    key: zeroize::Zeroizing<[u8; 32]>,
}

impl Count {
    /// Takes the count of the store at `path`, which was checked.
    pub(super) fn open(path: &Path, seal: &Seal) -> Result<Self, StoreError> {
        if read(path, seal)? == Told::Nothing {
            begin(path, seal)?;
        }
        let file = File::options().write(true).open(count_of(path))?;
        let count = Self { file, key: seal.count_key() };
        count.put(seal.commits().unwrap_or(0))?;
        count.sync()?;
        Ok(count)
    }

    fn put(&self, commits: u64) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(commits % 2 * APART as u64))?;
        file.write_all(&slot(&self.key, commits))
    }

    /// There were so many commits.
    pub(super) fn raise(&self, commits: u64) {
        // What is committed stays so; only its loss would not be told.
        if let Err(error) = self.put(commits) {
            tracing::warn!(%error, "the commits of the store can't be counted");
        }
    }

    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

/// As a thief who has the store's key: any copy is taken for the newest.
#[cfg(test)]
pub(crate) fn forge(path: &Path) {
    let key = crate::vault::StoreKey::from_bytes(&[7; 32]);
    begin(path, &Seal::new(&key, Box::new(chat_core::entropy::OsEntropy)).unwrap()).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;
    use crate::store::Store;

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("client.db")
    }

    fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open(&StorePlace::File(path.to_owned()))
    }

    fn forget(store: &Store, n: u8) {
        store.run(&format!("INSERT INTO deleted VALUES (x'{n:02x}', x'02', 3)")).unwrap();
    }

    fn rows(store: &Store) -> i64 {
        store.db.query_row("SELECT count(*) FROM deleted", [], |row| row.get(0)).unwrap()
    }

    /// The folder of a process that was killed after eight commits: nearly all of them lie in the log.
    fn killed() -> tempfile::TempDir {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(&path(&folder)).unwrap();
        (1..=8).for_each(|n| forget(&store, n));
        for entry in folder.path().read_dir().unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    #[test]
    fn a_kill_loses_nothing_and_is_no_damage() {
        let folder = killed();
        assert_eq!(rows(&open(&path(&folder)).unwrap()), 8);
        // Killed between the commit and the count: the count is behind.
        let folder = killed();
        let seal = open(&path(&killed())).unwrap().seal;
        begin(&path(&folder), &seal).unwrap();
        assert_eq!(rows(&open(&path(&folder)).unwrap()), 8);
        assert!(matches!(read(&path(&folder), &seal).unwrap(), Told::Commits(8..)));
    }

    /// Whatever becomes of the log, what is gone with it is told, and the log is left as it is.
    #[test]
    fn commits_that_are_lost_with_the_log_are_told() {
        let log = |folder: &tempfile::TempDir| file::beside(&path(folder), "-wal");
        let whole = std::fs::read(log(&killed())).unwrap();
        let flipped = |at: usize| {
            let mut log = whole.clone();
            log[at] ^= 1;
            log
        };
        let cases =
            [flipped(0), flipped(17), flipped(whole.len() / 2), whole[..whole.len() / 2].to_vec(), vec![]];
        for (n, damaged) in cases.iter().enumerate() {
            let folder = killed();
            std::fs::write(log(&folder), damaged).unwrap();
            for _ in 0..2 {
                let refused = open(&path(&folder)).map(drop).unwrap_err().to_string();
                assert!(refused.contains("commits are missing: its write-ahead log"), "{n}: {refused}");
                // An empty one may go with the connection.
                assert_eq!(&std::fs::read(log(&folder)).unwrap_or_default(), damaged, "{n}");
            }
        }
        let folder = killed();
        std::fs::remove_file(log(&folder)).unwrap();
        assert!(open(&path(&folder)).is_err());
    }

    #[test]
    fn an_older_copy_of_the_file_alone_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&path(&folder)).unwrap();
        forget(&store, 1);
        store.close().unwrap();
        let old = std::fs::read(path(&folder)).unwrap();
        let store = open(&path(&folder)).unwrap();
        forget(&store, 2);
        store.close().unwrap();
        std::fs::write(path(&folder), old).unwrap();
        let refused = open(&path(&folder)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("the last 1 commits are missing"), "{refused}");
    }

    #[test]
    fn a_store_that_is_gone_is_no_empty_history_until_somebody_says_so() {
        let folder = killed();
        std::fs::remove_file(path(&folder)).unwrap();
        std::fs::remove_file(file::beside(&path(&folder), "-wal")).unwrap();
        assert!(matches!(open(&path(&folder)), Err(StoreError::Gone { .. })));
        assert!(!path(&folder).exists());
        std::fs::remove_file(count_of(&path(&folder))).unwrap();
        assert_eq!(rows(&open(&path(&folder)).unwrap()), 0);
    }

    /// Either slot is enough, as the other one may be torn; none of it, or none at all, is told.
    #[test]
    fn a_count_that_was_altered_is_told() {
        let folder = killed();
        let whole = std::fs::read(count_of(&path(&folder))).unwrap();
        for (bytes, good) in [(vec![0], true), (vec![APART], true), (vec![3, APART + 20], false)] {
            let mut altered = whole.clone();
            bytes.iter().for_each(|at| altered[*at] ^= 1);
            std::fs::write(count_of(&path(&folder)), &altered).unwrap();
            let opened = open(&path(&folder)).map(drop);
            assert_eq!(opened.is_ok(), good, "{bytes:?}: {opened:?}");
            std::fs::write(count_of(&path(&folder)), &whole).unwrap();
        }
        std::fs::remove_file(count_of(&path(&folder))).unwrap();
        let refused = open(&path(&folder)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("client.count") && refused.contains("is not there"), "{refused}");
    }
}
