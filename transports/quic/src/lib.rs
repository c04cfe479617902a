//! Frames, streams and datagrams over QUIC (RFC 9000, RFC 9221), with TLS 1.3 inside it (RFC 9001).
//!
//! Both ends show certificates: what of, and what is demanded of them, is [`transport_certificates`]', as with `tls`.
//!
//! # On the wire
//!
//! QUIC version 1, ALPN `chat-quic/1`, client certificates required, no resumption, no 0-RTT. Frames are on the first
//! bidirectional stream, which the dialer opens with one byte, `01`; then in each direction: length, u32 big-endian ‖ as many
//! bytes, 0 to 2 MiB. A direction ends in good order with the stream's FIN; a reset, or the end of the connection without
//! it, is a link that was cut. Further streams have such frames too, without the byte. Unidirectional streams are refused.
//!
//! # What it gives
//!
//! - The link lives as long as its sink or its source. Streams and datagrams are native, and end with it.
//! - Closing waits until the other end's machine has everything, as with `udp-arq`: the program may end then.
//! - Who listens answers the first packet of anybody with a Retry (RFC 9000 §8.1.2), which is shorter than that packet, and
//!   keeps nothing: only who gets mail at its address goes on to a handshake. It costs a round trip.
//! - A path may change: who dials keeps its link when its address does (RFC 9000 §9).
//! - Who is silent for `idle_seconds` though asked every `keepalive_seconds` is gone. Sooner, if its machine says that nobody
//!   has its port any more (only the dialer asks, after `keepalive_seconds` of silence), or if it was started again: then it
//!   resets links that it does not know (RFC 9000 §10.3), by a key made of its identity.
//!
//! # Limits
//!
//! | what | how much |
//! |---|---|
//! | a stream's bytes that came and nobody reads | 512 KiB |
//! | all that came on a link, where nobody uses further streams; where somebody does | 512 KiB; 10.5 MiB |
//! | bytes written and not acknowledged, a link | 512 KiB |
//! | streams that the other end may have open | 8 to 10, once somebody here accepts or opens one; none before |
//! | datagrams that wait, each way; longest | 256 KiB, older ones are dropped; 1150 bytes |
//! | handshakes that nobody has taken up, and bytes that wait for them | 1024, 4 MiB |
//!
//! Streams are refused to whoever opens them towards an end that uses none: it waits ten seconds and is told.
//!
//! What the library keeps until it is acknowledged it tells nobody, so `waiting_bytes` is 0, as where the system keeps it.

mod address;
mod dial;
mod ids;
mod link;
mod listener;
mod options;
mod refusal;
mod side;
mod socket;

use async_trait::async_trait;
use chat_core::{Address, Dialed, Identity, LinkError, Listener, Plugin, ProfileError, Transport};

pub use options::QuicOptions;

const NAME: &str = "quic";
/// What is spoken inside (RFC 7301).
pub(crate) const ALPN: &[u8] = b"chat-quic/1";

/// Carries frames, streams and datagrams over QUIC.
#[derive(Debug, Clone)]
pub struct Quic {
    options: QuicOptions,
}

impl Plugin<dyn Transport> for Quic {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "frames, streams and datagrams over QUIC, with certificates of the nodes' keys, of openssl, or of an authority";
    const EXAMPLE: &'static str = "[transport]\nkind = \"quic\"\nkeepalive_seconds = 3\nidle_seconds = 10\n";
    type Options = QuicOptions;

    fn build(options: QuicOptions) -> Result<Box<dyn Transport>, ProfileError> {
        options.check()?;
        Ok(Box::new(Self { options }))
    }
}

#[async_trait]
impl Transport for Quic {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        dial::dial(&self.options, to, me).await.map(Dialed::Secure)
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        Ok(Box::new(listener::QuicListener::new(&self.options, on, me).await?))
    }
}

chat_core::register!(dyn Transport, Quic);
