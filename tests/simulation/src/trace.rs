//! What happened, as one number: two runs of one seed must give the same.

/// Multiply and fold, as wyhash does, in four lanes: long texts and pages of databases go through it, and a multiplication
/// that waits for the one before took a tenth of a simulation's time. The same everywhere; it protects against nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(u64);

/// Digits of pi, odd.
const KEYS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

impl Default for Trace {
    fn default() -> Self {
        Self(KEYS[0])
    }
}

impl Trace {
    /// Takes something in.
    pub fn add(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, words) = words.as_chunks::<4>();
        if !blocks.is_empty() {
            let mut lanes = KEYS.map(|key| self.0 ^ key);
            for block in blocks {
                for ((lane, word), key) in lanes.iter_mut().zip(block).zip(KEYS) {
                    *lane = fold(*lane ^ u64::from_le_bytes(*word), key).wrapping_add(key);
                }
            }
            lanes.into_iter().for_each(|lane| self.number(lane));
        }
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.number(u64::from_le_bytes(word));
        }
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.0 = fold(self.0 ^ number, KEYS[1]).wrapping_add(KEYS[2]);
    }

    /// The number.
    pub fn hash(self) -> u64 {
        self.0
    }

    /// Of one text by itself.
    pub fn of(text: &str) -> u64 {
        let mut trace = Self::default();
        trace.add(text.as_bytes());
        trace.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever byte is another one, or is missing, the number is another one.
    #[test]
    fn every_byte_counts() {
        let hash = |bytes: &[u8]| {
            let mut trace = Trace::default();
            trace.add(bytes);
            trace.hash()
        };
        let mut seen = std::collections::BTreeSet::new();
        for len in 0..100 {
            let mut bytes = vec![0; len];
            assert!(seen.insert(hash(&bytes)), "{len} zeros");
            for at in 0..len {
                bytes[at] = 1;
                assert!(seen.insert(hash(&bytes)), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }
}
