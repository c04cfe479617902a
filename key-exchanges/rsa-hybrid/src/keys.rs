//! RSA keys: which are acceptable, and how they travel and are kept.

use chat_core::CryptoError;
use chat_core::record::{decode_strictly, encode};
use minicbor::{Decode, Encode};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

use crate::rng::SeededRng;

/// What a profile may ask for at least.
pub(crate) const MIN_BITS: u32 = 2048;
/// NIST SP 800-57 Part 1, table 2: as strong as 128 bits.
pub(crate) const DEFAULT_BITS: u32 = 3072;
/// Beyond, one operation takes too long.
pub(crate) const MAX_BITS: u32 = 8192;

const VERSION: u8 = 1;
const EXPONENT: u64 = 65537;
/// Longer than the longest acceptable key, so that a key that is too long is refused by that name.
const MAX_PAYLOAD_BYTES: usize = 4096;
const PAYLOAD: &str = "RSA bundle";

#[derive(Encode, Decode)]
struct Payload<'a> {
    #[n(0)]
    version: u8,
    #[cbor(b(1), with = "minicbor::bytes")]
    modulus: &'a [u8],
    #[n(2)]
    exponent: u64,
}

/// A public key of acceptable shape, with the exponent 65537.
pub(crate) struct PublicKey {
    /// Big-endian, odd, without leading zeros.
    modulus: Vec<u8>,
}

impl PublicKey {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        let payload = Payload { version: VERSION, modulus: &self.modulus, exponent: EXPONENT };
        Ok(encode(PAYLOAD, &payload)?.to_vec())
    }

    /// Looks at the bytes only; nothing is computed with them.
    ///
    /// # Errors
    /// [`CryptoError::Untrusted`] if the key has fewer than `shortest` or more than [`MAX_BITS`] bits, an
    /// even modulus, or another exponent; [`CryptoError::Malformed`] if the bytes are no key.
    pub(crate) fn decode(bytes: &[u8], shortest: u32) -> Result<Self, CryptoError> {
        let payload: Payload<'_> = decode_strictly(PAYLOAD, bytes, MAX_PAYLOAD_BYTES)?;
        if payload.version != VERSION {
            return Err(CryptoError::Malformed("RSA bundle version"));
        }
        let (Some(highest), Some(lowest)) = (payload.modulus.first(), payload.modulus.last()) else {
            return Err(CryptoError::Malformed("RSA modulus is empty"));
        };
        if *highest == 0 {
            return Err(CryptoError::Malformed("RSA modulus with a leading zero"));
        }
        let bits = payload.modulus.len() * 8 - highest.leading_zeros() as usize;
        if bits > MAX_BITS as usize {
            return Err(CryptoError::Untrusted("RSA key of more than 8192 bits"));
        }
        if bits < shortest as usize {
            return Err(CryptoError::Untrusted("RSA key of fewer bits than this profile accepts"));
        }
        if lowest & 1 == 0 {
            return Err(CryptoError::Untrusted("RSA modulus is even"));
        }
        if payload.exponent != EXPONENT {
            return Err(CryptoError::Untrusted("RSA exponent is not 65537"));
        }
        Ok(Self { modulus: payload.modulus.to_vec() })
    }

    pub(crate) fn modulus_len(&self) -> usize {
        self.modulus.len()
    }

    pub(crate) fn to_rsa(&self) -> Result<RsaPublicKey, CryptoError> {
        let modulus = BigUint::from_bytes_be(&self.modulus);
        let key = RsaPublicKey::new_with_max_size(modulus, BigUint::from(EXPONENT), MAX_BITS as usize);
        key.map_err(|_| CryptoError::Untrusted("RSA key"))
    }
}

/// A private key, erased on drop.
pub(crate) struct PrivateKey(pub(crate) RsaPrivateKey);

impl PrivateKey {
    pub(crate) fn generate(rng: &mut SeededRng, bits: u32) -> Result<Self, CryptoError> {
        let key = RsaPrivateKey::new(rng, bits as usize);
        key.map(Self).map_err(|_| CryptoError::Malformed("RSA key size"))
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey { modulus: self.0.n().to_bytes_be() }
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let document = self.0.to_pkcs8_der().map_err(|_| CryptoError::Malformed("RSA private key"))?;
        Ok(document.to_bytes())
    }

    /// The private half of `public`.
    ///
    /// # Errors
    /// [`CryptoError::UnknownKey`] if `bytes` are anything else.
    pub(crate) fn from_pkcs8(bytes: &[u8], public: &PublicKey) -> Result<Self, CryptoError> {
        let unknown = CryptoError::UnknownKey("RSA private key of this bundle");
        let key = RsaPrivateKey::from_pkcs8_der(bytes).map(Self).map_err(|_| unknown.clone())?;
        if key.public().modulus == public.modulus { Ok(key) } else { Err(unknown) }
    }
}
