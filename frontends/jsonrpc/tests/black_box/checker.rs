//! As much of JSON Schema as the generated document uses, and stricter: a field it does not name is an error,
//! so that nothing is said that is not described.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Whether `value` keeps to `schema`, a part of `document`.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let known = Checker { document }.fields(schema, value)?;
    let fields = value.as_object().into_iter().flat_map(Map::keys);
    match fields.into_iter().find(|name| !known.contains(*name)) {
        Some(name) => Err(format!("field `{name}` is not described")),
        None => Ok(()),
    }
}

struct Checker<'a> {
    document: &'a Value,
}

impl Checker<'_> {
    /// Checks; gives the fields of an object that the schema describes.
    fn fields(&self, schema: &Value, value: &Value) -> Result<BTreeSet<String>, String> {
        let mut known = BTreeSet::new();
        let Some(schema) = schema.as_object() else {
            return if *schema == Value::Bool(true) { Ok(known) } else { Err("nothing fits `false`".into()) };
        };
        for (keyword, rule) in schema {
            match keyword.as_str() {
                "$ref" => known.extend(self.fields(self.target(rule), value)?),
                "type" => self.is_type(rule, value)?,
                "enum" => {
                    demand(rule.as_array().unwrap().contains(value), || format!("{value} is not of {rule}"))?
                }
                "const" => demand(rule == value, || format!("{value} is not {rule}"))?,
                "pattern" => demand(matches(rule.as_str().unwrap(), value.as_str().unwrap()), || {
                    format!("{value} !~ {rule}")
                })?,
                "minimum" => demand(value.is_null() || value.as_f64() >= rule.as_f64(), || {
                    format!("{value} < {rule}")
                })?,
                "maximum" => demand(value.is_null() || value.as_f64() <= rule.as_f64(), || {
                    format!("{value} > {rule}")
                })?,
                "required" => {
                    for name in rule.as_array().unwrap() {
                        demand(value.get(name.as_str().unwrap()).is_some(), || format!("{name} is missing"))?;
                    }
                }
                "properties" => {
                    for (name, schema) in rule.as_object().unwrap() {
                        known.insert(name.clone());
                        if let Some(value) = value.get(name) {
                            check(self.document, schema, value).map_err(|e| format!("{name}: {e}"))?;
                        }
                    }
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        check(self.document, rule, item)?;
                    }
                }
                "additionalProperties" => {
                    known.extend(value.as_object().into_iter().flat_map(Map::keys).cloned())
                }
                "anyOf" | "oneOf" => known.extend(self.any(rule.as_array().unwrap(), value)?),
                "allOf" => {
                    for schema in rule.as_array().unwrap() {
                        known.extend(self.fields(schema, value)?);
                    }
                }
                "description" | "title" | "default" | "format" => {}
                other => panic!("the checker does not know `{other}`"),
            }
        }
        Ok(known)
    }

    fn target(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"))
    }

    fn any(&self, schemas: &[Value], value: &Value) -> Result<BTreeSet<String>, String> {
        let tried: Vec<_> = schemas.iter().map(|schema| self.fields(schema, value)).collect();
        demand(tried.iter().any(Result::is_ok), || format!("{value} fits none: {tried:?}"))?;
        Ok(tried.into_iter().flatten().flatten().collect())
    }

    fn is_type(&self, rule: &Value, value: &Value) -> Result<(), String> {
        let is = |name: &Value| match name.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no type is called `{other}`"),
        };
        let fits = rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is));
        demand(fits, || format!("{value} is not of type {rule}"))
    }
}

fn demand(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The patterns that the core's identifiers have: `^[0-9a-f]{N}$` and the event's.
fn matches(pattern: &str, text: &str) -> bool {
    let is_hex = |text: &str, n: usize| {
        text.len() == n && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if pattern == "^[0-9a-f]{8}:[0-9]+$" {
        return text.split_once(':').is_some_and(|(epoch, n)| is_hex(epoch, 8) && n.parse::<u64>().is_ok());
    }
    let n =
        pattern.strip_prefix("^[0-9a-f]{").and_then(|it| it.strip_suffix("}$")).and_then(|n| n.parse().ok());
    is_hex(text, n.unwrap_or_else(|| panic!("the checker does not know the pattern {pattern}")))
}

#[test]
fn the_checker_refuses() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"],
        "properties": { "a": { "type": ["integer", "null"], "minimum": 0 }, "b": { "enum": ["x"] } },
        "anyOf": [{ "properties": { "c": { "pattern": "^[0-9a-f]{2}$", "type": "string" } } }, { "required": ["d"] }],
    });
    let check = |text: &str| check(&schema, &schema, &serde_json::from_str(text).unwrap());
    for good in [r#"{"a":1}"#, r#"{"a":null,"b":"x","c":"0f"}"#] {
        assert_eq!(check(good), Ok(()));
    }
    for bad in [
        "[]",
        "{}",
        r#"{"a":"1"}"#,
        r#"{"a":-1}"#,
        r#"{"a":1,"b":"y"}"#,
        r#"{"a":1,"c":"0g"}"#,
        r#"{"a":1,"z":1}"#,
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}
