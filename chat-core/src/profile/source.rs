//! Where a value came from, down to the character.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::masks::Mask;
use crate::nick::is_unsafe_to_show;

/// Longest piece of a source line that an error shows, in characters.
const MAX_LINE_CHARS: usize = 120;
/// What stands where a secret was.
pub(super) const MASK: &str = "***";

/// The layer a value comes from. Later ones win: defaults < file < environment < `--set` < flags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The program's own value.
    Default,
    /// A profile, by the name it was found under.
    File(String),
    /// An environment variable, by its name.
    Environment(String),
    /// A `--set key=value` of the command line.
    Set,
    /// Another flag of the command line, by its name, such as `--nick`.
    Flag(String),
}

impl Origin {
    /// Whether the value was a bare word of the environment or the command line, where `42` may be meant as text.
    pub(super) fn is_word(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Set | Self::Flag(_))
    }
}

/// `default`, `file udp-rsa.toml`, `environment CHAT_TOPOLOGY__RELAY`, `--set`, `--nick`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => write!(f, "file {}", show(name)),
            Self::Environment(name) => write!(f, "environment {}", show(name)),
            Self::Set => f.write_str("--set"),
            Self::Flag(name) => f.write_str(&show(name)),
        }
    }
}

/// Text from outside made fit for one line of a terminal: nothing that acts, and not endless.
pub(super) fn show(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_LINE_CHARS).map(inert_char).collect();
    if text.chars().nth(MAX_LINE_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn inert_char(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unsafe_to_show(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// A text with values in it: a file, or one variable or argument.
#[derive(PartialEq, Eq)]
pub(super) struct Source {
    pub(super) origin: Origin,
    pub(super) text: String,
    /// What is not shown as it is.
    pub(super) masks: Vec<Mask>,
}

impl Source {
    /// For each byte of a stretch the mask that hides it from `place`, the first if there are several. One pass: a line
    /// may have as many masks as it has room for.
    fn hidden(&self, stretch: Range<usize>, place: &Place) -> Vec<Option<&Range<usize>>> {
        let mut hidden = vec![None; stretch.len()];
        let hides = |mask: &&Mask| mask.hides_from(&place.span, place.word);
        for secret in self.masks.iter().filter(hides).map(|mask| &mask.span) {
            let from = secret.start.max(stretch.start) - stretch.start;
            let to = secret.end.min(stretch.end).saturating_sub(stretch.start);
            let slots = hidden.get_mut(from..to.max(from)).unwrap_or_default();
            slots.iter_mut().for_each(|slot| *slot = slot.or(Some(secret)));
        }
        hidden
    }
}

/// The text may hold a secret, so only its origin is shown.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.origin)
    }
}

/// A stretch of one of the texts that a profile is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    source: Arc<Source>,
    span: Range<usize>,
    /// What stands there is to be one of a few words.
    word: bool,
}

impl Place {
    pub(super) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        Self { source: Arc::clone(source), span, word: false }
    }

    /// The same place, of a value that is to be one of a few words and so no secret.
    pub(super) fn of_a_word(self) -> Self {
        Self { word: true, ..self }
    }

    /// Another stretch of the same text.
    pub(super) fn at(&self, span: Range<usize>) -> Self {
        Self::new(&self.source, span)
    }

    /// The first byte in its text.
    pub(super) fn start(&self) -> usize {
        self.span.start
    }

    /// The end of the text the place is in, where something that is missing would go.
    pub(super) fn end_of_text(&self) -> Self {
        let end = self.source.text.len();
        self.at(end..end)
    }

    /// The layer.
    pub fn origin(&self) -> &Origin {
        &self.source.origin
    }

    /// The line in its text, from 1.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column in its line, in characters, from 1.
    pub fn column(&self) -> usize {
        self.before().chars().rev().take_while(|&c| c != '\n').count() + 1
    }

    fn before(&self) -> &str {
        let text = &self.source.text;
        text.get(..text.floor_char_boundary(self.span.start)).unwrap_or_default()
    }

    /// The text itself, as it was written. May be a secret.
    pub(super) fn raw(&self) -> &str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    /// The line with what is not to be shown masked, and where to underline it.
    pub(super) fn snippet(&self) -> Option<Snippet> {
        let text = &self.source.text;
        let start = text.floor_char_boundary(self.span.start);
        let line_start = self.before().rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..)?.split('\n').next()?.trim_end_matches('\r');
        if line.trim().is_empty() {
            return None;
        }
        let end = self.span.end.min(line_start + line.len());
        let hidden = self.source.hidden(line_start..line_start + line.len(), self);
        let mut shown = Vec::new();
        let (mut from, mut to) = (None, None);
        let mut mask: Option<(Range<usize>, usize)> = None;
        for (offset, c) in line.char_indices() {
            let at = line_start + offset;
            let secret = hidden.get(offset).copied().flatten();
            let column = match (secret, &mask) {
                (Some(range), Some((masked, column))) if range == masked => *column,
                _ => shown.len(),
            };
            from = from.or((at >= start).then_some(column));
            match secret {
                Some(range) if mask.as_ref().is_some_and(|(masked, _)| masked == range) => {}
                Some(range) => {
                    mask = Some((range.clone(), shown.len()));
                    shown.extend(MASK.chars());
                }
                None => shown.push(inert_char(c)),
            }
            if at + c.len_utf8() <= end {
                to = Some(shown.len());
            }
        }
        let from = from.unwrap_or(shown.len());
        let width = to.unwrap_or(from).saturating_sub(from).max(1);
        Some(Snippet { line: shown.into_iter().collect(), from, width }.cut())
    }
}

