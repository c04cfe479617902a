//! An established connection, sans-IO: datagrams and time in, datagrams and deadlines out. Nothing in it
//! reads a clock, opens a socket or draws randomness that was not handed in.
//!
//! The owner calls [`handle_datagram`](Connection::handle_datagram) for what the network brings,
//! [`handle_timeout`](Connection::handle_timeout) when [`poll_timeout`](Connection::poll_timeout) says so, and
//! after each of these, and after any other call, [`poll_transmit`](Connection::poll_transmit) until it has
//! nothing more and [`poll_frame`](Connection::poll_frame) as long as somebody reads.

mod receive;
mod timers;
mod transmit;

use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::transport::{LinkFigures, MAX_FRAME_BYTES, Role};
use chat_core::{Entropy, LinkError, PeerKey};

use crate::ack::Receipts;
use crate::chunk::CloseCode;
use crate::config::Config;
use crate::congestion::{Controller, NewReno};
use crate::handshake::Established;
use crate::loss::SentPackets;
use crate::packet::ConnectionId;
use crate::protect::{ReceiveKeys, SendKeys};
use crate::rtt::Rtt;
use crate::stream::{ReceiveStream, SendStream};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides are done, or nobody here uses it any more.
    Local,
    /// The peer is done.
    Peer,
    /// The peer gave it up with frames undelivered, or says that we broke the protocol.
    PeerGaveUp,
    /// Something took too long.
    Timeout(&'static str),
    /// The peer broke the protocol.
    Protocol(&'static str),
    /// A key reached its limit.
    KeyLimit,
    /// The network says that nobody is there, and nobody answers.
    Unreachable,
    /// The task that drove it is gone, with the runtime or the socket.
    Dropped,
}

impl End {
    /// As the link's halves report it.
    pub(crate) fn error(self) -> LinkError {
        let aborted = |text| LinkError::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, text));
        match self {
            Self::Local | Self::Peer => LinkError::Closed,
            Self::PeerGaveUp => aborted("the other end gave the link up"),
            Self::Timeout(what) => LinkError::Timeout(what),
            Self::Protocol(what) => aborted(what),
            Self::KeyLimit => aborted("a packet key reached its limit"),
            Self::Unreachable => aborted("the other end is gone: its port is closed"),
            Self::Dropped => aborted("the task of the socket has ended"),
        }
    }

    /// What the peer is told, if it can be told anything.
    fn close_code(self) -> Option<CloseCode> {
        match self {
            Self::Local => Some(CloseCode::Done),
            Self::Timeout(_) => Some(CloseCode::Abandoned),
            Self::Protocol(_) => Some(CloseCode::Protocol),
            Self::KeyLimit => Some(CloseCode::KeyLimit),
            Self::Peer | Self::PeerGaveUp | Self::Unreachable | Self::Dropped => None,
        }
    }
}

/// Why a frame was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// Too much waits already; the frame comes back.
    Full(Bytes),
    /// Longer than [`MAX_FRAME_BYTES`].
    TooLarge(usize),
    /// The connection is over, or was finished.
    Closed,
}

/// Where a connection is in its life.
#[derive(Debug)]
enum Life {
    Open,
    /// We said CLOSE and say it again to whoever still sends, until this moment.
    Closing {
        until: Instant,
        answers: u32,
        say: bool,
        code: CloseCode,
    },
    /// The peer said CLOSE; late packets are swallowed until this moment (RFC 9000 §10.2.2).
    Draining {
        until: Instant,
    },
    Closed,
}

/// Signs, without proof, that the peer is gone: ICMP errors and UNKNOWN packets.
#[derive(Debug, Default)]
struct Hints {
    count: u32,
    since: Option<Instant>,
    probe_at: Option<Instant>,
}

