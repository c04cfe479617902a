//! The identity in a data directory: found or made, brought there, or only looked at.

use std::path::Path;

use chat_core::identity::{Identity, PeerKey};
use chat_core::{Entropy, PeerId};

use super::HostError;
use super::folder::DataDir;
use super::key_file::{self, IdentityLock, Kept, KeyError, KeyProblem};

/// The file of the identity in a data directory.
pub(super) const IDENTITY_FILE: &str = "identity.key";
/// The file of a client's history and sessions, which make sense with the identity only that they were made with.
const CLIENT_FILE: &str = "client.db";

impl DataDir {
    /// The identity in `key_file`, or else in `identity.key` of this folder: if that is missing, a new one, which is
    /// on the disk before it is given. There is no new one for a history that is there already.
    ///
    /// # Errors
    /// [`HostError`] says what is wrong with the file; it is never replaced.
    pub fn identity(
        &self,
        key_file: Option<&Path>,
        entropy: &mut dyn Entropy,
    ) -> Result<Identity, HostError> {
        self.identity_under(key_file, None, entropy)
    }

    /// As [`DataDir::identity`]; the one of this folder is sealed with `lock`, from now on if it was not, or lies in the
    /// clear from now on if it does not seal; but not if the store beside it is another's, for then somebody has put it
    /// there. A `key_file` is its owner's business, and stays as it is.
    ///
    /// # Errors
    /// As [`DataDir::identity`].
    pub fn identity_under(
        &self,
        key_file: Option<&Path>,
        lock: Option<&dyn IdentityLock>,
        entropy: &mut dyn Entropy,
    ) -> Result<Identity, HostError> {
        if let Some(path) = key_file {
            let found = key_file::read(path).and_then(|found| found.ok_or(KeyProblem::Missing));
            let found = found.and_then(|kept| kept.identity(None));
            return found.map_err(|problem| bad_key(path, true, problem));
        }
        let path = self.path().join(IDENTITY_FILE);
        let put = |identity: &Identity| {
            let written = key_file::write(identity, lock, self.path(), &path);
            written.map_err(|source| HostError::Io { path: path.clone(), source })
        };
        let kept = key_file::read(&path).map_err(|problem| bad_key(&path, false, problem))?;
        if let Some(kept) = kept {
            let identity = kept.identity(lock).map_err(|problem| bad_key(&path, false, problem))?;
            if !kept.is_as(lock) {
                let owner = lock.and_then(IdentityLock::owner);
                if owner.is_some_and(|owner| owner != identity.peer_id()) {
                    return Err(bad_key(&path, false, KeyProblem::Foreign(identity.peer_id())));
                }
                put(&identity)?;
            }
            return Ok(identity);
        }
        let client = self.path().join(CLIENT_FILE);
        if std::fs::symlink_metadata(&client).is_ok() {
            return Err(bad_key(&path, false, KeyProblem::Orphaned(client)));
        }
        let identity = Identity::generate(entropy).map_err(HostError::Entropy)?;
        put(&identity)?;
        Ok(identity)
    }

    /// Whether an identity, or something in its place, is there.
    pub fn has_identity(&self) -> bool {
        std::fs::symlink_metadata(self.path().join(IDENTITY_FILE)).is_ok()
    }

    /// Puts an identity here, sealed if there is a `lock` that seals.
    ///
    /// # Errors
    /// [`HostError::Exists`] if there is one already, [`HostError::Io`].
    pub fn put_identity(
        &self,
        identity: &Identity,
        lock: Option<&dyn IdentityLock>,
    ) -> Result<(), HostError> {
        let path = self.path().join(IDENTITY_FILE);
        if self.has_identity() {
            return Err(HostError::Exists(path));
        }
        let written = key_file::write(identity, lock, self.path(), &path);
        written.map_err(|source| HostError::Io { path, source })
    }
}

/// The peer id of the identity in a data directory, if there is one. Of a sealed one it is what the file says.
///
/// # Errors
/// As [`DataDir::identity`].
pub fn existing_peer(data_dir: &Path) -> Result<Option<PeerId>, HostError> {
    peer_of(&data_dir.join(IDENTITY_FILE), false)
}

/// The peer id of the identity in the file that `identity.key_file` names, if it is there.
///
/// # Errors
/// As [`DataDir::identity`].
pub fn peer_of_key_file(path: &Path) -> Result<Option<PeerId>, HostError> {
    peer_of(path, true)
}

fn peer_of(path: &Path, by_setting: bool) -> Result<Option<PeerId>, HostError> {
    let bad = |problem| bad_key(path, by_setting, problem);
    match key_file::read(path).map_err(bad)? {
        None => Ok(None),
        Some(Kept::Clear(identity)) => Ok(Some(identity.peer_id())),
        Some(Kept::Sealed(public, _)) => {
            let key = PeerKey::from_bytes(&public).map_err(|_| bad(KeyProblem::Altered))?;
            Ok(Some(key.peer_id()))
        }
    }
}

/// The identity in a data directory, if there is one, without taking the directory.
///
/// # Errors
/// As [`DataDir::identity`].
pub fn existing_identity(data_dir: &Path) -> Result<Option<Identity>, HostError> {
    let path = data_dir.join(IDENTITY_FILE);
    let kept = key_file::read(&path);
    let identity = kept.and_then(|kept| kept.map(|kept| kept.identity(None)).transpose());
    identity.map_err(|problem| bad_key(&path, false, problem))
}

fn bad_key(path: &Path, by_setting: bool, problem: KeyProblem) -> HostError {
    HostError::Key(KeyError { path: path.to_owned(), by_setting, problem })
}

#[cfg(test)]
mod tests {
    use chat_core::CryptoError;

    use super::*;

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
            buf.fill(7);
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
    fn a_file_that_is_no_identity_is_refused_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        dir.identity(None, &mut Sevens).unwrap();
        let path = parent.path().join(IDENTITY_FILE);
        for len in [0, 31, 33, 1000] {
            std::fs::write(&path, vec![7; len]).unwrap();
            let found = problem(dir.identity(None, &mut Sevens).unwrap_err());
            assert!(matches!(found, KeyProblem::NoKey), "{len}");
            assert_eq!(std::fs::read(&path).unwrap(), vec![7; len]);
        }
    }

    /// A key is made for an empty folder only.
    #[test]
    fn there_is_no_new_identity_for_an_old_history() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        let key = parent.path().join(IDENTITY_FILE);
        std::fs::write(parent.path().join(CLIENT_FILE), "history").unwrap();
        let error = dir.identity(None, &mut Sevens).unwrap_err();
        assert!(error.to_string().contains("move the whole data directory away"), "{error}");
        assert!(matches!(problem(error), KeyProblem::Orphaned(_)) && !key.exists());
        std::fs::write(&key, [7; 32]).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        dir.identity(None, &mut Sevens).unwrap();
    }
}