/// `udp-rsa.toml:3:1`; a variable or an argument is named in place of the file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin() {
            Origin::File(name) => f.write_str(&show(name))?,
            other => write!(f, "{other}")?,
        }
        write!(f, ":{}:{}", self.line(), self.column())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A source line fit to be shown, with the columns to underline, in characters from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) line: String,
    pub(super) from: usize,
    pub(super) width: usize,
}

impl Snippet {
    /// Keeps the part of a long line around the underlined one.
    fn cut(self) -> Self {
        let length = self.line.chars().count();
        if length <= MAX_LINE_CHARS {
            return self;
        }
        let begin = self.from.saturating_sub(MAX_LINE_CHARS / 3);
        let before = if begin > 0 { "…" } else { "" };
        let after = if length > begin + MAX_LINE_CHARS { "…" } else { "" };
        let kept: String = self.line.chars().skip(begin).take(MAX_LINE_CHARS).collect();
        let from = self.from - begin + before.chars().count();
        let width = self.width.min((MAX_LINE_CHARS + 1).saturating_sub(from)).max(1);
        Self { line: format!("{before}{kept}{after}"), from, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, secrets: Vec<Range<usize>>, span: Range<usize>) -> Place {
        let masks = secrets.into_iter().map(Mask::always).collect();
        let source = Source { origin: Origin::File("p.toml".into()), text: text.into(), masks };
        Place::new(&Arc::new(source), span)
    }

    #[test]
    fn line_and_column_count_characters() {
        let place = place("a = 1\nnaïve = \"日本\" # x\n", vec![], 15..23);
        assert_eq!((place.line(), place.column()), (2, 9));
        assert_eq!(place.to_string(), "p.toml:2:9");
        let snippet = place.snippet().unwrap();
        assert_eq!((snippet.from, snippet.width), (8, 4));
        assert_eq!(place.end_of_text().to_string(), "p.toml:3:1");
        assert_eq!(place.end_of_text().snippet(), None);
    }

    #[test]
    fn a_secret_is_masked_and_the_caret_still_points_at_it() {
        let text = "x = { token = \"hunter2\", y = 1 }";
        let secret = 14..23;
        let masked = |span| place(text, [14..23, 99..99].to_vec(), span).snippet().unwrap();
        let at_secret = masked(secret);
        assert_eq!(at_secret, Snippet { line: "x = { token = ***, y = 1 }".into(), from: 14, width: 3 });
        let after = masked(25..26);
        assert_eq!((after.from, after.width), (19, 1));
        let inside = masked(16..18);
        assert_eq!((inside.from, inside.width), (14, 3));
    }

    #[test]
    fn nothing_in_a_line_acts_on_the_terminal_and_a_long_line_is_cut() {
        let snippet = place("a\t= \"\x1b[2J\u{202e}\"\r\n", vec![], 0..1).snippet().unwrap();
        assert_eq!(snippet.line, "a = \"\u{fffd}[2J\u{fffd}\"");
        let long = format!("{} = 1 {}", "x".repeat(500), "y".repeat(500));
        let snippet = place(&long, vec![], 503..504).snippet().unwrap();
        assert!(snippet.line.chars().count() <= MAX_LINE_CHARS + 2);
        assert_eq!(snippet.line.chars().nth(snippet.from), Some('1'));
        let snippet = place(&long, vec![], 0..1007).snippet().unwrap();
        assert!(snippet.from + snippet.width <= snippet.line.chars().count(), "{snippet:?}");
    }

    #[test]
    fn a_place_out_of_bounds_or_inside_a_character_is_no_panic() {
        for (from, to) in [(0, 0), (1, 2), (2, 1), (3, 99), (99, 100)] {
            let place = place("日", vec![0..1, 1..2], from..to);
            assert!(place.line() >= 1 && place.column() >= 1);
            place.snippet();
            place.raw();
        }
    }
}
