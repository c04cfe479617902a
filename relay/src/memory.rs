//! Memory for what waits to be sent, of all clients together.
//!
//! A client has [`FREE_BYTES`] of its own, enough for a page of a roster or a few letters, so that it gets on however
//! short memory is. What is beyond that comes out of one pool, of which one network address may use a part. When the
//! pool is empty, envelopes wait in the mailbox, lists wait, answers wait because no records are read, and strangers
//! are not taken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a client may hold without asking.
pub(crate) const FREE_BYTES: usize = 32 << 10;
/// What a queued frame takes beside its bytes, about.
const FRAME_OVERHEAD: usize = 64;

/// What a queued frame takes.
pub(crate) fn frame_cost(len: usize) -> usize {
    len + FRAME_OVERHEAD
}

/// An amount with a limit. The limit is for those who ask; who does not, may exceed it.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: usize,
    used: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.limit
    }

    /// Whether little is left: an eighth.
    pub(crate) fn is_tight(&self) -> bool {
        !self.has_room(self.limit / 8)
    }
}

/// What one client holds. Dropping it gives all of it back.
#[derive(Debug)]
pub(crate) struct Account {
    /// Everybody's, and its network address's.
    pools: [Arc<Pool>; 2],
    held: usize,
}

impl Account {
    pub(crate) fn new(everybody: Arc<Pool>, address: Arc<Pool>) -> Self {
        Self { pools: [everybody, address], held: 0 }
    }

    pub(crate) fn is_tight(&self) -> bool {
        self.pools.iter().any(|pool| pool.is_tight())
    }

    /// Whether so many bytes more may be held.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let more = beyond_free(self.held.saturating_add(bytes)) - beyond_free(self.held);
        more == 0 || self.pools.iter().all(|pool| pool.has_room(more))
    }

    /// So many bytes are held now.
    pub(crate) fn hold(&mut self, bytes: usize) {
        let (before, after) = (beyond_free(self.held), beyond_free(bytes));
        for pool in &self.pools {
            if after > before {
                pool.used.fetch_add(after - before, Ordering::Relaxed);
            } else {
                pool.used.fetch_sub(before - after, Ordering::Relaxed);
            }
        }
        self.held = bytes;
    }
}

fn beyond_free(bytes: usize) -> usize {
    bytes.saturating_sub(FREE_BYTES)
}

impl Drop for Account {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_free_part_is_everybodys_and_its_addresss() {
        let everybody = Pool::new(100_000);
        let (here, there) = (Pool::new(60_000), Pool::new(60_000));
        let account = |address: &Arc<Pool>| Account::new(Arc::clone(&everybody), Arc::clone(address));
        let (mut a, mut b, mut c) = (account(&here), account(&here), account(&there));
        a.hold(FREE_BYTES);
        assert_eq!((everybody.used(), here.used()), (0, 0));
        assert!(a.has_room(60_000) && !a.has_room(60_001));
        a.hold(FREE_BYTES + 50_000);
        assert!(!a.is_tight() && !b.is_tight());
        b.hold(FREE_BYTES + 5_000);
        assert!(
            a.is_tight() && b.is_tight() && !c.is_tight(),
            "one address does not use up what others have"
        );
        assert!(!b.has_room(5_001) && b.has_room(5_000));
        assert!(c.has_room(FREE_BYTES + 45_000) && !c.has_room(FREE_BYTES + 45_001));
        // Nobody is asked about an answer.
        c.hold(FREE_BYTES + 50_000);
        assert_eq!(everybody.used(), 105_000);
        assert!(!a.has_room(1) && c.is_tight());
        let newcomer = account(&there);
        assert!(newcomer.has_room(FREE_BYTES) && !newcomer.has_room(FREE_BYTES + 1));
        a.hold(10);
        assert_eq!((everybody.used(), here.used(), there.used()), (55_000, 5_000, 50_000));
        drop((a, b, c, newcomer));
        assert_eq!((everybody.used(), here.used(), there.used()), (0, 0, 0));
    }
}
