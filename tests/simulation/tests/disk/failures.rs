//! The disk fails and goes on: the error is told, nothing acknowledged is lost, and the store is used further.

use chat_simulation::disk::{Disk, DiskError, Operation};
use rusqlite::ErrorCode;

use crate::workload::{CLIENT, RELAY, Setup, Store, run, verify};

const TRANSACTIONS: u32 = 12;

/// Commits with one connection, each number until it succeeds; how many errors there were.
fn persist(disk: &Disk, setup: Setup) -> rusqlite::Result<(u32, u32)> {
    let store = Store::open(disk, setup)?;
    let (mut errors, mut acknowledged) = (0, 0);
    while acknowledged < TRANSACTIONS {
        // A commit that failed may be there all the same, like one whose answer was lost.
        let known: Option<u32> = store.db.query_row("SELECT max(n) FROM a", [], |row| row.get(0))?;
        acknowledged = acknowledged.max(known.unwrap_or(0));
        match store.commit(acknowledged + 1) {
            Ok(()) => acknowledged += 1,
            Err(error) => {
                errors += 1;
                let code = error.sqlite_error_code();
                assert!(matches!(code, Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)), "{error:?}");
                assert!(errors < 5, "one fault was ordered: {error}");
            }
        }
    }
    Ok((acknowledged, errors))
}

#[test]
fn one_failure_at_every_change_is_told_and_nothing_acknowledged_is_lost() {
    for setup in [CLIENT, RELAY] {
        for error in [DiskError::Io, DiskError::Full] {
            let (mut told, mut unopened) = (0, 0);
            for n in 1.. {
                let disk = Disk::new(n);
                disk.fail_change_at(n, error);
                let acknowledged = match persist(&disk, setup) {
                    Ok((acknowledged, errors)) => {
                        told += errors;
                        acknowledged
                    }
                    Err(_) => {
                        unopened += 1;
                        persist(&disk, setup).unwrap().0
                    }
                };
                let failed = disk.counters().failures;
                disk.forget_faults();
                disk.crash();
                disk.power_on();
                let found = verify(&disk, setup, acknowledged);
                assert!(found.is_ok(), "change {n}, {error:?}, {setup:?}: {found:?}");
                if failed == 0 {
                    assert!(n > 50, "only {n} changes");
                    break;
                }
            }
            assert!(told > 10 && unopened > 3, "{told} told, {unopened} could not open");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_takes_again_once_there_is_room() {
    for setup in [CLIENT, RELAY] {
        for capacity in [20_000, 50_000, 51_000, 90_000] {
            let disk = Disk::new(capacity);
            drop(Store::open(&disk, setup).unwrap());
            disk.set_capacity(Some(capacity));
            let full = run(&disk, setup, 1, 200);
            let code = full.error.and_then(|error| error.sqlite_error_code());
            assert!(matches!(code, Some(ErrorCode::DiskFull)), "{code:?}");
            assert!(disk.used_bytes() <= capacity);
            assert_eq!(verify(&disk, setup, full.acknowledged), Ok(full.acknowledged));
            disk.crash();
            disk.set_capacity(None);
            disk.power_on();
            let found = verify(&disk, setup, full.acknowledged).unwrap();
            assert!(run(&disk, setup, found + 1, found + 5).error.is_none());
        }
    }
}

#[test]
fn each_kind_of_failure_is_told_as_what_it_is() {
    let code = |operation, error| {
        let disk = Disk::new(1);
        let store = Store::open(&disk, CLIENT).unwrap();
        store.commit(1).unwrap();
        disk.fail_next(operation, error);
        let told = match operation {
            Operation::Open => Store::open(&disk, CLIENT).err(),
            Operation::Truncate => store.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").err(),
            _ => store.commit(2).err(),
        };
        told.and_then(|error| error.sqlite_error().map(|error| error.extended_code))
    };
    assert_eq!(code(Operation::Write, DiskError::Io), Some(rusqlite::ffi::SQLITE_IOERR_WRITE));
    assert_eq!(code(Operation::Write, DiskError::Full), Some(rusqlite::ffi::SQLITE_FULL));
    assert_eq!(code(Operation::Sync, DiskError::Io), Some(rusqlite::ffi::SQLITE_IOERR_FSYNC));
    assert_eq!(code(Operation::Open, DiskError::Io), Some(rusqlite::ffi::SQLITE_CANTOPEN));
    assert_eq!(code(Operation::Truncate, DiskError::Io), Some(rusqlite::ffi::SQLITE_IOERR_TRUNCATE));

    let disk = Disk::new(1);
    assert!(run(&disk, RELAY, 1, 9).error.is_none());
    disk.fail_next(Operation::Read, DiskError::Io);
    assert!(Store::open(&disk, RELAY).is_err());
    assert_eq!(verify(&disk, RELAY, 9), Ok(9));
}
