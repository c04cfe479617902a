//! What a new session costs at each end, and messages: one way, back and forth, and forged.
#![allow(clippy::expect_used, reason = "a benchmark that can't be set up has nothing to say")]

use std::sync::Arc;

use chat_core::key_exchange::{Session, Step};
use chat_core::testing::TestEntropy;
use chat_core::testing::key_exchange::{NOW, Scene};
use cipher_chacha20_poly1305::ChaCha;
use divan::Bencher;
use key_exchange_x25519_ratchet::{MAX_MISSING, X25519Ratchet};

fn main() {
    divan::main();
}

fn scene() -> Scene {
    Scene::seeded(Box::<X25519Ratchet>::default(), Arc::new(ChaCha)).expect("bundles")
}

type End = Box<dyn Session>;

fn seal(end: &mut End, text: &[u8], entropy: &mut TestEntropy) -> Vec<u8> {
    end.seal(text, &mut Step { now: NOW, entropy }).expect("sealed")
}

fn open(end: &mut End, frame: &[u8], entropy: &mut TestEntropy) {
    end.open(frame, &mut Step { now: NOW, entropy }).expect("opened");
}

fn sessions() -> (End, End, TestEntropy) {
    let scene = scene();
    let (first, mut alice) = scene.initiate().expect("a first message");
    let mut bob = scene.accept(&first).expect("a session");
    let mut entropy = TestEntropy::new(9);
    open(&mut bob, &seal(&mut alice, b"first", &mut entropy), &mut entropy);
    (alice, bob, entropy)
}

#[divan::bench]
fn initiate(bencher: Bencher<'_, '_>) {
    let scene = scene();
    bencher.bench_local(|| scene.initiate());
}

#[divan::bench]
fn accept(bencher: Bencher<'_, '_>) {
    let scene = scene();
    let (first, _) = scene.initiate().expect("a first message");
    bencher.bench_local(|| scene.accept(&first));
}

#[divan::bench(args = [100, 1024])]
fn one_way(bencher: Bencher<'_, '_>, len: usize) {
    let (mut alice, mut bob, mut entropy) = sessions();
    let text = vec![1; len];
    bencher.bench_local(|| {
        let frame = seal(&mut alice, &text, &mut entropy);
        open(&mut bob, &frame, &mut entropy);
    });
}

#[divan::bench(args = [100, 1024])]
fn there_and_back(bencher: Bencher<'_, '_>, len: usize) {
    let (mut alice, mut bob, mut entropy) = sessions();
    let text = vec![1; len];
    bencher.bench_local(|| {
        let frame = seal(&mut bob, &text, &mut entropy);
        open(&mut alice, &frame, &mut entropy);
        let frame = seal(&mut alice, &text, &mut entropy);
        open(&mut bob, &frame, &mut entropy);
    });
}

/// The forgery that costs most: a new key, and as far ahead as may be.
#[divan::bench]
fn forged(bencher: Bencher<'_, '_>) {
    let (_, mut bob, mut entropy) = sessions();
    // So that a new key of Alice's is possible.
    let mut frame = seal(&mut bob, b"answer", &mut entropy);
    frame[0] ^= 1;
    frame[36..40].copy_from_slice(&MAX_MISSING.to_be_bytes());
    bencher
        .bench_local(|| bob.open(&frame, &mut Step { now: NOW, entropy: &mut entropy }).expect_err("forged"));
}
