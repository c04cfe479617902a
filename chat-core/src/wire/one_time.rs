//! One-time keys: each signed by its owner, kept by a relay, given out once, and named by the first message that uses
//! it. They decode strictly.

use minicbor::bytes::ByteVec;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};
use sha2::{Digest, Sha256};

use super::WireError;
use crate::error::CryptoError;
use crate::identity::{Identity, PeerKey, SignedAs};
use crate::ids::{OneTimeKeyId, Timestamp};

/// Longest one-time key as published, in bytes: room for X25519 and ML-KEM-768 together, with its signature.
pub const MAX_ONE_TIME_KEY_BYTES: usize = 2 << 10;
/// Most one-time keys in one record, and most that a relay keeps of one peer.
pub const MAX_ONE_TIME_KEYS: usize = 128;

/// A one-time key, before the signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OneTimeKey {
    /// The key exchange it is for.
    #[n(0)]
    pub key_exchange: String,
    /// [`crate::KeyExchange::shared_options`]
    #[n(1)]
    pub key_exchange_options: String,
    /// The plugin's public part.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub public: Vec<u8>,
    /// When it must no longer be used for a first message.
    #[n(3)]
    pub expires: Timestamp,
}

/// A one-time key with its signature, as published.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedOneTimeKey {
    /// The encoded [`OneTimeKey`].
    #[cbor(n(0), with = "minicbor::bytes")]
    key: Vec<u8>,
    /// `IK` over `chat/prekey/1 ‖ SHA-256(key)`.
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: Vec<u8>,
}

/// A one-time key whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedOneTimeKey {
    /// What it says.
    pub key: OneTimeKey,
    /// What a first message calls it by.
    pub id: OneTimeKeyId,
}

impl OneTimeKey {
    /// What a first message calls it by: the first 16 bytes of `SHA-256("chat/prekey-id/1" ‖ encoded key)`.
    pub fn id(&self) -> OneTimeKeyId {
        let hash = Sha256::new_with_prefix(b"chat/prekey-id/1").chain_update(super::encode(self)).finalize();
        OneTimeKeyId::from_slice(hash.get(..OneTimeKeyId::LEN).unwrap_or_default()).unwrap_or_default()
    }
}

impl SignedOneTimeKey {
    /// Signs a one-time key of one's own.
    pub fn sign(key: &OneTimeKey, identity: &Identity) -> Self {
        let key = super::encode(key);
        let signature = identity.sign(SignedAs::OneTimeKey, &Sha256::digest(&key)).to_vec();
        Self { key, signature }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// Decodes strictly and checks that `owner` signed it. Whether it has expired is the caller's to judge.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], or [`CryptoError::Forged`] if it is not `owner`'s.
    pub fn verify(bytes: &[u8], owner: PeerKey) -> Result<VerifiedOneTimeKey, CryptoError> {
        let (signed, key) = Self::parts(bytes).map_err(|_| CryptoError::Malformed("one-time key"))?;
        owner.verify(SignedAs::OneTimeKey, &Sha256::digest(&signed.key), &signed.signature)?;
        let id = key.id();
        Ok(VerifiedOneTimeKey { key, id })
    }

    /// Decodes strictly, and leaves the signature to those who use the key: what a relay looks at.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly a one-time key.
    pub fn read(bytes: &[u8]) -> Result<OneTimeKey, WireError> {
        Self::parts(bytes).map(|(_, key)| key)
    }

    fn parts(bytes: &[u8]) -> Result<(Self, OneTimeKey), WireError> {
        let signed: Self = super::decode_strictly("one-time key", bytes, MAX_ONE_TIME_KEY_BYTES)?;
        let key = super::decode_strictly("one-time key", &signed.key, MAX_ONE_TIME_KEY_BYTES)?;
        Ok((signed, key))
    }
}

/// The keys of a record: a bound on their number holds before memory is set aside for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OneTimeKeys(pub Vec<Vec<u8>>);

impl<C> Encode<C> for OneTimeKeys {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|key| e.bytes(key).map(drop))
    }
}

