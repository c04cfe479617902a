//! What a program needs around a relay: a data directory that one process owns, an identity in it, listeners,
//! a line that says it is ready, an end in good order. A relay's program is this and a command line.
//!
//! A data directory holds `lock` (locked as long as a process has it), `identity.key` (the 32 bytes of the Ed25519
//! private key, mode 0600) and `relay.db`, the same as in a client that hosts.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_core::identity::Identity;
use chat_core::transport::{Address, Listener, Transport};
use chat_core::{Entropy, LinkError, PeerId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use zeroize::Zeroizing;

use crate::config::{MailboxLimits, RelayConfig};
use crate::mailbox::MailboxError;
use crate::server::{Relay, Secure};

/// The file of the identity in a data directory.
const IDENTITY_FILE: &str = "identity.key";
/// The file of the mailbox in a data directory.
const MAILBOX_FILE: &str = "relay.db";

/// Why a relay could not be hosted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Another process has the data directory.
    #[error("{0} is in use by another process; stop that one or choose another data directory")]
    InUse(PathBuf),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Others than its owner may read the identity's private key.
    #[error(
        "{path} can be read by others (mode {mode:o}); if nobody has, chmod 600 {path}, else delete it and begin \
         with a new identity"
    )]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The identity file is not one. It is left as it is.
    #[error("{0} is no key file: it must hold exactly 32 bytes")]
    BadKey(PathBuf),
    /// There is no randomness for a new identity.
    #[error("no identity could be made: {0}")]
    Entropy(chat_core::CryptoError),
    /// The mailbox could not be opened.
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
    /// Listening failed.
    #[error("{address}: {source}")]
    Listen {
        /// Where, as `kind://place`.
        address: String,
        /// Why.
        source: LinkError,
    },
}

/// A folder that this process alone uses, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is missing (0700), and takes it.
    ///
    /// # Errors
    /// [`HostError::InUse`] if another process has it, [`HostError::Io`].
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let io = |source| HostError::Io { path: path.to_owned(), source };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(io)?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(HostError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in here that nobody else can read, whatever the folder's own mode is; an empty one is made
    /// if it is missing. SQLite gives the files beside a database the mode of the database.
    ///
    /// # Errors
    /// [`HostError::Io`]
    pub fn private_file(&self, name: &str) -> Result<PathBuf, HostError> {
        let path = self.path.join(name);
        let make = || -> std::io::Result<()> {
            let file = private(OpenOptions::new().write(true).create(true).truncate(false)).open(&path)?;
            #[cfg(unix)]
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            drop(file);
            Ok(())
        };
        match make() {
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

    /// The identity in `key_file`, or else in `identity.key` of this folder: if that is missing, a new one, which is
    /// on the disk before it is given.
    ///
    /// # Errors
    /// [`HostError`] says what is wrong with the file; it is never replaced.
    pub fn identity(
        &self,
        key_file: Option<&Path>,
        entropy: &mut dyn Entropy,
    ) -> Result<Identity, HostError> {
        if let Some(path) = key_file {
            let file = File::open(path).map_err(|source| HostError::Io { path: path.to_owned(), source })?;
            return read_identity(file, path.to_owned());
        }
        if let Some(identity) = existing_identity(&self.path)? {
            return Ok(identity);
        }
        let path = self.path.join(IDENTITY_FILE);
        let identity = Identity::generate(entropy).map_err(HostError::Entropy)?;
        write_identity(&identity, &self.path, &path).map_err(|source| HostError::Io { path, source })?;
        Ok(identity)
    }
}

/// The identity in a data directory, if there is one, without taking the directory.
///
/// # Errors
/// As [`DataDir::identity`].
pub fn existing_identity(data_dir: &Path) -> Result<Option<Identity>, HostError> {
    let path = data_dir.join(IDENTITY_FILE);
    match File::open(&path) {
        Ok(file) => read_identity(file, path).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HostError::Io { path, source }),
    }
}

/// For files that only their owner may read.
fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn read_identity(file: File, path: PathBuf) -> Result<Identity, HostError> {
    #[cfg(unix)]
    {
        let metadata = file.metadata().map_err(|source| HostError::Io { path: path.clone(), source })?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(HostError::KeyExposed { path, mode });
        }
    }
    // One byte more than it may have, so that a longer file is noticed.
    let mut seed = Zeroizing::new(Vec::with_capacity(33));
    if let Err(source) = file.take(33).read_to_end(&mut seed) {
        return Err(HostError::Io { path, source });
    }
    match seed.as_slice().try_into() {
        Ok(seed) => Ok(Identity::from_seed(seed)),
        Err(_) => Err(HostError::BadKey(path)),
    }
}

/// Whole or not at all, whenever the process is killed: written beside, flushed to the disk, then renamed.
fn write_identity(identity: &Identity, dir: &Path, path: &Path) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
    file.write_all(identity.seed().as_ref())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// What a relay says on stdout once it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What was really bound, as `kind://place`.
    pub listen: Vec<String>,
    /// The relay's peer id, for pins.
    pub fingerprint: PeerId,
}

