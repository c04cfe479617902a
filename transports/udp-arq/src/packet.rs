//! What is in front of each packet. `DESIGN.md` §2 shows the bytes.
//!
//! A *long* packet belongs to the handshake and is in the clear: what it carries proves itself (Noise). A
//! *short* packet is sealed; its first byte and its packet number are masked (RFC 9001 §5.4), and the number
//! is truncated to what the receiver needs (RFC 9000 §17.1, appendix A).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::varint::{self, Reader, Truncated};

/// Shortest first datagram, and longest any: each path of the Internet that matters carries it (RFC 9000 §14).
pub(crate) const MIN_MTU: usize = 1200;
/// Bytes before the packet number of a short packet.
pub(crate) const SHORT_PREFIX: usize = 1 + ConnectionId::LEN;
/// Shortest short packet that can be opened: a number and its sample (RFC 9001 §5.4.2).
pub(crate) const MIN_SHORT: usize = SHORT_PREFIX + 4 + 16;

const VERSION: u32 = 0x4152_5101;
const LONG: u8 = 0b1100_0000;
const SHORT: u8 = 0b0100_0000;
const FORM: u8 = 0b1100_0000;
const PHASE: u8 = 0b0000_0100;
/// The bits of a short packet's first byte that are masked.
pub(crate) const MASKED: u8 = 0b0001_1111;

/// Names a connection at the side that receives the packet: the first 8 bytes of
/// `SHA-256("chat/arq/1 id" ‖ that side's first handshake message)`. The message holds a fresh key, so the id is
/// random, nobody who didn't see the message can guess it, and nobody can change it without breaking Noise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) [u8; 8]);

impl ConnectionId {
    pub(crate) const LEN: usize = 8;
    /// Stands in the first packet, when nobody knows the responder's id.
    pub(crate) const NONE: Self = Self([0; 8]);

    pub(crate) fn of_message(message: &[u8]) -> Self {
        let hash = Sha256::new_with_prefix(b"chat/arq/1 id").chain_update(message).finalize();
        let mut id = [0; 8];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(id)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a long packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongKind {
    /// Noise message 1, perhaps a cookie, padded to [`MIN_MTU`].
    Hello = 1,
    /// Noise message 2.
    Reply = 2,
    /// Noise message 3; a short packet may follow in the same datagram.
    Finish = 3,
    /// Not of the handshake: "I have no connection of that id". Anybody can send it, so it is only a hint.
    Unknown = 4,
    /// The listener keeps nothing of a HELLO until it comes again with this cookie.
    Retry = 5,
}

/// A long packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Long<'a> {
    pub(crate) kind: LongKind,
    /// The receiver's id; for [`LongKind::Unknown`] the id that is unknown.
    pub(crate) to: ConnectionId,
    pub(crate) message: &'a [u8],
}

impl Long<'_> {
    /// Bytes before the message.
    pub(crate) const HEADER: usize = 15;

    /// Appends the packet.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(LONG | self.kind as u8);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.to.0);
        let len = u16::try_from(self.message.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.message);
    }
}

/// A datagram, as far as it can be read without a key.
#[derive(Debug)]
pub(crate) enum Datagram<'a> {
    /// A long packet and what follows it.
    Long(Long<'a>, &'a [u8]),
    /// A short packet for this connection.
    Short(ConnectionId),
}

/// Reads the front of a datagram; `None` for anything that is no packet of ours.
pub(crate) fn decode(datagram: &[u8]) -> Option<Datagram<'_>> {
    let first = *datagram.first()?;
    match first & FORM {
        LONG => {
            let (packet, rest) = decode_long(first, datagram).ok()??;
            Some(Datagram::Long(packet, rest))
        }
        SHORT if datagram.len() >= MIN_SHORT => {
            Some(Datagram::Short(ConnectionId(*datagram.get(1..)?.first_chunk()?)))
        }
        _ => None,
    }
}

fn decode_long(first: u8, datagram: &[u8]) -> Result<Option<(Long<'_>, &[u8])>, Truncated> {
    let kind = match first & !FORM {
        1 => LongKind::Hello,
        2 => LongKind::Reply,
        3 => LongKind::Finish,
        4 => LongKind::Unknown,
        5 => LongKind::Retry,
        _ => return Ok(None),
    };
    let mut reader = Reader::new(datagram);
    reader.u8()?;
    if reader.array()? != VERSION.to_be_bytes() {
        return Ok(None);
    }
    let to = ConnectionId(reader.array()?);
    let len = u16::from_be_bytes(reader.array()?);
    let message = reader.bytes(usize::from(len))?;
    // A first packet that is not padded would let somebody use us as an amplifier.
    if kind == LongKind::Hello && datagram.len() < MIN_MTU {
        return Ok(None);
    }
    Ok(Some((Long { kind, to, message }, reader.rest())))
}

