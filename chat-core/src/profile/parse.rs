//! From bytes to a tree: size, encoding, nesting, syntax; a bare word to a value.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Problems};
use super::masks;
use super::nesting::{MAX_DEPTH, too_deep};
use super::source::{Origin, Place, Source};
use super::tree::{Adopt, Node, Table, Value};

/// Largest profile, in bytes.
pub const MAX_PROFILE_BYTES: usize = 1 << 20;
/// Most syntax errors that are reported: one mistake may cause many.
const MAX_SYNTAX_ERRORS: usize = 20;

/// A profile's tree; `None` if the text can't be read at all. The first place in the text comes with it.
pub(super) fn document(origin: Origin, bytes: &[u8], problems: &mut Problems) -> Option<Node> {
    let whole = |text: &str| Source { origin: origin.clone(), text: text.to_owned(), masks: vec![] };
    if bytes.len() > MAX_PROFILE_BYTES {
        let start = Place::new(&Arc::new(whole("")), 0..0);
        // Nobody has read it to its end.
        let message = format!("a profile has at most {MAX_PROFILE_BYTES} bytes, and this has more");
        problems.push(Diagnostic::error(&start, message));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let at = error.valid_up_to();
            let source = Source { masks: masks::of_broken_text(&text), ..whole(&text) };
            let place = Place::new(&Arc::new(source), at..at + 1);
            problems.push(Diagnostic::error(&place, "a profile is text in UTF-8, and this is not"));
            return None;
        }
    };
    if let Some(at) = too_deep(text) {
        let source = Source { masks: masks::of_broken_text(text), ..whole(text) };
        let place = Place::new(&Arc::new(source), at..at + 1);
        problems.push(Diagnostic::error(&place, format!("nested deeper than {MAX_DEPTH} levels")));
        return None;
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let masks = match errors.is_empty() {
        true => masks::of_document(text, root.get_ref()),
        false => masks::of_broken_text(text),
    };
    let source = Arc::new(Source { masks, ..whole(text) });
    // After another error the parser guesses; a doubled key leaves the rest of the tree as it was meant.
    let sound = errors.iter().all(|error| error.message() == "duplicate key");
    syntax_errors(&source, &errors, problems);
    sound.then(|| {
        let table = Adopt { source: &source, offset: 0, problems }.table(root.get_ref());
        Node { value: Value::Table(table), place: Place::new(&source, 0..0) }
    })
}

fn syntax_errors(source: &Arc<Source>, errors: &[toml::de::Error], problems: &mut Problems) {
    let mut found: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    found.sort_by_key(|(span, _)| span.start);
    found.dedup_by_key(|(span, _)| span.start);
    for (span, message) in found.into_iter().take(MAX_SYNTAX_ERRORS) {
        let place = Place::new(source, span);
        let message = match message {
            "duplicate key" => format!("`{}` is defined twice", place.raw()),
            unquoted if unquoted.starts_with("string values must be quoted") => match place.raw() {
                "" => "a value is missing here".to_owned(),
                _ => "a text stands in quotes, as in \"tcp\"".to_owned(),
            },
            other => other.to_owned(),
        };
        problems.push(Diagnostic::error(&place, message));
    }
}

/// The value of a bare word: what TOML makes of it, or else the word as text.
pub(super) fn word(source: &Arc<Source>, span: Range<usize>, problems: &mut Problems) -> Node {
    let place = Place::new(source, span.clone());
    let text = place.raw();
    if too_deep(text).is_none()
        && let Ok(value) = DeValue::parse(text)
    {
        return Adopt { source, offset: span.start, problems }.node(value.get_ref(), value.span());
    }
    verbatim(place)
}

/// A bare word that is text whatever it looks like.
pub(super) fn verbatim(place: Place) -> Node {
    Node { value: Value::String(place.raw().to_owned()), place }
}

/// The defaults, which are part of the program.
pub(super) fn defaults(problems: &mut Problems) -> Table {
    match document(Origin::Default, super::spec::DEFAULTS.as_bytes(), problems) {
        Some(Node { value: Value::Table(table), .. }) => table,
        // `document` has noted why; a test sees to it that this does not happen.
        _ => Table::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_parse() {
        let mut problems = Problems::default();
        assert!(defaults(&mut problems).get("topology").is_some());
        assert!(problems.finish(Some(())).is_ok());
    }

    #[test]
    fn a_word_is_a_value_if_it_can_be_and_text_otherwise() {
        let read = |text: &str| {
            let source = Source { origin: Origin::Set, text: text.to_owned(), masks: vec![] };
            word(&Arc::new(source), 0..text.len(), &mut Problems::default())
        };
        for text in [
            "tcp",
            "127.0.0.1:1",
            "",
            "#lobby",
            "[1",
            "\"open",
            "a b",
            "{a={a={a={a={a={a={a={a={a={a={a={a={a={a={a={a={a=1}}}}}}}}}}}}}}}}}",
        ] {
            assert!(matches!(read(text).value, Value::String(found) if found == text), "{text}");
        }
        assert!(matches!(read("42").value, Value::Integer(42)));
        assert!(matches!(read("true").value, Value::Boolean(true)));
        assert!(matches!(read("\"42\"").value, Value::String(text) if text == "42"));
        assert_eq!(read("42").text(), Some("42"), "a number may be meant as text");
        assert_eq!(read("['#a', '#b']").array().map(<[Node]>::len), Some(2));
    }
}
