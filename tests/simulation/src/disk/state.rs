//! A disk under its lock: what an operation does to it.

use std::os::raw::c_int;
use std::sync::Arc;

use rusqlite::ffi;

use super::fate::{CrashMode, Fates};
use super::faults::{DiskError, Faults, Operation, Verdict};
use super::files::{Files, InodeId};
use super::{Counters, Rng};
use crate::trace::Trace;

/// What SQLite gets for an answer: `Err` holds its code.
pub(super) type Answer<T = ()> = Result<T, c_int>;

/// Writes up to this length are in the trace without their bytes: random numbers may be among them.
const HEADER_BYTES: usize = 32;

pub(super) struct State {
    pub(super) files: Files,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    pub(super) trace: Trace,
    pub(super) mode: CrashMode,
    pub(super) capacity: Option<u64>,
    pub(super) lying: bool,
    /// How often the disk went down. What was opened at another number is dead.
    pub(super) boot: u64,
    pub(super) down: bool,
    /// It went down, and nobody was told yet.
    pub(super) just_down: bool,
    pub(super) on_down: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(super) last_handle: u64,
    rng: Rng,
}

/// The file an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) inode: InodeId,
    pub(super) name: &'a str,
    /// The name, for the trace.
    pub(super) hash: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            files: Files::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            trace: Trace::default(),
            mode: CrashMode::default(),
            capacity: None,
            lying: false,
            boot: 0,
            down: false,
            just_down: false,
            on_down: None,
            last_handle: 0,
            rng: Rng::new(seed),
        }
    }

    pub(super) fn is_alive(&self, boot: u64) -> bool {
        !self.down && self.boot == boot
    }

    pub(super) fn crash(&mut self) {
        self.counters.crashes += 1;
        let pending = self.files.pending();
        let Self { files, rng, counters, mode, .. } = self;
        files.crash(&mut Fates::new(*mode, rng, counters, pending));
        self.go_down(b"crash");
        for count in [self.counters.kept, self.counters.dropped, self.counters.torn] {
            self.trace.number(count);
        }
    }

    pub(super) fn kill(&mut self) {
        self.files.kill();
        self.go_down(b"kill");
    }

    fn go_down(&mut self, why: &[u8]) {
        self.trace.add(why);
        self.boot += 1;
        self.down = true;
        self.just_down = true;
    }

    /// Counts and records an operation, and says what is to become of it; the caller does that, then calls
    /// [`State::fail`].
    fn meet(&mut self, operation: Operation, change: bool, about: [u64; 3]) -> Result<(), Failure> {
        if change {
            self.counters.changes += 1;
            self.trace.number(operation as u64);
            about.into_iter().for_each(|word| self.trace.number(word));
        }
        let verdict = self.faults.meet(operation, change);
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Crash => Err(Failure { error: DiskError::Io, crash: true }),
            Verdict::Fail(error) => {
                self.counters.failures += 1;
                Err(Failure { error, crash: false })
            }
        }
    }

    /// The end of a failed operation, once what it does all the same is done: its code. Now the power goes.
    fn fail(&mut self, operation: Operation, failure: Failure) -> c_int {
        self.trace.number(failure.error as u64);
        if failure.crash {
            self.crash();
        }
        operation.code(failure.error)
    }

    /// Finds or makes a file. `must_be_new`, `make`: as of SQLite's flags.
    pub(super) fn open(&mut self, name: &str, make: bool, must_be_new: bool) -> Answer<InodeId> {
        let found = self.files.find(name);
        self.counters.opens += 1;
        let (is_new, hash) = (found.is_none() && make, Trace::of(name));
        if let Err(failure) = self.meet(Operation::Open, is_new, [hash, 0, 0]) {
            if failure.crash && is_new {
                self.files.create(name);
            }
            return Err(self.fail(Operation::Open, failure));
        }
        match found {
            Some(_) if must_be_new => Err(ffi::SQLITE_CANTOPEN),
            Some(id) => Ok(id),
            None if make => Ok(self.files.create(name)),
            None => Err(ffi::SQLITE_CANTOPEN),
        }
    }

    pub(super) fn delete(&mut self, name: &str, sync_folder: bool) -> Answer {
        if self.files.find(name).is_none() {
            return Err(ffi::SQLITE_IOERR_DELETE_NOENT);
        }
        self.counters.deletes += 1;
        let met = self.meet(Operation::Delete, true, [Trace::of(name), u64::from(sync_folder), 0]);
        if met.as_ref().err().is_none_or(|failure| failure.crash) {
            self.files.unlink(name);
        }
        met.map_err(|failure| self.fail(Operation::Delete, failure))?;
        if sync_folder && !self.lying {
            self.files.sync_folder(name);
        }
        self.files.drop_unreachable();
        Ok(())
    }

    /// Whether all of it was there.
    pub(super) fn read(&mut self, target: Target<'_>, offset: usize, buf: &mut [u8]) -> Answer<bool> {
        self.counters.reads += 1;
        if let Err(failure) = self.meet(Operation::Read, false, [0; 3]) {
            return Err(self.fail(Operation::Read, failure));
        }
        let inode = self.files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_READ)?;
        Ok(inode.read(offset, buf))
    }

    pub(super) fn write(&mut self, target: Target<'_>, offset: usize, data: &[u8]) -> Answer {
        self.counters.writes += 1;
        self.counters.written_bytes += data.len() as u64;
        let met = self.meet(Operation::Write, true, [target.hash, offset as u64, data.len() as u64]);
        if data.len() > HEADER_BYTES && !target.name.ends_with("-journal") {
            self.trace.add(data);
        }
        let done = match &met {
            Ok(()) => self.room_for(target.inode, offset, data.len()),
            // The power goes after it was written: then it may be torn like everything before it.
            Err(Failure { crash: true, .. }) => data.len(),
            Err(_) => usize::try_from(self.rng.below(data.len() as u64 + 1)).unwrap_or(0),
        };
        let order = self.files.order();
        let inode = self.files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_WRITE)?;
        if let Some(done @ [_, ..]) = data.get(..done) {
            inode.write(order, offset, done);
        }
        met.map_err(|failure| self.fail(Operation::Write, failure))?;
        if done < data.len() {
            self.counters.failures += 1;
            return Err(Operation::Write.code(DiskError::Full));
        }
        Ok(())
    }

    /// How many of `len` bytes fit.
    fn room_for(&mut self, inode: InodeId, offset: usize, len: usize) -> usize {
        let Some(capacity) = self.capacity else { return len };
        let now = self.files.inode(inode).map_or(0, |inode| inode.len());
        let growth = (offset + len).saturating_sub(now);
        let free = usize::try_from(capacity).unwrap_or(usize::MAX).saturating_sub(self.files.used());
        len.saturating_sub(growth.saturating_sub(free))
    }

    pub(super) fn truncate(&mut self, target: Target<'_>, len: usize) -> Answer {
        self.counters.truncates += 1;
        let met = self.meet(Operation::Truncate, true, [target.hash, len as u64, 0]);
        let order = self.files.order();
        let inode = self.files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_TRUNCATE)?;
        if met.as_ref().err().is_none_or(|failure| failure.crash) {
            inode.resize(order, len);
        }
        met.map_err(|failure| self.fail(Operation::Truncate, failure))
    }

    pub(super) fn sync(&mut self, target: Target<'_>, folder: bool) -> Answer {
        self.counters.syncs += 1;
        let met = self.meet(Operation::Sync, true, [target.hash, u64::from(folder), 0]);
        if let Err(failure) = met {
            if !failure.crash {
                let Self { files, rng, counters, .. } = self;
                let inode = files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_FSYNC)?;
                let pending = inode.pending().collect();
                inode.sync_in_part(&mut Fates::new(CrashMode::Subset, rng, counters, pending));
            }
            return Err(self.fail(Operation::Sync, failure));
        }
        if self.lying {
            return Ok(());
        }
        self.files.inode(target.inode).ok_or(ffi::SQLITE_IOERR_FSYNC)?.sync();
        if folder {
            self.files.sync_folder(target.name);
        }
        Ok(())
    }
}

/// What [`State::meet`] has decided against an operation.
struct Failure {
    error: DiskError,
    /// The power goes as well.
    crash: bool,
}
