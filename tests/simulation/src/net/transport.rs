//! The transport `tcp` over simulated streams.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use chat_core::transport::Role;
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Transport};

use super::{Accepted, Host, StreamListener};

/// `tcp` on a simulated host.
pub struct Tcp(pub Host);

fn socket_address(address: &Address) -> Result<SocketAddr, LinkError> {
    let bad = |_| LinkError::BadAddress { address: address.place.clone(), reason: "not an address".into() };
    address.place.parse().map_err(bad)
}

#[async_trait]
impl Transport for Tcp {
    async fn dial(&self, to: &Address, _: &Identity) -> Result<Dialed, LinkError> {
        let unreachable = |error: io::Error| LinkError::Unreachable {
            address: to.place.clone(),
            reason: error.to_string(),
        };
        let (read, write) = self.0.dial(socket_address(to)?).await.map_err(unreachable)?;
        transport_tcp::over(Role::Initiator, read, write).await
    }

    async fn listen(&self, on: &Address, _: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let in_use = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => LinkError::AddressInUse { address: on.place.clone() },
            _ => error.into(),
        };
        Ok(Box::new(TcpListener(self.0.listen(socket_address(on)?).map_err(in_use)?)))
    }
}

struct TcpListener(StreamListener);

#[async_trait]
impl Listener for TcpListener {
    fn address(&self) -> Address {
        Address::new(self.0.address().to_string())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        Ok(Box::new(TcpIncoming(self.0.next().await)))
    }
}

struct TcpIncoming(Accepted);

#[async_trait]
impl Incoming for TcpIncoming {
    fn remote(&self) -> String {
        self.0.remote.to_string()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        let Accepted { read, write, .. } = self.0;
        transport_tcp::over(Role::Responder, read, write).await
    }
}
