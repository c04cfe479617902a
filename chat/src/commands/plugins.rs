//! `chat plugins` and `chat schema`: from the same data as the registry.

use crate::plugins;
use chat_relay::exit::{Failure, print};

pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let registry = plugins::registry()?;
    if json {
        let list: Vec<serde_json::Value> = registry
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "kind": entry.kind, "name": entry.name, "summary": entry.summary, "crate": entry.krate,
                    "core": entry.core_version, "example": entry.example, "options": entry.schema(),
                })
            })
            .collect();
        return print(pretty(&serde_json::Value::Array(list)));
    }
    let lines = registry.iter().map(|entry| {
        format!("{:<13} {:<20} {:<50} {}", entry.kind.to_string(), entry.name, entry.summary, entry.krate)
    });
    print(lines.collect::<Vec<_>>().join("\n"))
}

pub(crate) fn schema() -> Result<(), Failure> {
    print(pretty(&chat_core::profile::schema(&plugins::registry()?)))
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}
