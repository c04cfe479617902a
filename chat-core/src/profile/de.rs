//! Serde over the merged tree. Unlike the `toml` crate's, its errors know the place of every value whatever
//! layer it came from, and never repeat a value.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::source::Place;
use super::tree::{Node, Table, Value};

/// The keys that each table's type knows, noted on the way for the sake of a did-you-mean.
#[derive(Default)]
pub(super) struct Known<'a> {
    tables: RefCell<Vec<(&'a Table, &'static [&'static str])>>,
}

impl Known<'_> {
    pub(super) fn keys(&self, table: &Table) -> &'static [&'static str] {
        let tables = self.tables.borrow();
        tables.iter().find(|(known, _)| std::ptr::eq(*known, table)).map_or(&[], |(_, keys)| keys)
    }
}

/// What does not fit, without the value.
pub(super) enum Misfit {
    UnknownKey {
        key: String,
        accepted: &'static [&'static str],
    },
    MissingKey(&'static str),
    UnknownWord {
        word: String,
        accepted: &'static [&'static str],
    },
    /// In words; those of a plugin's own code may repeat the value.
    Other(String),
}

/// What does not fit and where.
pub(super) struct Error {
    pub(super) misfit: Misfit,
    pub(super) place: Option<Place>,
    /// The keys on the way to the value.
    pub(super) path: Vec<String>,
}

impl Error {
    fn new(misfit: Misfit) -> Self {
        Self { misfit, place: None, path: Vec::new() }
    }

    fn or_at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    fn under(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?})", self.place)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value does not fit")
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Misfit::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Misfit::Other(format!("expected {}, found {}", in_words(expected), kind(found))))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Misfit::Other(format!("out of range: expected {}", in_words(expected))))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(Misfit::Other(format!("expected {}, found {length} elements", in_words(expected))))
    }

    fn unknown_variant(word: &str, accepted: &'static [&'static str]) -> Self {
        Self::new(Misfit::UnknownWord { word: word.to_owned(), accepted })
    }

    fn unknown_field(key: &str, accepted: &'static [&'static str]) -> Self {
        Self::new(Misfit::UnknownKey { key: key.to_owned(), accepted })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Misfit::MissingKey(key))
    }
}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Seq => "an array",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

/// Serde names Rust types; a profile's author does not know those.
fn in_words(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    let integer = |max: u64| format!("an integer from 0 to {max}");
    match expected.as_str() {
        "u8" => integer(u8::MAX.into()),
        "u16" => integer(u16::MAX.into()),
        "u32" => integer(u32::MAX.into()),
        "u64" | "usize" | "u128" => "an integer from 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "a table".to_owned(),
        rust if rust.starts_with("struct ") => "a table".to_owned(),
        rust if rust.starts_with("enum ") => "a string".to_owned(),
        rust if rust.starts_with("a nonzero ") => "an integer from 1".to_owned(),
        other => other.to_owned(),
    }
}

/// A value as serde sees it.
#[derive(Clone, Copy)]
pub(super) struct NodeDe<'a> {
    pub(super) node: &'a Node,
    pub(super) known: &'a Known<'a>,
}

impl<'a> NodeDe<'a> {
    fn map(self, table: &'a Table) -> Entries<'a> {
        Entries { rest: table.iter().collect::<Vec<_>>().into_iter(), value: None, known: self.known }
    }

    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::String(text) | Value::Datetime(text) => visitor.visit_str(text),
            Value::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_u64(number),
                _ => visitor.visit_i128(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Array(items) => {
                let items = items.iter().map(|node| Self { node, known: self.known });
                let mut items = SeqDeserializer::new(items);
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Table(table) => visitor.visit_map(self.map(table)),
        }
    }

    /// As text, if it can be meant so.
    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.text() {
            Some(text) => visitor.visit_str(text),
            None => self.visit(visitor),
        }
        .map_err(|error| error.or_at(&self.node.place))
    }
}

impl<'de> Deserializer<'de> for NodeDe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit(visitor).map_err(|error| error.or_at(&self.node.place))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self).map_err(|error: Error| error.or_at(&self.node.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|error: Error| error.or_at(&self.node.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Value::Table(table) = &self.node.value {
            self.known.tables.borrow_mut().push((table, keys));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (self.node.text(), &self.node.value) {
            (Some(word), _) => visitor.visit_enum(StrDeserializer::<Error>::new(word)),
            (None, Value::Table(table)) => {
                MapAccessDeserializer::new(self.map(table)).deserialize_enum(name, variants, visitor)
            }
            (None, other) => {
                Err(Error::custom(format_args!("expected a string or a table, found {}", other.describe())))
            }
        }
        .map_err(|error| error.or_at(&self.node.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for NodeDe<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

type Named<'a> = (&'a str, &'a super::tree::Entry);

/// The entries of a table.
struct Entries<'a> {
    rest: std::vec::IntoIter<Named<'a>>,
    value: Option<Named<'a>>,
    known: &'a Known<'a>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, entry)) = self.rest.next() else { return Ok(None) };
        self.value = Some((name, entry));
        let key = seed.deserialize(StrDeserializer::<Error>::new(name));
        key.map(Some).map_err(|error| error.or_at(&entry.key).under(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((name, entry)) = self.value.take() else {
            return Err(Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(NodeDe { node: &entry.node, known: self.known }).map_err(|error| error.under(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
