//! `[store]`: what seals what lies on the disk, and how long history is kept.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::diagnostics::{Diagnostic, Problems};
use super::sections::Section;
use super::tree::{Node, Table, Value};

/// Longest time that history is kept, in days.
const MAX_DAYS: i128 = 36_500;

/// `[store]`
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoreSection {
    /// What keeps the key of the store.
    pub lock: StoreLock,
    /// How long messages are kept.
    pub history: Retention,
}

impl StoreSection {
    /// Whether what lies in the data directory can't be read by somebody who has nothing else.
    pub fn is_sealed(&self) -> bool {
        !matches!(self.lock, StoreLock::Beside)
    }
}

/// What keeps the key of the store.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum StoreLock {
    /// The permissions of the file it lies in, beside the store.
    #[default]
    Beside,
    /// A passphrase.
    Passphrase(Secret),
    /// A file outside of the data directory.
    KeyFile(PathBuf),
}

/// Where a secret is. Only [`Secret::Inline`] is one itself; it is never printed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Secret {
    /// It stands in the profile.
    Inline(Zeroizing<String>),
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
    /// A program prints it: the program and its arguments, at least one.
    Command(Vec<String>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline(_) => "Inline(***)",
            Self::Env(_) => "Env",
            Self::File(_) => "File",
            Self::Command(_) => "Command",
        })
    }
}

/// How long messages are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// Until they are deleted.
    #[default]
    Forever,
    /// For so many days after they arrived, or were written.
    Days(u32),
    /// As long as the program runs.
    Off,
}

/// Reads the table. Shapes are judged here; what a secret refers to is not looked at.
pub(super) fn store(tree: &Table, problems: &mut Problems) -> StoreSection {
    let section = Section::of(tree, "store");
    let passphrase = section.node("passphrase");
    let key_file = section.text("key_file");
    if let (Some(_), Some((_, place))) = (passphrase, key_file) {
        let error = Diagnostic::error(place, "a store has a passphrase or a key file, not both");
        problems.push(error);
    }
    let lock = match (passphrase, key_file) {
        (Some(node), _) => secret(node, problems).map_or(StoreLock::Beside, StoreLock::Passphrase),
        (None, Some((path, _))) => StoreLock::KeyFile(PathBuf::from(path)),
        (None, None) => StoreLock::Beside,
    };
    let history = section.node("history").and_then(|node| retention(node, problems)).unwrap_or_default();
    StoreSection { lock, history }
}

fn secret(node: &Node, problems: &mut Problems) -> Option<Secret> {
    let wrong = |message: &str| {
        Diagnostic::error(&node.place, message.to_owned())
            .note("accepted: { env = \"VARIABLE\" }, { file = \"path\" }, { command = [\"program\", \"argument\"] }")
    };
    let found = match &node.value {
        Value::Table(table) => {
            let mut keys = table.iter();
            match (keys.next(), keys.next()) {
                (Some(("env", entry)), None) => said(&entry.node).map(|name| Secret::Env(name.to_owned())),
                (Some(("file", entry)), None) => said(&entry.node).map(|path| Secret::File(path.into())),
                (Some(("command", entry)), None) => command(&entry.node),
                _ => None,
            }
        }
        _ => said(node).map(|text| {
            let warning = "`passphrase` looks like a secret, and stands in the profile itself";
            let warning = Diagnostic::warning(&node.place, warning);
            problems.push(warning.note("whoever can read the profile can read it"));
            Secret::Inline(Zeroizing::new(text.to_owned()))
        }),
    };
    if found.is_none() {
        problems.push(wrong("this says no passphrase"));
    }
    found
}

fn said(node: &Node) -> Option<&str> {
    node.text().filter(|text| !text.is_empty())
}

fn command(node: &Node) -> Option<Secret> {
    let words = node.array()?.iter().map(|item| item.text().map(str::to_owned));
    let words: Vec<String> = words.collect::<Option<_>>()?;
    words.first().is_some_and(|program| !program.is_empty()).then_some(Secret::Command(words))
}

fn retention(node: &Node, problems: &mut Problems) -> Option<Retention> {
    let found = match &node.value {
        Value::Table(table) => match (table.node("days").map(|node| &node.value), table.iter().count()) {
            (Some(Value::Integer(days @ 1..=MAX_DAYS)), 1) => u32::try_from(*days).ok().map(Retention::Days),
            _ => None,
        },
        _ => match node.text() {
            Some("forever") => Some(Retention::Forever),
            Some("off") => Some(Retention::Off),
            _ => None,
        },
    };
    if found.is_none() {
        let error = Diagnostic::error(&node.place, "this says not how long history is kept");
        problems.push(error.note("accepted: \"forever\", \"off\", { days = 30 }, with 1 to 36500 days"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use crate::profile::source::Origin;

    fn read(text: &str) -> Result<StoreSection, String> {
        let mut problems = Problems::default();
        let root = parse::document(Origin::File("p".into()), text.as_bytes(), &mut problems).unwrap();
        let section = store(root.table().unwrap(), &mut problems);
        problems.finish(Some(section)).map(|(section, _)| section).map_err(|error| error.to_string())
    }

    #[test]
    fn each_way_to_say_it_is_read() {
        let lock = |line: &str| format!("{:?}", read(&format!("[store]\n{line}\n")).unwrap().lock);
        assert_eq!(lock(""), "Beside");
        assert_eq!(lock("passphrase = 'hunter2'"), "Passphrase(Inline(***))");
        assert_eq!(lock("passphrase = { env = 'X' }"), "Passphrase(Env)");
        assert_eq!(lock("passphrase = { file = 'x' }"), "Passphrase(File)");
        assert_eq!(lock("passphrase = { command = ['pass', 'chat'] }"), "Passphrase(Command)");
        assert_eq!(lock("key_file = '/k'"), "KeyFile(\"/k\")");
        assert!(!read("").unwrap().is_sealed() && read("[store]\nkey_file = 'k'").unwrap().is_sealed());
        let history = |value: &str| read(&format!("[store]\nhistory = {value}\n")).unwrap().history;
        assert_eq!(history("'forever'"), Retention::Forever);
        assert_eq!(history("'off'"), Retention::Off);
        assert_eq!(history("{ days = 30 }"), Retention::Days(30));
        assert_eq!(read("").unwrap().history, Retention::Forever);
    }

    #[test]
    fn whatever_else_is_refused_and_no_secret_is_told() {
        for line in [
            "passphrase = ''",
            "passphrase = 12345678",
            "passphrase = { value = 'hunter2-canary' }",
            "passphrase = { env = 'X', file = 'hunter2-canary' }",
            "passphrase = { command = [] }",
            "passphrase = { command = 'hunter2-canary' }",
            "passphrase = 'hunter2-canary'\nkey_file = 'x'",
            "history = 'never'",
            "history = 30",
            "history = { days = 0 }",
            "history = { days = 36501 }",
            "history = { weeks = 1 }",
        ] {
            let said = read(&format!("[store]\n{line}\n")).unwrap_err();
            assert!(!said.contains("hunter2-canary") && !said.contains("12345678"), "{line}: {said}");
        }
    }
}
