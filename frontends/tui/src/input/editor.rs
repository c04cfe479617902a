//! A line editor that moves and deletes by grapheme cluster, with line feeds in it.

use chat_core::nick::{MAX_TEXT_BYTES, inert};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use crate::text::{self, Row};

/// Something doesn't fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message has at most {MAX_TEXT_BYTES} bytes; the rest was left out")]
pub(crate) struct TooLong;

/// A text being typed. The cursor is always between two graphemes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    cursor: usize,
}

/// Rows of an editor around its cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EditorRows {
    /// Byte offsets of the rows.
    pub(crate) rows: Vec<Row>,
    /// Whether the first of them is the first of the text.
    pub(crate) from_start: bool,
    /// Row and cell of the cursor.
    pub(crate) cursor: (usize, u16),
}

impl Editor {
    /// What was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing was typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before the cursor.
    pub(crate) fn before_cursor(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// Puts another text in its place, with the cursor at its end.
    pub(crate) fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.cursor = self.text.len();
    }

    /// Types or pastes at the cursor. What could act on the screen is left out; line feeds and tabs stay.
    ///
    /// # Errors
    /// [`TooLong`] if only a part went in.
    pub(crate) fn insert(&mut self, pasted: &str) -> Result<(), TooLong> {
        // Terminals send the Enter key's carriage return for the line feeds of a paste.
        let unix = pasted.replace("\r\n", "\n").replace('\r', "\n");
        let mut shown = inert(&unix);
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        let whole = shown.len() <= room;
        shown.truncate(shown.floor_char_boundary(room));
        self.text.insert_str(self.cursor, &shown);
        self.cursor += shown.len();
        self.snap();
        if whole { Ok(()) } else { Err(TooLong) }
    }

    /// Replaces what stands between `start` and the cursor.
    pub(crate) fn replace_before_cursor(&mut self, start: usize, with: &str) -> Result<(), TooLong> {
        if start <= self.cursor && self.text.is_char_boundary(start) {
            self.text.replace_range(start..self.cursor, "");
            self.cursor = start;
        }
        self.insert(with)
    }

    /// Two pieces that meet may have become one grapheme: then the cursor stands after it.
    fn snap(&mut self) {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if !cursor.is_boundary(&self.text, 0).unwrap_or(true) {
            self.cursor = self.next().unwrap_or(self.text.len());
        }
    }

    fn next(&self) -> Option<usize> {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten()
    }

    fn previous(&self) -> Option<usize> {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten()
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.text.replace_range(start..end, "");
        self.cursor = start;
        self.snap();
    }

    /// Deletes the grapheme before the cursor.
    pub(crate) fn backspace(&mut self) {
        if let Some(start) = self.previous() {
            self.remove(start, self.cursor);
        }
    }

    /// Deletes the grapheme after the cursor.
    pub(crate) fn delete(&mut self) {
        if let Some(end) = self.next() {
            self.remove(self.cursor, end);
        }
    }

    /// One grapheme to the left.
    pub(crate) fn left(&mut self) {
        self.cursor = self.previous().unwrap_or(self.cursor);
    }

    /// One grapheme to the right.
    pub(crate) fn right(&mut self) {
        self.cursor = self.next().unwrap_or(self.cursor);
    }

    /// Start of the word before the cursor: over what is no word, then over the word.
    fn word_start(&self) -> usize {
        let words = self.before_cursor().unicode_word_indices().next_back();
        words.map_or(0, |(start, _)| start)
    }

