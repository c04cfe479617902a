//! Signed public keys of a peer, and the handshake that begins a session. Both decode strictly.

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use super::{WireError, lp};
use crate::error::CryptoError;
use crate::identity::{Identity, PeerKey, SignedAs};
use crate::ids::{OneTimeKeyId, PeerId, SessionId, Timestamp};
use crate::nick::Nick;

/// Longest bundle, in bytes: room for an RSA key of 8192 bits or an ML-KEM key, and not for much more, because
/// thousands of them are remembered.
pub const MAX_BUNDLE_BYTES: usize = 16 << 10;
/// Longest handshake, in bytes.
pub const MAX_HANDSHAKE_BYTES: usize = 2 * MAX_BUNDLE_BYTES;

/// What both ends must have in common, in the one order it is written and compared.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StackProfile {
    /// [`super::WIRE_VERSION`]
    #[n(0)]
    pub wire_version: u32,
    /// The plugin's name.
    #[n(1)]
    pub key_exchange: String,
    /// [`crate::KeyExchange::shared_options`]
    #[n(2)]
    pub key_exchange_options: String,
    /// The cipher's name.
    #[n(3)]
    pub cipher: String,
}

/// A field of [`StackProfile`] in which two peers differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is `{ours}` here and `{theirs}` there")]
pub struct ProfileMismatch {
    /// The field, as it is called in a profile.
    pub field: &'static str,
    /// Our value.
    pub ours: String,
    /// The peer's value, made inert.
    pub theirs: String,
}

impl StackProfile {
    /// Compares with a peer's.
    ///
    /// # Errors
    /// [`ProfileMismatch`] names the first field that differs.
    pub fn agree(&self, theirs: &Self) -> Result<(), ProfileMismatch> {
        let fields = [
            ("wire version", self.wire_version.to_string(), theirs.wire_version.to_string()),
            ("key_exchange.kind", self.key_exchange.clone(), theirs.key_exchange.clone()),
            ("key_exchange options", self.key_exchange_options.clone(), theirs.key_exchange_options.clone()),
            ("cipher.kind", self.cipher.clone(), theirs.cipher.clone()),
        ];
        match fields.into_iter().find(|(_, ours, theirs)| ours != theirs) {
            Some((field, ours, theirs)) => {
                let theirs = crate::nick::inert(&theirs).chars().take(64).collect();
                Err(ProfileMismatch { field, ours, theirs })
            }
            None => Ok(()),
        }
    }
}

/// A peer's public keys for a key exchange, before the signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Bundle {
    /// The identity key that signs it, 32 bytes.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub identity: Vec<u8>,
    /// What its owner speaks.
    #[n(1)]
    pub profile: StackProfile,
    /// The name its owner claims.
    #[n(2)]
    pub nick: Nick,
    /// The plugin's public part.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub payload: Vec<u8>,
    /// When it was made; the newest of an identity counts.
    #[n(4)]
    pub created: Timestamp,
    /// When it must no longer be used for a first message.
    #[n(5)]
    pub expires: Timestamp,
}

/// A bundle with its signature, as published.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedBundle {
    /// The encoded [`Bundle`].
    #[cbor(n(0), with = "minicbor::bytes")]
    bundle: Vec<u8>,
    /// `IK` over `chat/bundle/1 ‖ SHA-256(bundle)`.
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: Vec<u8>,
}

/// A bundle whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle {
    /// What it says.
    pub bundle: Bundle,
    /// Who signed it.
    pub key: PeerKey,
    /// The peer id of `key`.
    pub peer_id: PeerId,
    /// `SHA-256` of the encoded bundle.
    pub hash: [u8; 32],
}

impl SignedBundle {
    /// Signs a bundle of one's own.
    pub fn sign(bundle: &Bundle, identity: &Identity) -> Self {
        let bundle = super::encode(bundle);
        let signature = identity.sign(SignedAs::Bundle, &Sha256::digest(&bundle)).to_vec();
        Self { bundle, signature }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// Decodes strictly and checks the signature. Whether it has expired is the caller's to judge.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], [`CryptoError::Untrusted`] or [`CryptoError::Forged`].
    pub fn verify(bytes: &[u8]) -> Result<VerifiedBundle, CryptoError> {
        let malformed = |_: WireError| CryptoError::Malformed("bundle");
        let signed: Self = super::decode_strictly("bundle", bytes, MAX_BUNDLE_BYTES).map_err(malformed)?;
        let bundle: Bundle =
            super::decode_strictly("bundle", &signed.bundle, MAX_BUNDLE_BYTES).map_err(malformed)?;
        let key = PeerKey::from_bytes(&bundle.identity)?;
        let hash: [u8; 32] = Sha256::digest(&signed.bundle).into();
        key.verify(SignedAs::Bundle, &hash, &signed.signature)?;
        Ok(VerifiedBundle { bundle, key, peer_id: key.peer_id(), hash })
    }
}

/// What stands in front of the first frames of a session: `bundle_A ‖ SHA-256(bundle_B) ‖ first message ‖ OPK_B`.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Handshake {
    /// The initiator's signed bundle.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub bundle: Vec<u8>,
    /// Which bundle of the responder it answers.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub peer_bundle_hash: Vec<u8>,
    /// The plugin's first message.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub first: Vec<u8>,
    /// Which one-time key of the responder it uses up, if any. The plugin binds the key itself into its transcript, so
    /// a first message that names another one, or leaves it out, is refused.
    #[n(3)]
    pub one_time: Option<OneTimeKeyId>,
}