impl Ready {
    /// `{"ready":{"listen":["tcp://127.0.0.1:12345"],"fingerprint":"…"}}`, without a line feed.
    pub fn line(&self) -> String {
        let Self { listen, fingerprint } = self;
        let listen = serde_json::Value::from(listen.as_slice());
        format!(r#"{{"ready":{{"listen":{listen},"fingerprint":"{fingerprint}"}}}}"#)
    }
}

/// Where a hosted relay listens, and with what.
pub struct Listen {
    /// The transport's name.
    pub kind: String,
    /// The transport.
    pub transport: Box<dyn Transport>,
    /// The place.
    pub address: Address,
}

/// Everything about a hosted relay.
pub struct Host<'a> {
    /// Where identity and mailbox are.
    pub data_dir: &'a Path,
    /// Where the identity is, if not in the data directory.
    pub key_file: Option<&'a Path>,
    /// At least one.
    pub listen: Vec<Listen>,
    /// Makes links of what the transports give; gets the relay's identity.
    pub secure: &'a (dyn Fn(&Identity) -> Arc<dyn Secure> + Sync),
    /// Limits of the live side.
    pub config: RelayConfig,
    /// Limits of the durable side.
    pub limits: MailboxLimits,
}

impl Host<'_> {
    /// Runs the relay: takes the data directory, opens the mailbox, listens, calls `ready`, serves until `stop` is
    /// done, and drains. Cancel safe in so far as the database survives it.
    ///
    /// # Errors
    /// [`HostError`]; whatever was begun is ended then.
    pub async fn run(
        self,
        entropy: &mut (dyn Entropy + '_),
        ready: impl FnOnce(&Ready),
        stop: impl Future<Output = ()>,
    ) -> Result<(), HostError> {
        let data_dir = DataDir::open(self.data_dir)?;
        let identity = data_dir.identity(self.key_file, entropy)?;
        let relay = Relay::open(self.config, self.limits, &data_dir.mailbox()?)?;
        let secure = (self.secure)(&identity);
        let served = serve(&relay, self.listen, &identity, &secure, ready, stop).await;
        relay.shutdown().await;
        served
    }
}

async fn serve(
    relay: &Relay,
    listen: Vec<Listen>,
    identity: &Identity,
    secure: &Arc<dyn Secure>,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), HostError> {
    let mut listeners: Vec<(String, Box<dyn Listener>)> = Vec::new();
    for Listen { kind, transport, address } in listen {
        match transport.listen(&address, identity).await {
            Ok(listener) => listeners.push((format!("{kind}://{}", listener.address().place), listener)),
            Err(source) => {
                return Err(HostError::Listen { address: format!("{kind}://{}", address.place), source });
            }
        }
    }
    let bound = listeners.iter().map(|(address, _)| address.clone()).collect();
    ready(&Ready { listen: bound, fingerprint: identity.peer_id() });
    let mut serving: FuturesUnordered<_> = listeners
        .into_iter()
        .map(|(address, listener)| async move {
            let served = relay.serve(listener, Arc::clone(secure)).await;
            served.map_err(|source| HostError::Listen { address, source })
        })
        .collect();
    let failed = async {
        while let Some(served) = serving.next().await {
            served?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        failed = failed => failed,
        () = stop => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chat_core::CryptoError;

    use super::*;

    struct Counting(u8);

    impl Entropy for Counting {
        fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
            self.0 += 1;
            buf.fill(self.0);
            Ok(())
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
        assert!(matches!(dir.identity(Some(&elsewhere), &mut entropy), Err(HostError::Io { .. })));
        std::fs::copy(path.join(IDENTITY_FILE), &elsewhere).unwrap();
        assert_eq!(dir.identity(Some(&elsewhere), &mut entropy).unwrap().peer_id(), first.peer_id());
    }

    #[test]
    fn a_file_that_is_no_identity_is_refused_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        dir.identity(None, &mut Counting(0)).unwrap();
        let path = parent.path().join(IDENTITY_FILE);
        for len in [0, 31, 33, 1000] {
            std::fs::write(&path, vec![7; len]).unwrap();
            assert!(matches!(dir.identity(None, &mut Counting(9)), Err(HostError::BadKey(_))), "{len}");
            assert_eq!(std::fs::read(&path).unwrap(), vec![7; len]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        dir.identity(None, &mut Counting(0)).unwrap();
        let path = parent.path().join(IDENTITY_FILE);
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for exposed in [0o640, 0o604, 0o666] {
            mode(exposed);
            let error = dir.identity(None, &mut Counting(9)).unwrap_err();
            assert!(matches!(error, HostError::KeyExposed { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        let mailbox = dir.mailbox().unwrap();
        assert_eq!(mailbox.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o400);
        dir.identity(None, &mut Counting(9)).unwrap();
    }

    #[test]
    fn the_ready_line() {
        let ready = Ready { listen: vec!["tcp://127.0.0.1:1".into()], fingerprint: PeerId([0xab; 32]) };
        let expected =
            format!(r#"{{"ready":{{"listen":["tcp://127.0.0.1:1"],"fingerprint":"{}"}}}}"#, "ab".repeat(32));
        assert_eq!(ready.line(), expected);
        let odd = Ready { listen: vec!["x://\"\n".into()], ..ready };
        let parsed: serde_json::Value = odd.line().parse().unwrap();
        assert_eq!(parsed["ready"]["listen"][0], "x://\"\n");
        assert!(!odd.line().contains('\n'));
    }
}
