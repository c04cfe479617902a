//! The JSON schema of a Rust type, the same way wherever one is shown: options, parameters, notifications.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// The schema of `T`, complete in itself.
pub(crate) fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}
