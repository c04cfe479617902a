//! The effective profile, shown.

use std::fmt::Write as _;

use serde_json::{Map, json};

use crate::nick::{Nick, is_unsafe_to_show};

use super::Profile;
use super::options::{ADDRESS_KEY, KIND_KEY};
use super::secrets::is_secret_in;
use super::source::{MASK, Origin, Place};
use super::spec::{self, Content, SCHEMA_VERSION_KEY};
use super::tree::{Entry, Node, Table, Value};

/// The table of the nick.
const IDENTITY: &str = "identity";
/// A comment stands no further right than this.
const MAX_COMMENT_COLUMN: usize = 48;

impl Profile {
    /// The effective profile as TOML, each value with its origin in a comment: `# file udp-rsa.toml:3`,
    /// `# default`, `# environment CHAT_…`, `# --set`. It is a valid profile that says the same, but for
    /// secrets, which are `"***"`.
    pub fn show(&self) -> String {
        self.show_with_nick(None)
    }

    /// As [`Profile::show`]; if the profile names no nick, the one that is taken instead stands in a comment: written
    /// down as a value it would be one that was chosen, for which nobody becomes a guest.
    pub fn show_with_nick(&self, login: Option<&Nick>) -> String {
        let mut lines = Vec::new();
        if let Some(entry) = self.tree.get(SCHEMA_VERSION_KEY) {
            lines.push(Line::value(SCHEMA_VERSION_KEY, entry, false));
        }
        let login = login.filter(|_| self.identity.nick.is_none()).map(|nick| Line {
            text: format!("# nick = {}", quoted(nick.as_str())),
            origin: Some("default: the login name".to_owned()),
        });
        if login.is_some() && self.tree.get(IDENTITY).is_none() {
            show_table(&[IDENTITY], &Table::default(), &[], false, &mut lines);
        }
        let mut behind_header = lines.len();
        for (name, entry) in ordered(&self.tree, spec::TABLES.iter().map(|table| table.name)) {
            if let Value::Table(table) = &entry.node.value {
                let keys = spec::table(name).map(known_order).unwrap_or_default();
                // A blank line and the header.
                behind_header = if name == IDENTITY { lines.len() + 2 } else { behind_header };
                show_table(&[name], table, &keys, false, &mut lines);
            }
            if let (Some(Content::List(..) | Content::Plugin(_)), Value::Array(items)) =
                (spec::table(name).map(|table| &table.content), &entry.node.value)
            {
                items.iter().filter_map(Node::table).for_each(|table| show_item(name, table, &mut lines));
            }
        }
        if let Some(login) = login {
            lines.insert(behind_header.min(lines.len()), login);
        }
        write_lines(&lines)
    }

    /// The effective profile without origins, secrets as `"***"`.
    pub fn to_json(&self) -> serde_json::Value {
        json_table(&self.tree, false)
    }

    /// The layer a value comes from, by its dotted key (`topology.relay`; in a list by number, `transport.0.kind`).
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.place(key).map(Place::origin)
    }

    /// Where a value stands, by its dotted key.
    pub fn place(&self, key: &str) -> Option<&Place> {
        let mut names = key.split('.');
        let mut node = self.tree.node(names.next()?)?;
        for name in names {
            node = match &node.value {
                Value::Table(table) => table.node(name)?,
                Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(&node.place)
    }
}

fn known_order(table: &spec::TableSpec) -> Vec<&'static str> {
    match table.content {
        Content::Plugin(_) => vec![KIND_KEY, ADDRESS_KEY],
        Content::Keys(_) | Content::List(..) | Content::Later => table.keys().map(|key| key.name).collect(),
    }
}

/// The entries in the given order, the others behind by name.
fn ordered<'a>(table: &'a Table, order: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, &'a Entry)> {
    let order: Vec<&str> = order.into_iter().collect();
    let rank = |name: &str| order.iter().position(|known| *known == name).unwrap_or(order.len());
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| rank(name));
    entries
}

struct Line {
    text: String,
    origin: Option<String>,
}

impl Line {
    fn bare(text: String) -> Self {
        Self { text, origin: None }
    }

