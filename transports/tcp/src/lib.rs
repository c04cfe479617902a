//! Frames over TCP: a bare link, secured by Noise.
//!
//! # On the wire, byte by byte
//!
//! Each side first sends a preamble of 8 bytes, then frames:
//!
//! ```text
//! preamble:  63 68 61 74 74 63 70 01      "chattcp", version 1
//! frame:     length, u32 big-endian ‖ as many bytes
//! ```
//!
//! The dialer sends its preamble as soon as it is connected and its first frame without waiting; the listener
//! answers with its own when it has read the dialer's. Whatever begins otherwise is refused at the first byte
//! that differs, with a guess at what it is. A frame has 0 to 2 MiB ([`MAX_FRAME_BYTES`]); the first two of each
//! direction, which carry a handshake of somebody not yet known, at most 65535 bytes. A greater length
//! is refused before memory is set aside for it, and a frame's buffer grows only as its bytes arrive.
//!
//! A direction ends in good order with TCP's FIN between two frames. That says nothing about who sent it:
//! whether a link was really closed is for the layer above to know, as Noise does.
//!
//! # Limits
//!
//! - A peer that vanishes without a word is noticed by TCP keepalive, about twice `keepalive_seconds` after its
//!   last sign of life; on Linux the same holds when data is under way. With `0` it is for the layer above.
//! - Dropping a link with bytes unread makes the system send a reset, which may overtake what was sent last.
//!   Read the source to its end where that matters.
//! - The round-trip time that the system measures can't be asked for without `unsafe`, so `srtt` is not given.

pub mod connect;
pub mod framing;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod listener;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
#[cfg(doc)]
use chat_core::transport::MAX_FRAME_BYTES;
use chat_core::transport::{BareLink, HANDSHAKE_DEADLINE, LinkFigures, LinkStats, Role};
use chat_core::{Address, Dialed, Identity, LinkError, Listener, Plugin, ProfileError, Transport};
use futures_util::SinkExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::framing::{PREAMBLE, Reader, Writer};

const NAME: &str = "tcp";
/// An unanswered keepalive is repeated this often, so that all of it takes as long again as the first wait.
const KEEPALIVE_PROBES: u32 = 3;
const MAX_KEEPALIVE_SECONDS: u32 = 3600;

/// The plugin's keys in `[transport]`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpOptions {
    /// Send small frames at once instead of waiting for more to send with them (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Ask a peer that has been silent this long whether it is still there; 0 = never, at most 3600.
    pub keepalive_seconds: u32,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { nodelay: true, keepalive_seconds: 30 }
    }
}

/// Carries frames over TCP.
#[derive(Debug, Clone, Copy)]
pub struct Tcp {
    options: TcpOptions,
}

impl Plugin<dyn Transport> for Tcp {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "frames over TCP, secured by Noise";
    const EXAMPLE: &'static str = "[transport]\nkind = \"tcp\"\nnodelay = true\nkeepalive_seconds = 30\n";
    type Options = TcpOptions;

    fn build(options: TcpOptions) -> Result<Box<dyn Transport>, ProfileError> {
        options.check()?;
        Ok(Box::new(Self { options }))
    }
}

#[async_trait]
impl Transport for Tcp {
    async fn dial(&self, to: &Address, _: &Identity) -> Result<Dialed, LinkError> {
        let stream = connect::connect(to).await?;
        self.options.apply(&stream)?;
        let (read, write) = stream.into_split();
        over(Role::Initiator, read, write).await
    }

    async fn listen(&self, on: &Address, _: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let socket = connect::bind(on).await?;
        Ok(Box::new(listener::TcpListener::new(socket, self.options)?))
    }
}

impl TcpOptions {
    /// Checks what can be checked without a socket.
    ///
    /// # Errors
    /// Names the option.
    pub fn check(self) -> Result<(), ProfileError> {
        if self.keepalive_seconds > MAX_KEEPALIVE_SECONDS {
            return Err(ProfileError::option(
                "keepalive_seconds",
                format!("at most {MAX_KEEPALIVE_SECONDS}"),
            ));
        }
        Ok(())
    }

