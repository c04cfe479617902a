//! The records between a client and its relay: one CBOR record a frame of the link.

use minicbor::{Decode, Encode};

use super::one_time::OneTimeKeys;
use super::{Envelope, WireError};
use crate::ids::{EnvelopeId, PeerId, Timestamp};
use crate::nick::{Nick, RoomName};

/// Most envelopes in one record.
pub const MAX_BATCH: usize = 1024;

/// Longest `Pass`, in bytes: what is only of the moment is short.
pub const MAX_PASSED_BYTES: usize = 4 << 10;
/// What a relay says to a link, with [`Refusal::NotAllowed`], before it closes it because the same identity has made another
/// one. Only a program whose link still lives reads it: then the other one is somebody else's.
pub const CONNECTED_AGAIN: &str = "this peer has connected again";

/// From a client to its relay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToRelay {
    /// The first record.
    #[n(0)]
    Hello {
        /// [`super::WIRE_VERSION`]
        #[n(0)]
        version: u32,
    },
    /// One's own signed bundle, for the directory.
    #[n(1)]
    Publish {
        /// A [`super::SignedBundle`] of the peer at this link.
        #[cbor(n(0), with = "minicbor::bytes")]
        bundle: Vec<u8>,
    },
    /// Become, or stay, a member of a room.
    #[n(2)]
    Join {
        /// The room.
        #[n(0)]
        room: RoomName,
    },
    /// No longer be a member.
    #[n(3)]
    Leave {
        /// The room.
        #[n(0)]
        room: RoomName,
    },
    /// Store and forward these; each is answered by `Stored` or `Refused`.
    #[n(4)]
    Submit {
        /// At most [`MAX_BATCH`].
        #[n(0)]
        envelopes: Vec<Envelope>,
    },
    /// Everything delivered up to this number is in the client's durable store; the mailbox may forget it.
    #[n(5)]
    Ack {
        /// The highest number of a [`Delivery`] below which none is missing.
        #[n(0)]
        through: u64,
    },
    /// Who is this peer? Answered by `Peer` or `Unknown`.
    #[n(6)]
    Find {
        /// By id.
        #[n(0)]
        peer: Option<PeerId>,
        /// By nick: all that claim it.
        #[n(1)]
        nick: Option<Nick>,
    },
    /// Answered by `Pong` with the same number.
    #[n(7)]
    Ping {
        /// Any number.
        #[n(0)]
        n: u64,
    },
    /// One-time keys of one's own, to be given out once each; answered by `OneTimeKeysLeft`.
    #[n(8)]
    OneTimeKeys {
        /// Each a [`super::SignedOneTimeKey`] of the peer at this link.
        #[n(0)]
        keys: OneTimeKeys,
        /// Those that were given before are of no use any more: they are forgotten first.
        #[n(1)]
        anew: bool,
    },
    /// A one-time key of a peer, for a first message; answered by `OneTimeKey`.
    #[n(9)]
    TakeOneTimeKey {
        /// Whose.
        #[n(0)]
        peer: PeerId,
    },
    /// Pass this on to its recipient, a peer, if it is connected now; else forget it. Nothing of it is stored, and it is
    /// not answered.
    #[n(32)]
    Pass {
        /// The envelope; the record has at most [`MAX_PASSED_BYTES`].
        #[n(0)]
        envelope: Envelope,
    },
}

/// An envelope on its way to its recipient, numbered by the mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Delivery {
    /// Grows within one mailbox; holes are normal.
    #[n(0)]
    pub n: u64,
    /// The envelope.
    #[n(1)]
    pub envelope: Envelope,
}

