//! The checks that follow from the list of tables and keys alone: unknown and missing ones, types, words, ranges.

use super::diagnostics::{Diagnostic, Problems};
use super::source::Place;
use super::spec::{self, Content, KeySpec, Shape, TableSpec, Word};
use super::tree::{Entry, Node, Table, Value};

/// Whether the profile is of the version this program reads. If not, nothing else about it can be judged.
pub(super) fn version(tree: &Table, file: &Place, problems: &mut Problems) -> bool {
    let fix = format!("write {} = {} at the top", spec::SCHEMA_VERSION_KEY, spec::SCHEMA_VERSION);
    let Some(node) = tree.node(spec::SCHEMA_VERSION_KEY) else {
        problems.push(Diagnostic::error(file, "`schema_version` is missing").note(fix));
        return true;
    };
    match node.value {
        Value::Integer(spec::SCHEMA_VERSION) => true,
        Value::Integer(other) => {
            let message = format!("schema_version {other} is not one this program reads");
            problems.push(Diagnostic::error(&node.place, message).note("accepted: 1"));
            false
        }
        _ => {
            let message = format!("expected the integer 1, found {}", node.value.describe());
            problems.push(Diagnostic::error(&node.place, message));
            false
        }
    }
}

/// Everything the list of tables and keys says.
pub(super) fn tables(tree: &Table, problems: &mut Problems) {
    for (name, entry) in tree.iter() {
        match spec::table(name) {
            Some(spec) => table(spec, entry, problems),
            None if name == spec::SCHEMA_VERSION_KEY => {}
            None => problems.push(unknown_top_level(name, entry)),
        }
    }
}

fn unknown_top_level(name: &str, entry: &Entry) -> Diagnostic {
    let is_table = entry.node.table().is_some() || entry.node.array().is_some();
    let what = if is_table { "table" } else { "key" };
    let error = Diagnostic::error(&entry.key, format!("unknown {what} `{name}`"));
    let home = spec::TABLES.iter().find(|table| table.keys().any(|key| key.name == name));
    if let Some(table) = home.filter(|_| !is_table) {
        return error.note(format!("`{name}` stands in [{}]", table.name));
    }
    let built_in = spec::TABLES.iter().filter(|table| !matches!(table.content, Content::Later));
    error.accepted(name, [spec::SCHEMA_VERSION_KEY].into_iter().chain(built_in.map(|table| table.name)))
}

fn table(spec: &TableSpec, entry: &Entry, problems: &mut Problems) {
    match spec.content {
        Content::Keys(_) => {}
        Content::List(_, max) => return list(spec, max, entry, problems),
        // The plugins' tables are read by `Options`.
        Content::Plugin(_) => return,
        Content::Later => {
            let message = format!("[{}] is known, but not built into this program yet", spec.name);
            let error = Diagnostic::error(&entry.key, message).note(spec.summary);
            problems.push(error.note("nothing of it is honoured, so it can't be passed over: take it out"));
            return;
        }
    }
    let Some(table) = entry.node.table() else {
        let message = format!("expected a table, found {}", entry.node.value.describe());
        let names: Vec<&str> = spec.keys().map(|key| key.name).collect();
        let error = Diagnostic::error(&entry.node.place, message);
        problems.push(error.note(format!("[{}] has the keys {}", spec.name, names.join(", "))));
        return;
    };
    keys(spec, table, problems);
}

fn keys(spec: &TableSpec, table: &Table, problems: &mut Problems) {
    for (name, entry) in table.iter() {
        match spec.key(name) {
            Some(key) => value(key, spec, entry, problems),
            None => problems.push(unknown_key(name, spec, entry)),
        }
    }
}

/// `[[name]]`: every table needs every key.
fn list(spec: &TableSpec, max: usize, entry: &Entry, problems: &mut Problems) {
    if entry.node.array().is_none() {
        let message = format!("expected a list of tables, found {}", entry.node.value.describe());
        problems.push(Diagnostic::error(&entry.node.place, message).note(format!("write [[{}]]", spec.name)));
        return;
    }
    for item in items(&entry.node, max, problems) {
        let Some(table) = item.table() else {
            let message = format!("expected a table, found {}", item.value.describe());
            problems.push(Diagnostic::error(&item.place, message));
            continue;
        };
        keys(spec, table, problems);
        for key in spec.keys().filter(|key| table.get(key.name).is_none()) {
            let message = format!("`{}` is missing in [[{}]]", key.name, spec.name);
            problems.push(Diagnostic::error(&item.place, message));
        }
    }
}

