//! The plugin's face: dialing and listening.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::transport::HANDSHAKE_DEADLINE;
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::UdpArq;
use crate::address::{bind, resolve};
use crate::driver::link::Halves;
use crate::driver::shared::{Shared, Wakeups};
use crate::driver::{Arrival, Command, Driver, now};
use crate::endpoint::{Endpoint, Handle, MAX_HALF_OPEN};

/// Requests to the task that wait.
const COMMANDS: usize = 2 * MAX_HALF_OPEN;

fn ended() -> LinkError {
    LinkError::Io(std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the task of the socket has ended"))
}

#[async_trait]
impl Transport for UdpArq {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        let deadline = now() + HANDSHAKE_DEADLINE;
        let addresses = resolve(to).await?;
        let mut reasons: Vec<String> = Vec::new();
        for (tried, &address) in addresses.iter().enumerate() {
            // A silent address gets its share of the time, so that one way that leads nowhere (IPv6, often) does
            // not use up that of the others.
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(now()) / left;
            let reason = match timeout(share, self.dial_one(to, address, me)).await {
                Ok(Err(LinkError::Unreachable { reason, .. })) => reason,
                Ok(Err(LinkError::Timeout(_))) | Err(_) => "no answer in time".to_owned(),
                // Somebody answered, and that is the answer.
                Ok(other) => return other,
            };
            reasons.push(if addresses.len() == 1 { reason } else { format!("{address}: {reason}") });
        }
        Err(LinkError::Unreachable { address: to.place.clone(), reason: reasons.join("; ") })
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let socket = bind(&*self.network, on).await?;
        let address = Address { place: socket.local_address()?.to_string(), pin: on.pin };
        let endpoint = Endpoint::new(self.config.clone(), me.clone(), true, Arc::clone(&self.entropy));
        let wakeups = Arc::new(Wakeups::default());
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (arrivals_in, arrivals) = mpsc::channel(MAX_HALF_OPEN);
        let driver = Driver::new(endpoint, socket, Arc::clone(&wakeups), commands_in, Some(arrivals_in));
        tokio::spawn(driver.run());
        Ok(Box::new(Listening { address, arrivals, commands, wakeups }))
    }
}

impl UdpArq {
    /// Dials one address. Dropping it drops the halves, and with them the connection.
    async fn dial_one(&self, to: &Address, address: SocketAddr, me: &Identity) -> Result<Dialed, LinkError> {
        let unreachable = |error: std::io::Error| LinkError::Unreachable {
            address: to.place.clone(),
            reason: error.to_string(),
        };
        let socket = self.network.connect(address).await.map_err(unreachable)?;
        let mut endpoint = Endpoint::new(self.config.clone(), me.clone(), false, Arc::clone(&self.entropy));
        let handle = endpoint.connect(now(), address, to.pin)?;
        let wakeups = Arc::new(Wakeups::default());
        let shared = Shared::new(handle, Arc::clone(&wakeups));
        let halves = Halves::new(&shared);
        let (answer, answered) = oneshot::channel();
        // Nobody sends commands to a socket that dials.
        let (_, commands) = mpsc::channel(1);
        let mut driver = Driver::new(endpoint, socket, wakeups, commands, None);
        driver.attach(handle, shared, answer);
        tokio::spawn(driver.run());
        let peer = answered.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Dialed::Secure(halves.into_link(peer)))
    }
}

struct Listening {
    address: Address,
    arrivals: mpsc::Receiver<Arrival>,
    commands: mpsc::Sender<Command>,
    wakeups: Arc<Wakeups>,
}

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> Address {
        self.address.clone()
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let Arrival { handle, remote } = self.arrivals.recv().await.ok_or_else(ended)?;
        let (commands, wakeups) = (self.commands.clone(), Arc::clone(&self.wakeups));
        Ok(Box::new(Caller { handle, remote, commands, wakeups, asked: false }))
    }
}

/// Somebody whose HELLO came.
struct Caller {
    handle: Handle,
    remote: SocketAddr,
    commands: mpsc::Sender<Command>,
    wakeups: Arc<Wakeups>,
    /// Whether the task knows that somebody cares.
    asked: bool,
}

#[async_trait]
impl Incoming for Caller {
    fn remote(&self) -> String {
        self.remote.to_string()
    }

    async fn handshake(mut self: Box<Self>) -> Result<Dialed, LinkError> {
        let shared = Shared::new(self.handle, Arc::clone(&self.wakeups));
        let halves = Halves::new(&shared);
        let (answer, answered) = oneshot::channel();
        let accept = Command::Accept { handle: self.handle, shared, answer };
        self.commands.send(accept).await.map_err(|_| ended())?;
        self.asked = true;
        // The endpoint ends it at the handshake's deadline.
        let peer = answered.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Dialed::Secure(halves.into_link(peer)))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // If the task can't be told now, the handshake's deadline will.
        if !self.asked && self.commands.try_send(Command::Refuse(self.handle)).is_err() {
            tracing::debug!(remote = %self.remote, "a caller nobody wanted is left to its deadline");
        }
    }
}
