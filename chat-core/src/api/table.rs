//! The one table of commands: it serves `/help`, completion, the slash line and JSON-RPC.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::command::{Command, CommandError, ErrorKind};
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
    /// Whether it may be left out.
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
        [required("room", ArgumentKind::Room)],
        Leave(super::command::InRoom),
        "leave a room"
    ),
    command!(
        "room.members",
        ["members"],
        [required("room", ArgumentKind::Room)],
        Members(super::command::InRoom),
        "show who is in a room"
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
        [required("room", ArgumentKind::Room), required("peer", ArgumentKind::Peer)],
        Admit(super::command::MemberOf),
        "admit somebody to a closed room"
    ),
    command!(
        "room.remove",
        ["remove"],
        [required("room", ArgumentKind::Room), required("peer", ArgumentKind::Peer)],
        Remove(super::command::MemberOf),
        "remove somebody from a closed room who came after you"
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

/// What a typed line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Text for the current conversation. A line that begins with `//` is text that begins with `/`.
    Text(String),
    /// A command.
    Command(Command),
    /// `/help`, with the word it was asked for.
    Help(Option<String>),
    /// Nothing was typed.
    Empty,
}

/// Reads a typed line: the same parser for people and scripts.
///
/// # Errors
/// [`CommandError`] with what to type instead.
pub fn parse_line(line: &str) -> Result<Line, CommandError> {
    let Some(rest) = line.strip_prefix('/') else {
        return Ok(if line.trim().is_empty() { Line::Empty } else { Line::Text(line.to_owned()) });
    };
    if rest.starts_with('/') {
        return Ok(Line::Text(rest.to_owned()));
    }
    let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if matches!(word, "help" | "h" | "?") {
        let about = rest.trim().trim_start_matches('/');
        return Ok(Line::Help((!about.is_empty()).then(|| about.to_owned())));
    }
    let spec = by_slash(word).ok_or_else(|| unknown(word))?;
    let params = arguments(spec, rest)?;
    let command = spec.command(Value::Object(params));
    command.map(Line::Command).map_err(|e| CommandError::new(e.kind, format!("{e}; usage: {}", spec.usage())))
}

fn arguments(spec: &CommandSpec, mut rest: &str) -> Result<Map<String, Value>, CommandError> {
    let usage = || CommandError::new(ErrorKind::BadParams, format!("usage: {}", spec.usage()));
    let mut params = Map::new();
    for argument in spec.arguments {
        rest = rest.trim_start();
        if rest.is_empty() {
            if argument.optional {
                continue;
            }
            return Err(usage());
        }
        let (word, more) = match argument.kind {
            ArgumentKind::Rest => (rest, ""),
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        // Room and peer in either order: a room is known by its `#`.
        let argument = match argument.kind {
            ArgumentKind::Room | ArgumentKind::Peer => by_its_sign(spec, word, &params).unwrap_or(argument),
            _ => argument,
        };
        let value = match argument.kind {
            ArgumentKind::Number => Value::from(word.parse::<u32>().map_err(|_| usage())?),
            _ => Value::from(word),
        };
        params.insert(argument.name.to_owned(), value);
        rest = more;
    }
    if rest.trim().is_empty() { Ok(params) } else { Err(usage()) }
}

/// The room or the peer of a command, whichever a word can only be, if it is not there yet.
fn by_its_sign(spec: &CommandSpec, word: &str, known: &Map<String, Value>) -> Option<&'static Argument> {
    let kind = if word.starts_with('#') { ArgumentKind::Room } else { ArgumentKind::Peer };
    spec.arguments.iter().find(|argument| argument.kind == kind && !known.contains_key(argument.name))
}

fn unknown(word: &str) -> CommandError {
    // The distance costs time for each character, and a line may have millions.
    let word: String = crate::nick::inert(word).chars().take(32).collect();
    let words = COMMANDS.iter().flat_map(|spec| spec.slash).chain(&["help"]);
    let near = words.map(|other| (strsim::damerau_levenshtein(&word, other), other)).min();
    let message = match near {
        Some((distance, other)) if distance <= 2 => {
            format!("there is no command /{word}; did you mean /{other}?")
        }
        _ => format!("there is no command /{word}; /help lists them"),
    };
    CommandError::new(ErrorKind::UnknownCommand, message)
}

/// The lines of `/help`, or of `/help WORD`.
pub fn help(about: Option<&str>) -> Vec<String> {
    let shown = COMMANDS.iter().filter(|spec| match about {
        Some(word) => spec.slash.contains(&word),
        None => !spec.slash.is_empty(),
    });
    let mut lines: Vec<String> = shown.map(|spec| format!("{:<28} {}", spec.usage(), spec.help)).collect();
    match about {
        None => lines.push(format!("{:<28} {}", "/help [COMMAND]", "show this")),
        Some(word) if lines.is_empty() => lines.push(unknown(word).message),
        Some(_) => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::command::{Destination, Send};
    use super::*;

    #[test]
    fn a_line_and_json_make_the_same_command() {
        let line = parse_line("/msg bob  hello  there").unwrap();
        let expected = Command::Send(Send {
            to: Destination::Nick("bob".into()),
            text: "hello  there".into(),
            client_id: None,
        });
        assert_eq!(line, Line::Command(expected.clone()));
        let params = serde_json::json!({ "to": "bob", "text": "hello  there", "unknown": 1 });
        assert_eq!(by_method("msg.send").unwrap().command(params), Ok(expected));
    }

    #[test]
    fn room_and_peer_stand_in_either_order() {
        let expected = Line::Command(Command::Admit(super::super::command::MemberOf {
            room: "#den·7f3a".parse().unwrap(),
            peer: Destination::Nick("bob".into()),
        }));
        assert_eq!(parse_line("/admit #den·7f3a bob"), Ok(expected.clone()));
        assert_eq!(parse_line("/admit bob #den·7f3a"), Ok(expected));
        for bad in ["/admit #den", "/admit #den #den", "/admit bob bob", "/remove"] {
            let error = parse_line(bad).unwrap_err();
            assert!(error.to_string().contains(" ROOM PEER"), "{bad}: {error}");
        }
    }

    #[test]
    fn lines_that_are_no_commands() {
        assert_eq!(parse_line("hi / there"), Ok(Line::Text("hi / there".into())));
        assert_eq!(parse_line("//etc"), Ok(Line::Text("/etc".into())));
        assert_eq!(parse_line("  "), Ok(Line::Empty));
        assert_eq!(parse_line("/help /msg"), Ok(Line::Help(Some("msg".into()))));
    }

    #[test]
    fn mistakes_say_what_to_type() {
        for (line, fragment) in [
            ("/mgs bob hi", "did you mean /msg?"),
            ("/xyzzy", "/help lists them"),
            ("/msg bob", "usage: /msg TO TEXT…"),
            ("/join lobby", "begins with `#`"),
            ("/history bob x", "usage: /history WITH [LIMIT]"),
            ("/rooms now", "usage: /rooms"),
        ] {
            let error = parse_line(line).unwrap_err().to_string();
            assert!(error.contains(fragment), "{line}: {error}");
        }
    }

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
