//! The thread around the engine: clock, queues, and the link to the relay.

mod life;
mod link;
mod making;
mod pulse;
mod round_trip;
mod shown;
mod unsent;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use chat_core::api::event::{EventId, Ready};
use chat_core::api::handle::{self, ClientHandle, EngineSide};
use chat_core::api::{Event, StopReason};
use chat_core::environment::{Environment, System};
use chat_core::error::CryptoError;
use chat_core::wire::ToRelay;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, timeout};

use crate::config::ClientConfig;
use crate::connect::{ConnectError, Connector};
use crate::engine::{Engine, Input, Moment, Turn, Uptime};
use crate::store::{Store, StoreError};
use crate::watch;
use link::LinkEvent;
use making::{MakeBundle, MakeOneTimeKeys, Maker};

pub use unsent::Unsent;

/// Most inputs of one turn: one commit serves all of them.
const TURN_INPUTS: usize = 256;
/// Longest time for [`Connector::prepare`].
const PREPARE_DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for a key exchange to make keys: RSA on a slow machine.
const KEYS_DEADLINE: Duration = Duration::from_secs(180);
/// Longest time for the link to close in good order at the end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// Longest time for the engine to end beyond what it is given: its other deadlines, and that of a plugin that hangs.
const END_DEADLINE: Duration = Duration::from_secs(60);

/// Why the client could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// No thread or no runtime.
    #[error("the client's thread could not be started: {0}")]
    Io(#[from] std::io::Error),
}

/// A running client. Dropping it without [`Client::finish`] lets it end by itself, without a farewell.
pub struct Client {
    finish: Option<oneshot::Sender<Duration>>,
    thread: JoinHandle<()>,
    ended: std::sync::mpsc::Receiver<End>,
}

/// What becomes of the engine's thread.
enum End {
    Over(Unsent),
    /// A plugin does not return, and so the thread never ends.
    Hangs,
}

impl Client {
    /// Opens the store and starts the engine on a thread of its own. If a call of a plugin does not return within half
    /// a minute, every frontend is told to end, with exit code 1.
    ///
    /// # Errors
    /// [`StartError`]; nothing has started then.
    pub fn start(
        config: ClientConfig,
        connector: Arc<dyn Connector>,
    ) -> Result<(Self, ClientHandle), StartError> {
        Self::start_watched(config, connector, watch::LOOK_EVERY, watch::LOOKS)
    }

    fn start_watched(
        config: ClientConfig,
        connector: Arc<dyn Connector>,
        every: Duration,
        looks: u32,
    ) -> Result<(Self, ClientHandle), StartError> {
        let name = config.key_exchange_name.clone();
        let (node, handle) = Node::new(config, connector, Arc::new(System))?;
        let (finish, finished) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        // Both ends of the story, at most: that it hangs, and that it is over after all.
        let (tell, ended) = std::sync::mpsc::sync_channel(2);
        let (alive, gone) = std::sync::mpsc::sync_channel(1);
        let (watched, stopper) = (node.driver.engine.watch(), node.driver.side.stopper());
        let tell_hanging = tell.clone();
        let look_on = move || {
            let Some(call) = watch::look_on(&watched, &gone, every, looks) else { return };
            let seconds = every.as_secs().saturating_mul(looks.into());
            let message = format!(
                "{} hangs: it has not returned from `{}` for {seconds} s. The program ends; nothing that was committed \
                 is lost",
                call.culprit(&name),
                call.name()
            );
            tracing::error!(message);
            stopper.stop(StopReason { exit_code: 1, message: Some(message) });
            // Nobody may wait for it.
            drop(tell_hanging.send(End::Hangs));
        };
        std::thread::Builder::new().name("watch".to_owned()).spawn(look_on)?;
        let run = move || {
            let _alive: std::sync::mpsc::SyncSender<()> = alive;
            drop(tell.send(End::Over(runtime.block_on(node.run(finished)))));
        };
        let thread = std::thread::Builder::new().name("client".to_owned()).spawn(run)?;
        Ok((Self { finish: Some(finish), thread, ended }, handle))
    }

    /// Hands over what is queued if the relay is there, for at most `grace`, closes the link in good order
    /// and ends. If this program is the relay, it also waits so long for those of its recipients who are there. An engine
    /// in which a plugin hangs is left behind, and so is one that has not ended a minute after `grace`. Blocks; not to be
    /// called from async code.
    pub fn finish(mut self, grace: Duration) -> Unsent {
        if self.finish.take().is_some_and(|finish| finish.send(grace).is_err()) {
            tracing::debug!("the engine had ended already");
        }
        match self.ended.recv_timeout(grace.saturating_add(END_DEADLINE)) {
            Ok(End::Over(unsent)) if self.thread.join().is_ok() => unsent,
            // It panicked, or hangs, or is late: how much is unsent is not known.
            _ => Unsent { no_relay: u64::MAX, own_relay: 0 },
        }
    }
}

