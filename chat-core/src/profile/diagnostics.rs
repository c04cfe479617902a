//! What is wrong with a profile: all of it at once, each with its place, a caret, and what would be right.

use std::fmt;

use super::source::{Place, show};

/// Most errors that are shown; the rest is counted.
const MAX_SHOWN: usize = 50;
/// A name longer than this is no misspelling.
const MAX_MISSPELLED_BYTES: usize = 64;

/// Whether something must be put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The profile is refused.
    Error,
    /// The profile is used, but the user ought to know.
    Warning,
}

/// One thing that is wrong, or strange.
///
/// Its `Display` is several lines for a terminal, without a line feed at the end; nothing in it acts on a
/// terminal, and no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    place: Option<Place>,
    /// The option a plugin complained about, until [`super::Options::locate`] finds its place.
    pub(super) option: Option<String>,
    notes: Vec<String>,
}

/// Something that is strange but no error.
pub type Warning = Diagnostic;

impl Diagnostic {
    pub(super) fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: Some(place.clone()),
            option: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    pub(super) fn nowhere(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            option: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Names what would be accepted, and what of it was probably meant by `given`.
    pub(super) fn accepted<'a>(self, given: &str, accepted: impl IntoIterator<Item = &'a str>) -> Self {
        let accepted: Vec<&str> = accepted.into_iter().collect();
        if accepted.is_empty() {
            return self;
        }
        let meant = did_you_mean(given, accepted.iter().copied());
        let list = accepted.join(", ");
        let with_list = self.note(format!("accepted: {list}"));
        match meant {
            Some(word) => with_list.note(format!("did you mean `{word}`?")),
            None => with_list,
        }
    }

    pub(super) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Without the words, because they repeat a secret.
    pub(super) fn withheld(self) -> Self {
        let message = "the value is not accepted; why is not shown, because the reason repeats a secret";
        Self { message: message.to_owned(), notes: Vec::new(), ..self }
    }

    pub(super) fn placed(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Whether it is an error or a warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where, if it has a place in one of the texts.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// What is accepted, what was probably meant, what to change: one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The one of `accepted` that `given` is probably a misspelling of.
pub(super) fn did_you_mean<'a>(given: &str, accepted: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > MAX_MISSPELLED_BYTES {
        return None;
    }
    let plain = given.to_ascii_lowercase().replace('_', "-");
    let likeness = |word: &str| {
        let word = word.to_ascii_lowercase().replace('_', "-");
        if word.len() >= 3 && plain.len() >= 3 && (word.starts_with(&plain) || plain.starts_with(&word)) {
            return 0.9;
        }
        strsim::normalized_damerau_levenshtein(&plain, &word)
    };
    let best = accepted.into_iter().map(|word| (likeness(word), word)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, word)| *likeness >= 0.6 && *word != given).map(|(_, word)| word)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{word}: ")?;
        if let Some(option) = self.option.as_ref().filter(|_| self.place.is_none()) {
            write!(f, "{}: ", show(option))?;
        }
        write_inert(f, &self.message)?;
        let mut gutter = 1;
        if let Some(place) = &self.place {
            let line = place.line().to_string();
            gutter = line.len();
            write!(f, "\n{:gutter$}--> {place}", "")?;
            if let Some(snippet) = place.snippet() {
                write!(f, "\n{:gutter$} |\n{line} | {}", "", snippet.line)?;
                write!(
                    f,
                    "\n{:gutter$} | {:from$}{:^<width$}",
                    "",
                    "",
                    "",
                    from = snippet.from,
                    width = snippet.width
                )?;
            }
        }
        for note in &self.notes {
            write!(f, "\n{:gutter$} = ", "")?;
            write_inert(f, note)?;
        }
        Ok(())
    }
}

fn write_inert(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| {
        let acts = crate::nick::is_unsafe_to_show(c);
        fmt::Write::write_char(f, if acts { char::REPLACEMENT_CHARACTER } else { c })
    })
}

/// What is wrong with a profile: at least one error.
///
/// Its `Display` shows all of them for a terminal. The exit code for it is 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError {
    /// Never empty; in the order of the text.
    errors: Vec<Diagnostic>,
}

