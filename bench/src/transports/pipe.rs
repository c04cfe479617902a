//! Frames in and out, over a link of ours or over a library with the least around it: a length in front, one buffer to read
//! into, nothing kept or copied out.

use bytes::{BufMut as _, Bytes, BytesMut};
use chat_core::Dialed;
use chat_core::transport::{BareLink, FrameSink, FrameSource, Link};
use futures_util::{SinkExt as _, StreamExt as _};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Join};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::Fault;

const PREFIX_BYTES: usize = 4;
/// What a reader begins with, and what it reads into once frames are long.
const FIRST_READ_BYTES: usize = 1 << 10;
const READ_BYTES: usize = 128 << 10;
/// As our own layer: `transport_noise`.
const NOISE: &str = "Noise_XX_25519_AESGCM_SHA256";
const TAG_BYTES: usize = 16;
/// Of Ed25519.
const KEY_BYTES: usize = 32;
/// Longest message of a handshake.
const HANDSHAKE_BYTES: usize = 512;

/// A frame to send, ready for everybody: with its length in front.
#[derive(Debug, Clone)]
pub(crate) struct Frame(Bytes);

impl Frame {
    pub(crate) fn new(data: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(PREFIX_BYTES + data.len());
        // No frame of these measurements is longer than that.
        frame.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
        frame.put_slice(data);
        Self(frame.freeze())
    }

    fn data(&self) -> Bytes {
        self.0.slice(PREFIX_BYTES..)
    }
}

/// What is kept of a frame that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: usize,
    /// Its first bytes, or zeros.
    pub(crate) first: [u8; 16],
}

impl Head {
    fn of(data: &[u8]) -> Self {
        let mut first = [0; 16];
        first.iter_mut().zip(data).for_each(|(to, byte)| *to = *byte);
        Self { len: data.len(), first }
    }

