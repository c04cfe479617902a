//! What happened, as one number: two runs of one seed must give the same.

/// FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923): fast, and the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// Takes something in.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }

    /// The number.
    pub fn hash(self) -> u64 {
        self.0
    }
}
