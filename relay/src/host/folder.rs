//! The data directory that one process owns, and its databases.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::HostError;
use super::files::is_file;
use super::identity::IDENTITY_FILE;
use super::lock;

/// The file of the mailbox.
const MAILBOX_FILE: &str = "relay.db";
/// The file of what a client's store is sealed with.
const STORE_KEY_FILE: &str = "store.key";
/// What locks a data directory.
const LOCK_FILE: &str = "lock";
/// What a start makes before it is known to succeed, and may take back; `logs` only as long as it is empty.
const FIRST_FILES: [&str; 8] = [
    IDENTITY_FILE,
    STORE_KEY_FILE,
    MAILBOX_FILE,
    "relay.db-wal",
    "relay.db-shm",
    "relay.db-journal",
    "relay.db.lock",
    "logs",
];

/// A folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// None in a folder that can't be written and has no file for it.
    _lock: Option<File>,
    made: Made,
}

/// What was not there before this process took the folder.
#[derive(Debug, Default)]
struct Made {
    /// Folders on the way, the deepest first.
    folders: Vec<PathBuf>,
    lock: bool,
    /// Those of [`FIRST_FILES`] that are ours if they are there later.
    missing: Vec<&'static str>,
}

impl DataDir {
    /// Makes the folder if it is missing (0700), and takes it.
    ///
    /// # Errors
    /// [`HostError::InUse`] if another process has it, [`HostError::NotAFile`], [`HostError::Io`].
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let io = |source| HostError::Io { path: path.to_owned(), source };
        let is_missing = |path: &Path| std::fs::symlink_metadata(path).is_err();
        let missing_folder = |path: &&Path| !path.as_os_str().is_empty() && is_missing(path);
        let folders = path.ancestors().take_while(missing_folder).map(Path::to_owned).collect();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(io)?;
        let lock_path = path.join(LOCK_FILE);
        is_file(&lock_path)?;
        let lock_io = |source| HostError::Io { path: lock_path.clone(), source };
        let (lock, made_lock) = lock::open(&lock_path).map_err(lock_io)?;
        match lock.try_lock() {
            Ok(()) if lock::is_at(&lock, &lock_path) => {}
            // Whoever had it has taken it away with its last file.
            Ok(()) | Err(TryLockError::WouldBlock) => return Err(HostError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let missing = FIRST_FILES.into_iter().filter(|name| is_missing(&path.join(name))).collect();
        Ok(Self {
            path: path.to_owned(),
            _lock: Some(lock),
            made: Made { folders, lock: made_lock, missing },
        })
    }

    /// Gives the folder free and leaves it as it was found: for a start that was refused. What was there before stays,
    /// and so does whatever is not known to be this start's.
    pub fn undo(self) {
        let take_away = |path: &Path| {
            let removed = match path.symlink_metadata() {
                Ok(found) if found.is_dir() => std::fs::remove_dir(path),
                Ok(_) => std::fs::remove_file(path),
                Err(_) => return,
            };
            if let Err(error) = removed {
                tracing::debug!(%error, "something stays behind of a start that was refused");
            }
        };
        self.made.missing.iter().for_each(|name| take_away(&self.path.join(name)));
        if self.made.lock {
            take_away(&self.path.join(LOCK_FILE));
        }
        self.made.folders.iter().for_each(|folder| take_away(folder));
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`DataDir::open`], to look into it only: a folder that can't be written will do, as one on a read-only medium.
    ///
    /// # Errors
    /// As [`DataDir::open`].
    pub fn look(path: &Path) -> Result<Self, HostError> {
        let refused = match Self::open(path) {
            Err(HostError::Io { source, path }) if is_of_writing(&source) => HostError::Io { source, path },
            opened => return opened,
        };
        let lock_path = path.join(LOCK_FILE);
        let lock =
            if is_file(&lock_path)? { Some(File::open(&lock_path).map_err(|_| refused)?) } else { None };
        match lock.as_ref().map_or(Ok(()), File::try_lock_shared) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock, made: Made::default() }),
            Err(TryLockError::WouldBlock) => Err(HostError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(HostError::Io { path: lock_path, source }),
        }
    }

    /// The path of a file in here, which is left as it is.
    ///
    /// # Errors
    /// [`HostError::NotAFile`], [`HostError::Io`] if it can't be looked at.
    pub fn file(&self, name: &str) -> Result<PathBuf, HostError> {
        let path = self.path.join(name);
        is_file(&path).map(|_| path)
    }

    /// The path of a file in here. If the file is there, nobody else can read it from now on, whatever the folder's
    /// own mode is; whoever makes it sees to that. SQLite gives the files beside a database the mode of the database.
    ///
    /// # Errors
    /// [`HostError::NotAFile`], [`HostError::Io`] if it can't be written.
    pub fn private_file(&self, name: &str) -> Result<PathBuf, HostError> {
        let path = self.path.join(name);
        if !is_file(&path)? {
            return Ok(path);
        }
        let close = || -> std::io::Result<()> {
            let _file = OpenOptions::new().write(true).open(&path)?;
            #[cfg(unix)]
            _file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            Ok(())
        };
        match close() {
            Ok(()) => Ok(path),
            Err(source) => Err(HostError::Io { path, source }),
        }
    }

    /// The relay's mailbox.
    ///
    /// # Errors
    /// As [`DataDir::private_file`].
    pub fn mailbox(&self) -> Result<PathBuf, HostError> {
        self.private_file(MAILBOX_FILE)
    }
}

