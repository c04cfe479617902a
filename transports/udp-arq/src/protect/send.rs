//! Sealing, and moving on to the next key.

use std::time::Instant;

use chat_core::CryptoError;

use super::{Generation, HeaderKey, KeyLimits, PacketKey, apply};
use crate::packet::{ConnectionId, MASKED, SHORT_PREFIX, Short};

/// Packets of a key's limit that are kept for the CLOSE that says the key is used up.
pub(super) const RESERVED_SEALS: u64 = 16;

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
