//! Somebody who chats: a machine with a clock, a disk and an address, and the client that runs on it, or doesn't.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat::host::{self, Network, Place as HostPlace, Way};
use chat_core::api::StackView;
use chat_core::api::command::{Command, CommandError, Destination, History, Reply};
use chat_core::api::handle::{ClientHandle, EventReader};
use chat_core::nick::{Nick, RoomName};
use chat_core::profile::Host as HostPolicy;
use chat_core::{Address, Environment, Identity, PeerId};
use client::{ClientConfig, ConnectError, Connected, Connector, Node, StartError, StorePlace, Unsent};
use relay::{MailboxError, MailboxLimits, RelayConfig, SqliteMailbox};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::disk::Disk;
use crate::machine::Machine;
use crate::net::{Ending, Host, Net, SharedPlace};
use crate::plan::Hosting;
use crate::record::Shown;
use crate::stack::Stack;

/// The room everybody is in.
pub const LOBBY: &str = "#lobby";
/// Messages that are asked for at once.
const PAGE: u32 = 500;

/// One who chats.
pub struct Person {
    /// What it is called.
    pub name: &'static str,
    /// Who it is.
    pub identity: Identity,
    /// Its clock.
    pub machine: Arc<Machine>,
    /// Its disk.
    pub disk: Arc<Disk>,
    /// Where it is on the network.
    pub address: IpAddr,
    /// Its client, if it runs.
    pub running: Option<Running>,
    /// How often it was started.
    pub starts: u32,
    stack: Stack,
    hosting: Hosting,
    relay: Address,
    net: Net,
}

/// A client that runs.
pub struct Running {
    /// The frontend's handle.
    pub handle: ClientHandle,
    /// What happened and was not looked at yet.
    pub events: EventReader,
    finish: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<Unsent>,
    /// Its part in being the relay, if it may be.
    network: Option<Network>,
}

impl Person {
    /// Somebody on a machine of its own, who has never run the program.
    pub fn new(
        name: &'static str,
        number: u8,
        machine: Arc<Machine>,
        disk: Arc<Disk>,
        (stack, hosting): (Stack, Hosting),
        relay: Address,
        net: Net,
    ) -> Self {
        let identity = Identity::from_seed(&[number; 32]);
        let address = Net::address(number);
        Self { name, identity, machine, disk, address, running: None, starts: 0, stack, hosting, relay, net }
    }

    /// Its peer id.
    pub fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Starts the program on what its disk holds.
    ///
    /// # Errors
    /// The store can't be opened.
    pub fn start(&mut self) -> Result<(), StartError> {
        self.disk.power_on();
        let host = self.net.boot(self.address);
        self.starts += 1;
        let network = (self.hosting == Hosting::Auto).then(|| self.network(&host));
        let connector = match &network {
            Some(network) => Arc::new(network.clone()) as Arc<dyn Connector>,
            None => self.connector(&host),
        };
        let (node, handle) = Node::new(self.config(), connector, Arc::clone(&self.machine) as _)?;
        let (finish, finished) = oneshot::channel();
        let task = tokio::spawn(node.run(finished));
        let events = handle.events();
        self.running = Some(Running { handle, events, finish: Some(finish), task, network });
        Ok(())
    }

    fn config(&self) -> ClientConfig {
        let key_exchange = self.stack.key_exchange();
        let lobby = RoomName::new(LOBBY).unwrap_or_else(|error| panic!("{error}"));
        ClientConfig {
            identity: self.identity.clone(),
            nick: Nick::new(self.name).unwrap_or_else(|error| panic!("{error}")),
            rooms: vec![lobby],
            closed_rooms_only: false,
            stack: StackView {
                transport: self.stack.transport.into(),
                transports: Vec::new(),
                key_exchange: self.stack.key_exchange.into(),
                cipher: self.stack.cipher.into(),
                frontend: "none".into(),
                properties: key_exchange.properties(),
            },
            key_exchange,
            key_exchange_name: self.stack.key_exchange.into(),
            cipher: self.stack.cipher(),
            rules: client::Rules::default(),
            config_text: String::new(),
            store: StorePlace::Vfs { vfs: self.disk.vfs_name().into(), path: self.disk.path("client.db") },
            store_key: client::StoreKey::from_bytes(&[7; 32]),
            history: chat_core::profile::Retention::Forever,
            max_backoff: Duration::from_secs(5),
        }
    }