/// Whether something failed because it may not be written.
fn is_of_writing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use chat_core::{CryptoError, Entropy};

    use super::super::KeyProblem;
    use super::*;

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
            self.0 += 1;
            buf.fill(self.0);
            Ok(())
        }
    }

    fn problem(error: HostError) -> KeyProblem {
        match error {
            HostError::Key(error) => error.problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_identity_stays_and_the_folder_is_for_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let mut entropy = Counting(0);
        let dir = DataDir::open(&path).unwrap();
        let first = dir.identity(None, &mut entropy).unwrap();
        assert!(matches!(DataDir::open(&path), Err(HostError::InUse(_))));
        drop(dir);
        let dir = DataDir::open(&path).unwrap();
        let again = dir.identity(None, &mut entropy).unwrap();
        assert_eq!((first.peer_id(), entropy.0), (again.peer_id(), 1));
        assert_eq!(std::fs::read(path.join(IDENTITY_FILE)).unwrap(), [1; 32]);
        assert!(!path.join("identity.new").exists());
        // A key file that is named must be there.
        let elsewhere = parent.path().join("key");
        let error = dir.identity(Some(&elsewhere), &mut entropy).unwrap_err();
        assert!(error.to_string().starts_with("identity.key_file: "), "{error}");
        assert!(matches!(problem(error), KeyProblem::Missing));
        std::fs::copy(path.join(IDENTITY_FILE), &elsewhere).unwrap();
        assert_eq!(dir.identity(Some(&elsewhere), &mut entropy).unwrap().peer_id(), first.peer_id());
    }

    #[test]
    fn a_start_that_was_refused_takes_back_what_it_made_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        dir.identity(None, &mut Counting(0)).unwrap();
        std::fs::write(dir.mailbox().unwrap(), "").unwrap();
        dir.undo();
        assert!(!parent.path().join("a").exists());
        // What was there stays, whoever made it.
        let dir = DataDir::open(&path).unwrap();
        dir.identity(None, &mut Counting(0)).unwrap();
        drop(dir);
        let dir = DataDir::open(&path).unwrap();
        for new in ["relay.db", "notes"] {
            std::fs::write(path.join(new), "").unwrap();
        }
        dir.undo();
        let mut left: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["identity.key", "lock", "notes"]);
        DataDir::open(&path).unwrap();
    }

    /// Whoever looks needs no more than to read, but not while somebody writes. A lock stands for what can't be opened for
    /// writing: a directory in its place is an error, a file that only the owner of its disk may write is none.
    #[cfg(unix)]
    #[test]
    fn a_folder_that_cannot_be_written_is_looked_at_all_the_same() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let dir = DataDir::open(&path).unwrap();
        dir.identity(None, &mut Counting(0)).unwrap();
        assert!(matches!(DataDir::look(&path), Err(HostError::InUse(_))));
        drop(dir);
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&path.join(LOCK_FILE), 0o400);
        mode(&path, 0o500);
        let looked = DataDir::look(&path);
        mode(&path, 0o700);
        let looked = looked.unwrap();
        assert!(looked.file(IDENTITY_FILE).unwrap().exists());
        looked.undo();
        assert!(path.join(IDENTITY_FILE).exists() && path.join(LOCK_FILE).exists());
    }

    /// None of these is opened: reading a pipe, or a device of zeros, might never end.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_named_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        let key = parent.path().join(IDENTITY_FILE);
        let socket = parent.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let all = [
            (Path::new("/dev/zero"), "a device"),
            (parent.path(), "a directory"),
            (socket.as_path(), "a socket"),
        ];
        for (place, what) in all {
            std::os::unix::fs::symlink(place, &key).unwrap();
            for (key_file, says) in [(None, key.as_path()), (Some(place), place)] {
                let error = dir.identity(key_file, &mut Counting(0)).unwrap_err();
                let (said, says) = (error.to_string(), format!("{} is {what}", says.display()));
                assert!(said.contains(&says), "{said}");
                assert!(matches!(problem(error), KeyProblem::NotAFile(_)));
            }
            std::fs::remove_file(&key).unwrap();
        }
        // A link to nothing is not replaced either.
        std::os::unix::fs::symlink("/nowhere/key", &key).unwrap();
        assert!(matches!(problem(dir.identity(None, &mut Counting(0)).unwrap_err()), KeyProblem::Io(_)));
        std::os::unix::fs::symlink("/nowhere/mailbox", parent.path().join("relay.db")).unwrap();
        let error = dir.mailbox().unwrap_err();
        assert!(matches!(error, HostError::NotAFile { what: "a link to a file that is not there", .. }));
        std::fs::remove_file(parent.path().join("relay.db")).unwrap();
        std::fs::create_dir(parent.path().join("relay.db")).unwrap();
        assert!(matches!(dir.mailbox(), Err(HostError::NotAFile { what: "a directory", .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        dir.identity(None, &mut Counting(0)).unwrap();
        let path = parent.path().join(IDENTITY_FILE);
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for exposed in [0o640, 0o604, 0o666] {
            mode(&path, exposed);
            let error = dir.identity(None, &mut Counting(9)).unwrap_err();
            let said = error.to_string();
            assert!(
                said.contains("chmod 600") && said.contains("The key alone must not be removed"),
                "{said}"
            );
            assert!(matches!(problem(error), KeyProblem::Exposed(_)));
        }
        mode(&path, 0o400);
        dir.identity(None, &mut Counting(9)).unwrap();
        // The mailbox is not made in here, but closed to others.
        let mailbox = dir.mailbox().unwrap();
        assert!(!mailbox.exists());
        std::fs::write(&mailbox, "").unwrap();
        mode(&mailbox, 0o644);
        dir.mailbox().unwrap();
        assert_eq!(mailbox.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