impl<'b, C> Decode<'b, C> for OneTimeKeys {
    fn decode(d: &mut Decoder<'b>, cx: &mut C) -> Result<Self, DecodeError> {
        let mut keys = Vec::new();
        for key in d.array_iter_with::<C, ByteVec>(cx)? {
            if keys.len() == MAX_ONE_TIME_KEYS {
                return Err(DecodeError::message("too many one-time keys in one record"));
            }
            keys.push(key?.into());
        }
        Ok(Self(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ToRelay;

    fn key() -> OneTimeKey {
        OneTimeKey {
            key_exchange: "x25519".into(),
            key_exchange_options: String::new(),
            public: vec![1, 2, 3],
            expires: Timestamp(2),
        }
    }

    #[test]
    fn every_flipped_bit_every_other_length_and_every_other_owner_is_refused() {
        let (me, other) = (Identity::from_seed(&[9; 32]), Identity::from_seed(&[8; 32]));
        let bytes = SignedOneTimeKey::sign(&key(), &me).encode();
        let verified = SignedOneTimeKey::verify(&bytes, me.public()).unwrap();
        assert_eq!((verified.key, verified.id), (key(), key().id()));
        assert_eq!(SignedOneTimeKey::read(&bytes), Ok(key()));
        assert_eq!(SignedOneTimeKey::verify(&bytes, other.public()), Err(CryptoError::Forged));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedOneTimeKey::verify(&bad, me.public()).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(SignedOneTimeKey::verify(&bytes[..len], me.public()).is_err(), "length {len}");
        }
        assert!(SignedOneTimeKey::verify(&[&bytes[..], &[0]].concat(), me.public()).is_err());
    }

    #[test]
    fn there_is_one_way_to_write_it_and_a_bound() {
        let me = Identity::from_seed(&[9; 32]);
        let bytes = SignedOneTimeKey::sign(&key(), &me).encode();
        for other in [[&[0x98, 0x02], &bytes[1..]].concat(), [&[0x83], &bytes[1..], &[0x00]].concat()] {
            assert!(SignedOneTimeKey::verify(&other, me.public()).is_err());
            assert!(SignedOneTimeKey::read(&other).is_err());
        }
        let with = |len| SignedOneTimeKey::sign(&OneTimeKey { public: vec![7; len], ..key() }, &me).encode();
        let rest = MAX_ONE_TIME_KEY_BYTES - with(1000).len() + 1000;
        assert_eq!(with(rest).len(), MAX_ONE_TIME_KEY_BYTES);
        assert!(SignedOneTimeKey::verify(&with(rest), me.public()).is_ok());
        assert!(SignedOneTimeKey::verify(&with(rest + 1), me.public()).is_err());
    }

    /// A bundle's signature is none for a one-time key of the same bytes.
    #[test]
    fn what_was_signed_as_something_else_is_forged() {
        let me = Identity::from_seed(&[9; 32]);
        let encoded = crate::wire::encode(&key());
        for purpose in [SignedAs::Bundle, SignedAs::Hop, SignedAs::Rsa] {
            let signature = me.sign(purpose, &Sha256::digest(&encoded)).to_vec();
            let bytes = SignedOneTimeKey { key: encoded.clone(), signature }.encode();
            assert_eq!(SignedOneTimeKey::verify(&bytes, me.public()), Err(CryptoError::Forged));
        }
    }

    #[test]
    fn a_record_holds_so_many_and_no_more() {
        let with = |n| ToRelay::OneTimeKeys { keys: OneTimeKeys(vec![vec![1]; n]), anew: true };
        let full = with(MAX_ONE_TIME_KEYS);
        assert_eq!(ToRelay::decode(&full.encode()), Ok(full));
        assert!(ToRelay::decode(&with(MAX_ONE_TIME_KEYS + 1).encode()).is_err());
    }
}
