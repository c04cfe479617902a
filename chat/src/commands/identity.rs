//! `chat identity show|qr|export|import`

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;
use chat_core::{Identity, PeerId};
use chat_relay::exit::{Code, Failure, print};
use client::{ArchiveError, PortableError};
use zeroize::Zeroizing;

use super::db::{self, Carried, Whose};
use crate::home;

/// What a file with an identity begins with.
const MAGIC: &[u8; 16] = b"chat-identity-x1";
/// Longer than any such file.
const MAX_BYTES: u64 = 1024;

fn peer(whose: &Whose) -> Result<PeerId, Failure> {
    let profile = whose.profile()?;
    let named = whose.nick.clone().map(Nick::new).transpose();
    let named = named.map_err(|e| Failure::new(Code::Usage, format!("--nick: {e}")))?;
    let nick = profile.as_ref().and_then(|profile| profile.identity.nick.clone()).or(named);
    let key_file = profile.as_ref().and_then(|profile| profile.identity.key_file.as_deref());
    home::existing_peer(whose.data_dir.as_deref(), nick, key_file)
}

pub(crate) fn show(whose: &Whose) -> Result<(), Failure> {
    print(peer(whose)?)
}

/// The fingerprint as a QR code: on the terminal, or in a picture.
pub(crate) fn qr(whose: &Whose, png: Option<&Path>) -> Result<(), Failure> {
    let fingerprint = peer(whose)?.to_string();
    let code = qr_code::Code::new(fingerprint.as_bytes()).map_err(Failure::failed)?;
    if let Some(path) = png {
        let picture = code.png().map_err(Failure::failed)?;
        write_new(path, &picture, OpenOptions::new())?;
    } else {
        print(code.half_blocks().join("\n"))?;
    }
    print(fingerprint)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    |error| Failure::failed(format!("{}: {error}", path.display()))
}

/// Writes a file that must not be there yet, whole or not at all.
fn write_new(path: &Path, bytes: &[u8], mut options: OpenOptions) -> Result<(), Failure> {
    let mut file = options.write(true).create_new(true).open(path).map_err(io(path))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // What went wrong first is told.
        std::fs::remove_file(path)
            .unwrap_or_else(|error| tracing::warn!(%error, "half a file is left behind"));
    }
    written.map_err(io(path))
}

fn portable(error: PortableError) -> Failure {
    db::failure(&ArchiveError::Portable(error))
}

/// Writes the identity key into a new file, sealed under a passphrase.
pub(crate) fn export(Carried { file, whose, passphrase }: &Carried) -> Result<(), Failure> {
    whose.open()?.with(|opened| {
        if !opened.has_identity() {
            return Err(home::no_identity(opened.home.path()));
        }
        let passphrase = passphrase.read(&opened.lock)?;
        let identity = opened.identity(&opened.home.vault(&opened.lock)?)?;
        let seed = identity.seed();
        let sealed =
            client::seal_portable(MAGIC, &passphrase, seed.as_ref(), &mut OsEntropy).map_err(portable)?;
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        write_new(file, &sealed, options)?;
        print(format!("{} exported to {}", identity.peer_id(), file.display()))
    })
}

/// Puts the identity of a file into a data directory that has none. If there is a history of it, its sessions and keys are
/// dropped: the original may live on, and must not share them.
pub(crate) fn import(Carried { file, whose, passphrase }: &Carried) -> Result<(), Failure> {
    whose.open()?.with(|opened| {
        if let Some(path) = opened.key_file() {
            return Err(Failure::failed(format!(
                "the profile's identity is the one of identity.key_file ({}), so another one here would never be used; \
                 nothing was changed",
                path.display()
            )));
        }
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
