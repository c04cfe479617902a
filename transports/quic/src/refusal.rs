//! Why there is no link, or none any more, in words that say what to do.

use std::io::{self, ErrorKind};

use chat_core::LinkError;
use quinn::{ConnectionError, ReadError, StoppedError, TransportErrorCode, WriteError};
use rustls::AlertDescription;
use transport_certificates::{NO_CERTIFICATE, NOT_OF_THIS_HANDSHAKE, Verdict, of_this_node};

/// Alerts of TLS are errors of QUIC from here on (RFC 9001 §4.8).
const FIRST_ALERT: u64 = 0x100;

/// Of somebody who speaks QUIC, and another protocol in it.
pub(crate) fn no_chat() -> LinkError {
    LinkError::ForeignProtocol { looks_like: "speaks QUIC, but no chat in it" }
}

fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let number = u64::from(code).checked_sub(FIRST_ALERT)?;
    u8::try_from(number).ok().map(AlertDescription::from)
}

fn io(kind: ErrorKind, words: &'static str) -> LinkError {
    LinkError::Io(io::Error::new(kind, words))
}

/// What a handshake that failed is called. What this end's own verifier found comes first.
pub(crate) fn handshake(error: ConnectionError, verdict: &Verdict) -> LinkError {
    if let Some(refusal) = verdict.refusal() {
        return refusal;
    }
    match &error {
        ConnectionError::TransportError(ours) => match alert(ours.code) {
            Some(AlertDescription::CertificateRequired) => LinkError::NotAuthenticated(NO_CERTIFICATE),
            Some(AlertDescription::NoApplicationProtocol) => no_chat(),
            Some(
                AlertDescription::DecryptError
                | AlertDescription::IllegalParameter
                | AlertDescription::UnexpectedMessage,
            ) => LinkError::NotAuthenticated(NOT_OF_THIS_HANDSHAKE),
            _ => lost(error),
        },
        _ => lost(error),
    }
}

/// What the end of a connection is called.
pub(crate) fn lost(error: ConnectionError) -> LinkError {
    match error {
        ConnectionError::VersionMismatch => {
            LinkError::ForeignProtocol { looks_like: "speaks another version of QUIC" }
        }
        ConnectionError::ConnectionClosed(theirs) => match alert(theirs.error_code) {
            Some(AlertDescription::NoApplicationProtocol) => no_chat(),
            Some(alert) => of_this_node(alert).unwrap_or_else(|| {
                LinkError::Io(io::Error::new(
                    ErrorKind::ConnectionAborted,
                    format!("the other end ended the handshake: {alert:?}"),
                ))
            }),
            None if theirs.error_code == TransportErrorCode::CONNECTION_REFUSED => {
                io(ErrorKind::ConnectionRefused, "the other end takes no link now")
            }
            None => LinkError::Io(io::Error::new(
                ErrorKind::ConnectionAborted,
                format!("the other end: {theirs}"),
            )),
        },
        ConnectionError::ApplicationClosed(_) => {
            io(ErrorKind::ConnectionReset, "the other end dropped the link")
        }
        ConnectionError::Reset => {
            io(ErrorKind::ConnectionReset, "the other end does not know this link any more")
        }
        ConnectionError::TimedOut => io(ErrorKind::TimedOut, "the other end has vanished"),
        // Also for whoever still has a stream of a link that was dropped here.
        ConnectionError::LocallyClosed => {
            io(ErrorKind::NotConnected, "the link has ended: nobody is at the other end any more")
        }
        error @ (ConnectionError::TransportError(_) | ConnectionError::CidsExhausted) => {
            LinkError::Io(io::Error::new(ErrorKind::InvalidData, error.to_string()))
        }
    }
}

fn plain(error: LinkError) -> io::Error {
    match error {
        LinkError::Io(error) => error,
        other => io::Error::new(ErrorKind::ConnectionAborted, other.to_string()),
    }
}

pub(crate) fn reading(error: ReadError) -> io::Error {
    match error {
        ReadError::ConnectionLost(error) => plain(lost(error)),
        ReadError::Reset(_) => io::Error::new(ErrorKind::ConnectionReset, "the other end dropped the link"),
        other => io::Error::other(other),
    }
}

pub(crate) fn writing(error: WriteError) -> io::Error {
    match error {
        WriteError::ConnectionLost(error) => plain(lost(error)),
        WriteError::Stopped(_) => stopped(),
        other => io::Error::other(other),
    }
}

pub(crate) fn closing(error: StoppedError) -> io::Error {
    match error {
        StoppedError::ConnectionLost(error) => plain(lost(error)),
        other => io::Error::other(other),
    }
}

pub(crate) fn stopped() -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, "nobody reads at the other end any more")
}
