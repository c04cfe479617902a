//! Who is woken when there is news.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Shared;

type Waker = Arc<dyn Fn() + Send + Sync>;

/// Those who want to be woken, by number.
#[derive(Default, Clone)]
pub(super) struct Wakers {
    last: u64,
    by_number: BTreeMap<u64, Waker>,
}

impl Wakers {
    pub(super) fn wake(&self) {
        self.by_number.values().for_each(|waker| waker());
    }
}

/// Whoever holds it is woken by news; dropping it ends that.
#[must_use = "dropping it ends the waking"]
pub struct NewsGuard {
    shared: Arc<Shared>,
    number: u64,
}

impl NewsGuard {
    pub(super) fn new(shared: Arc<Shared>, waker: Waker) -> Self {
        let mut log = shared.log();
        log.wakers.last += 1;
        let number = log.wakers.last;
        log.wakers.by_number.insert(number, waker);
        drop(log);
        Self { shared, number }
    }
}

impl Drop for NewsGuard {
    fn drop(&mut self) {
        let waker = self.shared.log().wakers.by_number.remove(&self.number);
        // Only now, with the lock given back: what the waker holds may have a drop of its own.
        drop(waker);
    }
}

impl fmt::Debug for NewsGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewsGuard({})", self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::tests::{event, snapshot};
    use super::super::{EventId, channel};
    use super::*;

    #[test]
    fn a_guard_that_is_dropped_takes_its_waker_along() {
        let (handle, engine) = channel(snapshot(EventId { epoch: 7, n: 0 }));
        let woken = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
        let [first, second] = [0, 1].map(|n: usize| {
            let count = Arc::clone(&woken[n]);
            handle.on_news(Arc::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }))
        });
        engine.publish(vec![event(1)], snapshot);
        drop(first);
        assert_eq!(Arc::strong_count(&woken[0]), 1, "nothing of the first is left");
        engine.publish(vec![event(2)], snapshot);
        let counts = [0, 1].map(|n: usize| woken[n].load(Ordering::Relaxed));
        assert_eq!(counts, [1, 2]);
        drop(second);
    }
}
