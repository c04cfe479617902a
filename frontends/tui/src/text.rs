//! Text on a grid of cells: what is shown of it, how wide it is, where its rows break. Graphemes are
//! never split, and widths are the ones `ratatui` draws with.

use std::borrow::Cow;

use chat_core::nick::inert;
use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

/// What a tab is shown as.
const TAB: &str = "    ";

/// A row of a wrapped text, as byte offsets. Texts have at most 1 MiB, four times that with tabs shown as blanks.
pub(crate) type Row = (u32, u32);

/// Cells that a grapheme takes; 0 for a line feed, 4 for a tab.
pub(crate) fn cells(grapheme: &str) -> u16 {
    match grapheme {
        "\n" | "\r\n" => 0,
        "\t" => TAB.len() as u16,
        _ if grapheme.starts_with(char::is_control) => 0,
        _ => grapheme.cell_width(),
    }
}

/// Cells that a text without line feeds takes.
pub(crate) fn width(text: &str) -> usize {
    if is_plain(text) {
        return text.len();
    }
    text.graphemes(true).map(|grapheme| usize::from(cells(grapheme))).sum()
}

/// Printable ASCII: one byte, one grapheme, one cell.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// A text as it may be shown: inert, tabs as blanks, nothing that takes no cell. Line feeds stay, but not at the end.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let text = text.trim_end_matches(['\n', '\r']);
    if text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for grapheme in inert(text).graphemes(true) {
        match grapheme {
            "\t" => out.push_str(TAB),
            "\n" => out.push('\n'),
            // Invisible characters would make two names look the same.
            _ if cells(grapheme) == 0 => {}
            _ => out.push_str(grapheme),
        }
    }
    // What was removed may have kept marks apart that now pile up on one letter.
    Cow::Owned(if out.len() == text.len() { out } else { inert(&out) })
}

/// A text as it may be shown in one line.
pub(crate) fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// A name as it may be shown: without blanks, so that it can't look like a name and what was said.
pub(crate) fn name(text: &str) -> String {
    let shown = one_line(text);
    let words: Vec<&str> = shown.split(is_blank).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "?".to_owned() } else { words.join("_") }
}

/// White space, and what only looks like it: fillers of Hangul, the empty Braille pattern.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{115F}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}')
}

/// The text, cut to `max` cells with `…` at the end if it is longer.
pub(crate) fn fit(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = max.saturating_sub(1);
    for grapheme in text.graphemes(true) {
        match left.checked_sub(usize::from(cells(grapheme))) {
            Some(rest) => left = rest,
            None => break,
        }
        out.push_str(grapheme);
    }
    if max > 0 {
        out.push('…');
    }
    out
}

/// A name, cut in the middle: the `·7f3a` at its end, which tells two of one name apart, stays.
pub(crate) fn fit_name(name: &str, max: usize) -> String {
    match name.rfind('·') {
        Some(at) if width(name) > max => {
            let (front, mark) = name.split_at(at);
            format!("{}{mark}", fit(front, max.saturating_sub(width(mark))))
        }
        _ => fit(name, max),
    }
}

/// Breaks a clean text into rows: the first at most `first` cells wide, the others `rest`. Breaks after a
/// blank or beside a wide grapheme if it can, else between any two graphemes. Linear in the text.
pub(crate) fn wrap(text: &str, first: u16, rest: u16) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        let limit = if rows.is_empty() { first } else { rest };
        if line.len() <= usize::from(limit) && is_plain(line) {
            rows.push(row(start, start + line.len()));
        } else {
            wrap_line(line, start, (limit, rest), &mut rows);
        }
        start += line.len() + 1;
    }
    rows
}

