//! What is inside a sealed packet: chunks, one after the other (the word is SCTP's, RFC 9260 §3). `DESIGN.md`
//! §3 shows the bytes. A decoder takes a whole packet or nothing of it.

use std::ops::Range;

use chat_core::transport::MAX_FRAME_BYTES;

use crate::varint::{self, Reader, Truncated};

/// Most ranges an ACK may hold. More than we ever send; what is over it is no honest peer.
pub(crate) const MAX_ACK_RANGES: usize = 256;

const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const CLOSE: u8 = 0x03;
const CREDIT: u8 = 0x04;
const FIN: u8 = 0x05;
const FRAGMENT: u8 = 0x10;
const WHOLE: u8 = 0x11;

/// One part of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chunk<'a> {
    /// Asks for an acknowledgement.
    Ping,
    /// What was received.
    Ack(Ack),
    /// The connection is over.
    Close(CloseCode),
    /// The sender may have used this much credit in all ([`crate::stream::cost`]).
    Credit(u64),
    /// The stream ends after this many messages.
    Fin { stream: u64, messages: u64 },
    /// A part of a message, or all of it.
    Data(Data<'a>),
}

impl Chunk<'_> {
    /// Whether the receiver must acknowledge the packet: all but ACK and CLOSE (RFC 9002 §2).
    pub(crate) fn is_eliciting(&self) -> bool {
        !matches!(self, Self::Ack(_) | Self::Close(_))
    }
}

/// A selective acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Microseconds between the arrival of the highest packet and the sending of this.
    pub(crate) delay_us: u64,
    /// Disjoint half-open ranges of packet numbers, highest first, never empty.
    pub(crate) ranges: Vec<Range<u64>>,
}

impl Ack {
    /// The highest number.
    pub(crate) fn largest(&self) -> u64 {
        self.ranges.first().map_or(0, |range| range.end - 1)
    }
}

/// A piece of a message. Offsets and lengths fit `u32` because a message has at most [`MAX_FRAME_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    pub(crate) stream: u64,
    pub(crate) message: u64,
    /// Length of the whole message.
    pub(crate) total: usize,
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
}

impl Data<'_> {
    pub(crate) fn is_end(&self) -> bool {
        self.offset + self.bytes.len() == self.total
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// Nobody uses it any more, and all that was sent has arrived.
    Done = 0,
    /// Given up with frames undelivered.
    Abandoned = 1,
    /// The other side broke the protocol.
    Protocol = 2,
    /// A key reached its limit.
    KeyLimit = 3,
    /// A code of a later version.
    Other = 4,
}

impl CloseCode {
    fn from_wire(code: u64) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Abandoned,
            2 => Self::Protocol,
            3 => Self::KeyLimit,
            _ => Self::Other,
        }
    }
}

/// Why a packet's inside can't be read. An authenticated peer sent it, so this is the end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a chunk ends too early")]
    Truncated,
    #[error("an unknown chunk")]
    Unknown,
    #[error("an ACK of too many ranges, or of impossible ones")]
    Ranges,
    #[error("a fragment outside its message, or a message over the limit")]
    Bounds,
}

impl From<Truncated> for Malformed {
    fn from(Truncated: Truncated) -> Self {
        Self::Truncated
    }
}

/// Reads all chunks of a packet.
pub(crate) fn decode_all(plaintext: &[u8]) -> Result<Vec<Chunk<'_>>, Malformed> {
    let mut reader = Reader::new(plaintext);
    let mut chunks = Vec::with_capacity(4);
    while !reader.is_empty() {
        let chunk = match reader.u8()? {
            PADDING => continue,
            PING => Chunk::Ping,
            ACK => Chunk::Ack(decode_ack(&mut reader)?),
            CLOSE => Chunk::Close(CloseCode::from_wire(reader.varint()?)),
            CREDIT => Chunk::Credit(reader.varint()?),
            FIN => Chunk::Fin { stream: reader.varint()?, messages: reader.varint()? },
            FRAGMENT => Chunk::Data(decode_data(&mut reader, false)?),
            WHOLE => Chunk::Data(decode_data(&mut reader, true)?),
            _ => return Err(Malformed::Unknown),
        };
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn decode_ack(reader: &mut Reader<'_>) -> Result<Ack, Malformed> {
    let largest = reader.varint()?;
    let delay_us = reader.varint()?;
    let more = usize::try_from(reader.varint()?).map_err(|_| Malformed::Ranges)?;
    if more >= MAX_ACK_RANGES {
        return Err(Malformed::Ranges);
    }
    let mut ranges = Vec::with_capacity(more + 1);
    let mut end = largest + 1;
    for index in 0..=more {
        if index > 0 {
            let gap = reader.varint()? + 1;
            end = end.checked_sub(gap).ok_or(Malformed::Ranges)?;
        }
        let len = reader.varint()? + 1;
        let start = end.checked_sub(len).ok_or(Malformed::Ranges)?;
        ranges.push(start..end);
        end = start;
    }
    Ok(Ack { delay_us, ranges })
}

fn decode_data<'a>(reader: &mut Reader<'a>, whole: bool) -> Result<Data<'a>, Malformed> {
    let small = |reader: &mut Reader<'a>| -> Result<usize, Malformed> {
        let value = reader.varint()?;
        usize::try_from(value).ok().filter(|&value| value <= MAX_FRAME_BYTES).ok_or(Malformed::Bounds)
    };
    let (stream, message) = (reader.varint()?, reader.varint()?);
    let (total, offset) = if whole { (0, 0) } else { (small(reader)?, small(reader)?) };
    let len = small(reader)?;
    let bytes = reader.bytes(len)?;
    let total = if whole { len } else { total };
    // A fragment without bytes would be free of charge; only an empty message has one, and that is whole.
    if offset + len > total || (!whole && len == 0) {
        return Err(Malformed::Bounds);
    }
    Ok(Data { stream, message, total, offset, bytes })
}

