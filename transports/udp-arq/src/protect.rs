//! Sealing and opening packets: AES-256-GCM with the packet number as nonce and the header as associated data,
//! header protection as RFC 9001 §5.4, and key update with an authenticated phase bit, each direction by itself.
//!
//! Keys of a direction, from its key `k` of the Noise split and the handshake hash `h` (HKDF-SHA256, RFC 5869):
//! `s₀ = Extract(salt = h, k)`, header key `= Expand(s₀, "chat/arq/1 header")`, packet key of generation n
//! `= Expand(sₙ, "chat/arq/1 packet")`, `sₙ₊₁ = Expand(sₙ, "chat/arq/1 update")`.

use std::ops::Range;
use std::time::{Duration, Instant};

use aes::Aes256;
use aes::cipher::BlockEncrypt as _;
use aes::cipher::consts::U12;
use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use chat_core::CryptoError;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::packet::{self, ConnectionId, MASKED, SHORT_PREFIX, Short};
use crate::replay::ReplayWindow;

/// Bytes of an authentication tag.
pub(crate) const TAG: usize = 16;
const SAMPLE: usize = 16;
/// Packets of a key's limit that are kept for the CLOSE that says the key is used up.
const RESERVED_SEALS: u64 = 16;

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

/// Seals what we send.
pub(crate) struct SendKeys {
    to: ConnectionId,
    header: HeaderKey,
    generation: Generation,
    packet: PacketKey,
    phase: bool,
    limits: KeyLimits,
    sealed: u64,
    updates: u64,
    since: Instant,
    /// The first packet of this generation, once there is one.
    first_number: Option<u64>,
    /// Whether the peer acknowledged a packet of this generation, so that it has the key.
    confirmed: bool,
}

impl SendKeys {
    pub(crate) fn new(
        now: Instant,
        split: &[u8; 32],
        handshake_hash: &[u8; 32],
        to: ConnectionId,
        limits: KeyLimits,
    ) -> Result<Self, CryptoError> {
        let generation = Generation::first(split, handshake_hash);
        Ok(Self {
            to,
            header: generation.header_key()?,
            packet: generation.packet_key()?,
            generation,
            phase: false,
            limits,
            sealed: 0,
            updates: 0,
            since: now,
            first_number: None,
            confirmed: false,
        })
    }

    /// The peer has a packet: if it is one of this generation, the next update may come.
    pub(crate) fn on_acknowledged(&mut self, number: u64) {
        self.confirmed |= self.first_number.is_some_and(|first| number >= first);
    }

    /// Moves to the next generation if it is time and the peer has followed to this one.
    ///
    /// # Errors
    /// [`CryptoError::Exhausted`] if the key is used up and the peer never confirmed it.
    pub(crate) fn update_if_due(&mut self, now: Instant) -> Result<(), CryptoError> {
        let aged = now.saturating_duration_since(self.since) >= self.limits.update_every;
        if self.confirmed && (aged || self.sealed >= self.limits.update_after) {
            self.generation = self.generation.next()?;
            self.packet = self.generation.packet_key()?;
            self.phase = !self.phase;
            self.updates += 1;
            tracing::debug!(updates = self.updates, "packet key updated");
            (self.sealed, self.since, self.first_number, self.confirmed) = (0, now, None, false);
        }
        if self.sealed + RESERVED_SEALS >= self.limits.seals {
            return Err(CryptoError::Exhausted("packets under one key"));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// Appends the header of a packet. What is appended next is its inside, until [`seal`](Self::seal).
    pub(crate) fn begin(&self, out: &mut Vec<u8>, number: u64, number_len: usize) {
        Short { to: self.to, phase: self.phase, number, number_len }.encode(out);
    }

    /// Seals the packet that began at `start`, and masks its header.
    pub(crate) fn seal(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
        number: u64,
        number_len: usize,
    ) -> Result<(), CryptoError> {
        // The sample begins where a number of 4 bytes would end (RFC 9001 §5.4.2).
        while out.len() < start + SHORT_PREFIX + 4 {
            crate::chunk::put_padding(out);
        }
        let short = CryptoError::Malformed("packet");
        let packet = out.get_mut(start..).ok_or(short.clone())?;
        let (header, body) = packet.split_at_mut_checked(SHORT_PREFIX + number_len).ok_or(short.clone())?;
        let tag = self.packet.seal(number, header, body)?;
        out.extend_from_slice(&tag);
        let packet = out.get_mut(start..).ok_or(short.clone())?;
        let mask = self.header.mask(packet).ok_or(short)?;
        if let Some(first) = packet.first_mut() {
            *first ^= mask[0] & MASKED;
        }
        apply(mask, number_len, packet);
        self.sealed += 1;
        self.first_number.get_or_insert(number);
        Ok(())
    }
}

/// Why a packet was not opened. Nothing has changed but a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not a packet, or not made with the key.
    Forged,
    /// Opened before, or too old to tell.
    Replayed,
    /// Too many forgeries: the keys must not be used any more (RFC 9001 §6.6).
    KeyLimit,
}

/// Opens what we receive, each packet once.
pub(crate) struct ReceiveKeys {
    header: HeaderKey,
    current: PacketKey,
    /// For packets that were overtaken by the first of the current generation.
    previous: Option<PacketKey>,
    next: PacketKey,
    next_generation: Generation,
    phase: bool,
    /// Lowest number that was opened with the current key.
    first_number: u64,
    window: ReplayWindow,
    largest: Option<u64>,
    forgeries: u64,
    limits: KeyLimits,
}

impl ReceiveKeys {
    pub(crate) fn new(
        split: &[u8; 32],
        handshake_hash: &[u8; 32],
        limits: KeyLimits,
    ) -> Result<Self, CryptoError> {
        let generation = Generation::first(split, handshake_hash);
        let next_generation = generation.next()?;
        Ok(Self {
            header: generation.header_key()?,
            current: generation.packet_key()?,
            previous: None,
            next: next_generation.packet_key()?,
            next_generation,
            phase: false,
            first_number: 0,
            window: ReplayWindow::new(),
            largest: None,
            forgeries: 0,
            limits,
        })
    }

