//! Files that the program wrote.

use std::path::{Path, PathBuf};

/// Everything under `folder`, files and folders, sorted; relative to it.
pub fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, &mut found);
    found.sort();
    found.iter().map(|path| path.strip_prefix(folder).expect("under the folder").to_owned()).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}

/// Every file under `folder` with its bytes; the test expects some.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = listing(folder).into_iter().map(|path| folder.join(path)).filter(|path| path.is_file());
    let files: Vec<_> =
        paths.filter_map(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes))).collect();
    assert!(!files.is_empty(), "there are no files in {}", folder.display());
    files
}

/// Where `needle` is in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    assert!(!needle.is_empty(), "nothing to look for");
    memchr::memmem::find(haystack, needle)
}

/// The ways in which a secret could be written down: as it is, as hex, as numbers, escaped, and the part of base64 that
/// does not depend on what stands around it.
pub fn spellings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let inside = |list: String| list.trim_matches(['[', ']']).as_bytes().to_vec();
    let mut all = vec![
        ("as it is", secret.to_vec()),
        ("in upper-case hex", hex.to_uppercase().into_bytes()),
        ("in hex", hex.into_bytes()),
        ("as a list of numbers", inside(format!("{secret:?}"))),
        ("as a list of hex numbers", inside(format!("{secret:x?}"))),
        ("as a list of hex numbers with zeros", inside(format!("{secret:02x?}"))),
        ("escaped", secret.escape_ascii().to_string().into_bytes()),
    ];
    for offset in 0..3 {
        let shifted: Vec<u8> = std::iter::repeat_n(0, offset).chain(secret.iter().copied()).collect();
        for (how, last_two) in [("in base64", b"+/"), ("in base64 for addresses", b"-_")] {
            let digits = base64(&shifted, last_two);
            // Of six bits each; those with bits of what stands around the secret are left out.
            let own = (8 * offset).div_ceil(6)..8 * shifted.len() / 6;
            all.push((how, digits[own].to_vec()));
        }
    }
    // Spellings may be the same, above all of what is text.
    let mut seen = std::collections::HashSet::new();
    all.retain(|(_, spelling)| seen.insert(spelling.clone()));
    all
}

/// RFC 4648 §4 and §5, without padding.
fn base64(bytes: &[u8], last_two: &[u8; 2]) -> Vec<u8> {
    let digit = |six: u32| match six {
        0..26 => b'A' + six as u8,
        26..52 => b'a' + (six - 26) as u8,
        52..62 => b'0' + (six - 52) as u8,
        62 => last_two[0],
        _ => last_two[1],
    };
    let group = |three: &[u8]| {
        let bits =
            three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        [18, 12, 6, 0].map(|shift| digit(bits >> shift & 63))
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_at_every_offset() {
        // `printf 'xCANARY-0123456789' | base64`, with 0, 1 and 2 bytes more in front.
        assert_eq!(base64(b"xCANARY-0123456789", b"+/"), b"eENBTkFSWS0wMTIzNDU2Nzg5");
        assert_eq!(base64(&[0xfb, 0xff, 0xbf], b"-_"), b"-_-_");
        for before in ["", "x", "xy"] {
            let text = base64(format!("{before}CANARY-0123456789 and more").as_bytes(), b"+/");
            let mut spellings = spellings(b"CANARY-0123456789").into_iter();
            assert!(
                spellings.any(|(how, needle)| how == "in base64" && find(&text, &needle).is_some()),
                "{before}"
            );
        }
    }
}
