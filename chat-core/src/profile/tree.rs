//! The merged tree: TOML values of which each knows its place.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::diagnostics::{Diagnostic, Problems};
use super::source::{Origin, Place, Source};

/// A value and its place.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What TOML knows. A date stays text.
#[derive(Clone)]
pub(super) enum Value {
    String(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The type in plain words.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date or time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }

    /// A scalar as text, for comparison; nothing for an array or a table.
    pub(super) fn scalar_text(&self) -> String {
        match self {
            Self::String(text) | Self::Datetime(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(flag) => flag.to_string(),
            Self::Array(_) | Self::Table(_) => String::new(),
        }
    }
}

impl Node {
    /// The text, if this is text. A bare word of the environment or the command line is text whatever TOML makes of it.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Array(_) | Value::Table(_) => None,
            _ if self.place.origin().is_word() => Some(self.place.raw()),
            _ => None,
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn array(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
}

/// A key's place and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) node: Node,
}

/// A table.
#[derive(Clone, Default)]
pub(super) struct Table {
    entries: BTreeMap<String, Entry>,
}

/// The values may be secrets, so only the keys are shown.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.get(name).map(|entry| &entry.node)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    pub(super) fn insert(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// By name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The deepest entry on the way along `path`.
    pub(super) fn deepest<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Entry> {
        let mut table = Some(self);
        let mut found = None;
        for name in path {
            let Some(entry) = table.and_then(|table| table.get(name)) else { break };
            found = Some(entry);
            table = entry.node.table();
        }
        found
    }

    /// Puts a value at the end of a path, making the tables on the way.
    ///
    /// # Errors
    /// The entry in the way: a value where a table is needed, or one that is set already unless `replace`.
    pub(super) fn insert_at(
        &mut self,
        path: &[(String, Place)],
        node: Node,
        replace: bool,
    ) -> Result<(), Place> {
        let Some(((name, key), rest)) = path.split_first() else { return Ok(()) };
        if rest.is_empty() {
            if let Some(existing) = self.get(name).filter(|_| !replace) {
                return Err(existing.key.clone());
            }
            self.insert(name.clone(), Entry { key: key.clone(), node });
            return Ok(());
        }
        let empty = || Node { value: Value::Table(Self::default()), place: key.clone() };
        let entry =
            self.entries.entry(name.clone()).or_insert_with(|| Entry { key: key.clone(), node: empty() });
        if replace && entry.node.table().is_none() {
            entry.node = empty();
        }
        match &mut entry.node.value {
            Value::Table(table) => table.insert_at(rest, node, replace),
            _ => Err(entry.key.clone()),
        }
    }

    /// Lays `over` on top: tables merge key by key, anything else is replaced.
    pub(super) fn overlay(&mut self, over: Self) {
        for (name, entry) in over.entries {
            match (self.entries.get_mut(&name), entry) {
                (
                    Some(Entry { key, node: Node { value: Value::Table(under), place } }),
                    Entry { key: over_key, node: Node { value: Value::Table(over), place: over_place } },
                ) => {
                    // What a default table lacks is missing in the file, not among the defaults.
                    if *place.origin() == Origin::Default {
                        (*key, *place) = (over_key, over_place);
                    }
                    under.overlay(over);
                }
                (_, entry) => self.insert(name, entry),
            }
        }
    }
}

/// Takes over what the `toml` crate parsed from the part of `source` that begins at byte `offset`.
pub(super) struct Adopt<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) offset: usize,
    pub(super) problems: &'a mut Problems,
}

impl Adopt<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.source, span.start + self.offset..span.end + self.offset)
    }

    /// A table. Its depth is bounded, because the text's nesting was checked before it was parsed.
    pub(super) fn table(&mut self, table: &DeTable<'_>) -> Table {
        let mut adopted = Table::default();
        for (key, value) in table {
            let node = self.node(value.get_ref(), value.span());
            adopted.insert(key.get_ref().clone().into_owned(), Entry { key: self.place(key.span()), node });
        }
        adopted
    }

    /// A value.
    pub(super) fn node(&mut self, value: &DeValue<'_>, span: Range<usize>) -> Node {
        let place = self.place(span);
        let value = match value {
            DeValue::String(text) => Value::String(text.clone().into_owned()),
            DeValue::Integer(number) => Value::Integer(self.integer(number, &place)),
            DeValue::Float(number) => Value::Float(self.float(number, &place)),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
            DeValue::Array(array) => {
                Value::Array(array.iter().map(|item| self.node(item.get_ref(), item.span())).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { value, place }
    }

    fn integer(&mut self, number: &DeInteger<'_>, place: &Place) -> i128 {
        i128::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
            self.problems.push(Diagnostic::error(place, "the number is too large"));
            0
        })
    }

    fn float(&mut self, number: &DeFloat<'_>, place: &Place) -> f64 {
        match number.as_str().parse::<f64>() {
            Ok(value) if value.is_finite() || !number.as_str().contains(|c: char| c.is_ascii_digit()) => {
                value
            }
            _ => {
                self.problems.push(Diagnostic::error(place, "the number is too large"));
                0.0
            }
        }
    }
}
