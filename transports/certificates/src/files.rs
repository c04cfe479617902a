//! Certificates and keys in files, as `openssl` and authorities make them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use chat_core::LinkError;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;

/// Longest file of certificates or of a key, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The files are looked at again at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn failed(path: &Path, what: impl std::fmt::Display) -> LinkError {
    LinkError::Io(std::io::Error::other(format!("{}: {what}", path.display())))
}

/// The whole of an ordinary file of ordinary length.
fn read(path: &Path) -> Result<Vec<u8>, LinkError> {
    let what = std::fs::metadata(path).map_err(|error| failed(path, error))?;
    if !what.is_file() {
        return Err(failed(path, "it is not an ordinary file"));
    }
    let file = File::open(path).map_err(|error| failed(path, error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(path, format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| failed(path, error))?;
    if certificates.is_empty() {
        return Err(failed(path, "there is no certificate in it (PEM, `-----BEGIN CERTIFICATE-----`)"));
    }
    Ok(certificates)
}

/// Whether others than its owner and group may read the file.
#[cfg(unix)]
fn is_open_to_the_world(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_the_world(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}

fn load(provider: &CryptoProvider, chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, LinkError> {
    let certificates = certificates(chain)?;
    if is_open_to_the_world(key).map_err(|error| failed(key, error))? {
        return Err(failed(key, "everybody can read this private key: `chmod 600` it, or make a new one"));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| failed(key, format!("no private key can be read from it (PEM): {error}")))?;
    let private = provider.key_provider.load_private_key(private).map_err(|error| {
        failed(key, format!("the key is of no kind that TLS 1.3 takes (RSA from 2048 bits, P-256, P-384, Ed25519): {error}"))
    })?;
    let certified = CertifiedKey::new(certificates, private);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(_) => Err(failed(key, format!("it is not the key of the certificate in {}", chain.display()))),
    }
}

/// A server's certificate, read again when one of its files changes: links go on, the next handshake has the new one. A new
/// one that is no good is logged, and the old one kept.
#[derive(Debug)]
pub(crate) struct Watched {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    now: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    /// Of both files, when they were read.
    stamps: Stamps,
    /// Of files that were no good, and were told of.
    refused: Option<Stamps>,
    looked: Instant,
}

/// When each of two files was changed, and its length: a clock may stand still while a file is written.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Watched {
    pub(crate) fn new(
        chain: PathBuf,
        key: PathBuf,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, LinkError> {
        let stamps = stamps(&chain, &key);
        let certified = load(&provider, &chain, &key)?;
        let now = Mutex::new(Current { certified, stamps, refused: None, looked: Instant::now() });
        Ok(Self { chain, key, provider, now })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= LOOK_EVERY {
            now.looked = Instant::now();
            let stamps = stamps(&self.chain, &self.key);
            if stamps != now.stamps {
                match load(&self.provider, &self.chain, &self.key) {
                    Ok(certified) => {
                        tracing::info!("the certificate was exchanged");
                        (now.certified, now.stamps, now.refused) = (certified, stamps, None);
                    }
                    // Perhaps it is being written: it is tried again at each look, and told of once.
                    Err(error) if now.refused != Some(stamps) => {
                        now.refused = Some(stamps);
                        tracing::warn!(%error, "the new certificate is no good, the old one stays");
                    }
                    Err(error) => tracing::debug!(%error, "the new certificate is still no good"),
                }
            }
        }
        Arc::clone(&now.certified)
    }
}

fn stamps(chain: &Path, key: &Path) -> Stamps {
    [chain, key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len()))
    })
}

impl ResolvesServerCert for Watched {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
