//! A store of which bits are flipped, one after the other: what is read then is an error or what was written, never
//! another text.

use std::sync::atomic::{AtomicUsize, Ordering};

use chat_core::entropy::OsEntropy;
use rusqlite::OpenFlags;

use super::*;
use crate::store::{SCHEMA_VERSION, check, version};

const MESSAGES: u8 = 120;
/// Every so many bits a whole start is made, too.
const WHOLE_START: usize = 1009;

/// Memory that looks like a folder, where the system has it: half a million stores are no business of a disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("chat-flips-").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

/// A closed store in small pages, of which little is empty.
fn model() -> Vec<u8> {
    let folder = folder();
    filled(&path(&folder), MESSAGES);
    meddle(&path(&folder), "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM");
    open(&path(&folder)).unwrap().close().unwrap();
    std::fs::read(path(&folder)).unwrap()
}

/// All texts, past what a start checks, without what it then does to write: ten times faster.
fn read(path: &Path, seal: &Seal) -> Result<Vec<String>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    crate::store::file::check_head(path)?;
    if version(&db, seal)? != SCHEMA_VERSION {
        return Err(StoreError::Damaged("it is of another schema".to_owned()));
    }
    seal.fits(&db)?;
    check(&db, seal)?;
    let mut texts = Vec::new();
    seal.each_text(&db, "id", (0, 1000), |_, text| {
        texts.push(text.to_owned());
        Ok(())
    })?;
    Ok(texts)
}

/// What became of flips.
#[derive(Default)]
struct Became {
    refused: usize,
    unharmed: usize,
}

impl Became {
    /// Flips one bit of the store.
    fn flip(&mut self, (path, seal): (&Path, &Seal), whole: &[u8], bit: usize, right: &[String]) {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let put = || {
            for left in ["-wal", "-shm", "-journal"] {
                let left = crate::store::file::beside(path, left);
                if left.exists() {
                    std::fs::remove_file(left).unwrap();
                }
            }
            std::fs::write(path, &flipped).unwrap();
        };
        put();
        let found = read(path, seal);
        assert!(found.as_ref().map_or(true, |texts| texts == right), "bit {bit}: {found:?}");
        if bit.is_multiple_of(WHOLE_START) {
            put();
            let started = open(path).and_then(|store| texts(&store));
            assert!(started.as_ref().map_or(true, |texts| texts == right), "bit {bit}: {started:?}");
            assert!(found.is_ok() || started.is_err(), "bit {bit}: a start has not seen {found:?}");
        }
        match found {
            Ok(_) => self.unharmed += 1,
            Err(_) => self.refused += 1,
        }
    }

    fn and(self, other: Self) -> Self {
        Self { refused: self.refused + other.refused, unharmed: self.unharmed + other.unharmed }
    }
}

/// Flips every bit that `picked` says, on all processors.
#[allow(clippy::print_stderr, reason = "how many bits were tried is a result")]
fn flip(picked: impl Fn(usize) -> bool + Sync) -> Became {
    let whole = model();
    assert!(whole.len() >= 64 << 10, "{}", whole.len());
    let right: Vec<String> = (1..=MESSAGES).map(text).collect();
    // A page at a time.
    let (bits, piece, next) = (whole.len() * 8, 512 * 8, AtomicUsize::new(0));
    let work = || {
        let (folder, mut became) = (folder(), Became::default());
        crate::store::forge(&path(&folder));
        let seal = Seal::new(&StoreKey::from_bytes(&[7; 32]), Box::new(OsEntropy)).unwrap();
        loop {
            let from = next.fetch_add(piece, Ordering::Relaxed);
            if from >= bits {
                return became;
            }
            for bit in (from..from + piece).filter(|bit| picked(*bit)) {
                became.flip((&path(&folder), &seal), &whole, bit, &right);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let became = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Became::default(), Became::and)
    });
    let Became { refused, unharmed } = became;
    eprintln!(
        "{} bits of {bits} flipped: {refused} refused, {unharmed} without an effect",
        refused + unharmed
    );
    assert!(refused > 0 && unharmed > 0);
    became
}

#[test]
fn a_flipped_bit_gives_an_error_or_the_right_text() {
    flip(|bit| bit.is_multiple_of(1999) || bit.is_multiple_of(WHOLE_START));
}

/// Half a million stores: `cargo test --release -p client every_bit_of_a_store -- --ignored --nocapture`, whose
/// last line says what came of it.
#[test]
#[ignore = "takes minutes, optimised"]
fn every_bit_of_a_store_flipped_in_turn() {
    let became = flip(|_| true);
    assert!(became.refused + became.unharmed >= 8 * (64 << 10));
}
