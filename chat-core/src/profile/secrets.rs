//! Which keys hold secrets, by their names. In the source lines of errors nearly everything is hidden anyhow, see
//! [`super::masks`].

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

/// Whether the value of `name` in this table is a secret: beside `certificate`, a `key` is the name of the file it is in, if
/// it looks like one. A key itself, in hex or in base64, has no point, and does not begin like a path.
pub(super) fn is_secret_in(table: &Table, name: &str) -> bool {
    let is_path = |text: &str| {
        !text.contains(['\n', '\r']) && !text.contains("--") && (text.starts_with('/') || text.contains('.'))
    };
    let names_a_file = || {
        let value = table.node(name).and_then(super::tree::Node::text);
        name == "key" && table.get("certificate").is_some() && value.is_some_and(is_path)
    };
    is_secret(name) && !names_a_file()
}

/// Whether the value of `name` is secret, inside a value that is secret or not.
fn hides(table: &Table, name: &str, inside: bool) -> bool {
    is_secret_in(table, name) || (inside && !REFERENCES.contains(&name))
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
        table.iter().any(|(name, entry)| leaks_value(message, &entry.node.value, hides(table, name, inside)))
    }
    leaks_table(message, table, false)
}

/// The keys of `table` that hold a secret themselves.
pub(super) fn inline(table: &Table) -> impl Iterator<Item = (&str, &super::tree::Entry)> {
    table
        .iter()
        .filter(|(name, entry)| is_secret_in(table, name) && !matches!(entry.node.value, Value::Table(_)))
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
}