/// Why a relay refuses an envelope or a record; the number is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Refusal {
    /// The recipient's mailbox, or the sender's share of it, is full. Worth trying later.
    #[n(0)]
    MailboxFull,
    /// Over the limit of size.
    #[n(1)]
    TooLarge,
    /// The sender in the envelope is not the peer at the link, or it isn't a member of the room.
    #[n(2)]
    NotAllowed,
    /// Too many records in too short a time, or more than one network address may have or do. Worth trying later.
    #[n(3)]
    TooFast,
    /// The relay's disk failed. Worth trying later.
    #[n(4)]
    Storage,
    /// The record is malformed or out of order; the relay closes the link.
    #[n(5)]
    Protocol,
    /// Another version of the wire format is needed; the relay closes the link.
    #[n(6)]
    Version,
    /// It is dated in the future by the relay's clock. Worth trying when both clocks are right.
    #[n(7)]
    Clock,
}

impl Refusal {
    /// Whether the same thing may succeed later.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::MailboxFull | Self::TooFast | Self::Storage | Self::Clock)
    }
}

/// From a relay to its client.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromRelay {
    /// The answer to `Hello`.
    #[n(0)]
    Welcome {
        /// [`super::WIRE_VERSION`]
        #[n(0)]
        version: u32,
        /// The relay's clock.
        #[n(1)]
        now: Timestamp,
        /// How many of this peer's one-time keys it keeps; left out by a relay that keeps none of anybody.
        #[n(2)]
        one_time_keys: Option<u32>,
    },
    /// These envelopes are on the relay's disk (fsynced), or were already.
    #[n(1)]
    Stored {
        /// As submitted.
        #[n(0)]
        ids: Vec<EnvelopeId>,
    },
    /// This envelope was not taken; nothing of it is kept.
    #[n(2)]
    Refused {
        /// As submitted.
        #[n(0)]
        id: EnvelopeId,
        /// Why.
        #[n(1)]
        why: Refusal,
    },
    /// Envelopes for this client, oldest first, until `Ack` moves past them.
    #[n(3)]
    Deliver {
        /// At most [`MAX_BATCH`].
        #[n(0)]
        items: Vec<Delivery>,
    },
    /// A peer in the directory: a hint to be verified.
    #[n(4)]
    Peer {
        /// Its newest [`super::SignedBundle`].
        #[cbor(n(0), with = "minicbor::bytes")]
        bundle: Vec<u8>,
        /// Whether it is connected now.
        #[n(1)]
        online: bool,
    },
    /// A peer of a common room came or went.
    #[n(5)]
    Presence {
        /// Who.
        #[n(0)]
        peer: PeerId,
        /// Whether it is connected now.
        #[n(1)]
        online: bool,
    },
    /// The last members of a room: with those of the `Members` since `Join`, all are named.
    #[n(6)]
    Room {
        /// The room.
        #[n(0)]
        room: RoomName,
        /// Members; the client itself is named too.
        #[n(1)]
        members: Vec<PeerId>,
    },
    /// Nobody of this id or nick is in the directory.
    #[n(7)]
    Unknown {
        /// As asked.
        #[n(0)]
        peer: Option<PeerId>,
        /// As asked.
        #[n(1)]
        nick: Option<Nick>,
    },
    /// The answer to `Ping`.
    #[n(8)]
    Pong {
        /// The same number.
        #[n(0)]
        n: u64,
    },
    /// A record was refused; `Protocol` and `Version` end the link.
    #[n(9)]
    Error {
        /// Why.
        #[n(0)]
        why: Refusal,
        /// For the log.
        #[n(1)]
        detail: String,
    },
    /// The relay stops; reconnect after a moment.
    #[n(10)]
    Moving,
    /// Some members of a room: a piece of all, before `Room` ends them; after that, whoever has joined since.
    #[n(11)]
    Members {
        /// The room.
        #[n(0)]
        room: RoomName,
        /// Members.
        #[n(1)]
        members: Vec<PeerId>,
    },
    /// How many of the client's own one-time keys are left: after `OneTimeKeys`, and whenever one was given out.
    #[n(12)]
    OneTimeKeysLeft {
        /// So many.
        #[n(0)]
        left: u32,
    },
    /// A one-time key that nobody else gets: a hint to be verified.
    #[n(13)]
    OneTimeKey {
        /// Whose; as asked.
        #[n(0)]
        peer: PeerId,
        /// A [`super::SignedOneTimeKey`]; none if there is none left, or too many were asked for.
        #[cbor(n(1), with = "minicbor::bytes")]
        key: Option<Vec<u8>>,
    },
    /// Somebody passes this on, now. It is in no mailbox, and not to be acknowledged.
    #[n(32)]
    Passed {
        /// The envelope.
        #[n(0)]
        envelope: Envelope,
    },
}

