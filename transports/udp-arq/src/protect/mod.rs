//! Sealing and opening packets: AES-256-GCM with the packet number as nonce and the header as associated data,
//! header protection as RFC 9001 §5.4, and key update with an authenticated phase bit, each direction by itself.
//!
//! Keys of a direction, from its key `k` of the Noise split and the handshake hash `h` (HKDF-SHA256, RFC 5869):
//! `s₀ = Extract(salt = h, k)`, header key `= Expand(s₀, "chat/arq/1 header")`, packet key of generation n
//! `= Expand(sₙ, "chat/arq/1 packet")`, `sₙ₊₁ = Expand(sₙ, "chat/arq/1 update")`.

mod receive;
mod send;

use std::time::Duration;

use aes::Aes256;
use aes::cipher::BlockEncrypt as _;
use aes::cipher::consts::U12;
use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use chat_core::CryptoError;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::packet::SHORT_PREFIX;

pub(crate) use receive::{ReceiveKeys, Refused};
pub(crate) use send::SendKeys;

/// Bytes of an authentication tag.
pub(crate) const TAG: usize = 16;
const SAMPLE: usize = 16;

type Secret = Zeroizing<[u8; 32]>;

/// How much one key may do.
#[derive(Debug, Clone)]
pub(crate) struct KeyLimits {
    /// Packets sealed before the key is updated.
    pub(crate) update_after: u64,
    /// Age at which the key is updated.
    pub(crate) update_every: Duration,
    /// Packets a key may seal at all (RFC 9001 §6.6: 2^23 for AES-GCM).
    pub(crate) seals: u64,
    /// Packets that may fail to open, over all keys (RFC 9001 §6.6: 2^52 for AES-GCM).
    pub(crate) forgeries: u64,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            update_after: 1 << 22,
            update_every: Duration::from_secs(3600),
            seals: 1 << 23,
            forgeries: 1 << 52,
        }
    }
}

/// One generation's key.
struct PacketKey(Aes256Gcm);

impl PacketKey {
    fn seal(&self, number: u64, header: &[u8], body: &mut [u8]) -> Result<Tag, CryptoError> {
        let sealed = self.0.encrypt_in_place_detached(&nonce(number), header, body);
        sealed.map_err(|_| CryptoError::Exhausted("packet length"))
    }

    fn open(&self, number: u64, header: &[u8], body: &mut [u8], tag: &[u8]) -> bool {
        self.0.decrypt_in_place_detached(&nonce(number), header, body, Tag::from_slice(tag)).is_ok()
    }
}

/// Noise §12.4: 32 zero bits, then the number in network order.
fn nonce(number: u64) -> Nonce<U12> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce.into()
}

/// The secret of a generation, and what follows from it.
struct Generation(Secret);

impl Generation {
    fn first(split: &[u8; 32], handshake_hash: &[u8; 32]) -> Self {
        let mut secret = Secret::default();
        let (mut extracted, _) = Hkdf::<Sha256>::extract(Some(handshake_hash), split);
        secret.copy_from_slice(&extracted);
        zeroize::Zeroize::zeroize(extracted.as_mut_slice());
        Self(secret)
    }

    fn expand(&self, label: &[u8]) -> Result<Secret, CryptoError> {
        let mut key = Secret::default();
        let hkdf = Hkdf::<Sha256>::from_prk(self.0.as_ref()).map_err(|_| CryptoError::Malformed("secret"))?;
        hkdf.expand(label, key.as_mut()).map_err(|_| CryptoError::Malformed("secret"))?;
        Ok(key)
    }

    fn packet_key(&self) -> Result<PacketKey, CryptoError> {
        Ok(PacketKey(Aes256Gcm::new(self.expand(b"chat/arq/1 packet")?.as_ref().into())))
    }

    fn header_key(&self) -> Result<HeaderKey, CryptoError> {
        Ok(HeaderKey(Aes256::new(self.expand(b"chat/arq/1 header")?.as_ref().into())))
    }

    fn next(&self) -> Result<Self, CryptoError> {
        self.expand(b"chat/arq/1 update").map(Self)
    }
}

/// The key of the mask over first byte and number. It stays the same for the life of a connection.
struct HeaderKey(Aes256);

impl HeaderKey {
    /// The mask for a packet (RFC 9001 §5.4.3); `None` if it is too short to have a sample.
    fn mask(&self, packet: &[u8]) -> Option<[u8; 5]> {
        let sample = packet.get(SHORT_PREFIX + 4..SHORT_PREFIX + 4 + SAMPLE)?;
        let mut block = aes::Block::clone_from_slice(sample);
        self.0.encrypt_block(&mut block);
        block.first_chunk().copied()
    }
}

