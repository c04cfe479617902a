//! Each message of the hop's handshake, at either side. The first byte chooses: damaged messages in front of each
//! genuine one, or a peer that speaks Noise well and proves its identity badly.
//!
//! - A damaged message 2 or 3 is refused, and the genuine one still passes: the handshake ends with the keys, peers
//!   and hash of one that nobody disturbed. (Message 1 is nobody's yet: any point that is one begins a handshake,
//!   which then comes to nothing.)
//! - A proof of identity holds only if it is to the byte the one that its owner signed for this handshake.
//!
//! Allocated: 128 KiB, of which `snow` takes most.

use std::sync::OnceLock;

use chat_core::Identity;
use chat_core::identity::SignedAs;
use chat_core::transport::Role;
use snow::{Builder, HandshakeState};
use transport_noise::{Handshake, HandshakeError, MESSAGE_LENGTHS};

use crate::alloc::bounded;
use crate::parties::{Seeded, alice, bob};
use crate::script::Script;

const NAME: &str = "tcp";
/// Identity key and signature.
const PROOF: usize = 96;

fn begin(role: Role) -> Handshake {
    let (me, seed) = match role {
        Role::Initiator => (alice(), 1),
        Role::Responder => (bob(), 2),
    };
    Handshake::with_entropy(role, NAME, &me, &mut Seeded(seed)).unwrap()
}

/// A handshake that nobody disturbed.
struct Undisturbed {
    messages: [Vec<u8>; 3],
    hash: [u8; 32],
    /// The key from initiator to responder, and back.
    keys: [[u8; 32]; 2],
}

fn undisturbed() -> &'static Undisturbed {
    static UNDISTURBED: OnceLock<Undisturbed> = OnceLock::new();
    UNDISTURBED.get_or_init(|| {
        let (mut initiator, mut responder) = (begin(Role::Initiator), begin(Role::Responder));
        let first = initiator.write_message().unwrap();
        responder.read_message(&first).unwrap();
        let second = responder.write_message().unwrap();
        initiator.read_message(&second).unwrap();
        let third = initiator.write_message().unwrap();
        responder.read_message(&third).unwrap();
        let (ours, theirs) = (initiator.finish().unwrap(), responder.finish().unwrap());
        assert_eq!((ours.peer, theirs.peer), (bob().public(), alice().public()));
        assert_eq!(ours.handshake_hash, theirs.handshake_hash);
        assert_eq!((&ours.send_key, &ours.receive_key), (&theirs.receive_key, &theirs.send_key));
        let keys = [*ours.send_key, *ours.receive_key];
        Undisturbed { messages: [first, second, third], hash: ours.handshake_hash, keys }
    })
}

pub fn prepare() {
    undisturbed();
}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.byte();
    bounded(128 << 10, || match kind % 4 {
        0 => disturbed_initiator(&mut script),
        1 => disturbed_responder(&mut script),
        2 => proof_of_an_initiator(&mut script),
        _ => proof_of_a_responder(&mut script),
    });
}

fn disturbed_initiator(script: &mut Script<'_>) {
    let Undisturbed { messages: [first, second, third], hash, keys } = undisturbed();
    let mut handshake = begin(Role::Initiator);
    assert_eq!(handshake.read_message(second), Err(HandshakeError::OutOfOrder));
    assert_eq!(handshake.write_message().as_ref(), Ok(first));
    refused(&mut handshake, second, first, script);
    assert_eq!(handshake.read_message(second), Ok(()));
    assert_eq!(handshake.write_message().as_ref(), Ok(third));
    assert!(handshake.read_message(script.short()).is_err());
    let secured = handshake.finish().unwrap();
    assert_eq!((&secured.handshake_hash, &[*secured.send_key, *secured.receive_key]), (hash, keys));
    assert_eq!(secured.peer, bob().public());
}

fn disturbed_responder(script: &mut Script<'_>) {
    let Undisturbed { messages: [first, second, third], hash, keys } = undisturbed();
    let mut handshake = begin(Role::Responder);
    assert!(handshake.write_message().is_err());
    if script.byte() & 1 == 1 {
        another_first_message(&script.damaged(first), third);
    }
    assert_eq!(handshake.read_message(first), Ok(()));
    assert_eq!(handshake.write_message().as_ref(), Ok(second));
    refused(&mut handshake, third, second, script);
    assert_eq!(handshake.read_message(third), Ok(()));
    let secured = handshake.finish().unwrap();
    assert_eq!((&secured.handshake_hash, &[*secured.receive_key, *secured.send_key]), (hash, keys));
    assert_eq!(secured.peer, alice().public());
}

