//! What a connection is told at its beginning: the profile's options, and bounds that only tests change.

use std::net::SocketAddr;
use std::time::Duration;

use crate::packet::MIN_MTU;
use crate::protect::KeyLimits;

/// A peer on this machine costs nothing to ask, and its death is noticed that much sooner.
const LOOPBACK_KEEP_ALIVE: Duration = Duration::from_secs(1);
const LOOPBACK_SILENCE: Duration = Duration::from_secs(7);

/// Settings of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Longest datagram that is sent, in bytes.
    pub(crate) mtu: usize,
    /// Bound of the congestion window, in packets; 1 is stop-and-wait.
    pub(crate) window: Option<u32>,
    /// A fixed retransmission timeout instead of the measured one.
    pub(crate) rto: Option<Duration>,
    /// Probe timeouts in a row before the link is given up; none = [`Config::give_up`] alone decides.
    pub(crate) max_retries: Option<u32>,
    /// Silence after which a sign of life is sent.
    pub(crate) keep_alive: Duration,
    /// Silence after which a peer that was asked several times and did not answer is taken for gone. Does not
    /// count the time in which this process itself was stopped.
    pub(crate) silence: Duration,
    /// Silence after which the peer is taken for gone in any case.
    pub(crate) idle: Duration,
    /// Time without any acknowledgement, while something is in flight, after which the link is given up.
    pub(crate) give_up: Duration,
    /// Time that what was sent may take to arrive after the sender has finished.
    pub(crate) linger: Duration,
    /// Cost of messages that may wait or be on their way before `send` refuses.
    pub(crate) send_buffer: u64,
    pub(crate) keys: KeyLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mtu: MIN_MTU,
            window: None,
            rto: None,
            max_retries: None,
            keep_alive: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            give_up: Duration::from_secs(30),
            linger: Duration::from_secs(3),
            send_buffer: 1 << 20,
            keys: KeyLimits::default(),
        }
    }
}

impl Config {
    /// The settings of a connection with this address.
    pub(crate) fn towards(&self, remote: SocketAddr) -> Self {
        let mut config = self.clone();
        if remote.ip().to_canonical().is_loopback() {
            config.keep_alive = config.keep_alive.min(LOOPBACK_KEEP_ALIVE);
            config.silence = config.silence.min(LOOPBACK_SILENCE);
        }
        config
    }
}