fn unknown_key(name: &str, table: &TableSpec, entry: &Entry) -> Diagnostic {
    let error = Diagnostic::error(&entry.key, format!("unknown key `{name}` in [{}]", table.name));
    let home = spec::TABLES.iter().find(|other| other.keys().any(|key| key.name == name));
    let error = match home {
        Some(other) => error.note(format!("`{name}` stands in [{}]", other.name)),
        None => error,
    };
    error.accepted(name, table.keys().map(|key| key.name))
}

fn value(key: &KeySpec, table: &TableSpec, entry: &Entry, problems: &mut Problems) {
    let node = &entry.node;
    match key.shape {
        Shape::Later => {
            let message =
                format!("`{}` in [{}] is known, but not built into this program yet", key.name, table.name);
            problems.push(Diagnostic::error(&entry.key, message).note(key.summary));
        }
        Shape::Text => {
            text(node, problems);
        }
        Shape::Choice(words) => {
            if let Some(word) = text(node, problems) {
                choice(word, words, key, node, problems);
            }
        }
        Shape::Choices(words) => {
            for item in items(node, words.len(), problems) {
                if let Some(word) = text(item, problems).filter(|word| !words.contains(word)) {
                    let message = format!("`{word}` is not accepted in `{}`", key.name);
                    problems
                        .push(Diagnostic::error(&item.place, message).accepted(word, words.iter().copied()));
                }
            }
        }
        Shape::Texts { max } => {
            for item in items(node, max, problems) {
                text(item, problems);
            }
        }
        Shape::Listeners { max } => super::listen::shape(node, max, problems),
        Shape::Integer { min, max } => integer(node, min, max, problems),
        // By `store`.
        Shape::Secret | Shape::Retention => {}
        Shape::Flag => {
            if !matches!(node.value, Value::Boolean(_)) {
                let message = format!("expected true or false, found {}", node.value.describe());
                problems.push(Diagnostic::error(&node.place, message));
            }
        }
    }
}

fn text<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a str> {
    match node.text() {
        Some("") => problems.push(Diagnostic::error(&node.place, "this must not be empty")),
        Some(text) => return Some(text),
        None => {
            let message = format!("expected a string, found {}", node.value.describe());
            problems.push(Diagnostic::error(&node.place, message));
        }
    }
    None
}

fn choice(word: &str, words: &[Word], key: &KeySpec, node: &Node, problems: &mut Problems) {
    let accepted = words.iter().filter(|known| known.built_in).map(|known| known.word);
    match words.iter().find(|known| known.word == word) {
        Some(known) if known.built_in => {}
        Some(_) => {
            let message = format!("`{word}` is known, but not built into this program yet");
            let list: Vec<&str> = accepted.collect();
            problems
                .push(Diagnostic::error(&node.place, message).note(format!("accepted: {}", list.join(", "))));
        }
        None => {
            let message = format!("`{word}` is not accepted for `{}`", key.name);
            problems.push(Diagnostic::error(&node.place, message).accepted(word, accepted));
        }
    }
}

fn items<'a>(node: &'a Node, max: usize, problems: &mut Problems) -> &'a [Node] {
    match node.array() {
        Some(items) if items.len() <= max => items,
        Some(items) => {
            let message = format!("at most {max} elements are accepted, these are {}", items.len());
            problems.push(Diagnostic::error(&node.place, message));
            &[]
        }
        None => {
            let message = format!("expected an array, found {}", node.value.describe());
            problems.push(Diagnostic::error(&node.place, message).note("as in [\"a\", \"b\"]"));
            &[]
        }
    }
}

fn integer(node: &Node, min: u64, max: u64, problems: &mut Problems) {
    let Value::Integer(number) = node.value else {
        let message = format!("expected an integer, found {}", node.value.describe());
        problems.push(Diagnostic::error(&node.place, message));
        return;
    };
    if !(i128::from(min)..=i128::from(max)).contains(&number) {
        let message = format!("{number} is out of range: from {min} to {max}");
        problems.push(Diagnostic::error(&node.place, message));
    }
}
