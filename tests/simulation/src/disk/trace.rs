//! A hash over everything that changes a disk, in its order.

/// Written here because it must be the same on every machine and in every version; it protects against nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trace(pub(super) u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl Trace {
    pub(super) fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        let (high, low) = (product >> 64, product & u128::from(u64::MAX));
        self.0 = u64::try_from(high ^ low).unwrap_or(0).wrapping_add(0xf39c_c060_5ced_c835);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
    }

    /// Of one text by itself.
    pub(super) fn of(text: &str) -> u64 {
        let mut trace = Self::default();
        trace.bytes(text.as_bytes());
        trace.0
    }
}
