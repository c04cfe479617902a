//! A bound on nesting, checked on the text before it is parsed: the `toml` crate bounds brackets and dots
//! each by 80, but not their product, and a tree of 80 × 80 levels overflows the stack when it is dropped.

/// Deepest brackets and longest dotted key.
pub(super) const MAX_DEPTH: usize = 16;

/// The byte at which `text` goes too deep. Reads only strings, comments, brackets and dots; whatever else may
/// be wrong with the text is the parser's to say.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut brackets, mut dots) = (0usize, 0usize);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = after_string(bytes, at);
                continue;
            }
            b'#' => {
                at = find(bytes, at, |byte| byte == b'\n');
                continue;
            }
            b'[' | b'{' => (brackets, dots) = (brackets + 1, 0),
            b']' | b'}' => (brackets, dots) = (brackets.saturating_sub(1), 0),
            b'.' => dots += 1,
            b'=' | b',' | b'\n' => dots = 0,
            _ => {}
        }
        if brackets > MAX_DEPTH || dots >= MAX_DEPTH {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn find(bytes: &[u8], from: usize, is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().skip(from).position(|&byte| is(byte)).map_or(bytes.len(), |found| from + found)
}

/// The byte after the string that begins at `at`. As in the parser, a string of one line ends with its line at the latest.
fn after_string(bytes: &[u8], at: usize) -> usize {
    let quote = bytes.get(at).copied().unwrap_or_default();
    // No more than 6 are of interest; counting on would take quadratic time.
    let quotes = |from: usize| bytes.iter().skip(from).take(6).take_while(|&&byte| byte == quote).count();
    let escapes = quote == b'"';
    let opening = quotes(at);
    if opening == 2 {
        return at + 2;
    }
    let multi_line = opening >= 3;
    let mut at = at + if multi_line { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if escapes && matches!(bytes.get(at + 1), Some(b'"' | b'\\')) => at += 1,
            b'\n' if !multi_line => return at,
            _ if byte == quote && !multi_line => return at + 1,
            // Up to two quotes may stand before the closing three.
            _ if byte == quote && quotes(at) >= 3 => return at + quotes(at).min(5),
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_brackets_and_long_keys_are_found() {
        let within = MAX_DEPTH - 1;
        for deep in [
            format!("a = {}", "[".repeat(MAX_DEPTH + 1)),
            format!("a = {}", "{a=".repeat(MAX_DEPTH + 1)),
            format!("{}a = 1", "a.".repeat(MAX_DEPTH)),
            format!("[{}a]", "a . \"b.c\" .".repeat(MAX_DEPTH)),
            format!("x = \"\"\"a\"\"\"\"\"\n{}a = 1", "a.".repeat(MAX_DEPTH)),
            format!("x = '\n{}a = 1", "a.".repeat(MAX_DEPTH)),
            format!("x = \"\\\n{}a = 1", "a.".repeat(MAX_DEPTH)),
            format!("x = ''\n{}a = 1", "a.".repeat(MAX_DEPTH)),
            format!("x = \"\"\"\\\"\"\"\"{{{}a = 1", "a.".repeat(MAX_DEPTH)),
        ] {
            assert!(too_deep(&deep).is_some(), "{deep}");
        }
        for flat in [
            format!("a = {}{}", "[".repeat(within), "]".repeat(within)),
            format!("{}a = 1", "a.".repeat(within)),
            format!("a = \"{}\" # {}", "[.".repeat(99), "[.".repeat(99)),
            format!("a = '''\n{}\n'''", "[.".repeat(99)),
            "a = 1.5\n".repeat(99),
            "a = [1.5, 2.5]\n".repeat(99),
        ] {
            assert_eq!(too_deep(&flat), None, "{flat}");
        }
    }

    #[test]
    fn the_product_of_both_bounds_parses_and_drops_on_a_small_stack() {
        let key = format!("{}a = ", "a.".repeat(MAX_DEPTH - 1));
        let text = format!("{}{key}1{}", format!("{key}{{").repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
        assert_eq!(too_deep(&text), None);
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let parse = move || toml::de::DeTable::parse(&text).is_ok();
        assert!(thread.spawn(parse).unwrap().join().unwrap());
    }
}
