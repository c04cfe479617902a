//! A link from both of its ends, with datagrams and streams of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::LinkError;
use chat_core::transport::{
    BareLink, Datagrams, Dialed, FrameSink, FrameSource, Link, LinkFigures, LinkStats, Peer, Role, Streams,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::Fault;
use super::pipe::{Pipe, Shared, ToySink, ToySource};

const MAX_DATAGRAM: usize = 1200;
/// Datagrams that wait before further ones are dropped.
const MOST_DATAGRAMS: usize = 1000;
const MOST_STREAMS: usize = 100;

type Stream = (FrameSink, FrameSource);

/// One end of a link before it is known who is at the other.
pub(crate) struct End {
    fault: Fault,
    role: Role,
    sink: FrameSink,
    source: FrameSource,
    out: Arc<Pipe>,
    back: Arc<Pipe>,
    datagrams: Arc<ToyDatagrams>,
    streams: Arc<ToyStreams>,
}

/// Both ends of a link, the dialer's first.
pub(crate) fn pair(fault: Fault) -> (End, End) {
    let shared = Arc::new(Shared::default());
    let (up, down) = (Pipe::new(fault, true, &shared), Pipe::new(fault, true, &shared));
    *up.other.lock().unwrap() = Some(Arc::downgrade(&down));
    *down.other.lock().unwrap() = Some(Arc::downgrade(&up));
    let [a_datagrams, b_datagrams] = datagrams(fault, &shared);
    let [a_streams, b_streams] = streams(fault, &shared, &up);
    let end = |role, out: &Arc<Pipe>, back: &Arc<Pipe>, datagrams, streams| End {
        fault,
        role,
        sink: Box::pin(ToySink::new(Arc::clone(out))),
        source: Box::pin(ToySource::new(Arc::clone(back))),
        out: Arc::clone(out),
        back: Arc::clone(back),
        datagrams,
        streams,
    };
    let a = end(Role::Initiator, &up, &down, a_datagrams, a_streams);
    let b = end(Role::Responder, &down, &up, b_datagrams, b_streams);
    (a, b)
}

impl End {
    /// The direction that goes out.
    pub(crate) fn out(&self) -> &Arc<Pipe> {
        &self.out
    }

    /// As a bare link, or one with who is there.
    pub(crate) fn into_link(self, peer: Option<Peer>) -> Dialed {
        let Self { fault, role, sink, source, out, back, datagrams, streams } = self;
        let stats = Arc::new(ToyStats { fault, out, back });
        match peer {
            Some(peer) => Dialed::Secure(Link {
                peer,
                sink,
                source,
                datagrams: Some(datagrams),
                streams: Some(streams),
                stats,
            }),
            None => {
                let role = if fault == Fault::SwapsRoles { Role::Initiator } else { role };
                Dialed::Bare(BareLink { transport: "toy-transport", role, sink, source, stats })
            }
        }
    }
}

struct ToyStats {
    fault: Fault,
    out: Arc<Pipe>,
    back: Arc<Pipe>,
}

impl LinkStats for ToyStats {
    fn figures(&self) -> LinkFigures {
        let (sent, received) =
            (self.out.sent.load(Ordering::Relaxed), self.back.received.load(Ordering::Relaxed));
        let (sent, received) = match self.fault {
            Fault::FiguresShrink => (sent, u64::MAX / 2 - received),
            Fault::FiguresStandStill => (sent / 1_000_000, received),
            _ => (sent, received),
        };
        LinkFigures { sent_bytes: Some(sent), received_bytes: Some(received), ..LinkFigures::default() }
    }
}

struct ToyDatagrams {
    fault: Fault,
    shared: Arc<Shared>,
    out: mpsc::UnboundedSender<Bytes>,
    back: AsyncMutex<mpsc::UnboundedReceiver<Bytes>>,
    waiting: Arc<Mutex<usize>>,
    read: Arc<Mutex<usize>>,
    /// Keeps the channel open for ever.
    _open: Option<mpsc::UnboundedSender<Bytes>>,
}

fn datagrams(fault: Fault, shared: &Arc<Shared>) -> [Arc<ToyDatagrams>; 2] {
    let ((up, up_in), (down, down_in)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let (up_waits, down_waits) = (Arc::default(), Arc::default());
    let open = |to: &mpsc::UnboundedSender<_>| (fault == Fault::DatagramsOutliveTheLink).then(|| to.clone());
    let end = |out: &mpsc::UnboundedSender<_>, back, mine, theirs, open| {
        Arc::new(ToyDatagrams {
            fault,
            shared: Arc::clone(shared),
            out: out.clone(),
            back: AsyncMutex::new(back),
            waiting: mine,
            read: theirs,
            _open: open,
        })
    };
    [
        end(&up, down_in, Arc::clone(&up_waits), Arc::clone(&down_waits), open(&down)),
        end(&down, up_in, down_waits, up_waits, open(&up)),
    ]
}

#[async_trait]
impl Datagrams for ToyDatagrams {
    fn send(&self, datagram: Bytes) -> Result<(), LinkError> {
        let len = datagram.len();
        if len > MAX_DATAGRAM && self.fault != Fault::TakesAnyDatagram {
            return Err(LinkError::FrameTooLarge { len, max: MAX_DATAGRAM });
        }
        let mut waiting = self.waiting.lock().unwrap();
        if *waiting >= MOST_DATAGRAMS && self.fault != Fault::KeepsEveryDatagram {
            return Ok(());
        }
        *waiting += 1;
        self.shared.datagrams.fetch_add(len, Ordering::Relaxed);
        let altered = self.fault == Fault::AltersLongDatagrams && len == MAX_DATAGRAM;
        let datagram = if altered { Bytes::from(vec![0; len]) } else { datagram };
        self.out.send(datagram).map_err(|_| LinkError::Closed)
    }

    async fn recv(&self) -> Result<Bytes, LinkError> {
        let datagram = self.back.lock().await.recv().await.ok_or(LinkError::Closed)?;
        *self.read.lock().unwrap() -= 1;
        self.shared.datagrams.fetch_sub(datagram.len(), Ordering::Relaxed);
        Ok(datagram)
    }

    fn max_len(&self) -> usize {
        MAX_DATAGRAM
    }

    fn emulated(&self) -> bool {
        false
    }
}

struct ToyStreams {
    fault: Fault,
    shared: Arc<Shared>,
    main: Weak<Pipe>,
    out: mpsc::Sender<Stream>,
    back: AsyncMutex<mpsc::Receiver<Stream>>,
    last: Mutex<Option<Arc<Pipe>>>,
    opened: AtomicUsize,
    _open: Option<mpsc::Sender<Stream>>,
}

fn streams(fault: Fault, shared: &Arc<Shared>, main: &Arc<Pipe>) -> [Arc<ToyStreams>; 2] {
    let ((up, up_in), (down, down_in)) = (mpsc::channel(MOST_STREAMS), mpsc::channel(MOST_STREAMS));
    let open = |to: &mpsc::Sender<_>| (fault == Fault::StreamsOutliveTheLink).then(|| to.clone());
    let end = |out: &mpsc::Sender<_>, back, open| {
        Arc::new(ToyStreams {
            fault,
            shared: Arc::clone(shared),
            main: Arc::downgrade(main),
            out: out.clone(),
            back: AsyncMutex::new(back),
            last: Mutex::default(),
            opened: AtomicUsize::new(0),
            _open: open,
        })
    };
    [end(&up, down_in, open(&down)), end(&down, up_in, open(&up))]
}

#[async_trait]
impl Streams for ToyStreams {
    async fn open(&self) -> Result<Stream, LinkError> {
        let (there, back) =
            (Pipe::new(self.fault, false, &self.shared), Pipe::new(self.fault, false, &self.shared));
        *there.other.lock().unwrap() = match self.fault {
            Fault::StreamCloseEndsBothDirections => Some(Arc::downgrade(&back)),
            _ => Some(self.main.clone()),
        };
        if self.opened.fetch_add(1, Ordering::Relaxed) > 20 && self.fault == Fault::StreamsAreCountedForEver {
            return Err(LinkError::Timeout("a stream"));
        }
        let before = self.last.lock().unwrap().replace(Arc::clone(&there));
        *there.wrong.lock().unwrap() = before;
        there.mixes.store(self.fault == Fault::MixesStreams, Ordering::Relaxed);
        let stream = |out: &Arc<Pipe>, back: &Arc<Pipe>| -> Stream {
            (Box::pin(ToySink::new(Arc::clone(out))), Box::pin(ToySource::new(Arc::clone(back))))
        };
        let (ours, theirs) = (stream(&there, &back), stream(&back, &there));
        tokio::task::yield_now().await;
        match self.out.send(theirs).await {
            Err(untaken) if self.fault == Fault::UntakenStreamsHang => std::mem::forget(untaken),
            sent => sent.map_err(|_| LinkError::Closed)?,
        }
        Ok(ours)
    }

    async fn accept(&self) -> Result<Stream, LinkError> {
        let stream = self.back.lock().await.recv().await.ok_or(LinkError::Closed)?;
        if self.fault == Fault::AcceptTakesThenWaits {
            tokio::task::yield_now().await;
        }
        Ok(stream)
    }

    fn emulated(&self) -> bool {
        false
    }
}
