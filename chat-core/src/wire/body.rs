//! What a sealed frame holds. Only the two ends of a session ever see it.
//!
//! ```text
//! type u8 (bit 7: context follows) ‖ [context 32] ‖ conversation 16 ‖ message 16 ‖ sent-at u64 ms
//!   ‖ previous 16 ‖ payload ‖ 0x80 ‖ 00…
//! ```
//! Padded to 192, 448, 960 bytes, then in steps of 25 %, rounded up to 16: the length of a text shows in
//! its bucket only. Whoever has turned padding off ends a frame with the 0x80. Each end sets the context flag until it knows that the other one has seen the context.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::WireError;
use super::membership::{MAX_OPERATION_BYTES, MAX_OPERATIONS, SignedOperation};
use crate::ids::{ConversationId, MessageId, Timestamp};
use crate::nick::MAX_TEXT_BYTES;

const CONTEXT_FLAG: u8 = 0x80;
const TEXT: u8 = 1;
const ROOM_TEXT: u8 = 2;
const RECEIPT: u8 = 3;
const RENEWED: u8 = 4;
const LEFT: u8 = 5;
const NOT_TAKEN: u8 = 6;
const TYPING: u8 = 32;
const CLOSED_TEXT: u8 = 7;
const ROOM_LOG: u8 = 8;
const ROOM_ASK: u8 = 9;

/// Most message ids in one receipt.
pub const MAX_RECEIPT_IDS: usize = 256;

/// How far a message has come at the sender of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// It is in the durable history.
    Delivered,
    /// A person has seen it.
    Read,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A text to one peer.
    Text(String),
    /// A text to an open room.
    RoomText(String),
    /// How far these messages have come.
    Receipt(ReceiptKind, Vec<MessageId>),
    /// The sender lost what was sealed before: seal anew whatever it has not confirmed.
    Renewed,
    /// The sender has left this room.
    Left,
    /// The sender is not in this room: it has not taken these messages and will not.
    NotTaken(Vec<MessageId>),
    /// The sender writes in this conversation, or no longer does. Only ever passed on, never stored.
    Typing(bool),
    /// A text to a closed room. Outside of it stand the conversation of the two peers, and
    /// [`copy_id`](super::membership::copy_id): a relay sees direct messages only.
    ClosedText(ClosedText),
    /// What the sender knows of who is in a closed room.
    RoomLog(RoomLog),
    /// What does the receiver know of who is in this closed room? Answered by [`Body::RoomLog`].
    RoomAsk(RoomAsk),
}

/// [`Body::ClosedText`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedText {
    /// [`roster_hash`](super::membership::roster_hash) of the members it was written to, its author too.
    pub roster: [u8; 16],
    /// The room.
    pub room: ConversationId,
    /// The message, the same for every member.
    pub message: MessageId,
    /// The text.
    pub text: String,
}

/// [`Body::RoomLog`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLog {
    /// The room.
    pub room: ConversationId,
    /// [`log_hash`](super::membership::log_hash) of all operations that the sender knows, or that it tells this receiver.
    pub log: [u8; 16],
    /// Some or all of them, each behind its parents; at most [`MAX_OPERATIONS`].
    pub operations: Vec<SignedOperation>,
}

