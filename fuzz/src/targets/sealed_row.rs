//! A row of the sealed store. The first byte chooses: any bytes as a row, any bytes as what a row hides, and a row that was
//! damaged.
//!
//! What opens, encoded again, is what was sealed; nothing that was damaged opens.
//! Allocated: 64 bytes for each that came, and 4 KiB.

use client::fuzzing::{open_row, seal_row};

use crate::alloc::bounded;
use crate::parties::Seeded;
use crate::script::Script;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let opened = |sealed: &[u8]| bounded(64 * sealed.len() + (4 << 10), || open_row(sealed, b"beside"));
    match kind % 3 {
        0 => assert_eq!(opened(bytes), None, "nobody seals without the key"),
        1 => {
            let sealed = seal_row(b"beside", bytes, &mut Seeded(1));
            if let Some(again) = opened(&sealed) {
                assert_eq!(again, bytes);
            }
            assert_eq!(open_row(&sealed, b"elsewhere"), None);
        }
        _ => {
            let mut script = Script::new(bytes);
            let sealed = seal_row(b"beside", &[1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9], &mut Seeded(1));
            assert!(opened(&sealed).is_some());
            assert_eq!(opened(&script.damaged(&sealed)), None);
        }
    }
}
