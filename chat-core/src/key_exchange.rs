//! Agreeing on a session with a peer who may be offline, and the session itself. Sans-IO: time and
//! randomness are handed in, state is handed out to be stored by the engine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::cipher::Cipher;
use crate::entropy::Entropy;
use crate::error::CryptoError;
use crate::identity::{Identity, PeerKey};
use crate::ids::Timestamp;

/// What a key exchange, and a stack built on it, gives. Only what is proved here may be required by a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
pub struct Properties {
    /// State stolen later opens no message of now.
    pub forward_secrecy: bool,
    /// After a theft that is only read, the conversation becomes secret again by itself.
    pub healing: bool,
    /// Recorded ciphertext stays closed to a quantum computer of later.
    pub post_quantum: bool,
    /// A transcript proves to nobody else who wrote it.
    pub deniable: bool,
}

/// What the core hands to a key exchange beside the keys.
pub struct Context<'a> {
    /// The wall clock.
    pub now: Timestamp,
    /// Fresh randomness.
    pub entropy: &'a mut dyn Entropy,
    /// The cipher of the profile.
    pub cipher: Arc<dyn Cipher>,
    /// The hash that binds profile, identities and bundles of this handshake (`chat/context/1`); zeros in `new_bundle` and `restore`.
    pub binding: [u8; 32],
}

/// What a session gets at each step.
pub struct Step<'a> {
    /// The wall clock.
    pub now: Timestamp,
    /// Fresh randomness.
    pub entropy: &'a mut dyn Entropy,
}

/// Longest public part of a one-time key, in bytes: they are published by the hundred.
pub const MAX_ONE_TIME_PUBLIC_BYTES: usize = 1536;

/// A one-time key: public and private part, the latter as the plugin wants it back in [`OwnBundle::one_time`].
pub type OneTimePair = (Vec<u8>, Zeroizing<Vec<u8>>);

/// A bundle just made by a plugin. The core wraps the payload with identity, profile and expiry, and signs it.
pub struct NewBundle {
    /// Public part, at most 12 KiB.
    pub payload: Vec<u8>,
    /// Private part, as the plugin wants it back in [`OwnBundle::secret`].
    pub secret: Zeroizing<Vec<u8>>,
    /// The first one-time keys, if they are made with the bundle; more come from [`KeyExchange::one_time_keys`].
    pub one_time: Vec<OneTimePair>,
}

/// One's own bundle: identity, public payload, private part.
pub struct OwnBundle<'a> {
    /// Signs what the exchange needs signed.
    pub identity: &'a Identity,
    /// The payload of [`NewBundle`].
    pub payload: &'a [u8],
    /// The secret of [`NewBundle`].
    pub secret: &'a [u8],
    /// The private half of the one-time key that the first message names. It is erased when the message has opened, so a
    /// message that does not use it must be refused.
    pub one_time: Option<&'a [u8]>,
}

/// A peer's bundle, whose signature, expiry and profile the core has checked.
pub struct PeerBundle<'a> {
    /// The peer's identity key.
    pub identity: PeerKey,
    /// The payload that the peer's plugin made.
    pub payload: &'a [u8],
    /// A signed one-time key of the peer, if one could be had.
    pub one_time: Option<&'a [u8]>,
}

/// Agrees on a session with a peer who may be offline: a bundle, one first message, two sessions.
///
/// An exchange keeps nothing between calls, and takes all randomness from its context. A bundle does not depend on
/// the cipher. What an implementation has to hold is written down as tests: `chat_core::key_exchange_suite!`, with
/// the feature `testing`.
///
/// Every method is pure computation that may take long (RSA). The engine survives its panic, here and in a
/// [`Session`]. [`KeyExchange::new_bundle`] and [`KeyExchange::one_time_keys`] run beside the engine, under a deadline; all else runs on the engine's
/// own thread, which waits for it: the program ends if a call does not return within half a minute.
pub trait KeyExchange: Send + Sync {
    /// What this exchange gives, honestly.
    fn properties(&self) -> Properties;

    /// What a user of it must know beyond the properties, one sentence each; shown by `chat explain`.
    fn caveats(&self) -> &'static [&'static str] {
        &[]
    }

    /// Options both ends must agree on, as `key=value` words in a fixed order; part of the canonical profile.
    fn shared_options(&self) -> String {
        String::new()
    }

    /// A fresh bundle.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] without randomness.
    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError>;

    /// Whether first messages use up one-time keys, as far as the peer has some left. Then those who have them are asked
    /// for, and those of one's own are published and filled up. Each is used once, and erased as it is.
    fn uses_one_time_keys(&self) -> bool {
        false
    }

    /// So many fresh one-time keys, if the exchange [uses](KeyExchange::uses_one_time_keys) them. They belong to no
    /// bundle: one goes with whichever bundle of its owner a first message answers. Public parts have at most
    /// [`MAX_ONE_TIME_PUBLIC_BYTES`].
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] without randomness.
    fn one_time_keys(&self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        let (_, _) = (count, cx);
        Ok(Vec::new())
    }

    /// The first message to `peer`, and the session it begins.
    ///
    /// # Errors
    /// A peer's key that is malformed or not acceptable; no randomness.
    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError>;

    /// The session that `first` from `peer` begins.
    ///
    /// # Errors
    /// Any [`CryptoError`]; nothing has changed then.
    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError>;

    /// A session as it was saved.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if the bytes were not made by [`Session::save`].
    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError>;
}

