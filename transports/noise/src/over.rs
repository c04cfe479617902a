use async_trait::async_trait;
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Transport};

use crate::secure::{accept, dial};

/// A transport with this layer over it: what it gives is secure, whatever the transport below gives. Handshakes are those
/// of [`dial`](crate::dial) and [`accept`](crate::accept).
pub struct OverNoise(pub Box<dyn Transport>);

#[async_trait]
impl Transport for OverNoise {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        dial(&*self.0, to, me).await.map(Dialed::Secure)
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let listener = self.0.listen(on, me).await?;
        Ok(Box::new(Listening { listener, me: me.clone() }))
    }
}

struct Listening {
    listener: Box<dyn Listener>,
    me: Identity,
}

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> Address {
        self.listener.address()
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let incoming = self.listener.next().await?;
        Ok(Box::new(Caller { incoming, me: self.me.clone() }))
    }
}

struct Caller {
    incoming: Box<dyn Incoming>,
    me: Identity,
}

#[async_trait]
impl Incoming for Caller {
    fn remote(&self) -> String {
        self.incoming.remote()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        accept(self.incoming, &self.me).await.map(Dialed::Secure)
    }
}
