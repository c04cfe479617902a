//! The bytes of `store.key`, and of what else a passphrase seals.
//!
//! ```text
//! magic 16 ‖ 0 ‖ key 32
//! magic 16 ‖ 1 ‖ memory KiB u32 ‖ passes u32 ‖ lanes u32 ‖ salt 16 ‖ nonce 24 ‖ ciphertext ‖ tag 16    passphrase
//! magic 16 ‖ 2 ‖ salt 16 ‖ nonce 24 ‖ ciphertext ‖ tag 16                                             key file
//! ```
//! What stands before the nonce is associated data of what is sealed, by XChaCha20-Poly1305.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use chat_core::entropy::Entropy;
use chat_core::error::CryptoError;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::kdf::Cost;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;

/// What a key is made of.
#[derive(Clone, Copy)]
pub(crate) enum Secret<'s> {
    Passphrase(&'s str),
    KeyFile(&'s [u8; 32]),
}

/// Why something does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is none of this kind.
    Malformed,
    /// It was sealed with the other kind of secret.
    OtherSecret {
        passphrase: bool,
    },
    Weak(Cost),
    TooCostly(Cost),
    /// The secret is another one, or a bit is.
    Wrong,
    Failed(CryptoError),
}

impl From<CryptoError> for Closed {
    fn from(error: CryptoError) -> Self {
        Self::Failed(error)
    }
}

/// The key of a key file: it is as good as random already.
fn of_key_file(key: &[u8; 32], salt: &[u8; SALT_BYTES]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), key)
        .expand(b"chat/vault/1 key file", out.as_mut())
        .map_err(|_| CryptoError::Failed("no key could be derived"))?;
    Ok(out)
}

/// What tells in the file which secret opens it.
const PASSPHRASE: u8 = 1;
const KEY_FILE: u8 = 2;

/// Seals something under a secret.
pub(crate) fn seal(
    magic: &[u8; 16],
    secret: Secret<'_>,
    cost: Cost,
    content: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, CryptoError> {
    let (salt, nonce) = (entropy.bytes::<SALT_BYTES>()?, entropy.bytes::<NONCE_BYTES>()?);
    let mut out = magic.to_vec();
    let key = match secret {
        Secret::Passphrase(passphrase) => {
            out.push(PASSPHRASE);
            for number in [cost.memory_kib, cost.passes, cost.lanes] {
                out.extend(number.to_be_bytes());
            }
            cost.key(passphrase, &salt)?
        }
        Secret::KeyFile(key) => {
            out.push(KEY_FILE);
            of_key_file(key, &salt)?
        }
    };
    out.extend(salt);
    let payload = Payload { msg: content, aad: &out };
    let cipher = XChaCha20Poly1305::new((&*key).into());
    let failed = |_| CryptoError::Failed("it is too long to be sealed");
    let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(failed)?;
    out.extend(nonce);
    out.extend(sealed);
    Ok(out)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*number))
}

/// Opens what [`seal`] gave.
pub(crate) fn open(
    magic: &[u8; 16],
    secret: Secret<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let rest = sealed.strip_prefix(magic.as_slice()).ok_or(Closed::Malformed)?;
    let (kind, mut rest) = rest.split_first().ok_or(Closed::Malformed)?;
    let cost = match kind {
        &PASSPHRASE => {
            let mut next = || number(&mut rest).ok_or(Closed::Malformed);
            Some(Cost { memory_kib: next()?, passes: next()?, lanes: next()? })
        }
        &KEY_FILE => None,
        _ => return Err(Closed::Malformed),
    };
    let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>().ok_or(Closed::Malformed)?;
    let aad = sealed.get(..sealed.len() - rest.len()).ok_or(Closed::Malformed)?;
    let (nonce, msg) = rest.split_at_checked(NONCE_BYTES).ok_or(Closed::Malformed)?;
    let key = match (cost, secret) {
        (Some(cost), _) if cost.is_weak() => return Err(Closed::Weak(cost)),
        (Some(cost), _) if cost.is_too_much() => return Err(Closed::TooCostly(cost)),
        (Some(cost), Secret::Passphrase(passphrase)) => cost.key(passphrase, salt)?,
        (None, Secret::KeyFile(key)) => of_key_file(key, salt)?,
        (cost, _) => return Err(Closed::OtherSecret { passphrase: cost.is_some() }),
    };
    let payload = Payload { msg, aad };
    let opened = XChaCha20Poly1305::new((&*key).into()).decrypt(XNonce::from_slice(nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| Closed::Wrong)
}

#[cfg(test)]
mod tests {
    use chat_core::entropy::OsEntropy;

    use super::*;

    const MAGIC: &[u8; 16] = b"chat-test-file-1";
    const CHEAPEST: Cost = Cost { memory_kib: 19 << 10, passes: 2, lanes: 1 };

    #[test]
    fn what_is_sealed_opens_with_its_secret_alone() {
        let passphrase = Secret::Passphrase("hunter2");
        let sealed = seal(MAGIC, passphrase, CHEAPEST, b"content", &mut OsEntropy).unwrap();
        assert_eq!(open(MAGIC, passphrase, &sealed).unwrap().as_slice(), b"content");
        assert_eq!(open(MAGIC, Secret::Passphrase("hunter3"), &sealed), Err(Closed::Wrong));
        let other = Closed::OtherSecret { passphrase: true };
        assert_eq!(open(MAGIC, Secret::KeyFile(&[1; 32]), &sealed), Err(other));
        assert_eq!(open(b"chat-test-file-2", passphrase, &sealed), Err(Closed::Malformed));
        for len in 0..sealed.len() - 16 {
            assert!(open(MAGIC, Secret::KeyFile(&[1; 32]), &sealed[..len]).is_err());
        }
    }

    #[test]
    fn every_bit_counts() {
        let key = Secret::KeyFile(&[1; 32]);
        let sealed = seal(MAGIC, key, Cost::USUAL, b"content", &mut OsEntropy).unwrap();
        assert_eq!(open(MAGIC, key, &sealed).unwrap().as_slice(), b"content");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(MAGIC, key, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn cheaper_guessing_is_refused_before_any_is_done() {
        let weak = Cost { memory_kib: 8, ..CHEAPEST };
        let sealed = seal(MAGIC, Secret::Passphrase("x"), weak, b"content", &mut OsEntropy).unwrap();
        assert_eq!(open(MAGIC, Secret::Passphrase("x"), &sealed), Err(Closed::Weak(weak)));
        let mut costly = sealed;
        costly[17..21].copy_from_slice(&u32::MAX.to_be_bytes());
        let closed = open(MAGIC, Secret::Passphrase("x"), &costly);
        assert!(matches!(closed, Err(Closed::TooCostly(cost)) if cost.memory_kib == u32::MAX));
    }
}
