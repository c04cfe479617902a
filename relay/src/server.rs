//! The relay as a whole: listeners, handshakes, the end.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::environment::{Environment, System};
use chat_core::transport::{Dialed, HANDSHAKE_DEADLINE, Incoming, Link, Listener, Peer, emulated};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
use chat_core::{LinkError, PeerId, Timestamp};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;

use crate::config::{MailboxLimits, RelayConfig};
use crate::connection;
use crate::figures::{Counters, Figures};
use crate::gate::Gate;
use crate::handshakes::{Handshakes, Place};
use crate::hub::{Hub, error};
use crate::mail::Window;
use crate::mailbox::{Mailbox, MailboxError, SqliteMailbox, Swept, Write};
use crate::memory::Pool;
use crate::origins::{Origin, Origins, Visit};

/// How often it is told what the log left out.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);
/// How often what is too old is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// Connection tasks there can be; far more than clients and handshakes.
const MAX_TASKS: u32 = 1 << 20;

/// Makes an authenticated link of what a transport gives: puts the Noise layer over bare links.
#[async_trait]
pub trait Secure: Send + Sync {
    /// Runs under a deadline. Cancel safe: dropping it closes the link.
    ///
    /// # Errors
    /// [`LinkError`] if the peer doesn't prove who it is.
    async fn secure(&self, dialed: Dialed) -> Result<Link, LinkError>;
}

/// A running relay. Clones are handles of the same one; it stops with [`Relay::shutdown`].
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: RelayConfig,
    pub(crate) mailbox: Arc<dyn Mailbox>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) closing: watch::Sender<bool>,
    /// A permit each task of a connection; all of them together are the proof that none is left.
    tasks: Arc<Semaphore>,
    origins: Arc<Origins>,
    /// For what waits to be sent.
    pub(crate) memory: Arc<Pool>,
    /// Room for submitted envelopes that are not committed, in KiB.
    pub(crate) submitting: Arc<Semaphore>,
    /// Of lines about links.
    pub(crate) log: Gate,
    /// Of lines about those who speak something else.
    foreign: Gate,
    swept: AtomicBool,
}

/// Until the relay stops, or is gone.
pub(crate) async fn until_closing(closing: &mut watch::Receiver<bool>) {
    drop(closing.wait_for(|closing| *closing).await);
}

impl Inner {
    /// The result of a read, or an error after a while.
    pub(crate) async fn in_time<T>(
        &self,
        reading: impl Future<Output = Result<T, MailboxError>>,
    ) -> Result<T, MailboxError> {
        timeout(self.config.storage_timeout, reading)
            .await
            .unwrap_or_else(|_| Err(MailboxError::Storage("no answer in time".into())))
    }
}

impl Relay {
    /// A relay over any mailbox, on the real machine.
    pub fn new(config: RelayConfig, mailbox: Arc<dyn Mailbox>) -> Self {
        Self::new_in(config, mailbox, Arc::new(System))
    }

    /// A relay over any mailbox, in any environment.
    pub fn new_in(config: RelayConfig, mailbox: Arc<dyn Mailbox>, environment: Arc<dyn Environment>) -> Self {
        let counters = Arc::new(Counters::default());
        let window = Window { items: config.window_items, bytes: config.window_bytes };
        let hub = Arc::new(Hub::new(Arc::clone(&counters), config.max_clients, window));
        let tasks = Arc::new(Semaphore::new(MAX_TASKS as usize));
        let closing = watch::Sender::new(false);
        let (origins, swept) = (Origins::new(&config), AtomicBool::new(false));
        let (memory, log) = (Pool::new(config.memory_bytes), Gate::new());
        let submitting = Arc::new(Semaphore::new(config.submit_units() as usize));
        let inner = Inner {
            config,
            mailbox,
            environment,
            hub,
            counters,
            closing,
            tasks,
            origins,
            memory,
            submitting,
            log,
            foreign: Gate::new(),
            swept,
        };
        Self { inner: Arc::new(inner) }
    }

    /// A relay over a [`SqliteMailbox`] at `database`. Blocks while the database is checked.
    ///
    /// # Errors
    /// As [`SqliteMailbox::open`].
    pub fn open(config: RelayConfig, limits: MailboxLimits, database: &Path) -> Result<Self, MailboxError> {
        Ok(Self::new(config, Arc::new(SqliteMailbox::open(database, limits)?)))
    }

