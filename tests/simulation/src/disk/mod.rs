//! A disk in memory, for SQLite, that loses power.
//!
//! A [`Disk`] is a file system of its own that outlives the nodes on it. SQLite reaches it through the VFS
//! [`VFS`] under the paths that [`Disk::path`] gives; SQLite itself is the one that ships, unchanged. Whoever opens
//! a store on it does so with these two and nothing else. It is deterministic: what goes wrong follows from the
//! seed and the order of the operations alone.
//!
//! # What a power cut leaves
//! Modelled is what POSIX promises and no more, which covers what ext4, XFS, btrfs and APFS do:
//! - What was written before a sync of the same file that succeeded is there.
//! - Every other write, and every change of a length, is there, or not, or in part: each sector of 512 bytes on the
//!   medium by itself. [`CrashMode`] says in which order. A lost write may have made the file longer all the same;
//!   then zeros stand there, or junk.
//! - A new name, or a deletion, is certain once the folder was synced, which SQLite does at the first sync of a new
//!   journal and, if it is asked to, at a deletion. Syncing a file does not make its name certain.
//! - A sector is old or new, never junk, and what a write does not touch is never damaged (SQLite's
//!   `POWERSAFE_OVERWRITE`, which its VFS for Unix assumes too).
//!
//! After a sync that failed the written data is partly lost although reads still show it, as on Linux.
//! [`Disk::kill`] is the end of a process instead (`kill -9`): everything written is there, but still not synced.
//!
//! Both take the disk down: every open file is dead, all its operations fail, and so do the paths of before. A node
//! that has not noticed does no harm. [`Disk::power_on`] lets the next one open its files.
//!
//! # What is not modelled
//! Decay of data at rest, sectors that cannot be read, memory-mapped files (SQLite is told there are none), and
//! latency: every operation takes no time.

mod fate;
mod faults;
mod files;
mod handle;
mod inode;
mod locks;
mod methods;
mod state;
mod vfs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use fate::CrashMode;
pub use faults::{DiskError, Operation};
pub use vfs::VFS;

use crate::rng::Rng;
use state::State;

/// The folder of all simulated disks.
const ROOT: &str = "/simulated-disk/";

/// Every disk there is, so that a path leads to it.
static DISKS: Mutex<BTreeMap<u64, Weak<Disk>>> = Mutex::new(BTreeMap::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn disks() -> MutexGuard<'static, BTreeMap<u64, Weak<Disk>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has happened on a disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Files opened or made.
    pub opens: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes in them.
    pub written_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Changes of a length.
    pub truncates: u64,
    /// Files deleted.
    pub deletes: u64,
    /// What [`Disk::crash_at`] counts: writes, syncs, truncates, deletions, and opens that made a file.
    pub changes: u64,
    /// Operations that failed because a fault was ordered, or for want of space.
    pub failures: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Changes not synced at a power cut or a failed sync that were kept.
    pub kept: u64,
    /// … that were lost.
    pub dropped: u64,
    /// … of which a part was kept.
    pub torn: u64,
}

/// A disk. `Send` and `Sync`; nothing in it waits for anything.
pub struct Disk {
    id: u64,
    state: Mutex<State>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Disk {
    /// An empty disk that is on. It is gone with the last handle on it, SQLite's included.
    pub fn new(seed: u64) -> Arc<Self> {
        vfs::register();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let disk = Arc::new(Self { id, state: Mutex::new(State::new(seed)) });
        disks().insert(id, Arc::downgrade(&disk));
        disk
    }

    /// The name under which SQLite knows the file system: [`VFS`], for every disk the same.
    pub fn vfs_name(&self) -> &'static str {
        VFS
    }

    /// Where `file` is until the disk goes down the next time; afterwards this path leads nowhere. `file` may be in a
    /// folder; folders exist.
    pub fn path(&self, file: &str) -> PathBuf {
        let boot = self.state().boot;
        format!("{ROOT}{}.{boot}/{file}", self.id).into()
    }

    /// The disk, the boot and the file that a path means.
    fn resolve(path: &str) -> Option<(Arc<Self>, u64, &str)> {
        let (disk, file) = path.strip_prefix(ROOT)?.split_once('/')?;
        let (id, boot) = disk.split_once('.')?;
        let disk = disks().get(&id.parse().ok()?)?.upgrade()?;
        Some((disk, boot.parse().ok()?, file))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, and tells whoever wants to know if the disk went down by it.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = act(&mut state);
        let tell = std::mem::take(&mut state.just_down).then(|| state.on_down.clone()).flatten();
        drop(state);
        if let Some(tell) = tell {
            tell();
        }
        result
    }

