//! What somebody types: a text, or a command of the table.

use serde_json::{Map, Value};

use super::command::{Command, CommandError, ErrorKind};
use super::table::{Argument, ArgumentKind, COMMANDS, CommandSpec, by_slash};
use crate::room::RoomAddress;

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

/// Reads a typed line where there is no room: each command has to name the one it means.
///
/// # Errors
/// As [`parse_line_in`].
pub fn parse_line(line: &str) -> Result<Line, CommandError> {
    parse_line_in(line, None)
}

/// Reads a line typed in a room, which a command means that names none: the same parser for people and scripts.
///
/// # Errors
/// [`CommandError`] with what to type instead.
pub fn parse_line_in(line: &str, here: Option<&RoomAddress>) -> Result<Line, CommandError> {
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
    let params = arguments(spec, rest, here)?;
    let command = spec.command(Value::Object(params));
    command.map(Line::Command).map_err(|e| CommandError::new(e.kind, format!("{e}; usage: {}", spec.usage())))
}

fn arguments(
    spec: &CommandSpec,
    mut rest: &str,
    here: Option<&RoomAddress>,
) -> Result<Map<String, Value>, CommandError> {
    let usage = || CommandError::new(ErrorKind::BadParams, format!("usage: {}", spec.usage()));
    let mut params = Map::new();
    for argument in spec.arguments {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
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
    // Two that stand in either order: one may be there, and not the one that must.
    let is_missing = |argument: &Argument| !argument.optional && !params.contains_key(argument.name);
    if !rest.trim().is_empty() || spec.arguments.iter().any(is_missing) {
        return Err(usage());
    }
    let room = spec.arguments.iter().find(|argument| argument.kind == ArgumentKind::Room);
    if let Some(room) = room.filter(|room| !params.contains_key(room.name)) {
        let which = || CommandError::new(ErrorKind::BadParams, format!("which room? usage: {}", spec.usage()));
        params.insert(room.name.to_owned(), Value::from(here.ok_or_else(which)?.to_string()));
    }
    Ok(params)
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
    use super::super::command::{Destination, InRoom, MemberOf, Send};
    use super::super::table::by_method;
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
            assert!(error.to_string().contains(" PEER [ROOM]"), "{bad}: {error}");
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

    fn room(name: &str) -> RoomAddress {
        name.parse().unwrap()
    }

    /// A command that names no room means the one it is typed in.
    #[test]
    fn a_room_that_is_not_named_is_the_one_here() {
        let den = room("#den·7f3a");
        let (at, bob) = (InRoom { room: den.clone() }, Destination::Nick("bob".into()));
        let of = MemberOf { room: den.clone(), peer: bob };
        for (line, command) in [
            ("/members", Command::Members(at.clone())),
            ("/leave ", Command::Leave(at)),
            ("/admit bob", Command::Admit(of.clone())),
            ("/remove  bob ", Command::Remove(of)),
        ] {
            assert_eq!(parse_line_in(line, Some(&den)), Ok(Line::Command(command)), "{line}");
            let error = parse_line(line).unwrap_err().to_string();
            assert!(error.contains("which room?") && error.contains("[ROOM]"), "{line}: {error}");
        }
        let named = parse_line_in("/members #lobby", Some(&den));
        assert_eq!(named, Ok(Line::Command(Command::Members(InRoom { room: room("#lobby") }))));
        // Who is meant, and what is to be called how, is always said.
        for line in ["/admit", "/remove #den", "/join", "/create"] {
            assert!(parse_line_in(line, Some(&den)).unwrap_err().message.contains("usage: "), "{line}");
        }
    }
}
