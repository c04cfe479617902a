//! A whole transport with what its links lack.

use async_trait::async_trait;

use super::complete;
use crate::error::LinkError;
use crate::identity::Identity;
use crate::transport::{Address, Dialed, Incoming, Listener, Transport};

/// A transport whose secure links are [`complete`]. Bare ones stay as they are: first somebody secures them.
pub struct Complete(pub Box<dyn Transport>);

fn completed(dialed: Dialed) -> Dialed {
    match dialed {
        Dialed::Secure(link) => Dialed::Secure(complete(link)),
        bare @ Dialed::Bare(_) => bare,
    }
}

#[async_trait]
impl Transport for Complete {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        self.0.dial(to, me).await.map(completed)
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        Ok(Box::new(Listening(self.0.listen(on, me).await?)))
    }
}

struct Listening(Box<dyn Listener>);

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> Address {
        self.0.address()
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        Ok(Box::new(Caller(self.0.next().await?)))
    }
}

struct Caller(Box<dyn Incoming>);

#[async_trait]
impl Incoming for Caller {
    fn remote(&self) -> String {
        self.0.remote()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        self.0.handshake().await.map(completed)
    }
}
