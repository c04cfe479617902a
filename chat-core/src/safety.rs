//! What two people compare to know that nobody stands between them: a number to read aloud, and what a QR code of it
//! holds. Both are of the two identity keys alone, and the same at both ends.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha512};

use crate::identity::PeerKey;
use crate::ids::PeerId;

/// Decimal digits of one key.
const DIGITS_A_KEY: usize = 30;
/// Digits in a group, and bytes a group is made of.
const GROUP: usize = 5;
/// The first byte of a QR code's content.
const QR_VERSION: u8 = 1;

/// Sixty decimal digits of two identity keys, the same whoever makes them.
///
/// Per key: `SHA-512("chat/safety/1" ‖ key)`; each five of its first 30 bytes, big-endian, modulo 100 000, are five
/// digits. The halves of both keys are sorted and joined. An attacker who wants a key with a given half tries 2^99 keys.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyNumber(String);

impl SafetyNumber {
    /// The number of two keys.
    pub fn of(one: &PeerKey, other: &PeerKey) -> Self {
        let (one, other) = (half(one), half(other));
        Self(if one <= other { one + &other } else { other + &one })
    }

    /// The sixty digits.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// In groups of five, to be read aloud.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        (0..2 * DIGITS_A_KEY).step_by(GROUP).filter_map(|at| self.0.get(at..at + GROUP))
    }
}

/// In groups of five.
impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, group) in self.groups().enumerate() {
            f.write_str(if n == 0 { "" } else { " " })?;
            f.write_str(group)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({self})")
    }
}

/// A text that is not sixty digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a safety number has 60 digits")]
pub struct ParseSafetyNumberError;

/// With or without white space and dashes between the digits.
impl FromStr for SafetyNumber {
    type Err = ParseSafetyNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Nobody types more; and a text may be long.
        if text.len() > 4 * 2 * DIGITS_A_KEY {
            return Err(ParseSafetyNumberError);
        }
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let fits = digits.len() == 2 * DIGITS_A_KEY && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then_some(Self(digits)).ok_or(ParseSafetyNumberError)
    }
}

fn half(key: &PeerKey) -> String {
    let hash = Sha512::new_with_prefix(b"chat/safety/1").chain_update(key.as_bytes()).finalize();
    let (groups, _) = hash.as_slice().as_chunks::<GROUP>();
    let group =
        |bytes: &[u8; GROUP]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) % 100_000;
    groups.iter().take(DIGITS_A_KEY / GROUP).map(|bytes| format!("{:05}", group(bytes))).collect()
}

/// What a QR code for the comparison holds: a version byte (1) and both peer ids, the smaller one first. Whoever scans
/// the other's screen compares it with these bytes of his own.
pub fn qr_content(one: PeerId, other: PeerId) -> [u8; 1 + 2 * PeerId::LEN] {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let mut content = [QR_VERSION; 1 + 2 * PeerId::LEN];
    for (slot, byte) in content.iter_mut().skip(1).zip(low.0.iter().chain(&high.0)) {
        *slot = *byte;
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn key(seed: u8) -> PeerKey {
        Identity::from_seed(&[seed; 32]).public()
    }

    #[test]
    fn it_is_the_same_at_both_ends_and_of_sixty_digits() {
        let number = SafetyNumber::of(&key(1), &key(2));
        assert_eq!(number, SafetyNumber::of(&key(2), &key(1)));
        assert_ne!(number, SafetyNumber::of(&key(1), &key(3)));
        assert_eq!(number.digits().len(), 60);
        assert_eq!(number.to_string().len(), 60 + 11);
        assert_eq!(number.groups().count(), 12);
        for text in [number.to_string(), number.digits().to_owned(), number.to_string().replace(' ', "-")] {
            assert_eq!(text.parse(), Ok(number.clone()));
        }
        for bad in ["", "1234", &"9".repeat(59), &"9".repeat(61), &"x".repeat(60), &"1 ".repeat(400)] {
            assert!(bad.parse::<SafetyNumber>().is_err(), "{bad}");
        }
    }

    /// The expected values come from Python's `hashlib` (and the first one from Node's `crypto`), the keys of the seeds
    /// from `cryptography`; `docs/trust.md` has them with the keys themselves.
    #[test]
    fn known_answers() {
        let cases = [
            (1, 2, "193172891250532839536791240831470661811541936396204169608061"),
            (3, 1, "193172891250532839536791240831454097669014111614866359036785"),
            (2, 3, "454097669014111614866359036785470661811541936396204169608061"),
            (7, 200, "218024540345408228109142487934633893480192301696451525260266"),
        ];
        for (one, other, digits) in cases {
            assert_eq!(SafetyNumber::of(&key(one), &key(other)).digits(), digits);
        }
        let content = qr_content(key(1).peer_id(), key(2).peer_id());
        let hex: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "01eba97a6bd4a2eaed87c7a2872a8022d3d37b0184ff19c5fe3e9e0d5b9ddb749a\
             fcaf1ef51c65917bed4bb39e6f3506d9d7db0f8e06cc26cff00eabd7ba4ca388"
        );
        assert_eq!(qr_content(key(2).peer_id(), key(1).peer_id()), content);
    }
}
