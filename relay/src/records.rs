//! Reading and writing the records of a hop without copying what the relay doesn't look at: an envelope is
//! checked once, and from then on it is the bytes its sender wrote, unknown fields and all.

use std::ops::Range;

use bytes::Bytes;
use chat_core::wire::bundle::MAX_HANDSHAKE_BYTES;
use chat_core::wire::envelope::MAX_SEALED_BYTES;
use chat_core::wire::relay::MAX_BATCH;
use chat_core::wire::{Recipient, ToRelay, WireError};
use chat_core::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId};
use minicbor::bytes::ByteSlice;
use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder};

use crate::mailbox::NewEnvelope;

/// Everything in an envelope beside handshake and sealed frame, generously.
const MAX_ADDRESSING_BYTES: usize = 1024;

/// A record from a client.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    /// [`ToRelay::Submit`]
    Submit(Vec<Submitted>),
    /// Any other.
    Other(ToRelay),
}

/// One envelope of a `Submit`: where it goes, and its bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Submitted {
    pub(crate) id: EnvelopeId,
    pub(crate) to: Recipient,
    pub(crate) from: PeerId,
    pub(crate) too_large: bool,
    /// Where it is in the record.
    pub(crate) place: Range<usize>,
}

impl Submitted {
    /// The envelope by itself, of the frame that it was read from. A copy: a slice would keep the whole frame alive.
    pub(crate) fn cut_out(self, frame: &[u8]) -> NewEnvelope {
        let bytes = Bytes::copy_from_slice(frame.get(self.place).unwrap_or_default());
        NewEnvelope { id: self.id, to: self.to, bytes }
    }
}

/// The shape of [`chat_core::wire::Envelope`] without its contents. Every field is decoded, so that no
/// envelope passes here which would make a recipient's decoder fail.
#[derive(Decode)]
struct EnvelopeHead<'b> {
    #[n(0)]
    id: EnvelopeId,
    #[n(1)]
    to: Recipient,
    #[n(2)]
    from: PeerId,
    #[n(3)]
    _conversation: ConversationId,
    #[n(4)]
    _message: MessageId,
    #[n(5)]
    _session: SessionId,
    #[b(6)]
    handshake: Option<&'b ByteSlice>,
    #[b(7)]
    frame: &'b ByteSlice,
}

impl<'b, C> Decode<'b, C> for Submitted {
    fn decode(d: &mut Decoder<'b>, cx: &mut C) -> Result<Self, DecodeError> {
        let start = d.position();
        let head = EnvelopeHead::decode(d, cx)?;
        let place = start..d.position();
        let handshake_len = head.handshake.map_or(0, |handshake| handshake.len());
        let too_large = head.frame.len() > MAX_SEALED_BYTES
            || handshake_len > MAX_HANDSHAKE_BYTES
            || place.len() > head.frame.len() + handshake_len + MAX_ADDRESSING_BYTES;
        Ok(Self { id: head.id, to: head.to, from: head.from, too_large, place })
    }
}

#[derive(Decode)]
enum Submit {
    #[n(4)]
    Submit {
        #[n(0)]
        envelopes: Batch,
    },
}

struct Batch(Vec<Submitted>);

impl<'b, C> Decode<'b, C> for Batch {
    fn decode(d: &mut Decoder<'b>, cx: &mut C) -> Result<Self, DecodeError> {
        let mut envelopes = Vec::new();
        for envelope in d.array_iter_with(cx)? {
            if envelopes.len() == MAX_BATCH {
                return Err(DecodeError::message("too many envelopes in one record"));
            }
            envelopes.push(envelope?);
        }
        Ok(Self(envelopes))
    }
}

fn is_submit(frame: &[u8]) -> bool {
    let mut d = Decoder::new(frame);
    matches!((d.array(), d.i64()), (Ok(Some(2)), Ok(4)))
}

/// Reads one frame of a client.
pub(crate) fn parse(frame: &[u8]) -> Result<Record, WireError> {
    if !is_submit(frame) {
        return ToRelay::decode(frame).map(Record::Other);
    }
    let malformed = |reason: String| WireError::Malformed { what: "record to the relay", reason };
    let mut decoder = Decoder::new(frame);
    let Submit::Submit { envelopes } = decoder.decode().map_err(|e| malformed(e.to_string()))?;
    if decoder.position() == frame.len() {
        Ok(Record::Submit(envelopes.0))
    } else {
        Err(malformed("trailing bytes".into()))
    }
}