    /// The number behind the first byte.
    pub(crate) fn number(&self) -> u64 {
        let [_, number @ ..] = self.first;
        number.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// One connection.
pub(crate) enum Pipe {
    Tcp(Framed<TcpStream>),
    Snow(Box<Sealed>),
    Tls(Box<Framed<TlsStream<TcpStream>>>),
    Quinn(Box<OneStream>),
    Ours { sink: FrameSink, source: FrameSource },
}

impl Pipe {
    pub(crate) fn of(dialed: Dialed) -> Result<Self, Fault> {
        let (Dialed::Bare(BareLink { sink, source, .. }) | Dialed::Secure(Link { sink, source, .. })) =
            dialed;
        Ok(Self::Ours { sink, source })
    }

    pub(crate) fn quinn(
        connection: quinn::Connection,
        send: quinn::SendStream,
        receive: quinn::RecvStream,
    ) -> Self {
        let stream = Framed::new(tokio::io::join(receive, send));
        Self::Quinn(Box::new(OneStream { stream, connection }))
    }

    /// Sends it and what was fed before.
    pub(crate) async fn send(&mut self, frame: &Frame) -> Result<(), Fault> {
        match self {
            Self::Ours { sink, .. } => Ok(sink.send(frame.data()).await?),
            _ => {
                self.feed(frame).await?;
                self.flush().await
            }
        }
    }

    /// Sends it, with others or alone.
    pub(crate) async fn feed(&mut self, frame: &Frame) -> Result<(), Fault> {
        match self {
            Self::Tcp(framed) => framed.io.write_all(&frame.0).await?,
            Self::Snow(sealed) => sealed.write(frame).await?,
            Self::Tls(framed) => framed.io.write_all(&frame.0).await?,
            Self::Quinn(one) => one.stream.io.write_all(&frame.0).await?,
            Self::Ours { sink, .. } => sink.feed(frame.data()).await?,
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        match self {
            Self::Tls(framed) => framed.io.flush().await?,
            Self::Ours { sink, .. } => sink.flush().await?,
            // They keep nothing back.
            Self::Tcp(_) | Self::Snow(_) | Self::Quinn(_) => {}
        }
        Ok(())
    }

    /// The next frame; none at the end.
    pub(crate) async fn recv(&mut self) -> Result<Option<Head>, Fault> {
        Ok(match self {
            Self::Tcp(framed) => framed.recv().await?.map(|data| Head::of(data)),
            Self::Snow(sealed) => sealed.recv().await?,
            Self::Tls(framed) => framed.recv().await?.map(|data| Head::of(data)),
            Self::Quinn(one) => one.stream.recv().await?.map(|data| Head::of(data)),
            Self::Ours { source, .. } => source.next().await.transpose()?.map(|frame| Head::of(&frame)),
        })
    }
}

/// Frames over a stream of bytes.
pub(crate) struct Framed<S> {
    io: S,
    buf: Vec<u8>,
    /// What of the buffer was read, and not taken yet.
    start: usize,
    end: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, buf: Vec::new(), start: 0, end: 0 }
    }

    async fn recv(&mut self) -> Result<Option<&mut [u8]>, Fault> {
        loop {
            let read = &self.buf[self.start..self.end];
            let wanted = match read.first_chunk::<PREFIX_BYTES>() {
                None => PREFIX_BYTES,
                Some(&prefix) => {
                    let len = usize::try_from(u32::from_be_bytes(prefix))?;
                    if read.len() >= PREFIX_BYTES + len {
                        let from = self.start + PREFIX_BYTES;
                        self.start = from + len;
                        return Ok(Some(&mut self.buf[from..from + len]));
                    }
                    PREFIX_BYTES + len
                }
            };
            self.make_room(wanted);
            let room = &mut self.buf[self.end..];
            let read = self.io.read(room).await?;
            self.end += read;
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// For so many bytes from the first that was not taken.
    fn make_room(&mut self, wanted: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start + wanted > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if wanted > self.buf.len() {
            let is_short = wanted <= FIRST_READ_BYTES;
            self.buf.resize(if is_short { FIRST_READ_BYTES } else { wanted.max(READ_BYTES) }, 0);
        }
    }
}

/// A connection of QUIC with one stream.
pub(crate) struct OneStream {
    stream: Framed<Join<quinn::RecvStream, quinn::SendStream>>,
    connection: quinn::Connection,
}

impl Drop for OneStream {
    fn drop(&mut self) {
        self.connection.close(0_u32.into(), b"");
    }
}

/// Noise of `snow` over TCP, a message a frame. As with `tcp`, either end signs what was said before with a key that lasts.
pub(crate) struct Sealed {
    framed: Framed<TcpStream>,
    noise: snow::TransportState,
    /// What is sealed, or opened.
    buf: Vec<u8>,
}

impl Sealed {
    pub(crate) async fn dial(stream: TcpStream, lasting: &Ed25519KeyPair) -> Result<Self, Fault> {
        Self::handshake(stream, true, lasting).await
    }

    pub(crate) async fn accept(stream: TcpStream, lasting: &Ed25519KeyPair) -> Result<Self, Fault> {
        Self::handshake(stream, false, lasting).await
    }

    async fn handshake(stream: TcpStream, dials: bool, lasting: &Ed25519KeyPair) -> Result<Self, Fault> {
        let key = snow::Builder::new(NOISE.parse()?).generate_keypair()?.private;
        let builder = snow::Builder::new(NOISE.parse()?).local_private_key(&key)?;
        let mut noise = if dials { builder.build_initiator()? } else { builder.build_responder()? };
        let (mut framed, mut buf) = (Framed::new(stream), vec![0; HANDSHAKE_BYTES]);
        let mut is_first = true;
        while !noise.is_handshake_finished() {
            let said = noise.get_handshake_hash().to_vec();
            if noise.is_my_turn() {
                // The first message is in the clear, and says nothing of who sends it.
                let proof = match is_first {
                    true => Vec::new(),
                    false => [lasting.public_key().as_ref(), lasting.sign(&said).as_ref()].concat(),
                };
                let len = noise.write_message(&proof, &mut buf)?;
                framed.io.write_all(&Frame::new(&buf[..len]).0).await?;
            } else {
                let message = framed.recv().await?.ok_or("hung up in the handshake")?;
                let len = noise.read_message(message, &mut buf)?;
                if !is_first {
                    let (public, signature) = buf[..len].split_at_checked(KEY_BYTES).ok_or("no proof")?;
                    let public = UnparsedPublicKey::new(&ED25519, public);
                    public.verify(&said, signature).map_err(|_| "a forged proof")?;
                }
            }
            is_first = false;
        }
        Ok(Self { framed, noise: noise.into_transport_mode()?, buf: Vec::new() })
    }

    async fn write(&mut self, frame: &Frame) -> Result<(), Fault> {
        let data = &frame.0[PREFIX_BYTES..];
        let len = data.len() + TAG_BYTES;
        if self.buf.len() < PREFIX_BYTES + len {
            self.buf.resize(PREFIX_BYTES + len, 0);
        }
        self.noise.write_message(data, &mut self.buf[PREFIX_BYTES..])?;
        self.buf[..PREFIX_BYTES].copy_from_slice(&u32::try_from(len)?.to_be_bytes());
        Ok(self.framed.io.write_all(&self.buf[..PREFIX_BYTES + len]).await?)
    }

    async fn recv(&mut self) -> Result<Option<Head>, Fault> {
        let Some(message) = self.framed.recv().await? else { return Ok(None) };
        if self.buf.len() < message.len() {
            self.buf.resize(message.len(), 0);
        }
        let len = self.noise.read_message(message, &mut self.buf)?;
        Ok(Some(Head::of(&self.buf[..len])))
    }
}