/// [`Body::RoomAsk`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomAsk {
    /// The room.
    pub room: ConversationId,
    /// [`log_hash`](super::membership::log_hash) of what the sender knows; of nothing, if it doesn't know the room.
    pub log: [u8; 16],
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Text(_) => TEXT,
            Self::RoomText(_) => ROOM_TEXT,
            Self::Receipt(..) => RECEIPT,
            Self::Renewed => RENEWED,
            Self::Left => LEFT,
            Self::NotTaken(_) => NOT_TAKEN,
            Self::Typing(_) => TYPING,
            Self::ClosedText(_) => CLOSED_TEXT,
            Self::RoomLog(_) => ROOM_LOG,
            Self::RoomAsk(_) => ROOM_ASK,
        }
    }

    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Text(text) | Self::RoomText(text) => text.as_bytes().to_vec(),
            Self::Receipt(kind, ids) => {
                let kind = match kind {
                    ReceiptKind::Delivered => 1,
                    ReceiptKind::Read => 2,
                };
                std::iter::once(kind).chain(ids.iter().flat_map(|id| id.0)).collect()
            }
            Self::NotTaken(ids) => ids.iter().flat_map(|id| id.0).collect(),
            Self::Typing(typing) => vec![u8::from(*typing)],
            Self::Renewed | Self::Left => Vec::new(),
            Self::ClosedText(ClosedText { roster, room, message, text }) => {
                [roster, room.as_ref(), message.as_ref(), text.as_bytes()].concat()
            }
            Self::RoomLog(RoomLog { room, log, operations }) => {
                let operations = operations.iter().flat_map(|operation| super::lp(&operation.encode()));
                [room.as_ref(), log].concat().into_iter().chain(operations).collect()
            }
            Self::RoomAsk(RoomAsk { room, log }) => [room.as_ref(), log].concat(),
        }
    }

    fn parse(kind: u8, payload: &[u8]) -> Result<Self, WireError> {
        match kind {
            TEXT => text(payload).map(Self::Text),
            ROOM_TEXT => text(payload).map(Self::RoomText),
            RECEIPT => receipt(payload),
            RENEWED if payload.is_empty() => Ok(Self::Renewed),
            LEFT if payload.is_empty() => Ok(Self::Left),
            NOT_TAKEN => message_ids(payload).map(Self::NotTaken),
            TYPING if payload == [0] => Ok(Self::Typing(false)),
            TYPING if payload == [1] => Ok(Self::Typing(true)),
            CLOSED_TEXT => closed_text(payload).map(Self::ClosedText),
            ROOM_LOG => room_log(payload).map(Self::RoomLog),
            ROOM_ASK => room_ask(payload).map(Self::RoomAsk),
            _ => Err(malformed("type")),
        }
    }
}

fn malformed(reason: &str) -> WireError {
    WireError::Malformed { what: "frame", reason: reason.to_owned() }
}

fn text(payload: &[u8]) -> Result<String, WireError> {
    if payload.len() > MAX_TEXT_BYTES {
        return Err(WireError::TooLarge { what: "text", len: payload.len(), max: MAX_TEXT_BYTES });
    }
    std::str::from_utf8(payload).map(str::to_owned).map_err(|_| malformed("text is not UTF-8"))
}

fn closed_text(mut payload: &[u8]) -> Result<ClosedText, WireError> {
    Ok(ClosedText {
        roster: take(&mut payload)?,
        room: ConversationId(take(&mut payload)?),
        message: MessageId(take(&mut payload)?),
        text: text(payload)?,
    })
}

fn room_log(mut payload: &[u8]) -> Result<RoomLog, WireError> {
    let (room, log) = (ConversationId(take(&mut payload)?), take(&mut payload)?);
    let mut operations = Vec::new();
    while !payload.is_empty() {
        let len = u32::from_be_bytes(take(&mut payload)?) as usize;
        if len > MAX_OPERATION_BYTES || operations.len() >= MAX_OPERATIONS {
            return Err(malformed("too many operations, or too long ones"));
        }
        let (operation, rest) = payload.split_at_checked(len).ok_or_else(|| malformed("too short"))?;
        operations.push(SignedOperation::decode(operation)?);
        payload = rest;
    }
    Ok(RoomLog { room, log, operations })
}

fn room_ask(mut payload: &[u8]) -> Result<RoomAsk, WireError> {
    let ask = RoomAsk { room: ConversationId(take(&mut payload)?), log: take(&mut payload)? };
    if payload.is_empty() { Ok(ask) } else { Err(malformed("a question with more behind it")) }
}

