//! An honest client: the real engine in this process, over any transport.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::api::command::{History, InRoom, Send};
use chat_core::api::event::{Alarm, AlarmKind, MessageNew, MessageStatus};
use chat_core::api::handle::{EventReader, Lagged};
use chat_core::api::{Command, CommandError, Destination, MessageState, MessageView, PeerView, Reply};
use chat_core::nick::{Nick, RoomName};
use chat_core::{
    Address, Cipher, ClientHandle, Environment, Event, Identity, KeyExchange, MessageId, PeerId, Transport,
};
use client::{ClientConfig, ConnectError, Connected, Connector, Node, StorePlace, Unsent};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::stack::Stack;

/// The room everybody is in.
pub const LOBBY: &str = "#lobby";
/// How long a condition may take. The longest there is by design: a date that jumped by a month is doubted for an
/// hour, and ages are looked at once an hour. On a paused clock it passes in no time.
pub const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// What somebody is made of.
#[derive(Clone)]
pub struct Setup {
    /// What it is called.
    pub nick: String,
    /// Who it is.
    pub identity: Identity,
    /// The names of its plugins.
    pub stack: Stack,
    /// Its key exchange, of that name.
    pub key_exchange: Arc<dyn KeyExchange>,
    /// Its cipher, of that name.
    pub cipher: Arc<dyn Cipher>,
    /// What carries it to the relay.
    pub transport: Arc<dyn Transport>,
    /// Its relay.
    pub relay: Address,
    /// Its clock.
    pub clock: Arc<Clock>,
    /// Its database; none = in memory, and then it can't be started again.
    pub database: Option<PathBuf>,
}

/// Somebody honest.
pub struct Person {
    setup: Setup,
    running: Option<Running>,
    /// What it was told of in this run.
    seen: Vec<Event>,
    /// What was seen before here is not looked at.
    mark: usize,
}

struct Running {
    handle: ClientHandle,
    events: EventReader,
    finish: oneshot::Sender<Duration>,
    task: JoinHandle<Unsent>,
}

impl Setup {
    /// Starts it.
    pub fn start(self) -> Person {
        let mut person = Person { setup: self, running: None, seen: Vec::new(), mark: 0 };
        person.start();
        person
    }

