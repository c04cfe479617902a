//! `chat identity show|qr|export|import`

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;
use chat_core::{Identity, PeerId};
use chat_relay::exit::{Code, Failure, print};
use client::{ArchiveError, PortableError};
use zeroize::Zeroizing;

use super::db::{self, Carried};
use crate::home;

/// What a file with an identity begins with.
const MAGIC: &[u8; 16] = b"chat-identity-x1";
/// Longer than any such file.
const MAX_BYTES: u64 = 1024;

fn peer(nick: Option<String>, data_dir: Option<PathBuf>) -> Result<PeerId, Failure> {
    let nick =
        nick.map(Nick::new).transpose().map_err(|e| Failure::new(Code::Usage, format!("--nick: {e}")))?;
    home::existing_peer(data_dir.as_deref(), nick)
}

pub(crate) fn show(nick: Option<String>, data_dir: Option<PathBuf>) -> Result<(), Failure> {
    print(peer(nick, data_dir)?)
}

/// The fingerprint as a QR code: on the terminal, or in a picture.
pub(crate) fn qr(nick: Option<String>, data_dir: Option<PathBuf>, png: Option<&Path>) -> Result<(), Failure> {
    let fingerprint = peer(nick, data_dir)?.to_string();
    let code = qr_code::Code::new(fingerprint.as_bytes()).map_err(Failure::failed)?;
    if let Some(path) = png {
        let picture = code.png().map_err(Failure::failed)?;
        std::fs::write(path, picture).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
    } else {
        print(code.half_blocks().join("\n"))?;
    }
    print(fingerprint)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    |error| Failure::failed(format!("{}: {error}", path.display()))
}

fn portable(error: PortableError) -> Failure {
    db::failure(&ArchiveError::Portable(error))
}

/// Writes the identity key into a new file, sealed under a passphrase.
pub(crate) fn export(Carried { file, whose, passphrase }: &Carried) -> Result<(), Failure> {
    whose.open()?.with(|opened| {
        if !opened.home.has_identity() {
            let folder = opened.home.path().display();
            return Err(Failure::failed(format!("there is no identity in {folder} yet")));
        }
        let passphrase = passphrase.read(&opened.lock)?;
        let identity = opened.identity(&opened.home.vault(&opened.lock)?)?;
        let seed = identity.seed();
        let sealed =
            client::seal_portable(MAGIC, &passphrase, seed.as_ref(), &mut OsEntropy).map_err(portable)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut to = options.open(file).map_err(io(file))?;
        to.write_all(&sealed).and_then(|()| to.sync_all()).map_err(io(file))?;
        print(format!("{} exported to {}", identity.peer_id(), file.display()))
    })
}

/// Puts the identity of a file into a data directory that has none. If there is a history of it, its sessions and keys are
/// dropped: the original may live on, and must not share them.
pub(crate) fn import(Carried { file, whose, passphrase }: &Carried) -> Result<(), Failure> {
    whose.open()?.with(|opened| {
        if opened.home.has_identity() {
            let folder = opened.home.path().display();
            return Err(Failure::failed(format!(
                "there is an identity in {folder} already; nothing was changed"
            )));
        }
        let passphrase = passphrase.read(&opened.lock)?;
        let mut sealed = Vec::new();
        let from = std::fs::File::open(file).map_err(io(file))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(from, MAX_BYTES), &mut sealed)
            .map_err(io(file))?;
        let seed = client::open_portable(MAGIC, &passphrase, &sealed).map_err(portable)?;
        let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| portable(PortableError::Malformed))?;
        let identity = Identity::from_seed(&Zeroizing::new(seed));
        let vault = opened.home.vault(&opened.lock)?;
        let store = opened.home.store()?;
        if store.exists() {
            let renewed = client::renew(&store, vault.key(), identity.peer_id(), Box::new(OsEntropy));
            renewed.map_err(|error| db::failure(&error))?;
        }
        opened.home.put_identity(&identity, &vault)?;
        print(format!("{} imported; every session begins anew at the next start", identity.peer_id()))
    })
}