impl Handshake {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// What a first message is remembered by, however it is wrapped: the first 16 bytes of
    /// `SHA-256("chat/accepted/1" ‖ context ‖ first message)`, where `context` is that of [`binding`].
    pub fn transcript(&self, context: &[u8; 32]) -> SessionId {
        let hash =
            Sha256::new_with_prefix(b"chat/accepted/1").chain_update(context).chain_update(&self.first);
        SessionId::from_slice(hash.finalize().get(..16).unwrap_or_default()).unwrap_or_default()
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly a handshake.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        super::decode_strictly("handshake", bytes, MAX_HANDSHAKE_BYTES)
    }

    /// The session that the encoded handshake begins: the first 16 bytes of `SHA-256("chat/session/1" ‖ handshake)`.
    pub fn session_id(encoded: &[u8]) -> SessionId {
        let hash = Sha256::new_with_prefix(b"chat/session/1").chain_update(encoded).finalize();
        SessionId::from_slice(hash.get(..16).unwrap_or_default()).unwrap_or_default()
    }
}

/// Binds a session to profile, identities and bundles:
/// `SHA-256("chat/context/1" ‖ lp(profile) ‖ lp(IK_A) ‖ lp(IK_B) ‖ lp(SHA-256(bundle_A)) ‖ lp(SHA-256(bundle_B)))`.
pub fn binding(initiator: &VerifiedBundle, responder: &VerifiedBundle) -> [u8; 32] {
    Sha256::new_with_prefix(b"chat/context/1")
        .chain_update(lp(&super::encode(&initiator.bundle.profile)))
        .chain_update(lp(initiator.key.as_bytes()))
        .chain_update(lp(responder.key.as_bytes()))
        .chain_update(lp(&initiator.hash))
        .chain_update(lp(&responder.hash))
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (Identity, Vec<u8>) {
        let me = Identity::from_seed(&[9; 32]);
        let bundle = Bundle {
            identity: me.public().as_bytes().to_vec(),
            profile: StackProfile {
                wire_version: 1,
                key_exchange: "x25519".into(),
                key_exchange_options: String::new(),
                cipher: "aes-256-gcm".into(),
            },
            nick: Nick::new("alice").unwrap(),
            payload: vec![1, 2, 3],
            created: Timestamp(1),
            expires: Timestamp(2),
        };
        let bytes = SignedBundle::sign(&bundle, &me).encode();
        (me, bytes)
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_refused() {
        let (me, bytes) = signed();
        assert_eq!(SignedBundle::verify(&bytes).unwrap().peer_id, me.peer_id());
        for i in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(SignedBundle::verify(&bad).is_err(), "bit {i}");
        }
        for len in 0..bytes.len() {
            assert!(SignedBundle::verify(&bytes[..len]).is_err(), "length {len}");
        }
        assert!(SignedBundle::verify(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_non_canonical_encoding_is_refused() {
        let (_, bytes) = signed();
        // The outer array of 2 written with a longer head.
        let longer = [&[0x98, 0x02], &bytes[1..]].concat();
        assert!(SignedBundle::verify(&longer).is_err());
        // The outer array with an unknown third field: skipped elsewhere, refused here.
        let extended = [&[0x83], &bytes[1..], &[0x00]].concat();
        assert!(SignedBundle::verify(&extended).is_err());
    }

    #[test]
    fn a_mismatch_names_the_field() {
        let (_, bytes) = signed();
        let ours = SignedBundle::verify(&bytes).unwrap().bundle.profile;
        let theirs = StackProfile { cipher: "xchacha20-poly1305\x1b[2J".into(), ..ours.clone() };
        let error = ours.agree(&theirs).unwrap_err();
        assert_eq!(error.to_string(), "cipher.kind is `aes-256-gcm` here and `xchacha20-poly1305[2J` there");
    }

    #[test]
    fn each_field_of_a_profile_must_agree() {
        let (_, bytes) = signed();
        let ours = SignedBundle::verify(&bytes).unwrap().bundle.profile;
        assert_eq!(ours.agree(&ours), Ok(()));
        let others = [
            ("wire version", StackProfile { wire_version: 2, ..ours.clone() }),
            ("key_exchange.kind", StackProfile { key_exchange: "y".into(), ..ours.clone() }),
            ("key_exchange options", StackProfile { key_exchange_options: "a=1".into(), ..ours.clone() }),
            ("cipher.kind", StackProfile { cipher: "y".into(), ..ours.clone() }),
        ];
        for (field, theirs) in others {
            assert_eq!(ours.agree(&theirs).unwrap_err().field, field);
        }
    }

    /// A record of exactly the limit is read, one byte more is not looked at.
    #[test]
    fn a_handshake_may_be_as_long_as_the_limit() {
        let with = |first| {
            let (bundle, peer_bundle_hash) = (vec![1; MAX_BUNDLE_BYTES], vec![2; 32]);
            Handshake { bundle, peer_bundle_hash, first, one_time: None }
        };
        let rest = MAX_HANDSHAKE_BYTES - with(vec![3; 1000]).encode().len() + 1000;
        let longest = with(vec![3; rest]);
        assert_eq!(longest.encode().len(), MAX_HANDSHAKE_BYTES);
        assert!(Handshake::decode(&longest.encode()).is_ok_and(|read| read == longest));
        let refused = Handshake::decode(&with(vec![3; rest + 1]).encode()).err();
        let (len, max) = (MAX_HANDSHAKE_BYTES + 1, MAX_HANDSHAKE_BYTES);
        assert_eq!(refused, Some(WireError::TooLarge { what: "handshake", len, max }));
    }

    #[test]
    fn a_handshake_names_a_one_time_key_in_one_way_or_none() {
        let with =
            |one_time| Handshake { bundle: vec![1], peer_bundle_hash: vec![2; 32], first: vec![3], one_time };
        let (without, named) = (with(None), with(Some(OneTimeKeyId([4; 16]))));
        for handshake in [&without, &named] {
            assert!(Handshake::decode(&handshake.encode()).is_ok_and(|read| read == *handshake));
        }
        assert_eq!((without.encode()[0], named.encode()[0]), (0x83, 0x84));
        // With a null where nothing is to stand, and with an id that is too short.
        assert!(Handshake::decode(&[&[0x84], &without.encode()[1..], &[0xf6]].concat()).is_err());
        assert!(Handshake::decode(&[&[0x84], &without.encode()[1..], &[0x4f], &[4; 15]].concat()).is_err());
        // What it is remembered by is the same for both, but not for another message or context.
        assert_eq!(without.transcript(&[5; 32]), named.transcript(&[5; 32]));
        assert_ne!(without.transcript(&[5; 32]), without.transcript(&[6; 32]));
        let other = Handshake { first: vec![4], ..without.clone() };
        assert_ne!(without.transcript(&[5; 32]), other.transcript(&[5; 32]));
    }

    #[test]
    fn a_session_id_is_a_known_answer() {
        let expected = 0xcd7c_a3d5_e896_7dfe_69d8_30c5_ffa5_397c_u128.to_be_bytes();
        assert_eq!(Handshake::session_id(b"handshake").0, expected);
    }

    /// Written out by hand from the definition.
    #[test]
    fn a_binding_holds_the_profile_both_keys_and_both_bundles_in_their_roles() {
        let (_, bytes) = signed();
        let alice = SignedBundle::verify(&bytes).unwrap();
        let key = Identity::from_seed(&[8; 32]).public();
        let bob = VerifiedBundle { key, peer_id: key.peer_id(), hash: [5; 32], ..alice.clone() };
        let expected = [
            &b"chat/context/1"[..],
            b"\0\0\0\x16\x84\x01\x66x25519\x60\x6baes-256-gcm",
            &[0, 0, 0, 32],
            alice.key.as_bytes(),
            &[0, 0, 0, 32],
            bob.key.as_bytes(),
            &[0, 0, 0, 32],
            &alice.hash,
            &[0, 0, 0, 32],
            &[5; 32],
        ];
        let expected: [u8; 32] = Sha256::digest(expected.concat()).into();
        assert_eq!(binding(&alice, &bob), expected);
        assert_ne!(binding(&bob, &alice), expected);
    }
}
