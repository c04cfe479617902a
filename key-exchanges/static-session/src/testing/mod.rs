//! Attacks that every key exchange ending in a session must withstand, with every cipher, and what is
//! needed to stage them: randomness that repeats or fails, and a [`Scene`] with Alice, Bob and Mallory.
//!
//! A crate runs the whole suite by one line in its tests, `static_session::attack_suite!(scenes);`, where
//! `scenes` returns a `Vec<Scene>`, one a cipher.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this module is tests")]

use std::cell::Cell;
use std::sync::Arc;

use chat_core::key_exchange::{NewBundle, OwnBundle, PeerBundle};
use chat_core::{
    Cipher, Context, CryptoError, Entropy, Identity, KeyExchange, SavedSession, Session, Step, Timestamp,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub mod first_message;
pub mod frames;
pub mod state;

/// The wall clock of all scenes.
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Randomness that is the same for the same seed: SHA-256 of seed and counter.
#[derive(Debug, Clone)]
pub struct TestEntropy {
    seed: u64,
    counter: u64,
}

impl TestEntropy {
    /// Another seed gives other bytes.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }
}

impl Entropy for TestEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        for chunk in buf.chunks_mut(32) {
            let block = Sha256::new_with_prefix(self.seed.to_be_bytes())
                .chain_update(self.counter.to_be_bytes())
                .finalize();
            self.counter += 1;
            chunk.iter_mut().zip(block).for_each(|(slot, byte)| *slot = byte);
        }
        Ok(())
    }
}

/// Randomness that fails after a number of draws, and leaves garbage in the buffer when it does.
#[derive(Debug, Clone)]
pub struct FailingEntropy {
    source: TestEntropy,
    draws_left: usize,
}

impl FailingEntropy {
    /// Gives `draws` times, then fails for ever.
    pub fn after(draws: usize) -> Self {
        Self { source: TestEntropy::new(99), draws_left: draws }
    }
}

impl Entropy for FailingEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        self.source.fill(buf)?;
        self.draws_left = self.draws_left.checked_sub(1).ok_or(CryptoError::Entropy)?;
        Ok(())
    }
}

/// The context in which a bundle is made.
pub fn bundle_context<'a>(cipher: &Arc<dyn Cipher>, entropy: &'a mut dyn Entropy) -> Context<'a> {
    Context { now: NOW, entropy, cipher: Arc::clone(cipher), binding: [0; 32] }
}

/// An identity with a bundle.
pub struct Party {
    /// Who it is.
    pub identity: Identity,
    /// The bundle's public part.
    pub payload: Vec<u8>,
    /// The bundle's private part.
    pub secret: Zeroizing<Vec<u8>>,
}

impl Party {
    /// The identity of a seed of 32 such bytes, with the given bundle.
    pub fn new(seed: u8, bundle: NewBundle) -> Self {
        let NewBundle { payload, secret, one_time: _ } = bundle;
        Self { identity: Identity::from_seed(&[seed; 32]), payload, secret }
    }

    /// As its owner hands it to the exchange.
    pub fn own(&self) -> OwnBundle<'_> {
        OwnBundle { identity: &self.identity, payload: &self.payload, secret: &self.secret, one_time: None }
    }

    /// As a peer sees it.
    pub fn seen(&self) -> PeerBundle<'_> {
        PeerBundle { identity: self.identity.public(), payload: &self.payload, one_time: None }
    }
}

/// Alice, Bob, Mallory and what they agreed on.
pub struct Scene {
    /// What is attacked.
    pub exchange: Box<dyn KeyExchange>,
    /// The cipher of the profile.
    pub cipher: Arc<dyn Cipher>,
    /// Initiates.
    pub alice: Party,
    /// Accepts.
    pub bob: Party,
    /// Is up to no good.
    pub mallory: Party,
    /// The context hash of Alice initiating to Bob.
    pub binding: [u8; 32],
    /// The wall clock.
    pub now: Timestamp,
    seeds: Cell<u64>,
}

impl Scene {
    /// A scene with bundles made beforehand (making RSA keys is slow): Alice's, Bob's, Mallory's.
    pub fn new(exchange: Box<dyn KeyExchange>, cipher: Arc<dyn Cipher>, bundles: [NewBundle; 3]) -> Self {
        let [alice, bob, mallory] = bundles;
        Self {
            exchange,
            cipher,
            alice: Party::new(1, alice),
            bob: Party::new(2, bob),
            mallory: Party::new(3, mallory),
            binding: [5; 32],
            now: NOW,
            seeds: Cell::new(0),
        }
    }

    /// Randomness unlike any before in this scene.
    pub fn entropy(&self) -> TestEntropy {
        self.seeds.set(self.seeds.get() + 1);
        TestEntropy::new(self.seeds.get())
    }

