//! From a passphrase to a key: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use chat_core::error::CryptoError;
use zeroize::Zeroizing;

/// What guessing costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// Of what is sealed by this program.
    pub(super) const USUAL: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 1 };
    /// OWASP's least, below which a file is refused.
    const LEAST: Self = Self { memory_kib: 19 << 10, passes: 2, lanes: 1 };
    /// Above which a file is refused, before any memory is taken.
    const MOST: Self = Self { memory_kib: 1 << 20, passes: 16, lanes: 4 };

    pub(super) fn is_weak(self) -> bool {
        self.memory_kib < Self::LEAST.memory_kib || self.passes < Self::LEAST.passes
    }

    pub(super) fn is_too_much(self) -> bool {
        self.memory_kib > Self::MOST.memory_kib
            || self.passes > Self::MOST.passes
            || !(Self::LEAST.lanes..=Self::MOST.lanes).contains(&self.lanes)
    }

    /// The key of a passphrase. Takes a fraction of a second, and the memory.
    pub(super) fn key(self, passphrase: &str, salt: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let failed = |_| CryptoError::Failed("no key could be made of the passphrase");
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(failed)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon.hash_password_into(passphrase.as_bytes(), salt, key.as_mut()).map_err(failed)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_of_passphrase_salt_and_cost() {
        let cost = Cost { memory_kib: 64, passes: 2, lanes: 1 };
        let key = |cost: Cost, passphrase, salt| cost.key(passphrase, &[salt; 16]).unwrap().to_vec();
        let one = key(cost, "correct horse", 1);
        assert_eq!(one, key(cost, "correct horse", 1));
        assert_ne!(one, key(cost, "correct horsf", 1));
        assert_ne!(one, key(cost, "correct horse", 2));
        assert_ne!(one, key(Cost { passes: 3, ..cost }, "correct horse", 1));
        assert!(cost.is_weak() && !Cost::USUAL.is_weak() && !Cost::LEAST.is_weak());
        assert!(Cost { passes: 1, ..Cost::USUAL }.is_weak());
        assert!(!Cost::USUAL.is_too_much() && !Cost::MOST.is_too_much());
        for cost in [
            Cost { memory_kib: (1 << 20) + 1, ..Cost::USUAL },
            Cost { passes: 17, ..Cost::USUAL },
            Cost { lanes: 5, ..Cost::USUAL },
            Cost { lanes: 0, ..Cost::USUAL },
        ] {
            assert!(cost.is_too_much(), "{cost:?}");
        }
    }
}
