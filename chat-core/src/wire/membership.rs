//! Who is in a closed room, as its members say it: signed operations, each of which names those it was made upon.
//!
//! A room begins with [`Change::Create`], whose hash is the room's id: nobody else can be its creator. Every other
//! operation names its *parents*, the newest operations its author knew, by their hash; so an operation carries, by its
//! hash, everything that came before it, and nobody can date one back past what it names. What follows from a set of
//! operations is not said here but by the client (`docs/closed-rooms.md`).

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use super::{WireError, decode_strictly, encode};
use crate::error::CryptoError;
use crate::identity::{Identity, PeerKey, SignedAs};
use crate::ids::{ConversationId, MessageId, PeerId};
use crate::nick::RoomName;

/// Most members of a closed room, oneself too.
pub const MAX_ROOM_MEMBERS: usize = 256;
/// Most operations of a room.
pub const MAX_OPERATIONS: usize = 1024;
/// Most operations that one names as its parents.
pub const MAX_PARENTS: usize = 16;
/// Longest signed operation, in bytes.
pub const MAX_OPERATION_BYTES: usize = 1024;

/// The hash of an operation, which covers everything before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub [u8; 32]);

impl std::fmt::Debug for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head: String = self.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        write!(f, "OperationId({head}…)")
    }
}

impl<C> Encode<C> for OperationId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for OperationId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?.try_into();
        bytes.map(Self).map_err(|_| minicbor::decode::Error::message("not an operation id"))
    }
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// The room begins, with its author as its only member.
    #[n(0)]
    Create {
        /// What it is called.
        #[n(0)]
        name: RoomName,
        /// 16 random bytes, so that no two rooms have one id.
        #[cbor(n(1), with = "minicbor::bytes")]
        nonce: [u8; 16],
    },
    /// A peer becomes a member.
    #[n(1)]
    Admit {
        /// Who.
        #[n(0)]
        peer: PeerId,
    },
    /// A peer is a member no longer; if it is the author, it leaves.
    #[n(2)]
    Remove {
        /// Who.
        #[n(0)]
        peer: PeerId,
    },
}

/// A membership operation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Operation {
    /// The room; zeros in [`Change::Create`], whose hash it is.
    #[n(0)]
    pub room: ConversationId,
    /// The author's identity key, 32 bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub author: [u8; 32],
    /// The newest operations its author knew, ascending; at most [`MAX_PARENTS`], none in [`Change::Create`] alone.
    #[n(2)]
    pub parents: Vec<OperationId>,
    /// What it does.
    #[n(3)]
    pub change: Change,
}

/// An operation with its signature, as it is sent and kept.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedOperation {
    /// The encoded [`Operation`].
    #[cbor(n(0), with = "minicbor::bytes")]
    operation: Vec<u8>,
    /// The author's identity key over `chat/membership/1 ‖ SHA-256(operation)`.
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: Vec<u8>,
}

impl std::fmt::Debug for SignedOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedOperation({:?})", self.id())
    }
}

/// An operation whose signature and form were checked; not whether its author may do that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedOperation {
    /// Its hash.
    pub id: OperationId,
    /// The room it belongs to; of a [`Change::Create`], the one it begins.
    pub room: ConversationId,
    /// Who made it.
    pub author: PeerId,
    /// The newest operations its author knew.
    pub parents: Vec<OperationId>,
    /// What it does.
    pub change: Change,
    /// As it was signed.
    pub signed: SignedOperation,
}

fn malformed(reason: &str) -> WireError {
    WireError::Malformed { what: "membership operation", reason: reason.to_owned() }
}

impl SignedOperation {
    /// Signs an operation of one's own.
    pub fn sign(operation: &Operation, identity: &Identity) -> Self {
        let operation = encode(operation);
        let signature = identity.sign(SignedAs::Membership, &Sha256::digest(&operation)).to_vec();
        Self { operation, signature }
    }

