//! Finds any of many secrets in one go, however they are written.

use std::collections::{BTreeSet, HashMap};

use chat_tests::files::spellings;

use crate::secret::Secret;

/// Places are first told apart by a hash of so many bytes.
const START: usize = 4;
const BITS: u32 = 16;

struct Needle {
    secret: usize,
    how: &'static str,
    bytes: Vec<u8>,
}

/// Secrets in all their spellings.
pub struct Search {
    needles: Vec<Needle>,
    by_start: HashMap<[u8; START], Vec<usize>>,
    /// Whether a spelling begins with bytes of this hash.
    begins: Vec<bool>,
}

fn hash(start: [u8; START]) -> usize {
    (u32::from_le_bytes(start).wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
}

impl Search {
    /// For all of these.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut search = Self { needles: vec![], by_start: HashMap::new(), begins: vec![false; 1 << BITS] };
        for (secret, Secret { bytes, .. }) in secrets.iter().enumerate() {
            for (how, bytes) in spellings(bytes) {
                let start = *bytes.first_chunk().expect("a spelling is not that short");
                search.by_start.entry(start).or_default().push(search.needles.len());
                search.begins[hash(start)] = true;
                search.needles.push(Needle { secret, how, bytes });
            }
        }
        search
    }

    /// Which secrets are in `bytes`, by their place in the list, how they are written, and where first.
    pub fn look(&self, bytes: &[u8]) -> Vec<(usize, &'static str, usize)> {
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        for (at, start) in bytes.windows(START).enumerate() {
            let start: [u8; START] = start.try_into().expect("so many");
            if !self.begins[hash(start)] {
                continue;
            }
            for &n in self.by_start.get(&start).into_iter().flatten() {
                let needle = &self.needles[n];
                if bytes[at..].starts_with(&needle.bytes) && seen.insert(n) {
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
    use crate::secret::{Kind, Secrets};

    /// At any place, in any spelling, beside others.
    #[test]
    fn every_spelling_is_found_wherever_it_is() {
        let key: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(7).wrapping_add(130)).collect();
        let mut secrets = Secrets::default();
        secrets.add(Kind::Key, "a key", key.clone());
        secrets.add(Kind::Name, "a name", *b"Wilhelmina");
        let search = Search::new(secrets.all());
        let all = spellings(&key);
        assert!(all.len() >= 13, "{}", all.len());
        for (how, spelling) in all {
            for before in [0, 1, 5] {
                let bytes = [&vec![b'['; before][..], &spelling, b"] and more"].concat();
                assert!(search.look(&bytes).contains(&(0, how, before)), "{how}");
                assert_eq!(search.look(&spelling[..spelling.len() - 1]), [], "{how}");
            }
        }
        assert_eq!(search.look(b"from Wilhelmina"), [(1, "as it is", 5)]);
        assert_eq!(search.look(b"nobody"), []);
        assert_eq!(search.look(b""), []);
    }
}
