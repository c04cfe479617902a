//! A bound on nesting, checked before a record is decoded: `minicbor` skips an unknown field with a stack that
//! grows with its nesting, so that 2 MiB of opened arrays would take 48 MiB. What it skips need not even be well
//! formed; here it must be.

/// Twice as deep as the deepest record.
const MAX_DEPTH: usize = 16;
/// Items until a break (RFC 8949 §3.2.1).
const INDEFINITE: u64 = u64::MAX;

/// Whether `bytes` are one well-formed item (RFC 8949 §5.3.1) that nests no deeper than any record may.
pub(super) fn is_shallow(bytes: &[u8]) -> bool {
    walk(bytes).is_some()
}

fn walk(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes;
    // Items that are still to come in each open array or map; the outermost is the record itself.
    let mut open = [0u64; MAX_DEPTH + 1];
    let (mut depth, mut tagged) = (0, false);
    *open.get_mut(depth)? = 1;
    loop {
        while *open.get(depth)? == 0 {
            let Some(outer) = depth.checked_sub(1) else { return rest.is_empty().then_some(()) };
            depth = outer;
        }
        let first = *rest.split_off_first()?;
        let left = open.get_mut(depth)?;
        if first == 0xff {
            *left = if *left == INDEFINITE && !tagged { 0 } else { return None };
            continue;
        }
        let (major, value) = head(first, &mut rest)?;
        // A tag is no item, but stands in front of one.
        tagged = major == 6;
        if !tagged && *left != INDEFINITE {
            *left -= 1;
        }
        let items = match (major, value) {
            (2 | 3, Some(len)) => {
                rest.split_off(..usize::try_from(len).ok()?)?;
                continue;
            }
            (4, Some(items)) => items.min(INDEFINITE - 1),
            (5, Some(pairs)) => pairs.saturating_mul(2).min(INDEFINITE - 1),
            (2..=5, None) => INDEFINITE,
            (_, Some(_)) => continue,
            (_, None) => return None,
        };
        depth += 1;
        *open.get_mut(depth)? = items;
    }
}

/// Major type and value; no value is an indefinite length.
fn head(first: u8, rest: &mut &[u8]) -> Option<(u8, Option<u64>)> {
    let value = match first & 0x1f {
        info @ 0..24 => Some(u64::from(info)),
        info @ 24..=27 => {
            let bytes = rest.split_off(..1 << (info - 24))?;
            Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
        }
        31 => None,
        _ => return None,
    };
    Some((first >> 5, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `depth` open arrays, definite or not, around a number.
    fn nested(depth: usize, open: u8) -> Vec<u8> {
        let close = if open == 0x9f { vec![0xff; depth] } else { vec![] };
        [vec![open; depth], vec![1], close].concat()
    }

    #[test]
    fn what_nests_too_deep_is_found_wherever_it_stands() {
        for open in [0x81, 0x9f] {
            assert!(is_shallow(&nested(MAX_DEPTH, open)));
            assert!(!is_shallow(&nested(MAX_DEPTH + 1, open)));
            // Behind text, bytes in pieces, a map, a tag, a float; and without an end.
            let before =
                [0x86, 0x62, b'a', b'b', 0x5f, 0x41, 9, 0xff, 0xa1, 1, 0x80, 0xc1, 0x05, 0xfa, 1, 2, 3, 4];
            assert!(is_shallow(&[&before[..], &nested(MAX_DEPTH - 1, open)].concat()));
            assert!(!is_shallow(&[&before[..], &nested(MAX_DEPTH, open)].concat()));
            assert!(!is_shallow(&vec![open; 2 << 20]));
        }
        assert!(!is_shallow(&[0xbf, 1].repeat(MAX_DEPTH + 1)));
    }

    #[test]
    fn siblings_and_tags_are_not_nested() {
        assert!(is_shallow(&[vec![0x98, 200], [0x81, 1].repeat(200)].concat()));
        assert!(is_shallow(&[vec![0xc1; 1000], vec![1]].concat()));
        // In a text.
        assert!(is_shallow(&[&[0x78, 40][..], &[0x81; 40]].concat()));
    }

    #[test]
    fn what_is_not_well_formed_is_told() {
        // Cut off; reserved; a break in the wrong place, also behind a tag; more than one; counts beyond all bytes.
        for bad in [
            &[][..],
            &[0x82, 0x18],
            &[0x82, 1],
            &[0x9c, 0x81],
            &[0x82, 0xff],
            &[0x9f, 0x82, 1, 0xff, 0xff],
            &[0x9f, 0xc1, 0xff],
            &[1, 1],
            &[0xff],
            &[0x1f],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert!(!is_shallow(bad), "{bad:02x?}");
        }
    }

    /// RFC 8949 §3: the argument is in the byte itself or in 1, 2, 4 or 8 that follow, big-endian.
    #[test]
    fn lengths_of_every_width_are_read() {
        let heads: [(&[u8], usize); 6] = [
            (&[0x57], 23),
            (&[0x58, 200], 200),
            (&[0x79, 1, 44], 300),
            (&[0x5a, 0, 1, 0, 7], 65_543),
            (&[0x7b, 0, 0, 0, 0, 0, 0, 1, 2], 258),
            (&[0x78, 0], 0),
        ];
        for (head, len) in heads {
            let whole = [head, &vec![0x81; len]].concat();
            assert!(is_shallow(&whole), "{head:02x?}");
            assert!(!is_shallow(&whole[..whole.len() - 1]) && !is_shallow(&[&whole[..], &[0]].concat()));
        }
        // Numbers, floats and simple values of every width stand alone.
        for number in
            [&[0x17][..], &[0x18, 9], &[0x39, 1, 2], &[0xfa, 1, 2, 3, 4], &[0xfb, 1, 2, 3, 4, 5, 6, 7, 8]]
        {
            assert!(is_shallow(number) && is_shallow(&[&[0x82], number, number].concat()));
            assert!(!is_shallow(&[number, &[0]].concat()));
        }
        let pairs = [vec![0xb9, 1, 0], [1, 2].repeat(256)].concat();
        assert!(is_shallow(&pairs) && !is_shallow(&pairs[..pairs.len() - 2]));
    }

    /// However many are claimed, they are counted: only what is said to end by a break does.
    #[test]
    fn the_highest_count_is_not_without_end() {
        for major in [0x9b, 0xbb] {
            let claimed = [&[major][..], &[0xff; 8], &[1, 1, 0xff]].concat();
            assert!(!is_shallow(&claimed), "{major:x}");
        }
        assert!(is_shallow(&[0x9f, 1, 1, 0xff]) && is_shallow(&[0xbf, 1, 1, 0xff]));
    }
}
