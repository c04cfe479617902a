//! What a session remembers beside the keys of skipped messages, in memory and in the store.

use chat_core::record::{decode_strictly, encode};
use chat_core::{Context, CryptoError, SavedSession};
use minicbor::{Decode, Encode};
use x25519_agreement::{Agreed, KEY_LEN, SecretKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::keys::{COUNT_END, Chain, RootKey};

/// The version of the saved form.
const VERSION: u8 = 1;
/// The saved form has about 300 bytes.
const MAX_SAVED_BYTES: usize = 1024;

const SAVED: &str = "saved session";

/// The main record of a saved session. Erased on drop.
///
/// | | own key | peer's key | sending | receiving |
/// |---|---|---|---|---|
/// | the initiator, at first | its first | `BK_B` | yes | no |
/// | the responder, at first | `BK_B` | none | no | no |
/// | received last | none: the next message brings it | yes | no | yes |
/// | sent last | yes | yes | yes | yes |
#[derive(Clone, Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub(crate) struct State {
    #[n(0)]
    version: u8,
    /// The cipher it was made with: the message keys depend on the name.
    #[n(1)]
    cipher: String,
    /// `TH`
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) transcript: [u8; 32],
    #[n(3)]
    pub(crate) root: RootKey,
    /// The private half of one's own ratchet key, until the peer's answer to it arrives.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) own_secret: Option<[u8; KEY_LEN]>,
    /// The peer's ratchet key.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) peer_public: Option<[u8; KEY_LEN]>,
    /// Without one, the next message begins one, with a new key of one's own.
    #[n(6)]
    pub(crate) sending: Option<Chain>,
    #[n(7)]
    pub(crate) receiving: Option<Chain>,
    /// How many messages the sending chain before had: `pn`.
    #[n(8)]
    pub(crate) previous: u32,
    /// Of the receiving chain, keys of some numbers below this were given up unused.
    #[n(9)]
    pub(crate) given_up: u32,
}

impl State {
    fn new(agreed: &Agreed, cx: &Context<'_>) -> Self {
        Self {
            version: VERSION,
            cipher: cx.cipher.name().to_owned(),
            transcript: agreed.transcript,
            root: RootKey::new(&agreed.session_key),
            own_secret: None,
            peer_public: None,
            sending: None,
            receiving: None,
            previous: 0,
            given_up: 0,
        }
    }

    pub(crate) fn initiator(
        agreed: &Agreed,
        peer_bundle_key: [u8; KEY_LEN],
        cx: &mut Context<'_>,
    ) -> Result<Self, CryptoError> {
        let mut state = Self::new(agreed, cx);
        state.peer_public = Some(peer_bundle_key);
        state.begin_sending(SecretKey::generate(cx.entropy)?)?;
        Ok(state)
    }

    pub(crate) fn responder(agreed: &Agreed, own_bundle_key: &SecretKey, cx: &Context<'_>) -> Self {
        let mut state = Self::new(agreed, cx);
        state.keep(own_bundle_key);
        state
    }

    fn keep(&mut self, own: &SecretKey) {
        let kept = self.own_secret.insert([0; KEY_LEN]);
        kept.iter_mut().zip(own.to_bytes().iter()).for_each(|(slot, byte)| *slot = *byte);
    }

    /// One's own ratchet key, if there is one now.
    pub(crate) fn own(&self) -> Result<Option<SecretKey>, CryptoError> {
        self.own_secret.as_ref().map(|bytes| SecretKey::from_slice(bytes)).transpose()
    }

    /// The sending half of a DH step.
    pub(crate) fn begin_sending(&mut self, own: SecretKey) -> Result<(), CryptoError> {
        // The initiator sends first, and the core asks nobody else to seal before opening.
        let peer =
            self.peer_public.ok_or(CryptoError::UnknownKey("ratchet key of a peer who sent nothing"))?;
        let (root, chain) = self.root.turn(&*own.agree(&peer)?)?;
        (self.root, self.sending) = (root, Some(chain));
        self.keep(&own);
        Ok(())
    }

    /// After the receiving half: the peer has answered with a new key. One's own has done its work and is not in it.
    pub(crate) fn turned(&self, peer: [u8; KEY_LEN]) -> Result<Self, CryptoError> {
        // The peer makes a new key after it received one's own last one. Here it has not been sent yet.
        let own = self.own()?.ok_or(CryptoError::Forged)?;
        let (root, chain) = self.root.turn(&*own.agree(&peer)?)?;
        Ok(Self {
            version: self.version,
            cipher: self.cipher.clone(),
            transcript: self.transcript,
            root,
            own_secret: None,
            peer_public: Some(peer),
            sending: None,
            receiving: Some(chain),
            previous: self.sending.as_ref().map_or(0, |chain| chain.count),
            given_up: 0,
        })
    }

    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        encode(SAVED, self)
    }

    /// The state that [`Self::encode`] wrote, if it is of this version and of the cipher at hand.
    pub(crate) fn decode(saved: &SavedSession, cx: &Context<'_>) -> Result<Self, CryptoError> {
        let state: Self = decode_strictly(SAVED, &saved.main, MAX_SAVED_BYTES)?;
        if state.version != VERSION {
            return Err(CryptoError::Malformed("saved session of another version"));
        }
        if state.cipher != cx.cipher.name() {
            return Err(CryptoError::Malformed("saved session of another cipher"));
        }
        if state.is_possible() { Ok(state) } else { Err(CryptoError::Malformed(SAVED)) }
    }

    fn is_possible(&self) -> bool {
        let Self { own_secret, peer_public, sending, receiving, .. } = self;
        let parts = [own_secret.is_some(), peer_public.is_some(), sending.is_some(), receiving.is_some()];
        let phases = [
            [true, true, true, false],
            [true, false, false, false],
            [false, true, false, true],
            [true, true, true, true],
        ];
        let received = receiving.as_ref().map_or(0, |chain| chain.count);
        let counts = [self.previous, sending.as_ref().map_or(0, |chain| chain.count), received];
        phases.contains(&parts) && counts.iter().all(|count| *count <= COUNT_END) && self.given_up <= received
    }
}