    /// The hash of what was signed: `SHA-256(operation)`.
    pub fn id(&self) -> OperationId {
        OperationId(Sha256::digest(&self.operation).into())
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// From bytes, unchecked but for their form.
    ///
    /// # Errors
    /// [`WireError`] if they are no signed operation.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode_strictly("membership operation", bytes, MAX_OPERATION_BYTES)
    }

    /// Checks form and signature.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for another form than [`SignedOperation::sign`] writes, else as
    /// [`PeerKey::verify`].
    pub fn verify(&self) -> Result<VerifiedOperation, CryptoError> {
        let (key, operation) = self.opened()?;
        key.verify(SignedAs::Membership, &self.id().0, &self.signature)?;
        Ok(self.told(&key, operation))
    }

    /// Checks the form alone: for what was verified before it was kept where nobody else writes.
    ///
    /// # Errors
    /// As [`SignedOperation::verify`], but for the signature.
    pub fn verified_before(&self) -> Result<VerifiedOperation, CryptoError> {
        let (key, operation) = self.opened()?;
        Ok(self.told(&key, operation))
    }

    /// What it says, and who it says has said it; nobody may have.
    ///
    /// # Errors
    /// As [`SignedOperation::verified_before`].
    pub fn claims(&self) -> Result<(PeerId, Change), CryptoError> {
        self.opened().map(|(key, operation)| (key.peer_id(), operation.change))
    }

    fn opened(&self) -> Result<(PeerKey, Operation), CryptoError> {
        let operation = self.checked().map_err(|_| CryptoError::Malformed("membership operation"))?;
        Ok((PeerKey::from_bytes(&operation.author)?, operation))
    }

    fn told(&self, key: &PeerKey, operation: Operation) -> VerifiedOperation {
        let room = match operation.change {
            Change::Create { .. } => room_of(&self.operation),
            _ => operation.room,
        };
        let Operation { parents, change, .. } = operation;
        let (id, author) = (self.id(), key.peer_id());
        VerifiedOperation { id, room, author, parents, change, signed: self.clone() }
    }

    fn checked(&self) -> Result<Operation, WireError> {
        let operation: Operation =
            decode_strictly("membership operation", &self.operation, MAX_OPERATION_BYTES)?;
        let parents = &operation.parents;
        let begins = matches!(operation.change, Change::Create { .. });
        if begins != parents.is_empty() || begins != (operation.room == ConversationId::default()) {
            return Err(malformed("where it stands"));
        }
        if parents.len() > MAX_PARENTS || !parents.is_sorted_by(|a, b| a < b) {
            return Err(malformed("parents"));
        }
        Ok(operation)
    }
}

fn hash16(parts: &[&[u8]]) -> [u8; 16] {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    let mut short = [0; 16];
    short.copy_from_slice(hash.get(..16).unwrap_or(&[0; 16]));
    short
}

/// The id of the room that begins with this encoded operation.
fn room_of(create: &[u8]) -> ConversationId {
    ConversationId(hash16(&[b"chat/closed-room/1", create]))
}

/// The hash of a roster, as each message to a closed room carries it. `members` in any order, without repeats.
pub fn roster_hash(room: ConversationId, members: impl IntoIterator<Item = PeerId>) -> [u8; 16] {
    let mut members: Vec<PeerId> = members.into_iter().collect();
    members.sort_unstable();
    let ids: Vec<u8> = members.iter().flat_map(|member| member.0).collect();
    hash16(&[b"chat/roster/1", room.as_ref(), &ids])
}

/// The hash of all operations somebody knows: of the newest ones, which cover the others. `heads` in any order.
pub fn log_hash(room: ConversationId, heads: impl IntoIterator<Item = OperationId>) -> [u8; 16] {
    let mut heads: Vec<OperationId> = heads.into_iter().collect();
    heads.sort_unstable();
    let ids: Vec<u8> = heads.iter().flat_map(|head| head.0).collect();
    hash16(&[b"chat/room-log/1", room.as_ref(), &ids])
}

