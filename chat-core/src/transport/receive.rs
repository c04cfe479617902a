//! Memory for frames that are coming in, of all links of the process together.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::error::LinkError;

/// What a piece of a link may hold without asking: longer than what a link carries ordinarily.
const FREE_BYTES: usize = 32 << 10;
const DEFAULT_LIMIT: usize = 256 << 20;

static EVERYBODY: Budget = Budget::new(DEFAULT_LIMIT);

#[derive(Debug)]
struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl Budget {
    const fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0) }
    }

    fn take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// What one reader of a link holds of frames that have come in part, or wait to be taken. Anybody who has proved to be
/// somebody may begin a frame of 2 MiB on each of its links and never end it: so all links of a process have one budget
/// for that, and a link that wants more than is left fails. 32 KiB are free, so that links that carry short frames never
/// fail so. Dropping it gives all of it back.
#[derive(Debug)]
pub struct ReceiveMemory {
    budget: &'static Budget,
    held: usize,
}

impl Default for ReceiveMemory {
    fn default() -> Self {
        Self { budget: &EVERYBODY, held: 0 }
    }
}

impl ReceiveMemory {
    /// Sets the budget of the process, in bytes; 256 MiB without it.
    pub fn limit(bytes: usize) {
        EVERYBODY.limit.store(bytes, Ordering::Relaxed);
    }

    /// So many bytes are held from now on. To hold less always succeeds.
    ///
    /// # Errors
    /// [`LinkError::Io`] of the kind `OutOfMemory`; as much is held as before.
    pub fn hold(&mut self, bytes: usize) -> Result<(), LinkError> {
        let (before, after) = (beyond_free(self.held), beyond_free(bytes));
        if after > before && !self.budget.take(after - before) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::OutOfMemory,
                "there is no memory now for frames of this length",
            )
            .into());
        }
        self.budget.used.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        self.held = bytes;
        Ok(())
    }

    /// The same for what is there already: the budget may be exceeded by it.
    pub fn count(&mut self, bytes: usize) {
        let (before, after) = (beyond_free(self.held), beyond_free(bytes));
        self.budget.used.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        self.budget.used.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        self.held = bytes;
    }

    /// Counts a complete frame until the last handle of it is dropped.
    pub fn keep(frame: Bytes) -> Bytes {
        if frame.len() <= FREE_BYTES {
            return frame;
        }
        let mut memory = Self::default();
        memory.count(frame.len());
        Bytes::from_owner(Kept { frame, _memory: memory })
    }
}

struct Kept {
    frame: Bytes,
    _memory: ReceiveMemory,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

fn beyond_free(bytes: usize) -> usize {
    bytes.saturating_sub(FREE_BYTES)
}

impl Drop for ReceiveMemory {
    fn drop(&mut self) {
        self.count(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(budget: &Budget) -> usize {
        budget.used.load(Ordering::Relaxed)
    }

    #[test]
    fn links_share_one_budget_beyond_what_each_has_free() {
        static BUDGET: Budget = Budget::new(100_000);
        let new = || ReceiveMemory { budget: &BUDGET, held: 0 };
        let (mut a, mut b) = (new(), new());
        a.hold(FREE_BYTES).unwrap();
        assert_eq!(used(&BUDGET), 0);
        a.hold(FREE_BYTES + 70_000).unwrap();
        b.hold(FREE_BYTES + 30_000).unwrap();
        let error = b.hold(FREE_BYTES + 30_001).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        assert_eq!((used(&BUDGET), b.held), (100_000, FREE_BYTES + 30_000));
        let mut c = new();
        c.hold(FREE_BYTES).unwrap();
        c.count(FREE_BYTES + 5);
        assert_eq!(used(&BUDGET), 100_005);
        c.hold(1).unwrap();
        a.hold(0).unwrap();
        b.hold(FREE_BYTES + 100_000).unwrap();
        drop((a, b, c));
        assert_eq!(used(&BUDGET), 0);
    }

    #[test]
    fn a_frame_is_counted_until_it_is_dropped() {
        let before = used(&EVERYBODY);
        let frame = ReceiveMemory::keep(Bytes::from(vec![7; FREE_BYTES + 1_000_000]));
        let slice = frame.slice(5..9);
        assert_eq!(&slice[..], [7; 4]);
        drop(frame);
        assert!(used(&EVERYBODY) >= before + 1_000_000);
        drop(slice);
        assert!(used(&EVERYBODY) < before + 1_000_000);
        assert_eq!(ReceiveMemory::keep(Bytes::from_static(b"short")), "short");
    }
}