    /// The context as the core would make it.
    pub fn context<'a>(&self, binding: [u8; 32], entropy: &'a mut dyn Entropy) -> Context<'a> {
        Context { now: self.now, entropy, cipher: Arc::clone(&self.cipher), binding }
    }

    /// Alice's first message to Bob, and her session.
    pub fn initiate(&self) -> (Vec<u8>, Box<dyn Session>) {
        self.initiate_with(&mut self.entropy()).unwrap()
    }

    /// The same with given randomness.
    ///
    /// # Errors
    /// As [`KeyExchange::initiate`].
    pub fn initiate_with(
        &self,
        entropy: &mut dyn Entropy,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let mut cx = self.context(self.binding, entropy);
        self.exchange.initiate(&self.alice.own(), &self.bob.seen(), &mut cx)
    }

    /// Bob's answer to a first message that is said to be Alice's.
    ///
    /// # Errors
    /// As [`KeyExchange::accept`].
    pub fn accept(&self, first: &[u8]) -> Result<Box<dyn Session>, CryptoError> {
        self.accept_from(&self.alice, self.binding, first)
    }

    /// Bob's answer to a first message that is said to come from `peer`, under another binding.
    ///
    /// # Errors
    /// As [`KeyExchange::accept`].
    pub fn accept_from(
        &self,
        peer: &Party,
        binding: [u8; 32],
        first: &[u8],
    ) -> Result<Box<dyn Session>, CryptoError> {
        let mut entropy = self.entropy();
        self.exchange.accept(&self.bob.own(), &peer.seen(), first, &mut self.context(binding, &mut entropy))
    }

    /// Two sessions that fit.
    pub fn sessions(&self) -> (Box<dyn Session>, Box<dyn Session>) {
        let (first, alice) = self.initiate();
        (alice, self.accept(&first).unwrap())
    }

    /// A saved session, brought back.
    ///
    /// # Errors
    /// As [`KeyExchange::restore`].
    pub fn restore(&self, saved: &SavedSession) -> Result<Box<dyn Session>, CryptoError> {
        let mut entropy = self.entropy();
        self.exchange.restore(saved, &mut self.context([0; 32], &mut entropy))
    }

    /// Seals with fresh randomness.
    pub fn seal(&self, session: &mut dyn Session, plaintext: &[u8]) -> Vec<u8> {
        session.seal(plaintext, &mut Step { now: self.now, entropy: &mut self.entropy() }).unwrap()
    }

    /// Opens.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(&self, session: &mut dyn Session, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        session.open(frame, &mut Step { now: self.now, entropy: &mut self.entropy() })
    }

    /// Opens what must open, to what it must say.
    pub fn opens(&self, session: &mut dyn Session, frame: &[u8], plaintext: &[u8]) {
        let opened = self.open(session, frame).expect("a genuine frame opens");
        assert!(*opened == plaintext, "another plaintext, with {}", self.cipher.name());
    }
}

/// Everything of a session that was never saved.
pub fn saved(session: &mut dyn Session) -> SavedSession {
    let mut saved = SavedSession::default();
    saved.apply(session.save());
    assert!(!saved.main.is_empty(), "a session that changed has something to save");
    saved
}

/// Runs each attack of [`testing`](self) as a test of its own, over all scenes that the function returns.
#[macro_export]
macro_rules! attack_suite {
    ($scenes:path) => {
        $crate::attack_suite!(@ $scenes =>
            first_message::{
                every_flipped_bit_of_a_first_message_is_refused,
                every_other_length_of_a_first_message_is_refused,
                a_first_message_under_another_binding_is_refused,
                a_first_message_claimed_by_another_is_refused,
                a_reflected_first_message_is_refused,
                a_first_message_to_a_substituted_bundle_gives_no_session,
                garbage_is_refused_without_panic,
                a_handshake_without_randomness_is_an_entropy_error
            }
            frames::{
                messages_of_all_sizes_go_both_ways,
                every_flipped_bit_of_a_frame_is_refused,
                every_other_length_of_a_frame_is_refused,
                a_replayed_frame_is_a_duplicate,
                a_reflected_frame_is_refused,
                a_frame_of_another_session_is_refused,
                frames_open_in_any_order_within_the_window,
                sealing_without_randomness_changes_nothing
            }
            state::{
                sessions_survive_being_saved_at_every_point,
                only_changes_are_saved,
                a_refusal_leaves_the_state_unchanged_to_the_byte,
                clones_of_a_state_never_share_a_key,
                a_damaged_or_foreign_state_is_refused
            }
        );
    };
    (@ $scenes:path => $($module:ident::{$($name:ident),*})*) => {
        $($(
            #[test]
            fn $name() {
                let scenes: Vec<$crate::testing::Scene> = $scenes();
                assert!(scenes.len() >= 3, "one a cipher");
                scenes.iter().for_each($crate::testing::$module::$name);
            }
        )*)*
    };
}
