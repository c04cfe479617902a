//! What is compared: each of our transports, and the library beneath it by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use chat_core::profile::Options;
use chat_core::transport::Transport;
use chat_core::{Address, Dialed, Identity, Incoming, Listener, Registry};
use clap::ValueEnum;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::RandomConnectionIdGenerator;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use transport_certificates::Certificates;
use {transport_quic as _, transport_tcp as _, transport_tls as _, transport_udp_arq as _};

use super::pipe::{Framed, Pipe, Sealed};
use crate::Fault;

/// What the libraries speak inside TLS: they talk to themselves.
const ALPN: &[u8] = b"bench/1";
/// By identity, as ours: the name means nothing.
const NO_NAME: &str = "bench.invalid";

/// One way to carry frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stack {
    TokioTcp,
    /// Our frames over TCP, without the Noise that they are never used without.
    TcpFrames,
    TokioSnow,
    Tcp,
    TokioRustls,
    Tls,
    Quinn,
    Quic,
    UdpArq,
}

impl Stack {
    /// Each behind the one that it is held against.
    pub(crate) const ALL: [Self; 9] = [
        Self::TokioTcp,
        Self::TcpFrames,
        Self::TokioSnow,
        Self::Tcp,
        Self::TokioRustls,
        Self::Tls,
        Self::Quinn,
        Self::Quic,
        Self::UdpArq,
    ];

    /// The bare library that it is held against; none for a bare library.
    pub(crate) fn peer(self) -> Option<Self> {
        match self {
            Self::TcpFrames => Some(Self::TokioTcp),
            Self::Tcp => Some(Self::TokioSnow),
            Self::Tls => Some(Self::TokioRustls),
            Self::Quic | Self::UdpArq => Some(Self::Quinn),
            Self::TokioTcp | Self::TokioSnow | Self::TokioRustls | Self::Quinn => None,
        }
    }

    /// As tables and plots call it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::TokioTcp => "tokio TCP",
            Self::TcpFrames => "tcp without Noise",
            Self::TokioSnow => "tokio TCP + snow",
            Self::Tcp => "tcp",
            Self::TokioRustls => "tokio-rustls",
            Self::Tls => "tls",
            Self::Quinn => "quinn",
            Self::Quic => "quic",
            Self::UdpArq => "udp-arq",
        }
    }

    /// As the command line calls it.
    pub(crate) fn argument(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn is_udp(self) -> bool {
        matches!(self, Self::Quinn | Self::Quic | Self::UdpArq)
    }

    fn plugin(self) -> Result<Box<dyn Transport>, Fault> {
        let kind = if self == Self::TcpFrames { Self::Tcp.label() } else { self.label() };
        let options = Options::parse_table(&format!("[transport]\nkind = \"{kind}\"\n"), "transport")?;
        Ok(Registry::linked()?.build::<dyn Transport>(&options)?)
    }

    pub(crate) async fn listen(self) -> Result<Listening, Fault> {
        let (me, any) = (Identity::from_seed(&[2; 32]), SocketAddr::from(([127, 0, 0, 1], 0)));
        let serving = || Certificates::default().serving(&me, ALPN)?.config();
        let sort = match self {
            Self::TokioTcp => Sort::Tcp(TcpListener::bind(any).await?),
            Self::TokioSnow => Sort::Snow(TcpListener::bind(any).await?, lasting(2)?),
            Self::TokioRustls => {
                let (config, _) = serving()?;
                Sort::Tls(TcpListener::bind(any).await?, TlsAcceptor::from(Arc::new(config)))
            }
            Self::Quinn => {
                let crypto = QuicServerConfig::try_from(serving()?.0)?;
                let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
                let mut ids = quinn::EndpointConfig::default();
                // Its own default has ids of 24 bits, on which one dial in a crowd falls now and then, and waits for ever.
                ids.cid_generator(|| Box::new(RandomConnectionIdGenerator::default()));
                let (socket, runtime) = (std::net::UdpSocket::bind(any)?, Arc::new(quinn::TokioRuntime));
                Sort::Quinn(quinn::Endpoint::new(ids, Some(config), socket, runtime)?)
            }
            ours => {
                let listener = ours.plugin()?.listen(&Address::new(any.to_string()), &me).await?;
                Sort::Ours { listener, bare: ours == Self::TcpFrames, me }
            }
        };
        Ok(Listening(sort))
    }

    /// Not yet at any address.
    pub(crate) fn dialer(self) -> Result<Dialer, Fault> {
        let me = Identity::from_seed(&[1; 32]);
        let client = || Certificates::default().client(&me, None, ALPN);
        Ok(match self {
            Self::TokioTcp => Dialer::Tcp,
            Self::TokioSnow => Dialer::Snow(lasting(1)?),
            Self::TokioRustls => Dialer::Tls(TlsConnector::from(Arc::new(client()?.0))),
            Self::Quinn => {
                let crypto = QuicClientConfig::try_from(client()?.0)?;
                Dialer::Quinn(quinn::ClientConfig::new(Arc::new(crypto)))
            }
            ours => Dialer::Ours { plugin: ours.plugin()?, bare: ours == Self::TcpFrames, me },
        })
    }
}

