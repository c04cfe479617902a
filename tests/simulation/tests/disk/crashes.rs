//! The power goes, or the process: every acknowledged transaction is there afterwards, none of them half.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_simulation::disk::{CrashMode, Disk};

use crate::workload::{CLIENT, RELAY, Setup, Store, run, verify};

const MODES: [CrashMode; 4] =
    [CrashMode::Nothing, CrashMode::Everything, CrashMode::Prefix, CrashMode::Subset];
const TRANSACTIONS: u32 = 12;

/// How many changes a whole run makes, up to and with the close.
fn changes(setup: Setup) -> u64 {
    let disk = Disk::new(0);
    let run = run(&disk, setup, 1, TRANSACTIONS);
    assert!(run.error.is_none(), "{:?}", run.error);
    let changes = disk.counters().changes;
    assert_eq!(verify(&disk, setup, TRANSACTIONS), Ok(TRANSACTIONS));
    changes
}

fn survives_at_every_change(setup: Setup) {
    let (mut unanswered, mut crashes) = (0, 0);
    for n in 1..=changes(setup) {
        for (seed, mode) in (n * 10..).zip(MODES) {
            let disk = Disk::new(seed);
            disk.set_crash_mode(mode);
            disk.crash_at(n);
            let crashed = run(&disk, setup, 1, TRANSACTIONS);
            assert!(disk.is_down(), "change {n}");
            // The close is among the changes; a failure there is nobody's to hear.
            assert!(crashed.error.is_some() || crashed.acknowledged == TRANSACTIONS);
            disk.power_on();
            let found = verify(&disk, setup, crashed.acknowledged)
                .unwrap_or_else(|fault| panic!("change {n}, seed {seed}, {mode:?}: {fault}"));
            unanswered += found - crashed.acknowledged;
            let more = run(&disk, setup, found + 1, found + 3);
            assert!(more.error.is_none(), "it goes on: {:?}", more.error);
            crashes += disk.counters().crashes;
        }
    }
    assert!(crashes > 200 && unanswered > 0, "{crashes} crashes, {unanswered} committed and not answered");
}

#[test]
fn a_store_of_one_connection_survives_a_power_cut_at_every_change() {
    survives_at_every_change(CLIENT);
}

#[test]
fn a_store_with_a_reader_survives_a_power_cut_at_every_change() {
    survives_at_every_change(RELAY);
}

/// A rollback journal, too. `EXTRA`: with `FULL` its deletion is not synced, and the last commit may be undone.
#[test]
fn a_store_with_a_rollback_journal_survives_a_power_cut_at_every_change() {
    survives_at_every_change(Setup { journal: "DELETE", synchronous: "EXTRA", ..CLIENT });
}

#[test]
fn a_life_of_power_cuts_also_in_the_midst_of_a_recovery() {
    let (mut lost, mut torn) = (0, 0);
    for seed in 0..60 {
        let setup = if seed % 2 == 0 { CLIENT } else { RELAY };
        let disk = Disk::new(seed);
        let mut count = 0;
        for life in 1..=12_u64 {
            // Every third time soon: while it opens, recovers or makes its tables.
            disk.crash_at(if life % 3 == 0 { 1 + seed % 7 } else { 5 + seed * life * 7 % 60 });
            let lived = run(&disk, setup, count + 1, count + 40);
            if !disk.is_down() {
                disk.crash();
            }
            disk.power_on();
            disk.forget_faults();
            count = verify(&disk, setup, lived.acknowledged)
                .unwrap_or_else(|fault| panic!("seed {seed}, life {life}: {fault}"));
        }
        (lost, torn) = (lost + disk.counters().dropped, torn + disk.counters().torn);
    }
    assert!(lost > 1000 && torn > 100, "{lost} lost, {torn} torn");
}

#[test]
fn a_killed_process_loses_nothing_it_wrote_and_the_power_may_go_later() {
    let unsynced = Setup { synchronous: "OFF", ..CLIENT };
    let mut lost = 0;
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let store = Store::open(&disk, unsynced).unwrap();
        (1..=9).for_each(|n| store.commit(n).unwrap());
        disk.kill();
        disk.power_on();
        assert_eq!(verify(&disk, unsynced, 9), Ok(9));
        let store_again = Store::open(&disk, unsynced).unwrap();
        store_again.commit(10).unwrap();
        disk.kill();
        disk.crash();
        disk.power_on();
        lost += u64::from(verify(&disk, unsynced, 10).is_err());
    }
    assert!(lost > 5, "{lost}");
}

#[test]
fn a_node_that_has_not_noticed_does_no_harm() {
    for end in [Disk::crash, Disk::kill] {
        for setup in [CLIENT, RELAY] {
            let disk = Disk::new(7);
            let dead = Store::open(&disk, setup).unwrap();
            dead.commit(1).unwrap();
            let path = disk.path("x.db");
            end(&disk);
            assert!(dead.commit(2).is_err() && Store::open(&disk, setup).is_err(), "it is down");
            disk.power_on();
            let next = Store::open(&disk, setup).unwrap();
            assert!(dead.commit(2).is_err());
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
            assert!(rusqlite::Connection::open_with_flags_and_vfs(path, flags, disk.vfs_name()).is_err());
            next.commit(2).unwrap();
            assert!(dead.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").is_err());
            drop(dead);
            next.commit(3).unwrap();
            assert_eq!(next.verify(), Ok(vec![1, 2, 3]));
        }
    }
}

#[test]
fn whoever_wants_to_know_is_told_when_the_disk_goes_down() {
    let disk = Disk::new(1);
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    disk.on_down(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    disk.crash_at(20);
    assert!(run(&disk, CLIENT, 1, 100).error.is_some());
    assert_eq!(told.load(Ordering::Relaxed), 1);
    disk.power_on();
    disk.kill();
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

/// Everything that happened, as numbers.
fn history(seed: u64, setup: Setup) -> (u64, chat_simulation::disk::Counters, Vec<u8>) {
    let disk = Disk::new(seed);
    let mut count = 0;
    for life in 1..5 {
        disk.crash_at(9 + life * 11);
        run(&disk, setup, count + 1, count + 30);
        disk.power_on();
        count = Store::open(&disk, setup).unwrap().verify().unwrap().len().try_into().unwrap();
    }
    (disk.trace_hash(), disk.counters(), disk.read("x.db").unwrap())
}

#[test]
fn a_seed_decides_everything() {
    for setup in [CLIENT, RELAY] {
        let mut hashes = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let first = history(seed, setup);
            assert!(first.1.crashes == 4 && first.1.reads > 0, "{:?}", first.1);
            assert!(first == history(seed, setup), "seed {seed} is not the same twice");
            hashes.insert(first.0);
        }
        assert!(hashes.len() > 15, "{} different", hashes.len());
    }
}
