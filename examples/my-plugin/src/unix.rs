//! `unix`: frames over a Unix domain socket, each behind its length (u32, big-endian). The link is bare: the program
//! puts Noise over it, so this crate need not know how to secure it.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::transport::{BareLink, MAX_FRAME_BYTES, NoStats, Role};
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Plugin, ProfileError, Transport};
use futures_util::{SinkExt as _, StreamExt as _, future};
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
        let in_use = || LinkError::AddressInUse { address: on.place.clone() };
        match UnixListener::bind(&on.place) {
            Ok(socket) => Ok(Box::new(Listening::new(socket, on)?)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if !is_left_over(&on.place).await {
                    return Err(in_use());
                }
                // Whoever made it is gone without removing it.
                std::fs::remove_file(&on.place)?;
                let socket = UnixListener::bind(&on.place).map_err(|_| in_use())?;
                Ok(Box::new(Listening::new(socket, on)?))
            }
            Err(error) => Err(LinkError::BadAddress { address: on.place.clone(), reason: error.to_string() }),
        }
    }
}

/// Whether the path is a socket that nobody listens on.
async fn is_left_over(place: &str) -> bool {
    let socket = std::fs::symlink_metadata(place).is_ok_and(|found| found.file_type().is_socket());
    let refused = || async {
        let connected = UnixStream::connect(place).await;
        connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    socket && refused().await
}

/// A stream as a source and a sink of frames.
fn framed(role: Role, stream: UnixStream) -> Dialed {
    let codec = || LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
    let (read, write) = stream.into_split();
    let sink = FramedWrite::new(write, codec()).sink_map_err(LinkError::from).with(|frame: Bytes| {
        let len = frame.len();
        future::ready(if len > MAX_FRAME_BYTES {
            Err(LinkError::FrameTooLarge { len, max: MAX_FRAME_BYTES })
        } else {
            Ok(frame)
        })
    });
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

struct Listening {
    socket: UnixListener,
    place: String,
    /// The file as it was made, so that another's at the same place is not removed.
    made: (u64, u64),
}

/// Device and number of a file.
fn file_id(place: &str) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(place).map(|file| (file.dev(), file.ino()))
}

impl Listening {
    fn new(socket: UnixListener, on: &Address) -> Result<Self, LinkError> {
        Ok(Self { socket, place: on.place.clone(), made: file_id(&on.place)? })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if file_id(&self.place).is_ok_and(|found| found == self.made) {
            // What is left of it is replaced by the next one who listens.
            std::fs::remove_file(PathBuf::from(&self.place)).unwrap_or_default();
        }
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
