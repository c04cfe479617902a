//! Certificates for transports that speak TLS 1.3, on TCP or in QUIC: what a node shows, and what it demands of the other end.
//!
//! Both sides show a certificate. A client's is always made of its node's identity key, by itself; a server's is too,
//! unless `certificate` and `key` name files, such as `openssl req -x509` or an authority makes. What a client demands of
//! the server:
//!
//! | `ca` | what is proved |
//! |---|---|
//! | none | the identity key, as with every other transport; `FINGERPRINT@host:port` pins it |
//! | a file | a name: the certificate is in the file itself, or signed by one that is, it is for `server_name` (the host that is dialed, without it), and its time is now |
//! | `"system"` | the same with the authorities that this machine trusts |
//!
//! Names and dates in a certificate of an identity mean nothing: whoever shows it proves to hold the key.
//!
//! No transport resumes a session or takes early data: [`Certificates::client`] and [`Serving::config`] switch both off.

mod files;
mod own;
mod refusal;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use chat_core::identity::PeerKey;
use chat_core::transport::Peer;
use chat_core::{Address, Identity, LinkError, PeerId, ProfileError};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use refusal::{NO_CERTIFICATE, NOT_OF_THIS_HANDSHAKE, Verdict, explain, of_this_node};

use verify::{AnyIdentity, Named, Verifier};

/// The value of `ca` that stands for the authorities this machine trusts.
const SYSTEM: &str = "system";
/// Who is dialed by identity needs no name; one must be given all the same, and is not sent.
const NO_NAME: &str = "chat.invalid";

