//! The control: a session as one writes it in an afternoon. One key for both ways, the number of the message in the
//! clear and as the nonce, no memory of what was opened; and a cipher that encrypts and authenticates nothing.

use std::sync::Arc;

use chat_core::error::CryptoError;
use chat_core::key_exchange::{Context, NewBundle, OwnBundle, PeerBundle, StateChange, Step};
use chat_core::{AeadKey, Cipher, KeyExchange, Properties, SavedSession, Session, Timestamp};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// Longest key of a cipher.
const KEY: usize = 64;

/// Agrees on a key that both can compute: the hash of what both know. Nothing about it is secret, but the attacks here
/// are not on the handshake.
pub struct Naive;

impl KeyExchange for Naive {
    fn properties(&self) -> Properties {
        Properties::default()
    }

    fn new_bundle(&self, _: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        Ok(NewBundle { payload: vec![1], secret: Zeroizing::new(vec![1]), one_time: Vec::new() })
    }

    fn initiate(
        &self,
        _: &OwnBundle<'_>,
        _: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let first = cx.binding.to_vec();
        let session = NaiveSession::new(&first, cx);
        Ok((first, Box::new(session)))
    }

    fn accept(
        &self,
        _: &OwnBundle<'_>,
        _: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        Ok(Box::new(NaiveSession::new(first, cx)))
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        let (seq, key) = saved.main.split_first_chunk::<8>().ok_or(CryptoError::Malformed("a state"))?;
        let (key, seq) = (Zeroizing::new(key.to_vec()), u64::from_be_bytes(*seq));
        Ok(Box::new(NaiveSession { key, seq, cipher: Arc::clone(&cx.cipher) }))
    }
}

struct NaiveSession {
    key: Zeroizing<Vec<u8>>,
    /// Of the next message to seal.
    seq: u64,
    cipher: Arc<dyn Cipher>,
}

impl NaiveSession {
    fn new(first: &[u8], cx: &Context<'_>) -> Self {
        let key = Zeroizing::new(Sha512::digest(first)[..KEY.min(cx.cipher.key_len())].to_vec());
        Self { key, seq: 0, cipher: Arc::clone(&cx.cipher) }
    }
}

impl Session for NaiveSession {
    fn seal(&mut self, plaintext: &[u8], _: &mut Step<'_>) -> Result<Vec<u8>, CryptoError> {
        let mut sealed = plaintext.to_vec();
        self.cipher.key(&self.key)?.seal(self.seq, &[], &mut sealed)?;
        let frame = [&self.seq.to_be_bytes()[..], &sealed].concat();
        self.seq += 1;
        Ok(frame)
    }

    fn open(&mut self, sealed: &[u8], _: &mut Step<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (seq, sealed) = sealed.split_first_chunk::<8>().ok_or(CryptoError::Malformed("a frame"))?;
        let mut text = sealed.to_vec();
        self.cipher.key(&self.key)?.open(u64::from_be_bytes(*seq), &[], &mut text)?;
        Ok(Zeroizing::new(text))
    }

    fn needs_renewal(&self, _: Timestamp) -> bool {
        false
    }

    fn save(&mut self) -> StateChange {
        let main = Zeroizing::new([&self.seq.to_be_bytes()[..], &self.key].concat());
        StateChange { main: Some(main), ..StateChange::default() }
    }
}

/// A stream of bytes of key and number over the text, and a tag of zeros that nobody looks at.
pub struct NoTag;

struct NoTagKey(Zeroizing<Vec<u8>>);

impl Cipher for NoTag {
    fn name(&self) -> &'static str {
        "no-tag"
    }
    fn key_len(&self) -> usize {
        32
    }
    fn message_limit(&self) -> u64 {
        1 << 32
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        Ok(Box::new(NoTagKey(Zeroizing::new(key.to_vec()))))
    }
}

impl NoTagKey {
    fn apply(&self, seq: u64, text: &mut [u8]) {
        for (block, bytes) in text.chunks_mut(KEY).enumerate() {
            let stream = Sha512::new()
                .chain_update(&self.0)
                .chain_update(seq.to_be_bytes())
                .chain_update(block.to_be_bytes());
            bytes.iter_mut().zip(stream.finalize()).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

impl AeadKey for NoTagKey {
    fn seal(&self, seq: u64, _: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.apply(seq, buf);
        buf.extend([0; chat_core::cipher::TAG_LEN]);
        Ok(())
    }

    fn open(&self, seq: u64, _: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        let len = buf.len().checked_sub(chat_core::cipher::TAG_LEN).ok_or(CryptoError::Malformed("a tag"))?;
        buf.truncate(len);
        self.apply(seq, buf);
        Ok(())
    }
}
