//! What a sealed frame holds. Only the two ends of a session ever see it.
//!
//! ```text
//! type u8 (bit 7: context follows) ‖ [context 32] ‖ conversation 16 ‖ message 16 ‖ sent-at u64 ms
//!   ‖ previous 16 ‖ payload ‖ 0x80 ‖ 00…
//! ```
//! Padded to 192, 448, 960 bytes, then in steps of 25 %, rounded up to 16: the length of a text shows in
//! its bucket only. Whoever has turned padding off ends a frame with the 0x80. Each end sets
//! the context flag until it knows that the other one has seen the context.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::WireError;
use super::body::{Body, malformed, take};
use crate::ids::{ConversationId, MessageId, Timestamp};

const CONTEXT_FLAG: u8 = 0x80;

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
    use super::super::body::{ClosedText, MAX_RECEIPT_IDS, RECEIPT, RENEWED, ReceiptKind, RoomAsk, RoomLog};
    use super::super::membership::SignedOperation;
    use super::*;
    use crate::nick::MAX_TEXT_BYTES;

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
