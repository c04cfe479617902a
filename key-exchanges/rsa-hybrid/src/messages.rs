//! What travels, and what is derived from it.

use chat_core::CryptoError;
use chat_core::record::{decode_strictly, encode};
use chat_core::wire::lp;
use hkdf::Hkdf;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::SECRET_LEN;
use crate::keys::MAX_BITS;

const VERSION: u8 = 1;
const FIRST_MESSAGE: &str = "rsa-hybrid first message";
/// The longest ciphertext, the signature, and the heads of the fields.
const MAX_FIRST_BYTES: usize = MAX_BITS as usize / 8 + 64 + 16;

/// What Alice sends.
#[derive(Encode, Decode)]
pub(crate) struct FirstMessage<'a> {
    #[n(0)]
    version: u8,
    #[cbor(b(1), with = "minicbor::bytes")]
    pub(crate) ciphertext: &'a [u8],
    /// `IK_A` over the transcript hash.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) signature: [u8; 64],
}

impl<'a> FirstMessage<'a> {
    pub(crate) fn new(ciphertext: &'a [u8], signature: [u8; 64]) -> Self {
        Self { version: VERSION, ciphertext, signature }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(encode(FIRST_MESSAGE, self)?.to_vec())
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, CryptoError> {
        let first: Self = decode_strictly(FIRST_MESSAGE, bytes, MAX_FIRST_BYTES)?;
        if first.version == VERSION { Ok(first) } else { Err(CryptoError::Malformed("rsa-hybrid version")) }
    }
}

/// `TH`
pub(crate) fn transcript(context: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    let hash = Sha256::new_with_prefix(b"chat/rsa/1 transcript");
    hash.chain_update(context).chain_update(lp(ciphertext)).finalize().into()
}

/// `SK`
pub(crate) fn session_key(
    transcript: &[u8; 32],
    secret: &[u8; SECRET_LEN],
) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut key = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(Some(transcript), secret).expand(b"chat/rsa/1 key", key.as_mut());
    derived.map_err(|_| CryptoError::Malformed("session key length"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ciphertext under the longest key fits, with some bytes to spare for the heads; nothing longer is looked at.
    #[test]
    fn a_first_message_is_as_long_as_the_longest_key_makes_it() {
        let decode = |ciphertext: usize| {
            let encoded = FirstMessage::new(&vec![7; ciphertext], [8; 64]).encode().unwrap();
            let decoded = FirstMessage::decode(&encoded);
            (encoded.len(), decoded.map(|first| (first.ciphertext.len(), first.signature)))
        };
        assert_eq!(decode(1024), (1095, Ok((1024, [8; 64]))));
        assert!(decode(1033).1.is_ok());
        assert_eq!(decode(1034), (1105, Err(CryptoError::Malformed(FIRST_MESSAGE))));
    }
}
