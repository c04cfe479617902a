//! Outcomes and events become lines, none over the limit.

use std::io::{self, Write};
use std::sync::Arc;

use chat_core::api::{ConversationView, ErrorKind, EventId, Numbered, Reply, Snapshot};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::RpcError;
use super::inert::Inert;
use crate::lines::MAX_LINE_BYTES;

/// The `id` of a request, kept as it was written, so that the answer repeats it exactly.
#[derive(Debug, Clone)]
pub(crate) struct Id(Box<RawValue>);

impl Id {
    pub(crate) fn new(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }

    pub(crate) fn null() -> Self {
        Self::new(RawValue::NULL)
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The engine's answer.
    Reply(Reply),
    /// `system.snapshot`
    Snapshot(Arc<Snapshot>),
    /// Anything small.
    Value(Value),
    /// A refusal.
    Error(RpcError),
}

impl Outcome {
    /// Something small.
    pub(crate) fn of(value: &impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => Self::Value(value),
            Err(error) => Self::Error(RpcError::engine(ErrorKind::Store, &error.to_string())),
        }
    }
}

/// Notification `lag`: events were dropped because nobody read them in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Lag {
    /// How many.
    pub(crate) dropped: u64,
    /// The last event that was dropped; the next notification is the one after it.
    pub(crate) event: EventId,
}

#[derive(Serialize)]
struct Success<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: T,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    error: &'a RpcError,
}

#[derive(Serialize)]
struct Notification<T> {
    jsonrpc: &'static str,
    method: &'static str,
    params: T,
}

const VERSION: &str = "2.0";

/// The answer to a request, at most `limit` bytes long. Lists of messages that don't fit lose their older
/// half, and say so in `has_older`; what doesn't fit then is an error.
pub(crate) fn answer(id: &Id, mut outcome: Outcome, limit: usize) -> Vec<u8> {
    loop {
        let text = match &outcome {
            Outcome::Reply(reply) => success(id, reply, limit),
            Outcome::Snapshot(snapshot) => success(id, snapshot, limit),
            Outcome::Value(value) => success(id, value, limit),
            Outcome::Error(error) => return failure(id, error),
        };
        outcome = match text {
            Ok(text) => return text,
            Err(Unfit::TooLong) => shorter(outcome).unwrap_or_else(|| {
                Outcome::Error(RpcError::too_large("the answer would not fit into a line"))
            }),
            Err(Unfit::Serialize(reason)) => Outcome::Error(RpcError::engine(ErrorKind::Store, &reason)),
        };
    }
}

fn success<T: Serialize>(id: &Id, result: T, limit: usize) -> Result<Vec<u8>, Unfit> {
    bounded(&Success { jsonrpc: VERSION, id: &id.0, result }, limit)
}

fn failure(id: &Id, error: &RpcError) -> Vec<u8> {
    // An id of at most 1 KiB and a message of at most 400 characters always fit, and always serialize.
    bounded(&Failure { jsonrpc: VERSION, id: &id.0, error }, MAX_LINE_BYTES).unwrap_or_default()
}

/// The answer to a batch.
pub(crate) fn join(answers: &[Vec<u8>]) -> Vec<u8> {
    let mut line = answers.join(&b',');
    line.insert(0, b'[');
    line.push(b']');
    line
}

/// The notification of an event; `None` if it can't be put into a line.
pub(crate) fn notification(numbered: &Numbered) -> Option<Vec<u8>> {
    let mut params = numbered.event.params().ok()?;
    params.as_object_mut()?.insert("event".to_owned(), numbered.id.to_string().into());
    notify(numbered.event.method(), params)
}

/// The notification `lag`.
pub(crate) fn lag(lag: Lag) -> Option<Vec<u8>> {
    notify("lag", lag)
}

fn notify<T: Serialize>(method: &'static str, params: T) -> Option<Vec<u8>> {
    bounded(&Notification { jsonrpc: VERSION, method, params }, MAX_LINE_BYTES).ok()
}

/// The same with fewer messages, if there are any.
fn shorter(outcome: Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Reply(Reply::History { mut messages, .. }) if messages.len() > 1 => {
            messages.drain(..messages.len().div_ceil(2));
            Some(Outcome::Reply(Reply::History { messages, has_older: true }))
        }
        Outcome::Reply(Reply::Found { mut messages, .. }) if messages.len() > 1 => {
            messages.truncate(messages.len() / 2);
            Some(Outcome::Reply(Reply::Found { messages, has_more: true }))
        }
        Outcome::Snapshot(snapshot) => {
            let most = snapshot.conversations.iter().map(|it| it.messages.len()).max().filter(|&n| n > 0)?;
            let mut snapshot = (*snapshot).clone();
            for conversation in &mut snapshot.conversations {
                *conversation = newest(conversation, most / 2);
            }
            Some(Outcome::Snapshot(Arc::new(snapshot)))
        }
        _ => None,
    }
}

fn newest(conversation: &Arc<ConversationView>, keep: usize) -> Arc<ConversationView> {
    let surplus = conversation.messages.len().saturating_sub(keep);
    if surplus == 0 {
        return Arc::clone(conversation);
    }
    let messages = conversation.messages.iter().skip(surplus).cloned().collect();
    Arc::new(ConversationView { messages, has_older: true, ..(**conversation).clone() })
}

enum Unfit {
    TooLong,
    Serialize(String),
}

fn bounded<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, Unfit> {
    let mut bounded = Bounded { bytes: Vec::new(), limit };
    match value.serialize(&mut serde_json::Serializer::with_formatter(&mut bounded, Inert)) {
        Ok(()) => Ok(bounded.bytes),
        Err(error) if error.is_io() => Err(Unfit::TooLong),
        Err(error) => Err(Unfit::Serialize(error.to_string())),
    }
}

/// A buffer that refuses to grow past its limit, so that an answer too long is not made first and measured then.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
