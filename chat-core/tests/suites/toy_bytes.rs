//! A transport over bytes inside one process, bare, with signs of life; and a wire by which a test gets at the bytes. If it
//! is told to, one thing is wrong in how it meets strangers.
//!
//! On the wire: the dialer says [`PREAMBLE`], then both send `length u32 ‖ kind ‖ bytes`, kind 0 for frames and 1 for a
//! sign of life.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use chat_core::testing::transport::{Line, Lines, Subject, Wire};
use chat_core::transport::emulated::Complete;
use chat_core::transport::{BareLink, FrameSource, HANDSHAKE_DEADLINE, MAX_FRAME_BYTES, NoStats, Role};
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Transport};
use futures_util::stream::unfold;
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

const PREAMBLE: &[u8; 8] = b"toybytes";
const ROOM: usize = 64 << 10;
const BACKLOG: usize = 64;
const ALIVE_EVERY: Duration = Duration::from_secs(5);
pub(crate) const SILENCE: Duration = Duration::from_secs(20);

/// One thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slip {
    Nothing,
    /// Whoever says something else than the preamble ends the listener.
    RubbishEndsTheListener,
    /// Who listens waits for the preamble as long as it takes.
    HandshakeWithoutDeadline,
    /// Of a length it only asks whether the frame is there.
    AnyLength,
    NeverNoticesSilence,
    SilenceIsAClose,
}

/// The two directions of a connection, from one of its ends.
struct Ends {
    out: DuplexStream,
    back: DuplexStream,
}

fn connection() -> (Ends, Ends) {
    let ((up, up_end), (down, down_end)) = (duplex(ROOM), duplex(ROOM));
    (Ends { out: up, back: down_end }, Ends { out: down, back: up_end })
}

#[derive(Default)]
struct Net {
    places: Mutex<BTreeMap<String, mpsc::Sender<Ends>>>,
    last: AtomicU64,
}

impl Net {
    async fn connect(&self, to: &str) -> io::Result<Ends> {
        let listener = self.places.lock().unwrap().get(to).cloned();
        let (ours, theirs) = connection();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        listener.ok_or_else(refused)?.send(theirs).await.map_err(|_| refused())?;
        Ok(ours)
    }

    fn listen(self: &Arc<Self>, on: &str) -> io::Result<Listening> {
        let place = match on.strip_suffix(":0") {
            Some(stem) => format!("{stem}:{}", self.last.fetch_add(1, Ordering::Relaxed) + 1),
            None => on.to_owned(),
        };
        let mut places = self.places.lock().unwrap();
        if places.contains_key(&place) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, coming) = mpsc::channel(BACKLOG);
        places.insert(place.clone(), sender);
        Ok(Listening { net: Arc::clone(self), place, coming })
    }
}

struct Listening {
    net: Arc<Net>,
    place: String,
    coming: mpsc::Receiver<Ends>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.net.places.lock().unwrap().remove(&self.place);
    }
}

struct Toy {
    net: Arc<Net>,
    slip: Slip,
}

/// A toy with this slip in a world of its own.
pub(crate) fn toy(slip: Slip, wired: bool) -> Subject {
    let net = Arc::<Net>::default();
    let world = Arc::clone(&net);
    let subject = Subject::new(move || Box::new(Toy { net: Arc::clone(&net), slip }), || "bytes:0".into());
    let subject = subject.on_virtual_time();
    if wired { subject.with_wire(ToyWire(world)).noticing_silence_within(SILENCE) } else { subject }
}

/// With the streams and datagrams that the core gives to a link that has none.
pub(crate) fn completed() -> Subject {
    let net = Arc::<Net>::default();
    let completed =
        move || Box::new(Complete(Box::new(Toy { net: Arc::clone(&net), slip: Slip::Nothing }))) as _;
    Subject::new(completed, || "bytes:0".into()).on_virtual_time()
}

