//! The one table of commands: it serves `/help`, completion, the slash line and JSON-RPC.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::command::{Command, CommandError, ErrorKind};
pub use super::line::{Line, help, parse_line, parse_line_in};
use crate::schema::schema_of;

/// What an argument of a slash command is, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentKind {
    /// A peer's name or id.
    Peer,
    /// A peer or a room.
    Destination,
    /// A room.
    Room,
    /// A message id.
    Message,
    /// A number.
    Number,
    /// One word.
    Word,
    /// Everything to the end of the line.
    Rest,
}

/// An argument.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name, the same in JSON-RPC.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgumentKind,
    /// Whether it may be left out; a room, where there is one to stand for it.
    pub optional: bool,
}

/// A command, wherever it is called from.
pub struct CommandSpec {
    /// The JSON-RPC method.
    pub method: &'static str,
    /// Slash commands, the usual one first; empty if it makes no sense at a prompt.
    pub slash: &'static [&'static str],
    /// Arguments of the slash command, in order.
    pub arguments: &'static [Argument],
    /// One line of help.
    pub help: &'static str,
    parse: fn(Value) -> Result<Command, CommandError>,
    schema: fn() -> schemars::Schema,
}

impl CommandSpec {
    /// Makes the command of JSON-RPC parameters (an object, or null for none). Unknown fields are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::BadParams`] names the field.
    pub fn command(&self, params: Value) -> Result<Command, CommandError> {
        (self.parse)(params)
    }

    /// The schema of the parameters.
    pub fn schema(&self) -> schemars::Schema {
        (self.schema)()
    }

    /// `/msg TO TEXT…`
    pub fn usage(&self) -> String {
        let mut usage = format!("/{}", self.slash.first().unwrap_or(&""));
        for argument in self.arguments {
            let word = match argument.kind {
                ArgumentKind::Rest => format!("{}…", argument.name.to_uppercase()),
                _ => argument.name.to_uppercase(),
            };
            usage.push_str(&if argument.optional { format!(" [{word}]") } else { format!(" {word}") });
        }
        usage
    }
}

#[derive(serde::Deserialize)]
struct NoParams {}

fn no_params() -> schemars::Schema {
    schemars::json_schema!({ "type": "object" })
}

/// Reads parameters (an object, or null for none) as `T`. Unknown fields are ignored.
///
/// # Errors
/// [`ErrorKind::BadParams`] names the field.
pub fn params<T: DeserializeOwned>(params: Value) -> Result<T, CommandError> {
    let params = if params.is_null() { Value::Object(Map::new()) } else { params };
    if !params.is_object() {
        return Err(CommandError::new(ErrorKind::BadParams, "params must be an object"));
    }
    // Serde's own error names a missing field, but not one whose value doesn't fit.
    serde_path_to_error::deserialize(params).map_err(|e| CommandError::new(ErrorKind::BadParams, e))
}

const fn required(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument { name, kind, optional: false }
}

const fn optional(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument { name, kind, optional: true }
}

macro_rules! command {
    ($method:literal, [$($slash:literal),*], [$($arg:expr),*], $variant:ident($params:ty), $help:literal) => {
        CommandSpec {
            method: $method, slash: &[$($slash),*],
            arguments: &[$($arg),*], help: $help,
            parse: |value| params::<$params>(value).map(Command::$variant), schema: schema_of::<$params>,
        }
    };
    ($method:literal, [$($slash:literal),*], $variant:ident, $help:literal) => {
        CommandSpec {
            method: $method, slash: &[$($slash),*], arguments: &[], help: $help,
            parse: |value| params::<NoParams>(value).map(|_| Command::$variant), schema: no_params,
        }
    };
}

