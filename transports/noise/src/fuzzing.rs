//! The frames of a link after its handshake, with a given key, for the fuzz targets.

use chat_core::transport::{FrameSink, FrameSource};
use zeroize::Zeroizing;

use crate::frames::{SealedSink, SealedSource};
use crate::messages::{Opener, Sealer};

/// Frames out of the sealed messages of `inner`.
pub fn source(inner: FrameSource, key: [u8; 32]) -> FrameSource {
    Box::pin(SealedSource::new(inner, Opener::new(&Zeroizing::new(key))))
}

/// Sealed messages into `inner` out of frames.
pub fn sink(inner: FrameSink, key: [u8; 32]) -> FrameSink {
    Box::pin(SealedSink::new(inner, Sealer::new(&Zeroizing::new(key))))
}
