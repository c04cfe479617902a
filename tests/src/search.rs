//! Finds pieces of any of many secrets in one go, however they are written. Half a key is half a lock, and the first words
//! of a text tell what it is about: what was cut is a leak too.

use std::collections::{BTreeSet, HashMap};

use crate::files::spellings;

/// Pieces of a text that are looked for: the shortest that says something and does not come about by chance.
pub const TEXT_BYTES: usize = 12;
/// Pieces of a key that are looked for: 64 bits, which chance does not hit in any amount of data.
pub const KEY_BYTES: usize = 8;

/// Places are first told apart by so many bytes: the shortest secret.
const START: usize = 8;
const BITS: u32 = 20;

/// A piece of a secret, somehow written.
struct Needle {
    /// Its secret's place in the list.
    secret: usize,
    how: &'static str,
    bytes: Vec<u8>,
}

/// Secrets in all their pieces and spellings.
pub struct Search {
    needles: Vec<Needle>,
    by_start: HashMap<u64, Vec<usize>>,
    /// Whether a spelling begins with bytes of this hash.
    begins: Vec<bool>,
}

#[inline]
fn hash(start: u64) -> usize {
    (start.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BITS)) as usize
}

impl Search {
    /// For all of these: each run of so many bytes of a secret, or the whole of it if it is shorter than that.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a [u8], usize)>) -> Self {
        let mut search = Self { needles: vec![], by_start: HashMap::new(), begins: vec![false; 1 << BITS] };
        for (secret, (bytes, piece)) in secrets.into_iter().enumerate() {
            assert!(bytes.len().min(piece) >= START, "too short to be told from chance");
            for piece in bytes.windows(piece.min(bytes.len())) {
                for (how, bytes) in spellings(piece) {
                    search.add(Needle { secret, how, bytes });
                }
            }
        }
        search
    }

    fn add(&mut self, needle: Needle) {
        let start = *needle.bytes.first_chunk().expect("a spelling is no shorter than what is spelled");
        let start = u64::from_be_bytes(start);
        self.by_start.entry(start).or_default().push(self.needles.len());
        self.begins[hash(start)] = true;
        self.needles.push(needle);
    }

    /// Of which secrets there is a piece in `bytes`, by their place in the list, how it is written, and where the first
    /// is.
    // Inlined: it goes through every byte of core files, so a crate that does that is optimised, and this with it.
    #[inline]
    pub fn look(&self, bytes: &[u8]) -> Vec<(usize, &'static str, usize)> {
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        let mut start = 0_u64;
        for (end, byte) in bytes.iter().enumerate() {
            start = start << 8 | u64::from(*byte);
            if !self.begins[hash(start)] || end + 1 < START {
                continue;
            }
            let at = end + 1 - START;
            for &n in self.by_start.get(&start).into_iter().flatten() {
                let needle = &self.needles[n];
                if bytes[at..].starts_with(&needle.bytes) && seen.insert((needle.secret, needle.how)) {
                    found.push((needle.secret, needle.how, at));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<u8> {
        (0..32_u8).map(|n| n.wrapping_mul(7).wrapping_add(130)).collect()
    }

    /// At any place, in any spelling, beside others.
    #[test]
    fn every_spelling_is_found_wherever_it_is() {
        let key = key();
        let search = Search::new([(&key[..], KEY_BYTES), (b"Wilhelmina", usize::MAX)]);
        let all = spellings(&key);
        assert!(all.len() >= 13, "{}", all.len());
        for (how, spelling) in all {
            for before in [0, 1, 5] {
                let bytes = [&vec![b'['; before][..], &spelling, b"] and more"].concat();
                // Two spellings of the first piece may be the same.
                let found = search.look(&bytes);
                assert!(found.iter().any(|(secret, _, at)| (*secret, *at) == (0, before)), "{how}");
            }
        }
        assert_eq!(search.look(b"from Wilhelmina"), [(1, "as it is", 5)]);
        assert_eq!(search.look(b"from Wilhelmin"), [], "a name is looked for as a whole");
        assert_eq!(search.look(b"nobody"), []);
        assert_eq!(search.look(b""), []);
    }

    /// Of a key and of a text, wherever it was cut, in any spelling; what is shorter is no find.
    #[test]
    fn each_piece_is_found_in_every_spelling() {
        let (key, text) = (key(), *b"meet me under the old clock tower");
        let search = Search::new([(&key[..], KEY_BYTES), (&text, TEXT_BYTES)]);
        for (secret, bytes, len) in [(0, &key[..], KEY_BYTES), (1, &text, TEXT_BYTES)] {
            for piece in bytes.windows(len) {
                for (how, spelling) in spellings(piece) {
                    let written = [b"it is <", &*spelling, b">, in short"].concat();
                    // All of it may be letters, or digits, and then two spellings are the same.
                    assert!(search.look(&written).iter().any(|found| found.0 == secret), "{how}: {piece:?}");
                }
                assert_eq!(search.look(&piece[1..]), []);
            }
        }
        // As a log would have it: the first twenty characters, and the first half of a key.
        assert_eq!(search.look(b"sending meet me under the old"), [(1, "as it is", 8)]);
        let half: String = key[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(search.look(format!("key={half}").as_bytes()), [(0, "in hex", 4)]);
    }
}
