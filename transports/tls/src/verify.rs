//! Who is at the other end: a node, by the key of its certificate, or a server, by a name.

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

use crate::certificate::identity_of;
use crate::refusal::{Refusal, WrongPeer};

/// Shortest RSA key of a server, in bits.
const MIN_RSA_BITS: usize = 2048;

fn is_tls13(
    provider: &CryptoProvider,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired))
}

/// Takes a certificate of any node's identity, from either side; who it is, is asked afterwards. But for a pinned server:
/// who dials shows its own certificate after it has taken the other's, so somebody else must not learn who calls.
#[derive(Debug)]
pub(crate) struct AnyIdentity {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) pin: Option<PeerId>,
}

impl ClientCertVerifier for AnyIdentity {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        identity_of(certificate)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        is_tls13(&self.provider, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ServerCertVerifier for AnyIdentity {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = identity_of(certificate)?.peer_id();
        match self.pin {
            Some(expected) if expected != found => Err(WrongPeer { expected, found }.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        is_tls13(&self.provider, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // All, so that a server with a certificate of another kind gets to show it, and is refused by name.
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes a server's certificate that an authority has signed, or that is itself in the file of those trusted, for the name.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) provider: Arc<CryptoProvider>,
    /// Trusted as they are, self-made ones too.
    pub(crate) exactly: Vec<CertificateDer<'static>>,
    /// Trusted to sign others; none if there are no such.
    pub(crate) authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = Certificate::from_der(certificate).map_err(|_| Refusal::NOT_A_CERTIFICATE)?;
        refuse_weak(&parsed)?;
        if self.exactly.contains(certificate) {
            is_in_time(&parsed, now)?;
            let parsed = ParsedCertificate::try_from(certificate)?;
            rustls::client::verify_server_name(&parsed, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let authorities = self.authorities.as_ref().ok_or(Refusal::UNKNOWN_ISSUER)?;
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // One that calls itself as an authority does, or is its own: signed by nobody who is trusted, all the same.
            Err(Error::InvalidCertificate(CertificateError::BadSignature | CertificateError::Other(_))) => {
                Err(Refusal::UNKNOWN_ISSUER.into())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        is_tls13(&self.provider, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
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
