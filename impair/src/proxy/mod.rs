//! Proxies: the model between real sockets.

mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Figures, Impairment};

/// The longest that anything sleeps; then it looks again. The clock of the system can't count as far as a `Duration`.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// Pause after an error of a socket that may still be there at once (no file descriptors are left, for example).
const PAUSE: Duration = Duration::from_millis(20);

/// What a proxy does.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// What is wrong on the way from a client to the target.
    pub up: Impairment,
    /// What is wrong on the way back.
    pub down: Impairment,
    /// What chance comes from. Each client has lines of its own in both directions; those of the first client have the
    /// seeds that [`ProxyConfig::seeds`] gives for zero, and so on.
    pub seed: u64,
    /// Most clients at a time; further ones are refused. Each holds at most [`Line::MAX_BYTES`](crate::Line::MAX_BYTES)
    /// or [`StreamLine::MAX_BYTES`](crate::StreamLine::MAX_BYTES) in each direction.
    pub max_clients: usize,
    /// UDP: a client that neither sent nor was sent anything for so long is forgotten. Its next packet is that of a new
    /// client.
    pub idle: Duration,
}

impl ProxyConfig {
    /// The same impairment in both directions, for 128 clients at most, that are forgotten after two minutes.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            up: impairment.clone(),
            down: impairment,
            seed,
            max_clients: 128,
            idle: Duration::from_secs(120),
        }
    }

    /// The seeds of the lines up and down of a client, counted from zero.
    pub fn seeds(&self, client: u64) -> (u64, u64) {
        // An odd number, so that all differ; not the one by which SplitMix64 goes on, which would make lines that are
        // shifted copies of each other.
        const STEP: u64 = 0xD134_2543_DE82_EF95;
        let up = self.seed.wrapping_add(STEP.wrapping_mul(client.wrapping_mul(2)));
        (up, up.wrapping_add(STEP))
    }
}

/// What a proxy has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyFigures {
    /// Clients (TCP: connections) there are now.
    pub active: u64,
    /// Clients there have been, those among them.
    pub clients: u64,
    /// Clients that were one too many; in UDP, packets of them.
    pub refused: u64,
    /// Packets that a socket did not take, and connections that could not be made to the target.
    pub failed: u64,
    /// The way to the target.
    pub up: Figures,
    /// The way back.
    pub down: Figures,
}

/// A running proxy; it ends when this is dropped.
///
/// What a full buffer of a socket drops is neither seen nor counted: a sender that floods loses more than was asked.
///
/// Time counts from its start, for [`blackhole`](Impairment::blackhole) too.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    figures: watch::Receiver<ProxyFigures>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Passes packets on to `to`, from one socket for each client. Who is not heard of for [`ProxyConfig::idle`] is
    /// forgotten. To be called on a tokio runtime with IO and time.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn udp(listen: SocketAddr, to: SocketAddr, config: ProxyConfig) -> io::Result<Self> {
        let socket = tokio::net::UdpSocket::bind(listen).await?;
        let address = socket.local_addr()?;
        Ok(Self::start(address, config, |shared| udp::serve(socket, to, shared)))
    }

    /// Passes connections on to `to`, each over one of its own. An end of one direction arrives behind what was sent; a
    /// reset is passed on at once, and what is under way is gone, as it is with TCP. If the target can't be reached
    /// within 10 s, the client's connection is reset. A connection lasts until its ends end it.
    ///
    /// To be called on a tokio runtime with IO and time.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn tcp(listen: SocketAddr, to: SocketAddr, config: ProxyConfig) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self::start(address, config, |shared| tcp::serve(listener, to, shared)))
    }

    fn start<F>(address: SocketAddr, config: ProxyConfig, serve: impl FnOnce(Shared) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, figures) = watch::channel(ProxyFigures::default());
        let shared = Shared { config, clock: Clock(Instant::now()), figures: sender };
        Self { address, figures, task: tokio::spawn(serve(shared)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    pub fn figures(&self) -> ProxyFigures {
        *self.figures.borrow()
    }

    /// What it has done so far, for who waits for something.
    pub fn watch(&self) -> watch::Receiver<ProxyFigures> {
        self.figures.clone()
    }

    /// Ends it; what is under way is gone.
    pub async fn stop(mut self) -> ProxyFigures {
        self.task.abort();
        // However it ended, it has.
        drop((&mut self.task).await);
        self.figures()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all tasks of a proxy have.
#[derive(Debug, Clone)]
struct Shared {
    config: ProxyConfig,
    clock: Clock,
    figures: watch::Sender<ProxyFigures>,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut ProxyFigures)) {
        self.figures.send_modify(change);
    }
}

/// A client as long as it is counted.
struct Active(Shared);

impl Active {
    fn new(shared: &Shared) -> Self {
        shared.count(|figures| {
            figures.active += 1;
            figures.clients += 1;
        });
        Self(shared.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.count(|figures| figures.active -= 1);
    }
}

/// Adds what one line has done to what the proxy has.
struct Meter {
    shared: Shared,
    of: fn(&mut ProxyFigures) -> &mut Figures,
    reported: Figures,
}

impl Meter {
    fn up(shared: &Shared) -> Self {
        Self { shared: shared.clone(), of: |figures| &mut figures.up, reported: Figures::default() }
    }

    fn down(shared: &Shared) -> Self {
        Self { shared: shared.clone(), of: |figures| &mut figures.down, reported: Figures::default() }
    }

    fn report(&mut self, now: Figures) {
        if now != self.reported {
            let new = now - self.reported;
            self.shared.count(|figures| *(self.of)(figures) += new);
            self.reported = now;
        }
    }
}

/// The time since a proxy began.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// Waits until then, or for an hour; for ever if there is no such time. Cancel safe.
    async fn reach(self, at: Option<Duration>) {
        match at {
            Some(at) => tokio::time::sleep(at.saturating_sub(self.now()).min(LONGEST_SLEEP)).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_seed_of_its_own() {
        let config = ProxyConfig::new(Impairment::NONE, 7);
        assert_eq!(config.seeds(0).0, 7);
        let mut seeds: Vec<u64> =
            (0..1000).map(|n| config.seeds(n)).flat_map(|(up, down)| [up, down]).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 2000);
    }
}