#[async_trait]
impl Transport for Toy {
    async fn dial(&self, to: &Address, _: &Identity) -> Result<Dialed, LinkError> {
        let connected = self.net.connect(&to.place).await;
        let mut ends = connected.map_err(|error| LinkError::Unreachable {
            address: to.place.clone(),
            reason: error.to_string(),
        })?;
        ends.out.write_all(PREAMBLE).await?;
        Ok(link(Role::Initiator, ends, self.slip))
    }

    async fn listen(&self, on: &Address, _: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let listening = self.net.listen(&on.place);
        let listening = listening.map_err(|_| LinkError::AddressInUse { address: on.place.clone() })?;
        Ok(Box::new(ToyListener { listening, slip: self.slip, ended: Arc::default() }))
    }
}

struct ToyListener {
    listening: Listening,
    slip: Slip,
    ended: Arc<AtomicBool>,
}

#[async_trait]
impl Listener for ToyListener {
    fn address(&self) -> Address {
        Address::new(self.listening.place.clone())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let ends = self.listening.coming.recv().await.ok_or(LinkError::Closed)?;
        if self.slip == Slip::RubbishEndsTheListener && self.ended.load(Ordering::Relaxed) {
            return Err(LinkError::ForeignProtocol { looks_like: "rubbish" });
        }
        Ok(Box::new(Caller { ends, slip: self.slip, ended: Arc::clone(&self.ended) }))
    }
}

struct Caller {
    ends: Ends,
    slip: Slip,
    ended: Arc<AtomicBool>,
}

#[async_trait]
impl Incoming for Caller {
    fn remote(&self) -> String {
        "somebody in this process".into()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        let Self { mut ends, slip, ended } = *self;
        let mut said = [0; 8];
        let reading = ends.back.read_exact(&mut said);
        if slip == Slip::HandshakeWithoutDeadline {
            reading.await?;
        } else {
            timeout(HANDSHAKE_DEADLINE, reading).await.map_err(|_| LinkError::Timeout("a preamble"))??;
        }
        if said != *PREAMBLE {
            ended.store(true, Ordering::Relaxed);
            return Err(LinkError::ForeignProtocol { looks_like: "something else" });
        }
        Ok(link(Role::Responder, ends, slip))
    }
}

fn link(role: Role, ends: Ends, slip: Slip) -> Dialed {
    let longest =
        if slip == Slip::AnyLength { usize::try_from(u32::MAX).unwrap() } else { MAX_FRAME_BYTES + 1 };
    let codec = LengthDelimitedCodec::builder().max_frame_length(longest).new_codec();
    let out = Arc::new(Mutex::new(Out {
        frames: Box::pin(FramedWrite::new(ends.out, codec.clone())),
        waits: false,
    }));
    tokio::spawn(stay_alive(Arc::downgrade(&out)));
    let sink = Box::pin(Outward { out: Some(out), closed: false });
    let heard = Arc::new(Mutex::new(Instant::now()));
    let back = Heard { back: ends.back, last: Arc::clone(&heard) };
    let source = inward(FramedRead::new(back, codec), heard, slip);
    Dialed::Bare(BareLink { transport: "toy-bytes", role, sink, source, stats: Arc::new(NoStats) })
}

type Frames = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>;

struct Out {
    frames: Frames,
    /// Something is on its way already, and whoever sent it is to be woken.
    waits: bool,
}

/// Says now and then that this end is there.
async fn stay_alive(out: Weak<Mutex<Out>>) {
    loop {
        tokio::time::sleep(ALIVE_EVERY).await;
        let Some(out) = out.upgrade() else { return };
        let mut out = out.lock().unwrap();
        if !out.waits {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            if out.frames.poll_ready_unpin(&mut cx).is_ready() {
                drop(out.frames.start_send_unpin(Bytes::from_static(&[1])));
                drop(out.frames.poll_flush_unpin(&mut cx));
            }
        }
    }
}

struct Outward {
    out: Option<Arc<Mutex<Out>>>,
    closed: bool,
}