    /// What it has counted.
    pub fn figures(&self) -> Figures {
        let (commits, commit_us) = self.inner.mailbox.commits();
        let memory_bytes = self.inner.memory.used() as u64;
        Figures { commits, commit_us, memory_bytes, ..self.inner.counters.figures() }
    }

    /// Serves whoever comes to `listener`, until [`Relay::shutdown`]. May run for several listeners at a time.
    /// Dropping it stops accepting; links already made live on.
    ///
    /// # Errors
    /// [`LinkError`] if listening itself has ended, or the mailbox has: there is nothing to serve then.
    pub async fn serve(
        &self,
        mut listener: Box<dyn Listener>,
        secure: Arc<dyn Secure>,
    ) -> Result<(), LinkError> {
        if !self.inner.swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::clone(&self.inner)));
            tokio::spawn(summarise(Arc::clone(&self.inner)));
        }
        let mut closing = self.inner.closing.subscribe();
        let mut handshakes = Handshakes::new(self.inner.config.max_handshakes);
        let at: Arc<str> = listener.address().place.into();
        loop {
            let incoming = tokio::select! {
                biased;
                () = until_closing(&mut closing) => return Ok(()),
                () = self.inner.mailbox.ended() => {
                    if *closing.borrow() {
                        return Ok(());
                    }
                    tracing::error!("the mailbox has ended; the relay stops");
                    return Err(std::io::Error::other("the relay's mailbox has ended").into());
                }
                incoming = listener.next() => incoming?,
            };
            let Ok(task) = Arc::clone(&self.inner.tasks).try_acquire_owned() else { continue };
            self.inner.counters.accepted.one();
            let origin = Origin::of(&incoming.remote());
            let Some(place) = handshakes.place(origin).await else { continue };
            let arrival = Arrival { incoming, origin, at: Arc::clone(&at), _place: place };
            let greeting = greet(Arc::clone(&self.inner), arrival, Arc::clone(&secure), task);
            handshakes.push(origin, tokio::spawn(greeting).abort_handle());
        }
    }

    /// Stops: accepts nobody, answers what was submitted, tells every client to move, closes the mailbox. Takes
    /// [`RelayConfig::drain_timeout`] at most for the clients, then closes the mailbox in any case.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        inner.hub.close();
        inner.closing.send_replace(true);
        let none_left = inner.tasks.acquire_many(MAX_TASKS);
        if timeout(inner.config.drain_timeout, none_left).await.is_err() {
            tracing::warn!("some clients did not take their farewell in time");
        }
        if timeout(inner.config.storage_timeout, inner.mailbox.close()).await.is_err() {
            tracing::error!("the mailbox did not close in time");
        }
    }
}

/// Tells what the log left out, as long as the relay runs.
async fn summarise(inner: Arc<Inner>) {
    let mut closing = inner.closing.subscribe();
    let mut every = tokio::time::interval(SUMMARY_EVERY);
    loop {
        tokio::select! {
            biased;
            () = until_closing(&mut closing) => return,
            _ = every.tick() => {}
        }
        let left_out = inner.log.left_out() + inner.foreign.left_out();
        if left_out > 0 {
            let figures = inner.counters.figures();
            tracing::info!(left_out, clients = figures.clients, "lines about links, in the last minute");
        }
    }
}

/// Forgets what is too old, now and then, as long as the relay runs.
async fn sweep(inner: Arc<Inner>) {
    let mut closing = inner.closing.subscribe();
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            biased;
            () = until_closing(&mut closing) => return,
            _ = every.tick() => {}
        }
        let (now, mut online) = (inner.environment.now(), inner.hub.online());
        // What others wrote meanwhile comes between the pieces.
        while sweep_piece(&inner, now, std::mem::take(&mut online)).await && !*closing.borrow() {}
    }
}

/// Whether another piece is to follow at once.
async fn sweep_piece(inner: &Inner, now: Timestamp, online: Vec<PeerId>) -> bool {
    let (tell, told) = oneshot::channel();
    let done = Box::new(move |result: Result<Swept, MailboxError>| match result {
        Ok(swept) => {
            if tell.send(swept.more).is_err() {
                tracing::debug!("a piece was swept late; the next follows at the next tick");
            }
        }
        Err(error) => tracing::warn!(%error, "nothing was swept"),
    });
    let piece = async {
        inner.mailbox.write(Write::Sweep { now, online, done }).await;
        told.await.unwrap_or(false)
    };
    timeout(inner.config.storage_timeout, piece).await.unwrap_or_else(|_| {
        tracing::warn!("the mailbox swept nothing in time");
        false
    })
}

