//! A simulated machine: its clock and its randomness. Time is the paused clock of the runtime, so it passes only when
//! nothing else is to be done, and at no other pace than the simulation's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chat_core::environment::Work;
use chat_core::{CryptoError, Entropy, Environment, Timestamp};
use tokio::time::Instant;

use crate::rng::Rng;

/// Where the wall clocks of a simulation begin: 2026-01-01, in milliseconds.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// The [`Environment`] of one simulated machine.
pub struct Machine {
    origin: Instant,
    seed: u64,
    drawn: AtomicU64,
    /// How far its wall clock is ahead.
    skew_ms: AtomicI64,
}

impl Machine {
    /// A machine whose wall clock begins now, at `origin`, and is `skew_ms` ahead of the others'.
    pub fn new(origin: Instant, seed: u64, skew_ms: i64) -> Arc<Self> {
        Arc::new(Self { origin, seed, drawn: AtomicU64::new(0), skew_ms: AtomicI64::new(skew_ms) })
    }

    /// Sets the wall clock to be so far ahead of the others'.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

impl Environment for Machine {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let skew = self.skew_ms.load(Ordering::Relaxed);
        Timestamp(EPOCH_MS.saturating_add(elapsed).saturating_add_signed(skew))
    }

    fn entropy(&self) -> Box<dyn Entropy> {
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        // Two steps, so that neither seeds nor sources that follow each other overlap.
        let seed = Rng::new(self.seed).next_u64() ^ Rng::new(n.wrapping_mul(0x9e37_79b9)).next_u64();
        Box::new(Seeded(Rng::new(seed)))
    }

    fn spawn(&self, _: &'static str, work: Work) -> io::Result<()> {
        // In the one thread there is: what blocks takes no simulated time.
        drop(tokio::spawn(work));
        Ok(())
    }
}

/// Randomness that is none: for a simulation only.
struct Seeded(Rng);

impl Entropy for Seeded {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        for piece in buf.chunks_mut(8) {
            let bytes = self.0.next_u64().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
        Ok(())
    }
}
