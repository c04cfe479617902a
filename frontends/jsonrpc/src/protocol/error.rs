//! What an answer says that is no result.

use chat_core::api::{CommandError, ErrorKind};
use chat_core::nick::inert;
use schemars::JsonSchema;
use serde::Serialize;

/// Longest message of an error; what is longer echoes too much of what was wrong.
const MAX_MESSAGE_CHARS: usize = 400;

/// What the protocol itself refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProtocolKind {
    /// The line is not JSON.
    Parse,
    /// JSON, but not a request.
    InvalidRequest,
    /// The line is over 8 MiB; it was skipped.
    LineTooLong,
    /// The engine gave no answer in time; the command may still be carried out.
    Timeout,
}

/// `data.kind`: stable names for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Kind {
    /// Refused by the engine or by the table of commands.
    Engine(ErrorKind),
    /// Refused by the protocol.
    Protocol(ProtocolKind),
}

/// The member `data` of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ErrorData {
    /// What went wrong, for programs.
    pub(crate) kind: Kind,
}

/// The member `error` of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RpcError {
    /// As JSON-RPC 2.0 §5.1 has it; follows from `data.kind`.
    pub(crate) code: i32,
    /// What went wrong, for people.
    pub(crate) message: String,
    /// What went wrong, for programs.
    pub(crate) data: ErrorData,
}

impl RpcError {
    fn new(kind: Kind, message: &str) -> Self {
        let message: String = inert(message).chars().take(MAX_MESSAGE_CHARS).collect();
        Self { code: code(kind), message, data: ErrorData { kind } }
    }

    pub(crate) fn protocol(kind: ProtocolKind, message: &str) -> Self {
        Self::new(Kind::Protocol(kind), message)
    }

    pub(crate) fn engine(kind: ErrorKind, message: &str) -> Self {
        Self::new(Kind::Engine(kind), message)
    }

    pub(crate) fn invalid(message: &str) -> Self {
        Self::protocol(ProtocolKind::InvalidRequest, message)
    }

    pub(crate) fn too_large(message: &str) -> Self {
        Self::engine(ErrorKind::TooLarge, message)
    }
}

impl From<CommandError> for RpcError {
    fn from(error: CommandError) -> Self {
        Self::engine(error.kind, &error.message)
    }
}

/// The code of a kind: JSON-RPC 2.0 §5.1; -32000 to -32099 are the server's own.
fn code(kind: Kind) -> i32 {
    match kind {
        Kind::Protocol(ProtocolKind::Parse) => -32700,
        Kind::Protocol(ProtocolKind::InvalidRequest | ProtocolKind::LineTooLong) => -32600,
        Kind::Protocol(ProtocolKind::Timeout) => -32007,
        Kind::Engine(ErrorKind::UnknownCommand) => -32601,
        Kind::Engine(ErrorKind::BadParams) => -32602,
        Kind::Engine(ErrorKind::NotFound) => -32001,
        Kind::Engine(ErrorKind::Ambiguous) => -32002,
        Kind::Engine(ErrorKind::TooLarge) => -32003,
        Kind::Engine(ErrorKind::Busy) => -32004,
        Kind::Engine(ErrorKind::Store) => -32005,
        Kind::Engine(ErrorKind::Stopping) => -32006,
        // `NotAllowed`, and what a later core adds.
        Kind::Engine(_) => -32000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_as_it_is_sent() {
        let error = RpcError::from(CommandError::new(ErrorKind::NotFound, "nobody is called `bob`"));
        let json = serde_json::json!({
            "code": -32001, "message": "nobody is called `bob`", "data": { "kind": "not_found" }
        });
        assert_eq!(serde_json::to_value(error).unwrap(), json);
        assert_eq!(
            serde_json::to_value(RpcError::invalid("x").data).unwrap(),
            serde_json::json!({ "kind": "invalid_request" })
        );
    }

    #[test]
    fn a_message_stays_short() {
        let error = RpcError::invalid(&"é".repeat(1 << 20));
        assert_eq!(error.message.chars().count(), MAX_MESSAGE_CHARS);
    }
}
