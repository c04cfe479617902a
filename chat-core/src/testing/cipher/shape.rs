//! What goes in and comes out when nobody interferes.

use super::{CipherPlugin, open, seal, text};
use crate::cipher::TAG_LEN;
use crate::error::CryptoError;
use crate::testing::bytes::flipped;
use crate::testing::rule::{Must as _, Violation, ensure};

/// Key lengths are 16 to 64 bytes: no weaker than 128 bits, and no more than one derivation gives gladly.
const KEY_LENS: std::ops::RangeInclusive<usize> = 16..=64;

/// Around blocks of 16 and 64 bytes, and around powers of two up to 64 KiB.
fn lengths() -> Vec<usize> {
    let around = |n: usize| [n - 1, n, n + 1];
    let powers = (6..=16).flat_map(|power| around(1 << power));
    (0..=34).chain(powers).collect()
}

/// A key of any other length is `Malformed`, none panics.
pub fn only_the_stated_key_length_is_taken(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key_len = plugin.cipher.key_len();
    ensure!(KEY_LENS.contains(&key_len), "keys of {key_len} bytes are not of 16 to 64");
    for len in (0..=2 * key_len + 1).chain([1000]).filter(|len| *len != key_len) {
        let error = plugin.cipher.key(&vec![7; len]).map(drop).must_fail(format!("a key of {len} bytes"))?;
        ensure!(matches!(error, CryptoError::Malformed(_)), "a key of {len} bytes is refused as {error:?}");
    }
    plugin.cipher.key(&vec![7; key_len]).map(drop).must("making a key of the stated length")
}

/// From nothing to 1 MiB, with associated data of any length.
pub fn messages_of_every_length_open_again(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let aads = [0, 1, 15, 16, 17, 41, 64, 1000].map(|len| vec![0xa5; len]);
    for (seq, len) in (0..).zip(lengths().into_iter().chain([1 << 20])) {
        let aad = &aads[seq % aads.len()];
        let (seq, plain) = (seq as u64, text(len));
        let sealed = seal(&*key, seq, aad, &plain)?;
        let opened = open(&*key, seq, aad, &sealed).must(format!("opening {len} bytes"))?;
        ensure!(opened == plain, "{len} bytes open to something else");
    }
    Ok(())
}

/// A stream cipher adds the tag of 16 bytes, nothing else. A block mode also fills its last block of 16
/// (PKCS#7, RFC 5652 §6.3), from 1 to 16 bytes. What is added depends on nothing but the length.
pub fn the_overhead_is_the_tag(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let added = |len: usize| Ok(seal(&*key, 0, b"", &text(len))?.len().wrapping_sub(len));
    let block_mode = added(0)? == 2 * TAG_LEN;
    for len in lengths() {
        let padding = if block_mode { 16 - len % 16 } else { 0 };
        let added = added(len)?;
        ensure!(added == TAG_LEN + padding, "{added} bytes are added to {len}");
    }
    let zeros = seal(&*key, 0, b"", &[0; 100])?;
    ensure!(zeros.len() == 100 + added(100)?, "what is added depends on the text");
    Ok(())
}

/// Sealing and opening work in the buffer they get, whether it has room left or none.
pub fn sealing_works_in_any_buffer(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    for len in [0, 1, 16, 100, 5000] {
        let plain = text(len);
        let mut exact = plain.clone();
        exact.shrink_to_fit();
        // What stood in the spare room before is nobody's business.
        let mut roomy = vec![0xee; len + 5000];
        roomy.clear();
        roomy.extend_from_slice(&plain);
        for buf in [&mut exact, &mut roomy] {
            key.seal(3, b"aad", buf).must("sealing")?;
        }
        ensure!(exact == roomy, "the room left in the buffer changes what is sealed, at {len} bytes");
        exact.shrink_to_fit();
        for buf in [&mut exact, &mut roomy] {
            key.open(3, b"aad", buf).must(format!("opening {len} bytes in place"))?;
            ensure!(*buf == plain, "opening {len} bytes in place gives something else");
        }
    }
    Ok(())
}

/// The number is the nonce and all randomness is handed in: the same key, number, data and text give the
/// same bytes, from every instance.
pub fn sealing_is_deterministic(plugin: &CipherPlugin) -> Result<(), Violation> {
    for len in [0, 1, 100, 5000] {
        let first = seal(&*plugin.key(1)?, 9, b"aad", &text(len))?;
        for _ in 0..4 {
            let again = seal(&*plugin.key(1)?, 9, b"aad", &text(len))?;
            ensure!(again == first, "sealing {len} bytes again gives other bytes");
        }
    }
    Ok(())
}

/// A key counts nothing and remembers nothing: numbers come in any order, any number of times, and a refused
/// frame changes nothing. Replays are the session's business.
pub fn uses_of_a_key_leave_no_trace(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let order = [5_u64, 0, 7, 5, 1, 0, 1000];
    let seal_all = || -> Result<Vec<Vec<u8>>, Violation> {
        order.iter().map(|seq| seal(&*key, *seq, b"aad", &text(40))).collect()
    };
    let sealed = seal_all()?;
    ensure!(sealed == seal_all()?, "sealing again in the same order gives other bytes");
    for (seq, sealed) in order.into_iter().zip(&sealed).rev() {
        for _ in 0..1000 {
            open(&*key, seq, b"aad", &flipped(sealed, 0)).must_fail("a damaged frame")?;
        }
        for time in ["", " again"] {
            let opened = open(&*key, seq, b"aad", sealed).must(format!("opening number {seq}{time}"))?;
            ensure!(opened == text(40), "number {seq} opens to something else{time}");
        }
    }
    Ok(())
}

/// A key is made on one thread and used on several at once.
pub fn a_key_serves_many_threads(plugin: &CipherPlugin) -> Result<(), Violation> {
    let key = plugin.key(1)?;
    let expected: Vec<_> =
        (0..40).map(|seq| seal(&*key, seq, b"aad", &text(300))).collect::<Result<_, _>>()?;
    let work = || {
        for (seq, expected) in (0..).zip(&expected) {
            ensure!(seal(&*key, seq, b"aad", &text(300))? == *expected, "another thread seals otherwise");
            let opened = open(&*key, seq, b"aad", expected).must("opening on another thread")?;
            ensure!(opened == text(300), "another thread opens to something else");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join();
        let results: Vec<_> = threads.into_iter().map(join).collect();
        results.into_iter().try_for_each(|result| {
            result.unwrap_or_else(|_| Err(Violation::new("panicked on another thread")))
        })
    })
}
