//! A line becomes a request, a batch, or the reason why it is neither. Every input ends in one of these.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use chat_core::api::ErrorKind;

use super::answer::Id;
use super::error::{Kind, ProtocolKind, RpcError};
use super::tree;

/// Most requests in one batch.
pub(crate) const MAX_BATCH: usize = 256;
/// Longest `id`, in bytes of JSON: it stands in an answer that has a limit too.
const MAX_ID_BYTES: usize = 1024;

/// What a line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A single request, answered by an object.
    One(Item),
    /// At least one request, answered by an array.
    Batch(Vec<Item>),
}

/// A request, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Item {
    /// Whom to answer; `None` is a notification, which nobody awaits an answer to, not even an error.
    pub(crate) id: Option<Id>,
    /// What to do.
    pub(crate) call: Result<Call, RpcError>,
}

/// A well-formed request.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// An object, or null if there are none.
    pub(crate) params: Value,
}

impl Item {
    /// An error that no request can be named for (JSON-RPC 2.0 §5: the id is null).
    pub(crate) fn refused(error: RpcError) -> Self {
        Self { id: Some(Id::null()), call: Err(error) }
    }
}

/// Reads a line.
pub(crate) fn parse(line: &[u8]) -> Parsed {
    let Ok(text) = std::str::from_utf8(line) else {
        return Parsed::One(Item::refused(RpcError::protocol(ProtocolKind::Parse, "the line is not UTF-8")));
    };
    match text.trim_start_matches([' ', '\t', '\r']).as_bytes().first() {
        None => Parsed::One(Item::refused(RpcError::protocol(ProtocolKind::Parse, "the line is empty"))),
        Some(b'{') => Parsed::One(request(text)),
        Some(b'[') => batch(text),
        Some(_) => Parsed::One(Item::refused(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => RpcError::invalid("a request is an object"),
            Err(error) => refusal(&error),
        })),
    }
}

fn refusal(error: &serde_json::Error) -> RpcError {
    let kind = if error.is_data() { ProtocolKind::InvalidRequest } else { ProtocolKind::Parse };
    RpcError::protocol(kind, &error.to_string())
}

fn batch(text: &str) -> Parsed {
    match serde_json::from_str::<Batch<'_>>(text) {
        Ok(Batch(members)) if members.is_empty() => {
            Parsed::One(Item::refused(RpcError::invalid("the batch is empty")))
        }
        Ok(Batch(members)) => Parsed::Batch(members.into_iter().map(|raw| request(raw.get())).collect()),
        Err(error) => Parsed::One(Item::refused(refusal(&error))),
    }
}

fn request(text: &str) -> Item {
    let envelope = match serde_json::from_str::<Envelope<'_>>(text) {
        Ok(envelope) => envelope,
        Err(error) => return Item::refused(refusal(&error)),
    };
    let id = match envelope.id.map(id).transpose() {
        Ok(id) => id,
        Err(error) => return Item::refused(error),
    };
    if envelope.twice == Some("id") {
        return Item::refused(RpcError::invalid("`id` is given twice"));
    }
    match call(&envelope) {
        // Without a sound request there is no telling whether an answer is awaited: it gets one.
        Err(error) if error.data.kind == Kind::Protocol(ProtocolKind::InvalidRequest) => {
            Item { id: id.or_else(|| Some(Id::null())), call: Err(error) }
        }
        call => Item { id, call },
    }
}

fn id(raw: &RawValue) -> Result<Id, RpcError> {
    let text = raw.get();
    if text.len() > MAX_ID_BYTES {
        return Err(RpcError::invalid("`id` is over 1024 bytes"));
    }
    let sound = match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text).is_ok(),
        Some(b'n' | b'-' | b'0'..=b'9') => true,
        _ => false,
    };
    if sound { Ok(Id::new(raw)) } else { Err(RpcError::invalid("`id` must be a string, a number or null")) }
}

fn call(envelope: &Envelope<'_>) -> Result<Call, RpcError> {
    if let Some(name) = envelope.twice {
        return Err(RpcError::invalid(&format!("`{name}` is given twice")));
    }
    let text = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    if text(envelope.jsonrpc).as_deref() != Some("2.0") {
        return Err(RpcError::invalid("`jsonrpc` must be \"2.0\""));
    }
    let method = text(envelope.method).ok_or_else(|| RpcError::invalid("`method` must be a string"))?;
    let Some(raw) = envelope.params else { return Ok(Call { method, params: Value::Null }) };
    match raw.get().as_bytes().first() {
        Some(b'{' | b'n') => {
            let bad = |reason: String| RpcError::engine(ErrorKind::BadParams, &reason);
            Ok(Call { method, params: tree::read(raw).map_err(bad)? })
        }
        Some(b'[') => {
            let reason = "params must be an object: they are taken by name, not by position";
            Err(RpcError::engine(ErrorKind::BadParams, reason))
        }
        _ => Err(RpcError::invalid("`params` must be an object")),
    }
}

