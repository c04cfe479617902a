//! An open file, as SQLite uses it.

use std::os::raw::c_int;
use std::sync::Arc;

use rusqlite::ffi;

use super::locks::{Held, Level, Shm, ShmLock};
use super::state::{Answer, State, Target};
use super::{Disk, files::InodeId};
use crate::trace::Trace;

/// A file that one connection has open.
pub(super) struct Handle {
    disk: Arc<Disk>,
    /// The boot it belongs to; at any other it is dead.
    boot: u64,
    id: u64,
    inode: InodeId,
    name: String,
    hash: u64,
    level: Level,
    shm: Option<Arc<Shm>>,
    held: Held,
    /// The next sync syncs the folder too: what SQLite's VFS for Unix does with new journals.
    sync_folder: bool,
    delete_on_close: bool,
    read_only: bool,
}

impl Handle {
    /// Opens `name` with SQLite's flags.
    pub(super) fn open(disk: Arc<Disk>, boot: u64, name: &str, flags: c_int) -> Answer<Self> {
        const JOURNALS: c_int =
            ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
        let has = |flag: c_int| flags & flag != 0;
        let (make, must_be_new) = (has(ffi::SQLITE_OPEN_CREATE), has(ffi::SQLITE_OPEN_EXCLUSIVE));
        let opened = disk.with(|state| {
            if !state.is_alive(boot) {
                return Err(ffi::SQLITE_CANTOPEN);
            }
            let inode = state.open(name, make, must_be_new)?;
            if let Some(inode) = state.files.inode(inode) {
                inode.handles += 1;
            }
            state.last_handle += 1;
            Ok((inode, state.last_handle))
        });
        let (inode, id) = opened?;
        Ok(Self {
            disk,
            boot,
            id,
            inode,
            name: name.to_owned(),
            hash: Trace::of(name),
            level: Level::None,
            shm: None,
            held: Held::default(),
            sync_folder: make && has(JOURNALS),
            delete_on_close: has(ffi::SQLITE_OPEN_DELETEONCLOSE),
            read_only: has(ffi::SQLITE_OPEN_READONLY),
        })
    }

    fn with<T>(
        &self,
        code_if_dead: c_int,
        act: impl FnOnce(&mut State, Target<'_>) -> Answer<T>,
    ) -> Answer<T> {
        let target = Target { inode: self.inode, name: &self.name, hash: self.hash };
        self.disk.with(|state| {
            if !state.is_alive(self.boot) {
                return Err(code_if_dead);
            }
            act(state, target)
        })
    }

    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> Answer {
        let whole = self.with(ffi::SQLITE_IOERR_READ, |state, target| state.read(target, offset, buf))?;
        if whole { Ok(()) } else { Err(ffi::SQLITE_IOERR_SHORT_READ) }
    }

    pub(super) fn write(&self, offset: usize, data: &[u8]) -> Answer {
        if self.read_only {
            return Err(ffi::SQLITE_READONLY);
        }
        self.with(ffi::SQLITE_IOERR_WRITE, |state, target| state.write(target, offset, data))
    }

    pub(super) fn truncate(&self, len: usize) -> Answer {
        if self.read_only {
            return Err(ffi::SQLITE_READONLY);
        }
        self.with(ffi::SQLITE_IOERR_TRUNCATE, |state, target| state.truncate(target, len))
    }

    pub(super) fn sync(&mut self) -> Answer {
        let folder = self.sync_folder;
        self.with(ffi::SQLITE_IOERR_FSYNC, |state, target| state.sync(target, folder))?;
        self.sync_folder = false;
        Ok(())
    }

    pub(super) fn len(&self) -> Answer<usize> {
        self.with(ffi::SQLITE_IOERR_FSTAT, |state, target| {
            state.files.inode(target.inode).map(|inode| inode.len()).ok_or(ffi::SQLITE_IOERR_FSTAT)
        })
    }

    pub(super) fn lock(&mut self, wanted: Level) -> Answer {
        let (id, mut level) = (self.id, self.level);
        let locked = self.with(ffi::SQLITE_IOERR_LOCK, |state, target| {
            let inode = state.files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_LOCK)?;
            Ok(inode.locks.raise(id, &mut level, wanted))
        })?;
        self.level = level;
        if locked { Ok(()) } else { Err(ffi::SQLITE_BUSY) }
    }

    /// Of a dead file nothing is locked.
    pub(super) fn unlock(&mut self, wanted: Level) {
        let Self { id, boot, inode, level, .. } = self;
        self.disk.with(|state| {
            if state.is_alive(*boot)
                && let Some(inode) = state.files.inode(*inode)
            {
                inode.locks.lower(*id, level, wanted);
            }
        });
    }

    pub(super) fn is_reserved(&self) -> Answer<bool> {
        self.with(ffi::SQLITE_IOERR_CHECKRESERVEDLOCK, |state, target| {
            let inode = state.files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)?;
            Ok(inode.locks.is_reserved())
        })
    }

    /// The memory shared with the other connections to this file.
    pub(super) fn shm(&mut self, code_if_dead: c_int) -> Answer<&Shm> {
        let mine = self.shm.clone();
        let shm = self.with(code_if_dead, |state, target| {
            if let Some(shm) = mine {
                return Ok(shm);
            }
            let inode = state.files.inode(target.inode).ok_or(code_if_dead)?;
            if let Some(shm) = inode.shm.upgrade() {
                return Ok(shm);
            }
            let shm = Arc::new(Shm::default());
            inode.shm = Arc::downgrade(&shm);
            Ok(shm)
        })?;
        Ok(self.shm.insert(shm))
    }

    pub(super) fn shm_lock(&mut self, first: usize, count: usize, how: ShmLock) -> Answer {
        let mut held = self.held;
        let locked = self.shm(ffi::SQLITE_IOERR_SHMLOCK)?.lock(first, count, how, &mut held);
        self.held = held;
        if locked { Ok(()) } else { Err(ffi::SQLITE_BUSY) }
    }

    /// Lets go of the shared memory; with the last connection it is gone.
    pub(super) fn shm_unmap(&mut self) {
        if let Some(shm) = self.shm.take() {
            shm.lock(0, super::locks::SLOTS, ShmLock::Release, &mut self.held);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shm_unmap();
        self.unlock(Level::None);
        self.disk.with(|state| {
            // Of a dead file nothing is left to close.
            if !state.is_alive(self.boot) {
                return;
            }
            if let Some(inode) = state.files.inode(self.inode) {
                inode.handles = inode.handles.saturating_sub(1);
            }
            if self.delete_on_close {
                state.files.unlink(&self.name);
            }
            state.files.drop_unreachable();
        });
    }
}
