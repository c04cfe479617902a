//! That the disk really loses and tears what was not synced: stores without protection are damaged.

use chat_simulation::disk::{CrashMode, Disk};

use crate::workload::{CLIENT, RELAY, Setup, run, verify};

/// How many of a hundred runs with a power cut are found damaged, or without what they acknowledged.
fn damaged(setup: Setup, mode: CrashMode, lying: bool) -> (usize, Vec<String>) {
    let mut faults = Vec::new();
    for seed in 0..100 {
        let disk = Disk::new(seed);
        disk.set_crash_mode(mode);
        assert!(run(&disk, setup, 1, 2).error.is_none());
        disk.set_lying(lying);
        disk.crash_at(10 + seed);
        let crashed = run(&disk, setup, 3, 60);
        assert!(crashed.error.is_some());
        disk.power_on();
        faults.extend(verify(&disk, setup, crashed.acknowledged).err());
    }
    (faults.len(), faults)
}

#[test]
fn with_syncs_no_commit_is_lost_and_without_them_some_are() {
    for setup in [CLIENT, RELAY] {
        for mode in [CrashMode::Drawn, CrashMode::Prefix, CrashMode::Subset] {
            assert_eq!(damaged(setup, mode, false), (0, vec![]), "{setup:?}");
            let off = Setup { synchronous: "OFF", ..setup };
            assert!(damaged(off, mode, false).0 > 10, "{mode:?}");
            assert!(damaged(setup, mode, true).0 > 10, "a disk that lies, {mode:?}");
        }
        // In the log alone, which is checksummed, what is left is whole though too little.
        let normal = Setup { synchronous: "NORMAL", ..setup };
        let (count, faults) = damaged(normal, CrashMode::Drawn, false);
        assert!(count > 10 && faults.iter().all(|fault| fault.contains("acknowledged")), "{faults:?}");
    }
}

#[test]
fn without_a_journal_a_torn_page_is_a_damaged_database() {
    let bare = Setup { journal: "OFF", ..CLIENT };
    for mode in [CrashMode::Prefix, CrashMode::Subset] {
        let (_, faults) = damaged(bare, mode, false);
        let broken = faults.iter().filter(|fault| !fault.contains("acknowledged")).count();
        assert!(broken > 10, "{mode:?}: {faults:?}");
    }
}

#[test]
fn a_deleted_journal_that_comes_back_undoes_a_commit() {
    let full = Setup { journal: "DELETE", synchronous: "FULL", ..CLIENT };
    let (mut undone, mut kept) = (0, 0);
    for seed in 0..100 {
        let disk = Disk::new(seed);
        // In locking mode NORMAL, for an exclusive one keeps its journal.
        let full = Setup { exclusive: false, ..full };
        assert!(run(&disk, full, 1, 5).error.is_none());
        disk.crash();
        disk.power_on();
        match verify(&disk, full, 5) {
            Ok(5) => kept += 1,
            Err(fault) if fault == "5 acknowledged, 4 found" => undone += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(undone > 10 && kept > 10, "{undone} undone, {kept} kept");
}
