//! What the ciphertext gives away.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::{CipherPlugin, open, seal, text};
use crate::cipher::TAG_LEN;
use crate::testing::bytes::{flipped, longest_run, shares_a_run};
use crate::testing::log;
use crate::testing::rule::{Must as _, Violation, ensure};

/// What two seals have in common by chance is far shorter than this many bytes.
const BLOCK: usize = 16;

/// No part of a message, short or long, stands in the clear.
pub fn nothing_of_the_plaintext_shows(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    for len in [8, 16, 64, 1000, 70_000, 300_000] {
        let plain = text(len);
        let sealed = seal(&*key, 1, b"", &plain)?;
        let in_place = longest_run(&sealed, &plain, |a, b| a == b) >= 8;
        let moved = len <= 1000 && shares_a_run(&sealed, &plain, 8);
        ensure!(!in_place && !moved, "{len} bytes sealed show some of themselves");
    }
    Ok(())
}

/// Every block of every number's key stream is new: numbers don't overlap as counters of blocks would.
pub fn sequence_numbers_share_no_key_stream(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let limit = plugin.cipher.message_limit();
    let powers = [8, 16, 24, 31, 32, 40, 48, 56, 63].map(|power| 1_u64 << power);
    let numbers = powers.into_iter().flat_map(|n| [n - 1, n, n + 1]).chain(0..=20).chain([limit - 1]);
    let numbers: BTreeSet<u64> = numbers.filter(|seq| *seq < limit).collect();
    let mut blocks = HashMap::new();
    for seq in numbers {
        let sealed = seal(&*key, seq, b"", &[0; 40 * BLOCK])?;
        for block in sealed[..40 * BLOCK].chunks(BLOCK) {
            let before = blocks.insert(block.to_vec(), seq);
            ensure!(before.is_none(), "numbers {} and {seq} share key stream", before.unwrap_or(seq));
        }
    }
    Ok(())
}

/// Keys that differ in a single bit have nothing in common. One half of the key, of 128 bits or more, may be for the
/// tag alone, as in RFC 7518 §5.2: then no bit of that half reaches the key stream, and every other one does.
pub fn keys_share_no_key_stream(plugin: &CipherPlugin) -> Result<(), Violation> {
    let bytes = plugin.key_bytes(1);
    let ciphertext = |key: &[u8]| {
        let sealed = seal(&*plugin.cipher.key(key).must("making a key")?, 0, b"", &[0; 4 * BLOCK])?;
        Ok(sealed[..4 * BLOCK].to_vec())
    };
    let with_this_key = ciphertext(&bytes)?;
    let (mut blocks, mut without_effect) = (BTreeSet::new(), Vec::new());
    for bit in 0..bytes.len() * 8 {
        let sealed = ciphertext(&flipped(&bytes, bit))?;
        if sealed == with_this_key {
            without_effect.push(bit);
            continue;
        }
        let new = sealed.chunks(BLOCK).all(|block| blocks.insert(block.to_vec()));
        ensure!(new, "a key with bit {bit} flipped shares key stream with another");
    }
    let half = bytes.len() * 4;
    let is_half = half >= 128 && [0..half, half..2 * half].contains(&span(&without_effect));
    let for_the_tag = is_half && without_effect.len() == half;
    ensure!(
        without_effect.is_empty() || for_the_tag,
        "bits {without_effect:?} of a key have no effect on the key stream"
    );
    Ok(())
}

/// From the first of some ascending numbers to behind the last.
fn span(numbers: &[usize]) -> Range<usize> {
    let [first, last] = [numbers.first(), numbers.last()].map(|n| n.copied().unwrap_or_default());
    first..last + 1
}

/// The tag has 16 bytes that all depend on the message, not fewer and some filling.
pub fn every_byte_of_the_tag_counts(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let mut values = vec![BTreeSet::new(); TAG_LEN];
    for seq in 0..64 {
        let sealed = seal(&*key, seq, b"", &text(seq as usize))?;
        let tag = sealed.last_chunk::<TAG_LEN>();
        let tag = tag.ok_or_else(|| Violation::new("sealing gives less than a tag"))?;
        values.iter_mut().zip(tag).for_each(|(values, byte)| values.extend([*byte]));
    }
    let weak = values.iter().position(|values| values.len() < 32);
    ensure!(weak.is_none(), "byte {} of the tag hardly changes", weak.unwrap_or_default());
    Ok(())
}

/// Neither key nor plaintext reaches a log, at any level, whether a frame opens or not.
pub fn nothing_secret_is_logged(plugin: &CipherPlugin) -> Result<(), Violation> {
    let (bytes, plain) = (plugin.key_bytes(1), b"canary: meet me at the old mill".as_slice());
    let (outcome, log) = log::logged(|| {
        let key = plugin.cipher.key(&bytes).must("making a key")?;
        let sealed = seal(&*key, 1, b"aad", plain)?;
        // Whether these are refused is for other rules; what is said of it is for this one.
        let refused = [open(&*key, 2, b"aad", &sealed).is_err(), plugin.cipher.key(&bytes[1..]).is_err()];
        let refused = refused.into_iter().chain([open(&*key, 1, b"aad", &flipped(&sealed, 0)).is_err()]);
        ensure!(refused.filter(|refused| *refused).count() > 0, "nothing was refused");
        open(&*key, 1, b"aad", &sealed).must("opening").map(drop)
    });
    outcome?;
    log::holds_no_secret(&log, &[("a key", &bytes), ("plaintext", plain)])
}
