//! Links to the relay, and being the relay if nobody is.
//!
//! With `host = "auto"` whoever binds the relay's address first is the relay: binding is the one question
//! that has a sure and immediate answer. Everybody else dials. While a link is up, a client that may host
//! keeps asking; when the host is gone, however it went, the next to ask becomes the relay, and senders
//! hand over what is not delivered.
//!
//! A profile may name several transports, in order of preference: `dial` races them, goes from one that falls silent to
//! the next, and back when a better one works again. Then a host listens on all of them, or is none.
//!
//! What it needs of the machine is handed in, so that the simulation runs this very code.

mod dial;
mod hosting;
mod judge;
mod race;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chat_core::profile::Host;
use chat_core::{Address, Dialed, Environment, Identity, Link, LinkError, PeerId, Transport};
use client::{ConnectError, Connected, Connector, News};
use relay::{Mailbox, MailboxLimits, Relay, RelayConfig, Secure, SqliteMailbox};
use standing::Standing;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Opens the mailbox of this program's own relay; blocks. What it says of a failure goes to logs.
pub type OpenMailbox = Arc<dyn Fn() -> Result<Arc<dyn Mailbox>, String> + Send + Sync>;

/// One of the profile's transports.
pub struct Way {
    /// What links are made of.
    pub transport: Arc<dyn Transport>,
    /// As it is called in the profile.
    pub name: String,
    /// Where the relay is, or would be.
    pub address: Address,
}

impl Way {
    /// `kind://place`, for people.
    fn line(&self) -> String {
        self.line_at(&self.address)
    }

    fn line_at(&self, address: &Address) -> String {
        format!("{}://{}", self.name, address.place)
    }
}

/// What connecting and hosting need to know.
pub struct Place {
    /// The transports, at least one, in order of preference. All lead to one relay.
    pub ways: Vec<Way>,
    /// Whether this program may be the relay.
    pub host: Host,
    /// Who this is.
    pub identity: Identity,
    /// This program's own relay's.
    pub mailbox: OpenMailbox,
    /// The folder that it is in, to be told to the user.
    pub folder: PathBuf,
    /// How this program's own relay is.
    pub relay: RelayConfig,
    /// A person sits there and sees that the relay is not reached: then nothing is given up.
    pub interactive: bool,
    /// The machine.
    pub environment: Arc<dyn Environment>,
}

/// A mailbox in a file.
pub(crate) fn mailbox_in(database: PathBuf, limits: MailboxLimits) -> OpenMailbox {
    Arc::new(move || match SqliteMailbox::open(&database, limits.clone()) {
        Ok(mailbox) => Ok(Arc::new(mailbox)),
        Err(error) => Err(without_path(&database, &error.to_string())),
    })
}

/// What is said of a mailbox, with the bare name of its file: the path holds the nick, and goes to no log.
pub fn without_path(database: &Path, said: &str) -> String {
    let name = database.file_name().unwrap_or_default().to_string_lossy();
    said.replace(&*database.to_string_lossy(), &name)
}

/// Puts Noise over bare links.
struct Hop {
    identity: Identity,
    environment: Arc<dyn Environment>,
}

#[async_trait]
impl Secure for Hop {
    async fn secure(&self, dialed: Dialed) -> Result<Link, LinkError> {
        match dialed {
            Dialed::Secure(link) => Ok(link),
            Dialed::Bare(bare) => {
                transport_noise::secure_with(bare, &self.identity, self.environment.entropy()).await
            }
        }
    }
}

/// This program's own relay.
struct Hosted {
    relay: Relay,
    /// Where it really listens, on each of the ways.
    addresses: Vec<Address>,
}

/// Connects to the relay, or is it. Sockets and the relay live on the network's runtime, so that a commit of the
/// engine holds up neither acknowledgements nor other people's messages.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

