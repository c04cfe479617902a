//! The plugin's keys.

use std::path::PathBuf;
use std::time::Duration;

use chat_core::ProfileError;
use schemars::JsonSchema;
use serde::Deserialize;
use transport_certificates::Certificates;

const MAX_SECONDS: u32 = 3600;

/// The plugin's keys in `[transport]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuicOptions {
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
    /// Ask a peer that has been silent this long whether it is still there; 1 to 3600.
    pub keepalive_seconds: u32,
    /// A peer that has been silent this long is gone; at least twice `keepalive_seconds`, at most 3600. The shorter time of
    /// both ends holds.
    pub idle_seconds: u32,
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            ca: None,
            server_name: None,
            keepalive_seconds: 3,
            idle_seconds: 10,
        }
    }
}

impl QuicOptions {
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        let Self { keepalive_seconds, idle_seconds, .. } = *self;
        if !(1..=MAX_SECONDS).contains(&keepalive_seconds) {
            return Err(ProfileError::option("keepalive_seconds", format!("from 1 to {MAX_SECONDS}")));
        }
        if idle_seconds > MAX_SECONDS || idle_seconds / 2 < keepalive_seconds {
            let range = format!("at least twice `keepalive_seconds`, at most {MAX_SECONDS}");
            return Err(ProfileError::option("idle_seconds", range));
        }
        self.certificates().check()
    }

    pub(crate) fn keepalive(&self) -> Duration {
        Duration::from_secs(self.keepalive_seconds.into())
    }

    pub(crate) fn idle_ms(&self) -> u32 {
        self.idle_seconds.saturating_mul(1000)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_times_are_refused_by_name() {
        let checked = |keepalive_seconds, idle_seconds| {
            let options = QuicOptions { keepalive_seconds, idle_seconds, ..QuicOptions::default() };
            options.check().map_err(|error| error.to_string())
        };
        for (keepalive, idle, key) in [
            (0, 10, "keepalive_seconds"),
            (3601, 3600, "keepalive_seconds"),
            (3, 5, "idle_seconds"),
            (3, 3601, "idle_seconds"),
            (1800, 3601, "idle_seconds"),
        ] {
            assert!(checked(keepalive, idle).unwrap_err().contains(key), "{keepalive} {idle}");
        }
        assert!([(1, 2), (3, 10), (1800, 3600)].into_iter().all(|(a, b)| checked(a, b).is_ok()));
        let alone = QuicOptions { server_name: Some("a.example".into()), ..QuicOptions::default() };
        assert!(alone.check().unwrap_err().to_string().contains("`ca`"));
    }
}
