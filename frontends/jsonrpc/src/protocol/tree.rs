//! Reads parameters into a tree of bounded size. `serde_json::Value` alone would let 8 MiB of `{"":{},…`
//! grow to nearly a gigabyte, and would silently take the last of two fields of one name.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// Most values that the parameters of one request may hold.
const MAX_VALUES: usize = 10_000;

/// Reads one value; nesting is bounded by `serde_json` (128).
///
/// # Errors
/// Text without a position, which would count from the beginning of the value, not of the line.
pub(super) fn read(raw: &RawValue) -> Result<Value, String> {
    let mut left = MAX_VALUES;
    let mut from = serde_json::Deserializer::from_str(raw.get());
    Tree { left: &mut left }.deserialize(&mut from).map_err(|e| {
        let text = e.to_string();
        text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
    })
}

struct Tree<'a> {
    left: &'a mut usize,
}

impl Tree<'_> {
    fn again(&mut self) -> Tree<'_> {
        Tree { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format_args!("params hold more than {MAX_VALUES} values")))?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.again())? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("field `{name}` is given twice")));
            }
            let value = map.next_value_seed(self.again())?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        super::read(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,true,null,"x\u00e9\ud83d\ude00"],"b":{"c":18446744073709551615}}"#;
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn refuses_twins_bombs_and_depth() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let wide = format!("[{}0]", "{},".repeat(MAX_VALUES));
        for (text, reason) in [
            (r#"{"a":1,"a":2}"#, "`a` is given twice"),
            (r#"{"x":{"a":1,"a":2}}"#, "`a` is given twice"),
            ("1e999", "number out of range"),
            (r#""\ud800""#, "hex escape"),
            (&deep, "recursion limit"),
            (&wide, "more than 10000 values"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason) && !error.contains("column"), "{error}");
        }
    }
}