fn receipt(payload: &[u8]) -> Result<Body, WireError> {
    let (kind, ids) = payload.split_first().ok_or_else(|| malformed("empty receipt"))?;
    let kind = match kind {
        1 => ReceiptKind::Delivered,
        2 => ReceiptKind::Read,
        _ => return Err(malformed("receipt kind")),
    };
    Ok(Body::Receipt(kind, message_ids(ids)?))
}

/// One to [`MAX_RECEIPT_IDS`] message ids.
fn message_ids(bytes: &[u8]) -> Result<Vec<MessageId>, WireError> {
    let (chunks, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() || chunks.is_empty() || chunks.len() > MAX_RECEIPT_IDS {
        return Err(malformed("message ids"));
    }
    Ok(chunks.iter().map(|id| MessageId(*id)).collect())
}

/// The whole plaintext of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plaintext {
    /// The session's binding, until the other end is known to have it.
    pub context: Option<[u8; 32]>,
    /// Must equal the envelope's.
    pub conversation: ConversationId,
    /// Must equal the envelope's.
    pub message: MessageId,
    /// The sender's clock.
    pub sent_at: Timestamp,
    /// The link of the sender's previous message in this chain; zeros at its beginning and in control frames.
    pub previous: [u8; 16],
    /// What it says.
    pub body: Body,
}

impl Plaintext {
    /// Padded bytes, ready to be sealed.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.encode_to(padded_len)
    }

    /// The same without padding: its length tells that of what it says.
    pub fn encode_unpadded(&self) -> Zeroizing<Vec<u8>> {
        self.encode_to(|len| len)
    }

    fn encode_to(&self, padded_len: fn(usize) -> usize) -> Zeroizing<Vec<u8>> {
        let payload = Zeroizing::new(self.body.payload());
        let flag = if self.context.is_some() { CONTEXT_FLAG } else { 0 };
        let mut out = Vec::with_capacity(padded_len(payload.len() + 90));
        out.push(self.body.kind() | flag);
        out.extend_from_slice(self.context.as_ref().map_or(&[], |context| &context[..]));
        out.extend_from_slice(self.conversation.as_ref());
        out.extend_from_slice(self.message.as_ref());
        out.extend_from_slice(&self.sent_at.0.to_be_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&payload);
        out.push(0x80);
        out.resize(padded_len(out.len()), 0);
        Zeroizing::new(out)
    }

    /// Reads what [`Plaintext::encode`] or [`Plaintext::encode_unpadded`] wrote.
    ///
    /// # Errors
    /// [`WireError`] if the padding, a length or the type is not one that `encode` writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let end = bytes.iter().rposition(|&byte| byte != 0).ok_or_else(|| malformed("padding"))?;
        let fits = bytes.len() == padded_len(end + 1) || bytes.len() == end + 1;
        if bytes.get(end) != Some(&0x80) || !fits {
            return Err(malformed("padding"));
        }
        let mut rest = bytes.get(..end).unwrap_or_default();
        let kind = take::<1>(&mut rest)?[0];
        let context = if kind & CONTEXT_FLAG != 0 { Some(take::<32>(&mut rest)?) } else { None };
        Ok(Self {
            context,
            conversation: ConversationId(take(&mut rest)?),
            message: MessageId(take(&mut rest)?),
            sent_at: Timestamp(u64::from_be_bytes(take(&mut rest)?)),
            previous: take(&mut rest)?,
            body: Body::parse(kind & !CONTEXT_FLAG, rest)?,
        })
    }

    /// The link that the sender's next message in this chain carries as `previous`.
    pub fn chain_link(&self) -> [u8; 16] {
        let hash = Sha256::new_with_prefix(b"chat/chain/1")
            .chain_update(self.conversation)
            .chain_update(self.message)
            .chain_update(self.sent_at.0.to_be_bytes())
            .chain_update(self.previous)
            .chain_update([self.body.kind()])
            .chain_update(self.body.payload())
            .finalize();
        let mut link = [0; 16];
        link.copy_from_slice(hash.get(..16).unwrap_or(&[0; 16]));
        link
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| malformed("too short"))?;
    *rest = tail;
    Ok(*head)
}

