//! Who is at the other end: a node, by the key of its certificate, or a server, by a name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chat_core::PeerId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::ext::pkix::SubjectAltName;

use crate::own::identity_of;
use crate::refusal::{Refusal, Verdict, WrongPeer};

/// Shortest RSA key of a server, in bits.
const MIN_RSA_BITS: usize = 2048;

/// Decides about a certificate. That whoever shows it holds its key is [`Verifier`]'s to see, the same way for all.
pub(crate) trait Judge: fmt::Debug + Send + Sync {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error>;
}

/// What the other end shows.
pub(crate) struct Shown<'a> {
    certificate: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    /// What it is expected to be for, if it is a server.
    name: Option<&'a ServerName<'a>>,
    ocsp: &'a [u8],
    now: UnixTime,
}

/// Takes a certificate of any node's identity, from either side; who it is, is asked afterwards. But for a pinned server:
/// who dials shows its own certificate after it has taken the other's, so somebody else must not learn who calls.
#[derive(Debug)]
pub(crate) struct AnyIdentity {
    pub(crate) pin: Option<PeerId>,
}

impl Judge for AnyIdentity {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let found = identity_of(shown.certificate)?.peer_id();
        match self.pin {
            Some(expected) if expected != found => Err(WrongPeer { expected, found }.into()),
            _ => Ok(()),
        }
    }
}

/// Takes a server's certificate that an authority has signed, or that is itself in the file of those trusted, for the name.
#[derive(Debug)]
pub(crate) struct Named {
    /// Trusted as they are, self-made ones too.
    pub(crate) exactly: Vec<CertificateDer<'static>>,
    /// Trusted to sign others; none if there are no such.
    pub(crate) authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl Judge for Named {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let Shown { certificate, intermediates, ocsp, now, .. } = *shown;
        let name = shown.name.ok_or(Refusal::WRONG_NAME)?;
        let parsed = Certificate::from_der(certificate).map_err(|_| Refusal::NOT_A_CERTIFICATE)?;
        refuse_weak(&parsed)?;
        if self.exactly.contains(certificate) {
            is_in_time(&parsed, now)?;
            let parsed = ParsedCertificate::try_from(certificate)?;
            return rustls::client::verify_server_name(&parsed, name);
        }
        let authorities = self.authorities.as_ref().ok_or(Refusal::UNKNOWN_ISSUER)?;
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // One that calls itself as an authority does, or is its own: signed by nobody who is trusted, all the same.
            Err(Error::InvalidCertificate(CertificateError::BadSignature | CertificateError::Other(_))) => {
                Err(Refusal::UNKNOWN_ISSUER.into())
            }
            verdict => verdict.map(drop),
        }
    }
}

/// A judge, and what is the same whoever judges: TLS 1.3 alone, and the signature of the handshake.
#[derive(Debug)]
pub(crate) struct Verifier<J> {
    judge: J,
    provider: Arc<CryptoProvider>,
    verdict: Verdict,
}

impl<J: Judge> Verifier<J> {
    pub(crate) fn new(judge: J, provider: &Arc<CryptoProvider>, verdict: &Verdict) -> Self {
        Self { judge, provider: Arc::clone(provider), verdict: verdict.clone() }
    }

    fn shown(&self, shown: &Shown<'_>) -> Result<(), Error> {
        self.verdict.note(self.judge.judge(shown))
    }

    fn signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let valid = rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms);
        self.verdict.note(valid)
    }
}

/// What both kinds of verifier have in common.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.signed(message, certificate, signed)
        }
    };
}

impl ClientCertVerifier for Verifier<AnyIdentity> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.shown(&Shown { certificate, intermediates, name: None, ocsp: &[], now })?;
        Ok(ClientCertVerified::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    signatures!();
}

impl<J: Judge> ServerCertVerifier for Verifier<J> {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.shown(&Shown { certificate, intermediates, name: Some(name), ocsp, now })?;
        Ok(ServerCertVerified::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // All, so that a server with a certificate of another kind gets to show it, and is refused by name.
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    signatures!();
}

/// What no authority should have signed, and what browsers refuse by another word than the user needs.
fn refuse_weak(certificate: &Certificate) -> Result<(), Refusal> {
    let info = &certificate.tbs_certificate.subject_public_key_info;
    // rsaEncryption (RFC 8017 appendix A). The key is a sequence of modulus and exponent; its length says enough.
    let is_rsa = info.algorithm.oid.to_string() == "1.2.840.113549.1.1.1";
    if is_rsa && info.subject_public_key.raw_bytes().len() < MIN_RSA_BITS / 8 {
        return Err(Refusal::WEAK_KEY);
    }
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    if !extensions.into_iter().any(|extension| extension.extn_id == SubjectAltName::OID) {
        return Err(Refusal::NO_NAMES);
    }
    Ok(())
}

fn is_in_time(certificate: &Certificate, now: UnixTime) -> Result<(), Refusal> {
    let validity = &certificate.tbs_certificate.validity;
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        return Err(Refusal::NOT_YET);
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(Refusal::EXPIRED);
    }
    Ok(())
}
