//! Frames over TLS 1.3 (RFC 8446), on TCP.
//!
//! Both ends show certificates: what of, and what is demanded of them, is [`transport_certificates`]'.
//!
//! # On the wire
//!
//! TLS 1.3 with ALPN `chat/1`, no resumption, no early data, client certificates required; inside it frames:
//! length, u32 big-endian ‖ as many bytes, 0 to 2 MiB. A direction ends in good order with `close_notify`; without it the
//! link was cut.
//!
//! Streams and datagrams are the core's ([`chat_core::transport::emulated`]). What the kernel measures of the path has no safe
//! interface among our dependencies: the figures are bytes alone, and a client measures the round trip by its pings.

mod listener;
mod options;
mod refusal;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::transport::{Link, Peer};
use chat_core::{Address, Dialed, Identity, LinkError, Listener, Plugin, ProfileError, Transport};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use transport_certificates::{Certificates, proved};
use transport_tcp::framing::{Reader, Writer};
use transport_tcp::{Counters, connect, in_time};

pub use options::TlsOptions;

use crate::refusal::explain;
use crate::wire::Wire;

const NAME: &str = "tls";
/// What is spoken inside (RFC 7301).
pub(crate) const ALPN: &[u8] = b"chat/1";

/// Carries frames over TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    options: TlsOptions,
}

impl Plugin<dyn Transport> for Tls {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "frames over TLS 1.3, with certificates of the nodes' keys, of openssl, or of an authority";
    const EXAMPLE: &'static str = "[transport]\nkind = \"tls\"\nkeepalive_seconds = 30\n";
    type Options = TlsOptions;

    fn build(options: TlsOptions) -> Result<Box<dyn Transport>, ProfileError> {
        options.check()?;
        Ok(Box::new(Self { options }))
    }
}

#[async_trait]
impl Transport for Tls {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        let certificates = self.options.certificates();
        let (config, _) = certificates.client(me, to.pin, ALPN)?;
        let name = certificates.expected_name(to)?;
        let stream = connect::connect(to).await?;
        self.options.tcp().apply(&stream)?;
        let connector = TlsConnector::from(Arc::new(config));
        let link = in_time(dial_over(connector, name, &certificates, stream), late).await?;
        transport_noise::check_pin(&link, to)?;
        Ok(Dialed::Secure(link))
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let (config, _) = self.options.certificates().serving(me, ALPN)?.config()?;
        let socket = connect::bind(on).await?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Box::new(listener::TlsListener::new(socket, self.options.tcp(), acceptor)?))
    }
}

fn late() -> LinkError {
    LinkError::Timeout("the TLS handshake")
}

async fn dial_over<S>(
    connector: TlsConnector,
    name: ServerName<'static>,
    certificates: &Certificates,
    stream: S,
) -> Result<Link, LinkError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let counters = Arc::new(Counters::default());
    let wire = Wire::new(stream, Arc::clone(&counters));
    let connected = connector.connect(name.clone(), wire).into_fallible().await;
    let stream = connected.map_err(|(error, wire)| explain(error, wire.first_bytes()))?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN) {
        return Err(LinkError::ForeignProtocol { looks_like: "speaks TLS, but no chat in it" });
    }
    let peer = certificates.found(&name, session.peer_certificates())?;
    Ok(link(peer, stream, counters))
}

async fn accept_over<S>(acceptor: TlsAcceptor, stream: S) -> Result<Link, LinkError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let counters = Arc::new(Counters::default());
    let wire = Wire::new(stream, Arc::clone(&counters));
    let accepted = acceptor.accept(wire).into_fallible().await;
    let mut stream = accepted.map_err(|(error, wire)| explain(error, wire.first_bytes()))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        // Who named no protocol has not been refused by the library. It is told the end, whether it takes it or not.
        if let Err(error) = stream.shutdown().await {
            tracing::trace!(%error, "a stranger has gone before it was told to");
        }
        return Err(LinkError::ForeignProtocol { looks_like: "speaks TLS, but no chat in it" });
    }
    let session = stream.get_ref().1;
    let peer = Peer::Key(proved(session.peer_certificates())?);
    Ok(link(peer, stream, counters))
}

fn link<S>(peer: Peer, stream: S, counters: Arc<Counters>) -> Link
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let (sink, source) = (Box::pin(Writer::secured(write)), Box::pin(Reader::secured(read)));
    Link { peer, sink, source, datagrams: None, streams: None, stats: counters }
}

chat_core::register!(dyn Transport, Tls);