/// Appends one byte of padding.
pub(crate) fn put_padding(out: &mut Vec<u8>) {
    out.push(PADDING);
}

pub(crate) fn put_ping(out: &mut Vec<u8>) {
    out.push(PING);
}

pub(crate) fn put_close(out: &mut Vec<u8>, code: CloseCode) {
    out.push(CLOSE);
    varint::put(out, code as u64);
}

pub(crate) fn put_credit(out: &mut Vec<u8>, limit: u64) {
    out.push(CREDIT);
    varint::put(out, limit);
}

pub(crate) fn put_fin(out: &mut Vec<u8>, stream: u64, messages: u64) {
    out.push(FIN);
    varint::put(out, stream);
    varint::put(out, messages);
}

/// Appends an ACK of as many of the ranges, highest first, as fit into `room` bytes. Returns the lowest number
/// that is in, `None` if nothing fits.
pub(crate) fn put_ack<'r>(
    out: &mut Vec<u8>,
    room: usize,
    delay_us: u64,
    ranges: impl Iterator<Item = &'r Range<u64>>,
) -> Option<u64> {
    let mut body = Vec::new();
    let mut first: Option<u64> = None;
    let mut lowest: Option<u64> = None;
    let mut count = 0u64;
    for range in ranges.take(MAX_ACK_RANGES) {
        let before = body.len();
        if let Some(lowest) = lowest {
            varint::put(&mut body, lowest.saturating_sub(range.end + 1));
        }
        varint::put(&mut body, range.end - range.start - 1);
        let largest = first.unwrap_or(range.end - 1);
        let head = 1 + varint::len(largest) + varint::len(delay_us) + varint::len(count);
        if head + body.len() > room {
            body.truncate(before);
            break;
        }
        first = Some(largest);
        lowest = Some(range.start);
        count += 1;
    }
    let largest = first?;
    out.push(ACK);
    varint::put(out, largest);
    varint::put(out, delay_us);
    varint::put(out, count - 1);
    out.extend_from_slice(&body);
    lowest
}

/// How many bytes of `data` in front of its payload; the payload's length counts as `len`.
fn data_head(data: &Data<'_>, len: usize) -> usize {
    let fixed = 1 + varint::len(data.stream) + varint::len(data.message) + varint::len(len as u64);
    if data.offset == 0 && len == data.total {
        fixed
    } else {
        fixed + varint::len(data.total as u64) + varint::len(data.offset as u64)
    }
}

/// How many of the payload's bytes fit into `room`.
pub(crate) fn data_fits(data: &Data<'_>, room: usize) -> Option<usize> {
    let all = data.bytes.len();
    if data_head(data, all) + all <= room {
        return Some(all);
    }
    // The length of the length can only shrink with it, so what this leaves does fit.
    let part = room.checked_sub(data_head(data, all).max(data_head(data, all.saturating_sub(1))))?;
    (part > 0 && part < all).then_some(part)
}