struct Shared {
    place: Place,
    network: Handle,
    state: Mutex<State>,
    /// Held while this program becomes the relay or ceases to be it: one at a time.
    hosting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    hosted: Option<Arc<Hosted>>,
    /// One attempt was made: what is not the user's mistake by now is worth another one.
    attempted: bool,
    /// Attempts that somebody at the relay's address did not answer as a relay, one after the other.
    unanswered: u32,
    /// A link was made once.
    connected: bool,
    /// Somebody else is the relay, and this program may take his place.
    may_follow: bool,
    links: Links,
    ended: bool,
}

/// What is known of the links that were made.
#[derive(Default)]
struct Links {
    /// The number of the way in use.
    way: Option<usize>,
    /// Who the relay was.
    relay: Option<PeerId>,
    standing: Standing,
    /// To whoever uses the link.
    news: Option<mpsc::Sender<News>>,
    /// Those of whom the user was told.
    impostors: BTreeSet<String>,
}

/// Whether this program is the relay now.
enum Hosting {
    Yes(Arc<Hosted>),
    /// Somebody else has the address.
    Taken,
    /// The address is not this machine's, or the profile says never. It stays so.
    No,
}

/// Why this program is not the relay, although it might be. Later it may work.
#[derive(Debug)]
enum Obstacle {
    /// The address can't be listened at now.
    Listen(LinkError),
    /// Nobody else has the address, but the mailbox can't be opened.
    Mailbox {
        /// Without the path, which holds the nick.
        reason: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => write!(f, "this program can't listen there: {error}"),
            Self::Mailbox { reason } => write!(
                f,
                "this program would be the relay, but its mailbox in the data directory can't be opened: {reason}"
            ),
        }
    }
}

impl Network {
    /// The network of a program at this place, on that runtime.
    pub fn new(place: Place, network: Handle) -> Self {
        let (state, hosting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { shared: Arc::new(Shared { place, network, state, hosting }) }
    }

    /// Stops hosting: tells the clients to move, and gives the address free.
    pub async fn leave(&self) {
        let hosted = {
            let mut state = self.shared.state();
            state.ended = true;
            state.hosted.take()
        };
        if let Some(hosted) = hosted {
            hosted.relay.shutdown().await;
        }
    }

    /// [`Network::leave`], for who is not on a runtime.
    pub(crate) fn shut_down(&self) {
        self.shared.network.block_on(self.leave());
    }

    /// Runs something on the network's runtime; dropping the result stops it.
    async fn on_network<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let task = AbortOnDrop(self.shared.network.spawn(work));
        task.await.map_err(|_| ConnectError::Retry("a task of the network failed".to_owned()))
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;
    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ways, by number. There is always a first one.
    fn way(&self, number: usize) -> Result<&Way, ConnectError> {
        let none = || ConnectError::Retry("the profile has no transport".to_owned());
        self.place.ways.get(number).or(self.place.ways.first()).ok_or_else(none)
    }
}

#[async_trait]
impl Connector for Network {
    fn relay(&self) -> String {
        self.shared.place.ways.first().map(Way::line).unwrap_or_default()
    }

    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        let shared = Arc::clone(&self.shared);
        self.on_network(async move {
            match shared.try_host().await {
                Ok(Hosting::Yes(hosted)) => Ok(shared.listen_lines(&hosted)),
                Ok(Hosting::Taken | Hosting::No) => Ok(Vec::new()),
                // Another program, with other rights, may be the relay all the same: dialing will tell.
                Err(Obstacle::Listen(error)) if !matches!(error, LinkError::Resolve { .. }) => {
                    tracing::warn!(%error, "this program can't be the relay");
                    Ok(Vec::new())
                }
                Err(obstacle) => Err(shared.judge_obstacle(obstacle)),
            }
        })
        .await?
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        self.on_network(Arc::clone(&self.shared).connect()).await?
    }

    async fn another(&self) -> Result<Connected, ConnectError> {
        self.on_network(Arc::clone(&self.shared).another()).await?
    }
}
