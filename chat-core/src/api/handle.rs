//! The handle that frontends hold on the engine, and the engine's side of it. Everything between them is
//! bounded: a frontend that stops reading lags, and takes a snapshot; it never holds up the engine.

mod news;
mod reader;
mod stop;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, mpsc, oneshot};

use super::command::{Command, CommandError, ErrorKind, Reply};
use super::event::{Event, EventId, Numbered};
use super::snapshot::Snapshot;

pub use news::NewsGuard;
pub use reader::{EventReader, Lagged};
pub use stop::Stopper;

/// How many events are kept for readers that are behind.
pub const KEPT_EVENTS: usize = 4096;
/// And how many bytes of texts in them, at most (the newest is kept in any case).
const KEPT_BYTES: usize = 8 << 20;
/// How many commands may wait.
const QUEUED_COMMANDS: usize = 256;

/// Why the program ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// 0 if the user wished it.
    pub exit_code: u8,
    /// What to print on standard error, if anything.
    pub message: Option<String>,
}

/// A command with the place for its answer.
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Where the answer goes. Dropped unanswered only if the engine ends.
    pub reply: oneshot::Sender<Result<Reply, CommandError>>,
}

struct Log {
    epoch: u32,
    /// Number of the newest event.
    last: u64,
    kept: VecDeque<Arc<Numbered>>,
    /// Bytes of texts in `kept`.
    bytes: usize,
    wakers: news::Wakers,
    stop: Option<StopReason>,
}

impl Log {
    fn push(&mut self, event: Event) {
        self.last += 1;
        self.bytes += event.weight();
        self.kept.push_back(Arc::new(Numbered { id: EventId { epoch: self.epoch, n: self.last }, event }));
        while self.kept.len() > KEPT_EVENTS || (self.bytes > KEPT_BYTES && self.kept.len() > 1) {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.event.weight();
        }
    }
}

struct Shared {
    log: Mutex<Log>,
    news: Notify,
    blocking_news: Condvar,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl Shared {
    /// A poisoned lock is taken all the same: the data behind it is replaced as a whole, never half.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, wakers: news::Wakers) {
        self.news.notify_waiters();
        self.blocking_news.notify_all();
        wakers.wake();
    }
}

/// A frontend's handle on the engine. Cloning it is cheap.
#[derive(Clone)]
pub struct ClientHandle {
    commands: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// The engine's side.
pub struct EngineSide {
    /// Commands to be answered.
    pub requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
}

/// A handle and its engine side. `snapshot.event.epoch` numbers this run.
pub fn channel(snapshot: Snapshot) -> (ClientHandle, EngineSide) {
    let (commands, requests) = mpsc::channel(QUEUED_COMMANDS);
    let log = Log {
        epoch: snapshot.event.epoch,
        last: snapshot.event.n,
        kept: VecDeque::new(),
        bytes: 0,
        wakers: news::Wakers::default(),
        stop: None,
    };
    let shared = Arc::new(Shared {
        log: Mutex::new(log),
        news: Notify::new(),
        blocking_news: Condvar::new(),
        snapshot: RwLock::new(Arc::new(snapshot)),
    });
    (ClientHandle { commands, shared: Arc::clone(&shared) }, EngineSide { requests, shared })
}

fn stopping() -> CommandError {
    CommandError::new(ErrorKind::Stopping, "the program is stopping")
}

impl ClientHandle {
    /// Runs a command. Cancel safe in this sense: once queued it is carried out, whether or not the answer is awaited.
    ///
    /// # Errors
    /// The engine's refusal, or [`ErrorKind::Stopping`].
    pub async fn run(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Request { command, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Runs a command from a thread that may block.
    ///
    /// # Errors
    /// As [`ClientHandle::run`].
    pub fn run_blocking(&self, command: Command) -> Result<Reply, CommandError> {
        self.submit_blocking(command)?.blocking_recv().map_err(|_| stopping())?
    }

    /// Queues a command without waiting; the receiver gets its answer.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the queue is full, [`ErrorKind::Stopping`] at the end.
    pub fn submit(
        &self,
        command: Command,
    ) -> Result<oneshot::Receiver<Result<Reply, CommandError>>, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Request { command, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                CommandError::new(ErrorKind::Busy, "too many commands at once; try again")
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        Ok(answer)
    }

    /// Queues a command, blocking while the queue is full; the receiver gets its answer.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] at the end.
    pub fn submit_blocking(
        &self,
        command: Command,
    ) -> Result<oneshot::Receiver<Result<Reply, CommandError>>, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.commands.blocking_send(Request { command, reply }).map_err(|_| stopping())?;
        Ok(answer)
    }

    /// Waits for a place in the queue, for a caller that must keep its commands in order without waiting for
    /// each answer. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Stopping`] at the end.
    pub async fn reserve(&self) -> Result<Place<'_>, CommandError> {
        self.commands.reserve().await.map(Place).map_err(|_| stopping())
    }

