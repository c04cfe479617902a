//! Which values are never shown. A key is taken for a secret by its name, because a typing error must not
//! be enough to print one: the table it belongs to may be unknown, and the text may not even parse.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::tree::{Table, Value};

/// A name that has one of these in it holds a secret.
const PARTS: &[&str] = &["passphrase", "password", "passwd", "secret", "token", "credential"];
/// Misspellings of these are secrets too.
const SPELLED: &[&str] = &["passphrase", "password", "secret"];
/// The ways to name a secret that lies elsewhere; what they hold is not secret.
const REFERENCES: &[&str] = &["env", "file", "command"];

/// Whether a key of this name holds a secret. The name of a file that holds one is not secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if name.ends_with("_file") {
        return false;
    }
    let misspelled = || {
        (4..=24).contains(&name.len())
            && SPELLED.iter().any(|word| strsim::damerau_levenshtein(&name, word) <= 2)
    };
    PARTS.iter().any(|part| name.contains(part))
        || name == "key"
        || name == "psk"
        || name.ends_with("_key")
        || misspelled()
}

/// Whether the value of `name` is secret, inside a value that is secret or not.
fn hides(name: &str, inside: bool) -> bool {
    is_secret(name) || (inside && !REFERENCES.contains(&name))
}

/// The byte ranges of secret values in a parsed text.
pub(super) fn in_table(table: &DeTable<'_>, inside: bool, ranges: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        in_value(value.get_ref(), value.span(), hides(key.get_ref(), inside), ranges);
    }
}

fn in_value(value: &DeValue<'_>, span: Range<usize>, secret: bool, ranges: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => in_table(table, secret, ranges),
        DeValue::Array(array) => {
            array.iter().for_each(|item| in_value(item.get_ref(), item.span(), secret, ranges));
        }
        _ if secret => ranges.push(span),
        _ => {}
    }
}

/// The byte ranges that may be secret in a text that does not parse: from the `=` after a secret name to the
/// end of a multi-line string, or else up to the next line that looks like another key or a table.
pub(super) fn in_broken_text(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some((begin, rest)) = next_secret(text, at) {
        let value = rest.trim_start();
        let multi_line = ["\"\"\"", "'''"].into_iter().find(|quotes| value.starts_with(quotes));
        let length = match multi_line {
            Some(quotes) => {
                let body = rest.len() - value.len() + quotes.len();
                let close = rest.get(body..).and_then(|body| body.find(quotes));
                close.map_or(rest.len(), |close| body + close + quotes.len())
            }
            None => up_to_next_key(rest),
        };
        ranges.push(begin..begin + length);
        at = begin + length.max(1);
    }
    ranges
}

/// The next value of a secret key at or after byte `at`: where it begins, and the text from there.
fn next_secret(text: &str, at: usize) -> Option<(usize, &str)> {
    let mut line_start = at;
    for line in text.get(at..)?.split_inclusive('\n') {
        if let Some(end) = secret_word_end(line) {
            let equals = line.get(end..).and_then(|rest| rest.find('='));
            let begin = line_start + end + equals.map_or(0, |equals| equals + 1);
            return Some((begin, text.get(begin..)?));
        }
        line_start += line.len();
    }
    None
}

/// Bytes up to the first line after this one that begins another key or table.
fn up_to_next_key(rest: &str) -> usize {
    let mut length = 0;
    for (index, line) in rest.split_inclusive('\n').enumerate() {
        if index > 0 && begins_something(line) {
            break;
        }
        length += line.len();
    }
    length
}

/// Whether a secret name stands in `text` as a word.
pub(super) fn names_a_secret(text: &str) -> bool {
    secret_word_end(text).is_some()
}

fn secret_word_end(line: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut end = 0;
    line.split_inclusive(|c| !is_word(c)).find_map(|piece| {
        let word = piece.trim_end_matches(|c| !is_word(c));
        let found = is_secret(word).then_some(end + word.len());
        end += piece.len();
        found
    })
}

/// `key = value` or `[table]`, but not the padding at the end of base64.
fn begins_something(line: &str) -> bool {
    let line = line.trim();
    if let Some((key, value)) = line.split_once('=') {
        let is_key = |c: char| c.is_alphanumeric() || "_-.\"' ".contains(c);
        return !key.is_empty() && key.chars().all(is_key) && !value.is_empty() && !value.starts_with('=');
    }
    line.starts_with('[') && line.ends_with(']') && !line.contains(['"', ','])
}

/// Whether `message` repeats a secret of `table`. Of what a plugin says only this can be known.
pub(super) fn leaks(message: &str, table: &Table) -> bool {
    fn leaks_value(message: &str, value: &Value, secret: bool) -> bool {
        match value {
            Value::Table(table) => leaks_table(message, table, secret),
            Value::Array(items) => items.iter().any(|item| leaks_value(message, &item.value, secret)),
            scalar if secret => {
                let text = scalar.scalar_text();
                !text.is_empty() && message.contains(&text)
            }
            _ => false,
        }
    }
    fn leaks_table(message: &str, table: &Table, inside: bool) -> bool {
        table.iter().any(|(name, entry)| leaks_value(message, &entry.node.value, hides(name, inside)))
    }
    leaks_table(message, table, false)
}

/// The keys of `table` that hold a secret themselves.
pub(super) fn inline(table: &Table) -> impl Iterator<Item = (&str, &super::tree::Entry)> {
    table.iter().filter(|(name, entry)| is_secret(name) && !matches!(entry.node.value, Value::Table(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for secret in
            ["passphrase", "pasphrase", "Pass-Word", "secrte", "auth_token", "private_key", "key", "psk"]
        {
            assert!(is_secret(secret), "{secret}");
        }
        for open in
            ["key_file", "password_file", "key_exchange", "nick", "relay", "kind", "rooms", "level", "access"]
        {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn a_broken_text_is_masked_from_the_secret_to_the_next_key() {
        let cases: [(&str, &[&str]); 6] = [
            ("a = 1\npassphrase = \"\"\"\nhunter2\nb = 2\n", &[" \"\"\"\nhunter2\nb = 2\n"]),
            ("passphrase = \"hunter2\nabc==\n\nb = 2\n[t]\ntoken = 1", &[" \"hunter2\nabc==\n\n", " 1"]),
            ("secret = '''a = 1\n'''\nb = 1", &[" '''a = 1\n'''"]),
            ("pasword \"hunter2\"", &[" \"hunter2\""]),
            ("a = { b = 1, secret = 'x", &[" 'x"]),
            ("a = 1\n[b]\n", &[]),
        ];
        for (text, hidden) in cases {
            let found: Vec<&str> = in_broken_text(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, hidden, "{text}");
        }
    }
}