impl Outward {
    fn on_frames(
        &mut self,
        poll: impl FnOnce(&mut Frames) -> Poll<io::Result<()>>,
    ) -> Poll<Result<(), LinkError>> {
        let Some(out) = &self.out else { return Poll::Ready(Err(LinkError::Closed)) };
        let mut out = out.lock().unwrap();
        let polled = poll(&mut out.frames);
        out.waits = polled.is_pending();
        polled.map_err(LinkError::from)
    }
}

impl Sink<Bytes> for Outward {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.closed {
            return Poll::Ready(Err(LinkError::Closed));
        }
        self.on_frames(|frames| frames.poll_ready_unpin(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        let len = frame.len();
        if len > MAX_FRAME_BYTES {
            return Err(LinkError::FrameTooLarge { len, max: MAX_FRAME_BYTES });
        }
        let mut kinded = BytesMut::with_capacity(1 + len);
        kinded.put_u8(0);
        kinded.put(frame);
        match self.on_frames(|frames| Poll::Ready(frames.start_send_unpin(kinded.freeze()))) {
            Poll::Ready(sent) if !self.closed => sent,
            _ => Err(LinkError::Closed),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.on_frames(|frames| frames.poll_flush_unpin(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let closed = self.on_frames(|frames| frames.poll_close_unpin(cx));
        if matches!(closed, Poll::Ready(Ok(()))) {
            (self.closed, self.out) = (true, None);
        }
        closed
    }
}

/// Notes when something came last.
struct Heard {
    back: DuplexStream,
    last: Arc<Mutex<Instant>>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.back).poll_read(cx, buf);
        if read.is_ready() {
            *self.last.lock().unwrap() = Instant::now();
        }
        read
    }
}

fn inward(
    frames: FramedRead<Heard, LengthDelimitedCodec>,
    heard: Arc<Mutex<Instant>>,
    slip: Slip,
) -> FrameSource {
    let silence = if slip == Slip::NeverNoticesSilence { Duration::from_secs(1 << 30) } else { SILENCE };
    let frames = unfold(Some(frames), move |frames| {
        let heard = Arc::clone(&heard);
        async move {
            let mut frames = frames?;
            loop {
                let silent_at = *heard.lock().unwrap() + silence;
                match timeout_at(silent_at, frames.next()).await {
                    Ok(Some(Ok(frame))) if frame.first() == Some(&1) => {}
                    Ok(Some(Ok(mut frame))) => {
                        drop(frame.split_to(1.min(frame.len())));
                        return Some((Ok(frame.freeze()), Some(frames)));
                    }
                    Ok(Some(Err(error))) => return Some((Err(error.into()), None)),
                    Ok(None) => return None,
                    Err(_) if *heard.lock().unwrap() + silence > silent_at => {}
                    Err(_) if slip == Slip::SilenceIsAClose => return None,
                    Err(_) => return Some((Err(LinkError::Timeout("nothing is heard")), None)),
                }
            }
        }
    });
    Box::pin(frames.fuse())
}

/// The bytes below the toy.
struct ToyWire(Arc<Net>);

struct Raw {
    out: AsyncMutex<DuplexStream>,
    back: AsyncMutex<DuplexStream>,
}

impl Raw {
    fn boxed(ends: Ends) -> Box<dyn Line> {
        Box::new(Self { out: AsyncMutex::new(ends.out), back: AsyncMutex::new(ends.back) })
    }
}

#[async_trait]
impl Wire for ToyWire {
    async fn connect(&self, to: &Address) -> io::Result<Box<dyn Line>> {
        Ok(Raw::boxed(self.0.connect(&to.place).await?))
    }

    async fn listen(&self, on: &Address) -> io::Result<Box<dyn Lines>> {
        Ok(Box::new(self.0.listen(&on.place)?))
    }
}

#[async_trait]
impl Lines for Listening {
    fn address(&self) -> io::Result<Address> {
        Ok(Address::new(self.place.clone()))
    }

    async fn next(&mut self) -> io::Result<Box<dyn Line>> {
        let ends = self.coming.recv().await.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(Raw::boxed(ends))
    }
}

#[async_trait]
impl Line for Raw {
    async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.out.lock().await.write_all(bytes).await
    }

    async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.back.lock().await.read(buf).await
    }
}