/// A client as a future, for a program that has a runtime for it: a simulation, or somebody who embeds it.
/// [`Client`] gives it a thread.
pub struct Node {
    driver: Driver,
    connector: Arc<dyn Connector>,
    max_backoff: Duration,
    ready: Ready,
    keys_made: mpsc::Receiver<Input>,
}

impl Node {
    /// Opens the store, which blocks, and reads the state.
    ///
    /// # Errors
    /// [`StartError`]; nothing has started then.
    pub fn new(
        config: ClientConfig,
        connector: Arc<dyn Connector>,
        environment: Arc<dyn Environment>,
    ) -> Result<(Self, ClientHandle), StartError> {
        let store = Store::open_sealed(&config.store, &config.store_key, environment.entropy())?;
        let mut entropy = environment.entropy();
        let epoch = u32::from_be_bytes(entropy.bytes()?);
        let max_backoff = config.max_backoff;
        let (me, nick) = (config.identity.peer_id(), config.nick.clone());
        let ready = Ready { listen: Vec::new(), peer_id: me, fingerprint: me, nick };
        let keys = (Arc::clone(&config.key_exchange), Arc::clone(&config.cipher));
        let start = Moment { wall: environment.now(), up: Uptime::default() };
        let mut engine = Engine::new(config, store, entropy, start)?;
        let (handle, side) = handle::channel(engine.snapshot(EventId { epoch, n: 0 }));
        let (made_keys, keys_made) = mpsc::channel(2);
        let maker = || Maker::new(keys.clone(), Arc::clone(&environment), made_keys.clone(), KEYS_DEADLINE);
        let (bundles, one_time_keys) = (maker(), maker());
        let driver = Driver {
            engine,
            side,
            records: None,
            closer: None,
            bundles,
            one_time_keys,
            environment,
            began: None,
            shown: shown::Shown::default(),
        };
        Ok((Self { driver, connector, max_backoff, ready, keys_made }, handle))
    }

    /// Is the client, until `finished` gives the time that handing over what is queued may take, or is dropped.
    /// Dropping the future ends it at once; whatever was committed is kept.
    pub async fn run(self, finished: oneshot::Receiver<Duration>) -> Unsent {
        let Self { driver, connector, max_backoff, ready, keys_made } = self;
        driver.run(connector, max_backoff, ready, keys_made, finished).await
    }
}

struct Driver {
    /// What the last snapshot showed of the link.
    shown: shown::Shown,
    /// When it began to run.
    began: Option<Instant>,
    environment: Arc<dyn Environment>,
    engine: Engine,
    side: EngineSide,
    /// Where records of the live link go.
    records: Option<mpsc::Sender<ToRelay>>,
    /// Ends the live link.
    closer: Option<oneshot::Sender<String>>,
    bundles: Maker,
    one_time_keys: Maker,
}

impl Driver {
    async fn run(
        mut self,
        connector: Arc<dyn Connector>,
        max_backoff: Duration,
        mut ready: Ready,
        mut keys_made: mpsc::Receiver<Input>,
        mut finished: oneshot::Receiver<Duration>,
    ) -> Unsent {
        self.engine.set_relay(connector.relay());
        match timeout(PREPARE_DEADLINE, connector.prepare()).await {
            Ok(Ok(listen)) => ready.listen = listen,
            Ok(Err(ConnectError::Retry(reason))) => tracing::warn!(reason, "not prepared to host"),
            Ok(Err(ConnectError::Fatal { exit_code, message })) => {
                self.side.stop(StopReason { exit_code, message: Some(message) });
                return Unsent { no_relay: self.engine.unsent(), own_relay: 0 };
            }
            Err(_) => tracing::warn!("preparing to host took too long"),
        }
        self.engine.set_listen(ready.listen.clone());
        self.publish(vec![Event::Ready(ready)]);
        let (events, mut link_events) = mpsc::channel(64);
        let link =
            tokio::spawn(link::keep_linked(connector, events, max_backoff, self.environment.entropy()));
        let mut ticks = interval(Duration::from_millis(self.engine.next_tick_ms()));
        let mut deadline = None;
        loop {
            let first = tokio::select! {
                biased;
                grace = &mut finished, if deadline.is_none() => {
                    deadline = Some(Instant::now() + grace.unwrap_or_default());
                    None
                }
                Some(event) = link_events.recv() => self.link_event(event),
                Some(keys) = keys_made.recv() => Some(keys),
                Some(request) = self.side.requests.recv() => Some(Input::Command(request)),
                _ = ticks.tick() => Some(Input::Tick),
                () = until(deadline) => None,
            };
            if let Some(first) = first {
                let inputs = self.gather(first, &mut link_events);
                self.turn(inputs);
            }
            if let Some(deadline) = deadline
                && (self.engine.is_drained() || Instant::now() >= deadline)
            {
                break;
            }
        }
        self.farewell(link).await
    }

