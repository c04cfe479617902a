//! What was said, and what was shown of it: the checker's memory, outside of everything that can crash.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::api::command::{CommandError, ErrorKind, Reply};
use chat_core::api::event::AlarmKind;
use chat_core::api::snapshot::MessageView;
use chat_core::api::{Event, MessageState};
use chat_core::{MessageId, PeerId};
use tokio::sync::oneshot;

use crate::check::{brief, goes_back};
use crate::trace::Trace;

/// Where something was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the room of all.
    Lobby,
    /// To one person.
    To(usize),
}

/// What became of a command to send.
#[derive(Debug)]
pub enum Answer {
    /// None yet.
    Awaited(oneshot::Receiver<Result<Reply, CommandError>>),
    /// It is committed.
    Committed(MessageId),
    /// Nothing has changed.
    Refused,
    /// The program, or its disk, was gone before it could be trusted: it was sent, or not.
    Unknown,
}

/// Something that somebody said, or tried to.
#[derive(Debug)]
pub struct Said {
    /// Who.
    pub by: usize,
    /// Where.
    pub place: Place,
    /// What; no two are equal.
    pub text: String,
    /// What became of it.
    pub answer: Answer,
}

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise is broken.
    pub promise: &'static str,
    /// How.
    pub what: String,
}

/// Everything that was said and shown.
#[derive(Default)]
pub struct Record {
    /// In the order in which it was said.
    pub said: Vec<Said>,
    /// The furthest state that was shown of somebody's own message.
    pub shown: BTreeMap<(usize, MessageId), MessageState>,
    /// Messages of others that somebody was shown.
    pub received: BTreeSet<(usize, MessageId)>,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Who was the relay too, one after the other.
    pub hosts: Vec<usize>,
    /// How many events there were.
    pub events: u64,
    trace: Trace,
    /// What the relay is called where no two may be called the same: not the same in every run.
    relay: String,
}

impl Record {
    /// Nothing has happened yet. `relay` is the relay's name in this process.
    pub fn new(relay: String) -> Self {
        Self { relay, ..Self::default() }
    }

    /// Notes what must not happen.
    pub fn violated(&mut self, promise: &'static str, what: String) {
        self.violations.push(Violation { promise, what });
    }

    /// Everything that was shown, as a number.
    pub fn trace(&self) -> u64 {
        self.trace.hash()
    }

    /// An event at somebody's frontend.
    pub fn event(&mut self, who: usize, name: &str, event: &Event) {
        self.events += 1;
        self.trace.number(who as u64);
        self.trace.add(format!("{event:?}").replace(&self.relay, "relay").as_bytes());
        match event {
            Event::MessageStatus(status) => self.status(who, name, status.id, status.state),
            Event::MessageNew(new) => {
                let message = &new.message;
                if !self.received.insert((who, message.id)) {
                    self.violated("P1", format!("{name} is shown {} a second time", brief(&message.text)));
                }
            }
            Event::Alarm(alarm) if alarm.kind != AlarmKind::Refused => {
                self.violated("P5", format!("{name} is alarmed though nobody lies: {alarm:?}"));
            }
            Event::LinkUp(up) if up.hosting && self.hosts.last() != Some(&who) => self.hosts.push(who),
            _ => {}
        }
    }

    fn status(&mut self, who: usize, name: &str, id: MessageId, state: MessageState) {
        let before = self.shown.insert((who, id), state);
        let forward = before.is_none_or(|before| !goes_back(before, state));
        if !forward {
            self.violated("P1", format!("{name} is shown {state:?} of {id} after {before:?}"));
        }
    }

    /// Takes the answers that have come. `trusted` says whether somebody's program could still answer truthfully.
    pub fn answers(&mut self, mut trusted: impl FnMut(usize) -> bool) {
        for said in &mut self.said {
            let Answer::Awaited(receiver) = &mut said.answer else { continue };
            let answer = match receiver.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => continue,
                Ok(_) if !trusted(said.by) => Answer::Unknown,
                Ok(Ok(Reply::Sent { id })) => Answer::Committed(id),
                // The disk may hold what it reported as failed: it is for the next start to find out.
                Ok(Err(error)) if error.kind == ErrorKind::Store => Answer::Unknown,
                Ok(Err(error)) if error.kind == ErrorKind::Stopping => Answer::Unknown,
                Ok(_) => Answer::Refused,
                Err(oneshot::error::TryRecvError::Closed) => Answer::Unknown,
            };
            said.answer = answer;
        }
    }

    /// Somebody's program is gone, and with it the answers that were awaited.
    pub fn gone(&mut self, who: usize) {
        for said in &mut self.said {
            if said.by == who && matches!(said.answer, Answer::Awaited(_)) {
                said.answer = Answer::Unknown;
            }
        }
    }
}

/// What a person has in its history when all is over: for each place, who wrote what, in order.
pub type Histories = BTreeMap<Place, Vec<Shown>>;

/// A message in somebody's history.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub by: PeerId,
    /// What.
    pub text: String,
    /// How far it has come and how many recipients it has, if it is one's own.
    pub delivery: Option<(MessageState, u32)>,
    /// Whether something before it is missing.
    pub gap_before: bool,
}

impl From<MessageView> for Shown {
    fn from(view: MessageView) -> Self {
        let delivery = view.delivery.map(|it| (it.state, it.counts.map_or(1, |counts| counts.of)));
        let MessageView { id, from, text, gap_before, .. } = view;
        Self { id, by: from.peer_id, text, delivery, gap_before }
    }
}
