//! A line of limited rate, and what waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::units::NANOS;

/// What waits for a line, or is being sent. Its length is bounded by its owner.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sending {
    /// When each will have been sent, and its bytes.
    waiting: VecDeque<(Duration, u64)>,
    bytes: u64,
    free_at: Duration,
}

impl Sending {
    /// Bytes that have not yet been sent entirely at `now`; the whole packet counts until its last byte is out.
    pub(crate) fn waiting(&mut self, now: Duration) -> u64 {
        while let Some(&(sent, bytes)) = self.waiting.front()
            && sent <= now
        {
            self.waiting.pop_front();
            self.bytes -= bytes;
        }
        self.bytes
    }

    /// Sends so many bytes behind what waits, not before `now`; when the last of them is out.
    pub(crate) fn send(&mut self, now: Duration, bytes: u64, rate: u64) -> Duration {
        self.free_at = self.free_at.max(now).saturating_add(takes(bytes, rate));
        self.waiting.push_back((self.free_at, bytes));
        self.bytes += bytes;
        self.free_at
    }
}

/// How long so many bytes take, rounded up: never faster than the rate.
pub(crate) fn takes(bytes: u64, rate: u64) -> Duration {
    let nanos = (u128::from(bytes) * NANOS).div_ceil(u128::from(rate.max(1)));
    let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
    // A remainder of division by a number that is less than 2^32.
    Duration::new(seconds, (nanos % NANOS) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_wait_for_each_other() {
        let ms = Duration::from_millis;
        let mut sending = Sending::default();
        assert_eq!(sending.send(ms(10), 100, 1000), ms(110));
        assert_eq!(sending.send(ms(20), 50, 1000), ms(160));
        assert_eq!(sending.waiting(ms(109)), 150);
        assert_eq!(sending.waiting(ms(110)), 50);
        assert_eq!(sending.waiting(ms(160)), 0);
        assert_eq!(sending.send(ms(170), 10, 1000), ms(180));
        assert_eq!(takes(1, 3), Duration::from_nanos(333_333_334));
        assert_eq!(takes(u64::MAX, 0), Duration::from_secs(u64::MAX));
        assert_eq!(sending.send(Duration::MAX, 10, 0), Duration::MAX);
    }
}
