//! Decoders of bytes from anybody. Each panics if what was read, written again, reads as something else.

use crate::chunk::{self, Chunk};
use crate::handshake::Cookie;
use crate::packet::{self, ConnectionId, Datagram, Short};
use crate::varint;

/// The front of a datagram. A long packet has one form only.
pub fn datagram(bytes: &[u8]) {
    match packet::decode(bytes) {
        Some(Datagram::Long(long, rest)) => {
            let mut again = Vec::new();
            long.encode(&mut again);
            assert_eq!(again, bytes[..bytes.len() - rest.len()], "a long packet has one form");
        }
        Some(Datagram::Short(to)) => assert_eq!(to.0, bytes[1..9]),
        None => {}
    }
    if let Some(&first) = bytes.first() {
        let flags = packet::decode_short_flags(first);
        assert!(flags.is_none_or(|(_, len)| (1..=4).contains(&len)));
    }
}

/// The inside of a sealed packet. Only numbers that could be written shorter may change.
pub fn chunks(plaintext: &[u8]) {
    let Ok(read) = chunk::decode_all(plaintext) else { return };
    let mut again = Vec::new();
    for chunk in &read {
        match chunk {
            Chunk::Ping => chunk::put_ping(&mut again),
            Chunk::Ack(ack) => {
                assert!(!ack.ranges.is_empty() && ack.ranges.len() <= chunk::MAX_ACK_RANGES);
                assert!(ack.ranges.iter().all(|range| !range.is_empty()));
                assert!(ack.ranges.is_sorted_by(|newer, older| older.end < newer.start));
                let lowest = chunk::put_ack(&mut again, usize::MAX, ack.delay_us, ack.ranges.iter());
                assert_eq!(lowest, ack.ranges.last().map(|range| range.start));
            }
            Chunk::Close(code) => chunk::put_close(&mut again, *code),
            Chunk::Credit(limit) => chunk::put_credit(&mut again, *limit),
            Chunk::Fin { stream, messages } => chunk::put_fin(&mut again, *stream, *messages),
            Chunk::Data(data) => {
                assert!(data.offset + data.bytes.len() <= data.total);
                chunk::put_data(&mut again, data);
            }
        }
    }
    assert_eq!(chunk::decode_all(&again).as_ref(), Ok(&read));
    // A CLOSE of a code that is not known is the one thing that is not repeated as it came.
    assert!(again.len() <= plaintext.len(), "the shortest form is no longer");
}

/// Truncated packet numbers, between two ends of which the receiver knows anything from what it acknowledged to
/// the number before.
pub fn numbers(number: u64, acknowledged: u64, ahead: u64, any: u64) {
    let number = number.min(varint::MAX);
    let acknowledged = acknowledged.min(number);
    if let (Some(len), true) = (packet::number_len(number, Some(acknowledged)), acknowledged < number) {
        let largest = acknowledged + ahead % (number - acknowledged);
        let truncated = number & ((1 << (8 * len)) - 1);
        assert_eq!(packet::expand_number(truncated, len, Some(largest)), Some(number));
        let mut header = Vec::new();
        let to = ConnectionId(any.to_be_bytes());
        Short { to, phase: any & 1 == 1, number, number_len: len }.encode(&mut header);
        assert_eq!(packet::decode_short_flags(header[0]), Some((any & 1 == 1, len)));
        assert_eq!(header.len(), packet::SHORT_PREFIX + len);
    }
    for len in 1..=4 {
        let truncated = any & ((1 << (8 * len)) - 1);
        for largest in [None, Some(number)] {
            let expanded = packet::expand_number(truncated, len, largest);
            assert!(expanded.is_none_or(|number| number & ((1 << (8 * len)) - 1) == truncated));
        }
    }
}

/// The cookie behind a HELLO's message.
pub fn cookie(after_message: &[u8]) {
    if let Some(cookie) = Cookie::read(after_message) {
        assert!(after_message.starts_with(&cookie.to_bytes()));
    }
}