/// What a profile says of certificates.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// Who listens shows the certificates of this PEM file, in place of one of its identity key; needs `key`.
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`, a PEM file that not everybody can read.
    pub key: Option<PathBuf>,
    /// Who dials takes a certificate that is in this PEM file, or signed by one that is; `"system"` = by an authority that
    /// this machine trusts. Without it the server proves its identity key.
    pub ca: Option<String>,
    /// The name that the certificate must be for, in place of the host that is dialed; needs `ca`.
    pub server_name: Option<String>,
}

fn tls(what: impl std::fmt::Display) -> LinkError {
    LinkError::Io(std::io::Error::other(format!("TLS can't be set up: {what}")))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Certificates {
    /// Checks what can be checked without reading a file.
    ///
    /// # Errors
    /// Names the option.
    pub fn check(&self) -> Result<(), ProfileError> {
        let alone =
            |key: &str, other: &str| Err(ProfileError::option(key, format!("needs `{other}` beside it")));
        match (&self.certificate, &self.key) {
            (Some(_), None) => return alone("certificate", "key"),
            (None, Some(_)) => return alone("key", "certificate"),
            _ => {}
        }
        match &self.server_name {
            Some(_) if self.ca.is_none() => alone("server_name", "ca"),
            Some(name) if ServerName::try_from(name.as_str()).is_err() => {
                Err(ProfileError::option("server_name", "expected a host name or an IP address"))
            }
            _ => Ok(()),
        }
    }

    /// The name that whoever is dialed must prove; one that means nothing if it must prove its identity.
    ///
    /// # Errors
    /// [`LinkError::BadAddress`] if the host is no name that a certificate can be for.
    pub fn expected_name(&self, to: &Address) -> Result<ServerName<'static>, LinkError> {
        let name = match (&self.ca, &self.server_name) {
            (None, _) => NO_NAME.to_owned(),
            (Some(_), Some(name)) => name.clone(),
            (Some(_), None) => to.host_port()?.0,
        };
        ServerName::try_from(name).map_err(|_| LinkError::BadAddress {
            address: to.place.clone(),
            reason: "its host is no name that a certificate can be for: set `server_name`".to_owned(),
        })
    }

    /// For one dial: TLS 1.3, this protocol inside it (RFC 7301), no resumption. The verdict is what the dialer itself
    /// finds wrong, for transports whose library hands on no more than a number.
    ///
    /// # Errors
    /// [`LinkError::Io`] naming the file that is no good.
    pub fn client(
        &self,
        me: &Identity,
        pin: Option<PeerId>,
        protocol: &[u8],
    ) -> Result<(ClientConfig, Verdict), LinkError> {
        let (provider, verdict) = (provider(), Verdict::default());
        let verifier: Arc<dyn ServerCertVerifier> = match &self.ca {
            None => Arc::new(Verifier::new(AnyIdentity { pin }, &provider, &verdict)),
            Some(ca) => Arc::new(Verifier::new(named(ca, &provider)?, &provider, &verdict)),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let own = SingleCertAndKey::from(own::certificate(me)?);
        let mut config = config.with_client_cert_resolver(Arc::new(own));
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = self.ca.is_some();
        Ok((config, verdict))
    }

    /// For who listens; reads the files, if there are any.
    ///
    /// # Errors
    /// [`LinkError::Io`] naming the file that is no good.
    pub fn serving(&self, me: &Identity, protocol: &'static [u8]) -> Result<Serving, LinkError> {
        let provider = provider();
        let shown: Arc<dyn ResolvesServerCert> = match (&self.certificate, &self.key) {
            (Some(chain), Some(key)) => {
                Arc::new(files::Watched::new(chain.clone(), key.clone(), Arc::clone(&provider))?)
            }
            _ => Arc::new(SingleCertAndKey::from(own::certificate(me)?)),
        };
        Ok(Serving { provider, shown, protocol })
    }

    /// Who the dialer has found, after the handshake: the name that was demanded, or the identity of the certificate.
    ///
    /// # Errors
    /// As [`proved`].
    pub fn found(
        &self,
        name: &ServerName<'_>,
        certificates: Option<&[CertificateDer<'_>]>,
    ) -> Result<Peer, LinkError> {
        match self.ca {
            Some(_) => Ok(Peer::Name(name.to_str().into_owned())),
            None => Ok(Peer::Key(proved(certificates)?)),
        }
    }
}

/// What somebody who listens shows, for many handshakes.
#[derive(Debug, Clone)]
pub struct Serving {
    provider: Arc<CryptoProvider>,
    shown: Arc<dyn ResolvesServerCert>,
    protocol: &'static [u8],
}

impl Serving {
    /// For one handshake or many: TLS 1.3, client certificates required, no resumption, no early data. The verdict keeps
    /// what is found wrong first.
    ///
    /// # Errors
    /// [`LinkError::Io`] if the library refuses.
    pub fn config(&self) -> Result<(ServerConfig, Verdict), LinkError> {
        let verdict = Verdict::default();
        let clients = Arc::new(Verifier::new(AnyIdentity { pin: None }, &self.provider, &verdict));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&self.shown));
        config.alpn_protocols = vec![self.protocol.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok((config, verdict))
    }
}

/// The identity of whoever has shown a certificate and signed the handshake with its key.
///
/// # Errors
/// [`LinkError::NotAuthenticated`] if there is none, or it is not of an identity.
pub fn proved(certificates: Option<&[CertificateDer<'_>]>) -> Result<PeerKey, LinkError> {
    let certificate = certificates.and_then(<[_]>::first);
    let certificate = certificate.ok_or(LinkError::NotAuthenticated(NO_CERTIFICATE))?;
    own::identity_of(certificate).map_err(|refusal| LinkError::NotAuthenticated(refusal.0))
}

/// Trust in the certificates of a file, or of this machine.
fn named(ca: &str, provider: &Arc<CryptoProvider>) -> Result<Named, LinkError> {
    let trusted: Vec<CertificateDer<'static>> = if ca == SYSTEM {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            return Err(tls("this machine has no certificates of authorities: set `ca` to a file of them"));
        }
        found.certs
    } else {
        files::certificates(ca.as_ref())?
    };
    let mut roots = RootCertStore::empty();
    // One's own certificate may be in the file too; what is no root is trusted as it is only.
    roots.add_parsable_certificates(trusted.iter().cloned());
    let authorities = if roots.is_empty() {
        None
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Some(verifier.build().map_err(tls)?)
    };
    let exactly = if ca == SYSTEM { Vec::new() } else { trusted };
    Ok(Named { exactly, authorities })
}