    /// The power goes now. On a disk that is down already it makes uncertain what [`Disk::kill`] had left.
    pub fn crash(&self) {
        self.with(State::crash);
    }

    /// The process that uses the disk is killed.
    pub fn kill(&self) {
        self.with(State::kill);
    }

    /// Files can be opened again. On a disk that is on nothing happens.
    pub fn power_on(&self) {
        self.state().down = false;
    }

    /// Whether the disk is down since a crash or a kill.
    pub fn is_down(&self) -> bool {
        self.state().down
    }

    /// Calls `tell` whenever the disk goes down, on the thread that caused it, which may be in the middle of an
    /// SQLite call: it must only wake somebody. Kept as long as the disk, so it must not hold it. Replaces the one before.
    pub fn on_down(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.state().on_down = Some(Arc::new(tell));
    }

    /// The power goes during the `n`-th change from now (see [`Counters::changes`]), 1 being the next: it is under
    /// way then, and fails.
    pub fn crash_at(&self, n: u64) {
        self.state().faults.crash_at(n);
    }

    /// The next operation of this kind fails. A write leaves a part of its bytes; after a sync see the module's
    /// documentation. Several orders count side by side.
    pub fn fail_next(&self, operation: Operation, error: DiskError) {
        self.state().faults.fail(Some(operation), 1, error);
    }

    /// The `n`-th change from now fails, counted as for [`Disk::crash_at`].
    pub fn fail_change_at(&self, n: u64, error: DiskError) {
        self.state().faults.fail(None, n, error);
    }

    /// Takes back what [`Disk::crash_at`], [`Disk::fail_next`] and [`Disk::fail_change_at`] have ordered and has not
    /// happened.
    pub fn forget_faults(&self) {
        self.state().faults = Default::default();
    }

    /// Which crashes there are.
    pub fn set_crash_mode(&self, mode: CrashMode) {
        self.state().mode = mode;
    }

    /// How many bytes all files together may have; a write beyond it fails with [`DiskError::Full`].
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.state().files.used() as u64
    }

    /// A disk that says it has synced and has not: the control that shows that a test notices a lost sync.
    pub fn set_lying(&self, lying: bool) {
        self.state().lying = lying;
    }

    /// What has happened until now.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// A hash over every change, in order, and over every crash: the same for the same seed and the same operations.
    /// Reads and locks do not count, so a connection that only reads may be on another thread.
    /// Journals, headers of frames in the write-ahead log and other writes of at most 32 bytes count with their
    /// place and length only, for SQLite puts random numbers there.
    pub fn trace_hash(&self) -> u64 {
        self.state().trace.hash()
    }

    /// Names and lengths of all files.
    pub fn files(&self) -> Vec<(String, u64)> {
        self.state().files.contents().map(|(name, bytes)| (name.to_owned(), bytes.len() as u64)).collect()
    }

    /// What is in a file now.
    pub fn read(&self, file: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.files.contents().find(|(name, _)| *name == file).map(|(_, bytes)| bytes.to_vec())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        disks().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_disks_leave_nothing_behind() {
        let ids: Vec<u64> = (0..1000)
            .map(|seed| {
                let disk = Disk::new(seed);
                let flags = rusqlite::OpenFlags::default();
                let db =
                    rusqlite::Connection::open_with_flags_and_vfs(disk.path("x.db"), flags, VFS).unwrap();
                db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(x)").unwrap();
                let path = disk.path("x.db");
                let id = disk.id;
                drop(disk);
                assert!(Disk::resolve(path.to_str().unwrap()).is_some(), "SQLite still holds it");
                id
            })
            .collect();
        let known = disks();
        assert!(ids.iter().all(|id| !known.contains_key(id)));
    }

    #[test]
    fn paths_lead_to_their_disk_and_nowhere_after_it_went_down() {
        let (a, b) = (Disk::new(1), Disk::new(2));
        assert_ne!(a.path("x"), b.path("x"));
        let path = a.path("folder/x");
        let (found, boot, file) = Disk::resolve(path.to_str().unwrap()).unwrap();
        assert!(Arc::ptr_eq(&found, &a) && boot == 0 && file == "folder/x");
        for foreign in ["", "x.db", "/simulated-disk/x", "/simulated-disk/x.0/y", "/simulated-disk/0.0/y"] {
            assert!(Disk::resolve(foreign).is_none(), "{foreign}");
        }
        a.kill();
        assert_ne!(a.path("folder/x"), path);
    }
}