    /// What there is to see now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Events from now on.
    pub fn events(&self) -> EventReader {
        let next = self.shared.log().last + 1;
        EventReader { shared: Arc::clone(&self.shared), next }
    }

    /// Events after `since`, or `None` if they are no longer known: then a snapshot is needed.
    pub fn events_since(&self, since: EventId) -> Option<EventReader> {
        let log = self.shared.log();
        let oldest = log.last + 1 - log.kept.len() as u64;
        let known = since.epoch == log.epoch && since.n <= log.last && since.n + 1 >= oldest;
        known.then(|| EventReader { shared: Arc::clone(&self.shared), next: since.n + 1 })
    }

    /// Calls `waker` after every new event or stop, from the engine's thread, until the guard is dropped: it must only
    /// wake somebody. A call that has begun by then may still be on its way.
    pub fn on_news(&self, waker: Arc<dyn Fn() + Send + Sync>) -> NewsGuard {
        NewsGuard::new(Arc::clone(&self.shared), waker)
    }

    /// Set once the program ends; a frontend then leaves its loop.
    pub fn stopping(&self) -> Option<StopReason> {
        self.shared.log().stop.clone()
    }
}

/// A place in the queue of commands; dropping it gives it back.
pub struct Place<'a>(mpsc::Permit<'a, Request>);

impl Place<'_> {
    /// Queues a command; the receiver gets its answer.
    pub fn submit(self, command: Command) -> oneshot::Receiver<Result<Reply, CommandError>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request { command, reply });
        answer
    }
}