    /// Closes the link after everything handed to it has left.
    async fn farewell(mut self, link: tokio::task::JoinHandle<()>) -> Unsent {
        let unsent = Unsent { no_relay: self.engine.unsent(), own_relay: self.engine.unsent_by_own_relay() };
        let had_link = self.records.take().is_some();
        if had_link && timeout(CLOSE_DEADLINE, link).await.is_err() {
            tracing::warn!("the link did not close in time");
        }
        self.engine.end_run();
        // An end that was asked for is no failure; a reason that was given before stays.
        self.side.stop(StopReason { exit_code: 0, message: None });
        unsent
    }

    /// What waits besides the first input goes into the same turn, and so into the same commit.
    fn gather(&mut self, first: Input, link_events: &mut mpsc::Receiver<LinkEvent>) -> Vec<Input> {
        let mut inputs = vec![first];
        while inputs.len() < TURN_INPUTS {
            // A link that comes or goes changes where records go, so it ends the turn's gathering.
            match link_events.try_recv() {
                Ok(event @ LinkEvent::Record(_)) => inputs.extend(self.link_event(event)),
                Ok(event) => {
                    inputs.extend(self.link_event(event));
                    break;
                }
                Err(_) => break,
            }
        }
        while inputs.len() < TURN_INPUTS {
            match self.side.requests.try_recv() {
                Ok(request) => inputs.push(Input::Command(request)),
                Err(_) => break,
            }
        }
        inputs
    }

    fn link_event(&mut self, event: LinkEvent) -> Option<Input> {
        match event {
            LinkEvent::Dialing => Some(Input::Dialing),
            LinkEvent::Up { info, records, closer, moved } => {
                (self.records, self.closer) = (Some(records), Some(closer));
                Some(if moved { Input::LinkMoved(info) } else { Input::LinkUp(info) })
            }
            LinkEvent::Impostor(who) => Some(Input::Impostor(who)),
            LinkEvent::Record(record) => Some(Input::Record(record)),
            LinkEvent::Down { reason } => {
                (self.records, self.closer) = (None, None);
                Some(Input::LinkDown { reason })
            }
            LinkEvent::Fatal { exit_code, message } => {
                self.side.stop(StopReason { exit_code, message: Some(message) });
                None
            }
        }
    }

    fn moment(&mut self) -> Moment {
        let began = *self.began.get_or_insert_with(Instant::now);
        let up = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { wall: self.environment.now(), up: Uptime(up) }
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        let silent = inputs.iter().all(|input| matches!(input, Input::Tick | Input::Record(_)));
        let at = self.moment();
        let Turn { records, events, answers, drop_link, want_keys, want_one_time_keys, stop, damaged } =
            self.engine.turn(at, inputs);
        if !events.is_empty() || !silent || self.has_new_figures() {
            self.publish(events);
        }
        let mut drop_link = drop_link;
        for record in records {
            let Some(link) = &self.records else { break };
            if link.try_send(record).is_err() {
                drop_link.get_or_insert_with(|| "the link does not keep up".to_owned());
                break;
            }
        }
        for (to, answer) in answers {
            // A frontend that no longer waits for its answer is no reason to stop.
            drop(to.send(answer));
        }
        if let Some(reason) = drop_link
            && let Some(closer) = self.closer.take()
        {
            drop(closer.send(reason));
        }
        if want_keys {
            self.bundles.make(MakeBundle);
        }
        if let Some(count) = want_one_time_keys {
            self.one_time_keys.make(MakeOneTimeKeys(count));
        }
        if damaged.is_some() {
            self.side.stop(StopReason { exit_code: 1, message: damaged });
        }
        if stop {
            self.side.stop(StopReason { exit_code: 0, message: None });
        }
    }

    fn has_new_figures(&mut self) -> bool {
        self.shown.may_change() && self.shown.differs(self.engine.read_figures())
    }

    fn publish(&mut self, events: Vec<Event>) {
        let engine = &mut self.engine;
        self.shown.shows(engine.read_figures());
        self.side.publish(events, |event| engine.snapshot(event));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
