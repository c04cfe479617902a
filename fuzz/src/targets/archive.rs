//! What is carried elsewhere. The first byte chooses: the chunks of an export, from anybody; an export that was damaged; an
//! export whose records are anything, imported; and what a secret seals (an identity, the key of a store or of an export).
//!
//! Records come out as they went in; what was damaged is refused, with a reason; an import is whole or an error.
//! Allocated: 64 bytes for each that came, and 512 KiB; an import 8 MiB.

use chat_core::PeerId;
use client::fuzzing::{import, open_wrapped, records, seal_wrapped, sealed};

use crate::alloc::bounded;
use crate::parties::Seeded;
use crate::script::Script;

const MAGIC: &[u8; 16] = b"chat-fuzz-file-1";

pub fn prepare() {
    // What SQLite takes once.
    assert!(import(&sealed(&[]), PeerId([1; 32]), Box::new(Seeded(2))).is_err());
}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 5 {
        0 => read(bytes),
        1 => damaged(Script::new(bytes)),
        2 => imported(Script::new(bytes)),
        3 => wrapped(bytes),
        _ => {
            let genuine = seal_wrapped(MAGIC, b"a key", &mut Seeded(3));
            assert_eq!(open_wrapped(MAGIC, &genuine).as_deref(), Ok(&b"a key"[..]));
            assert!(open_wrapped(MAGIC, &Script::new(bytes).damaged(&genuine)).is_err());
        }
    }
}

fn read(bytes: &[u8]) {
    let read = bounded(64 * bytes.len() + (512 << 10), || records(bytes));
    if let Err(error) = read {
        assert!(!error.is_empty());
    }
}

/// Records, each behind its length of one byte.
fn pieces<'a>(script: &mut Script<'a>) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    while !script.is_over() && all.len() < 64 {
        all.push(script.short());
    }
    all
}

fn damaged(mut script: Script<'_>) {
    let at = script.rest();
    let (damage, rest) = at.split_at(at.len().min(8));
    let all = pieces(&mut Script::new(rest));
    let genuine = sealed(&all);
    assert_eq!(records(&genuine).unwrap(), all);
    let mut damage = Script::new(damage);
    assert!(records(&damage.damaged(&genuine)).is_err(), "a damaged export was read");
}

fn imported(mut script: Script<'_>) {
    let all = pieces(&mut script);
    let chunks = sealed(&all);
    let made = bounded(8 << 20, || import(&chunks, PeerId([1; 32]), Box::new(Seeded(2))));
    match made {
        Ok(rows) => assert!(rows <= all.len() as u64),
        Err(error) => assert!(!error.is_empty()),
    }
}

fn wrapped(bytes: &[u8]) {
    let with_magic = [&MAGIC[..], bytes].concat();
    for bytes in [bytes, &with_magic] {
        let opened = bounded(4 * bytes.len() + (4 << 10), || open_wrapped(MAGIC, bytes));
        assert!(opened.is_err(), "nobody seals without the key");
    }
}