/// The head of a CBOR item (RFC 8949 §3).
fn put_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..24 => out.push(major | bytes[7]),
        24..0x100 => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..0x1_0000 => out.extend_from_slice(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// What an envelope takes in a `Deliver` record beside its own bytes, at most.
pub(crate) const DELIVERY_OVERHEAD: usize = 10;

/// A [`chat_core::wire::FromRelay::Deliver`] around envelopes as they were submitted.
pub(crate) fn deliver<'a>(items: impl ExactSizeIterator<Item = (u64, &'a Bytes)> + Clone) -> Bytes {
    let len: usize = items.clone().map(|(_, envelope)| envelope.len() + DELIVERY_OVERHEAD).sum();
    let mut out = Vec::with_capacity(len + 8);
    put_head(&mut out, 4, 2);
    put_head(&mut out, 0, 3);
    put_head(&mut out, 4, 1);
    put_head(&mut out, 4, items.len() as u64);
    for (n, envelope) in items {
        put_head(&mut out, 4, 2);
        put_head(&mut out, 0, n);
        out.extend_from_slice(envelope);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use chat_core::wire::relay::Delivery;
    use chat_core::wire::{Envelope, FromRelay};

    use super::*;

    fn envelope(i: u8, len: usize) -> Envelope {
        Envelope {
            id: EnvelopeId([i; 16]),
            to: Recipient::Peer(PeerId([2; 32])),
            from: PeerId([1; 32]),
            conversation: ConversationId([3; 16]),
            message: MessageId([4; 16]),
            session: SessionId([5; 16]),
            handshake: (i % 2 == 1).then(|| vec![i; 300]),
            frame: vec![i; len],
        }
    }

    fn submitted(envelopes: Vec<Envelope>) -> Vec<Submitted> {
        match parse(&ToRelay::Submit { envelopes }.encode()).unwrap() {
            Record::Submit(submitted) => submitted,
            Record::Other(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn submit_to_deliver_keeps_every_byte() {
        let sent: Vec<Envelope> = (0..200).map(|i| envelope(i, usize::from(i) * 17)).collect();
        let record = ToRelay::Submit { envelopes: sent.clone() }.encode();
        let submitted: Vec<_> = submitted(sent.clone()).into_iter().map(|s| s.cut_out(&record)).collect();
        for first in [0, 1, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 1 << 40] {
            let numbered = submitted.iter().enumerate();
            let frame = deliver(numbered.map(|(i, s)| (first + i as u64, &s.bytes)));
            let FromRelay::Deliver { items } = FromRelay::decode(&frame).unwrap() else { panic!() };
            let expected: Vec<Delivery> = (first..)
                .zip(&sent)
                .map(|(n, envelope)| Delivery { n, envelope: envelope.clone() })
                .collect();
            assert_eq!(items, expected);
            assert_eq!(frame, FromRelay::Deliver { items }.encode());
        }
    }

    #[test]
    fn sizes_and_counts_over_the_limit_are_noticed() {
        assert!(!submitted(vec![envelope(0, MAX_SEALED_BYTES)])[0].too_large);
        assert!(submitted(vec![envelope(0, MAX_SEALED_BYTES + 1)])[0].too_large);
        let many = |n| ToRelay::Submit { envelopes: vec![envelope(0, 1); n] }.encode();
        assert!(parse(&many(MAX_BATCH)).is_ok());
        assert!(parse(&many(MAX_BATCH + 1)).is_err());
    }

    /// Whatever the relay passes on, a client's decoder must take; whatever it refuses, too.
    #[test]
    fn agrees_with_the_full_decoder_on_damaged_records() {
        let good = ToRelay::Submit { envelopes: vec![envelope(1, 20), envelope(2, 3)] }.encode();
        let (mut accepted, mut refused) = (0, 0);
        for i in 0..good.len() {
            for byte in 0..=255u8 {
                let mut bad = good.clone();
                bad[i] = byte;
                let ours = parse(&bad);
                let theirs = ToRelay::decode(&bad);
                assert_eq!(ours.is_ok(), theirs.is_ok(), "byte {i} = {byte:02x}: {ours:?} {theirs:?}");
                if let (Ok(Record::Submit(ours)), Ok(ToRelay::Submit { envelopes })) = (ours, theirs) {
                    accepted += 1;
                    for (ours, theirs) in ours.iter().zip(&envelopes) {
                        assert_eq!((ours.id, &ours.to, ours.from), (theirs.id, &theirs.to, theirs.from));
                        assert_eq!(Envelope::decode(&bad[ours.place.clone()]).as_ref(), Ok(theirs));
                    }
                } else {
                    refused += 1;
                }
            }
        }
        assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
    }
}
