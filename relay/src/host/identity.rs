//! An identity that is brought to a data directory, and one that is only looked at.

use std::path::Path;

use chat_core::PeerId;
use chat_core::identity::{Identity, PeerKey};

use super::HostError;
use super::folder::{DataDir, IDENTITY_FILE, bad_key};
use super::key_file::{self, IdentityLock, Kept, KeyProblem};

impl DataDir {
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
