use std::fmt;
use std::hint::black_box;

use chat_core::entropy::{Entropy, OsEntropy};
use chat_core::identity::SignedAs;
use chat_core::transport::Role;
use chat_core::{Identity, PeerKey};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use crate::error::HandshakeError;
use crate::primitives::{Resolver, TAG_LEN, X25519, is_usable};

/// Length in bytes of each of the three messages, the initiator's first.
pub const MESSAGE_LENGTHS: [usize; 3] = [
    KEY_LEN,
    KEY_LEN + (KEY_LEN + TAG_LEN) + (PROOF_LEN + TAG_LEN),
    (KEY_LEN + TAG_LEN) + (PROOF_LEN + TAG_LEN),
];

const PROTOCOL: &str = "Noise_XX_25519_AESGCM_SHA256";
/// A protocol whose first state holds no key at all.
const BLANK: &str = "Noise_NN_25519_AESGCM_SHA256";
const PROLOGUE_LABEL: &[u8] = b"chat/noise/1";
const KEY_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;
/// Identity key and signature: the payload of messages 2 and 3.
const PROOF_LEN: usize = KEY_LEN + SIGNATURE_LEN;

/// One side of the handshake, sans-IO: bytes in, bytes out. See the [crate] for the bytes.
pub struct Handshake {
    own: Own,
    state: State,
    /// The messages written and accepted so far; their number says whose turn it is.
    done: Vec<Vec<u8>>,
    peer: Option<PeerKey>,
}

/// What a finished handshake gives: who is there, and a key for each direction.
pub struct Secured {
    /// The identity that was proved.
    pub peer: PeerKey,
    /// The 32-byte key of what we send.
    pub send_key: Zeroizing<[u8; 32]>,
    /// The 32-byte key of what we receive.
    pub receive_key: Zeroizing<[u8; 32]>,
    /// The hash of the whole handshake: equal at both ends, unique to this handshake, not secret.
    pub handshake_hash: [u8; 32],
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Own { role, me, .. } = &self.own;
        write!(f, "Handshake({role:?}, {me:?}, {} of 3 messages)", self.done.len())
    }
}

impl Handshake {
    /// Begins a handshake for the transport of this name with fresh keys; both ends must give the same name.
    ///
    /// # Errors
    /// [`HandshakeError::Entropy`] if there is no randomness.
    pub fn new(role: Role, transport_name: &str, me: &Identity) -> Result<Self, HandshakeError> {
        Self::with_entropy(role, transport_name, me, &mut OsEntropy)
    }