    fn connector(&self, host: &Host) -> Arc<dyn Connector> {
        let environment: Arc<dyn Environment> = Arc::clone(&self.machine) as _;
        let transport = self.stack.transport(host, Arc::clone(&environment));
        let (relay, identity) = (self.relay.clone(), self.identity.clone());
        Arc::new(Dialer { transport, relay, identity, environment })
    }

    /// As the program does it with `host = "auto"`.
    fn network(&self, host: &Host) -> Network {
        let environment: Arc<dyn Environment> = Arc::clone(&self.machine) as _;
        let (vfs, path) = (self.disk.vfs_name(), self.disk.path("relay.db"));
        let machine = Arc::clone(&self.machine);
        let mailbox = Arc::new(move || {
            let opened = SqliteMailbox::open_on_vfs(vfs, &path, MailboxLimits::default(), &*machine);
            // No two disks of a process have the same path, so it may be in no trace.
            let without_path = |error: MailboxError| host::without_path(&path, &error.to_string());
            opened.map(|mailbox| Arc::new(mailbox) as _).map_err(without_path)
        });
        let place = HostPlace {
            ways: vec![Way {
                transport: Arc::new(SharedPlace::new(self.stack, host.clone(), Arc::clone(&environment))),
                name: self.stack.transport.into(),
                address: self.relay.clone(),
            }],
            host: HostPolicy::Auto,
            identity: self.identity.clone(),
            mailbox,
            folder: self.disk.path(""),
            relay: RelayConfig::default(),
            interactive: true,
            environment,
        };
        Network::new(place, Handle::current())
    }

    /// Whether its program would have ended by itself: its frontend is told to.
    pub fn has_ended(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.handle.stopping().is_some())
    }

    /// Whether it is the relay too, as far as it shows.
    pub fn is_host(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.handle.snapshot().link.hosting)
    }

    /// The program is gone at once, whatever it was doing, and its machine too if the power went. What its disk has
    /// kept is for the disk to say.
    pub fn end(&mut self, how: Ending) {
        self.net.end(self.address, how);
        if let Some(running) = self.running.take() {
            running.task.abort();
        }
    }

    /// The program ends as a user would end it.
    pub async fn leave(&mut self, grace: Duration) {
        let Some(mut running) = self.running.take() else { return };
        if let Some(finish) = running.finish.take() {
            // If it has ended already, the more so.
            finish.send(grace).unwrap_or_default();
        }
        drop(running.task.await);
        if let Some(network) = running.network {
            network.leave().await;
        }
        self.net.end(self.address, Ending::Process);
        self.disk.kill();
    }
}

impl Running {
    /// The whole of a conversation, in the order in which it is shown.
    ///
    /// # Errors
    /// As of the command.
    pub async fn history(&self, with: &Destination) -> Result<Vec<Shown>, CommandError> {
        let mut pages: Vec<Vec<Shown>> = Vec::new();
        let mut before = None;
        loop {
            let history = History { with: with.clone(), before, limit: Some(PAGE) };
            let Reply::History { messages, has_older } = self.handle.run(Command::History(history)).await?
            else {
                panic!("a history was asked for");
            };
            before = messages.first().map(|message| message.id);
            pages.push(messages.into_iter().map(Shown::from).collect());
            if !has_older {
                return Ok(pages.into_iter().rev().flatten().collect());
            }
        }
    }
}

/// Dials the one relay there is.
struct Dialer {
    transport: Arc<dyn chat_core::Transport>,
    relay: Address,
    identity: Identity,
    environment: Arc<dyn Environment>,
}

#[async_trait]
impl Connector for Dialer {
    fn relay(&self) -> String {
        self.relay.place.clone()
    }

    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        let entropy = self.environment.entropy();
        let dialed = transport_noise::dial_with(&*self.transport, &self.relay, &self.identity, entropy).await;
        let link = dialed.map_err(|error| ConnectError::Retry(error.to_string()))?;
        Ok(Connected {
            link,
            relay: self.relay(),
            hosting: false,
            listen: Vec::new(),
            superseded: None,
            choice: None,
        })
    }
}
