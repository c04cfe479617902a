//! The file of the store: made whole or not at all, so that an empty one, or one whose log stands alone, has lost what
//! was in it, however the program ended before.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::count::{self, Told};
use super::seal::Seal;

/// What SQLite, or a start that was killed, may have left beside the file that is being made.
const BESIDE: [&str; 4] = ["", "-journal", "-wal", "-shm"];

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// What lies where the store should.
pub(super) enum Found {
    Nothing,
    /// SQLite would begin anew in a file that is shorter than any database.
    Stub,
    Store,
}

pub(super) fn found(path: &Path) -> Result<Found, StoreError> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() < 512 => Ok(Found::Stub),
        Ok(_) => Ok(Found::Store),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// Makes the store if it isn't there.
pub(super) fn make_if_missing(path: &Path, seal: &Seal) -> Result<(), StoreError> {
    match found(path)? {
        Found::Stub => return Err(StoreError::Empty),
        Found::Store => return Ok(()),
        Found::Nothing => {}
    }
    // SQLite would apply an old log to the new file.
    match std::fs::metadata(beside(path, "-wal")) {
        Ok(log) if log.len() > 0 => return Err(StoreError::LogAlone),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    match count::read(path, seal)? {
        // The last start was killed when it had just begun; or this is the first.
        Told::Commits(0) | Told::Nothing => count::begin(path, seal)?,
        Told::Commits(_) | Told::Rubbish => return Err(StoreError::Gone { count: count::count_of(path) }),
    }
    let new = beside(path, ".new");
    make(path, &new, seal).inspect_err(|_| {
        for left in [std::fs::remove_file(count::count_of(path)), remove(&new)] {
            if let Err(error) = left {
                tracing::warn!(%error, "a store that was not finished is left behind");
            }
        }
    })
}

fn remove(new: &Path) -> std::io::Result<()> {
    for ending in BESIDE {
        match std::fs::remove_file(beside(new, ending)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Under another name until all of it is on the disk.
fn make(path: &Path, new: &Path, seal: &Seal) -> Result<(), StoreError> {
    remove(new).map_err(StoreError::from)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(new).map_err(StoreError::from)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(new, flags)?;
    db.execute_batch("PRAGMA synchronous = FULL")?;
    seal.attach(&db)?;
    super::make_tables(&db, seal)?;
    db.close().map_err(|(_, error)| error)?;
    std::fs::rename(new, path).map_err(StoreError::from)?;
    sync_folder_of(path).map_err(StoreError::from)
}

/// What stands in the first hundred bytes of a database that this program has made: from where, what, and what it is
/// (<https://www.sqlite.org/fileformat2.html#the_database_header>). SQLite takes some of it for a wish, such as to leave
/// the file alone.
const HEAD: [(usize, &[u8], &str); 7] = [
    (0, b"SQLite format 3\0", "it does not begin as a database does"),
    (20, &[0, 64, 32, 32], "the shape of its pages is another one"),
    (44, &[0, 0, 0, 4], "it says that its schema is of another format"),
    (52, &[0; 4], "it says that it shrinks by itself"),
    (56, &[0, 0, 0, 1], "it says that its text is in another encoding"),
    (64, &[0; 4], "it says that it shrinks by itself"),
    (68, &[0; 4], "it says that it is another program's"),
];

/// Whether the database at `path` begins as it should. Nothing but its first bytes is read.
pub(super) fn check_head(path: &Path) -> Result<(), StoreError> {
    let mut head = [0; 100];
    std::io::Read::read_exact(&mut File::open(path)?, &mut head)?;
    let is = |at: usize, what: &[u8]| head.get(at..at + what.len()) == Some(what);
    let damaged = |what: &str| {
        Err(StoreError::Damaged(format!("the head of the file is not what was written: {what}")))
    };
    if let Some((.., what)) = HEAD.iter().find(|(at, bytes, _)| !is(*at, bytes)) {
        return damaged(what);
    }
    // Both 2 with a write-ahead log, both 1 without.
    match is(18, &[1, 1]) || is(18, &[2, 2]) {
        true => Ok(()),
        false => damaged("it says that a later SQLite has written it"),
    }
}

/// Makes a rename, or a removal, last.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;
    use crate::store::Store;

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("client.db")
    }

    /// Killed at any moment before the rename, a first start leaves nothing that keeps the second from starting.
    #[test]
    fn a_first_start_that_was_killed_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        for left in BESIDE {
            std::fs::write(beside(&path(&folder), &format!(".new{left}")), "half of it").unwrap();
        }
        let store = Store::open(&StorePlace::File(path(&folder))).unwrap();
        drop(store);
        let mut found: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, ["client.count", "client.db"]);
        Store::open(&StorePlace::File(path(&folder))).unwrap();
    }

    #[test]
    fn a_store_that_was_cut_off_is_no_empty_history() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(&StorePlace::File(path(&folder))).unwrap());
        let whole = std::fs::read(path(&folder)).unwrap();
        std::fs::write(path(&folder), "").unwrap();
        assert!(matches!(Store::open(&StorePlace::File(path(&folder))), Err(StoreError::Empty)));
        assert_eq!(path(&folder).metadata().unwrap().len(), 0);
        // Its log alone is no store either.
        std::fs::remove_file(path(&folder)).unwrap();
        let log = beside(&path(&folder), "-wal");
        std::fs::write(&log, "a log").unwrap();
        assert!(matches!(Store::open(&StorePlace::File(path(&folder))), Err(StoreError::LogAlone)));
        assert_eq!(std::fs::read(&log).unwrap(), b"a log");
        std::fs::remove_file(log).unwrap();
        std::fs::write(path(&folder), whole).unwrap();
        Store::open(&StorePlace::File(path(&folder))).unwrap();
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(path(&folder)).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let before = std::fs::read(path(&folder)).unwrap();
        assert!(matches!(Store::open(&StorePlace::File(path(&folder))), Err(StoreError::Damaged(_))));
        assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
    }

    /// An empty log belongs to nothing; SQLite leaves one.
    #[test]
    fn an_empty_log_is_no_reason_to_refuse() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(beside(&path(&folder), "-wal"), "").unwrap();
        Store::open(&StorePlace::File(path(&folder))).unwrap();
    }

    /// What can't be looked at may be a store, and what can't be removed is not built over.
    #[cfg(unix)]
    #[test]
    fn a_place_that_is_in_doubt_is_left_alone() {
        for doubtful in ["", "-wal", ".new-journal"] {
            let folder = tempfile::tempdir().unwrap();
            let doubtful = beside(&path(&folder), doubtful);
            if doubtful.to_string_lossy().ends_with("journal") {
                std::fs::create_dir(&doubtful).unwrap();
            } else {
                std::os::unix::fs::symlink(&doubtful, &doubtful).unwrap();
            }
            let refused = Store::open(&StorePlace::File(path(&folder))).err();
            assert!(matches!(refused, Some(StoreError::File(_))), "{doubtful:?}: {refused:?}");
            let found: Vec<_> =
                std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(found, [doubtful]);
        }
    }
}
