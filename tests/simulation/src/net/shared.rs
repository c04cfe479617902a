//! A place that whoever comes first may have, as several programs on one machine share its addresses.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{Address, Dialed, Environment, Identity, Incoming, LinkError, Listener, Transport};

use super::Host;
use crate::stack::Stack;

/// A stack's transport on a host, which may listen at one place that is not the host's alone.
pub struct SharedPlace {
    own: Arc<dyn Transport>,
    host: Host,
    stack: Stack,
    environment: Arc<dyn Environment>,
}

impl SharedPlace {
    /// The transport of `stack` on `host`.
    pub fn new(stack: Stack, host: Host, environment: Arc<dyn Environment>) -> Self {
        let own = stack.transport(&host, Arc::clone(&environment));
        Self { own, host, stack, environment }
    }
}

#[async_trait]
impl Transport for SharedPlace {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        self.own.dial(to, me).await
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        // A place that is no socket address is a name inside one process, which anybody may take.
        let Ok(place) = on.place.parse::<SocketAddr>() else { return self.own.listen(on, me).await };
        if !self.host.is_living() {
            return Err(LinkError::Closed);
        }
        let in_use = || LinkError::AddressInUse { address: on.place.clone() };
        let there = self.host.take(place).ok_or_else(in_use)?;
        let transport = self.stack.transport(&there, Arc::clone(&self.environment));
        let listener = transport.listen(on, me).await?;
        Ok(Box::new(Holding { listener, host: self.host.clone() }))
    }
}

/// Who listens at the shared place.
struct Holding {
    listener: Box<dyn Listener>,
    host: Host,
}

#[async_trait]
impl Listener for Holding {
    fn address(&self) -> Address {
        self.listener.address()
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        tokio::select! {
            biased;
            () = self.host.ended() => Err(LinkError::Closed),
            incoming = self.listener.next() => incoming,
        }
    }
}
