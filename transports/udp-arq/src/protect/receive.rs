//! Opening, each packet once, and following the peer to its next key.

use std::ops::Range;

use chat_core::CryptoError;

use super::{Generation, HeaderKey, KeyLimits, PacketKey, TAG, apply};
use crate::packet::{self, MASKED, SHORT_PREFIX};
use crate::replay::ReplayWindow;

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
    #[cfg(any(test, feature = "fuzzing"))]
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
        let number = packet::expand_number(truncated, number_len, self.largest).ok_or(Refused::Forged)?;
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
