//! JSON-RPC, from the bytes of a stream to the bytes of the answers, with an engine that says yes. The first two
//! bytes say how the stream is cut.
//!
//! - However it is cut, the answers are the same.
//! - Each is a line of JSON with `"jsonrpc":"2.0"`, an id, and a result or an error with a stable kind, or an array
//!   of such; nothing in it is a control.
//! - There is no more than one answer a request.
//!
//! Allocated: 768 bytes for each that came (an object of one empty field has five bytes, and takes a node of a
//! tree), and 1 MiB (the schema of the protocol, which `system.schema` gives).

use std::sync::{Arc, OnceLock};

use chat_core::PeerId;
use chat_core::api::{EventId, LinkState, LinkView, Snapshot, StackView};
use chat_core::nick::Nick;
use chat_core::transport::LinkFigures;
use frontend_jsonrpc::fuzzing::converse;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::alloc::bounded;
use crate::script::Script;

fn snapshot() -> &'static Arc<Snapshot> {
    static SNAPSHOT: OnceLock<Arc<Snapshot>> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        Arc::new(Snapshot {
            event: EventId { epoch: 1, n: 1 },
            peer_id: PeerId([1; 32]),
            nick: Nick::new("alice").unwrap(),
            link: LinkView {
                state: LinkState::Connecting,
                relay: "127.0.0.1:1".into(),
                relay_fingerprint: None,
                hosting: false,
                listen: Vec::new(),
                figures: LinkFigures::default(),
            },
            stack: Arc::new(StackView {
                transport: "tcp".into(),
                transports: Vec::new(),
                key_exchange: "x25519".into(),
                cipher: "aes-256-gcm".into(),
                frontend: "jsonrpc".into(),
                properties: Default::default(),
            }),
            conversations: Vec::new(),
            peers: Vec::new(),
        })
    })
}

pub fn prepare() {
    snapshot();
}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let cuts = [script.byte(), script.byte()].map(|cut| usize::from(cut) * 4 + 1);
    let stream = script.rest();
    // Each time it is asked for, the schema is made anew, which takes a millisecond and tells nothing new.
    if stream.windows(13).filter(|word| word == b"system.schema").count() > 2 {
        return;
    }
    let limit = 768 * data.len() + (1 << 20);
    let [one, other] = cuts.map(|cut| bounded(limit, || converse(stream.chunks(cut), snapshot())));
    assert_eq!(one, other);
    let text = String::from_utf8(one).expect("UTF-8");
    let requests = 1 + stream.iter().filter(|&&byte| matches!(byte, b'\n' | b'{' | b'[' | b',')).count();
    assert!(text.matches("\"jsonrpc\":\"2.0\"").count() <= 2 * requests);
    for line in text.lines() {
        if line.starts_with('[') {
            let answers: Vec<Answer<'_>> = serde_json::from_str(line).expect("JSON");
            assert!(!answers.is_empty());
            answers.iter().for_each(Answer::check);
        } else {
            serde_json::from_str::<Answer<'_>>(line).expect("JSON").check();
        }
    }
    assert!(text.is_empty() || text.ends_with('\n'));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

/// An answer, its id as it was written: one that is no number of this machine's comes back all the same.
#[derive(Deserialize)]
struct Answer<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Value>,
}

impl Answer<'_> {
    fn check(&self) {
        assert_eq!(self.jsonrpc, "2.0");
        assert!(matches!(self.id.get().as_bytes(), [b'"' | b'n' | b'-' | b'0'..=b'9', ..]), "{}", self.id);
        assert!(self.result.is_some() != self.error.is_some());
        if let Some(error) = &self.error {
            assert!(error["code"].is_i64() && error["data"]["kind"].is_string());
            assert!(error["message"].as_str().is_some_and(|text| text.chars().count() <= 400));
        }
    }
}
