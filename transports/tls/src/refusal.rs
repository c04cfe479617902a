//! Why a handshake failed, in words that say what to do.

use std::io;

use chat_core::{LinkError, PeerId};
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use transport_noise::looks_like;

/// A reason of our own to refuse a certificate.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) &'static str);

impl Refusal {
    pub(crate) const NOT_A_CERTIFICATE: Self = Self("its certificate can't be read");
    pub(crate) const NO_IDENTITY: Self = Self(
        "its certificate is not of a chat identity; if it is a server's own or an authority's, name `ca` (and \
         `server_name`) in [transport]",
    );
    pub(crate) const EXPIRED: Self = Self("its certificate has expired, or this machine's clock is wrong");
    pub(crate) const NOT_YET: Self =
        Self("its certificate is not valid yet, or this machine's clock is wrong");
    pub(crate) const WRONG_NAME: Self =
        Self("its certificate is for another name; `server_name` in [transport] says which is expected");
    pub(crate) const NO_NAMES: Self =
        Self("its certificate has a common name only, and no subject alternative name, where names belong");
    pub(crate) const UNKNOWN_ISSUER: Self =
        Self("its certificate is signed by nobody that `ca` in [transport] trusts");
    pub(crate) const WEAK_KEY: Self = Self("its certificate has an RSA key of fewer than 2048 bits");
}

/// Somebody else than the pinned peer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another identity than the pinned one")]
pub(crate) struct WrongPeer {
    pub(crate) expected: PeerId,
    pub(crate) found: PeerId,
}

impl From<WrongPeer> for Error {
    fn from(wrong: WrongPeer) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(wrong))))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(refusal))))
    }
}

/// What a failed handshake is called, given what the other end said first.
pub(crate) fn explain(error: io::Error, first_bytes: &[u8]) -> LinkError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return LinkError::Io(error);
    };
    let not = |why: &'static str| LinkError::NotAuthenticated(why);
    match tls {
        Error::InvalidCertificate(why) => match wrong_peer(why) {
            Some(WrongPeer { expected, found }) => LinkError::WrongPeer { expected, found },
            None => not(certificate(why)),
        },
        Error::DecryptError | Error::PeerMisbehaved(_) => {
            not("what it says does not belong to this handshake: it is recorded, or was changed on the way")
        }
        Error::NoCertificatesPresented => not("it showed no certificate"),
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
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => not("it refused the certificate of this node"),
        _ => LinkError::Io(error),
    }
}

fn wrong_peer(why: &CertificateError) -> Option<WrongPeer> {
    match why {
        CertificateError::Other(OtherError(inner)) => inner.downcast_ref().copied(),
        _ => None,
    }
}

fn certificate(why: &CertificateError) -> &'static str {
    let refusal = match why {
        CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<Refusal>() {
            Some(refusal) => *refusal,
            None => Refusal("its certificate is refused"),
        },
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refusal::EXPIRED,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Refusal::NOT_YET,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Refusal::WRONG_NAME
        }
        CertificateError::UnknownIssuer => Refusal::UNKNOWN_ISSUER,
        CertificateError::Revoked => Refusal("its certificate has been revoked"),
        CertificateError::BadSignature => Refusal("it does not hold the key of its certificate"),
        CertificateError::BadEncoding => Refusal::NOT_A_CERTIFICATE,
        _ => Refusal("its certificate is refused"),
    };
    refusal.0
}
