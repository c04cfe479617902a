//! Links to the relay, and being the relay if nobody is.
//!
//! With `host = "auto"` whoever binds the relay's address first is the relay: binding is the one question
//! that has a sure and immediate answer. Everybody else dials. While a link is up, a client that may host
//! keeps asking; when the host is gone, however it went, the next to ask becomes the relay, and senders
//! hand over what is not delivered.
//!
//! What it needs of the machine is handed in, so that the simulation runs this very code.

mod judge;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::profile::Host;
use chat_core::{Address, Dialed, Environment, Identity, Link, LinkError, Listener, Transport};
use client::{ConnectError, Connected, Connector};
use relay::{Mailbox, MailboxLimits, Relay, RelayConfig, Secure, SqliteMailbox};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How often a client that may host looks whether the host is gone; jittered by half.
const PROBE_MS: u64 = 800;

/// Opens the mailbox of this program's own relay; blocks. What it says of a failure goes to logs.
pub type OpenMailbox = Arc<dyn Fn() -> Result<Arc<dyn Mailbox>, String> + Send + Sync>;

/// What connecting and hosting need to know.
pub struct Place {
    /// What links are made of.
    pub transport: Arc<dyn Transport>,
    /// As it is called in the profile.
    pub transport_name: String,
    /// Where the relay is, or would be.
    pub address: Address,
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
    /// Where it really listens.
    address: Address,
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
    ended: bool,
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

    fn may_host(&self) -> bool {
        let Place { host, address, identity, .. } = &self.place;
        *host == Host::Auto && address.pin.is_none_or(|pin| pin == identity.peer_id())
    }

    /// Becomes the relay if the address can be bound. Cancel safe.
    async fn try_host(self: &Arc<Self>) -> Result<Hosting, Obstacle> {
        let _one_at_a_time = self.hosting.lock().await;
        if let Some(hosted) = self.state().hosted.clone() {
            return Ok(Hosting::Yes(hosted));
        }
        if !self.may_host() {
            return Ok(Hosting::No);
        }
        let Place { transport, address, identity, .. } = &self.place;
        let unpinned = Address::new(address.place.clone());
        let listener = match transport.listen(&unpinned, identity).await {
            Ok(listener) => listener,
            Err(LinkError::AddressInUse { .. }) => return Ok(Hosting::Taken),
            Err(error @ LinkError::BadAddress { .. }) => {
                tracing::debug!(%error, "this machine can't host at the relay's address");
                return Ok(Hosting::No);
            }
            Err(error) => return Err(Obstacle::Listen(error)),
        };
        let address = Address { place: listener.address().place, pin: Some(identity.peer_id()) };
        let hosted = Arc::new(Hosted { relay: self.open_relay().await?, address });
        {
            let mut state = self.state();
            if state.ended {
                return Ok(Hosting::No);
            }
            state.hosted = Some(Arc::clone(&hosted));
        }
        tokio::spawn(Arc::clone(self).serve(Arc::clone(&hosted), listener));
        tracing::info!("this program is the relay now");
        Ok(Hosting::Yes(hosted))
    }

    async fn open_relay(&self) -> Result<Relay, Obstacle> {
        let Place { relay, mailbox, environment, .. } = &self.place;
        let (mut relay, open) = (relay.clone(), Arc::clone(mailbox));
        chat_relay::files::provide(&mut relay, 1);
        let (tell, told) = oneshot::channel();
        // Whoever asked may be gone.
        let opening = environment.spawn("mailbox-opening", Box::pin(async move { drop(tell.send(open())) }));
        let opened = match opening {
            Ok(()) => told.await.unwrap_or_else(|_| Err("opening it failed".to_owned())),
            Err(error) => Err(format!("there is no thread for it: {error}")),
        };
        match opened {
            Ok(mailbox) => Ok(Relay::new_in(relay, mailbox, Arc::clone(environment))),
            Err(reason) => {
                tracing::error!(reason, "the relay's mailbox can't be opened, so this program does not host");
                Err(Obstacle::Mailbox { reason })
            }
        }
    }