/// The members of a request, not yet looked into.
#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    /// A member that is there twice, so that it is unclear which one counts.
    twice: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(name) = map.next_key::<String>()? {
                    let (slot, name) = match name.as_str() {
                        "jsonrpc" => (&mut envelope.jsonrpc, "jsonrpc"),
                        "id" => (&mut envelope.id, "id"),
                        "method" => (&mut envelope.method, "method"),
                        "params" => (&mut envelope.params, "params"),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() && envelope.twice != Some("id") {
                        envelope.twice = Some(name);
                    }
                }
                Ok(envelope)
            }
        }
        from.deserialize_map(Members)
    }
}

/// The members of a batch, not yet looked into.
struct Batch<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Batch<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch of requests")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = seq.next_element()? {
                    if members.len() == MAX_BATCH {
                        let reason = format_args!("a batch holds at most {MAX_BATCH} requests");
                        return Err(A::Error::custom(reason));
                    }
                    members.push(member);
                }
                Ok(Batch(members))
            }
        }
        from.deserialize_seq(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that reach most of the parser, to be damaged.
    const SEEDS: [&str; 8] = [
        r#"{"jsonrpc":"2.0","id":1,"method":"msg.send","params":{"to":"bob","text":"h\u00e9\ud83d\ude00"}}"#,
        r##"{"jsonrpc":"2.0","id":"x\"y","method":"msg.history","params":{"with":"#lobby","limit":-1.5e3}}"##,
        r#"[{"jsonrpc":"2.0","method":"peer.list"},{"id":null},[],[[[]]],"",{}]"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"","params":null,"more":[{"a":{"b":[true,false,null]}}]}"#,
        r#"{"id":1,"id":2,"method":"a","method":"b"}"#,
        r#"[1e308,1e-400,-0,18446744073709551616]"#,
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"\u{1F980}\",\"params\":{\"\":\"\u{2028}\"}}\r",
        " \t ",
    ];
    const TOKENS: [&[u8]; 14] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\u",
        b"\\",
        b",",
        b":",
        b"null",
        b"1e999",
        b"\xff",
        b"\0",
        b"[[[[[[[[",
    ];

    /// splitmix64: the same lines in every run.
    struct Random(u64);
    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % bound as u64) as usize
        }
    }

    fn damage(line: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(line.len() + 1);
        match random.below(5) {
            0 => line.truncate(at),
            1 => drop(line.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            2 if at < line.len() => line[at] ^= 1 << random.below(8),
            3 if at < line.len() => drop(line.remove(at)),
            _ => {
                let end = at + random.below(line.len() - at + 1);
                let piece = line[at..end].to_vec();
                drop(line.splice(at..at, piece));
            }
        }
    }

    #[test]
    fn no_line_whatever_is_more_than_an_answer() {
        let mut random = Random(1);
        let (mut sound, mut refused) = (0, 0);
        for round in 0..30_000 {
            let mut line = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
            for _ in 0..random.below(6) {
                damage(&mut line, &mut random);
            }
            let items = match parse(&line) {
                Parsed::One(item) => vec![item],
                Parsed::Batch(items) => items,
            };
            assert!(!items.is_empty() && items.len() <= MAX_BATCH);
            for item in items {
                match item.call {
                    Ok(call) => sound += usize::from(call.params.is_object() || call.params.is_null()),
                    Err(error) => refused += usize::from(error.code < -32000),
                }
            }
        }
        assert!(sound > 1000 && refused > 1000, "{sound} sound, {refused} refused");
    }

    #[test]
    fn nesting_without_end_is_refused_wherever_it_stands() {
        let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        for line in [
            deep.clone(),
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":{deep}}}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{deep},"method":"m"}}"#),
        ] {
            let refused = match parse(line.as_bytes()) {
                Parsed::One(item) => item.call.is_err(),
                Parsed::Batch(items) => items.iter().all(|item| item.call.is_err()),
            };
            assert!(refused);
        }
    }
}
