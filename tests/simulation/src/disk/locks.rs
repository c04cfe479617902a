//! SQLite's locks between the connections to one file, and the memory they share in WAL mode.

use std::os::raw::c_void;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// How far a handle has locked its file ("File Locking And Concurrency In SQLite Version 3", §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// Who holds what of one file.
#[derive(Default)]
pub(super) struct FileLocks {
    /// Handles at [`Level::Shared`] or above.
    shared: usize,
    /// The one that is above it.
    writer: Option<(u64, Level)>,
}

impl FileLocks {
    /// Raises `handle` from `held` to `wanted`. False if others prevent it; `held` may have become
    /// [`Level::Pending`] all the same, which keeps new readers out.
    pub(super) fn raise(&mut self, handle: u64, held: &mut Level, wanted: Level) -> bool {
        if *held >= wanted {
            return true;
        }
        let other = self.writer.filter(|(writer, _)| *writer != handle).map(|(_, level)| level);
        if wanted == Level::Shared {
            if other.is_some_and(|level| level >= Level::Pending) {
                return false;
            }
            self.shared += 1;
            *held = Level::Shared;
            return true;
        }
        if other.is_some() {
            return false;
        }
        // Above `Shared` only whoever is there already: SQLite never asks otherwise.
        *held = match wanted {
            Level::Reserved => Level::Reserved,
            _ if self.shared > 1 => Level::Pending,
            _ => Level::Exclusive,
        };
        self.writer = Some((handle, *held));
        *held >= wanted
    }

    /// Lowers `handle` to `wanted`, which is [`Level::Shared`] or [`Level::None`].
    pub(super) fn lower(&mut self, handle: u64, held: &mut Level, wanted: Level) {
        if *held <= wanted {
            return;
        }
        if self.writer.is_some_and(|(writer, _)| writer == handle) {
            self.writer = None;
        }
        if wanted == Level::None {
            self.shared = self.shared.saturating_sub(1);
        }
        *held = wanted;
    }

    /// Whether anybody is above [`Level::Shared`].
    pub(super) fn is_reserved(&self) -> bool {
        self.writer.is_some()
    }
}

/// SQLite's number of locks on the shared memory.
pub(super) const SLOTS: usize = 8;
/// The size SQLite always asks for.
pub(super) const REGION_BYTES: usize = 32 * 1024;

/// The memory that the connections to one file share in WAL mode, and its locks.
///
/// Atomics because several connections write to it without this program's knowledge; SQLite orders its accesses
/// by barriers and by the locks.
#[derive(Default)]
pub(super) struct Shm(Mutex<ShmState>);

#[derive(Default)]
struct ShmState {
    /// They stay where they are until the last handle lets go of all.
    regions: Vec<Arc<[AtomicU64]>>,
    /// How many share a lock; -1 if one has it alone.
    slots: [i32; SLOTS],
}

/// What one handle holds of [`Shm`], a bit a lock.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Held {
    pub(super) shared: u8,
    pub(super) exclusive: u8,
}

/// What a handle wants with locks of [`Shm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShmLock {
    Shared,
    Exclusive,
    Release,
}

