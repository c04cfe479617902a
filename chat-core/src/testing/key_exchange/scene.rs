//! Alice, Bob and Mallory, and what they do with a key exchange.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::end::End;
use super::theft::Thief;
use crate::cipher::Cipher;
use crate::entropy::Entropy;
use crate::error::CryptoError;
use crate::identity::Identity;
use crate::ids::Timestamp;
use crate::key_exchange::{
    Context, KeyExchange, NewBundle, OwnBundle, PeerBundle, SavedSession, Session, Step,
};
use crate::testing::entropy::TestEntropy;
use crate::testing::rule::{Must as _, Violation};

/// The wall clock of all scenes.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

type Handshake = (Vec<u8>, Box<dyn Session>);

/// The context in which a bundle is made.
pub fn bundle_context<'a>(cipher: &Arc<dyn Cipher>, entropy: &'a mut dyn Entropy) -> Context<'a> {
    Context { now: NOW, entropy, cipher: Arc::clone(cipher), binding: [0; 32] }
}

/// An identity with a bundle.
#[derive(Clone)]
pub struct Party {
    /// Who it is.
    pub identity: Identity,
    /// The bundle's public part.
    pub payload: Vec<u8>,
    /// The bundle's private part.
    pub secret: Zeroizing<Vec<u8>>,
    /// One-time keys: (public, secret).
    pub one_time: Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl Party {
    /// The identity of a seed of 32 such bytes, with the given bundle.
    pub fn new(seed: u8, bundle: NewBundle) -> Self {
        let NewBundle { payload, secret, one_time } = bundle;
        Self { identity: Identity::from_seed(&[seed; 32]), payload, secret, one_time }
    }

    /// As its owner hands it to the exchange, without one-time key.
    pub fn own(&self) -> OwnBundle<'_> {
        OwnBundle { identity: &self.identity, payload: &self.payload, secret: &self.secret, one_time: None }
    }

    /// As a peer sees it, without one-time key.
    pub fn seen(&self) -> PeerBundle<'_> {
        PeerBundle { identity: self.identity.public(), payload: &self.payload, one_time: None }
    }
}

/// Alice, Bob, Mallory and what they agreed on.
#[derive(Clone)]
pub struct Scene {
    /// What is attacked.
    pub exchange: Arc<dyn KeyExchange>,
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
    /// Shared by all copies, so that no two steps ever draw the same.
    pub(super) seeds: Rc<Cell<u64>>,
    pub(super) thief: Option<Thief>,
}

impl Scene {
    /// A scene with bundles made beforehand (some take long to make): Alice's, Bob's, Mallory's.
    pub fn new(exchange: Box<dyn KeyExchange>, cipher: Arc<dyn Cipher>, bundles: [NewBundle; 3]) -> Self {
        let [alice, bob, mallory] = bundles;
        Self::of(exchange.into(), cipher, [Party::new(1, alice), Party::new(2, bob), Party::new(3, mallory)])
    }

    /// A scene with bundles made now, from the same randomness in every run.
    ///
    /// # Errors
    /// As [`KeyExchange::new_bundle`].
    pub fn seeded(exchange: Box<dyn KeyExchange>, cipher: Arc<dyn Cipher>) -> Result<Self, CryptoError> {
        let bundle = |seed| exchange.new_bundle(&mut bundle_context(&cipher, &mut TestEntropy::new(seed)));
        let bundles = [bundle(1)?, bundle(2)?, bundle(3)?];
        Ok(Self::new(exchange, cipher, bundles))
    }

    pub(super) fn of(exchange: Arc<dyn KeyExchange>, cipher: Arc<dyn Cipher>, parties: [Party; 3]) -> Self {
        let [alice, bob, mallory] = parties;
        let (seeds, thief) = (Rc::default(), None);
        Self { exchange, cipher, alice, bob, mallory, binding: [5; 32], now: NOW, seeds, thief }
    }

