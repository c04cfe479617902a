//! A cipher for the tests of key exchanges, so that a plugin crate needs no other plugin.

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::cipher::{AeadKey, Cipher, TAG_LEN};
use crate::error::CryptoError;

/// Encrypt-then-MAC out of HMAC-SHA256: correct, slow, and for tests alone.
///
/// The key stream is `SHA-256(HMAC(key, "stream" ‖ seq) ‖ block number)`, the tag the first 16 bytes of
/// `HMAC(key, "tag" ‖ seq ‖ length of aad ‖ aad ‖ ciphertext)`.
#[derive(Debug, Clone, Copy)]
pub struct TestCipher {
    /// [`Cipher::key_len`]; an unusual one shows whether a session asks for it.
    pub key_len: usize,
    /// [`Cipher::message_limit`]; a small one shows what happens at the end.
    pub message_limit: u64,
}

impl Default for TestCipher {
    fn default() -> Self {
        Self { key_len: 48, message_limit: 1 << 40 }
    }
}

impl Cipher for TestCipher {
    fn name(&self) -> &'static str {
        "test-cipher"
    }
    fn key_len(&self) -> usize {
        self.key_len
    }
    fn message_limit(&self) -> u64 {
        self.message_limit
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        if key.len() != self.key_len {
            return Err(CryptoError::Malformed("test-cipher key length"));
        }
        Ok(Box::new(Keyed { key: Zeroizing::new(key.to_vec()), message_limit: self.message_limit }))
    }
}

struct Keyed {
    key: Zeroizing<Vec<u8>>,
    message_limit: u64,
}

impl Keyed {
    fn mac(&self, label: &[u8], seq: u64) -> Result<Hmac<Sha256>, CryptoError> {
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key);
        let mac = mac.map_err(|_| CryptoError::Malformed("test-cipher key"))?;
        Ok(mac.chain_update(label).chain_update(seq.to_be_bytes()))
    }

    fn apply_stream(&self, seq: u64, text: &mut [u8]) -> Result<(), CryptoError> {
        let stream = Sha256::new_with_prefix(self.mac(b"stream", seq)?.finalize().into_bytes());
        for (number, block) in (0_u64..).zip(text.chunks_mut(32)) {
            let key = stream.clone().chain_update(number.to_be_bytes()).finalize();
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        }
        Ok(())
    }

    fn tag(&self, seq: u64, aad: &[u8], text: &[u8]) -> Result<Hmac<Sha256>, CryptoError> {
        let mac = self.mac(b"tag", seq)?.chain_update((aad.len() as u64).to_be_bytes());
        Ok(mac.chain_update(aad).chain_update(text))
    }
}

impl AeadKey for Keyed {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if seq >= self.message_limit {
            return Err(CryptoError::Exhausted("test-cipher messages under one key"));
        }
        self.apply_stream(seq, buf)?;
        let tag = self.tag(seq, aad, buf)?.finalize().into_bytes();
        buf.extend_from_slice(&tag[..TAG_LEN]);
        Ok(())
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let (text, tag) =
            buf.split_last_chunk::<TAG_LEN>().ok_or(CryptoError::Malformed("shorter than a tag"))?;
        let good = self.tag(seq, aad, text)?.verify_truncated_left(tag).is_ok();
        let text_len = text.len();
        buf.truncate(text_len);
        if !good {
            buf.clear();
            return Err(CryptoError::Forged);
        }
        self.apply_stream(seq, buf)
    }
}