/// A protected conversation of two. A failed `open` leaves it unchanged to the byte.
///
/// The initiator seals first: an accepted session is asked to seal only after it opened a frame.
pub trait Session: Send {
    /// Seals one frame.
    ///
    /// # Errors
    /// [`CryptoError::Exhausted`] at the end of a key's life, [`CryptoError::Entropy`] without randomness; unchanged then.
    fn seal(&mut self, plaintext: &[u8], step: &mut Step<'_>) -> Result<Vec<u8>, CryptoError>;

    /// Opens one frame, in any order if no more than 1000 are on the way, each once.
    ///
    /// # Errors
    /// Any [`CryptoError`]; the session is unchanged then and opens the next genuine frame. A frame that was opened
    /// before is [`CryptoError::Duplicate`] or [`CryptoError::TooOld`] at least until the conversation has turned;
    /// one that is out of reach is [`CryptoError::TooFarAhead`].
    fn open(&mut self, sealed: &[u8], step: &mut Step<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError>;

    /// Whether it is time for a new session (age, or messages sealed): in good time before sealing is
    /// [`CryptoError::Exhausted`], and after 30 days at the latest if the session does not heal by itself.
    fn needs_renewal(&self, now: Timestamp) -> bool;

    /// Erases keys that are kept for frames which have not come, if they are too old by now, and says whether there were
    /// any. Called about once an hour, also in a session in which nothing happens; [`Session::save`] follows if there were.
    fn expire(&mut self, now: Timestamp) -> bool {
        let _ = now;
        false
    }

    /// What changed since the last `save`, nothing if nothing did; at most 4 KiB for a step in order. The first call
    /// after a handshake gives everything.
    fn save(&mut self) -> StateChange;
}

/// Changes to a stored session: `main` replaces the main record, rows are beside it.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The new main record, if it changed.
    pub main: Option<Zeroizing<Vec<u8>>>,
    /// Rows to add or replace.
    pub put: Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    /// Rows to erase.
    pub delete: Vec<Vec<u8>>,
}

impl fmt::Debug for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StateChange(main: {}, put: {}, delete: {})",
            self.main.is_some(),
            self.put.len(),
            self.delete.len()
        )
    }
}

/// A session as it lies in the store: all [`StateChange`]s applied.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// The main record.
    pub main: Zeroizing<Vec<u8>>,
    /// The rows beside it.
    pub rows: BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>,
}

impl SavedSession {
    /// Applies a change, as the store does.
    pub fn apply(&mut self, change: StateChange) {
        if let Some(main) = change.main {
            self.main = main;
        }
        for key in change.delete {
            self.rows.remove(&key);
        }
        self.rows.extend(change.put);
    }
}

impl fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SavedSession(main: {} bytes, rows: {})", self.main.len(), self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_what_is_saved_shows_sizes_and_no_byte() {
        let secret = || Zeroizing::new(vec![201; 40]);
        let change =
            StateChange { main: Some(secret()), put: vec![(vec![202], secret())], delete: vec![vec![203]] };
        assert_eq!(format!("{change:?}"), "StateChange(main: true, put: 1, delete: 1)");
        let mut saved = SavedSession::default();
        saved.apply(change);
        assert_eq!(format!("{saved:?}"), "SavedSession(main: 40 bytes, rows: 1)");
    }

    #[test]
    fn a_row_that_is_erased_and_put_in_one_change_is_there() {
        let mut saved = SavedSession::default();
        let put = |value| vec![(vec![1], Zeroizing::new(vec![value]))];
        saved.apply(StateChange { put: put(1), ..StateChange::default() });
        saved.apply(StateChange { put: put(2), delete: vec![vec![1], vec![9]], ..StateChange::default() });
        assert_eq!(saved.rows, BTreeMap::from([(vec![1], Zeroizing::new(vec![2]))]));
        saved.apply(StateChange { delete: vec![vec![1]], ..StateChange::default() });
        assert!(saved.rows.is_empty() && saved.main.is_empty());
    }

    /// A plugin that has nothing to add.
    struct Plain;
    impl KeyExchange for Plain {
        fn properties(&self) -> Properties {
            Properties::default()
        }
        fn new_bundle(&self, _: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
            Err(CryptoError::Entropy)
        }
        fn initiate(
            &self,
            _: &OwnBundle<'_>,
            _: &PeerBundle<'_>,
            _: &mut Context<'_>,
        ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
            Err(CryptoError::Entropy)
        }
        fn accept(
            &self,
            _: &OwnBundle<'_>,
            _: &PeerBundle<'_>,
            _: &[u8],
            _: &mut Context<'_>,
        ) -> Result<Box<dyn Session>, CryptoError> {
            Err(CryptoError::Entropy)
        }
        fn restore(&self, _: &SavedSession, _: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
            Err(CryptoError::Entropy)
        }
    }

    /// What `chat explain` says of a plugin, and what peers compare, is the plugin's own word.
    #[test]
    fn nothing_is_said_for_a_plugin_that_says_nothing() {
        assert_eq!((Plain.caveats(), Plain.shared_options()), (&[][..], String::new()));
        assert!(!Plain.uses_one_time_keys());
    }
}
