//! What a session remembers, in memory and in the store.

use chat_core::record::{decode_strictly, encode};
use chat_core::{Context, CryptoError, SavedSession, Timestamp};
use hkdf::Hkdf;
use minicbor::{Decode, Encode};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::window::Window;

/// The version of the saved form.
const VERSION: u8 = 1;
/// The saved form has about 300 bytes.
const MAX_SAVED_BYTES: usize = 1024;
/// Where sequence numbers end, so that adding to one never overflows.
pub(crate) const SEQ_END: u64 = 1 << 63;

const SAVED: &str = "saved session";

/// Which end of the handshake one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Sent the first message.
    #[n(0)]
    Initiator,
    /// Accepted it.
    #[n(1)]
    Responder,
}

impl Role {
    /// The other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// The byte in the associated data.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Initiator => 0,
            Self::Responder => 1,
        }
    }

    fn label(self) -> &'static [u8] {
        match self {
            Self::Initiator => b"chat/plain/1 initiator",
            Self::Responder => b"chat/plain/1 responder",
        }
    }
}

/// The main record of a saved session; it has no rows. Erased on drop.
#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub(crate) struct State {
    #[n(0)]
    version: u8,
    /// The cipher it was made with: the message keys depend on the name.
    #[n(1)]
    cipher: String,
    #[zeroize(skip)]
    #[n(2)]
    pub(crate) role: Role,
    /// `TH`
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) transcript: [u8; 32],
    /// The direction key for what is sealed here.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) sending: [u8; 32],
    /// The direction key for what the peer seals.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) receiving: [u8; 32],
    #[zeroize(skip)]
    #[n(6)]
    pub(crate) created: Timestamp,
    /// The sequence number of the next frame sealed here.
    #[n(7)]
    pub(crate) next_seq: u64,
    #[zeroize(skip)]
    #[n(8)]
    pub(crate) received: Window,
}

impl State {
    pub(crate) fn new(
        role: Role,
        transcript: [u8; 32],
        secret: &[u8; 32],
        cx: &Context<'_>,
    ) -> Result<Self, CryptoError> {
        let sending = direction_key(&transcript, secret, role)?;
        let receiving = direction_key(&transcript, secret, role.peer())?;
        Ok(Self {
            version: VERSION,
            cipher: cx.cipher.name().to_owned(),
            role,
            transcript,
            sending: *sending,
            receiving: *receiving,
            created: cx.now,
            next_seq: 0,
            received: Window::new(),
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
        let possible = state.next_seq <= SEQ_END && state.received.is_possible(SEQ_END);
        if possible && saved.rows.is_empty() { Ok(state) } else { Err(CryptoError::Malformed(SAVED)) }
    }
}

fn direction_key(
    transcript: &[u8; 32],
    secret: &[u8; 32],
    role: Role,
) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut key = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(Some(transcript), secret).expand(role.label(), key.as_mut());
    derived.map_err(|_| CryptoError::Malformed("direction key length"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use chat_core::testing::TestEntropy;
    use cipher_chacha20_poly1305::ChaCha;

    /// Runs `check` with a state and the context it was made in.
    fn with_state(check: impl FnOnce(State, &Context<'_>)) {
        let mut entropy = TestEntropy::new(1);
        let cx =
            Context { now: Timestamp(7), entropy: &mut entropy, cipher: Arc::new(ChaCha), binding: [0; 32] };
        check(State::new(Role::Initiator, [1; 32], &[2; 32], &cx).unwrap(), &cx);
    }

    #[test]
    fn numbers_that_no_session_can_have_reached_are_refused() {
        with_state(|mut state, cx| {
            let mut decode = |next_seq, received: Option<u64>| {
                state.next_seq = next_seq;
                received.into_iter().for_each(|seq| state.received.insert(seq));
                let saved = SavedSession { main: state.encode().unwrap(), ..SavedSession::default() };
                State::decode(&saved, cx).map(|state| state.next_seq)
            };
            assert_eq!((decode(0, None), decode(SEQ_END, Some(SEQ_END - 1))), (Ok(0), Ok(SEQ_END)));
            let malformed = Err(CryptoError::Malformed("saved session"));
            assert_eq!(decode(SEQ_END + 1, None), malformed);
            assert_eq!(decode(0, Some(SEQ_END)), malformed, "received from beyond the end");
        });
    }

    #[test]
    fn each_direction_has_its_key_and_the_ends_are_mirrored() {
        with_state(|alice, cx| {
            let bob = State::new(Role::Responder, [1; 32], &[2; 32], cx).unwrap();
            assert_ne!(alice.sending, alice.receiving);
            assert_eq!((alice.sending, alice.receiving), (bob.receiving, bob.sending));
            assert_ne!(alice.role.byte(), bob.role.byte());
            assert_eq!((alice.role.peer(), bob.role.peer()), (bob.role, alice.role));
        });
    }
}
