//! What an error's source line does not show. Keys are shown. A value is shown only if the error is about that very
//! value and its key is known to hold no secret: a password may stand under any name, and beside any fault.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::secrets::{is_secret, names_a_secret};
use super::spec::{self, Content, SCHEMA_VERSION_KEY, Shape, TableSpec};
use crate::PeerId;
use crate::plugin::PluginKind;

/// When a stretch of a text is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// Always.
    Always,
    /// Unless the error is about this very value.
    Elsewhere,
    /// Unless the error is about this very value, and it is one of a few words.
    UnlessWord,
}

/// A stretch of a text that is not shown as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mask {
    /// Bytes of the text.
    pub(super) span: Range<usize>,
    pub(super) cover: Cover,
}

impl Mask {
    pub(super) fn always(span: Range<usize>) -> Self {
        Self { span, cover: Cover::Always }
    }

    /// Whether it hides something from an error about the bytes `about`; `word`: about a value of a few words.
    pub(super) fn hides_from(&self, about: &Range<usize>, word: bool) -> bool {
        let very_value = self.span.start <= about.start && about.end <= self.span.end;
        match self.cover {
            Cover::Always => true,
            Cover::Elsewhere => !very_value,
            Cover::UnlessWord => !(very_value && word),
        }
    }
}

/// Where in a profile a key stands, as far as it says what its value may be.
#[derive(Clone, Copy)]
enum Room {
    /// Outside of all tables.
    Root,
    /// A table whose keys the core knows.
    Keys(&'static TableSpec),
    /// The table of a plugin.
    Plugin(PluginKind),
    /// An option of a plugin, or inside of it: the core knows its type when the plugin has read it.
    Option,
    /// `relay.listen`: texts, or tables of transports.
    Listeners,
    /// A key that the core knows: none of them holds a secret.
    Known,
    /// Nobody knows.
    Unknown,
}

impl Room {
    /// The room of what stands under `key`.
    fn enter(self, key: &str) -> Self {
        if is_secret(key) {
            return Self::Unknown;
        }
        match self {
            Self::Root if key == SCHEMA_VERSION_KEY => Self::Known,
            Self::Root => match spec::table(key).map(|table| (table, &table.content)) {
                Some((table, Content::Keys(_) | Content::List(..))) => Self::Keys(table),
                Some((_, Content::Plugin(kind))) => Self::Plugin(*kind),
                Some((_, Content::Later)) | None => Self::Unknown,
            },
            Self::Keys(table) => match table.key(key) {
                Some(key) if matches!(key.shape, Shape::Listeners { .. }) => Self::Listeners,
                Some(key) if !matches!(key.shape, Shape::Later) => Self::Known,
                _ => Self::Unknown,
            },
            Self::Listeners => Self::Plugin(PluginKind::Transport).enter(key),
            Self::Plugin(_) if key == super::options::KIND_KEY => Self::Known,
            Self::Plugin(PluginKind::Transport) if key == super::options::ADDRESS_KEY => Self::Known,
            // One of a list: `transport.0.kind`.
            Self::Plugin(PluginKind::Transport) if key.bytes().all(|byte| byte.is_ascii_digit()) => self,
            Self::Plugin(_) | Self::Option => Self::Option,
            Self::Known | Self::Unknown => Self::Unknown,
        }
    }

    fn of<'a>(path: impl IntoIterator<Item = &'a str>) -> Self {
        path.into_iter().fold(Self::Root, Self::enter)
    }

    /// How a text, or another scalar, is hidden here.
    fn cover(self, is_text: bool) -> Cover {
        match self {
            Self::Known | Self::Listeners => Cover::Elsewhere,
            Self::Option if is_text => Cover::UnlessWord,
            Self::Option => Cover::Elsewhere,
            // A table of this name was expected: what stands there instead has no key.
            Self::Root | Self::Keys(_) | Self::Plugin(_) | Self::Unknown => Cover::Always,
        }
    }
}

/// The masks of a parsed text.
pub(super) fn of_document(text: &str, root: &DeTable<'_>) -> Vec<Mask> {
    let mut masks = Vec::new();
    in_table(Text { text, offset: 0 }, root, Room::Root, &mut masks);
    masks
}

/// The masks of one value at the end of `text`, from byte `offset`, that is meant for the key at the end of `path`.
pub(super) fn of_word<'a>(text: &str, offset: usize, path: impl IntoIterator<Item = &'a str>) -> Vec<Mask> {
    let word = text.get(offset..).unwrap_or_default();
    let room = Room::of(path);
    if names_a_secret(word) {
        return vec![Mask::always(offset..text.len())];
    }
    let mut masks = Vec::new();
    let parsed = super::nesting::too_deep(word).is_none().then(|| DeValue::parse(word).ok()).flatten();
    match parsed {
        Some(value) => in_value(Text { text, offset }, value.get_ref(), value.span(), room, &mut masks),
        None => scalar(text, offset..text.len(), room.cover(true), &mut masks),
    }
    masks
}

/// A text of which the part from `offset` was parsed.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a str,
    offset: usize,
}

