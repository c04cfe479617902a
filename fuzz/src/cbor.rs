//! Canonical CBOR (RFC 8949 §4.2), written apart from the decoders under test: what a strict one accepts must be
//! what this writes.

/// Deeper than any record.
const MAX_DEPTH: usize = 16;

/// The one item in `bytes`, with every head in its shortest form and no indefinite length.
pub fn canonical(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut rest, mut out) = (bytes, Vec::with_capacity(bytes.len()));
    item(&mut rest, &mut out, MAX_DEPTH)?;
    rest.is_empty().then_some(out)
}

fn item(rest: &mut &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    let first = *rest.split_off_first()?;
    let (major, info) = (first >> 5, first & 0x1f);
    let value = match info {
        0..24 => u64::from(info),
        24..=27 => {
            let bytes = rest.split_off(..1 << (info - 24))?;
            bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
        }
        // Reserved, or of indefinite length.
        _ => return None,
    };
    if major == 7 {
        // Booleans, null, and nothing else in our records.
        out.push(first);
        return (info < 24).then_some(());
    }
    head(out, major, value);
    let depth = depth.checked_sub(1)?;
    match major {
        2 | 3 => out.extend_from_slice(rest.split_off(..usize::try_from(value).ok()?)?),
        4 => (0..value).try_for_each(|_| item(rest, out, depth))?,
        5 => (0..value.checked_mul(2)?).try_for_each(|_| item(rest, out, depth))?,
        6 => item(rest, out, depth)?,
        _ => {}
    }
    Some(())
}

/// Appends the head of an item.
pub fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let bytes = value.to_be_bytes();
    let (info, len) = match value {
        0..24 => (value as u8, 0),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | info);
    out.extend_from_slice(&bytes[8 - len..]);
}

/// Appends a byte string.
pub fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    head(out, 2, content.len() as u64);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_is_canonical_and_the_others_become_it() {
        let good = [0x84, 0x17, 0x18, 0x18, 0x42, 1, 2, 0xf6];
        assert_eq!(canonical(&good).as_deref(), Some(&good[..]));
        let long = [0x98, 4, 0x18, 0x17, 0x19, 0, 0x18, 0x58, 2, 1, 2, 0xf6];
        assert_eq!(canonical(&long).as_deref(), Some(&good[..]));
        for bad in [&[0x9f, 1, 0xff][..], &[0x42, 1], &[1, 2], &[], &[0x9b, 0xff, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(canonical(bad), None, "{bad:x?}");
        }
        assert_eq!(canonical(&[0x81; 20]), None, "too deep");
    }
}
