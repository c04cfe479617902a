//! Signed bundles, one-time keys, and the handshake in an envelope. The first byte chooses: a bundle of anybody, the
//! inside of a bundle under a good signature, or a handshake; from 80 on a one-time key, or the inside of one.
//!
//! Both decode strictly: what is accepted is canonical CBOR and, made again from what was read, the same bytes.
//! Allocated: 8 bytes for each that came, and 16 KiB.

use chat_core::identity::SignedAs;
use chat_core::wire::bundle::StackProfile;
use chat_core::wire::one_time::MAX_ONE_TIME_KEY_BYTES;
use chat_core::wire::{Handshake, SignedBundle, SignedOneTimeKey, WIRE_VERSION};
use sha2::{Digest as _, Sha256};

use crate::alloc::bounded;
use crate::{cbor, parties};

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match (kind, kind % 3) {
        (0x80.., 0) => one_time_key(&signed_as(SignedAs::OneTimeKey, bytes)),
        (0x80.., _) => one_time_key(bytes),
        (_, 0) => verify(bytes),
        (_, 1) => verify(&signed(bytes)),
        _ => handshake(bytes),
    }
}

/// Alice's signature over any inside.
pub fn signed(bundle: &[u8]) -> Vec<u8> {
    signed_as(SignedAs::Bundle, bundle)
}

fn signed_as(purpose: SignedAs, inside: &[u8]) -> Vec<u8> {
    let signature = parties::alice().sign(purpose, &Sha256::digest(inside));
    let mut out = vec![0x82];
    cbor::bytes(&mut out, inside);
    cbor::bytes(&mut out, &signature);
    out
}

fn verify(bytes: &[u8]) {
    let Ok(verified) = bounded(8 * bytes.len() + (16 << 10), || SignedBundle::verify(bytes)) else { return };
    assert_eq!(cbor::canonical(bytes).as_deref(), Some(bytes), "a second form was accepted");
    assert_eq!(verified.key.peer_id(), verified.peer_id);
    if verified.key == parties::alice().public() {
        // Ed25519 is deterministic, so her signature over the same inside is the same.
        assert_eq!(SignedBundle::sign(&verified.bundle, &parties::alice()).encode(), bytes);
    }
    let ours = StackProfile {
        wire_version: WIRE_VERSION,
        key_exchange: "x25519".into(),
        key_exchange_options: String::new(),
        cipher: "aes-256-gcm".into(),
    };
    if let Err(mismatch) = ours.agree(&verified.bundle.profile) {
        assert!(mismatch.theirs.chars().count() <= 64);
        assert!(!mismatch.to_string().chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    }
}

fn one_time_key(bytes: &[u8]) {
    let owner = parties::alice();
    let read = bounded(8 * bytes.len() + (16 << 10), || SignedOneTimeKey::read(bytes));
    let verified = bounded(8 * bytes.len() + (16 << 10), || SignedOneTimeKey::verify(bytes, owner.public()));
    if let Ok(key) = &read {
        assert_eq!(cbor::canonical(bytes).as_deref(), Some(bytes), "a second form was accepted");
        assert!(bytes.len() <= MAX_ONE_TIME_KEY_BYTES && key.public.len() < bytes.len());
    }
    if let Ok(verified) = verified {
        assert_eq!(read.as_ref(), Ok(&verified.key), "what is verified is what a relay reads");
        assert_eq!(verified.id, verified.key.id());
        assert_eq!(SignedOneTimeKey::sign(&verified.key, &owner).encode(), bytes);
    }
}

fn handshake(bytes: &[u8]) {
    let decoded = bounded(8 * bytes.len() + (16 << 10), || Handshake::decode(bytes));
    if let Ok(handshake) = decoded {
        assert_eq!(handshake.encode(), bytes);
        assert_eq!(cbor::canonical(bytes).as_deref(), Some(bytes), "a second form was accepted");
        Handshake::session_id(bytes);
        verify(&handshake.bundle);
    }
}