fn apply(mask: [u8; 5], number_len: usize, packet: &mut [u8]) {
    if let Some(number) = packet.get_mut(SHORT_PREFIX..SHORT_PREFIX + number_len) {
        number.iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::packet::{self, ConnectionId};

    const ID: ConnectionId = ConnectionId([5; 8]);

    fn keys(limits: KeyLimits) -> (SendKeys, ReceiveKeys) {
        let send = SendKeys::new(Instant::now(), &[1; 32], &[2; 32], ID, limits.clone()).unwrap();
        (send, ReceiveKeys::new(&[1; 32], &[2; 32], limits).unwrap())
    }

    fn sealed(keys: &mut SendKeys, number: u64, inside: &[u8]) -> Vec<u8> {
        let len = packet::number_len(number, number.checked_sub(1)).unwrap();
        let mut out = Vec::new();
        keys.begin(&mut out, number, len);
        out.extend_from_slice(inside);
        keys.seal(&mut out, 0, number, len).unwrap();
        out
    }

    #[test]
    fn every_flipped_bit_is_refused_and_the_genuine_packet_still_opens_once() {
        let (mut send, mut receive) = keys(KeyLimits::default());
        let genuine = sealed(&mut send, 0, b"inside of a packet");
        for bit in 0..genuine.len() * 8 {
            let mut flipped = genuine.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // The id of the connection is checked by the endpoint; here it is associated data.
            assert_eq!(receive.open(&mut flipped), Err(Refused::Forged), "bit {bit}");
        }
        for len in 0..genuine.len() {
            assert!(receive.open(&mut genuine.clone()[..len]).is_err(), "cut to {len}");
        }
        let mut packet = genuine.clone();
        let (number, inside) = receive.open(&mut packet).unwrap();
        assert_eq!((number, &packet[inside]), (0, &b"inside of a packet"[..]));
        assert_eq!(receive.open(&mut genuine.clone()), Err(Refused::Replayed));
    }

    #[test]
    fn numbers_and_flags_are_masked() {
        let (mut send, _) = keys(KeyLimits::default());
        let heads: std::collections::HashSet<_> =
            (0..32).map(|number| sealed(&mut send, number, b"same inside")[..11].to_vec()).collect();
        assert!(heads.len() > 24, "the same flags and number lengths look different");
    }

    #[test]
    fn an_update_is_followed_and_overtaken_packets_still_open() {
        let limits = KeyLimits { update_after: 3, ..KeyLimits::default() };
        let (mut send, mut receive) = keys(limits);
        let now = Instant::now();
        let mut late = Vec::new();
        for number in 0..40u64 {
            send.update_if_due(now).unwrap();
            let mut packet = sealed(&mut send, number, &number.to_be_bytes());
            if number % 5 == 2 {
                late.push((number, packet));
                continue;
            }
            let (read, inside) = receive.open(&mut packet).unwrap();
            assert_eq!((read, &packet[inside]), (number, &number.to_be_bytes()[..]));
            send.on_acknowledged(number);
            for (number, mut packet) in late.drain(..) {
                assert_eq!(receive.open(&mut packet).unwrap().0, number);
            }
        }
        assert!(send.updates() > 8, "{}", send.updates());
    }

    #[test]
    fn a_key_that_nobody_confirms_ends_at_its_limit() {
        let limits = KeyLimits { update_after: 3, seals: 5 + send::RESERVED_SEALS, ..KeyLimits::default() };
        let (mut send, _) = keys(limits);
        for number in 0..5 {
            send.update_if_due(Instant::now()).unwrap();
            sealed(&mut send, number, b"x");
        }
        assert!(matches!(send.update_if_due(Instant::now()), Err(CryptoError::Exhausted(_))));
    }

    #[test]
    fn too_many_forgeries_end_the_keys() {
        let (mut send, mut receive) = keys(KeyLimits { forgeries: 3, ..KeyLimits::default() });
        let mut forged = sealed(&mut send, 0, b"x");
        forged.reverse();
        let refusals = [(); 3].map(|()| receive.open(&mut forged.clone()).unwrap_err());
        assert_eq!(refusals, [Refused::Forged, Refused::Forged, Refused::KeyLimit]);
    }

    #[test]
    fn an_old_key_does_not_open_what_came_after_the_update() {
        let limits = KeyLimits { update_after: 1, ..KeyLimits::default() };
        let (mut send, mut receive) = keys(limits);
        let mut first = sealed(&mut send, 0, b"old");
        receive.open(&mut first).unwrap();
        send.on_acknowledged(0);
        send.update_if_due(Instant::now()).unwrap();
        let mut second = sealed(&mut send, 1, b"new");
        let (mut other, _) = keys(KeyLimits::default());
        let mut stale = sealed(&mut other, 2, b"sealed with the first key");
        assert_eq!(receive.open(&mut second).unwrap().0, 1);
        assert_eq!(receive.open(&mut stale), Err(Refused::Forged));
    }
}