pub(crate) fn put_data(out: &mut Vec<u8>, data: &Data<'_>) {
    let whole = data.offset == 0 && data.bytes.len() == data.total;
    out.push(if whole { WHOLE } else { FRAGMENT });
    varint::put(out, data.stream);
    varint::put(out, data.message);
    if !whole {
        varint::put(out, data.total as u64);
        varint::put(out, data.offset as u64);
    }
    varint::put(out, data.bytes.len() as u64);
    out.extend_from_slice(data.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Rng;

    fn data(total: usize, offset: usize, bytes: &[u8]) -> Data<'_> {
        Data { stream: 0, message: 70, total, offset, bytes }
    }

    #[test]
    fn chunks_round_trip() {
        let mut out = Vec::new();
        put_padding(&mut out);
        put_ping(&mut out);
        let ranges = [90..101, 5..6, 0..2];
        assert_eq!(put_ack(&mut out, 100, 1234, ranges.iter()), Some(0));
        put_close(&mut out, CloseCode::KeyLimit);
        put_credit(&mut out, 1 << 40);
        put_fin(&mut out, 0, 7);
        put_data(&mut out, &data(3, 0, b"all"));
        put_data(&mut out, &data(0, 0, b""));
        put_data(&mut out, &data(2 << 20, 99, b"part"));
        assert_eq!(
            decode_all(&out).unwrap(),
            [
                Chunk::Ping,
                Chunk::Ack(Ack { delay_us: 1234, ranges: ranges.to_vec() }),
                Chunk::Close(CloseCode::KeyLimit),
                Chunk::Credit(1 << 40),
                Chunk::Fin { stream: 0, messages: 7 },
                Chunk::Data(data(3, 0, b"all")),
                Chunk::Data(data(0, 0, b"")),
                Chunk::Data(data(2 << 20, 99, b"part")),
            ]
        );
        for cut in 1..4 {
            assert_eq!(decode_all(&out[..out.len() - cut]), Err(Malformed::Truncated));
        }
    }

    #[test]
    fn an_ack_takes_the_newest_ranges_that_fit_and_no_more_than_are_accepted() {
        let many: Vec<_> = (0..2000u64).rev().map(|n| 3 * n..3 * n + 1).collect();
        for room in [0, 5, 6, 7, 20, 300, 5000] {
            let mut out = Vec::new();
            let lowest = put_ack(&mut out, room, 9, many.iter());
            assert!(out.len() <= room);
            assert_eq!(lowest.is_some(), !out.is_empty());
            if let Some(lowest) = lowest {
                let [Chunk::Ack(ack)] = &decode_all(&out).unwrap()[..] else { panic!() };
                assert_eq!(ack.ranges[..], many[..ack.ranges.len()]);
                assert_eq!(ack.ranges.last().unwrap().start, lowest);
            }
        }
    }

    #[test]
    fn ten_thousand_ranges_and_impossible_ones_are_refused() {
        let mut out = vec![ACK];
        varint::put(&mut out, 100_000);
        varint::put(&mut out, 0);
        varint::put(&mut out, 10_000);
        out.resize(30_000, 0);
        assert_eq!(decode_all(&out), Err(Malformed::Ranges));
        // Below zero: first range longer than its largest number, then a gap.
        assert_eq!(decode_all(&[ACK, 3, 0, 0, 4]), Err(Malformed::Ranges));
        assert_eq!(decode_all(&[ACK, 3, 0, 1, 2, 0, 0]), Err(Malformed::Ranges));
        assert!(decode_all(&[ACK, 3, 0, 1, 1, 0, 0]).is_ok());
    }

    #[test]
    fn claims_over_the_limit_are_refused_before_anything_is_allocated() {
        for (total, offset, len) in [
            (MAX_FRAME_BYTES as u64 + 1, 0, 1),
            (10, 10, 1),
            (10, 0, 0),
            (varint::MAX, 0, 1),
            (4, varint::MAX, 1),
        ] {
            let mut out = vec![FRAGMENT, 0, 0];
            varint::put(&mut out, total);
            varint::put(&mut out, offset);
            varint::put(&mut out, len);
            out.push(1);
            assert_eq!(decode_all(&out), Err(Malformed::Bounds), "{total} {offset} {len}");
        }
    }

    #[test]
    fn a_fragment_is_cut_to_the_room() {
        let bytes = vec![7; 20_000];
        for room in 0..20_100 {
            let whole = data(bytes.len(), 0, &bytes);
            let Some(len) = data_fits(&whole, room) else { continue };
            let mut out = Vec::new();
            put_data(&mut out, &data(bytes.len(), 0, &bytes[..len]));
            assert!(out.len() <= room && out.len() + 4 >= room.min(20_000), "{room} {len} {}", out.len());
        }
    }

    #[test]
    fn garbage_never_panics() {
        let mut rng = Rng::new(5);
        let mut understood = 0;
        for _ in 0..60_000 {
            let mut bytes = rng.bytes_up_to(48);
            if let Some(first) = bytes.first_mut() {
                *first = [PING, ACK, CLOSE, CREDIT, FIN, FRAGMENT, WHOLE][usize::from(*first) % 7];
            }
            if let Ok(chunks) = decode_all(&bytes) {
                understood += chunks.len();
            }
        }
        assert!(understood > 500, "{understood}");
    }
}