/// Counters for [`LinkFigures`].
#[derive(Debug, Default, Clone, Copy)]
struct Counters {
    lost_packets: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

/// One connection.
pub(crate) struct Connection {
    config: Config,
    entropy: Box<dyn Entropy>,
    peer: PeerKey,
    role: Role,
    /// The peer's id, in front of each of our packets.
    remote: ConnectionId,
    keys: SendKeys,
    opener: ReceiveKeys,
    receipts: Receipts,
    rtt: Rtt,
    sent: SentPackets,
    congestion: Box<dyn Controller>,
    outgoing: SendStream,
    incoming: ReceiveStream,

    /// The FINISH packet, until the responder has shown that it has it.
    finish_packet: Option<Vec<u8>>,
    finish_due: bool,
    ping_due: bool,
    credit_due: bool,
    /// Packets that may leave whatever the congestion window says (RFC 9002 §6.2.4).
    probe_packets: u32,
    /// Packets since the last that asked for an acknowledgement.
    silent_packets: u32,
    /// The window, not the application, held us back when we last sent.
    window_limited: bool,
    /// Numbers until one is left out.
    until_skip: u64,

    established: Instant,
    last_received: Instant,
    /// When this process went on after it had been stopped; what it did not hear before then says nothing.
    awake_since: Instant,
    last_eliciting_sent: Instant,
    hints: Hints,

    /// Nobody reads or writes any more: close as soon as what was sent has arrived.
    released: bool,
    /// When a finished sender stops waiting for the peer.
    finish_by: Option<Instant>,
    life: Life,
    end: Option<End>,
    counters: Counters,
}

impl Connection {
    /// A connection after its handshake.
    pub(crate) fn new(
        now: Instant,
        config: Config,
        established: Established,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        let mut rtt = Rtt::new();
        if let Some(sample) = established.round_trip {
            rtt.sample(sample, Duration::ZERO, Duration::ZERO);
        }
        Self {
            congestion: Box::new(NewReno::new(config.mtu, config.window)),
            receipts: Receipts::new(config.window),
            config,
            entropy,
            peer: established.peer,
            role: established.role,
            remote: established.remote,
            keys: established.send,
            opener: established.receive,
            rtt,
            sent: SentPackets::new(0),
            outgoing: SendStream::new(),
            incoming: ReceiveStream::new(),
            finish_due: established.finish.is_some(),
            finish_packet: established.finish,
            // The first packet says that the handshake is through, even if there is nothing else to say.
            ping_due: true,
            credit_due: false,
            probe_packets: 0,
            silent_packets: 0,
            window_limited: false,
            until_skip: transmit::FIRST_SKIP,
            established: now,
            last_received: now,
            awake_since: now,
            last_eliciting_sent: now,
            hints: Hints::default(),
            released: false,
            finish_by: None,
            life: Life::Open,
            end: None,
            counters: Counters::default(),
        }
    }

    /// The peer whose identity the handshake proved.
    pub(crate) fn peer(&self) -> PeerKey {
        self.peer
    }

    /// The id the peer gave itself.
    pub(crate) fn remote_id(&self) -> ConnectionId {
        self.remote
    }

    /// How it ended, if it has. Frames that arrived before can still be read.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.life, Life::Closed)
    }

    /// Cost of frames not yet acknowledged.
    pub(crate) fn buffered(&self) -> u64 {
        self.outgoing.buffered()
    }

    /// Whether [`send`](Self::send) takes a frame now.
    pub(crate) fn can_send(&self) -> bool {
        let open = matches!(self.life, Life::Open) && !self.outgoing.is_finishing();
        open && self.outgoing.buffered() < self.config.send_buffer
    }