    /// To the start of a word.
    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word_start();
        self.snap();
    }

    /// To the end of a word.
    pub(crate) fn word_right(&mut self) {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let end = after.unicode_word_indices().next().map_or(after.len(), |(start, word)| start + word.len());
        self.cursor += end;
        self.snap();
    }

    fn line_start(&self) -> usize {
        self.before_cursor().rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        after.find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    /// To the start of the line.
    pub(crate) fn home(&mut self) {
        self.cursor = self.line_start();
    }

    /// To the end of the line.
    pub(crate) fn end(&mut self) {
        self.cursor = self.line_end();
    }

    /// Deletes to the start of the line.
    pub(crate) fn kill_to_start(&mut self) {
        self.remove(self.line_start(), self.cursor);
    }

    /// Deletes to the end of the line; at the end, the line feed.
    pub(crate) fn kill_to_end(&mut self) {
        let end = self.line_end();
        if end == self.cursor { self.delete() } else { self.remove(self.cursor, end) }
    }

    /// Deletes back to a blank, as a shell does.
    pub(crate) fn kill_word(&mut self) {
        let kept = self.before_cursor().trim_end_matches([' ', '\t', '\n']);
        let start = kept.rfind([' ', '\t', '\n']).map_or(0, |at| at + 1);
        self.remove(start, self.cursor);
    }

    /// A line up, about the same cell; `false` on the first line.
    pub(crate) fn up(&mut self) -> bool {
        let start = self.line_start();
        let Some(end_above) = start.checked_sub(1) else { return false };
        let column = self.column(start);
        self.cursor = end_above;
        self.go_to_column(self.line_start(), end_above, column);
        true
    }

    /// A line down, about the same cell; `false` on the last line.
    pub(crate) fn down(&mut self) -> bool {
        let end = self.line_end();
        if end == self.text.len() {
            return false;
        }
        let column = self.column(self.line_start());
        self.cursor = end + 1;
        self.go_to_column(end + 1, self.line_end(), column);
        true
    }

    fn column(&self, line_start: usize) -> usize {
        text::width(self.text.get(line_start..self.cursor).unwrap_or_default())
    }

    fn go_to_column(&mut self, start: usize, end: usize, column: usize) {
        self.cursor = start;
        let mut left = column;
        for grapheme in self.text.get(start..end).unwrap_or_default().graphemes(true) {
            match left.checked_sub(usize::from(text::cells(grapheme))) {
                Some(rest) if left > 0 => left = rest,
                _ => break,
            }
            self.cursor += grapheme.len();
        }
    }

    /// The rows of `width` cells around the cursor: those of its line, and as many of the lines beside it as
    /// make `most`. What is further away costs nothing.
    pub(crate) fn rows(&self, width: u16, most: usize) -> EditorRows {
        let (line_start, line_end) = (self.line_start(), self.line_end());
        let mut rows = self.line_rows(line_start, line_end, width);
        let behind = |&(start, _): &Row| start as usize <= self.cursor;
        let mut at = rows.iter().rposition(behind).unwrap_or(0);
        let row_start = rows.get(at).map_or(line_start, |&(start, _)| start as usize);
        let mut column = self.column(row_start);
        if column >= usize::from(width) && column > 0 && self.cursor == line_end {
            // The cursor needs a cell of its own behind the last grapheme.
            rows.push(row(line_end, line_end));
            (at, column) = (at + 1, 0);
        }
        let mut first = line_start;
        while let Some(end) = first.checked_sub(1).filter(|_| at < most) {
            first = self.text.get(..end).and_then(|before| before.rfind('\n')).map_or(0, |feed| feed + 1);
            let above = self.line_rows(first, end, width);
            at += above.len();
            rows.splice(0..0, above);
        }
        let mut last = line_end;
        while last < self.text.len() && rows.len() < at + most {
            let start = last + 1;
            let feed = self.text.get(start..).and_then(|after| after.find('\n'));
            last = feed.map_or(self.text.len(), |feed| start + feed);
            rows.extend(self.line_rows(start, last, width));
        }
        let cursor = (at, u16::try_from(column).unwrap_or(width));
        EditorRows { rows, cursor, from_start: first == 0 }
    }

    fn line_rows(&self, start: usize, end: usize, width: u16) -> Vec<Row> {
        let line = self.text.get(start..end).unwrap_or_default();
        if text::is_plain(line) && width > 0 {
            let ends = (start..end).step_by(usize::from(width)).map(|from| (from, from + usize::from(width)));
            let rows: Vec<Row> = ends.map(|(from, to)| row(from, to.min(end))).collect();
            return if rows.is_empty() { vec![row(start, end)] } else { rows };
        }
        let mut rows = Vec::new();
        let (mut from, mut column) = (start, 0u16);
        for (at, grapheme) in line.grapheme_indices(true).map(|(at, grapheme)| (start + at, grapheme)) {
            let wide = text::cells(grapheme);
            if column.saturating_add(wide) > width && at > from {
                rows.push(row(from, at));
                (from, column) = (at, 0);
            }
            column = column.saturating_add(wide);
        }
        rows.push(row(from, end));
        rows
    }
}

fn row(start: usize, end: usize) -> Row {
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
