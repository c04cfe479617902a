//! The protocol as one JSON schema document, made of the Rust types.

use chat_core::api::Reply;
use chat_core::api::event::notification_schemas;
use chat_core::api::table::COMMANDS;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::lines::MAX_LINE_BYTES;
use crate::methods::OWN;
use crate::protocol::{Lag, MAX_BATCH, PROTOCOL, RpcError};

/// The document that `system.schema` gives and `schema.json` holds: `methods` (each with `params` and
/// `result`), `notifications` (the parameters of each), `error` and the `$defs` they share.
pub fn document() -> Value {
    let mut defs = Map::new();
    let mut made = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let reply = made.subschema_for::<Reply>();
    let mut methods = Map::new();
    for spec in COMMANDS {
        let params = hoist(spec.schema(), &mut defs);
        methods
            .insert(spec.method.into(), json!({ "summary": spec.help, "params": params, "result": reply }));
    }
    for own in OWN {
        let params = own_params(own.params, &mut defs);
        let result = (own.result)(&mut made);
        methods.insert(own.name.into(), json!({ "summary": own.help, "params": params, "result": result }));
    }
    let mut notifications = Map::new();
    for (method, schema) in notification_schemas() {
        notifications.insert(method.into(), numbered(hoist(schema, &mut defs)));
    }
    notifications.insert("lag".into(), made.subschema_for::<Lag>().into());
    let error = made.subschema_for::<RpcError>();
    merge(&mut defs, made.take_definitions(true));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chat over JSON-RPC 2.0, one object a line",
        "protocol": PROTOCOL,
        "limits": { "line_bytes": MAX_LINE_BYTES, "batch_requests": MAX_BATCH },
        "methods": methods,
        "notifications": notifications,
        "error": error,
        "$defs": defs,
    })
}

/// Parameters are read, not written: what has a default may be left out.
fn own_params(schema: fn(&mut SchemaGenerator) -> Schema, defs: &mut Map<String, Value>) -> Value {
    let mut read = SchemaSettings::draft2020_12().into_generator();
    let params = schema(&mut read);
    merge(defs, read.take_definitions(true));
    params.into()
}

/// Moves the definitions of a document of its own to those all share.
fn hoist(schema: Schema, defs: &mut Map<String, Value>) -> Value {
    let mut schema = schema.to_value();
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
        if let Some(Value::Object(own)) = members.remove("$defs") {
            merge(defs, own);
        }
    }
    schema
}

/// One name has one meaning in the document, wherever it comes from.
fn merge(defs: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, schema) in more {
        debug_assert!(defs.get(&name).is_none_or(|known| *known == schema), "two meanings of {name}");
        defs.insert(name, schema);
    }
}

/// Every notification carries its number beside the event's own fields.
fn numbered(mut schema: Value) -> Value {
    let id = json!({ "$ref": "#/$defs/EventId", "description": "the number of this event" });
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("event".into(), id);
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.push("event".into());
    }
    schema
}
