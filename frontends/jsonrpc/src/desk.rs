//! Requests that were read and answers that are to be written: order, bounds and batches. No I/O.

use std::collections::{HashMap, VecDeque};

use chat_core::api::Command;

use crate::lines::{Line, MAX_LINE_BYTES};
use crate::protocol::{self, Call, Id, Item, Outcome, Parsed, ProtocolKind, RpcError};

/// Most commands that wait for their answer.
pub(crate) const MAX_IN_FLIGHT: usize = 256;
/// Most bytes that commands in flight and their answers may take, by estimate; a single one may take more.
const MAX_LOAD_BYTES: usize = 16 << 20;
/// What a message takes in an answer, by estimate.
const MESSAGE_BYTES: usize = 16 << 10;
/// From here on nothing is taken in that would make more to write.
const HIGH_WATER_BYTES: usize = 256 << 10;
/// Kept free in a batch's answer for each member still to come: its id and an error.
const MEMBER_BYTES: usize = 4 << 10;

/// Where an outcome goes.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// To nobody: it came of a notification, or of ourselves.
    Nobody,
    /// Into a line of its own.
    One(Id),
    /// Into the answer of a batch; a notification in it has no id.
    Member {
        /// Its number.
        batch: u64,
        /// Whom to answer.
        id: Option<Id>,
    },
}

/// A command on its way to the engine.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    pub(crate) command: Command,
}

impl Order {
    /// What it takes while in flight, in bytes, by estimate.
    pub(crate) fn weight(&self) -> usize {
        match &self.command {
            Command::Send(send) => send.text.len(),
            Command::History(history) => history.limit.unwrap_or(50).min(1000) as usize * MESSAGE_BYTES,
            Command::Search(search) => search.limit.unwrap_or(50).min(1000) as usize * MESSAGE_BYTES,
            _ => 0,
        }
    }
}

#[derive(Debug)]
struct Batch {
    /// Members without an outcome.
    open: usize,
    answers: Vec<Vec<u8>>,
    bytes: usize,
}

/// The work of a connection.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Read, not yet looked into; of one line at most.
    queue: VecDeque<(Ticket, Result<Call, RpcError>)>,
    batches: HashMap<u64, Batch>,
    batches_seen: u64,
    in_flight: usize,
    load_bytes: usize,
    out: Vec<u8>,
    mute: bool,
}

impl Desk {
    /// Takes a line in.
    pub(crate) fn take(&mut self, line: &Line<'_>) {
        let parsed = match line {
            Line::Whole(line) => protocol::parse(line),
            Line::TooLong => {
                let reason = format!("a line has at most {MAX_LINE_BYTES} bytes; this one was skipped");
                let error = RpcError::protocol(ProtocolKind::LineTooLong, &reason);
                Parsed::One(Item::refused(error))
            }
        };
        match parsed {
            Parsed::One(Item { id, call }) => {
                self.queue.push_back((id.map_or(Ticket::Nobody, Ticket::One), call));
            }
            Parsed::Batch(items) => {
                let batch = self.batches_seen;
                self.batches_seen += 1;
                self.batches.insert(batch, Batch { open: items.len(), answers: Vec::new(), bytes: 0 });
                let members =
                    items.into_iter().map(|item| (Ticket::Member { batch, id: item.id }, item.call));
                self.queue.extend(members);
            }
        }
    }

    /// The next request, in the order in which they were read.
    pub(crate) fn next(&mut self) -> Option<(Ticket, Result<Call, RpcError>)> {
        self.queue.pop_front()
    }

    /// Whether every request that was taken in has been looked into.
    pub(crate) fn is_queue_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether one more command may be in flight.
    pub(crate) fn admits(&self, order: &Order) -> bool {
        let fits = self.load_bytes + order.weight() <= MAX_LOAD_BYTES;
        self.in_flight < MAX_IN_FLIGHT && (fits || self.in_flight == 0)
    }

    /// A command was handed to the engine.
    pub(crate) fn began(&mut self, weight: usize) {
        self.in_flight += 1;
        self.load_bytes += weight;
    }

    /// The engine is done with a command.
    pub(crate) fn ended(&mut self, weight: usize) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.load_bytes = self.load_bytes.saturating_sub(weight);
    }

    /// Writes down what came of a request.
    pub(crate) fn finish(&mut self, ticket: Ticket, outcome: Outcome) {
        match ticket {
            Ticket::Nobody => {}
            Ticket::One(id) => self.say(&protocol::answer(&id, outcome, MAX_LINE_BYTES)),
            Ticket::Member { batch: number, id } => {
                let Some(batch) = self.batches.get_mut(&number) else { return };
                batch.open = batch.open.saturating_sub(1);
                if let Some(id) = id {
                    let limit = MAX_LINE_BYTES.saturating_sub(batch.bytes + (batch.open + 1) * MEMBER_BYTES);
                    let answer = protocol::answer(&id, outcome, limit);
                    batch.bytes += answer.len() + 1;
                    batch.answers.push(answer);
                }
                if batch.open == 0 {
                    let answers = self.batches.remove(&number).map(|batch| batch.answers).unwrap_or_default();
                    if !answers.is_empty() {
                        self.say(&protocol::join(&answers));
                    }
                }
            }
        }
    }

    /// Adds a line to what is to be written.
    pub(crate) fn say(&mut self, line: &[u8]) {
        if !self.mute {
            self.out.extend_from_slice(line);
            self.out.push(b'\n');
        }
    }

    /// Nobody reads any more: what is said goes nowhere.
    pub(crate) fn mute(&mut self) {
        self.mute = true;
        self.out = Vec::new();
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_mute(&self) -> bool {
        self.mute
    }

    /// What is to be written now.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether there is something to write.
    pub(crate) fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether more may be made that has to be written.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < HIGH_WATER_BYTES
    }
}
