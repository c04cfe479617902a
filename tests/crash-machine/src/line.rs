//! Lines of the `jsonrpc` frontend, taken apart. Only what the machine looks at; other fields are passed over.

use serde::Deserialize;

/// How far a message has come. The order is the order of life; `Failed` stands outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the states of the protocol, by their names")]
pub enum Stage {
    Queued,
    Sent,
    Stored,
    Delivered,
    Read,
    Failed,
}

/// A notification or an answer.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// The name of a notification.
    pub method: Option<String>,
    /// Its parameters.
    #[serde(default)]
    pub params: Params,
    /// The number of the request that is answered.
    pub id: Option<u64>,
    /// The answer, if it succeeded.
    pub result: Option<Answer>,
    /// And if not.
    pub error: Option<Refusal>,
}

/// Parameters of all notifications together.
#[derive(Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the fields of the protocol, by their names")]
pub struct Params {
    pub id: Option<String>,
    pub state: Option<Stage>,
    pub counts: Option<Counts>,
    pub reason: Option<String>,
    pub from: Option<Author>,
    pub text: Option<String>,
    pub conversation: Option<String>,
    pub peer_id: Option<String>,
    pub listen: Option<Vec<String>>,
    pub hosting: Option<bool>,
    pub kind: Option<String>,
    pub detail: Option<String>,
}

/// How many recipients of a room message are how far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields of the protocol, by their names")]
pub struct Counts {
    pub stored: u32,
    pub delivered: u32,
    pub read: u32,
    pub of: u32,
}

/// Who wrote a message.
#[derive(Debug, Deserialize)]
pub struct Author {
    /// By key.
    pub peer_id: String,
}

/// Answers of all requests together.
#[derive(Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the fields of the protocol, by their names")]
pub struct Answer {
    pub id: Option<String>,
    #[serde(default)]
    pub messages: Vec<Row>,
    #[serde(default)]
    pub has_older: bool,
    #[serde(default)]
    pub members: Vec<Author>,
}

/// A message in history.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields of the protocol, by their names")]
pub struct Row {
    pub id: String,
    pub from: Author,
    pub text: String,
    pub delivery: Option<Delivery>,
    pub gap_before: bool,
}

/// How far a message of one's own has come.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields of the protocol, by their names")]
pub struct Delivery {
    pub state: Stage,
    pub counts: Option<Counts>,
    pub reason: Option<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields of the protocol, by their names")]
pub struct Refusal {
    pub message: String,
    pub data: RefusalData,
}

/// For programs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RefusalData {
    /// A stable name.
    pub kind: String,
}

/// Takes a line of standard output apart: one of these, or the members of a batch.
pub fn parse(line: &[u8]) -> Result<Vec<Line>, serde_json::Error> {
    if line.first() == Some(&b'[') {
        serde_json::from_slice(line)
    } else {
        serde_json::from_slice(line).map(|line| vec![line])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_answers_and_a_notification() {
        let lines = parse(br#"[{"jsonrpc":"2.0","id":1,"result":{"id":"2c"}},{"jsonrpc":"2.0","id":2,"error":{"code":-32005,"message":"m","data":{"kind":"store"}}}]"#);
        let lines = lines.unwrap();
        assert_eq!(lines[0].result.as_ref().unwrap().id.as_deref(), Some("2c"));
        assert_eq!((lines[1].id, lines[1].error.as_ref().unwrap().data.kind.as_str()), (Some(2), "store"));
        let lines = parse(br##"{"jsonrpc":"2.0","method":"msg.status","params":{"conversation":"#lobby","counts":{"delivered":0,"of":2,"read":0,"stored":1},"event":"5b:2","id":"2c","state":"queued"}}"##).unwrap();
        assert_eq!(lines[0].method.as_deref(), Some("msg.status"));
        assert_eq!(lines[0].params.state, Some(Stage::Queued));
        assert_eq!(lines[0].params.counts.unwrap().of, 2);
        assert!(parse(b"half a li").is_err());
    }
}