fn row(start: usize, end: usize) -> Row {
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

fn wrap_line(line: &str, offset: usize, (mut limit, rest): (u16, u16), rows: &mut Vec<Row>) {
    let mut start = 0;
    while let Some(left) = line.get(start..)
        && let Some((end, next)) = row_end(left, limit)
    {
        rows.push(row(offset + start, offset + start + end));
        start += next;
        limit = rest;
    }
    rows.push(row(offset + start, offset + line.len()));
}

/// Where the first row of a line ends and the next begins, or `None` if it fits into `limit` cells.
fn row_end(line: &str, limit: u16) -> Option<(usize, usize)> {
    let mut column = 0u16;
    let mut possible = None;
    for (at, grapheme) in line.grapheme_indices(true) {
        let wide = cells(grapheme);
        if wide > 1 && at > 0 {
            possible = Some(at);
        }
        column = column.saturating_add(wide);
        if column > limit && at > 0 {
            // A blank that doesn't fit ends the row and isn't seen.
            let blank = (grapheme == " ").then_some((at, at + 1));
            let end = possible.unwrap_or(at);
            return Some(blank.unwrap_or((end, end)));
        }
        if grapheme == " " || wide > 1 {
            possible = Some(at + grapheme.len());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, first: u16, rest: u16) -> Vec<&str> {
        wrap(text, first, rest).into_iter().map(|(a, b)| &text[a as usize..b as usize]).collect()
    }

    #[test]
    fn rows_break_at_blanks_wide_graphemes_and_line_feeds() {
        for (text, first, rest, expected) in [
            ("", 5, 5, vec![""]),
            ("hello", 5, 5, vec!["hello"]),
            ("hello world", 5, 5, vec!["hello", "world"]),
            ("hello world", 8, 8, vec!["hello ", "world"]),
            ("abcdefgh", 3, 3, vec!["abc", "def", "gh"]),
            ("ab cdefgh", 4, 4, vec!["ab ", "cdef", "gh"]),
            ("a\n\nb", 5, 5, vec!["a", "", "b"]),
            ("日本語です", 4, 4, vec!["日本", "語で", "す"]),
            ("日本語です", 5, 5, vec!["日本", "語で", "す"]),
            ("ab日本", 3, 3, vec!["ab", "日", "本"]),
            ("  indented", 20, 20, vec!["  indented"]),
            ("wide then narrow", 10, 4, vec!["wide then ", "narr", "ow"]),
            ("xx wideword", 8, 3, vec!["xx ", "wid", "ewo", "rd"]),
            ("🇩🇪🇫🇷🇮🇹", 2, 2, vec!["🇩🇪", "🇫🇷", "🇮🇹"]),
        ] {
            assert_eq!(rows(text, first, rest), expected, "{text:?} at {first}/{rest}");
        }
    }

    #[test]
    fn no_row_is_too_wide_and_no_grapheme_is_split() {
        let text = "naïve 日本語 👩‍👩‍👧‍👦👩‍👩‍👧‍👦 e\u{301}e\u{301}e\u{301} wörterübergreifend  x".repeat(20);
        let text = clean(&text);
        let whole: Vec<&str> = text.graphemes(true).collect();
        for limit in 2..40 {
            let rows = rows(&text, limit + 3, limit);
            assert!(width(rows[0]) <= usize::from(limit) + 3, "{limit}");
            assert!(rows.iter().skip(1).all(|row| width(row) <= usize::from(limit)), "{limit}: {rows:?}");
            let kept: Vec<&str> = rows.iter().flat_map(|row| row.graphemes(true)).collect();
            let blank = |g: &&&str| **g != " ";
            assert_eq!(
                kept.iter().filter(blank).collect::<Vec<_>>(),
                whole.iter().filter(blank).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_width_below_one_grapheme_ends() {
        assert_eq!(rows("日本", 1, 1), ["日", "本"]);
        assert_eq!(rows("ab", 0, 0), ["a", "b"]);
    }

    #[test]
    fn what_is_shown_acts_on_nothing() {
        for (text, expected) in [
            ("plain\n", "plain"),
            ("a\x1b[31mred\x1b]0;title\x07", "a[31mred]0;title"),
            ("a\u{202e}b\u{2066}c", "abc"),
            ("a\tb", "a    b"),
            ("a\r\nb", "a\nb"),
            ("in\u{200b}visible\u{feff}", "invisible"),
            ("\u{301}x", "x"),
            ("a\u{e0041}\u{e0001}\u{e007f}b", "ab"),
            ("\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}", "\u{1f3f4}"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
        let marks = format!("e{}", "\u{301}".repeat(1000));
        assert!(clean(&marks).chars().count() <= 8);
        for hidden in ["\u{202e}", "\u{200b}", "\x1b"] {
            for mark in ["\u{301}", "\u{903}"] {
                let marks = format!("e{}", format!("{hidden}{mark}").repeat(1000));
                let shown = clean(&marks).into_owned();
                let most = shown.graphemes(true).map(|grapheme| grapheme.chars().count()).max();
                assert!(most <= Some(8), "{hidden:?} {mark:?}: {most:?}");
            }
        }
        assert_eq!(name("bob  12:00\n-- system"), "bob_12:00_--_system");
        for (hostile, shown) in [("\u{200b}", "?"), ("a\u{a0}\u{3164}b", "a_b"), ("\u{2800}x\u{2800}", "x")] {
            assert_eq!(name(hostile), shown);
        }
    }

    #[test]
    fn texts_are_cut_to_cells() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello", 4), "hel…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("x", 0), "");
        assert_eq!(fit_name("averylongname·7f3a", 10), "aver…·7f3a");
        assert_eq!(fit_name("bob·7f3a", 10), "bob·7f3a");
    }
}