/// Every command there is.
pub static COMMANDS: &[CommandSpec] = &[
    command!(
        "msg.send",
        ["msg", "m"],
        [required("to", ArgumentKind::Destination), required("text", ArgumentKind::Rest)],
        Send(super::command::Send),
        "send a text to a peer or a room"
    ),
    command!(
        "msg.retry",
        ["retry"],
        [required("id", ArgumentKind::Message)],
        Retry(super::command::Retry),
        "try a failed message again"
    ),
    command!(
        "msg.history",
        ["history"],
        [required("with", ArgumentKind::Destination), optional("limit", ArgumentKind::Number)],
        History(super::command::History),
        "show older messages"
    ),
    command!(
        "msg.mark_read",
        [],
        [required("with", ArgumentKind::Destination)],
        MarkRead(super::command::MarkRead),
        "mark messages as read"
    ),
    command!(
        "msg.search",
        ["search", "find"],
        [required("query", ArgumentKind::Rest)],
        Search(super::command::Search),
        "look for words in everything that was said"
    ),
    command!(
        "msg.delete",
        ["delete"],
        [required("id", ArgumentKind::Message)],
        Delete(super::command::Delete),
        "delete a message here"
    ),
    command!(
        "msg.delete_all",
        ["forget"],
        [required("with", ArgumentKind::Destination)],
        DeleteAll(super::command::DeleteAll),
        "delete everything said with somebody, or in a room, here"
    ),
    command!("peer.list", ["peers", "who"], Peers, "show everybody known, with fingerprints"),
    command!(
        "peer.verify",
        ["verify"],
        [required("peer", ArgumentKind::Peer), optional("confirm", ArgumentKind::Rest)],
        Verify(super::command::Verify),
        "show what to compare with somebody; then: yes, no, or the number"
    ),
    command!(
        "peer.accept_key",
        ["accept"],
        [required("peer", ArgumentKind::Peer), optional("kind", ArgumentKind::Word)],
        AcceptKey(super::command::AcceptKey),
        "give a name to this key, or agree to a downgrade (kind: key, downgrade)"
    ),
    command!(
        "peer.block",
        ["block"],
        [required("peer", ArgumentKind::Peer)],
        Block(super::command::OfPeer),
        "neither hear nor answer somebody"
    ),
    command!(
        "peer.unblock",
        ["unblock"],
        [required("peer", ArgumentKind::Peer)],
        Unblock(super::command::OfPeer),
        "hear somebody again"
    ),
    command!(
        "typing.set",
        [],
        [required("to", ArgumentKind::Destination)],
        SetTyping(super::command::SetTyping),
        "tell that one writes, or no longer does"
    ),
    command!("room.list", ["rooms"], Rooms, "show the rooms you are in"),
    command!(
        "room.join",
        ["join"],
        [required("room", ArgumentKind::Room)],
        Join(super::command::InRoom),
        "join an open room"
    ),
    command!(
        "room.leave",
        ["leave"],
        [optional("room", ArgumentKind::Room)],
        Leave(super::command::InRoom),
        "leave a room: this one, if none is named"
    ),
    command!(
        "room.members",
        ["members"],
        [optional("room", ArgumentKind::Room)],
        Members(super::command::InRoom),
        "show who is in a room: in this one, if none is named"
    ),
    command!(
        "room.create",
        ["create"],
        [required("room", ArgumentKind::Room)],
        Create(super::command::NewRoom),
        "make a closed room, which admits only whom a member admits"
    ),
    command!(
        "room.admit",
        ["admit"],
        [required("peer", ArgumentKind::Peer), optional("room", ArgumentKind::Room)],
        Admit(super::command::MemberOf),
        "admit somebody to a closed room, to this one if none is named"
    ),
    command!(
        "room.remove",
        ["remove"],
        [required("peer", ArgumentKind::Peer), optional("room", ArgumentKind::Room)],
        Remove(super::command::MemberOf),
        "remove somebody who came after you from a closed room, from this one if none is named"
    ),
    command!("stack.get", ["stack"], Stack, "show what protects this chat, and the figures of the link"),
    command!("config.get", ["config"], Config, "show the effective profile and where each value comes from"),
    command!(
        "system.shutdown",
        ["exit", "quit", "q"],
        Shutdown,
        "leave; what is queued is kept and sent next time"
    ),
];

/// The command of a JSON-RPC method.
pub fn by_method(method: &str) -> Option<&'static CommandSpec> {
    COMMANDS.iter().find(|spec| spec.method == method)
}

/// The command of a slash word, without the slash.
pub fn by_slash(word: &str) -> Option<&'static CommandSpec> {
    COMMANDS.iter().find(|spec| spec.slash.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_params_name_the_field() {
        let send = |params| by_method("msg.send").unwrap().command(params).unwrap_err();
        for (params, fragment) in [
            (serde_json::json!({ "to": "bob" }), "missing field `text`"),
            (serde_json::json!({ "to": "bob", "text": 5 }), "text: invalid type"),
            (serde_json::json!({ "to": 5, "text": 5 }), "invalid type: integer `5`"),
            (serde_json::json!(["bob", "hi"]), "must be an object"),
        ] {
            let error = send(params.clone());
            assert_eq!(error.kind, ErrorKind::BadParams);
            assert!(error.to_string().contains(fragment), "{params}: {error}");
        }
        assert!(by_method("peer.list").unwrap().command(serde_json::json!([1])).is_err());
    }

    #[test]
    fn words_are_unique_and_all_stand_in_help() {
        let mut words: Vec<_> = COMMANDS.iter().flat_map(|spec| spec.slash).collect();
        let count = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), count);
        let text = help(None).join("\n");
        for spec in COMMANDS.iter().filter(|spec| !spec.slash.is_empty()) {
            assert!(text.contains(spec.slash[0]) && text.contains(spec.help));
        }
    }
}