/// A key of Ed25519 for a handshake that has none of its own.
fn lasting(seed: u8) -> Result<Arc<Ed25519KeyPair>, Fault> {
    Ok(Arc::new(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).map_err(|_| "no key")?))
}

/// Somebody who listens.
pub(crate) struct Listening(Sort);

enum Sort {
    Tcp(TcpListener),
    Snow(TcpListener, Arc<Ed25519KeyPair>),
    Tls(TcpListener, TlsAcceptor),
    Quinn(quinn::Endpoint),
    Ours { listener: Box<dyn Listener>, bare: bool, me: Identity },
}

/// Somebody who came, before the handshake.
pub(crate) enum Arrival {
    Tcp(TcpStream),
    Snow(TcpStream, Arc<Ed25519KeyPair>),
    Tls(TcpStream, TlsAcceptor),
    Quinn(Box<quinn::Incoming>),
    Ours { incoming: Box<dyn Incoming>, bare: bool, me: Identity },
}

impl Listening {
    pub(crate) fn address(&self) -> Result<SocketAddr, Fault> {
        Ok(match &self.0 {
            Sort::Tcp(socket) | Sort::Snow(socket, _) | Sort::Tls(socket, _) => socket.local_addr()?,
            Sort::Quinn(endpoint) => endpoint.local_addr()?,
            Sort::Ours { listener, .. } => listener.address().place.parse()?,
        })
    }

    pub(crate) async fn next(&mut self) -> Result<Arrival, Fault> {
        Ok(match &mut self.0 {
            Sort::Tcp(socket) => Arrival::Tcp(socket.accept().await?.0),
            Sort::Snow(socket, lasting) => Arrival::Snow(socket.accept().await?.0, Arc::clone(lasting)),
            Sort::Tls(socket, acceptor) => Arrival::Tls(socket.accept().await?.0, acceptor.clone()),
            Sort::Quinn(endpoint) => loop {
                let incoming = endpoint.accept().await.ok_or("the endpoint has ended")?;
                if incoming.remote_address_validated() {
                    break Arrival::Quinn(Box::new(incoming));
                }
                // As ours: nothing is kept for who does not get mail at its address.
                incoming.retry()?;
            },
            Sort::Ours { listener, bare, me } => {
                Arrival::Ours { incoming: listener.next().await?, bare: *bare, me: me.clone() }
            }
        })
    }
}

impl Arrival {
    pub(crate) async fn handshake(self) -> Result<Pipe, Fault> {
        Ok(match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                Pipe::Tcp(Framed::new(stream))
            }
            Self::Snow(stream, lasting) => {
                stream.set_nodelay(true)?;
                Pipe::Snow(Box::new(Sealed::accept(stream, &lasting).await?))
            }
            Self::Tls(stream, acceptor) => {
                stream.set_nodelay(true)?;
                let stream = acceptor.accept(stream).await?;
                transport_certificates::proved(stream.get_ref().1.peer_certificates())?;
                Pipe::Tls(Box::new(Framed::new(TlsStream::Server(stream))))
            }
            Self::Quinn(incoming) => {
                let connection = (*incoming).await?;
                let (send, receive) = connection.accept_bi().await?;
                Pipe::quinn(connection, send, receive)
            }
            Self::Ours { incoming, bare: true, .. } => Pipe::of(incoming.handshake().await?)?,
            Self::Ours { incoming, bare: false, me } => {
                Pipe::of(Dialed::Secure(transport_noise::accept(incoming, &me).await?))?
            }
        })
    }
}

/// Somebody who dials.
pub(crate) enum Dialer {
    Tcp,
    Snow(Arc<Ed25519KeyPair>),
    Tls(TlsConnector),
    Quinn(quinn::ClientConfig),
    Ours { plugin: Box<dyn Transport>, bare: bool, me: Identity },
}

impl Dialer {
    pub(crate) async fn dial(&self, to: SocketAddr) -> Result<Pipe, Fault> {
        let connect = async || {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok::<_, Fault>(stream)
        };
        Ok(match self {
            Self::Tcp => Pipe::Tcp(Framed::new(connect().await?)),
            Self::Snow(lasting) => Pipe::Snow(Box::new(Sealed::dial(connect().await?, lasting).await?)),
            Self::Tls(connector) => {
                let stream = connector.connect(ServerName::try_from(NO_NAME)?, connect().await?).await?;
                transport_certificates::proved(stream.get_ref().1.peer_certificates())?;
                Pipe::Tls(Box::new(Framed::new(TlsStream::Client(stream))))
            }
            Self::Quinn(config) => {
                // As ours, and as anybody who has one server: a socket for the one connection there is.
                let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
                let connection = endpoint.connect_with(config.clone(), to, NO_NAME)?.await?;
                let (send, receive) = connection.open_bi().await?;
                Pipe::quinn(connection, send, receive)
            }
            Self::Ours { plugin, bare: true, me } => {
                Pipe::of(plugin.dial(&Address::new(to.to_string()), me).await?)?
            }
            Self::Ours { plugin, bare: false, me } => {
                let link = transport_noise::dial(&**plugin, &Address::new(to.to_string()), me).await?;
                Pipe::of(Dialed::Secure(link))?
            }
        })
    }
}
