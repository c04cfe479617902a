//! JSON in which nothing acts on a terminal: whoever reads the lines with `cat` or `tail -f` has one.

use std::io::{self, Write};

use chat_core::nick::is_unsafe_to_show;
use serde_json::ser::Formatter;

/// The shortest JSON, with everything as `\uXXXX` in it that JSON lets stand and that could act on a terminal or reorder
/// what stands around it: C1 controls, bidi overrides, tags.
pub(crate) struct Inert;

impl Formatter for Inert {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_inert(writer, fragment)
    }

    /// Outside of strings JSON is ASCII, so what is escaped here stands in one too.
    fn write_raw_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_inert(writer, fragment)
    }
}

fn write_inert<W: ?Sized + Write>(writer: &mut W, text: &str) -> io::Result<()> {
    let mut written = 0;
    // What is below is escaped by JSON itself, or white space between its parts.
    for (at, c) in text.char_indices().filter(|&(_, c)| c >= '\u{7f}' && is_unsafe_to_show(c)) {
        writer.write_all(text.get(written..at).unwrap_or_default().as_bytes())?;
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(writer, "\\u{unit:04x}")?;
        }
        written = at + c.len_utf8();
    }
    writer.write_all(text.get(written..).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::value::RawValue;
    use serde_json::{Serializer, Value, json};

    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut line = Vec::new();
        value.serialize(&mut Serializer::with_formatter(&mut line, Inert)).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_acts_is_escaped_and_reads_the_same() {
        let text = "a\u{9b}31m\u{85}\u{7f}\u{202e}\u{2066}\u{200f}\u{feff}\u{e0041}é 日本 👩‍👩‍👧‍👦\n\0\"\\";
        let value = json!({ text: [text, 1, null, { "x": "plain" }] });
        let line = written(&value);
        assert!(!line.chars().any(is_unsafe_to_show), "{line:?}");
        let escaped =
            "\\u009b31m\\u0085\\u007f\\u202e\\u2066\\u200f\\ufeff\\udb40\\udc41é 日本 👩‍👩‍👧‍👦\\n\\u0000\\\"\\\\";
        assert!(line.contains(escaped), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    /// The id of a request is repeated as it was written, but for what acts.
    #[test]
    fn raw_json_too() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert_eq!(written(&raw("\"\u{9b}\u{202e}x\\u0041\"")), "\"\\u009b\\u202ex\\u0041\"");
        assert_eq!(written(&raw("1.50e3")), "1.50e3");
    }
}
