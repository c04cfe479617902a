//! What a method means. The table of commands in `chat-core` says it for nearly all of them; the few of
//! this frontend's own are here.

use std::sync::Arc;

use chat_core::api::command::{Destination, Send};
use chat_core::api::table::{self, Line};
use chat_core::api::{Command, ErrorKind, EventId, Reply, Snapshot, StackView};
use chat_core::nick::{MAX_TEXT_BYTES, Nick, inert};
use chat_core::room::RoomAddress;
use chat_core::{CORE_VERSION, PeerId};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::{Call, Outcome, PROTOCOL, RpcError};
use crate::schema;

/// What is to be done about a request.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask the engine.
    Engine(Command),
    /// `system.hello`: its answer depends on what this connection has shown.
    Hello(HelloParams),
    /// Answer at once.
    Done(Outcome),
}

/// Parameters of `system.hello`.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) struct HelloParams {
    /// The last event that was seen; what came after it is told again.
    #[serde(default)]
    pub(crate) since: Option<EventId>,
}

/// Result of `system.hello`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Hello {
    /// The program's version.
    version: &'static str,
    /// The protocol's version.
    protocol: u32,
    /// One's own peer id.
    peer_id: PeerId,
    /// One's own name.
    nick: Nick,
    /// The newest event.
    event: EventId,
    /// The events after `since` are not known any more: take a snapshot.
    resync: bool,
    /// What protects the conversations.
    stack: Arc<StackView>,
}

impl Hello {
    pub(crate) fn new(now: &Snapshot, resync: bool) -> Self {
        Self {
            version: CORE_VERSION,
            protocol: PROTOCOL,
            peer_id: now.peer_id,
            nick: now.nick.clone(),
            event: now.event,
            resync,
            stack: Arc::clone(&now.stack),
        }
    }
}

/// Parameters of the methods that take none.
#[derive(Debug, Deserialize, JsonSchema)]
struct NoParams {}

/// Parameters of `command.run`.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
struct RunLine {
    /// A line as it would be typed: `/command …`, or text.
    line: String,
    /// Where text goes, and the room of a command that names none; the first room if left out.
    #[serde(default)]
    conversation: Option<Destination>,
}

/// Result of `command.run`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is of interest")]
enum RunResult {
    /// What the command gives.
    Reply(Reply),
    /// `/help`
    Help {
        /// What to show.
        lines: Vec<String>,
    },
}

/// A method that is not in the table of commands.
pub(crate) struct OwnMethod {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) params: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) result: fn(&mut SchemaGenerator) -> Schema,
    resolve: fn(Value, &Snapshots) -> Result<Action, RpcError>,
}

/// How to get at the state of the moment.
type Snapshots<'a> = dyn Fn() -> Arc<Snapshot> + 'a;

/// The methods of this frontend's own.
pub(crate) static OWN: &[OwnMethod] = &[
    OwnMethod {
        name: "system.hello",
        help: "who and what this is; resume after an event",
        params: SchemaGenerator::subschema_for::<HelloParams>,
        result: SchemaGenerator::subschema_for::<Hello>,
        resolve: |params, _| Ok(Action::Hello(table::params(params)?)),
    },
    OwnMethod {
        name: "system.schema",
        help: "this protocol as a JSON schema",
        params: SchemaGenerator::subschema_for::<NoParams>,
        result: |_| schemars::json_schema!({ "type": "object", "additionalProperties": true }),
        resolve: |params, _| {
            table::params::<NoParams>(params)?;
            Ok(Action::Done(Outcome::Value(schema::document())))
        },
    },
    OwnMethod {
        name: "system.snapshot",
        help: "everything there is to see now",
        params: SchemaGenerator::subschema_for::<NoParams>,
        result: SchemaGenerator::subschema_for::<Snapshot>,
        resolve: |params, now| {
            table::params::<NoParams>(params)?;
            Ok(Action::Done(Outcome::Snapshot(now())))
        },
    },
    OwnMethod {
        name: "command.run",
        help: "run a line as it would be typed",
        params: SchemaGenerator::subschema_for::<RunLine>,
        result: SchemaGenerator::subschema_for::<RunResult>,
        resolve: |params, now| run_line(table::params(params)?, now),
    },
];

/// Finds out what a call means.
pub(crate) fn resolve(call: Call, now: &Snapshots) -> Result<Action, RpcError> {
    if let Some(spec) = table::by_method(&call.method) {
        return engine(spec.command(call.params)?);
    }
    match OWN.iter().find(|own| own.name == call.method) {
        Some(own) => (own.resolve)(call.params, now),
        None => Err(unknown(&call.method)),
    }
}

fn run_line(run: RunLine, now: &Snapshots) -> Result<Action, RpcError> {
    let here = room_of(run.conversation.as_ref(), &now());
    match table::parse_line_in(&run.line, here.as_ref())? {
        Line::Command(command) => engine(command),
        Line::Text(text) => {
            let to = run.conversation.or(here.map(Destination::Room)).ok_or_else(|| {
                RpcError::engine(ErrorKind::NotFound, "no room to say it in; name a `conversation`")
            })?;
            engine(Command::Send(Send { to, text, client_id: None }))
        }
        Line::Help(about) => {
            let lines = table::help(about.as_deref());
            Ok(Action::Done(Outcome::Value(serde_json::json!({ "lines": lines }))))
        }
        Line::Empty => Ok(Action::Done(Outcome::Reply(Reply::Done {}))),
    }
}

/// The room that a line is typed in, if it is one.
fn room_of(conversation: Option<&Destination>, now: &Snapshot) -> Option<RoomAddress> {
    let views = || now.conversations.iter();
    let view = match conversation {
        None => views().find(|view| view.with.room().is_some()),
        Some(Destination::Room(room)) => return Some(room.clone()),
        Some(Destination::Conversation(id)) => views().find(|view| view.id == *id),
        Some(_) => None,
    };
    view.and_then(|view| view.with.room()).map(|(room, _)| room.clone())
}

/// A command for the engine, unless it is so large that even queueing it would cost memory for nothing.
fn engine(command: Command) -> Result<Action, RpcError> {
    if let Command::Send(Send { text, client_id, .. }) = &command {
        if text.len() > MAX_TEXT_BYTES {
            let reason = format!("text: {} bytes are over the limit of {MAX_TEXT_BYTES}", text.len());
            return Err(RpcError::too_large(&reason));
        }
        if client_id.as_ref().is_some_and(|id| id.len() > 128) {
            return Err(RpcError::too_large("client_id: at most 128 bytes"));
        }
    }
    Ok(Action::Engine(command))
}

fn unknown(method: &str) -> RpcError {
    let method: String = inert(method.get(..64).unwrap_or(method)).chars().take(64).collect();
    let names = table::COMMANDS.iter().map(|spec| spec.method).chain(OWN.iter().map(|own| own.name));
    let near = names.map(|name| (strsim::damerau_levenshtein(&method, name), name)).min();
    let message = match near {
        Some((distance, name)) if distance <= 3 => {
            format!("there is no method `{method}`; did you mean `{name}`?")
        }
        _ => format!("there is no method `{method}`; `system.schema` lists them"),
    };
    RpcError::engine(ErrorKind::UnknownCommand, &message)
}