/// The header of a short packet without its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) to: ConnectionId,
    /// Which generation of keys, by its lowest bit.
    pub(crate) phase: bool,
    pub(crate) number: u64,
    /// How many bytes of the number are sent, 1 to 4.
    pub(crate) number_len: usize,
}

impl Short {
    /// Appends the header.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let len = self.number_len.clamp(1, 4);
        // `clamp` above: 0 to 3.
        out.push(SHORT | if self.phase { PHASE } else { 0 } | (len as u8 - 1));
        out.extend_from_slice(&self.to.0);
        out.extend_from_slice(&self.number.to_be_bytes()[8 - len..]);
    }
}

/// How many bytes of a number to send if `acknowledged` is the highest the peer is known to have: enough for
/// twice the distance (RFC 9000 §A.2). `None` if four don't suffice.
pub(crate) fn number_len(number: u64, acknowledged: Option<u64>) -> Option<usize> {
    let distance = acknowledged.map_or(number.saturating_add(1), |acked| number.saturating_sub(acked));
    (1..=4).find(|len| distance < 1 << (8 * len - 1))
}

/// The number nearest to what is expected next that ends in these bits (RFC 9000 §A.3).
pub(crate) fn expand_number(truncated: u64, len: usize, largest: Option<u64>) -> Option<u64> {
    let expected = largest.map_or(0, |largest| largest + 1);
    let window = 1u64 << (8 * len);
    let candidate = expected & !(window - 1) | truncated;
    let number = if candidate + window / 2 <= expected {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    };
    (number <= varint::MAX).then_some(number)
}

/// What an unmasked first byte of a short packet says: phase and length of the number. `None` if a reserved
/// bit is set.
pub(crate) fn decode_short_flags(first: u8) -> Option<(bool, usize)> {
    let reserved = !(FORM | PHASE | 0b11);
    (first & FORM == SHORT && first & reserved == 0)
        .then_some((first & PHASE != 0, usize::from(first & 0b11) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Rng;

    #[test]
    fn the_examples_of_rfc_9000_appendix_a() {
        assert_eq!(number_len(0xac_5c02, Some(0xab_e8b3)), Some(2));
        assert_eq!(number_len(0xac_e8fe, Some(0xab_e8b3)), Some(3));
        assert_eq!(expand_number(0x9b32, 2, Some(0xa82f_30ea)), Some(0xa82f_9b32));
    }

    #[test]
    fn truncated_numbers_expand_across_every_wrap() {
        let mut rng = Rng::new(3);
        for start in [0, 0xf0, 0xff00, 0xff_ff00, 0xffff_ff00, (1 << 40) - 5, (1 << 61) - 1] {
            for _ in 0..2000 {
                let acknowledged = start + rng.below(300);
                let number = acknowledged + 1 + rng.below(100_000);
                let len = number_len(number, Some(acknowledged)).unwrap();
                // The receiver has at least what it acknowledged, and at most the number before.
                let largest = acknowledged + rng.below(number - acknowledged);
                let truncated = number & ((1 << (8 * len)) - 1);
                assert_eq!(expand_number(truncated, len, Some(largest)), Some(number), "{largest}");
            }
        }
        assert_eq!(number_len(0, None), Some(1));
        assert_eq!(number_len(1 << 31, Some(0)), None);
    }

    #[test]
    fn long_packets_round_trip_and_a_short_hello_is_no_hello() {
        let id = ConnectionId([9; 8]);
        use LongKind::{Finish, Hello, Reply, Retry, Unknown};
        for kind in [Hello, Reply, Finish, Unknown, Retry] {
            let packet = Long { kind, to: id, message: b"noise" };
            let mut bytes = Vec::new();
            packet.encode(&mut bytes);
            bytes.resize(MIN_MTU, 0);
            let Some(Datagram::Long(read, rest)) = decode(&bytes) else { panic!("{kind:?}") };
            assert_eq!((read, rest.len()), (packet, MIN_MTU - 15 - 5));
            bytes.pop();
            assert_eq!(decode(&bytes).is_none(), kind == LongKind::Hello);
            bytes[4] ^= 1;
            assert!(decode(&bytes).is_none(), "another version");
        }
    }

    #[test]
    fn garbage_never_panics() {
        let mut rng = Rng::new(4);
        let mut understood = 0;
        for _ in 0..50_000 {
            let mut bytes = rng.bytes_up_to(64);
            if let (Some(first), true) = (bytes.first_mut(), rng.below(2) == 0) {
                *first = LONG | (*first & 7);
                let version = VERSION.to_be_bytes();
                bytes.iter_mut().skip(1).zip(version).for_each(|(to, from)| *to = from);
            }
            understood += usize::from(decode(&bytes).is_some());
            if let Some(&first) = bytes.first() {
                let _ = decode_short_flags(first);
            }
            let _ = expand_number(rng.below(1 << 32), 4, Some(rng.below(u64::MAX >> 2)));
        }
        assert!(understood > 500, "{understood}");
    }
}
