//! What the `jsonrpc` frontend says: notifications and refusals.

use serde_json::Value;

/// What happened: the method and the parameters of a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, such as `msg.new`.
    pub method: String,
    /// Its parameters.
    pub params: Value,
}

impl Event {
    /// Whether it is this notification, with these parameters among others.
    pub fn is(&self, method: &str, params: &[(&str, &str)]) -> bool {
        self.method == method && params.iter().all(|(name, value)| self.text(name) == Some(value))
    }

    /// A parameter that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }

    /// A parameter that must be a text.
    #[track_caller]
    pub fn expect(&self, name: &str) -> &str {
        self.text(name).unwrap_or_else(|| panic!("no text `{name}` in {self:?}"))
    }

    /// Who wrote a message: peer id and name.
    #[track_caller]
    pub fn author(&self) -> (&str, &str) {
        let part = |name: &str| {
            self.params["from"][name].as_str().unwrap_or_else(|| panic!("no author in {self:?}"))
        };
        (part("peer_id"), part("nick"))
    }

    /// Epoch and count of its number.
    #[track_caller]
    pub fn number(&self) -> (&str, u64) {
        let (epoch, n) = self.expect("event").split_once(':').expect("epoch:n");
        (epoch, n.parse().expect("a number"))
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// As JSON-RPC has it.
    pub code: i64,
    /// For people.
    pub message: String,
    /// For programs.
    pub kind: String,
}

impl From<&Value> for RpcError {
    fn from(error: &Value) -> Self {
        Self {
            code: error["code"].as_i64().expect("a code"),
            message: error["message"].as_str().expect("a message").to_owned(),
            kind: error["data"]["kind"].as_str().expect("a stable kind").to_owned(),
        }
    }
}