    /// Takes a frame, to be delivered once and in order.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the frame back: try again when something was acknowledged.
    pub(crate) fn send(&mut self, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(SendError::TooLarge(frame.len()));
        }
        if !matches!(self.life, Life::Open) || self.outgoing.is_finishing() {
            return Err(SendError::Closed);
        }
        if !self.can_send() {
            return Err(SendError::Full(frame));
        }
        self.outgoing.push(frame);
        Ok(())
    }

    /// The next frame that arrived, in order.
    pub(crate) fn poll_frame(&mut self) -> Option<Bytes> {
        let frame = self.incoming.pop();
        if frame.is_some() && self.incoming.limit_to_announce().is_some() {
            self.credit_due = true;
        }
        frame
    }

    /// Whether the peer has finished and everything it sent was read.
    pub(crate) fn is_read_to_the_end(&self) -> bool {
        self.incoming.is_finished()
    }

    /// Whether the peer has everything that was sent, and knows that nothing follows.
    pub(crate) fn is_delivered(&self) -> bool {
        self.outgoing.is_finished()
    }

    /// The sender wants to finish: from now on, what does not arrive within [`Config::linger`] is given up,
    /// and the connection with it. Frames that wait elsewhere may still be sent before
    /// [`finish`](Self::finish).
    pub(crate) fn linger(&mut self, now: Instant) {
        if !self.outgoing.is_finished() {
            self.finish_by.get_or_insert(now + self.config.linger);
        }
    }

    /// No frame follows; the peer's [`poll_frame`](Self::poll_frame) ends after the last one. Lingers.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.linger(now);
        self.outgoing.finish();
    }

    /// Nobody reads and nobody writes any more: finishes, then closes.
    pub(crate) fn release(&mut self, now: Instant) {
        self.finish(now);
        self.released = true;
        self.close_if_done(now);
    }

    /// Figures of the path.
    pub(crate) fn figures(&self) -> LinkFigures {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        LinkFigures {
            srtt_us: self.rtt.measured().map(micros),
            lost_packets: Some(self.counters.lost_packets),
            retransmits: Some(self.outgoing.retransmits()),
            sent_bytes: Some(self.counters.sent_bytes),
            received_bytes: Some(self.counters.received_bytes),
            mtu: u32::try_from(self.config.mtu).ok(),
            cwnd_bytes: Some(self.congestion.window()),
        }
    }

    /// Closes if nobody needs the connection: the peer has everything, and either it has finished too or
    /// nobody listens here.
    fn close_if_done(&mut self, now: Instant) {
        if self.outgoing.is_finished() && (self.released || self.incoming.is_finished()) {
            self.close(now, End::Local);
        }
    }

    fn close(&mut self, now: Instant, end: End) {
        if !matches!(self.life, Life::Open) {
            return;
        }
        self.end = Some(end);
        self.life = match end.close_code() {
            Some(code) => Life::Closing { until: self.silence(now), answers: 0, say: true, code },
            None => Life::Closed,
        };
    }

    /// How long late packets may come after a close: three probe timeouts (RFC 9000 §10.2).
    fn silence(&self, now: Instant) -> Instant {
        now + self.rtt.pto(crate::ack::MAX_ACK_DELAY) * 3
    }
}

/// What tests and fuzz targets look at, or begin otherwise.
#[cfg(any(test, feature = "fuzzing"))]
impl Connection {
    /// Cost of what is held for a reader.
    pub(crate) fn held(&self) -> u64 {
        self.incoming.held()
    }

    /// Packets of both directions are numbered from here.
    pub(crate) fn number_from(&mut self, first: u64) {
        self.sent = SentPackets::new(first);
        self.opener.expect_from(first);
    }
}

/// What tests look at.
#[cfg(test)]
impl Connection {
    /// Slots in the ring of sent packets.
    pub(crate) fn tracked(&self) -> usize {
        self.sent.tracked()
    }

    /// Ranges of packet numbers that the peer may not know to have arrived.
    pub(crate) fn unreported_ranges(&self) -> usize {
        self.receipts.ranges()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.sent.next_number()
    }

    /// Closes at once, whatever is under way.
    pub(crate) fn abort(&mut self, now: Instant, end: End) {
        self.close(now, end);
    }

    pub(crate) fn key_updates(&self) -> u64 {
        self.keys.updates()
    }
}
