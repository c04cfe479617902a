//! The state of a connection: what to do about input, answers and events. Nothing here waits.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use chat_core::api::{ClientHandle, Command, CommandError, ErrorKind};
use chat_core::frontend::Place;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};

use crate::connection::Role;
use crate::desk::{Desk, Order, Ticket};
use crate::feed::{Feed, News, Unsent};
use crate::lines::LineSplitter;
use crate::methods::{Action, Hello, HelloParams, resolve};
use crate::pipes::is_gone;
use crate::protocol::{self, Lag, Outcome, ProtocolKind, RpcError};

/// How long the engine may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long writing the last lines may take once the program ends.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests come in.
    Open,
    /// No more come in; what was asked is answered, and what is queued is sent.
    Draining { until: Instant },
    /// The last lines are written.
    Leaving { until: Instant },
}

/// What came of a command.
pub(crate) struct Done {
    ticket: Ticket,
    weight: usize,
    shutdown: bool,
    outcome: Outcome,
}

pub(crate) struct Dialogue {
    pub(crate) client: ClientHandle,
    role: Role,
    flush_within: Duration,
    phase: Phase,
    /// Whether a last command has gone after all others: once it is answered, what came of them is published.
    barrier_asked: bool,
    lines: LineSplitter,
    pub(crate) desk: Desk,
    /// A command that waits for its place in the engine's queue.
    order: Option<Order>,
    pub(crate) pending: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// `system.shutdown` is on its way: what comes after it must not be begun.
    closing: bool,
    /// What is told.
    pub(crate) feed: Feed,
    /// Every event as it comes, however slowly the other side reads.
    pub(crate) watch: Feed,
    pub(crate) unsent: Unsent,
    pub(crate) failure: Option<io::Error>,
}

impl Dialogue {
    pub(crate) fn new(client: ClientHandle, role: Role, flush_within: Duration) -> Self {
        let begin = || match role {
            Role::Owner => Feed::from_start(&client),
            Role::Guest => Feed::from_now(&client),
        };
        Self {
            feed: begin(),
            watch: begin(),
            client,
            role,
            flush_within,
            phase: Phase::Open,
            barrier_asked: false,
            lines: LineSplitter::default(),
            desk: Desk::default(),
            order: None,
            pending: FuturesUnordered::new(),
            closing: false,
            unsent: Unsent::default(),
            failure: None,
        }
    }

    /// Does everything that needs no waiting.
    pub(crate) fn advance(&mut self) {
        while let Some(news) = self.watch.try_next() {
            self.watched(&news);
        }
        self.begin_requests();
        if self.phase == Phase::Open {
            return;
        }
        while self.desk.has_room()
            && let Some(news) = self.feed.try_next()
        {
            self.tell(&news);
        }
        let draining = matches!(self.phase, Phase::Draining { .. }) && self.is_idle();
        if draining && self.role == Role::Owner && !self.barrier_asked {
            self.barrier_asked = true;
            self.order = Some(Order { ticket: Ticket::Nobody, command: Command::Rooms });
        }
    }

    fn begin_requests(&mut self) {
        while self.may_begin() {
            let Some((ticket, call)) = self.desk.next() else {
                let Some(line) = self.lines.next_line() else { return };
                self.desk.take(&line);
                continue;
            };
            match call.and_then(|call| resolve(call, &|| self.client.snapshot())) {
                Ok(Action::Engine(command)) => self.order = Some(Order { ticket, command }),
                Ok(Action::Hello(params)) => self.hello(ticket, &params),
                Ok(Action::Done(outcome)) => self.desk.finish(ticket, outcome),
                Err(error) => self.desk.finish(ticket, Outcome::Error(error)),
            }
        }
    }

    fn may_begin(&self) -> bool {
        let leaving = matches!(self.phase, Phase::Leaving { .. });
        !leaving && !self.closing && self.order.is_none() && self.desk.has_room()
    }

    fn hello(&mut self, ticket: Ticket, params: &HelloParams) {
        let missed = params.since.map(|since| Feed::after(&self.client, since));
        let hello = Hello::new(&self.client.snapshot(), matches!(missed, Some(None)));
        self.desk.finish(ticket, Outcome::of(&hello));
        if let Some(Some(feed)) = missed {
            self.feed = feed;
        }
    }

    /// Whether more input is wanted: not before what is there has been begun.
    pub(crate) fn reads(&self) -> bool {
        self.phase == Phase::Open && self.may_begin() && self.desk.is_queue_empty()
    }

