//! A machine whose wall clock follows the runtime's. With tokio's clock paused (`start_paused`) minutes pass in no
//! time, whenever nothing else is to be done; and a month is a jump.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_core::environment::Work;
use chat_core::{Entropy, Environment, OsEntropy, Timestamp};
use tokio::time::Instant;

/// The [`Environment`] of everybody in one test.
pub struct Clock {
    origin: Instant,
    began: Timestamp,
    ahead_ms: AtomicU64,
}

impl Clock {
    /// A clock that shows the real time now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { origin: Instant::now(), began: Timestamp::now(), ahead_ms: AtomicU64::new(0) })
    }

    /// Moves the wall clock on, for everybody; timers don't notice.
    pub fn jump_ms(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Environment for Clock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began.plus_ms(elapsed).plus_ms(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn entropy(&self) -> Box<dyn Entropy> {
        Box::new(OsEntropy)
    }

    fn spawn(&self, _: &'static str, work: Work) -> io::Result<()> {
        // In the runtime's own thread, so that a paused clock waits for it.
        drop(tokio::spawn(work));
        Ok(())
    }
}
