//! Text that came from outside and will be shown: names, and what makes text inert.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Longest nick, in bytes of UTF-8.
pub const MAX_NICK_BYTES: usize = 64;
/// Longest room name with its `#`, in bytes of UTF-8.
pub const MAX_ROOM_BYTES: usize = 64;
/// Longest text of a message, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// Whether `c` could act on a terminal or reorder what stands around it: C0 and C1 controls, line and
/// paragraph separators, bidi overrides and isolates, interlinear annotation, the byte order mark; or is a tag, which
/// shows nothing and can hide a text in another.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{206F}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

/// Whether `c` shows nothing where a name is read: two names that differ in it look the same (Unicode's default
/// ignorable code points, and blanks that are no white space).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2065}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FFA0}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// The text with everything removed that could act on a screen; line feed and tab stay. A run of more
/// than 8 code points in one grapheme that is no emoji sequence is cut, so that marks can't climb over other lines.
pub fn inert(text: &str) -> String {
    // First the controls, then the graphemes: a control between marks would make two graphemes of one.
    let shown: String = text.chars().filter(|&c| matches!(c, '\n' | '\t') || !is_unsafe_to_show(c)).collect();
    let mut out = String::with_capacity(shown.len());
    for grapheme in shown.graphemes(true) {
        let limit = if grapheme.contains('\u{200D}') { 32 } else { 8 };
        out.extend(grapheme.chars().take(limit));
    }
    out
}

/// A name a node claims for itself. It proves nothing; it holds nothing that acts on a screen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Nick(String);

/// Why a string is not a nick or a room name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing to read.
    #[error("a name must have at least one visible character")]
    Empty,
    /// Over [`MAX_NICK_BYTES`] or [`MAX_ROOM_BYTES`].
    #[error("a name has at most {MAX_NICK_BYTES} bytes")]
    TooLong,
    /// White space, controls, `#`, `@`, `/` or `·`, which have a meaning of their own.
    #[error("a name may not contain {0:?}")]
    Forbidden(char),
    /// A mark that belongs on the letter before it, of which there is none.
    #[error("a name begins with a letter or sign of its own, not with the mark {0:?}")]
    Mark(char),
    /// A room that does not begin with `#`.
    #[error("a room begins with `#`, as in `#lobby`")]
    NoHash,
}

fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NICK_BYTES {
        return Err(NameError::TooLong);
    }
    let forbidden = |&c: &char| {
        c.is_whitespace()
            || is_unsafe_to_show(c)
            || is_invisible(c)
            || matches!(c, '#' | '@' | '/' | '\\' | '·' | ',')
    };
    if let Some(c) = name.chars().find(forbidden) {
        return Err(NameError::Forbidden(c));
    }
    match name.chars().next().filter(|&c| stands_on_another(c)) {
        Some(mark) => Err(NameError::Mark(mark)),
        None => Ok(()),
    }
}

/// Whether `c` is shown as a part of what stands before it (Unicode's grapheme extenders and spacing marks, UAX #29).
fn stands_on_another(c: char) -> bool {
    format!("a{c}").graphemes(true).count() == 1
}

impl Nick {
    /// Checks a nick the user chose. It is kept in Unicode's composed form (NFC), so that two spellings of one word are
    /// one name.
    ///
    /// # Errors
    /// [`NameError`] says which character, or what else, is in the way.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name: String = name.into().nfc().take(MAX_NICK_BYTES + 1).collect();
        check_name(&name).map(|()| Self(name))
    }

    /// The nick as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Nick {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<Nick> for String {
    fn from(nick: Nick) -> Self {
        nick.0
    }
}

impl fmt::Display for Nick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Nick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The name of a room, with its `#`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName(String);

impl RoomName {
    /// Checks a room name such as `#lobby`; kept in composed form, as a nick is.
    ///
    /// # Errors
    /// [`NameError`] says what is in the way.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name: String = name.into().nfc().take(MAX_ROOM_BYTES + 1).collect();
        let rest = name.strip_prefix('#').ok_or(NameError::NoHash)?;
        if name.len() > MAX_ROOM_BYTES {
            return Err(NameError::TooLong);
        }
        check_name(rest)?;
        Ok(Self(name))
    }

    /// The room as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoomName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<RoomName> for String {
    fn from(name: RoomName) -> Self {
        name.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

macro_rules! cbor_name {
    ($name:ident) => {
        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }
        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::new(d.str()?).map_err(minicbor::decode::Error::message)
            }
        }
    };
}
cbor_name!(Nick);
cbor_name!(RoomName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_act_on_a_screen_are_refused() {
        for bad in [
            "",
            "a b",
            "a\x1b[2J",
            "a\u{202e}b",
            "a#",
            "/x",
            "bob·7f3a",
            "a\u{200b}",
            "\u{3164}",
            "a\u{2800}",
            "a\u{fe0f}",
            // Marks without a letter of their own would stand on whatever is shown before the name.
            "\u{301}bob",
            "\u{903}",
            "\u{1f3fb}bob",
            &"x".repeat(65),
        ] {
            assert!(Nick::new(bad).is_err(), "{bad:?}");
        }
        for good in ["alice", "naïve", "nai\u{308}ve", "日本", "bob-2", "o'neil", "हिन्दी", "👩🏻"]
        {
            assert!(Nick::new(good).is_ok(), "{good:?}");
        }
        assert_eq!(RoomName::new("lobby"), Err(NameError::NoHash));
        assert!(RoomName::new("#lobby").is_ok());
        assert_eq!(RoomName::new("#\u{301}lobby"), Err(NameError::Mark('\u{301}')));
        assert_eq!(Nick::new("nai\u{308}ve"), Nick::new("naïve"));
        assert_eq!(RoomName::new("#cafe\u{301}"), RoomName::new("#café"));
    }

    #[test]
    fn inert_keeps_text_and_removes_what_acts() {
        assert_eq!(inert("a\x1b]0;x\x07b\r\nc\td"), "a]0;xb\nc\td");
        assert_eq!(inert("\u{202e}abc\u{2066}\u{9b}1m"), "abc1m");
        assert_eq!(inert("👩‍👩‍👧‍👦 é 日本"), "👩‍👩‍👧‍👦 é 日本");
        assert_eq!(inert(&format!("e{}", "\u{301}".repeat(1000))).chars().count(), 8);
        assert_eq!(inert(&format!("e{}", "\u{301}\u{1b}".repeat(1000))).chars().count(), 8);
    }
}
