//! The two halves of a link.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use chat_core::transport::{Link, Peer};
use chat_core::{LinkError, PeerKey};
use futures_util::{Sink, Stream};

use super::shared::Shared;

/// Both halves before the link is up; dropping them ends whatever is under way.
pub(crate) struct Halves {
    sink: SinkHalf,
    source: SourceHalf,
    shared: Arc<Shared>,
}

impl Halves {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Self { sink: SinkHalf(Arc::clone(&shared)), source: SourceHalf(Arc::clone(&shared)), shared }
    }

    /// The link with this peer.
    pub(crate) fn into_link(self, peer: PeerKey) -> Link {
        Link {
            peer: Peer::Key(peer),
            sink: Box::pin(self.sink),
            source: Box::pin(self.source),
            datagrams: None,
            streams: None,
            stats: self.shared,
        }
    }
}

struct SinkHalf(Arc<Shared>);

impl Sink<Bytes> for SinkHalf {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        self.0.start_send(frame)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.poll_close(cx)
    }
}

impl Drop for SinkHalf {
    fn drop(&mut self) {
        self.0.drop_sink();
    }
}

struct SourceHalf(Arc<Shared>);

impl Stream for SourceHalf {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl Drop for SourceHalf {
    fn drop(&mut self) {
        self.0.drop_source();
    }
}
