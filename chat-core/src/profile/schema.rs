//! The JSON schema of a profile, for editors and for `chat schema`: the core's keys from the list of tables,
//! the plugins' from their own types.

use serde_json::{Map, Value, json};

use crate::plugin::{PluginEntry, PluginKind, Registry};

use super::options::{ADDRESS_KEY, KIND_KEY};
use super::spec::{self, Content, KeySpec, Shape, TableSpec};
use super::transports::MAX_TRANSPORTS;

/// The schema (JSON Schema 2020-12) of the profiles that a program with these plugins reads.
pub fn schema(registry: &Registry) -> Value {
    let defaults = defaults();
    let mut properties = Map::new();
    properties.insert(
        spec::SCHEMA_VERSION_KEY.to_owned(),
        json!({ "const": 1, "description": "The version of the format." }),
    );
    let mut required = vec![spec::SCHEMA_VERSION_KEY, "topology"];
    for table in spec::TABLES {
        let schema = match table.content {
            Content::Keys(_) => with_listeners(table, keys_schema(table, &defaults), registry),
            Content::List(_, max) => list_schema(table, max),
            Content::Plugin(kind) => {
                required.push(table.name);
                plugin_schema(table, kind, registry)
            }
            Content::Later => continue,
        };
        properties.insert(table.name.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Profile of chat",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn defaults() -> Value {
    // The defaults are a constant; a test sees to it that they parse.
    let table: toml::Table = spec::DEFAULTS.parse().unwrap_or_default();
    serde_json::to_value(table).unwrap_or_default()
}

fn keys_schema(table: &TableSpec, defaults: &Value) -> Value {
    let property = |key: &KeySpec| {
        let mut schema = key_schema(key);
        let default = defaults.get(table.name).and_then(|table| table.get(key.name));
        if let (Value::Object(schema), Some(default)) = (&mut schema, default) {
            schema.insert("default".to_owned(), default.clone());
        }
        (key.name.to_owned(), schema)
    };
    let mut schema = json!({
        "type": "object",
        "description": table.summary,
        "properties": table.keys().map(property).collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if let (Value::Object(schema), "topology") = (&mut schema, table.name) {
        schema.insert("required".to_owned(), json!(["relay"]));
    }
    schema
}

fn list_schema(table: &TableSpec, max: usize) -> Value {
    let mut item = keys_schema(table, &Value::Null);
    if let Value::Object(item) = &mut item {
        item.remove("description");
        item.insert("required".to_owned(), table.keys().map(|key| key.name).collect());
    }
    json!({ "type": "array", "description": table.summary, "items": item, "maxItems": max })
}

fn key_schema(key: &KeySpec) -> Value {
    let description = key.summary;
    match &key.shape {
        Shape::Text | Shape::Later => json!({ "type": "string", "minLength": 1, "description": description }),
        Shape::Secret => json!({
            "description": description,
            "oneOf": [
                { "type": "string", "minLength": 1 },
                reference("env", json!({ "type": "string", "minLength": 1 })),
                reference("file", json!({ "type": "string", "minLength": 1 })),
                reference("command", json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })),
            ],
        }),
        Shape::Retention => json!({
            "description": description,
            "oneOf": [
                { "enum": ["forever", "off"] },
                reference("days", json!({ "type": "integer", "minimum": 1, "maximum": 36500 })),
            ],
        }),
        Shape::Choice(words) => {
            let words: Vec<&str> = words.iter().filter(|word| word.built_in).map(|word| word.word).collect();
            json!({ "enum": words, "description": description })
        }
        Shape::Choices(words) => {
            json!({ "type": "array", "items": { "enum": words }, "description": description })
        }
        Shape::Texts { max } => json!({
            "type": "array", "items": { "type": "string", "minLength": 1 }, "maxItems": max,
            "description": description,
        }),
        // The tables among them are put in by who knows the plugins.
        Shape::Listeners { max } => json!({
            "type": "array", "minItems": 1, "maxItems": max, "description": description,
            "items": { "anyOf": [{ "type": "string", "minLength": 1 }] },
        }),
        Shape::Flag => json!({ "type": "boolean", "description": description }),
        Shape::Integer { min, max } => {
            json!({ "type": "integer", "minimum": min, "maximum": max, "description": description })
        }
    }
}

/// A table with this one key.
fn reference(key: &str, value: Value) -> Value {
    json!({ "type": "object", "properties": { key: value }, "required": [key], "additionalProperties": false })
}

/// The tables that `relay.listen` takes beside texts: of each transport one, with its options.
fn with_listeners(table: &TableSpec, mut schema: Value, registry: &Registry) -> Value {
    for key in table.keys().filter(|key| matches!(key.shape, Shape::Listeners { .. })) {
        let pointer = format!("/properties/{}/items/anyOf", key.name);
        if let Some(Value::Array(accepted)) = schema.pointer_mut(&pointer) {
            let transports = registry.iter().filter(|entry| entry.kind == PluginKind::Transport);
            accepted
                .extend(transports.map(|entry| entry_schema(entry, PluginKind::Transport, Use::Listener)));
        }
    }
    schema
}

fn plugin_schema(table: &TableSpec, kind: PluginKind, registry: &Registry) -> Value {
    let entries = registry.iter().filter(|entry| entry.kind == kind);
    let choices: Vec<Value> = entries.map(|entry| entry_schema(entry, kind, Use::Table)).collect();
    if kind != PluginKind::Transport {
        return json!({ "type": "object", "description": table.summary, "required": [KIND_KEY], "oneOf": choices });
    }
    let one = json!({ "type": "object", "required": [KIND_KEY], "oneOf": choices });
    let list = "Several, in order of preference: when one is blocked, the next takes over.";
    json!({
        "description": table.summary,
        "$defs": { "transport": one },
        "oneOf": [
            { "$ref": "#/properties/transport/$defs/transport" },
            {
                "type": "array",
                "description": list,
                "items": { "$ref": "#/properties/transport/$defs/transport" },
                "minItems": 1,
                "maxItems": MAX_TRANSPORTS,
            },
        ],
    })
}

/// Where the table of a plugin stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// By itself.
    Table,
    /// In `relay.listen`.
    Listener,
}

impl Use {
    /// What tells the schemas of the same plugin apart.
    fn name(self, kind: PluginKind) -> &'static str {
        match self {
            Self::Table => kind.table(),
            Self::Listener => "listen",
        }
    }
}

