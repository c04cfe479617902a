//! Links to the relay, and being the relay if nobody is.
//!
//! With `host = "auto"` whoever binds the relay's address first is the relay: binding is the one question
//! that has a sure and immediate answer. Everybody else dials. While a link is up, a client that may host
//! keeps asking; when the host is gone, however it went, the next to ask becomes the relay, and senders
//! hand over what is not delivered.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::entropy::{Entropy, OsEntropy};
use chat_core::profile::Host;
use chat_core::{Address, Identity, LinkError, Transport};
use chat_relay::Noise;
use client::{ConnectError, Connected, Connector};
use relay::{MailboxLimits, Relay, RelayConfig};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A script is told that something else has the address after so many attempts without an answer; a relay behind a
/// bad network answers one of them.
const UNANSWERED: u32 = 2;
/// How often a client that may host looks whether the host is gone; jittered by half.
const PROBE_MS: u64 = 800;

/// What connecting and hosting need to know.
pub(crate) struct Place {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) transport_name: String,
    pub(crate) address: Address,
    pub(crate) host: Host,
    pub(crate) identity: Identity,
    /// Where this program's own relay keeps its mailbox.
    pub(crate) database: PathBuf,
    pub(crate) relay: RelayConfig,
    pub(crate) limits: MailboxLimits,
    /// A person sits there and sees that the relay is not reached: then nothing is given up.
    pub(crate) interactive: bool,
}

/// This program's own relay.
#[derive(Clone)]
struct Hosted {
    relay: Relay,
    /// Where it really listens.
    address: Address,
}

/// Connects to the relay, or is it. Sockets and the relay live on the network's runtime, so that a commit of the
/// engine holds up neither acknowledgements nor other people's messages.
#[derive(Clone)]
pub(crate) struct Network {
    shared: Arc<Shared>,
}

struct Shared {
    place: Place,
    network: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosted: Option<Hosted>,
    /// One attempt was made: what is not the user's mistake by now is worth another one.
    attempted: bool,
    /// Attempts that somebody at the relay's address left unanswered, one after the other.
    unanswered: u32,
    /// A link was made once.
    connected: bool,
    ended: bool,
}

/// Whether this program is the relay now.
enum Hosting {
    Yes(Hosted),
    /// Somebody else has the address.
    Taken,
    /// The address is not this machine's, or the profile says never.
    No,
}

impl Network {
    pub(crate) fn new(place: Place, network: Handle) -> Self {
        Self { shared: Arc::new(Shared { place, network, state: Mutex::default() }) }
    }

