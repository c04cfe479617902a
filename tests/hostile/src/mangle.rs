//! What can be done to bytes.

/// A flipped bit in each byte, pieces cut off, bytes put on: each is another than what is genuine.
pub fn alterations(genuine: &[u8]) -> Vec<Vec<u8>> {
    let mut all = flips(genuine, 1);
    let len = genuine.len();
    let mut cuts = vec![0, 1, 8, len / 2, len.saturating_sub(16), len.saturating_sub(1)];
    cuts.retain(|cut| *cut < len);
    cuts.dedup();
    all.extend(cuts.into_iter().map(|cut| genuine[..cut].to_vec()));
    all.extend([&[0][..], &[0; 16], genuine].map(|more| [genuine, more].concat()));
    all
}

/// A flipped bit in each byte, or in each of so many.
pub fn flips(genuine: &[u8], each: usize) -> Vec<Vec<u8>> {
    let flip = |at: usize| {
        let mut altered = genuine.to_vec();
        altered[at] ^= 1 << (at % 8);
        altered
    };
    (0..genuine.len()).step_by(each).map(flip).collect()
}

/// Bytes that look like nothing, the same in every run (splitmix64).
pub fn garbage(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 56) as u8
    };
    std::iter::repeat_with(byte).take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alteration_is_another_than_the_genuine() {
        for genuine in [&b"c"[..], b"some bytes", &[0; 300]] {
            let all = alterations(genuine);
            assert!(all.len() > genuine.len());
            assert!(all.iter().all(|it| it != genuine), "{genuine:?}");
        }
        assert_ne!(garbage(1, 100), garbage(2, 100));
    }
}