    /// The next number is near this one.
    #[cfg(test)]
    pub(crate) fn expect_from(&mut self, first: u64) {
        self.largest = first.checked_sub(1);
    }

    /// Opens a packet in place: its number, and where its inside is.
    pub(crate) fn open(&mut self, packet: &mut [u8]) -> Result<(u64, Range<usize>), Refused> {
        match self.try_open(packet) {
            Err(Refused::Forged) => {
                self.forgeries += 1;
                Err(if self.forgeries >= self.limits.forgeries { Refused::KeyLimit } else { Refused::Forged })
            }
            other => other,
        }
    }

    fn try_open(&mut self, packet: &mut [u8]) -> Result<(u64, Range<usize>), Refused> {
        if packet.len() < packet::MIN_SHORT {
            return Err(Refused::Forged);
        }
        let mask = self.header.mask(packet).ok_or(Refused::Forged)?;
        let first = packet.first_mut().ok_or(Refused::Forged)?;
        *first ^= mask[0] & MASKED;
        let (phase, number_len) = packet::decode_short_flags(*first).ok_or(Refused::Forged)?;
        apply(mask, number_len, packet);
        let (header, sealed) =
            packet.split_at_mut_checked(SHORT_PREFIX + number_len).ok_or(Refused::Forged)?;
        let truncated = header.iter().skip(SHORT_PREFIX).fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let number =
            packet::expand_number(truncated, number_len, self.largest).ok_or(Refused::Forged)?;
        if self.window.seen(number) {
            return Err(Refused::Replayed);
        }
        let (body, tag) = sealed
            .len()
            .checked_sub(TAG)
            .and_then(|len| sealed.split_at_mut_checked(len))
            .ok_or(Refused::Forged)?;
        let body_len = body.len();
        self.open_with_phase(phase, number, header, body, tag)?;
        self.window.mark(number);
        self.largest = self.largest.max(Some(number));
        let start = SHORT_PREFIX + number_len;
        Ok((number, start..start + body_len))
    }

    fn open_with_phase(
        &mut self,
        phase: bool,
        number: u64,
        header: &[u8],
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Refused> {
        let sure = |opened: bool| if opened { Ok(()) } else { Err(Refused::Forged) };
        if phase == self.phase {
            return sure(self.current.open(number, header, body, tag));
        }
        if number < self.first_number {
            let previous = self.previous.as_ref().ok_or(Refused::Forged)?;
            return sure(previous.open(number, header, body, tag));
        }
        sure(self.next.open(number, header, body, tag))?;
        // The peer has moved on. A failure to derive leaves the generation as it was.
        let after = self.next_generation.next().map_err(|_| Refused::Forged)?;
        let after_key = after.packet_key().map_err(|_| Refused::Forged)?;
        let used = std::mem::replace(&mut self.next, after_key);
        self.previous = Some(std::mem::replace(&mut self.current, used));
        self.next_generation = after;
        self.phase = phase;
        self.first_number = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut phases = std::collections::HashSet::new();
        for number in 0..40u64 {
            send.update_if_due(now).unwrap();
            phases.insert((send.phase, send.generation.0.to_vec()));
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
        assert!(phases.len() > 8, "{}", phases.len());
    }

    #[test]
    fn a_key_that_nobody_confirms_ends_at_its_limit() {
        let limits = KeyLimits { update_after: 3, seals: 5 + RESERVED_SEALS, ..KeyLimits::default() };
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