/// What the copy of a room's message for one member is called outside of its frame: as if it were a direct message of
/// its own. Whoever doesn't know the room can't tell that two copies belong together.
pub fn copy_id(room: ConversationId, message: MessageId, recipient: PeerId) -> MessageId {
    MessageId(hash16(&[b"chat/room-copy/1", room.as_ref(), message.as_ref(), recipient.as_ref()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(seed: u8) -> (Identity, Operation) {
        let me = Identity::from_seed(&[seed; 32]);
        let change = Change::Create { name: RoomName::new("#den").unwrap(), nonce: [7; 16] };
        let author = *me.public().as_bytes();
        (me, Operation { room: ConversationId::default(), author, parents: vec![], change })
    }

    #[test]
    fn a_room_is_its_first_operation() {
        let (me, operation) = create(1);
        let signed = SignedOperation::sign(&operation, &me);
        let verified = SignedOperation::decode(&signed.encode()).unwrap().verify().unwrap();
        assert_eq!((verified.author, verified.id), (me.peer_id(), signed.id()));
        let (other, operation) = create(2);
        let of_another = SignedOperation::sign(&operation, &other).verify().unwrap();
        assert_ne!(verified.room, of_another.room);
        let admit = Operation {
            room: verified.room,
            parents: vec![verified.id],
            change: Change::Admit { peer: other.peer_id() },
            ..operation
        };
        assert_eq!(SignedOperation::sign(&admit, &other).verify().unwrap().room, verified.room);
    }

    #[test]
    fn another_form_or_another_signer_is_refused() {
        let (me, first) = create(1);
        let id = SignedOperation::sign(&first, &me).id();
        let admit = |parents: Vec<OperationId>, room: u8| Operation {
            room: ConversationId([room; 16]),
            parents,
            change: Change::Admit { peer: PeerId([3; 32]) },
            ..first.clone()
        };
        let other = OperationId([0; 32]);
        assert!(SignedOperation::sign(&admit(vec![other, id], 1), &me).verify().is_ok());
        let many = (0..=16).map(|n| OperationId([n; 32])).collect();
        for bad in [
            admit(vec![], 1),
            admit(vec![id], 0),
            admit(vec![id, other], 1),
            admit(vec![id, id], 1),
            admit(many, 1),
            Operation { parents: vec![id], ..first.clone() },
            Operation { room: ConversationId([1; 16]), ..first.clone() },
            Operation { author: [0; 32], ..first.clone() },
        ] {
            assert!(SignedOperation::sign(&bad, &me).verify().is_err(), "{bad:?}");
        }
        let liar = Identity::from_seed(&[2; 32]);
        assert_eq!(SignedOperation::sign(&first, &liar).verify(), Err(CryptoError::Forged));
        let good = SignedOperation::sign(&first, &me).encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let refused = SignedOperation::decode(&bad).map(|signed| signed.verify());
            assert!(!matches!(refused, Ok(Ok(_))), "byte {at}");
        }
    }

    #[test]
    fn hashes_tell_rooms_and_recipients_apart() {
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        let (room, other) = (ConversationId([1; 16]), ConversationId([2; 16]));
        assert_eq!(roster_hash(room, [a, b]), roster_hash(room, [b, a]));
        assert_ne!(roster_hash(room, [a, b]), roster_hash(other, [a, b]));
        assert_ne!(roster_hash(room, [a, b]), roster_hash(room, [a]));
        let message = MessageId([5; 16]);
        assert_ne!(copy_id(room, message, a), copy_id(room, message, b));
        assert_ne!(copy_id(room, message, a), copy_id(other, message, a));
        assert_ne!(log_hash(room, [OperationId([1; 32])]), log_hash(room, [OperationId([2; 32])]));
    }
}
