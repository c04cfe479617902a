//! Peers that speak a transport byte by byte, made from its documentation: honest up to a step, and then anything.

mod tcp;
mod udp;

pub use tcp::{TcpPeer, TcpServer, TcpStep};
pub use udp::{UdpPeer, UdpServer, UdpStep, chunk};

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use chat_core::wire::{ToRelay, WIRE_VERSION};

/// The first record of a client.
pub fn hello() -> Vec<u8> {
    ToRelay::Hello { version: WIRE_VERSION }.encode()
}

/// Seals `inside` with a number as the nonce, as both transports do.
fn seal(key: &[u8; 32], number: u64, associated: &[u8], inside: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    let mut sealed = inside.to_vec();
    let tag = Aes256Gcm::new(key.into())
        .encrypt_in_place_detached(&Nonce::from(nonce), associated, &mut sealed)
        .expect("a short text");
    sealed.extend_from_slice(&tag);
    sealed
}