    fn value(name: &str, entry: &Entry, secret: bool) -> Self {
        let text = format!("{} = {}", key(name), value(&entry.node, secret));
        Self { text, origin: Some(origin(&entry.node.place)) }
    }
}

/// `# file udp-rsa.toml:3`; a default and an argument have no line worth naming.
fn origin(place: &Place) -> String {
    match place.origin() {
        file @ Origin::File(_) => format!("{file}:{}", place.line()),
        other => other.to_string(),
    }
}

fn show_table(path: &[&str], table: &Table, order: &[&str], secret: bool, lines: &mut Vec<Line>) {
    let header: Vec<String> = path.iter().map(|name| key(name)).collect();
    lines.push(Line::bare(String::new()));
    lines.push(Line::bare(format!("[{}]", header.join("."))));
    let entries = ordered(table, order.iter().copied());
    let (tables, values): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(_, entry)| entry.node.table().is_some());
    let is_secret = |name: &str| secret || is_secret_in(table, name);
    lines.extend(values.into_iter().map(|(name, entry)| Line::value(name, entry, is_secret(name))));
    for (name, entry) in tables {
        if let Some(inner) = entry.node.table() {
            show_table(&[path, &[name]].concat(), inner, &[], is_secret(name), lines);
        }
    }
}

/// One table of a list; a table in it stands on one line.
fn show_item(name: &str, table: &Table, lines: &mut Vec<Line>) {
    lines.push(Line::bare(String::new()));
    lines.push(Line::bare(format!("[[{}]]", key(name))));
    let order = spec::table(name).map(known_order).unwrap_or_default();
    let line = |(name, entry): (&str, &Entry)| Line::value(name, entry, is_secret_in(table, name));
    lines.extend(ordered(table, order).into_iter().map(line));
}

fn write_lines(lines: &[Line]) -> String {
    let width = |line: &&Line| line.text.chars().count();
    let column = lines
        .iter()
        .filter(|line| line.origin.is_some() && width(line) <= MAX_COMMENT_COLUMN)
        .map(|line| width(&line))
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for line in lines {
        // Writing to a `String` can't fail.
        let written = match &line.origin {
            Some(origin) => writeln!(out, "{:<column$}  # {origin}", line.text),
            None => writeln!(out, "{}", line.text),
        };
        debug_assert!(written.is_ok());
    }
    out
}

fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A TOML string in which nothing acts on a terminal.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe_to_show(c) => {
                let code = u32::from(c);
                let written =
                    if code > 0xffff { write!(out, "\\U{code:08x}") } else { write!(out, "\\u{code:04x}") };
                debug_assert!(written.is_ok());
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn value(node: &Node, secret: bool) -> String {
    match &node.value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| value(item, secret)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries: Vec<String> = ordered(table, [KIND_KEY, ADDRESS_KEY])
                .into_iter()
                .map(|(name, entry)| {
                    format!("{} = {}", key(name), value(&entry.node, secret || is_secret_in(table, name)))
                })
                .collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        _ if secret => quoted(MASK),
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(moment) => moment.clone(),
    }
}

/// TOML wants a digit on both sides of the point and writes `nan` small.
fn float(number: f64) -> String {
    if number.is_nan() { "nan".to_owned() } else { format!("{number:?}") }
}

fn json_table(table: &Table, secret: bool) -> serde_json::Value {
    let entry = |(name, entry): (&str, &Entry)| {
        (name.to_owned(), json_value(&entry.node, secret || is_secret_in(table, name)))
    };
    serde_json::Value::Object(table.iter().map(entry).collect::<Map<_, _>>())
}

fn json_value(node: &Node, secret: bool) -> serde_json::Value {
    match &node.value {
        Value::Table(table) => json_table(table, secret),
        Value::Array(items) => items.iter().map(|item| json_value(item, secret)).collect(),
        _ if secret => json!(MASK),
        Value::String(text) | Value::Datetime(text) => json!(text),
        Value::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
            (Ok(number), _) => json!(number),
            (_, Ok(number)) => json!(number),
            _ => json!(number.to_string()),
        },
        Value::Float(number) => json!(number),
        Value::Boolean(flag) => json!(flag),
    }
}
