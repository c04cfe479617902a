//! An input read as a list of decisions. At its end everything is zero, so every input is a whole script.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound <= 256 { usize::from(self.byte()) % bound } else { usize::from(self.u16()) % bound }
    }

    /// At most so many bytes.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes behind a length of one byte.
    pub fn short(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A genuine message damaged in one of the ways there are: never the same bytes.
    pub fn damaged(&mut self, genuine: &[u8]) -> Vec<u8> {
        let mut bytes = genuine.to_vec();
        let at = self.below(genuine.len().max(1));
        match self.byte() % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 => bytes.extend_from_slice(self.short()),
            3 => {
                let over = self.short();
                bytes.iter_mut().skip(at).zip(over).for_each(|(to, from)| *to = *from);
            }
            _ => {}
        }
        if bytes == genuine {
            match bytes.get_mut(at) {
                Some(byte) => *byte ^= 1 << (self.byte() % 8),
                None => bytes.push(0),
            }
        }
        bytes
    }
}