    /// As [`Handshake::new`], with the randomness handed in; it is drawn from here only.
    ///
    /// # Errors
    /// [`HandshakeError::Entropy`] if there is no randomness.
    pub fn with_entropy(
        role: Role,
        transport_name: &str,
        me: &Identity,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, HandshakeError> {
        let mut draw = || entropy.bytes::<32>().map(Zeroizing::new).map_err(|_| HandshakeError::Entropy);
        let (static_secret, ephemeral_secret) = (draw()?, draw()?);
        let static_public = X25519::new(&static_secret).public();
        let prologue = prologue(transport_name)?;
        let own = Own { role, me: me.clone(), prologue, static_secret, static_public, ephemeral_secret };
        let state = own.state()?;
        Ok(Self { own, state, done: Vec::new(), peer: None })
    }

    /// Whether [`write_message`](Self::write_message) is what comes next.
    pub fn is_my_turn(&self) -> bool {
        sender(self.done.len()) == Some(self.own.role)
    }

    /// Whether all three messages are through, so that [`finish`](Self::finish) works.
    pub fn is_finished(&self) -> bool {
        self.done.len() == MESSAGE_LENGTHS.len()
    }

    /// Who the other side has proved to be, as soon as it has: for an initiator that is before its own identity is
    /// told, so that it need not tell it to somebody else than it wants.
    pub fn peer(&self) -> Option<&PeerKey> {
        self.peer.as_ref()
    }

    /// The next message to send. A sender that may lose it keeps it and sends the same bytes again.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfOrder`] if it is not our turn.
    pub fn write_message(&mut self) -> Result<Vec<u8>, HandshakeError> {
        if !self.is_my_turn() {
            return Err(HandshakeError::OutOfOrder);
        }
        let message = self.own.compose(&mut self.state, self.done.len())?;
        self.done.push(message.clone());
        Ok(message)
    }

    /// Takes the peer's next message. If it is refused, the handshake is as it was before, and the genuine
    /// message still passes: on a network where anybody can send, an error here is no reason to give up.
    ///
    /// # Errors
    /// [`HandshakeError`] names the reason.
    pub fn read_message(&mut self, message: &[u8]) -> Result<(), HandshakeError> {
        let index = self.done.len();
        let (Some(&expected), false) = (MESSAGE_LENGTHS.get(index), self.is_my_turn()) else {
            return Err(HandshakeError::OutOfOrder);
        };
        if message.len() != expected {
            return Err(HandshakeError::Length { expected, found: message.len() });
        }
        match self.accept(index, message) {
            Ok(peer) => {
                self.peer = peer;
                self.done.push(message.to_vec());
                Ok(())
            }
            Err(refused) => {
                self.rebuild()?;
                Err(refused)
            }
        }
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfOrder`] before [`is_finished`](Self::is_finished).
    pub fn finish(mut self) -> Result<Secured, HandshakeError> {
        let (true, Some(peer)) = (self.is_finished(), self.peer) else {
            return Err(HandshakeError::OutOfOrder);
        };
        let handshake_hash = self.state.hash()?;
        let (initiator, responder) = self.state.0.dangerously_get_raw_split();
        let (initiator, responder) = (Zeroizing::new(initiator), Zeroizing::new(responder));
        let (send_key, receive_key) = match self.own.role {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        Ok(Secured { peer, send_key, receive_key, handshake_hash })
    }

    /// Reads the message and checks the identity it proves, if it does.
    fn accept(&mut self, index: usize, message: &[u8]) -> Result<Option<PeerKey>, HandshakeError> {
        let hash_before = self.state.hash()?;
        let mut payload = [0; PROOF_LEN + TAG_LEN];
        let len = self.state.0.read_message(message, &mut payload)?;
        if index == 0 {
            // `snow` agrees on a secret only when the answer is written; refuse a bad key here already.
            let ephemeral = message.try_into().map_err(|_| HandshakeError::WeakKey)?;
            let accepted = is_usable(&self.own.ephemeral_secret, ephemeral);
            return if accepted { Ok(None) } else { Err(HandshakeError::WeakKey) };
        }
        let signer = sender(index).ok_or(HandshakeError::OutOfOrder)?;
        let their_static = self.state.0.get_remote_static().ok_or(HandshakeError::Library)?;
        let ours_came_back = self.done.first().is_some_and(|first| message.starts_with(first));
        if ours_came_back || their_static == self.own.static_public {
            return Err(HandshakeError::Reflected);
        }
        let (key, signature) = payload[..len].split_at(KEY_LEN);
        let peer = PeerKey::from_bytes(key).map_err(HandshakeError::Identity)?;
        let transcript = transcript(signer, &hash_before, their_static);
        peer.verify(SignedAs::Hop, &transcript, signature).map_err(HandshakeError::Identity)?;
        Ok(Some(peer))
    }

    /// Makes the state anew from our keys and the messages that count, because `snow` has no way back once
    /// it has read a part of a message.
    fn rebuild(&mut self) -> Result<(), HandshakeError> {
        let mut state = self.own.state()?;
        for (index, message) in self.done.iter().enumerate() {
            if sender(index) == Some(self.own.role) {
                self.own.compose(&mut state, index)?;
            } else {
                state.0.read_message(message, &mut [0; PROOF_LEN + TAG_LEN])?;
            }
        }
        self.state = state;
        Ok(())
    }
}

/// What a side brings into the handshake; with it and the peer's messages, all of it can be done again.
struct Own {
    role: Role,
    me: Identity,
    prologue: Vec<u8>,
    static_secret: Zeroizing<[u8; 32]>,
    static_public: [u8; 32],
    ephemeral_secret: Zeroizing<[u8; 32]>,
}

impl Own {
    fn state(&self) -> Result<State, HandshakeError> {
        let parameters = PROTOCOL.parse().map_err(|_| HandshakeError::Library)?;
        let resolver = Resolver { ephemeral: self.ephemeral_secret.clone() };
        let builder = Builder::with_resolver(parameters, Box::new(resolver))
            .local_private_key(self.static_secret.as_ref())?
            .prologue(&self.prologue)?;
        let state = match self.role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        };
        Ok(State(Box::new(state?)))
    }

    /// Lets `snow` write our message of this index: the same bytes each time, as Ed25519 is deterministic.
    fn compose(&self, state: &mut State, index: usize) -> Result<Vec<u8>, HandshakeError> {
        let payload = if index == 0 {
            Vec::new()
        } else {
            let transcript = transcript(self.role, &state.hash()?, &self.static_public);
            let signature = self.me.sign(SignedAs::Hop, &transcript);
            [self.me.public().as_bytes().as_slice(), &signature].concat()
        };
        // `snow` wants room for a tag even where the payload goes in the clear.
        let mut message = vec![0; MESSAGE_LENGTHS[index] + TAG_LEN];
        let len = state.0.write_message(&payload, &mut message)?;
        message.truncate(len);
        Ok(message)
    }
}

/// Who sends the message of this index.
fn sender(index: usize) -> Option<Role> {
    match index {
        0 | 2 => Some(Role::Initiator),
        1 => Some(Role::Responder),
        _ => None,
    }
}

fn prologue(transport_name: &str) -> Result<Vec<u8>, HandshakeError> {
    let len = u32::try_from(transport_name.len()).map_err(|_| HandshakeError::Library)?;
    Ok([PROLOGUE_LABEL, &len.to_be_bytes(), transport_name.as_bytes()].concat())
}

/// What the identity key signs, behind the label `chat/hop/1`.
fn transcript(signer: Role, hash: &[u8; 32], static_public: &[u8]) -> Vec<u8> {
    let role = match signer {
        Role::Initiator => 1,
        Role::Responder => 2,
    };
    [&[role], hash.as_slice(), static_public].concat()
}

/// `snow`'s state, overwritten when it is dropped: it keeps its chaining key, from which the keys of the
/// link follow, in a plain array.
struct State(Box<HandshakeState>);

impl State {
    fn hash(&self) -> Result<[u8; 32], HandshakeError> {
        self.0.get_handshake_hash().try_into().map_err(|_| HandshakeError::Library)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let resolver = Box::new(Resolver { ephemeral: Zeroizing::default() });
        let blank = BLANK
            .parse()
            .ok()
            .and_then(|parameters| Builder::with_resolver(parameters, resolver).build_initiator().ok());
        if let Some(blank) = blank {
            *self.0 = blank;
        }
        // Or the compiler could leave out a write to memory that is about to be freed.
        black_box(&self.0);
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
