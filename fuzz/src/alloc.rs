//! Counts what is allocated, so that a target can say how much an input may cost. Exact for one thread at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator with a counter.
pub struct Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes.cast_signed(), Relaxed) + bytes.cast_signed();
    if live > PEAK.load(Relaxed) {
        PEAK.store(live, Relaxed);
    }
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes.cast_signed(), Relaxed);
}

#[allow(unsafe_code)]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrink(layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // For a moment the system may hold both.
        grow(size);
        shrink(layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Does the work, which may hold at most so many bytes more at any moment than were held before.
pub fn bounded<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work();
    let used = PEAK.load(Relaxed) - before;
    assert!(used <= limit.cast_signed(), "{used} bytes were allocated, {limit} are allowed");
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_is_noticed_even_if_it_was_given_back() {
        let work = || drop(std::hint::black_box(vec![1_u8; 1 << 20]));
        bounded(2 << 20, work);
        assert!(std::panic::catch_unwind(|| bounded(1 << 19, work)).is_err());
    }
}