impl Shm {
    /// Where a region begins: [`REGION_BYTES`], valid as long as this `Shm` lives. None if it isn't there and is
    /// not to be made.
    pub(super) fn region(&self, index: usize, make: bool) -> Option<*mut c_void> {
        let regions = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).regions;
        while make && regions.len() <= index {
            regions.push((0..REGION_BYTES / size_of::<AtomicU64>()).map(|_| AtomicU64::new(0)).collect());
        }
        // The cast takes no reference to the atomics' values; they may be changed through it.
        regions.get(index).map(|region| region.as_ptr().cast_mut().cast())
    }

    /// Takes or releases the locks `first..first + count`, all or none. False if others prevent it.
    pub(super) fn lock(&self, first: usize, count: usize, how: ShmLock, held: &mut Held) -> bool {
        let slots = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).slots;
        let Some(range) = slots.get_mut(first..first + count) else { return false };
        let bits = || (first..first + count).map(|slot| 1_u8 << slot);
        let free = range.iter_mut().zip(bits()).all(|(slot, bit)| match how {
            ShmLock::Release => true,
            ShmLock::Shared => held.shared & bit != 0 || *slot >= 0,
            ShmLock::Exclusive => held.exclusive & bit != 0 || *slot == 0,
        });
        if !free {
            return false;
        }
        for (slot, bit) in range.iter_mut().zip(bits()) {
            match how {
                ShmLock::Release if held.exclusive & bit != 0 => *slot = 0,
                ShmLock::Release if held.shared & bit != 0 => *slot -= 1,
                ShmLock::Shared if held.shared & bit == 0 => *slot += 1,
                ShmLock::Exclusive => *slot = -1,
                _ => {}
            }
            match how {
                ShmLock::Release => {
                    (held.shared, held.exclusive) = (held.shared & !bit, held.exclusive & !bit)
                }
                ShmLock::Shared => held.shared |= bit,
                ShmLock::Exclusive => held.exclusive |= bit,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_while_others_read_and_then_alone() {
        let mut file = FileLocks::default();
        let (mut a, mut b, mut c) = (Level::None, Level::None, Level::None);
        assert!(file.raise(1, &mut a, Level::Shared) && file.raise(2, &mut b, Level::Shared));
        assert!(!file.is_reserved());
        assert!(file.raise(1, &mut a, Level::Reserved) && file.is_reserved());
        assert!(!file.raise(2, &mut b, Level::Reserved) && b == Level::Shared);
        assert!(file.raise(3, &mut c, Level::Shared), "a reserved lock lets readers in");
        file.lower(3, &mut c, Level::None);
        assert!(!file.raise(1, &mut a, Level::Exclusive) && a == Level::Pending);
        assert!(!file.raise(3, &mut c, Level::Shared), "a pending one doesn't");
        file.lower(2, &mut b, Level::None);
        assert!(file.raise(1, &mut a, Level::Exclusive) && a == Level::Exclusive);
        assert!(!file.raise(2, &mut b, Level::Shared));
        file.lower(1, &mut a, Level::Shared);
        assert!(file.raise(2, &mut b, Level::Shared) && !file.is_reserved());
    }

    #[test]
    fn locks_of_the_shared_memory_are_taken_all_or_none() {
        let shm = Shm::default();
        let (mut a, mut b) = (Held::default(), Held::default());
        assert!(shm.lock(3, 1, ShmLock::Shared, &mut a) && shm.lock(3, 1, ShmLock::Shared, &mut b));
        assert!(!shm.lock(1, 4, ShmLock::Exclusive, &mut a), "b shares one of them, and a itself");
        assert!(shm.lock(1, 2, ShmLock::Exclusive, &mut a), "none of the four is held");
        assert!(!shm.lock(2, 1, ShmLock::Shared, &mut b));
        assert!(shm.lock(1, 2, ShmLock::Release, &mut a) && shm.lock(3, 1, ShmLock::Release, &mut a));
        assert!(shm.lock(2, 1, ShmLock::Shared, &mut b));
        assert!(!shm.lock(3, 1, ShmLock::Exclusive, &mut a));
        assert!(shm.lock(3, 1, ShmLock::Release, &mut b) && shm.lock(3, 1, ShmLock::Exclusive, &mut a));
        assert!(!shm.lock(7, 2, ShmLock::Shared, &mut a), "there are eight");
    }

    #[test]
    fn a_region_is_made_once_and_stays() {
        let shm = Shm::default();
        assert!(shm.region(1, false).is_none());
        let second = shm.region(1, true).unwrap();
        for more in 2..40 {
            assert!(shm.region(more, true).is_some());
        }
        assert_eq!(shm.region(1, false), Some(second));
        assert_ne!(shm.region(0, false), Some(second));
    }
}
