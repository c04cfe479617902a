//! Every corpus that is checked in, through its target, without a fuzzer. One test: what is allocated is counted
//! for the whole process.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chat_fuzz::{seeds, targets};

/// All corpora together.
const MAX_BYTES: u64 = 300 << 10;

#[test]
fn every_input_that_is_checked_in_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let names: BTreeSet<&str> = targets::ALL.iter().map(|target| target.name).collect();
    for seed in seeds::all() {
        assert!(names.contains(seed.target), "{}", seed.target);
        let file = corpus.join(seed.target).join(format!("seed-{}", seed.name));
        assert!(
            fs::read(&file).is_ok_and(|bytes| bytes == seed.bytes),
            "{}: run `cargo run --example seeds`",
            file.display()
        );
    }
    let mut bytes = 0;
    for target in targets::ALL {
        (target.prepare)();
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(target.name)).unwrap() {
            let input = fs::read(entry.unwrap().path()).unwrap();
            bytes += input.len() as u64;
            count += 1;
            (target.run)(&input);
        }
        assert!(count >= 5, "{} has {count} inputs", target.name);
    }
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
}
