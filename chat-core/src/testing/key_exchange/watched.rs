//! A cipher that notes what it is used for, and fails on demand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cipher::{AeadKey, Cipher};
use crate::error::CryptoError;

/// One use of a key to seal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seal {
    pub(super) key: Vec<u8>,
    pub(super) seq: u64,
    pub(super) text: Vec<u8>,
}

/// Uses to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opens {
    pub(super) asked: u64,
    pub(super) opened: u64,
}

#[derive(Default)]
struct Notes {
    seals: Mutex<Vec<Seal>>,
    fails: AtomicBool,
    asked: AtomicU64,
    opened: AtomicU64,
}

/// A cipher as the one inside, watched.
pub(super) struct Watched {
    inner: Arc<dyn Cipher>,
    notes: Arc<Notes>,
}

impl Watched {
    pub(super) fn new(inner: &Arc<dyn Cipher>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), notes: Arc::default() })
    }

    /// All seals until now.
    pub(super) fn seals(&self) -> Vec<Seal> {
        self.notes.seals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was asked to open something until now, and how often it did.
    pub(super) fn opens(&self) -> Opens {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Opens { asked: count(&self.notes.asked), opened: count(&self.notes.opened) }
    }

    /// From now on every seal is `Exhausted` and every open `Forged`; or no longer.
    pub(super) fn fail(&self, fails: bool) {
        self.notes.fails.store(fails, Ordering::Relaxed);
    }
}

impl Cipher for Watched {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn key_len(&self) -> usize {
        self.inner.key_len()
    }
    fn message_limit(&self) -> u64 {
        self.inner.message_limit()
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        let inner = self.inner.key(key)?;
        Ok(Box::new(WatchedKey { inner, key: key.to_vec(), notes: Arc::clone(&self.notes) }))
    }
}

struct WatchedKey {
    inner: Box<dyn AeadKey>,
    key: Vec<u8>,
    notes: Arc<Notes>,
}

impl AeadKey for WatchedKey {
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if self.notes.fails.load(Ordering::Relaxed) {
            return Err(CryptoError::Exhausted("the cipher, by order"));
        }
        let seal = Seal { key: self.key.clone(), seq, text: buf.clone() };
        self.notes.seals.lock().unwrap_or_else(PoisonError::into_inner).push(seal);
        self.inner.seal(seq, aad, buf)
    }

    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError> {
        if self.notes.fails.load(Ordering::Relaxed) {
            buf.clear();
            return Err(CryptoError::Forged);
        }
        self.notes.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.open(seq, aad, buf)?;
        self.notes.opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The same cipher under another name.
pub(super) struct Renamed(pub(super) Arc<dyn Cipher>);

impl Cipher for Renamed {
    fn name(&self) -> &'static str {
        "another-name"
    }
    fn key_len(&self) -> usize {
        self.0.key_len()
    }
    fn message_limit(&self) -> u64 {
        self.0.message_limit()
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        self.0.key(key)
    }
}
