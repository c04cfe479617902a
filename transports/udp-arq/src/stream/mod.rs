//! Messages, in order, whatever the packets do: cutting them up ([`send`]) and putting them together
//! ([`reassembly`]). A message is one frame of the link. There is one stream now; its number is on the wire,
//! so that more can come.

pub(crate) mod reassembly;
pub(crate) mod send;

use chat_core::transport::MAX_FRAME_BYTES;

pub(crate) use reassembly::{ReceiveStream, Violation};
pub(crate) use send::SendStream;

/// The stream of the link's frames.
pub(crate) const MAIN: u64 = 0;

/// What a message costs in memory beside its bytes, so that empty messages are not free.
pub(crate) const OVERHEAD: u64 = 128;

/// Credit that both ends assume before the first CREDIT chunk, and the receiver's bound: two of the longest
/// messages, so that one arrives while the other is read.
pub(crate) const WINDOW: u64 = 2 * (MAX_FRAME_BYTES as u64 + OVERHEAD);

/// What a message of this length takes from the credit, all of it with its first fragment.
pub(crate) fn cost(len: usize) -> u64 {
    len as u64 + OVERHEAD
}

/// A piece of a message that a packet carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fragment {
    pub(crate) message: u64,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Fragment {
    /// The bytes of the message it covers.
    fn range(&self) -> std::ops::Range<u64> {
        self.offset as u64..(self.offset + self.len) as u64
    }
}
