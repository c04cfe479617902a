//! Reading events in order, and noticing when one was too slow.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Log, Shared};
use crate::api::event::Numbered;

/// What a reader gets that was too slow, or whose engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lagged {
    /// Events were dropped; take a snapshot and go on reading: the next event is newer than the snapshot's or in it.
    #[error("{dropped} events were dropped")]
    Behind {
        /// How many.
        dropped: u64,
    },
    /// The engine has stopped and there is nothing left to read.
    #[error("the program is stopping")]
    Stopped,
}

/// Reads events in order.
pub struct EventReader {
    pub(super) shared: Arc<Shared>,
    pub(super) next: u64,
}

impl EventReader {
    fn poll(&mut self, log: &Log) -> Option<Result<Arc<Numbered>, Lagged>> {
        let oldest = log.last + 1 - log.kept.len() as u64;
        if self.next < oldest {
            let dropped = oldest - self.next;
            self.next = oldest;
            return Some(Err(Lagged::Behind { dropped }));
        }
        let index = usize::try_from(self.next - oldest).ok()?;
        match log.kept.get(index) {
            Some(event) => {
                self.next += 1;
                Some(Ok(Arc::clone(event)))
            }
            None => log.stop.is_some().then_some(Err(Lagged::Stopped)),
        }
    }

    /// The next event if there is one now.
    ///
    /// # Errors
    /// [`Lagged`]
    pub fn try_next(&mut self) -> Option<Result<Arc<Numbered>, Lagged>> {
        let shared = Arc::clone(&self.shared);
        let log = shared.log();
        self.poll(&log)
    }

    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// [`Lagged`]
    pub async fn next(&mut self) -> Result<Arc<Numbered>, Lagged> {
        let shared = Arc::clone(&self.shared);
        loop {
            // Registered before the look, so that news between the look and the wait are not missed.
            let news = shared.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(found) = self.try_next() {
                return found;
            }
            news.await;
        }
    }

    /// The next event, or `None` after `timeout`, for a thread that may block.
    ///
    /// # Errors
    /// [`Lagged`]
    pub fn next_blocking(&mut self, timeout: Duration) -> Option<Result<Arc<Numbered>, Lagged>> {
        let deadline = Instant::now() + timeout;
        let shared = Arc::clone(&self.shared);
        let mut log = shared.log();
        loop {
            if let Some(found) = self.poll(&log) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            log = shared.blocking_news.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
