use async_trait::async_trait;
use chat_core::transport::{BareLink, Peer};
use chat_core::{
    Address, Dialed, Identity, Incoming, Link, LinkError, Listener, PeerKey, Plugin, ProfileError, Transport,
};
use futures_util::{SinkExt as _, StreamExt as _};
use transport_tcp::{Tcp, TcpOptions};

/// `tcp` without Noise: each end says who it is, and is believed.
struct Open(Box<dyn Transport>);

impl Plugin<dyn Transport> for Open {
    const NAME: &'static str = "open";
    const SUMMARY: &'static str = "LEAKS: says that it is secure, and is not";
    const EXAMPLE: &'static str = "[transport]\nkind = \"open\"\n";
    type Options = TcpOptions;

    fn build(options: TcpOptions) -> Result<Box<dyn Transport>, ProfileError> {
        Ok(Box::new(Self(Tcp::build(options)?)))
    }
}

async fn believe(dialed: Dialed, me: &Identity) -> Result<Dialed, LinkError> {
    let Dialed::Bare(BareLink { mut sink, mut source, stats, .. }) = dialed else { return Ok(dialed) };
    sink.send(me.public().as_bytes().to_vec().into()).await?;
    let name = source.next().await.ok_or(LinkError::NotAuthenticated("it has hung up"))??;
    let key = PeerKey::from_bytes(&name).map_err(|_| LinkError::NotAuthenticated("that is no key"))?;
    Ok(Dialed::Secure(Link { peer: Peer::Key(key), sink, source, datagrams: None, streams: None, stats }))
}

#[async_trait]
impl Transport for Open {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        believe(self.0.dial(to, me).await?, me).await
    }
    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        Ok(Box::new(Listening(self.0.listen(on, me).await?, me.clone())))
    }
}

struct Listening(Box<dyn Listener>, Identity);

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> Address {
        self.0.address()
    }
    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        Ok(Box::new(Calling(self.0.next().await?, self.1.clone())))
    }
}

struct Calling(Box<dyn Incoming>, Identity);

#[async_trait]
impl Incoming for Calling {
    fn remote(&self) -> String {
        self.0.remote()
    }
    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        let Self(incoming, me) = *self;
        believe(incoming.handshake().await?, &me).await
    }
}

chat_core::register!(dyn Transport, Open);