    fn config(&self) -> ClientConfig {
        ClientConfig {
            identity: self.identity.clone(),
            nick: Nick::new(self.nick.clone()).expect("a nick"),
            rooms: vec![RoomName::new(LOBBY).expect("a room")],
            closed_rooms_only: false,
            key_exchange: Arc::clone(&self.key_exchange),
            key_exchange_name: self.stack.key_exchange.into(),
            cipher: Arc::clone(&self.cipher),
            stack: self.stack.view(),
            rules: client::Rules::default(),
            config_text: String::new(),
            store: self.database.clone().map_or(StorePlace::Memory, StorePlace::File),
            store_key: client::StoreKey::from_bytes(&[7; 32]),
            history: chat_core::profile::Retention::Forever,
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// Starting, ending.
impl Person {
    fn start(&mut self) {
        let environment: Arc<dyn Environment> = Arc::clone(&self.setup.clock) as _;
        let dialer = Arc::new(Dialer(self.setup.clone()));
        let (node, handle) = Node::new(self.setup.config(), dialer, environment).expect("the client starts");
        let (finish, finished) = oneshot::channel();
        let events = handle.events();
        self.running = Some(Running { events, handle, finish, task: tokio::spawn(node.run(finished)) });
        (self.seen, self.mark) = (Vec::new(), 0);
    }

    /// Ends as a user would end it.
    pub async fn leave(&mut self) {
        let Running { finish, task, .. } = self.running.take().expect("it runs");
        // If it has ended already, the more so.
        finish.send(Duration::from_secs(5)).unwrap_or_default();
        timeout(PATIENCE, task).await.expect("it ends").expect("without a panic");
    }

    /// Ends and starts again on the same database, and waits for its link. What it was told before is forgotten.
    pub async fn restart(&mut self) {
        self.leave().await;
        self.come_back().await;
    }

    /// Starts again after [`Person::leave`], as [`Person::restart`] does.
    pub async fn come_back(&mut self) {
        assert!(self.setup.database.is_some(), "{} has nothing to start again from", self.setup.nick);
        self.start();
        self.wait_link_up().await;
    }

    /// What it is made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Who it is.
    pub fn id(&self) -> PeerId {
        self.setup.identity.peer_id()
    }

    /// The frontend's handle.
    pub fn handle(&self) -> &ClientHandle {
        &self.running.as_ref().expect("it runs").handle
    }
}

/// Asking it.
impl Person {
    /// Runs a command.
    ///
    /// # Errors
    /// The engine's refusal.
    pub async fn run(&self, command: Command) -> Result<Reply, CommandError> {
        timeout(PATIENCE, self.handle().run(command)).await.expect("an answer")
    }

    /// Sends a text to a name, a peer id or a room.
    pub async fn send(&self, to: &str, text: &str) -> MessageId {
        self.try_send(to, text)
            .await
            .unwrap_or_else(|error| panic!("{} can't send: {error}", self.setup.nick))
    }

    /// As [`Person::send`], if it is possible.
    ///
    /// # Errors
    /// The engine's refusal.
    pub async fn try_send(&self, to: &str, text: &str) -> Result<MessageId, CommandError> {
        let to = Destination::try_from(to.to_owned()).expect("a destination");
        match self.run(Command::Send(Send { to, text: text.to_owned(), client_id: None })).await? {
            Reply::Sent { id } => Ok(id),
            other => panic!("{other:?} for an answer"),
        }
    }

    /// The messages of a conversation, oldest first.
    pub async fn history(&self, with: &str) -> Vec<MessageView> {
        let with = Destination::try_from(with.to_owned()).expect("a destination");
        match self.run(Command::History(History { with, before: None, limit: Some(1000) })).await {
            Ok(Reply::History { messages, .. }) => messages,
            // With somebody it has never heard of.
            Err(_) => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    /// The texts of a conversation, oldest first.
    pub async fn texts(&self, with: &str) -> Vec<String> {
        self.history(with).await.into_iter().map(|message| message.text).collect()
    }

    /// How far a message of its own has come.
    pub async fn state(&self, with: &str, id: MessageId) -> MessageState {
        let history = self.history(with).await;
        let message = history.into_iter().find(|message| message.id == id).expect("it is in history");
        message.delivery.expect("it is its own").state
    }

    /// Somebody it knows, by key.
    pub fn knows(&self, peer: PeerId) -> Option<PeerView> {
        self.handle().snapshot().peer(peer).map(|peer| PeerView::clone(peer))
    }

    /// Who is in a room, as far as it knows.
    pub async fn members(&self, room: &str) -> Vec<PeerId> {
        let room = room.parse().expect("a room");
        match self.run(Command::Members(InRoom { room })).await {
            Ok(Reply::Members { members }) => members.iter().map(|member| member.peer_id).collect(),
            other => panic!("{other:?}"),
        }
    }
}

/// What it is told.
impl Person {
    /// What was told so far is not looked at any more.
    pub fn forget(&mut self) {
        self.drain();
        self.mark = self.seen.len();
    }

    /// Everything it was told since [`Person::forget`].
    pub fn told(&mut self) -> &[Event] {
        self.drain();
        &self.seen[self.mark..]
    }

    fn drain(&mut self) {
        let Some(running) = &mut self.running else { return };
        while let Some(next) = running.events.try_next() {
            match next {
                Ok(numbered) => self.seen.push(numbered.event.clone()),
                Err(Lagged::Behind { .. }) => {}
                Err(Lagged::Stopped) => return,
            }
        }
    }

    /// Waits until `look` finds something in what it was told since [`Person::forget`].
    #[track_caller]
    pub fn wait<T>(
        &mut self,
        what: impl Into<String>,
        mut look: impl FnMut(&Event) -> Option<T>,
    ) -> impl Future<Output = T> {
        let (caller, what) = (std::panic::Location::caller(), what.into());
        async move {
            if let Some(found) = self.told().iter().find_map(&mut look) {
                return found;
            }
            let waiting = async {
                let Self { running, seen, setup, .. } = self;
                let events = &mut running.as_mut().expect("it runs").events;
                loop {
                    match events.next().await {
                        Ok(numbered) => seen.push(numbered.event.clone()),
                        Err(Lagged::Behind { .. }) => continue,
                        Err(Lagged::Stopped) => panic!("{} has stopped ({caller})", setup.nick),
                    }
                    if let Some(found) = seen.last().and_then(&mut look) {
                        return found;
                    }
                }
            };
            match timeout(PATIENCE, waiting).await {
                Ok(found) => found,
                Err(_) => panic!("{} waited in vain for {what} ({caller})", self.setup.nick),
            }
        }
    }

    /// Waits until a message of its own has come so far, or further.
    #[track_caller]
    pub fn wait_state(&mut self, id: MessageId, state: MessageState) -> impl Future<Output = MessageStatus> {
        self.wait(format!("{id} to be {state:?}"), move |event| match event {
            Event::MessageStatus(status) if status.id == id && status.state >= state => Some(status.clone()),
            _ => None,
        })
    }

    /// Waits for a text of somebody else.
    #[track_caller]
    pub fn wait_text(&mut self, text: &str) -> impl Future<Output = MessageNew> {
        self.wait(format!("{text:?}"), move |event| match event {
            Event::MessageNew(new) if new.message.text == text => Some(new.clone()),
            _ => None,
        })
    }

    /// Waits for an alarm of a kind that says something.
    #[track_caller]
    pub fn wait_alarm(&mut self, kind: AlarmKind, says: &str) -> impl Future<Output = Alarm> {
        self.wait(format!("an alarm {kind:?} that says {says:?}"), move |event| match event {
            Event::Alarm(alarm) if alarm.kind == kind && alarm.detail.contains(says) => Some(alarm.clone()),
            _ => None,
        })
    }

    /// Waits until the relay has welcomed it.
    #[track_caller]
    pub fn wait_link_up(&mut self) -> impl Future<Output = ()> {
        self.wait("a link", |event| matches!(event, Event::LinkUp(_)).then_some(()))
    }

    /// Waits until it is told that its link has ended, for a reason that says something.
    #[track_caller]
    pub fn wait_link_down(&mut self, says: &str) -> impl Future<Output = String> {
        self.wait(format!("the link to end: {says}"), move |event| match event {
            Event::LinkDown(down) if down.reason.contains(says) => Some(down.reason.clone()),
            _ => None,
        })
    }

    /// Waits until it has seen somebody.
    #[track_caller]
    pub fn wait_seen(&mut self, peer: PeerId) -> impl Future<Output = ()> {
        self.wait(format!("{peer} to be seen"), move |event| match event {
            Event::PeerSeen(seen) if seen.peer_id == peer => Some(()),
            _ => None,
        })
    }

    /// The alarms since [`Person::forget`].
    pub fn alarms(&mut self) -> Vec<Alarm> {
        let alarm = |event: &Event| match event {
            Event::Alarm(alarm) => Some(alarm.clone()),
            _ => None,
        };
        self.told().iter().filter_map(alarm).collect()
    }

    /// The texts of others since [`Person::forget`], in the order it was told of them.
    pub fn new_texts(&mut self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::MessageNew(new) => Some(new.message.text.clone()),
            _ => None,
        };
        self.told().iter().filter_map(text).collect()
    }

    /// Whether a gap was shown since [`Person::forget`].
    pub fn saw_gap(&mut self) -> bool {
        self.told().iter().any(|event| matches!(event, Event::MessageGap(_)))
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.task.abort();
        }
    }
}

/// Dials the one relay there is.
struct Dialer(Setup);

#[async_trait]
impl Connector for Dialer {
    fn relay(&self) -> String {
        self.0.relay.place.clone()
    }

    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        let Setup { transport, relay, identity, .. } = &self.0;
        let link = transport_noise::dial(&**transport, relay, identity).await;
        let link = link.map_err(|error| ConnectError::Retry(error.to_string()))?;
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