/// The bucket for `len` bytes.
fn padded_len(len: usize) -> usize {
    let mut bucket = 192;
    while bucket < len {
        bucket = match bucket {
            192 => 448,
            448 => 960,
            more => (more + more / 4).next_multiple_of(16),
        };
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(body: Body, context: Option<[u8; 32]>) -> Plaintext {
        Plaintext {
            context,
            conversation: ConversationId([1; 16]),
            message: MessageId([2; 16]),
            sent_at: Timestamp(3),
            previous: [4; 16],
            body,
        }
    }

    fn closed_bodies() -> [Body; 5] {
        let (roster, room, message) = ([5; 16], ConversationId([6; 16]), MessageId([7; 16]));
        let text = |text: String| Body::ClosedText(ClosedText { roster, room, message, text });
        let me = crate::Identity::from_seed(&[9; 32]);
        let change = crate::wire::membership::Change::Admit { peer: crate::PeerId([8; 32]) };
        let parents = vec![crate::wire::membership::OperationId([1; 32])];
        let operation =
            crate::wire::membership::Operation { room, author: *me.public().as_bytes(), parents, change };
        let operations = vec![SignedOperation::sign(&operation, &me); 3];
        [
            text("hello".into()),
            text("x".repeat(MAX_TEXT_BYTES)),
            Body::RoomLog(RoomLog { room, log: [3; 16], operations }),
            Body::RoomLog(RoomLog { room, log: [3; 16], operations: vec![] }),
            Body::RoomAsk(RoomAsk { room, log: [3; 16] }),
        ]
    }

    #[test]
    fn every_body_comes_back() {
        let texts = ["", "a", "\u{80}", "ends in\0\0", "ünï 日本"].map(str::to_owned);
        let mut bodies: Vec<Body> = texts.iter().cloned().map(Body::Text).collect();
        bodies.extend(texts.map(Body::RoomText));
        bodies.push(Body::Text("x".repeat(MAX_TEXT_BYTES)));
        bodies.push(Body::Receipt(ReceiptKind::Read, vec![MessageId([7; 16]); MAX_RECEIPT_IDS]));
        bodies.extend(closed_bodies());
        bodies.extend([Body::Renewed, Body::Left, Body::NotTaken(vec![MessageId([7; 16])])]);
        bodies.extend([Body::Typing(true), Body::Typing(false)]);
        for body in bodies {
            for context in [None, Some([9; 32])] {
                let plain = plain(body.clone(), context);
                let bytes = plain.encode();
                assert!(bytes.len() < super::super::envelope::MAX_SEALED_BYTES - 100);
                assert_eq!(Plaintext::decode(&bytes), Ok(plain.clone()));
                let bare = plain.encode_unpadded();
                assert!(bytes.starts_with(&bare) && bare.last() == Some(&0x80));
                assert_eq!(Plaintext::decode(&bare), Ok(plain));
            }
        }
    }

    #[test]
    fn short_texts_have_one_length_on_the_wire() {
        let len = |n: usize| plain(Body::Text("x".repeat(n)), None).encode().len();
        assert_eq!((len(0), len(100), len(134)), (192, 192, 192));
        assert_eq!((len(135), len(390)), (448, 448));
        assert_eq!(padded_len(961), 1200);
    }

    #[test]
    fn malformed_frames_are_refused() {
        let good = plain(Body::Text("hello".into()), None).encode();
        let with = |i: usize, value: u8| {
            let mut bad = good.to_vec();
            bad[i] = value;
            bad
        };
        let cases: Vec<Vec<u8>> = vec![
            vec![],
            vec![0; 192],
            good[..191].to_vec(),
            [&good[..], &[0; 16]].concat(),
            with(0, 0),
            with(0, 0x7f),
            with(57, 0xff),   // not UTF-8
            with(191, 1),     // padding
            with(0, RECEIPT), // a text's payload is no receipt
            with(0, RENEWED),
        ];
        for case in cases {
            assert!(Plaintext::decode(&case).is_err(), "{case:02x?}");
        }
    }

    /// Around every bucket: where the mark of the padding is the last byte, and where it begins the next bucket.
    #[test]
    fn texts_of_every_length_come_back() {
        for n in 0..1300 {
            let plain = plain(Body::Text("x".repeat(n)), None);
            assert_eq!(Plaintext::decode(&plain.encode()), Ok(plain), "{n}");
        }
    }

    #[test]
    fn a_payload_of_the_wrong_shape_is_refused() {
        let ids = |n: usize| vec![7; 16 * n];
        for kind in [1, 2] {
            let wanted = if kind == 1 { ReceiptKind::Delivered } else { ReceiptKind::Read };
            let receipt = Body::parse(RECEIPT, &[&[kind][..], &ids(1)].concat());
            assert_eq!(receipt, Ok(Body::Receipt(wanted, vec![MessageId([7; 16])])));
        }
        assert_eq!(Body::parse(NOT_TAKEN, &ids(256)).map(|body| body.payload().len()), Ok(16 * 256));
        let bad = [
            (RECEIPT, vec![]),
            (RECEIPT, [vec![0], ids(1)].concat()),
            (RECEIPT, [vec![3], ids(1)].concat()),
            (RECEIPT, vec![1]),
            (NOT_TAKEN, vec![]),
            (NOT_TAKEN, ids(257)),
            (NOT_TAKEN, vec![7; 17]),
            (RENEWED, vec![1]),
            (LEFT, vec![1]),
            (TYPING, vec![]),
            (TYPING, vec![2]),
            (TYPING, vec![1, 0]),
            (TEXT, vec![0xff]),
            (CLOSED_TEXT, vec![7; 47]),
            (CLOSED_TEXT, [vec![7; 48], vec![0xff]].concat()),
            (ROOM_LOG, vec![7; 31]),
            (ROOM_LOG, [vec![7; 32], vec![0, 0, 0, 2, 1]].concat()),
            (ROOM_LOG, [vec![7; 32], vec![0, 0, 4, 1], vec![0; 1025]].concat()),
            (ROOM_ASK, vec![7; 31]),
            (ROOM_ASK, vec![7; 33]),
            (10, vec![]),
        ];
        for (kind, payload) in bad {
            let refused = Body::parse(kind, &payload);
            assert!(
                matches!(refused, Err(WireError::Malformed { what: "frame", .. })),
                "{kind}: {refused:?}"
            );
        }
        let empty = [0, 0, 0, 0].repeat(MAX_OPERATIONS + 1);
        assert!(Body::parse(ROOM_LOG, &[vec![7; 32], empty].concat()).is_err());
        for kind in [TEXT, ROOM_TEXT] {
            let refused = Body::parse(kind, &vec![b'x'; MAX_TEXT_BYTES + 1]);
            assert!(matches!(refused, Err(WireError::TooLarge { len: 1_048_577, max: 1_048_576, .. })));
        }
    }

    /// The expected bytes come from Python's `hashlib`.
    #[test]
    fn a_link_is_the_hash_of_the_whole_message() {
        let first = plain(Body::Text("hello".into()), None);
        assert_eq!(first.chain_link(), 0xe80d_6ef9_227e_804e_bb2f_9abb_9414_4d0a_u128.to_be_bytes());
        assert_eq!(Plaintext { context: Some([9; 32]), ..first.clone() }.chain_link(), first.chain_link());
        let others = [
            Plaintext { conversation: ConversationId([9; 16]), ..first.clone() },
            Plaintext { message: MessageId([9; 16]), ..first.clone() },
            Plaintext { sent_at: Timestamp(9), ..first.clone() },
            Plaintext { previous: [9; 16], ..first.clone() },
            plain(Body::RoomText("hello".into()), None),
            plain(Body::Text("hellO".into()), None),
        ];
        assert!(others.iter().all(|other| other.chain_link() != first.chain_link()));
    }
}