/// Up to four messages that are not `genuine`, each of which must be refused.
fn refused(handshake: &mut Handshake, genuine: &[u8], own: &[u8], script: &mut Script<'_>) {
    for _ in 0..4 {
        let bad = match script.byte() % 4 {
            0 => return,
            1 => script.damaged(genuine),
            2 => script.damaged(own),
            _ => {
                let mut bytes = script.short().to_vec();
                bytes.resize(genuine.len(), 0);
                bytes
            }
        };
        if bad != genuine {
            assert!(handshake.read_message(&bad).is_err(), "{bad:02x?}");
        }
    }
}

/// Nobody's key is a key: it may begin a handshake, which no message 3 of another one ends.
fn another_first_message(first: &[u8], third: &[u8]) {
    let mut handshake = begin(Role::Responder);
    match handshake.read_message(first) {
        Ok(()) => {
            assert_eq!(handshake.write_message().map(|reply| reply.len()), Ok(MESSAGE_LENGTHS[1]));
            assert!(handshake.read_message(third).is_err());
        }
        Err(HandshakeError::Length { found, .. }) => assert_eq!(found, first.len()),
        Err(error) => assert_eq!(error, HandshakeError::WeakKey),
    }
}

/// A peer that is made of `snow` alone.
fn stranger() -> Builder<'static> {
    let prologue = b"chat/noise/1\0\0\0\x03tcp";
    let builder = Builder::new("Noise_XX_25519_AESGCM_SHA256".parse().unwrap());
    let builder = builder.local_private_key(&[77; 32]).unwrap().prologue(prologue).unwrap();
    builder.fixed_ephemeral_key_for_testing_only(&[78; 32])
}

/// The key of which the stranger's static one is the private half: what `snow` tells the other side.
fn static_public() -> [u8; 32] {
    static PUBLIC: OnceLock<[u8; 32]> = OnceLock::new();
    *PUBLIC.get_or_init(|| {
        let resolver = snow::resolvers::DefaultResolver;
        let mut dh =
            snow::resolvers::CryptoResolver::resolve_dh(&resolver, &snow::params::DHChoice::Curve25519)
                .unwrap();
        dh.set(&[77; 32]);
        dh.pubkey().try_into().unwrap()
    })
}

/// The stranger's proof of who it is, and whether it is good.
fn proof(script: &mut Script<'_>, role: u8, state: &HandshakeState) -> (Vec<u8>, bool) {
    let me = Identity::from_seed(&[9; 32]);
    let transcript = [&[role], state.get_handshake_hash(), &static_public()].concat();
    let good = [&me.public().as_bytes()[..], &me.sign(SignedAs::Hop, &transcript)].concat();
    let mut bytes = match script.byte() % 4 {
        0 => good.clone(),
        1 => script.damaged(&good),
        // Somebody else's name over the stranger's signature, or a signature for another purpose.
        2 => [&alice().public().as_bytes()[..], &good[32..]].concat(),
        _ => [&good[..32], &me.sign(SignedAs::Bundle, &transcript)].concat(),
    };
    bytes.resize(PROOF, 0);
    let is_good = bytes == good;
    (bytes, is_good)
}

fn judged(read: Result<(), HandshakeError>, good: bool) {
    match read {
        Ok(()) => assert!(good, "a bad proof was accepted"),
        Err(error) => assert!(!good && matches!(error, HandshakeError::Identity(_)), "{error}"),
    }
}

fn proof_of_an_initiator(script: &mut Script<'_>) {
    let mut state = stranger().build_initiator().unwrap();
    let mut handshake = begin(Role::Responder);
    let mut buffer = [0; 256];
    let len = state.write_message(&[], &mut buffer).unwrap();
    handshake.read_message(&buffer[..len]).unwrap();
    state.read_message(&handshake.write_message().unwrap(), &mut buffer).unwrap();
    let (bytes, good) = proof(script, 1, &state);
    let len = state.write_message(&bytes, &mut buffer).unwrap();
    judged(handshake.read_message(&buffer[..len]), good);
    assert_eq!(handshake.finish().is_ok(), good);
}

fn proof_of_a_responder(script: &mut Script<'_>) {
    let mut state = stranger().build_responder().unwrap();
    let mut handshake = begin(Role::Initiator);
    let mut buffer = [0; 256];
    state.read_message(&handshake.write_message().unwrap(), &mut buffer).unwrap();
    let (bytes, good) = proof(script, 2, &state);
    let len = state.write_message(&bytes, &mut buffer).unwrap();
    judged(handshake.read_message(&buffer[..len]), good);
    assert_eq!(handshake.write_message().is_ok(), good);
}