macro_rules! record {
    ($name:ident, $what:literal) => {
        impl $name {
            /// As bytes of one frame.
            pub fn encode(&self) -> Vec<u8> {
                super::encode(self)
            }

            /// From the bytes of one frame.
            ///
            /// # Errors
            /// [`WireError`] if they are no such record.
            pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
                super::decode($what, bytes)
            }
        }
    };
}
record!(ToRelay, "record to the relay");
record!(FromRelay, "record from the relay");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_unknown_fields_are_skipped() {
        let room = RoomName::new("#lobby").unwrap();
        for record in [
            ToRelay::Hello { version: 1 },
            ToRelay::Publish { bundle: vec![1, 2] },
            ToRelay::Join { room: room.clone() },
            ToRelay::Submit { envelopes: vec![] },
            ToRelay::Ack { through: 7 },
            ToRelay::Find { peer: Some(PeerId([1; 32])), nick: None },
            ToRelay::Find { peer: None, nick: Some(Nick::new("bob").unwrap()) },
            ToRelay::OneTimeKeys { keys: OneTimeKeys(vec![vec![1, 2], vec![3]]), anew: false },
            ToRelay::TakeOneTimeKey { peer: PeerId([1; 32]) },
        ] {
            assert_eq!(ToRelay::decode(&record.encode()), Ok(record));
        }
        let members = vec![PeerId([1; 32])];
        let (peer, now) = (PeerId([1; 32]), Timestamp(5));
        for record in [
            FromRelay::Room { room, members },
            FromRelay::Welcome { version: 1, now, one_time_keys: None },
            FromRelay::Welcome { version: 1, now, one_time_keys: Some(7) },
            FromRelay::OneTimeKeysLeft { left: 3 },
            FromRelay::OneTimeKey { peer, key: Some(vec![1, 2]) },
            FromRelay::OneTimeKey { peer, key: None },
        ] {
            assert_eq!(FromRelay::decode(&record.encode()), Ok(record));
        }
        // Hello with a second field, as a later version may send it.
        assert_eq!(ToRelay::decode(&[0x82, 0x00, 0x82, 0x01, 0x61, 0x78]), Ok(ToRelay::Hello { version: 1 }));
    }

    #[test]
    fn malformed_records_are_errors() {
        let cases: [&[u8]; 7] = [
            &[],
            &[0xff],
            &[0x82, 0x18, 99, 0x80],
            &[0x82, 0x04, 0x81, 0x9b],
            &[0x82, 0x00],
            &[0x00],
            b"GET / HTTP/1.1",
        ];
        for case in cases {
            assert!(ToRelay::decode(case).is_err(), "{case:02x?}");
        }
        let trailing = [ToRelay::Ping { n: 1 }.encode(), vec![0]].concat();
        assert!(ToRelay::decode(&trailing).is_err());
    }

    #[test]
    fn what_may_succeed_later_is_said_so() {
        use Refusal::{Clock, MailboxFull, NotAllowed, Protocol, Storage, TooFast, TooLarge, Version};
        let later = [MailboxFull, TooLarge, NotAllowed, TooFast, Storage, Protocol, Version, Clock]
            .map(Refusal::is_temporary);
        assert_eq!(later, [true, false, false, true, true, false, false, true]);
    }
}
