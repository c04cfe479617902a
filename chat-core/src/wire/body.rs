//! What a frame says, by its type: a byte below 128, and the payload that goes with it.

use super::WireError;
use super::membership::{MAX_OPERATION_BYTES, MAX_OPERATIONS, SignedOperation};
use crate::ids::{ConversationId, MessageId};
use crate::nick::MAX_TEXT_BYTES;

const TEXT: u8 = 1;
const ROOM_TEXT: u8 = 2;
pub(super) const RECEIPT: u8 = 3;
pub(super) const RENEWED: u8 = 4;
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
    pub(super) fn kind(&self) -> u8 {
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

    pub(super) fn payload(&self) -> Vec<u8> {
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

    pub(super) fn parse(kind: u8, payload: &[u8]) -> Result<Self, WireError> {
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

pub(super) fn malformed(reason: &str) -> WireError {
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

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| malformed("too short"))?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
