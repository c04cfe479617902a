//! What is to go wrong, and when.

use std::os::raw::c_int;

use rusqlite::ffi;

/// What SQLite does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opens it, or makes it.
    Open,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Sets its length.
    Truncate,
    /// Syncs it, and with a new file its folder.
    Sync,
    /// Deletes it.
    Delete,
}

/// What an operation fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// `EIO`: the medium fails.
    Io,
    /// `ENOSPC`: no space is left.
    Full,
}

impl Operation {
    /// How SQLite calls this failure, as its VFS for Unix does.
    pub(super) fn code(self, error: DiskError) -> c_int {
        match (self, error) {
            (Self::Write, DiskError::Full) => ffi::SQLITE_FULL,
            (Self::Write, DiskError::Io) => ffi::SQLITE_IOERR_WRITE,
            (Self::Open, _) => ffi::SQLITE_CANTOPEN,
            (Self::Read, _) => ffi::SQLITE_IOERR_READ,
            (Self::Truncate, _) => ffi::SQLITE_IOERR_TRUNCATE,
            (Self::Sync, _) => ffi::SQLITE_IOERR_FSYNC,
            (Self::Delete, _) => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

/// Which operations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Only(Operation),
    AnyChange,
}

/// What is to become of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    Fail(DiskError),
    /// The power goes while it is under way.
    Crash,
}

/// What was ordered.
#[derive(Default)]
pub(super) struct Faults {
    crash_in: Option<u64>,
    failures: Vec<(Target, u64, DiskError)>,
}

impl Faults {
    pub(super) fn crash_at(&mut self, n: u64) {
        self.crash_in = Some(n.max(1));
    }

    pub(super) fn fail(&mut self, only: Option<Operation>, n: u64, error: DiskError) {
        let target = only.map_or(Target::AnyChange, Target::Only);
        self.failures.push((target, n.max(1), error));
    }

    /// Called for each operation; `change` tells whether it changes something, so that a crash may meet it.
    pub(super) fn meet(&mut self, operation: Operation, change: bool) -> Verdict {
        let mut verdict = Verdict::Go;
        self.failures.retain_mut(|(target, left, error)| {
            let counts = match target {
                Target::Only(only) => *only == operation,
                Target::AnyChange => change,
            };
            *left -= u64::from(counts);
            if *left == 0 {
                verdict = Verdict::Fail(*error);
            }
            *left > 0
        });
        if change && let Some(left) = &mut self.crash_in {
            *left -= 1;
            if *left == 0 {
                self.crash_in = None;
                verdict = Verdict::Crash;
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_counts_what_it_waits_for_and_happens_once() {
        let mut faults = Faults::default();
        faults.fail(Some(Operation::Sync), 2, DiskError::Io);
        faults.fail(None, 3, DiskError::Full);
        faults.crash_at(6);
        let script = [
            (Operation::Write, true, Verdict::Go),
            (Operation::Read, false, Verdict::Go),
            (Operation::Sync, true, Verdict::Go),
            (Operation::Write, true, Verdict::Fail(DiskError::Full)),
            (Operation::Sync, true, Verdict::Fail(DiskError::Io)),
            (Operation::Open, false, Verdict::Go),
            (Operation::Open, true, Verdict::Go),
            (Operation::Delete, true, Verdict::Crash),
            (Operation::Delete, true, Verdict::Go),
        ];
        for (n, (operation, change, verdict)) in script.into_iter().enumerate() {
            assert_eq!(faults.meet(operation, change), verdict, "operation {n}");
        }
    }
}