    /// Takes what was read; `None` is the end.
    pub(crate) fn input(&mut self, chunk: Option<io::Result<Vec<u8>>>) {
        match chunk {
            Some(Ok(chunk)) => return self.lines.push(&chunk),
            Some(Err(error)) => self.fail(error),
            None => {}
        }
        self.lines.finish();
        self.drain();
    }

    /// Nobody reads any more: the rest goes nowhere, but what was asked is done and sent.
    pub(crate) fn output_closed(&mut self) {
        self.desk.mute();
        self.drain();
    }

    fn drain(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining { until: Instant::now() + self.flush_within };
        }
    }

    fn leave(&mut self) {
        if let Some(order) = self.order.take() {
            self.desk.finish(order.ticket, Outcome::Error(stopping()));
        }
        while let Some((ticket, _)) = self.desk.next() {
            self.desk.finish(ticket, Outcome::Error(stopping()));
        }
        let until = Instant::now() + LEAVE_WITHIN;
        let until = self.deadline().map_or(until, |earlier| earlier.min(until));
        self.phase = Phase::Leaving { until };
    }

    /// Whether a command waits for a place in the engine's queue, and may go.
    pub(crate) fn has_order(&self) -> bool {
        self.order.as_ref().is_some_and(|order| self.desk.admits(order))
    }

    /// Hands the command over.
    pub(crate) fn submit(&mut self, place: Result<Place<'_>, CommandError>) {
        let Some(order) = self.order.take() else { return };
        let weight = order.weight();
        let Order { ticket, command } = order;
        let place = match place {
            Ok(place) => place,
            Err(error) => return self.desk.finish(ticket, Outcome::Error(error.into())),
        };
        let shutdown = command == Command::Shutdown;
        self.closing = shutdown;
        self.desk.began(weight);
        let answer = place.submit(command);
        self.pending.push(Box::pin(async move {
            let outcome = match timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(Ok(reply))) => Outcome::Reply(reply),
                Ok(Ok(Err(error))) => Outcome::Error(error.into()),
                Ok(Err(_)) => Outcome::Error(stopping()),
                Err(_) => Outcome::Error(late()),
            };
            Done { ticket, weight, shutdown, outcome }
        }));
    }

    /// Takes an answer of the engine.
    pub(crate) fn answered(&mut self, done: Done) {
        let refused = matches!(&done.outcome, Outcome::Error(error) if *error != stopping());
        self.desk.ended(done.weight);
        self.desk.finish(done.ticket, done.outcome);
        if done.shutdown {
            self.closing = false;
            if !refused {
                self.leave();
            }
        }
    }

    /// Tells the other side.
    pub(crate) fn tell(&mut self, news: &News) {
        let line = match news {
            // What can't be put into a line is not lost without a word.
            News::Event(event) => {
                protocol::notification(event).or_else(|| protocol::lag(Lag { dropped: 1, event: event.id }))
            }
            News::Lag(lag) => protocol::lag(*lag),
            News::Stopped => None,
        };
        if let Some(line) = line {
            self.desk.say(&line);
        }
    }

    /// Takes note.
    pub(crate) fn watched(&mut self, news: &News) {
        match news {
            News::Event(event) => self.unsent.follow(&event.event),
            News::Lag(_) => self.unsent = Unsent::from_snapshot(&self.client.snapshot()),
            News::Stopped => self.leave(),
        }
    }

    /// Nothing is left of what was asked, nor of what is to be told.
    fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.order.is_none() && self.desk.is_queue_empty() && self.desk.has_room()
    }

    /// Whether to leave; right after [`Self::advance`], which leaves no line or event lying while there is room.
    pub(crate) fn is_finished(&self) -> bool {
        match self.phase {
            Phase::Open => false,
            Phase::Draining { .. } => self.is_idle() && (self.unsent.len() == 0 || self.role == Role::Guest),
            Phase::Leaving { .. } => self.is_idle(),
        }
    }

    /// When to leave in any case.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => None,
            Phase::Draining { until } | Phase::Leaving { until } => Some(until),
        }
    }

    /// Remembers the first failure; that somebody has gone is none.
    pub(crate) fn fail(&mut self, error: io::Error) {
        if !is_gone(&error) {
            self.failure.get_or_insert(error);
        }
    }
}

fn stopping() -> RpcError {
    RpcError::engine(ErrorKind::Stopping, "the program is stopping")
}

fn late() -> RpcError {
    let reason = "the engine gave no answer in time; the command may still be carried out";
    RpcError::protocol(ProtocolKind::Timeout, reason)
}
