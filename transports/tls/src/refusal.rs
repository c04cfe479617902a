//! Why a handshake failed, in words that say what to do.

use std::io;

use chat_core::LinkError;
use rustls::{AlertDescription, Error, PeerIncompatible};
use transport_noise::looks_like;

/// What a failed handshake is called, given what the other end said first.
pub(crate) fn explain(error: io::Error, first_bytes: &[u8]) -> LinkError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return LinkError::Io(error);
    };
    if let Some(refusal) = transport_certificates::explain(tls) {
        return refusal;
    }
    match tls {
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => {
            LinkError::ForeignProtocol { looks_like: looks_like(first_bytes) }
        }
        Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            LinkError::ForeignProtocol { looks_like: "speaks TLS, but no chat in it" }
        }
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls13RequiredForQuic,
        )
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            LinkError::ForeignProtocol { looks_like: "speaks TLS older than 1.3" }
        }
        _ => LinkError::Io(error),
    }
}
