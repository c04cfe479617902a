//! The plugin's keys, and the TLS configurations they make.

use std::path::PathBuf;
use std::sync::Arc;

use chat_core::{Address, Identity, LinkError, PeerId, ProfileError};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use transport_tcp::TcpOptions;

use crate::verify::{AnyIdentity, Named};
use crate::{ALPN, certificate, files};

/// The value of `ca` that stands for the authorities this machine trusts.
const SYSTEM: &str = "system";
/// Who is dialed by identity needs no name; one must be given all the same, and is not sent.
const NO_NAME: &str = "chat.invalid";

/// The plugin's keys in `[transport]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsOptions {
    /// Who listens shows the certificates of this PEM file, in place of one of its identity key; needs `key`. Who dials has
    /// no use for it.
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`, a PEM file that not everybody can read.
    pub key: Option<PathBuf>,
    /// Who dials takes a certificate that is in this PEM file, or signed by one that is; `"system"` = by an authority that
    /// this machine trusts. Without it the server proves its identity key.
    pub ca: Option<String>,
    /// The name that the certificate must be for, in place of the host that is dialed; needs `ca`.
    pub server_name: Option<String>,
    /// Send small frames at once instead of waiting for more to send with them (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Ask a peer that has been silent this long whether it is still there; 0 = never, at most 3600.
    pub keepalive_seconds: u32,
}

impl Default for TlsOptions {
    fn default() -> Self {
        let TcpOptions { nodelay, keepalive_seconds } = TcpOptions::default();
        Self { certificate: None, key: None, ca: None, server_name: None, nodelay, keepalive_seconds }
    }
}

fn tls(what: impl std::fmt::Display) -> LinkError {
    LinkError::Io(std::io::Error::other(format!("TLS can't be set up: {what}")))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl TlsOptions {
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        self.tcp().check()?;
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

    pub(crate) fn tcp(&self) -> TcpOptions {
        TcpOptions { nodelay: self.nodelay, keepalive_seconds: self.keepalive_seconds }
    }

    /// The name that whoever is dialed must prove, if one must.
    pub(crate) fn expected_name(&self, to: &Address) -> Result<ServerName<'static>, LinkError> {
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

    pub(crate) fn client(&self, me: &Identity, pin: Option<PeerId>) -> Result<TlsConnector, LinkError> {
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match &self.ca {
            None => Arc::new(AnyIdentity { provider: Arc::clone(&provider), pin }),
            Some(ca) => Arc::new(named(ca, &provider)?),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let own = SingleCertAndKey::from(certificate::own(me)?);
        let mut config = config.with_client_cert_resolver(Arc::new(own));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = self.ca.is_some();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    pub(crate) fn server(&self, me: &Identity) -> Result<TlsAcceptor, LinkError> {
        let provider = provider();
        let clients = Arc::new(AnyIdentity { provider: Arc::clone(&provider), pin: None });
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_client_cert_verifier(clients);
        let mut config = match (&self.certificate, &self.key) {
            (Some(chain), Some(key)) => {
                let watched = files::Watched::new(chain.clone(), key.clone(), provider)?;
                config.with_cert_resolver(Arc::new(watched))
            }
            _ => config.with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate::own(me)?))),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
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
    Ok(Named { provider: Arc::clone(provider), exactly, authorities })
}
