//! Certificates: one's own made of the identity key, and what those of others prove.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chat_core::identity::PeerKey;
use chat_core::{Identity, LinkError};
use rcgen::{CertificateParams, DnType, PublicKeyData, SerialNumber};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_cert::der::Decode as _;

use crate::refusal::Refusal;

/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key that a certificate is of, if it is one of a node's identity. Nothing else in it counts: whoever shows it proves
/// in the handshake that the key is his, names and dates prove nothing.
pub(crate) fn identity_of(certificate: &CertificateDer<'_>) -> Result<PeerKey, Refusal> {
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|_| Refusal::NOT_A_CERTIFICATE)?;
    let info = &parsed.tbs_certificate.subject_public_key_info;
    if info.algorithm.oid.to_string() != "1.3.101.112" {
        return Err(Refusal::NO_IDENTITY);
    }
    let key = info.subject_public_key.as_bytes().ok_or(Refusal::NO_IDENTITY)?;
    PeerKey::from_bytes(key).map_err(|_| Refusal::NO_IDENTITY)
}

/// The certificate that was made last and whose it is: a node has one identity, and needs it for each link.
static LAST: Mutex<Option<(PeerKey, CertificateDer<'static>)>> = Mutex::new(None);

/// A certificate of the identity's own key, by itself, for ever. The same in every run.
pub(crate) fn certificate(me: &Identity) -> Result<Arc<CertifiedKey>, LinkError> {
    let key = IdentityKey { me: me.clone(), public: me.public() };
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let made = match &*last {
        Some((whose, made)) if *whose == key.public => made.clone(),
        _ => {
            let made = make(me, &key)?;
            *last = Some((key.public, made.clone()));
            made
        }
    };
    Ok(Arc::new(CertifiedKey::new(vec![made], Arc::new(key))))
}

fn make(me: &Identity, key: &IdentityKey) -> Result<CertificateDer<'static>, LinkError> {
    let failed = |error: &dyn fmt::Display| {
        LinkError::Io(std::io::Error::other(format!("making a certificate failed: {error}")))
    };
    let name = me.peer_id().to_string();
    // A name is needed; nobody resolves one under `.invalid` (RFC 2606).
    let mut params =
        CertificateParams::new(vec![format!("{}.chat.invalid", &name[..32])]).map_err(|e| failed(&e))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&key.public.as_bytes()[..16]));
    let certificate = params.self_signed(key).map_err(|e| failed(&e))?;
    Ok(certificate.der().clone())
}

/// The identity key, for what signs in TLS.
#[derive(Debug, Clone)]
struct IdentityKey {
    me: Identity,
    public: PeerKey,
}

impl PublicKeyData for IdentityKey {
    fn der_bytes(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for IdentityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.me.sign_for_tls(message).map(|signature| signature.to_vec()).ok_or(rcgen::Error::RemoteKeyError)
    }
}

impl SigningKey for IdentityKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let knows = offered.contains(&SignatureScheme::ED25519);
        knows.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some([&SPKI_PREFIX[..], self.public.as_bytes()].concat().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for IdentityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature = self.me.sign_for_tls(message).map(|signature| signature.to_vec());
        signature.ok_or_else(|| rustls::Error::General("not what TLS 1.3 has signed".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identity_shows_its_own_certificate_whoever_showed_one_before() {
        let [a, b] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
        let shown = |me: &Identity| certificate(me).unwrap().cert.clone();
        let made = [shown(&a), shown(&a), shown(&b), shown(&a)];
        assert_eq!([&made[1], &made[3]], [&made[0]; 2]);
        for (shown, me) in made.iter().zip([&a, &a, &b, &a]) {
            assert_eq!(identity_of(&shown[0]).unwrap(), me.public());
        }
    }
}
