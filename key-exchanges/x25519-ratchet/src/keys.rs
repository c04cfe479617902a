//! The keys of the ratchet and how one follows from another. All erase themselves.

use chat_core::CryptoError;
use chat_core::cipher::{AeadKey, Cipher};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use minicbor::{Decode, Encode};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub(crate) const SALT_LEN: usize = 16;
const MESSAGE_LABEL: &[u8] = b"chat/ratchet/1 message ";
const ROOT_LABEL: &[u8] = b"chat/ratchet/1 root";

/// Counts of messages in a header are below this, so that adding to one never overflows.
pub(crate) const COUNT_END: u32 = 1 << 31;

/// The root of all chains to come.
#[derive(Clone, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(transparent)]
pub(crate) struct RootKey(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

impl RootKey {
    /// `SK`
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(*secret)
    }

    /// `KDF_RK`: the next root and a chain.
    pub(crate) fn turn(&self, shared: &[u8; 32]) -> Result<(Self, Chain), CryptoError> {
        let mut output = Zeroizing::new([0; 64]);
        let derived = Hkdf::<Sha256>::new(Some(&self.0), shared).expand(ROOT_LABEL, output.as_mut());
        derived.map_err(|_| CryptoError::Malformed("root key length"))?;
        let (mut root, mut chain) = (Self([0; 32]), Chain { key: [0; 32], count: 0 });
        let (root_bytes, chain_bytes) = output.split_at(32);
        root.0.copy_from_slice(root_bytes);
        chain.key.copy_from_slice(chain_bytes);
        Ok((root, chain))
    }
}

/// A chain key, and how many messages of the chain are behind it.
#[derive(Clone, Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Chain {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: [u8; 32],
    #[n(1)]
    pub(crate) count: u32,
}

impl Chain {
    fn keyed(&self) -> Result<Hmac<Sha256>, CryptoError> {
        Hmac::new_from_slice(&self.key).map_err(|_| CryptoError::Malformed("chain key length"))
    }

    /// The key of message number [`Self::count`], and the chain after it. The hash of the chain key is made once for both.
    pub(crate) fn step(&self) -> Result<(Box<MessageKey>, Self), CryptoError> {
        let keyed = self.keyed()?;
        let (mut key, mut next) = (MessageKey::empty(), Self { key: [0; 32], count: self.count + 1 });
        for (seed, slot) in [(1, &mut key.0), (2, &mut next.key)] {
            let mut output = keyed.clone().chain_update([seed]).finalize().into_bytes();
            slot.copy_from_slice(&output);
            output.as_mut_slice().zeroize();
        }
        Ok((key, next))
    }

    /// Moves on by one message.
    pub(crate) fn advance(&mut self) -> Result<(), CryptoError> {
        let mut output = self.keyed()?.chain_update([2]).finalize().into_bytes();
        self.key.copy_from_slice(&output);
        output.as_mut_slice().zeroize();
        self.count += 1;
        Ok(())
    }

    /// Moves on until so many messages are behind.
    pub(crate) fn advance_to(&mut self, count: u32) -> Result<(), CryptoError> {
        while self.count < count {
            self.advance()?;
        }
        Ok(())
    }
}

/// The key of one message, before it is salted. Boxed wherever it is kept: what is moved leaves a copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MessageKey([u8; 32]);

impl MessageKey {
    fn empty() -> Box<Self> {
        Box::new(Self([0; 32]))
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Box<Self> {
        let mut key = Self::empty();
        key.0.copy_from_slice(bytes);
        key
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the cipher is given for one frame.
    pub(crate) fn salted(
        &self,
        salt: &[u8; SALT_LEN],
        cipher: &dyn Cipher,
    ) -> Result<Box<dyn AeadKey>, CryptoError> {
        let mut key = Zeroizing::new(vec![0; cipher.key_len()]);
        let derived = Hkdf::<Sha256>::new(Some(salt), &self.0)
            .expand_multi_info(&[MESSAGE_LABEL, cipher.name().as_bytes()], &mut key);
        derived.map_err(|_| CryptoError::Malformed("cipher key length"))?;
        cipher.key(&key)
    }
}

#[cfg(test)]
impl Chain {
    /// The chain as it is, under another number.
    pub(crate) fn at(&self, count: u32) -> Self {
        Self { count, ..self.clone() }
    }
}