    /// Stops hosting: tells the clients to move, and gives the address free.
    pub(crate) fn shut_down(&self) {
        let hosted = {
            let mut state = self.shared.state();
            state.ended = true;
            state.hosted.take()
        };
        if let Some(hosted) = hosted {
            self.shared.network.block_on(hosted.relay.shutdown());
        }
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

    /// Becomes the relay if the address can be bound.
    async fn try_host(&self) -> Result<Hosting, LinkError> {
        if let Some(hosted) = self.state().hosted.clone() {
            return Ok(Hosting::Yes(hosted));
        }
        if !self.may_host() {
            return Ok(Hosting::No);
        }
        let Place { transport, address, identity, database, relay, limits, .. } = &self.place;
        let unpinned = Address::new(address.place.clone());
        let listener = match transport.listen(&unpinned, identity).await {
            Ok(listener) => listener,
            Err(LinkError::AddressInUse { .. }) => return Ok(Hosting::Taken),
            Err(error @ LinkError::Resolve { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "this machine can't host at the relay's address");
                return Ok(Hosting::No);
            }
        };
        let address = Address { place: listener.address().place, pin: Some(identity.peer_id()) };
        let (relay, limits, database) = (relay.clone(), limits.clone(), database.clone());
        let opened = tokio::task::spawn_blocking(move || Relay::open(relay, limits, &database)).await;
        let relay = match opened {
            Ok(Ok(relay)) => relay,
            Ok(Err(error)) => {
                tracing::error!(%error, "the relay's mailbox can't be opened, so this program does not host");
                return Ok(Hosting::No);
            }
            Err(_) => return Ok(Hosting::No),
        };
        let hosted = Hosted { relay: relay.clone(), address };
        {
            let mut state = self.state();
            if state.ended {
                return Ok(Hosting::No);
            }
            state.hosted = Some(hosted.clone());
        }
        let secure = Arc::new(Noise(identity.clone()));
        tokio::spawn(async move {
            if let Err(error) = relay.serve(listener, secure).await {
                tracing::error!(%error, "the relay of this program stopped listening");
            }
        });
        tracing::info!("this program is the relay now");
        Ok(Hosting::Yes(hosted))
    }

    fn listen_line(&self, hosted: &Hosted) -> String {
        format!("{}://{}", self.place.transport_name, hosted.address.place)
    }

    /// Asks again and again whether the host is gone; says so once this program has taken its place.
    async fn watch(self: Arc<Self>, mut superseded: oneshot::Sender<()>) {
        loop {
            let byte =
                (&mut OsEntropy as &mut dyn Entropy).bytes::<1>().map_or(128, |[byte]| u64::from(byte));
            let wait = Duration::from_millis(PROBE_MS / 2 + PROBE_MS * byte / 255);
            tokio::select! {
                () = superseded.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match self.try_host().await {
                Ok(Hosting::Taken) => {}
                Ok(Hosting::Yes(_)) => {
                    if superseded.send(()).is_err() {
                        tracing::debug!("the link had ended by itself");
                    }
                    return;
                }
                Ok(Hosting::No) | Err(_) => return,
            }
        }
    }

    /// What a failed attempt means: at the start some failures are the user's to mend, later all are worth another try.
    fn judge(&self, error: LinkError, taken: bool) -> ConnectError {
        let relay = &self.place.address.place;
        let fatal = |exit_code, message| ConnectError::Fatal { exit_code, message };
        let silent = taken && matches!(error, LinkError::Timeout(_) | LinkError::Unreachable { .. });
        let (attempted, connected, unanswered) = {
            let mut state = self.state();
            state.unanswered = if silent { state.unanswered + 1 } else { 0 };
            (std::mem::replace(&mut state.attempted, true), state.connected, state.unanswered)
        };
        if connected {
            return ConnectError::Retry(error.to_string());
        }
        let in_use = |what: &str| {
            format!(
                "{relay} is in use by something that {what}; choose another address, as in \
                 --set topology.relay=127.0.0.1:23456"
            )
        };
        if silent {
            let message = in_use("does not answer as a chat relay");
            let given_up = !self.place.interactive && unanswered >= UNANSWERED;
            return if given_up { fatal(4, message) } else { ConnectError::Retry(message) };
        }
        let impostor = matches!(error, LinkError::WrongPeer { .. } | LinkError::NotAuthenticated(_));
        if attempted && !impostor {
            return ConnectError::Retry(error.to_string());
        }
        match error {
            LinkError::WrongPeer { expected, found } => fatal(
                3,
                format!(
                    "the relay at {relay} is {found}, but the profile pins {expected}; if it has changed its key for a \
                 good reason, change topology.relay, else somebody is in between"
                ),
            ),
            LinkError::NotAuthenticated(why) => {
                fatal(3, format!("the relay at {relay} could not prove who it is ({why}); nothing was sent"))
            }
            LinkError::BadAddress { .. } => fatal(2, format!("topology.relay: {error}")),
            LinkError::Resolve { .. } => fatal(4, format!("{error}; check topology.relay and the network")),
            LinkError::ForeignProtocol { looks_like } => {
                fatal(4, in_use(&format!("is no chat relay ({looks_like})")))
            }
            error => ConnectError::Retry(error.to_string()),
        }
    }

    async fn connect(self: Arc<Self>) -> Result<Connected, ConnectError> {
        let hosting = self.try_host().await.map_err(|error| self.judge(error, false))?;
        let taken = matches!(hosting, Hosting::Taken);
        let (address, listen) = match &hosting {
            Hosting::Yes(hosted) => (hosted.address.clone(), vec![self.listen_line(hosted)]),
            Hosting::Taken | Hosting::No => (self.place.address.clone(), Vec::new()),
        };
        let dialed = transport_noise::dial(&*self.place.transport, &address, &self.place.identity).await;
        let link = dialed.map_err(|error| self.judge(error, taken))?;
        self.state().connected = true;
        let superseded = taken.then(|| {
            let (sender, receiver) = oneshot::channel();
            tokio::spawn(Arc::clone(&self).watch(sender));
            receiver
        });
        let relay = format!("{}://{}", self.place.transport_name, address.place);
        Ok(Connected { link, relay, hosting: !listen.is_empty(), listen, superseded })
    }
}

#[async_trait]
impl Connector for Network {
    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        let shared = Arc::clone(&self.shared);
        self.on_network(async move {
            match shared.try_host().await {
                Ok(Hosting::Yes(hosted)) => Ok(vec![shared.listen_line(&hosted)]),
                Ok(Hosting::Taken | Hosting::No) => Ok(Vec::new()),
                Err(error) => Err(shared.judge(error, false)),
            }
        })
        .await?
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        self.on_network(Arc::clone(&self.shared).connect()).await?
    }
}
