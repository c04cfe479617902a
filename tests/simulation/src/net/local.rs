//! Transports that have no network under them, on a simulated host: what a process has dialed and whom it listens for
//! ends with it. Nobody is left who could wait for a machine that is off, so whoever was linked to it sees the link end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::transport::BareLink;
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Transport};
use futures_util::{Sink, Stream};

use super::Host;

/// A transport of bare links inside one process, on a simulated host.
pub struct Local {
    /// What it is.
    pub inner: Arc<dyn Transport>,
    /// Where it is.
    pub host: Host,
}

#[async_trait]
impl Transport for Local {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        let gone = self.host.ended();
        tokio::select! {
            biased;
            () = gone => Err(LinkError::Closed),
            dialed = self.inner.dial(to, me) => Ok(ending(dialed?, &self.host)),
        }
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        if !self.host.is_living() {
            return Err(LinkError::Closed);
        }
        let listener = Some(self.inner.listen(on, me).await?);
        Ok(Box::new(LocalListener { listener, address: on.clone(), host: self.host.clone() }))
    }
}

struct LocalListener {
    listener: Option<Box<dyn Listener>>,
    address: Address,
    host: Host,
}

#[async_trait]
impl Listener for LocalListener {
    fn address(&self) -> Address {
        self.listener.as_ref().map_or_else(|| self.address.clone(), |listener| listener.address())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let Some(listener) = &mut self.listener else { return Err(LinkError::Closed) };
        tokio::select! {
            biased;
            () = self.host.ended() => {}
            incoming = listener.next() => {
                return Ok(Box::new(LocalIncoming { incoming: incoming?, host: self.host.clone() }));
            }
        }
        // The place is free from now on.
        self.listener = None;
        Err(LinkError::Closed)
    }
}

struct LocalIncoming {
    incoming: Box<dyn Incoming>,
    host: Host,
}

#[async_trait]
impl Incoming for LocalIncoming {
    fn remote(&self) -> String {
        self.incoming.remote()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        Ok(ending(self.incoming.handshake().await?, &self.host))
    }
}

/// The same link, which ends with the process.
fn ending(dialed: Dialed, host: &Host) -> Dialed {
    match dialed {
        Dialed::Bare(link) => Dialed::Bare(BareLink {
            sink: Box::pin(Ending::new(link.sink, host)),
            source: Box::pin(Ending::new(link.source, host)),
            ..link
        }),
        Dialed::Secure(_) => panic!("links inside one process are bare"),
    }
}

/// Half of a link.
struct Ending<T> {
    half: Option<T>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<T> Ending<T> {
    fn new(half: T, host: &Host) -> Self {
        let host = host.clone();
        Self { half: Some(half), ended: Box::pin(async move { host.ended().await }) }
    }

    /// The half, as long as the process lives.
    fn half(&mut self, cx: &mut Context<'_>) -> Option<&mut T> {
        if self.half.is_some() && self.ended.as_mut().poll(cx).is_ready() {
            self.half = None;
        }
        self.half.as_mut()
    }
}

impl<T: Stream<Item = Result<Bytes, LinkError>> + Unpin> Stream for Ending<T> {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.half(cx) {
            Some(half) => Pin::new(half).poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl<T: Sink<Bytes, Error = LinkError> + Unpin> Sink<Bytes> for Ending<T> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.half(cx) {
            Some(half) => Pin::new(half).poll_ready(cx),
            None => Poll::Ready(Err(LinkError::Closed)),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        match &mut self.half {
            Some(half) => Pin::new(half).start_send(frame),
            None => Err(LinkError::Closed),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.half(cx) {
            Some(half) => Pin::new(half).poll_flush(cx),
            None => Poll::Ready(Err(LinkError::Closed)),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match self.half(cx) {
            Some(half) => Pin::new(half).poll_close(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
