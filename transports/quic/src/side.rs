//! What QUIC is told: limits, times, keys.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{Address, Entropy, Identity, LinkError, OsEntropy, PeerId};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{Connection, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use ring::hmac;
use rustls::pki_types::CertificateDer;
use transport_certificates::{Serving, Verdict};

use crate::ALPN;
use crate::ids::Ids;
use crate::options::QuicOptions;

/// Bytes of one stream that came and were not read; one of the limits that decide how fast a long way can be.
const STREAM_WINDOW: u32 = 512 << 10;
/// Bytes that were written and not acknowledged yet, of all streams.
const SEND_WINDOW: u64 = 512 << 10;
/// Streams beside the main one that an end may have open.
pub(crate) const MAX_STREAMS: u32 = 8;
/// So many more are allowed than are promised: the library tells of room that has become free only if it is more than an
/// eighth of all.
pub(crate) const SPARE_STREAMS: u32 = 1 + MAX_STREAMS / 8;
/// For the main stream, and those that either end opened: what nobody reads of one takes no room from another.
pub(crate) const WINDOW_WITH_STREAMS: u32 = (1 + 2 * (MAX_STREAMS + SPARE_STREAMS)) * STREAM_WINDOW;
const DATAGRAM_BUFFER: usize = 256 << 10;
/// Until it is known. The RFC would have 333 ms (RFC 9002 §6.2.2), and a first packet that is lost would cost a second: three
/// times this and more. On a path that is longer, one or two packets of a handshake are sent twice.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// RFC 9000; what drafts said is not spoken any more.
const VERSION_1: u32 = 1;
const MAX_UNTAKEN: usize = 1024;
/// Packets of a client's flight that wait until its handshake is taken up: some certificates' worth.
const UNTAKEN_BYTES: u64 = 16 << 10;
const ALL_UNTAKEN_BYTES: u64 = 4 << 20;

/// Which stream of the other end this side takes from the first moment on: who listens takes the main one.
pub(crate) fn transport(options: &QuicOptions, streams: u32) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(STREAM_WINDOW.into())
        .send_window(SEND_WINDOW)
        // It would tell everybody on the way how long a round trip is (RFC 9000 §17.4).
        .allow_spin(false)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .keep_alive_interval(Some(options.keepalive()))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(options.idle_ms()))));
    Arc::new(config)
}

/// For who dials.
pub(crate) fn endpoint() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.supported_versions(vec![VERSION_1]);
    config
}

/// For who listens. What resets a link that nobody here knows any more (RFC 9000 §10.3), and what tells that its id was given
/// out here, is made of the identity: a node that was started again frees its old peers at once, who else would wait for it
/// until `idle_seconds` are over.
pub(crate) fn listening_endpoint(me: &Identity) -> Result<EndpointConfig, LinkError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, me.seed().as_ref());
    let resets = hmac::sign(&key, b"chat/quic reset/1");
    let ids = hmac::sign(&key, b"chat/quic ids/1");
    let entropy: &mut dyn Entropy = &mut OsEntropy;
    let start = entropy.bytes::<32>().map_err(unfit)?;
    let [node, start] = [ids.as_ref(), &start].map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, resets.as_ref())));
    config
        .cid_generator(move || Box::new(Ids::new(node.clone(), start.clone())))
        .supported_versions(vec![VERSION_1]);
    Ok(config)
}

fn unfit(what: impl std::fmt::Display) -> LinkError {
    LinkError::Io(std::io::Error::other(format!("QUIC can't be set up: {what}")))
}

/// For one dial.
pub(crate) fn client(
    options: &QuicOptions,
    to: &Address,
    me: &Identity,
) -> Result<(quinn::ClientConfig, Verdict), LinkError> {
    let pin: Option<PeerId> = to.pin;
    let (tls, verdict) = options.certificates().client(me, pin, ALPN)?;
    let tls = QuicClientConfig::try_from(tls).map_err(unfit)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.version(VERSION_1).transport_config(transport(options, 0));
    Ok((config, verdict))
}

/// For one handshake of many; the first of them also for the endpoint.
pub(crate) fn server(
    serving: &Serving,
    transport: &Arc<TransportConfig>,
) -> Result<(ServerConfig, Verdict), LinkError> {
    let (tls, verdict) = serving.config()?;
    let tls = QuicServerConfig::try_from(tls).map_err(unfit)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::clone(transport))
        .migration(true)
        .max_incoming(MAX_UNTAKEN)
        .incoming_buffer_size(UNTAKEN_BYTES)
        .incoming_buffer_size_total(ALL_UNTAKEN_BYTES);
    Ok((config, verdict))
}

/// The certificates that the other end has shown.
pub(crate) fn shown(connection: &Connection) -> Option<Vec<CertificateDer<'static>>> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>();
    shown.ok().map(|certificates| *certificates)
}

/// Both ends have agreed on what is spoken inside; the library ends the handshake otherwise, and is not trusted with it.
pub(crate) fn speaks_chat(connection: &Connection) -> Result<(), LinkError> {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    match data.and_then(|data| data.protocol) {
        Some(protocol) if protocol == ALPN => Ok(()),
        _ => Err(crate::refusal::no_chat()),
    }
}