/// The schema of one plugin's table: its options, and the keys that are the core's.
fn entry_schema(entry: &PluginEntry, kind: PluginKind, used: Use) -> Value {
    let mut schema = entry.schema().to_value();
    let Value::Object(object) = &mut schema else { return schema };
    object.remove("$schema");
    // A resource of its own, so that `#/$defs/…` inside it means its own definitions.
    object.insert("$id".to_owned(), json!(format!("urn:chat:{}:{}", used.name(kind), entry.name)));
    object.insert("title".to_owned(), json!(entry.name));
    object.insert("description".to_owned(), json!(entry.summary));
    object.insert("type".to_owned(), json!("object"));
    object.insert("additionalProperties".to_owned(), json!(false));
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        properties.insert(KIND_KEY.to_owned(), json!({ "const": entry.name }));
        if kind == PluginKind::Transport {
            let description = match used {
                Use::Table => "Where to dial, in place of topology.relay.",
                Use::Listener => "Where to listen: host:port.",
            };
            properties
                .insert(ADDRESS_KEY.to_owned(), json!({ "type": "string", "description": description }));
        }
    }
    let required = object.entry("required").or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        required.insert(0, json!(KIND_KEY));
        if used == Use::Listener {
            required.insert(1, json!(ADDRESS_KEY));
        }
    }
    schema
}
