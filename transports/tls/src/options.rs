//! The plugin's keys.

use std::path::PathBuf;

use chat_core::ProfileError;
use schemars::JsonSchema;
use serde::Deserialize;
use transport_certificates::Certificates;
use transport_tcp::TcpOptions;

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

impl TlsOptions {
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        self.tcp().check()?;
        self.certificates().check()
    }

    pub(crate) fn tcp(&self) -> TcpOptions {
        TcpOptions { nodelay: self.nodelay, keepalive_seconds: self.keepalive_seconds }
    }

    pub(crate) fn certificates(&self) -> Certificates {
        Certificates {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            ca: self.ca.clone(),
            server_name: self.server_name.clone(),
        }
    }
}
