//! `unix`: frames over a Unix domain socket, each behind its length (u32, big-endian). The link is bare: the program
//! puts Noise over it, so this crate need not know how to secure it.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::transport::{BareLink, MAX_FRAME_BYTES, NoStats, Role};
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Plugin, ProfileError, Transport};
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::length_delimited::LengthDelimitedCodec;
use tokio_util::codec::{FramedRead, FramedWrite};

const NAME: &str = "unix";

/// There is nothing to choose: the relay's address is the path of the socket.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnixOptions {}

/// The transport.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unix;

impl Plugin<dyn Transport> for Unix {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "frames over a Unix domain socket, from an example crate";
    const EXAMPLE: &'static str = "[transport]\nkind = \"unix\"\n";
    type Options = UnixOptions;

    fn build(UnixOptions {}: UnixOptions) -> Result<Box<dyn Transport>, ProfileError> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Transport for Unix {
    async fn dial(&self, to: &Address, _: &Identity) -> Result<Dialed, LinkError> {
        let stream = UnixStream::connect(&to.place).await.map_err(|error| LinkError::Unreachable {
            address: to.place.clone(),
            reason: error.to_string(),
        })?;
        Ok(framed(Role::Initiator, stream))
    }

    async fn listen(&self, on: &Address, _: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let bad =
            |error: io::Error| LinkError::BadAddress { address: on.place.clone(), reason: error.to_string() };
        // Who holds the lock listens; a socket without it was left by somebody who is gone.
        let lock =
            File::options().write(true).create(true).truncate(false).open(format!("{}.lock", on.place));
        let lock = lock.map_err(bad)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LinkError::AddressInUse { address: on.place.clone() });
            }
            Err(TryLockError::Error(error)) => return Err(bad(error)),
        }
        if std::fs::symlink_metadata(&on.place).is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(&on.place).map_err(bad)?;
        }
        let socket = UnixListener::bind(&on.place).map_err(bad)?;
        Ok(Box::new(Listening { socket, place: on.place.clone(), _lock: lock }))
    }
}

/// A stream as a source and a sink of frames.
fn framed(role: Role, stream: UnixStream) -> Dialed {
    let codec = || LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
    let (read, write) = stream.into_split();
    let sink = Outward { frames: FramedWrite::new(write, codec()), closed: false };
    let source = FramedRead::new(read, codec()).map(|frame| match frame {
        Ok(frame) => Ok(frame.freeze()),
        Err(error) => Err(LinkError::from(error)),
    });
    Dialed::Bare(BareLink {
        transport: NAME,
        role,
        sink: Box::pin(sink),
        source: Box::pin(source),
        stats: Arc::new(NoStats),
    })
}

/// Frames on their way out. It stays what it is after an error or a close, and says so when it is asked again.
struct Outward {
    frames: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    closed: bool,
}

impl Sink<Bytes> for Outward {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.closed {
            return Poll::Ready(Err(LinkError::Closed));
        }
        Sink::<Bytes>::poll_ready(Pin::new(&mut self.frames), cx).map_err(LinkError::from)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        let len = frame.len();
        match (self.closed, len > MAX_FRAME_BYTES) {
            (true, _) => Err(LinkError::Closed),
            (false, true) => Err(LinkError::FrameTooLarge { len, max: MAX_FRAME_BYTES }),
            (false, false) => Ok(self.frames.start_send_unpin(frame)?),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Sink::<Bytes>::poll_flush(Pin::new(&mut self.frames), cx).map_err(LinkError::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.closed = true;
        Sink::<Bytes>::poll_close(Pin::new(&mut self.frames), cx).map_err(LinkError::from)
    }
}

struct Listening {
    socket: UnixListener,
    place: String,
    _lock: File,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // If it stays, the next one who listens removes it.
        std::fs::remove_file(&self.place).unwrap_or_default();
    }
}

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> Address {
        Address::new(self.place.clone())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => return Ok(Box::new(Accepted(stream))),
                // One connection's trouble, or a machine short of something for a moment.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }
}

struct Accepted(UnixStream);

#[async_trait]
impl Incoming for Accepted {
    fn remote(&self) -> String {
        "a program on this machine".to_owned()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        Ok(framed(Role::Responder, self.0))
    }
}

chat_core::register!(dyn Transport, Unix);
