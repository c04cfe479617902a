//! `aes-256-gcm-siv`: AES-256-GCM-SIV (RFC 8452), which gives little away even if a nonce is used twice.

use ::aes_gcm_siv::aead::{AeadInPlace as _, KeyInit as _};
use ::aes_gcm_siv::{Nonce, Tag};
use chat_core::cipher::TAG_LEN;
use chat_core::{AeadKey, Cipher, CryptoError, Plugin, ProfileError};

const KEY_LEN: usize = 32;
/// RFC 8452 §6: with a nonce for each, 2³² messages under one key are far below every bound.
const MESSAGE_LIMIT: u64 = 1 << 32;

/// The algorithm has nothing to choose.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CipherOptions {}

/// The cipher.
#[derive(Debug, Default, Clone, Copy)]
pub struct Aes256GcmSiv;

impl Plugin<dyn Cipher> for Aes256GcmSiv {
    const NAME: &'static str = "aes-256-gcm-siv";
    const SUMMARY: &'static str = "AES-256-GCM-SIV (RFC 8452), from an example crate";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"aes-256-gcm-siv\"\n";
    type Options = CipherOptions;

    fn build(CipherOptions {}: CipherOptions) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl Cipher for Aes256GcmSiv {
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
        let keyed = ::aes_gcm_siv::Aes256GcmSiv::new_from_slice(key);
        Ok(Box::new(Keyed(keyed.map_err(|_| CryptoError::Malformed("AES-256 key length"))?)))
    }
}

struct Keyed(::aes_gcm_siv::Aes256GcmSiv);

/// The sequence number, right-aligned in zeros.
fn nonce(seq: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&seq.to_be_bytes());
    nonce
}

impl AeadKey for Keyed {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if seq >= MESSAGE_LIMIT {
            return Err(CryptoError::Exhausted("messages under one key"));
        }
        let tag = self.0.encrypt_in_place_detached(&nonce(seq), aad, buf);
        buf.extend_from_slice(&tag.map_err(|_| CryptoError::Exhausted("input length"))?);
        Ok(())
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let (text, tag) =
            buf.split_last_chunk_mut::<TAG_LEN>().ok_or(CryptoError::Malformed("shorter than a tag"))?;
        let len = text.len();
        let opened = self.0.decrypt_in_place_detached(&nonce(seq), aad, text, Tag::from_slice(tag));
        // SIV decrypts before it can verify: what does not verify is erased.
        buf.truncate(if opened.is_ok() { len } else { 0 });
        opened.map_err(|_| CryptoError::Forged)
    }
}

chat_core::register!(dyn Cipher, Aes256GcmSiv);
