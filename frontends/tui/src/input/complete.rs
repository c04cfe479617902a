//! Completion of slash commands, names, rooms and message ids.

use chat_core::api::table::{ArgumentKind, COMMANDS, by_slash};

/// What there is to complete with.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Names of peers as they are shown.
    pub(crate) peers: Vec<String>,
    /// Rooms with their `#`.
    pub(crate) rooms: Vec<String>,
    /// Ids of messages that failed, the newest first.
    pub(crate) failed: Vec<String>,
}

/// A completion that is going on: Tab again gives the next candidate, in the end what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    /// Where in the input the candidates go.
    pub(crate) start: usize,
    candidates: Vec<String>,
    at: usize,
}

impl Completion {
    /// Completes what stands before the cursor; `None` if nothing fits.
    pub(crate) fn begin(before_cursor: &str, sources: &Sources) -> Option<Self> {
        let (start, mut candidates) = candidates(before_cursor, sources)?;
        let typed = before_cursor.get(start..)?.to_owned();
        candidates.dedup();
        if candidates.is_empty() {
            return None;
        }
        candidates.push(typed);
        let at = candidates.len() - 1;
        Some(Self { start, candidates, at })
    }

    /// The next candidate, or the one before.
    pub(crate) fn step(&mut self, backwards: bool) -> &str {
        let count = self.candidates.len();
        self.at = (self.at + if backwards { count - 1 } else { 1 }) % count;
        self.candidates.get(self.at).map_or("", String::as_str)
    }
}

fn candidates(before: &str, sources: &Sources) -> Option<(usize, Vec<String>)> {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| {
        let blank = before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        at + blank
    });
    let word = before.get(start..)?;
    let Some(line) = before.strip_prefix('/').filter(|line| !line.starts_with('/')) else {
        return Some((start, in_text(word, start == 0, sources)));
    };
    if start == 0 {
        return Some((start, commands("/", line)));
    }
    let mut words = line.split_whitespace();
    let command = words.next()?;
    if matches!(command, "help" | "h" | "?") {
        return Some((start, commands("", word)));
    }
    let done = words.count() - usize::from(!word.is_empty());
    let arguments = by_slash(command)?.arguments;
    let kind = arguments.get(done).or(arguments.last())?.kind;
    let found = match kind {
        ArgumentKind::Peer => matching(&sources.peers, word, " "),
        ArgumentKind::Room => matching(&sources.rooms, word, " "),
        ArgumentKind::Message => matching(&sources.failed, word, ""),
        ArgumentKind::Destination => {
            let mut all = matching(&sources.rooms, word, " ");
            all.extend(matching(&sources.peers, word, " "));
            all
        }
        ArgumentKind::Rest => in_text(word, false, sources),
        ArgumentKind::Number | ArgumentKind::Word => Vec::new(),
    };
    Some((start, found))
}

/// In a text: rooms after `#`, names after `@` or of at least one letter.
fn in_text(word: &str, is_first: bool, sources: &Sources) -> Vec<String> {
    if word.is_empty() {
        return Vec::new();
    }
    if word.starts_with('#') {
        return matching(&sources.rooms, word, " ");
    }
    let (at, name) = match word.strip_prefix('@') {
        Some(name) => ("@", name),
        None => ("", word),
    };
    let suffix = if is_first { ": " } else { " " };
    matching(&sources.peers, name, suffix).into_iter().map(|found| format!("{at}{found}")).collect()
}

fn commands(slash: &str, typed: &str) -> Vec<String> {
    let words = COMMANDS.iter().flat_map(|spec| spec.slash.iter().copied()).chain(["help"]);
    let mut found: Vec<String> = words
        // One-letter words are shorter than a Tab.
        .filter(|word| word.len() > 1 && word.starts_with(typed))
        .map(|word| format!("{slash}{word} "))
        .collect();
    found.sort();
    found
}

fn matching(names: &[String], typed: &str, suffix: &str) -> Vec<String> {
    let typed = typed.to_lowercase();
    let fits = |name: &&String| name.to_lowercase().starts_with(&typed);
    names.iter().filter(fits).map(|name| format!("{name}{suffix}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources {
            peers: vec!["Anna".into(), "annika·7f3a".into(), "bob".into(), "日本".into()],
            rooms: vec!["#lobby".into(), "#work".into()],
            failed: vec!["00ff".into()],
        }
    }

    fn first(before: &str) -> Option<(usize, String)> {
        let mut completion = Completion::begin(before, &sources())?;
        Some((completion.start, completion.step(false).to_owned()))
    }

    #[test]
    fn what_completes_where() {
        for (before, expected) in [
            ("/me", Some((0, "/members "))),
            ("/msg b", Some((5, "bob "))),
            ("/msg #", Some((5, "#lobby "))),
            ("/msg ", Some((5, "#lobby "))),
            ("/msg bob an", Some((9, "Anna "))),
            ("/join #w", Some((6, "#work "))),
            ("/retry ", Some((7, "00ff"))),
            ("/help jo", Some((6, "join "))),
            ("/history bob 5", None),
            ("/rooms x", None),
            ("/nonsense x", None),
            ("/zzz", None),
            ("an", Some((0, "Anna: "))),
            ("hi an", Some((3, "Anna "))),
            ("hi @bo", Some((3, "@bob "))),
            ("see #l", Some((4, "#lobby "))),
            ("日", Some((0, "日本: "))),
            ("hi\u{3000}bo", Some((5, "bob "))),
            ("hi ", None),
            ("", None),
        ] {
            let expected = expected.map(|(start, text)| (start, text.to_owned()));
            assert_eq!(first(before), expected, "{before:?}");
        }
    }

    #[test]
    fn again_for_the_next_and_back_to_what_was_typed() {
        let mut completion = Completion::begin("an", &sources()).unwrap();
        let seen: Vec<String> = (0..4).map(|_| completion.step(false).to_owned()).collect();
        assert_eq!(seen, ["Anna: ", "annika·7f3a: ", "an", "Anna: "]);
        assert_eq!(completion.step(true), "an");
        assert_eq!(completion.step(true), "annika·7f3a: ");
    }
}
