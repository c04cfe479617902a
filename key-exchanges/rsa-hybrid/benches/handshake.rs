//! What a new session costs at each end with keys of the default size, and what a key costs.
#![allow(clippy::expect_used, reason = "a benchmark that can't be set up has nothing to say")]

use std::sync::{Arc, LazyLock};

use chat_core::key_exchange::{KeyExchange, NewBundle};
use chat_core::testing::TestEntropy;
use chat_core::testing::key_exchange::{Scene, bundle_context};
use chat_core::{Cipher, Plugin as _};
use cipher_chacha20_poly1305::ChaCha;
use divan::Bencher;
use key_exchange_rsa_hybrid::{Options, RsaHybrid};

fn main() {
    divan::main();
}

fn exchange() -> Box<dyn KeyExchange> {
    RsaHybrid::build(Options::default()).expect("the default options")
}

fn bundle(seed: u64) -> NewBundle {
    let cipher: Arc<dyn Cipher> = Arc::new(ChaCha);
    let mut entropy = TestEntropy::new(seed);
    exchange().new_bundle(&mut bundle_context(&cipher, &mut entropy)).expect("a bundle")
}

/// One key for all three: who holds it makes no difference to the cost.
fn scene() -> Scene {
    static BUNDLE: LazyLock<NewBundle> = LazyLock::new(|| bundle(1));
    let copy =
        || NewBundle { payload: BUNDLE.payload.clone(), secret: BUNDLE.secret.clone(), one_time: Vec::new() };
    Scene::new(exchange(), Arc::new(ChaCha), [copy(), copy(), copy()])
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn new_bundle(bencher: Bencher<'_, '_>) {
    let mut seeds = 2..;
    bencher.with_inputs(|| seeds.next().unwrap_or_default()).bench_local_values(bundle);
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