fn in_table(text: Text<'_>, table: &DeTable<'_>, room: Room, masks: &mut Vec<Mask>) {
    for (key, value) in table {
        in_value(text, value.get_ref(), value.span(), room.enter(key.get_ref()), masks);
    }
}

fn in_value(text: Text<'_>, value: &DeValue<'_>, span: Range<usize>, room: Room, masks: &mut Vec<Mask>) {
    let is_text = match value {
        DeValue::Table(table) => return in_table(text, table, room, masks),
        DeValue::Array(array) => {
            return array.iter().for_each(|item| in_value(text, item.get_ref(), item.span(), room, masks));
        }
        DeValue::String(_) | DeValue::Datetime(_) => true,
        _ => false,
    };
    scalar(text.text, span.start + text.offset..span.end + text.offset, room.cover(is_text), masks);
}

fn scalar(text: &str, span: Range<usize>, cover: Cover, masks: &mut Vec<Mask>) {
    let value = text.get(span.clone()).unwrap_or_default();
    let inner = value.trim_start_matches(['"', '\'']);
    let begin = span.start + value.len() - inner.len();
    // First, so that an error about another part of the value does not uncover it.
    if let Some(user) = userinfo(inner) {
        masks.push(Mask::always(begin + user.start..begin + user.end));
    }
    masks.push(Mask { span, cover });
}

/// What stands before the `@` of an address, if it is no fingerprint: it may be a password.
fn userinfo(address: &str) -> Option<Range<usize>> {
    let before = address.get(..address.rfind('@')?)?;
    let is_scheme = |scheme: &str| scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '+');
    let scheme = before.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
    let user = scheme.map_or(0, |(scheme, _)| scheme.len() + "://".len())..before.len();
    let is_open =
        before.get(user.clone()).is_some_and(|user| user.is_empty() || user.parse::<PeerId>().is_ok());
    (!is_open).then_some(user)
}

/// An address without what may be a password.
pub(super) fn without_userinfo(address: &str) -> String {
    let mut shown = address.to_owned();
    if let Some(user) = userinfo(address) {
        shown.replace_range(user, super::source::MASK);
    }
    shown
}

/// The masks of a text that does not parse, line by line: what follows a key, up to the next line that begins with
/// one, is hidden; but for the value of a known key that stands whole on its line.
pub(super) fn of_broken_text(text: &str) -> Vec<Mask> {
    let mut lines = Lines { text, masks: Vec::new(), room: Room::Root, open: false };
    let mut at = 0;
    while let Some(line) = text.get(at..).and_then(|rest| rest.split_inclusive('\n').next()) {
        let end = at + line.trim_end_matches(['\n', '\r']).len();
        let begun = lines.line(at, end);
        at = lines.behind_multi_line(begun).unwrap_or(at + line.len());
    }
    lines.masks
}

struct Lines<'a> {
    text: &'a str,
    masks: Vec<Mask>,
    /// The table we are in.
    room: Room,
    /// A line that begins nothing belongs to a hidden value.
    open: bool,
}

impl Lines<'_> {
    /// Masks the line from `at` to `end`, and says where its value begins, if it has one.
    fn line(&mut self, at: usize, end: usize) -> Option<usize> {
        let line = self.text.get(at..end).unwrap_or_default();
        let starts = line.trim_start();
        let indent = line.len() - starts.len();
        if starts.is_empty() || (starts.starts_with('#') && !self.open) {
            return None;
        }
        if let Some(header) = table_header(starts) {
            (self.room, self.open) = (Room::of(header.iter().map(String::as_str)), false);
            let shown = starts.find(']').map_or(starts.len(), |close| close + 1);
            let shown = shown + starts.get(shown..).map_or(0, |rest| usize::from(rest.starts_with(']')));
            self.hide(at + indent + shown..end);
            return None;
        }
        let key = begins_key(starts);
        if key.is_none() && self.open {
            self.masks.push(Mask::always(at..end));
            return None;
        }
        let Some(key) = key else {
            // No value was begun: the first word stands where a key would.
            let word = starts.find(|c: char| !is_key_char(c)).unwrap_or(starts.len());
            self.open = self.hide(at + indent + word..end);
            return None;
        };
        let room = segments(key).iter().fold(self.room, |room, segment| room.enter(segment));
        let equals = at + indent + starts.find('=').unwrap_or(starts.len()) + 1;
        let value = self.text.get(equals..end).unwrap_or_default();
        let begin = equals + value.len() - value.trim_start().len();
        let whole = matches!(room, Room::Known).then(|| whole_value(value.trim())).flatten();
        self.open = whole.is_none();
        match whole {
            Some(length) => {
                scalar(self.text, begin..begin + length, Cover::Elsewhere, &mut self.masks);
                self.hide(begin + length..end);
            }
            None => {
                self.hide(equals..end);
            }
        }
        Some(begin)
    }

    /// Hides what is no blank at either end; whether there was anything.
    fn hide(&mut self, span: Range<usize>) -> bool {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let begin = span.start + text.len() - text.trim_start().len();
        let any = !text.trim().is_empty();
        if any {
            self.masks.push(Mask::always(begin..begin + text.trim().len()));
        }
        any
    }

    /// If the value that begins there is a string of several lines, hides it, and gives the first byte behind it.
    fn behind_multi_line(&mut self, begun: Option<usize>) -> Option<usize> {
        let begin = begun?;
        let value = self.text.get(begin..)?;
        let quotes = ["\"\"\"", "'''"].into_iter().find(|quotes| value.starts_with(quotes))?;
        let close = value.get(quotes.len()..).and_then(|body| body.find(quotes));
        let length = close.map_or(value.len(), |close| close + 2 * quotes.len());
        let line_end = value.get(length..).and_then(|rest| rest.find('\n'));
        let end = begin + line_end.map_or(value.len(), |line_end| length + line_end + 1);
        self.masks.push(Mask::always(begin..end));
        self.open = false;
        Some(end)
    }
}