impl ProfileError {
    /// A plugin's refusal of one of its options; the registry adds the place in the profile. `key` is the
    /// option's name, with dots into a table (`limits.rtt_ms`). Don't repeat a secret in the message: an
    /// error that does is shown without it.
    pub fn option(key: &str, message: impl fmt::Display) -> Self {
        let error = Diagnostic::nowhere(message.to_string());
        Self { errors: vec![Diagnostic { option: Some(key.to_owned()), ..error }] }
    }

    /// The errors, at least one.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    pub(super) fn map(self, change: impl FnMut(Diagnostic) -> Diagnostic) -> Self {
        Self { errors: self.errors.into_iter().map(change).collect() }
    }
}

impl From<Diagnostic> for ProfileError {
    fn from(error: Diagnostic) -> Self {
        Self { errors: vec![error] }
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().take(MAX_SHOWN).enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n\n" })?;
        }
        match self.errors.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for ProfileError {}

/// What was found so far, errors and warnings.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Diagnostic>);

impl Problems {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub(super) fn extend(&mut self, error: ProfileError) {
        self.0.extend(error.errors);
    }

    /// Takes a result apart: the value, or the errors noted.
    pub(super) fn take<T>(&mut self, result: Result<T, ProfileError>) -> Option<T> {
        result.map_err(|error| self.extend(error)).ok()
    }

    /// The value and the warnings; or the errors, in the order of the text.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Warning>), ProfileError> {
        let (mut errors, warnings): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|found| found.severity == Severity::Error);
        match value {
            Some(value) if errors.is_empty() => Ok((value, warnings)),
            _ => {
                // Stable: what has no bytes in the file stays as it came.
                errors.sort_by_key(|error| error.place.as_ref().map_or((2, 0), order));
                if errors.is_empty() {
                    errors.push(Diagnostic::nowhere("the profile is incomplete"));
                }
                Err(ProfileError { errors })
            }
        }
    }
}

/// The file's errors by byte, those of the other layers behind them as they came.
fn order(place: &Place) -> (usize, usize) {
    match place.origin().is_word() {
        true => (1, 0),
        false => (0, place.start()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::source::{Origin, Source};
    use super::*;

    fn place(text: &str, span: std::ops::Range<usize>) -> Place {
        let source = Source { origin: Origin::File("p.toml".into()), text: text.into(), masks: vec![] };
        Place::new(&Arc::new(source), span)
    }

    #[test]
    fn an_error_shows_place_line_caret_and_what_would_be_right() {
        let text = format!("{}relais = 1 # x\n", "\n".repeat(9));
        let error = Diagnostic::error(&place(&text, 9..15), "unknown key `relais` in [topology]")
            .accepted("relais", ["kind", "relay"]);
        let expected = "error: unknown key `relais` in [topology]\n  --> p.toml:10:1\n   |\n10 | relais = 1 # x\n   | ^^^^^^\n   = accepted: kind, relay\n   = did you mean `relay`?";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_a_misspelling_meant() {
        assert_eq!(did_you_mean("tpc", ["tcp", "udp-arq"]), Some("tcp"));
        assert_eq!(did_you_mean("udp", ["tcp", "udp-arq"]), Some("udp-arq"));
        assert_eq!(did_you_mean("aes_256_gcm", ["aes-256-gcm", "x"]), Some("aes-256-gcm"));
        assert_eq!(did_you_mean("AES-256-GCM", ["aes-256-gcm"]), Some("aes-256-gcm"));
        assert_eq!(did_you_mean("carrier-pigeon", ["tcp", "udp-arq"]), None);
        assert_eq!(did_you_mean(&"t".repeat(1 << 20), ["tcp"]), None);
    }

    #[test]
    fn nothing_in_an_error_acts_on_the_terminal_and_a_flood_is_counted() {
        let error = Diagnostic::nowhere("a\x1b[2J").note("\u{202e}b");
        assert_eq!(error.to_string(), "error: a\u{fffd}[2J\n  = \u{fffd}b");
        let mut problems = Problems::default();
        (0..MAX_SHOWN + 3).for_each(|_| problems.push(Diagnostic::nowhere("x")));
        let error = problems.finish(Some(())).unwrap_err();
        assert!(error.to_string().ends_with("and 3 more"));
        assert_eq!(error.errors().len(), MAX_SHOWN + 3);
    }
}
