//! Listening, and the handshake of who connects.

use std::net::SocketAddr;

use async_trait::async_trait;
use chat_core::{Address, Dialed, Incoming, LinkError, Listener};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use transport_tcp::listener::Backoff;
use transport_tcp::{TcpOptions, in_time};

use crate::{accept_over, late};

pub(crate) struct TlsListener {
    socket: tokio::net::TcpListener,
    address: SocketAddr,
    options: TcpOptions,
    acceptor: TlsAcceptor,
    backoff: Backoff,
}

impl TlsListener {
    pub(crate) fn new(
        socket: tokio::net::TcpListener,
        options: TcpOptions,
        acceptor: TlsAcceptor,
    ) -> Result<Self, LinkError> {
        let address = socket.local_addr()?;
        Ok(Self { socket, address, options, acceptor, backoff: Backoff::default() })
    }
}

#[async_trait]
impl Listener for TlsListener {
    fn address(&self) -> Address {
        Address::new(self.address.to_string())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let Self { socket, options, acceptor, backoff, .. } = self;
        let (stream, remote) = backoff.accept(|| socket.accept()).await;
        Ok(Box::new(Accepted { stream, remote, options: *options, acceptor: acceptor.clone() }))
    }
}

struct Accepted {
    stream: TcpStream,
    remote: SocketAddr,
    options: TcpOptions,
    acceptor: TlsAcceptor,
}

#[async_trait]
impl Incoming for Accepted {
    fn remote(&self) -> String {
        self.remote.to_string()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        self.options.apply(&self.stream)?;
        in_time(accept_over(self.acceptor, self.stream), late).await.map(Dialed::Secure)
    }
}
