//! Why a certificate or a handshake is refused, in words that say what to do.

use std::sync::{Arc, OnceLock};

use chat_core::{LinkError, PeerId};
use rustls::{AlertDescription, CertificateError, Error, OtherError};

/// Of a handshake that somebody recorded, or changed on its way.
pub const NOT_OF_THIS_HANDSHAKE: &str =
    "what it says does not belong to this handshake: it is recorded, or was changed on the way";
/// Of somebody who did not say who it is.
pub const NO_CERTIFICATE: &str = "it showed no certificate";

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
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong))))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// What is wrong with the other end, if that is what `error` says: its certificate, or a handshake that is not its own.
/// `None` for what is a matter of the protocol or of the network.
pub fn explain(error: &Error) -> Option<LinkError> {
    let not = |why: &'static str| Some(LinkError::NotAuthenticated(why));
    match error {
        Error::InvalidCertificate(why) => match wrong_peer(why) {
            Some(WrongPeer { expected, found }) => Some(LinkError::WrongPeer { expected, found }),
            None => not(certificate(why)),
        },
        Error::DecryptError | Error::PeerMisbehaved(_) => not(NOT_OF_THIS_HANDSHAKE),
        Error::NoCertificatesPresented => not(NO_CERTIFICATE),
        Error::AlertReceived(alert) => of_this_node(*alert),
        _ => None,
    }
}

/// What the other end's alert says of this node's certificate, if that is what it is about.
pub fn of_this_node(alert: AlertDescription) -> Option<LinkError> {
    let is = matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    );
    is.then_some(LinkError::NotAuthenticated("it refused the certificate of this node"))
}

/// What one's own verifier has refused first, kept beside it: QUIC's library hands on a number and a text.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Arc<OnceLock<Error>>);

impl Verdict {
    pub(crate) fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.0.get_or_init(|| error.clone());
        }
        result
    }

    /// The refusal, if there is one.
    pub fn refusal(&self) -> Option<LinkError> {
        self.0.get().and_then(explain)
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
