//! Accepting connections, also on a machine that is short of something.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::transport::Role;
use chat_core::{Address, Dialed, Incoming, LinkError, Listener};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::{TcpOptions, over};

pub(crate) struct TcpListener {
    socket: tokio::net::TcpListener,
    address: SocketAddr,
    options: TcpOptions,
    backoff: Backoff,
}

impl TcpListener {
    pub(crate) fn new(socket: tokio::net::TcpListener, options: TcpOptions) -> Result<Self, LinkError> {
        let address = socket.local_addr()?;
        Ok(Self { socket, address, options, backoff: Backoff::default() })
    }
}

#[async_trait]
impl Listener for TcpListener {
    fn address(&self) -> Address {
        Address::new(self.address.to_string())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let Self { socket, options, backoff, .. } = self;
        let (stream, remote) = backoff.accept(|| socket.accept()).await;
        Ok(Box::new(Accepted { stream, remote, options: *options }))
    }
}

/// The pause after an `accept` that failed. It is kept beside the call, so that dropping `next` doesn't skip it.
#[derive(Debug, Default)]
pub struct Backoff {
    until: Option<Instant>,
    pause: Duration,
}

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Accepts until it succeeds. What fails is either one connection, which is somebody else's trouble, or the
    /// machine is short of something (file descriptors, memory): then trying again at once only burns time.
    ///
    /// Cancel safe: the pause goes on where it was.
    pub async fn accept<T, F>(&mut self, mut accept: impl FnMut() -> F) -> T
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            if let Some(until) = self.until {
                sleep_until(until).await;
                self.until = None;
            }
            match accept().await {
                Ok(accepted) => {
                    self.pause = Duration::ZERO;
                    return accepted;
                }
                Err(error) if concerns_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    self.pause = (self.pause * 2).clamp(Self::SHORTEST, Self::LONGEST);
                    self.until = Some(Instant::now() + self.pause);
                    tracing::warn!(%error, pause = ?self.pause, "cannot accept connections for now");
                }
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Accepted {
    stream: TcpStream,
    remote: SocketAddr,
    options: TcpOptions,
}

#[async_trait]
impl Incoming for Accepted {
    fn remote(&self) -> String {
        self.remote.to_string()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        self.options.apply(&self.stream)?;
        let (read, write) = self.stream.into_split();
        over(Role::Responder, read, write).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt as _;

    use super::*;

    fn too_many_open_files() -> io::Error {
        io::Error::from_raw_os_error(24)
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_short_of_files_is_asked_less_and_less_often() {
        let mut backoff = Backoff::default();
        let began = Instant::now();
        let mut failures = 10;
        let accepted = backoff
            .accept(|| {
                failures -= 1;
                std::future::ready(if failures > 0 { Err(too_many_open_files()) } else { Ok("peer") })
            })
            .await;
        // 10, 20, 40, 80, 160, 320, 640, 1000, 1000 ms
        assert_eq!((accepted, began.elapsed().as_millis()), ("peer", 3270));
        assert_eq!(backoff.pause, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ended_early_costs_no_pause() {
        let mut outcomes: VecDeque<_> = [Err(io::ErrorKind::ConnectionAborted.into()), Ok("peer")].into();
        let began = Instant::now();
        let accepted = Backoff::default().accept(|| std::future::ready(outcomes.pop_front().unwrap())).await;
        assert_eq!((accepted, began.elapsed()), ("peer", Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_next_does_not_skip_the_pause() {
        let mut backoff = Backoff::default();
        let fails = || std::future::ready(Err::<(), _>(too_many_open_files()));
        assert!(backoff.accept(fails).now_or_never().is_none());
        let mut asked = 0;
        let again = backoff.accept(|| {
            asked += 1;
            std::future::ready(Ok(()))
        });
        assert!(again.now_or_never().is_none());
        assert_eq!(asked, 0);
    }
}
