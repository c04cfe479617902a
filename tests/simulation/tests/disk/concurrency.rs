//! Several connections and threads on one file, and several disks.

use std::sync::mpsc::channel;

use chat_simulation::disk::Disk;
use rusqlite::ErrorCode;

use crate::workload::{CLIENT, RELAY, Setup, Store, run, verify};

#[test]
fn one_connection_writes_at_a_time_and_an_exclusive_one_shuts_all_others_out() {
    let disk = Disk::new(1);
    let (a, b) = (Store::open(&disk, RELAY).unwrap(), Store::open(&disk, RELAY).unwrap());
    b.db.busy_timeout(std::time::Duration::ZERO).unwrap();
    a.db.execute_batch("BEGIN IMMEDIATE; INSERT INTO a VALUES(1, x''); INSERT INTO b VALUES(1, x'')")
        .unwrap();
    let busy = b.db.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    assert_eq!(b.verify(), Ok(vec![]), "reading goes on");
    a.db.execute_batch("COMMIT").unwrap();
    b.commit(2).unwrap();
    assert_eq!(a.verify(), Ok(vec![1, 2]));
    drop((a, b));
    let alone = Store::open(&disk, CLIENT).unwrap();
    assert!(Store::open(&disk, CLIENT).is_err());
    alone.commit(3).unwrap();
}

#[test]
fn threads_write_and_read_one_file_with_either_journal() {
    for journal in ["WAL", "DELETE"] {
        let setup = Setup { journal, reader: false, ..RELAY };
        let disk = Disk::new(2);
        drop(Store::open(&disk, setup).unwrap());
        let (numbers, next) = channel();
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (disk, numbers) = (&disk, numbers.clone());
                scope.spawn(move || {
                    let store = Store::open(disk, setup).unwrap();
                    store.db.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
                    let mut last = 0;
                    while last < 60 {
                        let verified = store.verify().unwrap();
                        assert!(
                            verified.iter().copied().eq(1..=u32::try_from(verified.len()).unwrap())
                                && verified.len() >= last
                        );
                        last = verified.len();
                    }
                    numbers.send(reader).unwrap();
                });
            }
            let store = Store::open(&disk, setup).unwrap();
            store.db.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
            (1..=60).for_each(|n| store.commit(n).unwrap());
        });
        drop(numbers);
        assert_eq!(next.iter().count(), 3);
        disk.crash();
        disk.power_on();
        if journal == "WAL" {
            assert_eq!(verify(&disk, setup, 60), Ok(60));
        }
    }
}

#[test]
fn disks_in_parallel_threads_do_not_meet() {
    std::thread::scope(|scope| {
        for seed in 0..8_u32 {
            scope.spawn(move || {
                for round in 0..10 {
                    let disk = Disk::new(u64::from(seed));
                    assert!(run(&disk, CLIENT, 1, seed + round).error.is_none());
                    assert_eq!(verify(&disk, CLIENT, seed + round), Ok(seed + round));
                    assert_eq!(disk.files().len(), 1, "{:?}", disk.files());
                }
            });
        }
    });
}
