//! What a new session costs at each end, and a bundle.
#![allow(clippy::expect_used, reason = "a benchmark that can't be set up has nothing to say")]

use std::sync::Arc;

use chat_core::Cipher;
use chat_core::key_exchange::KeyExchange;
use chat_core::testing::TestEntropy;
use chat_core::testing::key_exchange::{Scene, bundle_context};
use cipher_chacha20_poly1305::ChaCha;
use divan::Bencher;
use key_exchange_x25519::X25519;

fn main() {
    divan::main();
}

fn scene() -> Scene {
    Scene::seeded(Box::<X25519>::default(), Arc::new(ChaCha)).expect("bundles")
}

#[divan::bench]
fn new_bundle(bencher: Bencher<'_, '_>) {
    let cipher: Arc<dyn Cipher> = Arc::new(ChaCha);
    bencher
        .bench_local(|| X25519::default().new_bundle(&mut bundle_context(&cipher, &mut TestEntropy::new(1))));
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
