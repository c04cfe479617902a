//! Ways to damage bytes, and to find some within others.

use std::collections::HashSet;

/// `bytes` with one bit changed.
pub(crate) fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    if let Some(byte) = damaged.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    damaged
}

/// Bits to try: all of them if they are few, else about `most`, spread evenly, and always the first and last 64.
pub(crate) fn bits_to_try(len: usize, most: usize) -> Vec<usize> {
    let bits = len * 8;
    if bits <= most {
        return (0..bits).collect();
    }
    // Odd, so that every position within a byte has its turn.
    let stride = (bits / most).max(1) | 1;
    let edge = |bit: &usize| *bit < 64 || *bit + 64 >= bits;
    (0..bits).filter(|bit| bit % stride == 0 || edge(bit)).collect()
}

/// Lengths to try below `len`: all of them if they are few, else about `most`, and always the first and last 32.
pub(crate) fn lengths_to_try(len: usize, most: usize) -> Vec<usize> {
    let stride = (len / most.max(1)).max(1);
    (0..len).filter(|n| n % stride == 0 || *n < 32 || n + 32 >= len).collect()
}

/// Everything that is `bytes` with something added: at either end, in the middle, twice.
pub(crate) fn extended(bytes: &[u8]) -> Vec<Vec<u8>> {
    let middle = bytes.len() / 2;
    let mut longer = vec![bytes.repeat(2)];
    for extra in [&[0][..], &[1], &[0xff], &[0; 16], &[0; 64], &[0x80, 0]] {
        longer.push([bytes, extra].concat());
        longer.push([extra, bytes].concat());
        longer.push([&bytes[..middle], extra, &bytes[middle..]].concat());
    }
    longer.retain(|longer| longer != bytes && !longer.is_empty());
    longer
}

/// What a careless decoder takes for the same: with longer heads (CBOR, RFC 8949 §4.2; DER), without a given
/// end, with a field more, with an empty group in a LEB128 number. Any place may be a head.
pub(crate) fn reencoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let replace = |at: usize, by: &[u8], end: &[u8]| [&bytes[..at], by, &bytes[at + 1..], end].concat();
    let mut others = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let (kind, short) = (byte & 0xe0, byte & 0x1f);
        if short < 24 {
            others.push(replace(at, &[kind | 24, short], b""));
            others.push(replace(at, &[kind | 25, 0, short], b""));
        }
        if short == 24 {
            others.push(replace(at, &[kind | 25, 0], b""));
        }
        if (0x40..0xc0).contains(&kind) {
            others.push(replace(at, &[kind | 0x1f], &[0xff]));
        }
        if matches!(kind, 0x80 | 0xa0) && short < 23 {
            others.push(replace(at, &[byte + 1], &[0xf6]));
            others.push(replace(at, &[byte + 1], &[0]));
        }
        others.push(replace(at, &[byte | 0x80, 0], b""));
        others.push(replace(at, &[0x81, *byte], b""));
    }
    others.retain(|other| other != bytes);
    others
}

/// `bytes` with runs of zeros, ones, and the ends of signed numbers, 1 to 16 bytes long, at about `most` places.
pub(crate) fn spliced(bytes: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut others = Vec::new();
    for at in lengths_to_try(bytes.len(), most) {
        for len in [1, 4, 16] {
            let end = (at + len).min(bytes.len());
            for (first, rest) in [(0, 0), (0xff, 0xff), (0x7f, 0xff), (0x80, 0)] {
                let mut other = bytes.to_vec();
                other[at..end].fill(rest);
                other[at] = first;
                others.push(other);
            }
        }
    }
    others.retain(|other| other != bytes);
    others
}

/// The start of one and the rest of the other, cut at the same place, about `most` of them both ways.
pub(crate) fn crossed(one: &[u8], other: &[u8], most: usize) -> Vec<Vec<u8>> {
    let cuts = lengths_to_try(one.len().min(other.len()), most);
    let both = |at: usize| [[&one[..at], &other[at..]].concat(), [&other[..at], &one[at..]].concat()];
    let mut crossed: Vec<_> = cuts.into_iter().flat_map(both).collect();
    crossed.retain(|bytes| bytes != one && bytes != other);
    crossed
}

/// The length of the longest run of places at which two byte strings fulfil `alike`.
pub(crate) fn longest_run(a: &[u8], b: &[u8], alike: impl Fn(u8, u8) -> bool) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for (a, b) in a.iter().zip(b) {
        run = if alike(*a, *b) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Whether `len` bytes in a row of `needle` stand anywhere in `haystack`.
pub(crate) fn shares_a_run(haystack: &[u8], needle: &[u8], len: usize) -> bool {
    let runs: HashSet<&[u8]> = needle.windows(len).collect();
    !runs.is_empty() && haystack.windows(len).any(|part| runs.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bits_are_tried_all_and_many_are_sampled_at_every_place_of_a_byte() {
        assert_eq!(bits_to_try(2, 16).len(), 16);
        let sample = bits_to_try(10_000, 500);
        assert!(sample.len() >= 400 && sample.len() < 1000, "{}", sample.len());
        assert!(sample.contains(&0) && sample.contains(&79_999));
        let places: HashSet<usize> = sample.iter().map(|bit| bit % 8).collect();
        assert_eq!(places.len(), 8);
        assert_eq!(lengths_to_try(10, 100), (0..10).collect::<Vec<_>>());
        assert!(lengths_to_try(100_000, 100).len() < 300);
    }

    #[test]
    fn one_bit_differs_and_longer_is_longer() {
        assert_eq!(flipped(&[0, 0], 9), [0, 2]);
        assert!(extended(b"abc").iter().all(|longer| longer.len() > 3));
        assert!(extended(b"").iter().all(|longer| !longer.is_empty()));
    }

    #[test]
    fn other_encodings_are_other_bytes() {
        let others = reencoded(&[0x82, 7, 0x41, 0xaa]);
        for expected in [
            &[0x98, 2, 7, 0x41, 0xaa][..],
            &[0x82, 0x18, 7, 0x41, 0xaa],
            &[0x82, 7, 0x58, 1, 0xaa],
            &[0x9f, 7, 0x41, 0xaa, 0xff],
            &[0x83, 7, 0x41, 0xaa, 0xf6],
            &[0x82, 0x87, 0, 0x41, 0xaa],
        ] {
            assert!(others.iter().any(|other| other == expected), "{expected:02x?}");
        }
        let others = spliced(&[1; 20], 100);
        assert!(others.iter().any(|other| other[4..] == [0xff; 16]));
        assert!(others.len() > 200 && others.iter().all(|other| other.len() == 20 && *other != [1; 20]));
    }

    #[test]
    fn crossed_bytes_are_of_both() {
        assert_eq!(crossed(b"ab", b"cd", 9), [b"ad", b"cb"]);
        assert!(crossed(b"same", b"same", 9).is_empty());
        assert_eq!(crossed(b"xxab", b"xxcd", 9).len(), 2);
    }

    #[test]
    fn runs_are_found() {
        assert_eq!(longest_run(b"abcdef", b"abxdef", |a, b| a == b), 3);
        assert!(shares_a_run(b"__secret__", b"a secret b", 6) && !shares_a_run(b"__secret__", b"secure", 4));
        assert!(!shares_a_run(b"long enough", b"lo", 4));
    }
}
