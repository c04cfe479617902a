//! Log lines that strangers can cause: a few at once, then one in five seconds; the rest is counted and told once a
//! minute. So the log grows by no more than that, whoever comes.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::bucket::TokenBucket;

const LINES_PER_MINUTE: u32 = 12;
const LINES_AT_ONCE: u32 = 60;

/// Writes a line about a link, if the relay's gate lets it through: `say!(relay, info, peer = …, "…")`.
macro_rules! say {
    ($relay:expr, $level:ident, $($line:tt)*) => {
        if $relay.log.lets_through() {
            tracing::$level!($($line)*);
        }
    };
}
pub(crate) use say;

#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<(TokenBucket, u64)>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new((TokenBucket::per_minute(LINES_PER_MINUTE, LINES_AT_ONCE), 0)) }
    }

    /// Whether a line may be written now; it is counted if not.
    pub(crate) fn lets_through(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let open = state.0.take(Instant::now());
        state.1 += u64::from(!open);
        open
    }

    /// How many were left out since this was asked last.
    pub(crate) fn left_out(&self) -> u64 {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}
