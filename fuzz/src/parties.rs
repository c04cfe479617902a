//! The same people and keys in every input: an input must always do the same.

use std::sync::{Arc, OnceLock};

use chat_core::key_exchange::{NewBundle, OwnBundle, PeerBundle};
use chat_core::{
    Cipher, Context, CryptoError, Entropy, Identity, KeyExchange, Plugin, SavedSession, Session, Timestamp,
};
use key_exchange_rsa_hybrid::RsaHybrid;
use key_exchange_x25519::X25519;
use key_exchange_x25519_ratchet::X25519Ratchet;

/// The wall clock.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// The context hash of Alice initiating to Bob.
pub const BINDING: [u8; 32] = [5; 32];

/// A seeded generator (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Entropy for Seeded {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        for chunk in buf.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.iter_mut().zip((z ^ (z >> 31)).to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

/// No randomness at all.
pub struct Dry;

impl Entropy for Dry {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        buf.fill(0xaa);
        Err(CryptoError::Entropy)
    }
}

/// Made once: a key costs as much as much else that an input does.
fn identity(index: usize) -> Identity {
    static IDENTITIES: OnceLock<[Identity; 2]> = OnceLock::new();
    IDENTITIES.get_or_init(|| [1, 2].map(|seed| Identity::from_seed(&[seed; 32])))[index].clone()
}

pub fn alice() -> Identity {
    identity(0)
}

pub fn bob() -> Identity {
    identity(1)
}

pub fn ciphers() -> [Arc<dyn Cipher>; 4] {
    [
        Arc::new(cipher_aes_gcm::Aes256Gcm),
        Arc::new(cipher_chacha20_poly1305::ChaCha),
        Arc::new(cipher_chacha20_poly1305::XChaCha),
        Arc::new(cipher_aes_cbc_hmac::Aes128CbcHmacSha256),
    ]
}

/// A key exchange, and the bundle of either side.
pub struct Exchange {
    pub exchange: Box<dyn KeyExchange>,
    pub bundles: [NewBundle; 2],
}

impl Exchange {
    fn new(exchange: Box<dyn KeyExchange>) -> Self {
        let bundle = |seed| {
            let (mut entropy, [cipher, ..]) = (Seeded(seed), ciphers());
            let mut cx = Context { now: NOW, entropy: &mut entropy, cipher, binding: [0; 32] };
            exchange.new_bundle(&mut cx).unwrap()
        };
        Self { bundles: [bundle(11), bundle(12)], exchange }
    }

    /// Alice's first message to whoever has `payload`, and her session.
    pub fn initiate(
        &self,
        cipher: &Arc<dyn Cipher>,
        payload: &[u8],
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let (me, bundle) = (alice(), &self.bundles[0]);
        let own =
            OwnBundle { identity: &me, payload: &bundle.payload, secret: &bundle.secret, one_time: None };
        let peer = PeerBundle { identity: bob().public(), payload, one_time: None };
        let (mut entropy, cipher) = (Seeded(21), Arc::clone(cipher));
        let mut cx = Context { now: NOW, entropy: &mut entropy, cipher, binding: BINDING };
        self.exchange.initiate(&own, &peer, &mut cx)
    }

    /// What Bob makes of a first message that is said to be Alice's.
    pub fn accept(&self, cipher: &Arc<dyn Cipher>, first: &[u8]) -> Result<Box<dyn Session>, CryptoError> {
        let (me, bundle) = (bob(), &self.bundles[1]);
        let own =
            OwnBundle { identity: &me, payload: &bundle.payload, secret: &bundle.secret, one_time: None };
        let peer =
            PeerBundle { identity: alice().public(), payload: &self.bundles[0].payload, one_time: None };
        let (mut entropy, cipher) = (Seeded(22), Arc::clone(cipher));
        let mut cx = Context { now: NOW, entropy: &mut entropy, cipher, binding: BINDING };
        self.exchange.accept(&own, &peer, first, &mut cx)
    }

    /// A saved session, brought back.
    pub fn restore(
        &self,
        cipher: &Arc<dyn Cipher>,
        saved: &SavedSession,
    ) -> Result<Box<dyn Session>, CryptoError> {
        let (mut entropy, cipher) = (Seeded(23), Arc::clone(cipher));
        let mut cx = Context { now: NOW, entropy: &mut entropy, cipher, binding: [0; 32] };
        self.exchange.restore(saved, &mut cx)
    }
}

/// `x25519`, `rsa-hybrid` and `x25519-ratchet`; RSA with the shortest keys there are, as it is about messages here.
pub fn exchanges() -> &'static [Exchange; 3] {
    static EXCHANGES: OnceLock<[Exchange; 3]> = OnceLock::new();
    EXCHANGES.get_or_init(|| {
        let rsa = RsaHybrid::build(key_exchange_rsa_hybrid::Options { bits: 2048 }).unwrap();
        [
            Exchange::new(Box::<X25519>::default()),
            Exchange::new(rsa),
            Exchange::new(Box::<X25519Ratchet>::default()),
        ]
    })
}