/// Somebody new.
struct Arrival {
    incoming: Box<dyn Incoming>,
    origin: Origin,
    /// Of the listener.
    at: Arc<str>,
    /// Given back once it is known what becomes of the connection.
    _place: Place,
}

/// From a connection's first byte to its `Hello`; then a task of its own serves it.
async fn greet(inner: Arc<Inner>, arrival: Arrival, secure: Arc<dyn Secure>, task: OwnedSemaphorePermit) {
    let Arrival { incoming, origin, at, _place } = arrival;
    let remote = incoming.remote();
    let handshake = async { secure.secure(incoming.handshake().await?).await };
    let link = timeout(HANDSHAKE_DEADLINE, handshake)
        .await
        .unwrap_or(Err(LinkError::Timeout("handshake")))
        .map(without_services)
        .and_then(|link| match &link.peer {
            Peer::Key(key) => Ok((key.peer_id(), link)),
            Peer::Name(_) => Err(LinkError::NotAuthenticated("a client proves its identity key, not a name")),
        });
    let greeted = match link {
        Ok((peer, mut link)) => match hello(&inner, &mut link, origin).await {
            Ok(visit) => Ok((peer, link, visit)),
            Err(refused) => Err(refuse(link, refused).await),
        },
        Err(error) => Err(error),
    };
    match greeted {
        Ok((peer, link, visit)) => serve_link(inner, peer, link, visit, task),
        Err(error) => {
            inner.counters.failed_handshakes.one();
            // Whoever is at the wrong port is to be found without looking for it.
            let is_foreign = matches!(error, LinkError::ForeignProtocol { .. });
            if is_foreign && inner.foreign.lets_through() {
                tracing::info!(%remote, %at, %error, "a connection ended before `Hello`");
            } else {
                tracing::debug!(%remote, %at, %error, "a connection ended before `Hello`");
            }
        }
    }
}

/// A link whose streams and datagrams are refused: the relay has no service for them. Emulated ones cost nothing until
/// somebody tries.
fn without_services(link: Link) -> Link {
    let Link { peer, sink, source, stats, .. } = emulated::complete(link);
    Link { peer, sink, source, datagrams: None, streams: None, stats }
}

fn serve_link(inner: Arc<Inner>, peer: PeerId, link: Link, visit: Visit, task: OwnedSemaphorePermit) {
    let mut closing = inner.closing.subscribe();
    let drain = inner.config.drain_timeout;
    tokio::spawn(async move {
        let _task = task;
        let overtime = async {
            until_closing(&mut closing).await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            biased;
            () = connection::run(inner, link, peer, visit) => {}
            () = overtime => {}
        }
    });
}

/// The first record, and a place for the link.
async fn hello(inner: &Inner, link: &mut Link, origin: Origin) -> Result<Visit, FromRelay> {
    let out_of_order = || error(Refusal::Protocol, "expected `Hello`");
    let first = timeout(inner.config.hello_timeout, link.source.next()).await.map_err(|_| out_of_order())?;
    let Some(Ok(frame)) = first else { return Err(out_of_order()) };
    match ToRelay::decode(&frame) {
        Ok(ToRelay::Hello { version: WIRE_VERSION }) => inner.origins.visit(origin).ok_or_else(|| {
            inner.counters.refused_addresses.one();
            error(Refusal::TooFast, "too many links, of all or from your network address")
        }),
        Ok(ToRelay::Hello { .. }) => {
            Err(error(Refusal::Version, format!("this relay speaks wire version {WIRE_VERSION}")))
        }
        _ => Err(out_of_order()),
    }
}

/// Tells why and closes, within the time that handshakes have.
async fn refuse(mut link: Link, record: FromRelay) -> LinkError {
    let farewell = async {
        link.sink.send(record.encode().into()).await?;
        link.sink.close().await
    };
    match timeout(HANDSHAKE_DEADLINE, farewell).await {
        Ok(Ok(())) => LinkError::NotAuthenticated("no `Hello` of this version, or too many links"),
        Ok(Err(error)) => error,
        Err(_) => LinkError::Timeout("farewell"),
    }
}