    /// Sets them on a socket.
    ///
    /// # Errors
    /// [`LinkError::Io`], the system's words.
    pub fn apply(self, stream: &TcpStream) -> Result<(), LinkError> {
        stream.set_nodelay(self.nodelay)?;
        if self.keepalive_seconds > 0 {
            let wait = Duration::from_secs(self.keepalive_seconds.into());
            let probe = (wait / KEEPALIVE_PROBES).max(Duration::from_secs(1));
            let keepalive = TcpKeepalive::new().with_time(wait);
            #[cfg(not(target_os = "openbsd"))]
            let keepalive = keepalive.with_interval(probe).with_retries(KEEPALIVE_PROBES);
            let socket = SockRef::from(stream);
            socket.set_tcp_keepalive(&keepalive)?;
            // Keepalive rests while data is unacknowledged; the retransmissions alone would go on for 15 minutes.
            #[cfg(target_os = "linux")]
            socket.set_tcp_user_timeout(Some(wait + probe * KEEPALIVE_PROBES))?;
        }
        Ok(())
    }
}

/// Bytes on the wire, prefixes and preambles included.
#[derive(Debug, Default)]
pub struct Counters {
    /// Handed to the socket.
    pub sent: AtomicU64,
    /// Taken from the socket.
    pub received: AtomicU64,
}

impl LinkStats for Counters {
    fn figures(&self) -> LinkFigures {
        LinkFigures {
            sent_bytes: Some(self.sent.load(Ordering::Relaxed)),
            received_bytes: Some(self.received.load(Ordering::Relaxed)),
            ..LinkFigures::default()
        }
    }
}

/// The transport's frames over any stream of bytes, such as one of a simulated network: exchanges the preambles as
/// the role demands. Cancel safe: dropping it closes the stream.
///
/// # Errors
/// [`LinkError::ForeignProtocol`], [`LinkError::Timeout`] after [`HANDSHAKE_DEADLINE`], and those of the stream.
pub async fn over<R, W>(role: Role, read: R, mut write: W) -> Result<Dialed, LinkError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let stats = Arc::new(Counters::default());
    let (mut reader, mut writer);
    match role {
        Role::Initiator => {
            write.write_all(&PREAMBLE).await?;
            stats.sent.store(PREAMBLE.len() as u64, Ordering::Relaxed);
            (reader, writer) =
                (Reader::new(read, Arc::clone(&stats)), Writer::new(write, Arc::clone(&stats)));
        }
        Role::Responder => {
            (reader, writer) =
                (Reader::new(read, Arc::clone(&stats)), Writer::new(write, Arc::clone(&stats)));
            let exchange = async {
                reader.preamble().await?;
                writer.send_preamble();
                writer.flush().await
            };
            in_time(exchange, || LinkError::Timeout("the preamble of a TCP connection")).await?;
        }
    }
    let (sink, source) = (Box::pin(writer), Box::pin(reader));
    Ok(Dialed::Bare(BareLink { transport: NAME, role, sink, source, stats }))
}

/// Gives up `work` when a handshake must be over.
///
/// # Errors
/// Those of the work, or what `late` says.
pub async fn in_time<T>(
    work: impl Future<Output = Result<T, LinkError>>,
    late: impl FnOnce() -> LinkError,
) -> Result<T, LinkError> {
    tokio::time::timeout(HANDSHAKE_DEADLINE, work).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use chat_core::Registry;
    use chat_core::plugin::PluginKind;
    use chat_core::profile::Options;

    use super::*;

    fn build(text: &str) -> Result<Box<dyn Transport>, ProfileError> {
        Registry::linked().unwrap().build::<dyn Transport>(&Options::parse_table(text, "transport").unwrap())
    }

    #[test]
    fn the_example_builds_and_senseless_options_are_refused() {
        let entry = Registry::linked().unwrap().find(PluginKind::Transport, "tcp").unwrap();
        assert!(build(entry.example).is_ok());
        assert!(build("[transport]\nkind = \"tcp\"\n").is_ok());
        let error = build("[transport]\nkind = \"tcp\"\nkeepalive_seconds = 3601\n").err().unwrap();
        assert!(error.to_string().contains("keepalive_seconds"), "{error}");
        assert!(build("[transport]\nkind = \"tcp\"\nno_delay = true\n").is_err());
    }

    #[tokio::test]
    async fn the_options_reach_the_socket() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let off = TcpOptions { nodelay: false, keepalive_seconds: 0 };
        off.apply(&stream).unwrap();
        assert!(!stream.nodelay().unwrap() && !SockRef::from(&stream).keepalive().unwrap());
        TcpOptions::default().apply(&stream).unwrap();
        assert!(stream.nodelay().unwrap() && SockRef::from(&stream).keepalive().unwrap());
    }
}

chat_core::register!(dyn Transport, Tcp);
