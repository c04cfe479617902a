//! Listening, and the handshake of who connects.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::transport::Peer;
use chat_core::{Address, Dialed, Identity, Incoming, Link, LinkError, Listener};
use quinn::{Endpoint, TokioRuntime, TransportConfig};
use transport_certificates::{Serving, proved};
use transport_tcp::in_time;

use crate::options::QuicOptions;
use crate::socket::Listening;
use crate::{ALPN, address, link, refusal, side};

pub(crate) struct QuicListener {
    endpoint: Endpoint,
    address: SocketAddr,
    serving: Serving,
    transport: Arc<TransportConfig>,
}

impl QuicListener {
    pub(crate) async fn new(options: &QuicOptions, on: &Address, me: &Identity) -> Result<Self, LinkError> {
        let serving = options.certificates().serving(me, ALPN)?;
        let transport = side::transport(options, 1);
        let (config, _) = side::server(&serving, &transport)?;
        let socket = address::bind(on).await?;
        let (socket, runtime) = (Listening::new(socket)?, Arc::new(TokioRuntime));
        let ours = side::listening_endpoint(me)?;
        let endpoint = Endpoint::new_with_abstract_socket(ours, Some(config), socket, runtime)?;
        let address = endpoint.local_addr()?;
        Ok(Self { endpoint, address, serving, transport })
    }
}

/// Links that were made live on, and keep the socket; nobody new is let in.
impl Drop for QuicListener {
    fn drop(&mut self) {
        self.endpoint.set_server_config(None);
    }
}

#[async_trait]
impl Listener for QuicListener {
    fn address(&self) -> Address {
        Address::new(self.address.to_string())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        loop {
            let incoming = self.endpoint.accept().await.ok_or_else(|| {
                LinkError::Io(std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the socket has failed"))
            })?;
            if incoming.remote_address_validated() {
                let (serving, transport) = (self.serving.clone(), Arc::clone(&self.transport));
                return Ok(Box::new(Accepted { incoming, serving, transport }));
            }
            // Who does not get mail at the address that it writes from learns and costs nothing.
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "somebody new can't be asked to try again");
            }
        }
    }
}

/// Somebody who gets mail at its address.
struct Accepted {
    incoming: quinn::Incoming,
    serving: Serving,
    transport: Arc<TransportConfig>,
}

#[async_trait]
impl Incoming for Accepted {
    fn remote(&self) -> String {
        self.incoming.remote_address().to_string()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        in_time(self.link(), || LinkError::Timeout("the QUIC handshake")).await.map(Dialed::Secure)
    }
}

impl Accepted {
    async fn link(self: Box<Self>) -> Result<Link, LinkError> {
        let (config, verdict) = side::server(&self.serving, &self.transport)?;
        let failed = |error| refusal::handshake(error, &verdict);
        let connecting = self.incoming.accept_with(Arc::new(config)).map_err(failed)?;
        let connection = connecting.await.map_err(failed)?;
        side::speaks_chat(&connection)?;
        let peer = Peer::Key(proved(side::shown(&connection).as_deref())?);
        link::accepted(connection, peer).await
    }
}
