//! The first message of each key exchange, the public part of its bundle, and the state of a session as it is
//! stored. The first byte chooses which.
//!
//! All decode strictly: whatever is accepted, or refused for another reason than its form, is canonical CBOR. A
//! damaged first message begins no session, a genuine one does. Whatever stands under RSA, its signed sender gets a
//! session that nobody can use, and no answer depends on it. Allocated: 8 bytes for each that came, and 96 KiB
//! (an operation on 2048 bits takes most of it).

use chat_core::identity::SignedAs;
use chat_core::wire::lp;
use chat_core::{CryptoError, SavedSession, StateChange, Step};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::alloc::bounded;
use crate::cbor;
use crate::parties::{self, BINDING, Exchange, NOW, Seeded, ciphers, exchanges};
use crate::script::Script;

/// Where `x25519-ratchet` stands among the exchanges.
pub const RATCHET: usize = 2;

/// The first messages as the exchanges make them.
pub fn genuine(which: usize) -> Vec<u8> {
    let exchange = &exchanges()[which];
    exchange.initiate(&ciphers()[0], &exchange.bundles[1].payload).unwrap().0
}

/// A session as it is stored.
pub fn stored(which: usize) -> Vec<u8> {
    let exchange = &exchanges()[which];
    let (_, mut session) = exchange.initiate(&ciphers()[0], &exchange.bundles[1].payload).unwrap();
    session.save().main.unwrap().to_vec()
}

pub fn prepare() {
    exchanges();
}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.byte();
    // The first ten values are the two older exchanges in turn; four more are the ratchet.
    let kind = kind % 14;
    let which = if kind < 10 { usize::from(kind & 1) } else { RATCHET };
    let exchange = &exchanges()[which];
    match if which == RATCHET { kind - 10 } else { kind / 2 } {
        0 => any_first_message(exchange, script.rest()),
        1 => bundle(exchange, script.rest()),
        2 => saved(exchange, script.rest()),
        3 => damaged(exchange, &mut script),
        _ => under_rsa(&mut script),
    }
}

/// Whether an error is about the form of a record.
fn is_form(error: &CryptoError) -> bool {
    matches!(error, CryptoError::Malformed(what) if ["first message", "bundle", "saved session"].iter().any(|form| what.ends_with(form)))
}

fn judge<T>(bytes: &[u8], outcome: &Result<T, CryptoError>) {
    if outcome.as_ref().err().is_none_or(|error| !is_form(error)) {
        assert_eq!(cbor::canonical(bytes).as_deref(), Some(bytes), "a second form was accepted");
    }
}

fn any_first_message(exchange: &Exchange, bytes: &[u8]) {
    let outcome = bounded(8 * bytes.len() + (96 << 10), || exchange.accept(&ciphers()[0], bytes));
    judge(bytes, &outcome);
}

fn bundle(exchange: &Exchange, payload: &[u8]) {
    let outcome = bounded(8 * payload.len() + (96 << 10), || exchange.initiate(&ciphers()[0], payload));
    judge(payload, &outcome);
}

fn saved(exchange: &Exchange, main: &[u8]) {
    let cipher = &ciphers()[0];
    let saved = SavedSession { main: Zeroizing::new(main.to_vec()), ..SavedSession::default() };
    let restored = bounded(8 * main.len() + (96 << 10), || exchange.restore(cipher, &saved));
    judge(main, &restored);
    let Ok(mut session) = restored else { return };
    assert!(session.save() == StateChange::default());
    let sealed = session.seal(b"text", &mut Step { now: NOW, entropy: &mut Seeded(1) });
    let change = session.save();
    match sealed {
        Ok(_) => {
            let saved = SavedSession { main: change.main.unwrap(), ..SavedSession::default() };
            assert!(exchange.restore(cipher, &saved).is_ok());
        }
        Err(CryptoError::Entropy | CryptoError::Forged | CryptoError::Duplicate) => panic!("not of sealing"),
        // At the end of its numbers; and a ratchet without the peer's key, or with a doubtful one.
        Err(_) => assert!(change == StateChange::default()),
    }
    session.needs_renewal(NOW);
}

fn damaged(exchange: &Exchange, script: &mut Script<'_>) {
    let cipher = &ciphers()[usize::from(script.byte() % 4)];
    let (first, mut alice) = exchange.initiate(cipher, &exchange.bundles[1].payload).unwrap();
    let bytes = script.damaged(&first);
    let outcome = exchange.accept(cipher, &bytes);
    judge(&bytes, &outcome);
    assert!(outcome.is_err(), "a damaged first message began a session");
    if script.byte() == 1 {
        let mut bob = exchange.accept(cipher, &first).unwrap();
        let sealed = alice.seal(b"text", &mut Step { now: NOW, entropy: &mut Seeded(1) }).unwrap();
        assert_eq!(*bob.open(&sealed, &mut Step { now: NOW, entropy: &mut Seeded(2) }).unwrap(), b"text");
    }
}

/// Anything under Alice's signature, as long as it is as long as the modulus.
fn under_rsa(script: &mut Script<'_>) {
    let exchange = &exchanges()[1];
    let mut ciphertext = script.take(256).to_vec();
    ciphertext.resize(256, script.byte());
    let transcript = Sha256::new_with_prefix(b"chat/rsa/1 transcript")
        .chain_update(BINDING)
        .chain_update(lp(&ciphertext))
        .finalize();
    let mut first = vec![0x83, 1];
    cbor::bytes(&mut first, &ciphertext);
    cbor::bytes(&mut first, &parties::alice().sign(SignedAs::Rsa, &transcript));
    let mut session = exchange.accept(&ciphers()[0], &first).expect("the same for every ciphertext");
    let (_, mut stranger) = exchange.initiate(&ciphers()[0], &exchange.bundles[1].payload).unwrap();
    let sealed = stranger.seal(b"text", &mut Step { now: NOW, entropy: &mut Seeded(1) }).unwrap();
    let opened = session.open(&sealed, &mut Step { now: NOW, entropy: &mut Seeded(2) });
    assert_eq!(opened.err(), Some(CryptoError::Forged));
}
