//! Bundles, sessions and envelopes of one's own making: what somebody can do who has keys of its own, and nobody
//! else's.

use std::sync::atomic::{AtomicU64, Ordering};

use chat_core::key_exchange::{Context, NewBundle, OwnBundle, PeerBundle};
use chat_core::nick::Nick;
use chat_core::wire::bundle::{Bundle, Handshake, SignedBundle, StackProfile, VerifiedBundle, binding};
use chat_core::wire::envelope::direct_conversation;
use chat_core::wire::{Body, Envelope, Plaintext, Recipient};
use chat_core::{
    ConversationId, CryptoError, EnvelopeId, Identity, MessageId, OsEntropy, PeerId, Session, SessionId,
    Step, Timestamp,
};

use crate::stack::Stack;

/// How long forged bundles are good for.
const VALID_MS: u64 = 86_400_000;

/// An id that nobody has seen.
pub fn fresh() -> [u8; 16] {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut id = [0xF5; 16];
    id[8..].copy_from_slice(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id
}

/// Somebody with an identity and keys.
pub struct Forger {
    /// Who it is.
    pub identity: Identity,
    stack: Stack,
    keys: NewBundle,
}

impl Forger {
    /// Makes keys.
    pub fn new(stack: Stack, identity: Identity) -> Self {
        let mut entropy = OsEntropy;
        let mut cx = Context {
            now: Timestamp::now(),
            entropy: &mut entropy,
            cipher: stack.cipher(),
            binding: [0; 32],
        };
        let name = identity.peer_id().to_string();
        let keys = stack.key_exchange_of(&name).new_bundle(&mut cx).expect("keys are made");
        Self { identity, stack, keys }
    }

    /// Its peer id.
    pub fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// What an honest bundle of these keys would say.
    pub fn bundle(&self, nick: &str) -> Bundle {
        let created = Timestamp::now();
        Bundle {
            identity: self.identity.public().as_bytes().to_vec(),
            profile: self.stack.profile(),
            nick: Nick::new(nick).expect("a nick"),
            payload: self.keys.payload.clone(),
            created,
            expires: created.plus_ms(VALID_MS),
        }
    }

    /// Signs a bundle, whatever it says.
    pub fn sign(&self, bundle: &Bundle) -> Vec<u8> {
        SignedBundle::sign(bundle, &self.identity).encode()
    }

    /// An honest bundle, signed.
    pub fn signed(&self, nick: &str) -> Vec<u8> {
        self.sign(&self.bundle(nick))
    }

    /// Begins a genuine session with whoever a bundle is of.
    pub fn begin(&self, signed: &[u8], theirs: &[u8]) -> Talk {
        let (own, peer) = (verified(signed), verified(theirs));
        let binding = binding(&own, &peer);
        let mut entropy = OsEntropy;
        let mut cx =
            Context { now: Timestamp::now(), entropy: &mut entropy, cipher: self.stack.cipher(), binding };
        let ours = OwnBundle {
            identity: &self.identity,
            payload: &self.keys.payload,
            secret: &self.keys.secret,
            one_time: None,
        };
        let peer_bundle = PeerBundle { identity: peer.key, payload: &peer.bundle.payload, one_time: None };
        let (first, session) =
            self.stack.key_exchange().initiate(&ours, &peer_bundle, &mut cx).expect("a first message");
        let handshake = Handshake {
            bundle: signed.to_vec(),
            peer_bundle_hash: peer.hash.to_vec(),
            first,
            one_time: None,
        }
        .encode();
        let id = Handshake::session_id(&handshake);
        Talk { me: self.id(), peer: peer.peer_id, id, binding, handshake, session }
    }
}

/// What a signed bundle says.
pub fn verified(signed: &[u8]) -> VerifiedBundle {
    SignedBundle::verify(signed).expect("a genuine bundle")
}

/// The same bundle with another thing in it, under the old signature.
pub fn edited(signed: &[u8], edit: impl FnOnce(&mut Bundle)) -> Vec<u8> {
    let mut bundle = verified(signed).bundle;
    let old = encoded(&bundle);
    edit(&mut bundle);
    let new = encoded(&bundle);
    assert_ne!(old, new, "something was edited");
    // The signature is the last 64 bytes; in front of it stand two heads of CBOR.
    let signature = &signed[signed.len() - 64..];
    let put_together =
        |bundle: &[u8]| [&[0x82][..], &bytes_head(bundle.len()), bundle, &[0x58, 64], signature].concat();
    assert_eq!(put_together(&old), signed, "without an edit it is what it was");
    put_together(&new)
}

/// A bundle as it is signed: what a signed one of somebody else holds.
fn encoded(bundle: &Bundle) -> Vec<u8> {
    let anybody = Identity::from_seed(&[1; 32]);
    let signed = SignedBundle::sign(bundle, &anybody).encode();
    let head = bytes_head(signed.len()).len();
    signed[1 + head..signed.len() - 66].to_vec()
}

/// The head of a CBOR byte string of 256 bytes to 64 KiB, or fewer.
fn bytes_head(len: usize) -> Vec<u8> {
    match u16::try_from(len).expect("a short one") {
        len @ 0..24 => vec![0x40 | len as u8],
        len @ 24..256 => vec![0x58, len as u8],
        len => [&[0x59][..], &len.to_be_bytes()].concat(),
    }
}

/// A stack profile that differs in its cipher.
pub fn another_stack(profile: &StackProfile) -> StackProfile {
    StackProfile { cipher: "rot13".into(), ..profile.clone() }
}

/// A genuine session with somebody, to say in it what no honest client says.
pub struct Talk {
    me: PeerId,
    peer: PeerId,
    /// The session's id.
    pub id: SessionId,
    /// What every frame must carry until it is confirmed.
    pub binding: [u8; 32],
    /// What begins it.
    pub handshake: Vec<u8>,
    session: Box<dyn Session>,
}

impl Talk {
    /// A plaintext with this body as an honest client would make it, in the direct conversation.
    pub fn plaintext(&self, body: Body) -> Plaintext {
        Plaintext {
            context: Some(self.binding),
            conversation: self.conversation(),
            message: MessageId(fresh()),
            sent_at: Timestamp::now(),
            previous: [0; 16],
            body,
        }
    }

    /// The direct conversation.
    pub fn conversation(&self) -> ConversationId {
        direct_conversation(self.me, self.peer)
    }

    /// Seals a plaintext into an envelope that says the same.
    pub fn seal(&mut self, plaintext: &Plaintext) -> Envelope {
        let frame = self.seal_bytes(&plaintext.encode()).expect("it is sealed");
        self.envelope(plaintext.conversation, plaintext.message, frame)
    }

    /// Seals any bytes.
    ///
    /// # Errors
    /// As of the session.
    pub fn seal_bytes(&mut self, bytes: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut entropy = OsEntropy;
        self.session.seal(bytes, &mut Step { now: Timestamp::now(), entropy: &mut entropy })
    }

    /// Puts a frame of this session into an envelope.
    pub fn envelope(&self, conversation: ConversationId, message: MessageId, frame: Vec<u8>) -> Envelope {
        Envelope {
            id: EnvelopeId(fresh()),
            to: Recipient::Peer(self.peer),
            from: self.me,
            conversation,
            message,
            session: self.id,
            handshake: Some(self.handshake.clone()),
            frame,
        }
    }
}
