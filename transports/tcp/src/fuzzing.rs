//! The framing over any stream of bytes, for the fuzz targets.

use std::sync::Arc;

use chat_core::transport::{FrameSink, FrameSource};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::framing::{Reader, Writer};

/// The frames in a stream of bytes that begins with the preamble.
pub fn source(io: impl AsyncRead + Unpin + Send + 'static) -> FrameSource {
    Box::pin(Reader::new(io, Arc::default()))
}

/// Writes the preamble, then frames.
pub fn sink(io: impl AsyncWrite + Unpin + Send + 'static) -> FrameSink {
    let mut writer = Writer::new(io, Arc::default());
    writer.send_preamble();
    Box::pin(writer)
}
