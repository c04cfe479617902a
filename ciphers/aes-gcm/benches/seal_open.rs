//! Sealing and opening one message in place under a key that is at hand; `bare` is the crate beneath, called directly.
#![allow(clippy::expect_used, reason = "a benchmark that can't be set up has nothing to say")]

use aes_gcm::KeyInit as _;
use aes_gcm::aead::AeadInPlace as _;
use chat_core::cipher::Cipher;
use cipher_aes_gcm::Aes256Gcm;
use divan::Bencher;
use divan::counter::BytesCount;

const SIZES: [usize; 3] = [64, 1024, 64 * 1024];

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES)]
fn seal(bencher: Bencher<'_, '_>, len: usize) {
    let key = Aes256Gcm.key(&[7; 32]).expect("a key of the right length");
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(|| vec![1; len])
        .bench_local_refs(|buf| key.seal(0, b"associated data", buf));
}

#[divan::bench(args = SIZES)]
fn open(bencher: Bencher<'_, '_>, len: usize) {
    let key = Aes256Gcm.key(&[7; 32]).expect("a key of the right length");
    let mut sealed = vec![1; len];
    key.seal(0, b"associated data", &mut sealed).expect("sealed");
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(|| sealed.clone())
        .bench_local_refs(|buf| key.open(0, b"associated data", buf));
}

#[divan::bench(args = SIZES)]
fn bare_seal(bencher: Bencher<'_, '_>, len: usize) {
    let key = aes_gcm::Aes256Gcm::new(&[7; 32].into());
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(|| vec![1; len])
        .bench_local_refs(|buf| key.encrypt_in_place(&[0; 12].into(), b"associated data", buf));
}

#[divan::bench(args = SIZES)]
fn bare_open(bencher: Bencher<'_, '_>, len: usize) {
    let key = aes_gcm::Aes256Gcm::new(&[7; 32].into());
    let mut sealed = vec![1; len];
    key.encrypt_in_place(&[0; 12].into(), b"associated data", &mut sealed).expect("sealed");
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(|| sealed.clone())
        .bench_local_refs(|buf| key.decrypt_in_place(&[0; 12].into(), b"associated data", buf));
}