    /// The same people with another cipher.
    #[must_use]
    pub fn with_cipher(&self, cipher: Arc<dyn Cipher>) -> Self {
        Self { cipher, ..self.clone() }
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

    /// A step with this randomness.
    pub fn step<'a>(&self, entropy: &'a mut dyn Entropy) -> Step<'a> {
        Step { now: self.now, entropy }
    }

    /// Alice's first message to Bob, and her session.
    ///
    /// # Errors
    /// As [`KeyExchange::initiate`].
    pub fn initiate(&self) -> Result<Handshake, CryptoError> {
        self.initiate_with(&mut self.entropy())
    }

    /// The same with given randomness.
    ///
    /// # Errors
    /// As [`KeyExchange::initiate`].
    pub fn initiate_with(&self, entropy: &mut dyn Entropy) -> Result<Handshake, CryptoError> {
        let mut cx = self.context(self.binding, entropy);
        self.exchange.initiate(&self.alice.own(), &self.bob.seen(), &mut cx)
    }

    /// A first message from anybody to anybody.
    ///
    /// # Errors
    /// As [`KeyExchange::initiate`].
    pub fn initiate_as(&self, own: &OwnBundle<'_>, peer: &PeerBundle<'_>) -> Result<Handshake, CryptoError> {
        let mut entropy = self.entropy();
        self.exchange.initiate(own, peer, &mut self.context(self.binding, &mut entropy))
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

    /// Anybody's answer to a first message from anybody.
    ///
    /// # Errors
    /// As [`KeyExchange::accept`].
    pub fn accept_as(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
    ) -> Result<Box<dyn Session>, CryptoError> {
        let mut entropy = self.entropy();
        self.exchange.accept(own, peer, first, &mut self.context(self.binding, &mut entropy))
    }

    /// A saved session, brought back.
    ///
    /// # Errors
    /// As [`KeyExchange::restore`].
    pub fn restore(&self, saved: &SavedSession) -> Result<Box<dyn Session>, CryptoError> {
        let mut entropy = self.entropy();
        self.exchange.restore(saved, &mut self.context([0; 32], &mut entropy))
    }

    /// Alice's first message with a frame in its wake, and both ends with that frame opened, so that either
    /// may seal. The engine too seals with an accepted session only when it has opened a frame.
    ///
    /// # Errors
    /// That one of the steps failed.
    pub fn first_flight(&self) -> Result<FirstFlight<'_>, Violation> {
        let (first, alice) = self.initiate().must("initiating")?;
        let mut alice = End::new(self, alice)?;
        let frame = alice.seal(FIRST_TEXT)?;
        let mut bob = End::new(self, self.accept(&first).must("accepting")?)?;
        bob.opens(&frame, FIRST_TEXT)?;
        alice.save();
        bob.save();
        Ok(FirstFlight { first, frame, alice, bob })
    }

    /// The two ends of [`Self::first_flight`]: Alice's and Bob's.
    ///
    /// # Errors
    /// That one of the steps failed.
    pub fn sessions(&self) -> Result<(End<'_>, End<'_>), Violation> {
        let FirstFlight { alice, bob, .. } = self.first_flight()?;
        Ok((alice, bob))
    }

    /// Refused at once, or by the first frame: an exchange that answers nothing to a wrong decryption must
    /// accept it with a secret that nobody has.
    ///
    /// # Errors
    /// That the frame opens.
    pub fn begins_nothing(
        &self,
        accepted: Result<Box<dyn Session>, CryptoError>,
        frame: &[u8],
        what: impl fmt::Display,
    ) -> Result<(), Violation> {
        if let Ok(mut session) = accepted {
            let opened = session.open(frame, &mut self.step(&mut self.entropy()));
            opened.map(drop).must_fail(format!("{what}, and the frame behind it,"))?;
        }
        Ok(())
    }
}

/// What Alice says first.
pub(super) const FIRST_TEXT: &[u8] = b"first of all";

/// A handshake and its first frame.
pub struct FirstFlight<'a> {
    /// Alice's first message.
    pub first: Vec<u8>,
    /// Alice's first frame.
    pub frame: Vec<u8>,
    /// Alice's end.
    pub alice: End<'a>,
    /// Bob's end.
    pub bob: End<'a>,
}
