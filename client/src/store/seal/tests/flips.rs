//! A store of which bits are flipped, one after the other: what is read then is an error or what was written, never
//! another text.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::count_of;

/// Memory that looks like a folder, where the system has it: half a million stores are no business of a disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("chat-flips-").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

/// What became of the flips of one thread.
#[derive(Default)]
struct Became {
    refused: usize,
    unharmed: usize,
}

/// Opens the store, with one bit flipped, as a start does, and reads all messages as a frontend has them read.
fn flip_one(path: &Path, whole: &[u8], bit: usize, right: &[String], became: &mut Became) {
    let mut flipped = whole.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    for left in ["-wal", "-shm", "-journal"] {
        let left = crate::store::file::beside(path, left);
        if left.exists() {
            std::fs::remove_file(left).unwrap();
        }
    }
    std::fs::write(path, &flipped).unwrap();
    match open(path).and_then(|store| texts(&store)) {
        Err(_) => became.refused += 1,
        Ok(texts) => {
            assert_eq!(texts, right, "bit {bit}");
            became.unharmed += 1;
        }
    }
}

/// Flips every bit that `picked` says, on all processors.
fn flip(picked: impl Fn(usize) -> bool + Sync) -> Became {
    let model = folder();
    filled(&path(&model), 60);
    let whole = std::fs::read(path(&model)).unwrap();
    assert!(whole.len() >= 64 << 10, "{}", whole.len());
    let right: Vec<String> = (1..=60).map(text).collect();
    // A page at a time.
    let (bits, piece, next) = (whole.len() * 8, 4096 * 8, AtomicUsize::new(0));
    let work = || {
        let (folder, mut became) = (folder(), Became::default());
        std::fs::copy(count_of(&path(&model)), count_of(&path(&folder))).unwrap();
        loop {
            let from = next.fetch_add(piece, Ordering::Relaxed);
            if from >= bits {
                return became;
            }
            for bit in (from..from + piece).filter(|bit| picked(*bit)) {
                flip_one(&path(&folder), &whole, bit, &right, &mut became);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let became = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Became::default(), |all, one| Became {
            refused: all.refused + one.refused,
            unharmed: all.unharmed + one.unharmed,
        })
    });
    let Became { refused, unharmed } = became;
    eprintln!(
        "{} bits of {} flipped: {refused} refused, {unharmed} without an effect",
        refused + unharmed,
        bits
    );
    assert!(refused > 0 && unharmed > 0);
    became
}

#[test]
fn a_flipped_bit_gives_an_error_or_the_right_text() {
    flip(|bit| bit % 4999 == 0);
}

/// Half a million starts: `cargo test --release -p client every_bit_of_a_store -- --ignored --nocapture`. What came of it is
/// in docs/proof.md.
#[test]
#[ignore = "takes minutes, optimised"]
fn every_bit_of_a_store_flipped_in_turn() {
    let became = flip(|_| true);
    assert!(became.refused + became.unharmed >= 8 * (64 << 10));
}