/// The bytes of a value that stands whole at the beginning of `value`; `None` if it may go on in the next line.
fn whole_value(value: &str) -> Option<usize> {
    let first = value.chars().next()?;
    match first {
        '"' | '\'' if value.starts_with("\"\"\"") || value.starts_with("'''") => None,
        '"' | '\'' => {
            let mut escaped = false;
            let close = value.char_indices().skip(1).find(|&(_, c)| {
                let closes = c == first && !escaped;
                escaped = c == '\\' && !escaped && first == '"';
                closes
            });
            Some(close.map_or(value.len(), |(at, _)| at + 1))
        }
        '[' | '{' => None,
        _ => Some(value.find([' ', '\t', ',', '=', '#']).unwrap_or(value.len())),
    }
}

fn is_key_char(c: char) -> bool {
    c.is_alphanumeric() || "_-.\"'".contains(c)
}

/// The parts of the key of a line that begins with `key = value`; not the padding at the end of base64.
fn begins_key(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_key = !key.is_empty() && key.chars().all(|c| is_key_char(c) || c == ' ');
    let is_value = !value.trim().is_empty() && !value.starts_with('=');
    (is_key && is_value).then_some(key)
}

/// The names in `[a.b]` or `[[a.b]]`, closed or not.
fn table_header(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix("[[").or_else(|| line.strip_prefix('['))?;
    let name = inner.split(']').next().unwrap_or_default().trim();
    (!name.is_empty() && name.chars().all(|c| is_key_char(c) || c == ' ') && !name.starts_with(['"', '\'']))
        .then(|| segments(name))
}

fn segments(key: &str) -> Vec<String> {
    key.split('.').map(|part| part.trim().trim_matches(['"', '\'']).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, about: Range<usize>) -> Vec<&str> {
        let masks = of_broken_text(text);
        masks
            .iter()
            .filter(|mask| mask.hides_from(&about, false))
            .map(|mask| &text[mask.span.clone()])
            .collect()
    }

    #[test]
    fn a_broken_text_is_masked_from_each_key_to_the_next() {
        let cases: [(&str, &[&str]); 8] = [
            ("a = 1\npassphrase = \"\"\"\nhunter2\nb = 2\n", &["1", "\"\"\"", "\"\"\"\nhunter2\nb = 2\n"]),
            ("pass = \"hunter2\nabc==\n\nb = 2\n[t]\ntoken = 1", &["\"hunter2", "abc==", "2", "1"]),
            ("auth = '''a = 1\n'''\nb = 1", &["'''a = 1", "'''a = 1\n'''\n", "1"]),
            ("pwd \"hunter2\"\nmore", &["\"hunter2\"", "more"]),
            ("a = { b = 1, kennwort = 'x", &["{ b = 1, kennwort = 'x"]),
            ("a = 1\n[b]\n", &["1"]),
            ("[store] pass = 'x'\n# y\n", &["pass = 'x'"]),
            ("[identity]\nnick = alice pass = 'x'", &["alice", "pass = 'x'"]),
        ];
        for (text, expected) in cases {
            assert_eq!(hidden(text, 0..0), expected, "{text}");
        }
    }

    #[test]
    fn a_known_value_is_shown_to_the_error_about_it_but_for_what_may_be_a_password() {
        let text = "[topology]\nrelay = \"user:pass@h:1\n";
        assert_eq!(hidden(text, 0..0), ["user:pass", "\"user:pass@h:1"]);
        assert_eq!(hidden(text, 20..21), ["user:pass"]);
        assert_eq!(hidden("[identity]\nnick = alice", 18..23), [""; 0]);
    }

    #[test]
    fn only_a_fingerprint_is_shown_before_the_at() {
        let fingerprint = "a".repeat(64);
        for (address, shown) in [
            ("h:1", "h:1"),
            ("user:p@ss@h:1", "***@h:1"),
            ("tcp://user:pass@h:1", "tcp://***@h:1"),
            ("user:p://ss@h:1", "***@h:1"),
            ("@h:1", "@h:1"),
        ] {
            assert_eq!(without_userinfo(address), shown);
        }
        let pinned = format!("{fingerprint}@h:1");
        assert_eq!(without_userinfo(&pinned), pinned);
        assert_eq!(without_userinfo(&format!("{fingerprint}@user:pass@h:1")), "***@h:1");
    }
}
