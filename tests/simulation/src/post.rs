//! The relay's machine, and the relay that runs on it, or doesn't.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{Address, Dialed, Environment, Identity, Link, LinkError};
use relay::{MailboxError, MailboxLimits, Relay, RelayConfig, Secure, SqliteMailbox};
use tokio::task::JoinHandle;

use crate::disk::Disk;
use crate::machine::Machine;
use crate::net::{Ending, Net};
use crate::stack::Stack;

/// The relay's number on the network.
pub const NUMBER: u8 = 100;
const PORT: u16 = 12_345;

/// Why the relay did not start.
#[derive(Debug)]
pub enum StartError {
    /// Its mailbox can't be opened.
    Mailbox(MailboxError),
    /// It can't listen.
    Listen(LinkError),
}

/// Where the relay runs.
pub struct Post {
    /// Its clock.
    pub machine: Arc<Machine>,
    /// Its disk.
    pub disk: Arc<Disk>,
    /// Where it is on the network.
    pub address: IpAddr,
    /// The relay, if it runs.
    pub running: Option<(Relay, JoinHandle<()>)>,
    identity: Identity,
    stack: Stack,
    net: Net,
    place: String,
}

impl Post {
    /// A machine on which no relay has run yet. `name` is its place if the transport has no network.
    pub fn new(machine: Arc<Machine>, disk: Arc<Disk>, stack: Stack, net: Net, name: &str) -> Self {
        let address = Net::address(NUMBER);
        let place = match stack.transport {
            "memory" => name.to_owned(),
            _ => SocketAddr::new(address, PORT).to_string(),
        };
        let identity = Identity::from_seed(&[NUMBER; 32]);
        Self { machine, disk, address, running: None, identity, stack, net, place }
    }

    /// Where to dial it.
    pub fn dial_address(&self) -> Address {
        Address::new(self.place.clone())
    }

    /// Another machine takes its place, which knows nobody; the old one's disk is gone.
    pub async fn replace(&mut self, disk: Arc<Disk>) {
        self.end(Ending::Process).await;
        self.disk = disk;
    }

    /// Starts the relay on what its disk holds.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(&mut self) -> Result<(), StartError> {
        self.disk.power_on();
        let host = self.net.boot(self.address);
        let environment: Arc<dyn Environment> = Arc::clone(&self.machine) as _;
        let path = self.disk.path("relay.db");
        let vfs = self.disk.vfs_name();
        let mailbox = SqliteMailbox::open_on_vfs(vfs, &path, MailboxLimits::default(), &*environment);
        let mailbox = mailbox.map_err(StartError::Mailbox)?;
        let relay = Relay::new_in(RelayConfig::default(), Arc::new(mailbox), Arc::clone(&environment));
        let transport = self.stack.transport(&host, Arc::clone(&environment));
        let address = self.dial_address();
        let listener = transport.listen(&address, &self.identity).await.map_err(StartError::Listen)?;
        let secure = Arc::new(Noise { identity: self.identity.clone(), environment });
        let serving = relay.clone();
        let task = tokio::spawn(async move {
            // It ends with the mailbox, and that with the disk.
            drop(serving.serve(listener, secure).await);
        });
        self.running = Some((relay, task));
        Ok(())
    }

    /// The relay is gone at once, and its machine too if the power went.
    pub async fn end(&mut self, how: Ending) {
        self.net.end(self.address, how);
        if let Some((_, task)) = self.running.take() {
            task.abort();
            // Until it has dropped its listener, the place is not free. A panic is noted elsewhere.
            drop(task.await);
        }
    }
}

/// Puts Noise over bare links.
struct Noise {
    identity: Identity,
    environment: Arc<dyn Environment>,
}

#[async_trait]
impl Secure for Noise {
    async fn secure(&self, dialed: Dialed) -> Result<Link, LinkError> {
        match dialed {
            Dialed::Secure(link) => Ok(link),
            Dialed::Bare(bare) => {
                transport_noise::secure_with(bare, &self.identity, self.environment.entropy()).await
            }
        }
    }
}