    /// Serves until the relay is shut down. If listening ends by itself, this program is no longer the relay: the
    /// address and the mailbox are given free, for the next attempt or for somebody else.
    async fn serve(self: Arc<Self>, hosted: Arc<Hosted>, listener: Box<dyn Listener>) {
        let Place { identity, environment, .. } = &self.place;
        let secure = Arc::new(Hop { identity: identity.clone(), environment: Arc::clone(environment) });
        let Err(error) = hosted.relay.serve(listener, secure).await else { return };
        tracing::error!(%error, "the relay of this program stopped listening");
        let _one_at_a_time = self.hosting.lock().await;
        let ours = {
            let mut state = self.state();
            state.hosted.take_if(|now| Arc::ptr_eq(now, &hosted)).is_some()
        };
        if ours {
            hosted.relay.shutdown().await;
        }
    }

    fn listen_line(&self, hosted: &Hosted) -> String {
        self.relay_line(&hosted.address)
    }

    fn relay_line(&self, address: &Address) -> String {
        format!("{}://{}", self.place.transport_name, address.place)
    }

    /// Asks again and again whether the host is gone; says so once this program has taken its place.
    async fn watch(self: Arc<Self>, mut superseded: oneshot::Sender<()>) {
        loop {
            let byte = self.place.environment.entropy().bytes::<1>().map_or(128, |[byte]| u64::from(byte));
            let wait = Duration::from_millis(PROBE_MS / 2 + PROBE_MS * byte / 255);
            tokio::select! {
                () = superseded.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match self.try_host().await {
                Ok(Hosting::Taken) => {}
                // Out of files, a resolver that is away, a mailbox not yet closed: it may pass.
                Err(obstacle) => tracing::debug!(%obstacle, "this program can't take the host's place now"),
                Ok(Hosting::Yes(_)) => {
                    if superseded.send(()).is_err() {
                        tracing::debug!("the link had ended by itself");
                    }
                    return;
                }
                Ok(Hosting::No) => return,
            }
        }
    }

    async fn connect(self: Arc<Self>) -> Result<Connected, ConnectError> {
        let hosting = match self.try_host().await {
            // Nobody else is to be found there either.
            Err(obstacle @ (Obstacle::Mailbox { .. } | Obstacle::Listen(LinkError::Resolve { .. }))) => {
                return Err(self.judge_obstacle(obstacle));
            }
            hosting => hosting,
        };
        let taken = matches!(hosting, Ok(Hosting::Taken));
        let may_follow = taken || hosting.is_err();
        let (address, listen) = match &hosting {
            Ok(Hosting::Yes(hosted)) => (hosted.address.clone(), vec![self.listen_line(hosted)]),
            _ => (self.place.address.clone(), Vec::new()),
        };
        let Place { transport, identity, environment, .. } = &self.place;
        let dialed =
            transport_noise::dial_with(&**transport, &address, identity, environment.entropy()).await;
        let link = dialed.map_err(|error| match hosting {
            Err(obstacle) if matches!(error, LinkError::Unreachable { .. }) => self.judge_obstacle(obstacle),
            _ => self.judge(error, taken),
        })?;
        self.state().connected = true;
        let superseded = may_follow.then(|| {
            let (sender, receiver) = oneshot::channel();
            tokio::spawn(Arc::clone(&self).watch(sender));
            receiver
        });
        let relay = self.relay_line(&address);
        Ok(Connected { link, relay, hosting: !listen.is_empty(), listen, superseded })
    }
}

#[async_trait]
impl Connector for Network {
    fn relay(&self) -> String {
        self.shared.relay_line(&self.shared.place.address)
    }

    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        let shared = Arc::clone(&self.shared);
        self.on_network(async move {
            match shared.try_host().await {
                Ok(Hosting::Yes(hosted)) => Ok(vec![shared.listen_line(&hosted)]),
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
}
