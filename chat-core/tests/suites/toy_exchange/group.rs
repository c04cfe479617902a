//! A group for toys: numbers modulo 2⁶¹ − 1. Whoever wants to breaks it; the suites don't.

use chat_core::CryptoError;
use sha2::{Digest as _, Sha256};

const P: u64 = (1 << 61) - 1;

fn times(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(P)) as u64
}

fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, square);
        }
        square = times(square, square);
        exponent >>= 1;
    }
    result
}

pub(super) fn public_of(secret: u64) -> u64 {
    power(37, secret)
}

pub(super) fn agree(secret: u64, public: u64) -> Result<u64, CryptoError> {
    if (2..P - 1).contains(&public) {
        Ok(power(public, secret))
    } else {
        Err(CryptoError::Untrusted("a public key outside of the group"))
    }
}

/// What HMAC would do better, and four times slower in a build without optimisation.
pub(super) fn hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(key);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Two keys out of one.
pub(super) fn two_keys(key: &[u8], input: &[u8]) -> ([u8; 32], [u8; 32]) {
    (hash(key, &[b"one", input]), hash(key, &[b"two", input]))
}
