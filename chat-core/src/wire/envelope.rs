//! The sealed and addressed thing that a relay routes and stores.

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use crate::ids::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId};
use crate::nick::RoomName;

/// Longest sealed frame in an envelope, in bytes: a text of 1 MiB, padded, with what a session adds.
pub const MAX_SEALED_BYTES: usize = (1 << 20) + (1 << 19);

/// Who gets an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Recipient {
    /// One peer.
    #[n(0)]
    Peer(#[n(0)] PeerId),
    /// Every member of a room: stored once, the same bytes reach all. For group key exchanges.
    #[n(1)]
    Room(#[n(0)] RoomName),
}

/// One sealed copy of something. All the relay ever sees of it is here.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// The first half of the SHA-256 of `frame`; of an older sender random. The same in every resend.
    #[n(0)]
    pub id: EnvelopeId,
    /// Who gets it.
    #[n(1)]
    pub to: Recipient,
    /// Who sent it. The relay refuses an envelope whose sender is not the peer at the link.
    #[n(2)]
    pub from: PeerId,
    /// The conversation; the sealed frame repeats it.
    #[n(3)]
    pub conversation: ConversationId,
    /// The message; the sealed frame repeats it.
    #[n(4)]
    pub message: MessageId,
    /// The session that sealed it.
    #[n(5)]
    pub session: SessionId,
    /// The handshake ([`super::Handshake`]) until the sender knows that the recipient has it.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub handshake: Option<Vec<u8>>,
    /// The sealed frame.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub frame: Vec<u8>,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, to, from, .. } = self;
        write!(f, "Envelope({id} {from} -> {to:?}, {} bytes)", self.frame.len())
    }
}

impl Envelope {
    /// About how many bytes it takes on the wire and in a mailbox.
    pub fn size(&self) -> usize {
        self.frame.len() + self.handshake.as_ref().map_or(0, Vec::len) + 192
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`super::WireError`] if they are no envelope.
    pub fn decode(bytes: &[u8]) -> Result<Self, super::WireError> {
        super::decode("envelope", bytes)
    }
}

fn conversation(parts: &[&[u8]]) -> ConversationId {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    ConversationId::from_slice(hash.get(..16).unwrap_or_default()).unwrap_or_default()
}

/// The conversation of two peers: the same for both.
pub fn direct_conversation(a: PeerId, b: PeerId) -> ConversationId {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    conversation(&[b"chat/direct/1", low.as_ref(), high.as_ref()])
}

/// The conversation of an open room: the same for everybody who knows its name.
pub fn open_room_conversation(room: &RoomName) -> ConversationId {
    conversation(&[b"chat/open-room/1", room.as_str().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_direction_free_conversation() {
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        assert_eq!(direct_conversation(a, b), direct_conversation(b, a));
        for handshake in [None, Some(vec![1, 2])] {
            let envelope = Envelope {
                id: EnvelopeId([3; 16]),
                to: Recipient::Peer(b),
                from: a,
                conversation: direct_conversation(a, b),
                message: MessageId([4; 16]),
                session: SessionId([5; 16]),
                handshake,
                frame: vec![6; 100],
            };
            assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }

    #[test]
    fn a_claimed_length_beyond_the_bytes_is_malformed() {
        // An array of 8 whose first element claims 2^32-1 bytes.
        assert!(Envelope::decode(&[0x88, 0x5a, 0xff, 0xff, 0xff, 0xff]).is_err());
        // An array that claims 2^64-1 elements.
        assert!(Envelope::decode(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    /// The expected bytes come from Python's `hashlib`: two programs that differ here never find each other's messages.
    #[test]
    fn conversations_are_known_answers() {
        let direct = direct_conversation(PeerId([2; 32]), PeerId([1; 32]));
        assert_eq!(direct.0, 0x82b1_ace2_8746_8857_1543_e02d_37ac_7fba_u128.to_be_bytes());
        let room = open_room_conversation(&RoomName::new("#lobby").unwrap());
        assert_eq!(room.0, 0x8ce6_56b7_2803_ee35_4066_a311_23e1_9eb6_u128.to_be_bytes());
    }

    #[test]
    fn its_size_is_what_it_takes_and_debug_shows_nothing_sealed() {
        let mut envelope = Envelope {
            id: EnvelopeId([3; 16]),
            to: Recipient::Peer(PeerId([2; 32])),
            from: PeerId([1; 32]),
            conversation: ConversationId([4; 16]),
            message: MessageId([4; 16]),
            session: SessionId([5; 16]),
            handshake: None,
            frame: vec![206; 100],
        };
        assert_eq!(envelope.size(), 100 + 192);
        let debug = format!("{envelope:?}");
        assert!(debug.starts_with("Envelope(") && debug.ends_with(", 100 bytes)"), "{debug}");
        assert!(!debug.contains("206"));
        envelope.handshake = Some(vec![7; 50]);
        assert_eq!(envelope.size(), 100 + 50 + 192);
        let encoded = envelope.encode().len();
        assert!(encoded <= envelope.size(), "a budget by its size holds: {encoded}");
    }
}