impl EngineSide {
    /// Makes events and the snapshot after them visible.
    pub fn publish(&self, events: Vec<Event>, snapshot: impl FnOnce(EventId) -> Snapshot) {
        let mut log = self.shared.log();
        for event in events {
            log.push(event);
        }
        let snapshot = snapshot(EventId { epoch: log.epoch, n: log.last });
        *self.shared.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        let wakers = log.wakers.clone();
        drop(log);
        self.shared.wake(wakers);
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Destination;
    use super::super::event::{LinkDown, MessageNew};
    use super::super::snapshot::{Author, LinkState, LinkView, MessageView, StackView};
    use super::*;
    use crate::ids::{ConversationId, MessageId, PeerId, Timestamp};
    use crate::nick::Nick;

    pub(super) fn snapshot(event: EventId) -> Snapshot {
        Snapshot {
            event,
            peer_id: PeerId::default(),
            nick: Nick::new("alice").unwrap(),
            link: LinkView {
                state: LinkState::Connecting,
                relay: String::new(),
                relay_fingerprint: None,
                hosting: false,
                listen: vec![],
                figures: Default::default(),
            },
            stack: Arc::new(StackView {
                transport: String::new(),
                transports: Vec::new(),
                key_exchange: String::new(),
                cipher: String::new(),
                frontend: String::new(),
                properties: Default::default(),
            }),
            conversations: vec![],
            peers: vec![],
        }
    }

    fn message(text: &str) -> Event {
        Event::MessageNew(MessageNew {
            message: MessageView {
                id: MessageId::default(),
                address: Destination::Nick("bob".into()),
                conversation: ConversationId::default(),
                position: 0,
                from: Author { peer_id: PeerId::default(), nick: "bob".into(), verified: false },
                delivery: None,
                text: text.into(),
                sent_at: Timestamp::default(),
                gap_before: false,
            },
            conversation_name: "bob".into(),
            late: false,
        })
    }

    pub(super) fn event(n: usize) -> Event {
        Event::LinkDown(LinkDown { relay: String::new(), reason: n.to_string() })
    }

    #[test]
    fn a_reader_gets_every_event_in_order_and_a_slow_one_lags() {
        let (handle, engine) = channel(snapshot(EventId { epoch: 7, n: 0 }));
        let mut reader = handle.events();
        engine.publish((1..=3).map(event).collect(), snapshot);
        for n in 1..=3 {
            assert_eq!(reader.try_next().unwrap().unwrap().id, EventId { epoch: 7, n });
        }
        assert!(reader.try_next().is_none());
        engine.publish((0..KEPT_EVENTS + 5).map(event).collect(), snapshot);
        assert_eq!(reader.try_next(), Some(Err(Lagged::Behind { dropped: 5 })));
        assert_eq!(reader.try_next().unwrap().unwrap().id.n, 9);
        assert_eq!(handle.snapshot().event.n, 3 + KEPT_EVENTS as u64 + 5);
    }

    #[test]
    fn large_texts_do_not_pile_up() {
        let (handle, engine) = channel(snapshot(EventId { epoch: 7, n: 0 }));
        let mut reader = handle.events();
        let text = "x".repeat(KEPT_BYTES / 2);
        engine.publish((0..4).map(|_| message(&text)).collect(), snapshot);
        assert_eq!(reader.try_next(), Some(Err(Lagged::Behind { dropped: 2 })));
        engine.publish(vec![message(&"x".repeat(KEPT_BYTES + 1))], snapshot);
        assert_eq!(reader.try_next(), Some(Err(Lagged::Behind { dropped: 2 })));
        assert!(matches!(reader.try_next(), Some(Ok(_))));
    }

    #[test]
    fn resume_from_a_number_or_resync() {
        let (handle, engine) = channel(snapshot(EventId { epoch: 7, n: 0 }));
        engine.publish((1..=3).map(event).collect(), snapshot);
        let mut reader = handle.events_since(EventId { epoch: 7, n: 1 }).unwrap();
        assert_eq!(reader.try_next().unwrap().unwrap().id.n, 2);
        assert!(handle.events_since(EventId { epoch: 8, n: 1 }).is_none());
        assert!(handle.events_since(EventId { epoch: 7, n: 4 }).is_none());
    }

    #[tokio::test]
    async fn a_place_is_waited_for_while_the_queue_is_full() {
        let (handle, mut engine) = channel(snapshot(EventId { epoch: 7, n: 0 }));
        for _ in 0..QUEUED_COMMANDS {
            drop(handle.submit(Command::Peers).unwrap());
        }
        assert_eq!(handle.submit(Command::Peers).unwrap_err().kind, ErrorKind::Busy);
        let later = handle.clone();
        let waiting =
            tokio::spawn(async move { later.reserve().await.unwrap().submit(Command::Rooms).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        for _ in 0..QUEUED_COMMANDS {
            assert_eq!(engine.requests.recv().await.unwrap().command, Command::Peers);
        }
        let request = engine.requests.recv().await.unwrap();
        assert_eq!(request.command, Command::Rooms);
        drop(request.reply.send(Ok(Reply::Done {})));
        assert!(matches!(waiting.await.unwrap(), Ok(Ok(Reply::Done {}))));
        drop(engine);
        assert_eq!(handle.reserve().await.err().unwrap().kind, ErrorKind::Stopping);
    }

    #[tokio::test]
    async fn stop_ends_readers_and_commands() {
        let (handle, engine) = channel(snapshot(EventId { epoch: 7, n: 0 }));
        let mut reader = handle.events();
        let waiting = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        engine.stop(StopReason { exit_code: 3, message: None });
        assert_eq!(waiting.await.unwrap(), Err(Lagged::Stopped));
        assert_eq!(handle.stopping().unwrap().exit_code, 3);
        drop(engine);
        assert_eq!(handle.run(Command::Peers).await.unwrap_err().kind, ErrorKind::Stopping);
    }
}
