//! Cuts a stream of bytes into lines, of which none can grow past [`MAX_LINE_BYTES`].

/// Longest line in either direction, in bytes, without its line feed.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// A buffer that grew past this for one long line is given back afterwards.
const KEPT_CAPACITY: usize = 256 << 10;

/// What the bytes so far hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line without its line feed.
    Whole(&'a [u8]),
    /// A line over the limit; the rest of it is skipped, not kept. Said once a line.
    TooLong,
}

/// Takes chunks of any size, gives lines. Holds one line and one chunk at most.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    buffer: Vec<u8>,
    /// Where the line that comes next begins.
    start: usize,
    /// Up to here there is no line feed after `start`.
    scanned: usize,
    skipping: bool,
}

impl LineSplitter {
    /// Takes more of the stream.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.capacity() > KEPT_CAPACITY && self.buffer.len() + chunk.len() < KEPT_CAPACITY {
            self.buffer.shrink_to(KEPT_CAPACITY);
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The stream has ended: what stands there without a line feed is a line too.
    pub(crate) fn finish(&mut self) {
        if self.start < self.buffer.len() {
            self.buffer.push(b'\n');
        }
    }

    /// The next line, if all of it, or too much of it, is there.
    pub(crate) fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(offset) = unseen.iter().position(|&byte| byte == b'\n') else {
                return self.unfinished();
            };
            let (start, end) = (self.start, self.scanned + offset);
            self.start = end + 1;
            self.scanned = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if end - start > MAX_LINE_BYTES {
                return Some(Line::TooLong);
            }
            return self.buffer.get(start..end).map(Line::Whole);
        }
    }

    fn unfinished(&mut self) -> Option<Line<'_>> {
        let too_long = self.buffer.len() - self.start > MAX_LINE_BYTES;
        if too_long || self.skipping {
            self.buffer.truncate(self.start);
        }
        self.scanned = self.buffer.len();
        (too_long && !std::mem::replace(&mut self.skipping, true)).then_some(Line::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(splitter: &mut LineSplitter) -> Vec<Option<Vec<u8>>> {
        let mut found = vec![];
        while let Some(line) = splitter.next_line() {
            found.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        found
    }

    fn split(stream: &[u8], chunk: usize) -> Vec<Option<Vec<u8>>> {
        let mut splitter = LineSplitter::default();
        let mut found = vec![];
        for chunk in stream.chunks(chunk) {
            splitter.push(chunk);
            found.extend(lines(&mut splitter));
        }
        splitter.finish();
        found.extend(lines(&mut splitter));
        found
    }

    #[test]
    fn chunks_of_any_size_give_the_same_lines() {
        let stream = b"one\n\ntwo\r\n\xff\xfe\nlast";
        let expected: Vec<_> =
            [&b"one"[..], b"", b"two\r", b"\xff\xfe", b"last"].map(|l| Some(l.to_vec())).into();
        for chunk in 1..=stream.len() {
            assert_eq!(split(stream, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_said_once_skipped_and_not_kept() {
        let mut stream = vec![b'x'; 3 * MAX_LINE_BYTES];
        stream.extend_from_slice(b"\nnext\n");
        for chunk in [1 << 16, 1 << 20, stream.len()] {
            assert_eq!(split(&stream, chunk), [None, Some(b"next".to_vec())], "chunks of {chunk}");
        }
        let mut splitter = LineSplitter::default();
        for chunk in stream.chunks(1 << 16) {
            splitter.push(chunk);
            let _ = lines(&mut splitter);
            assert!(splitter.buffer.len() <= MAX_LINE_BYTES + (1 << 16));
        }
        splitter.push(b"short\n");
        assert!(splitter.buffer.capacity() <= KEPT_CAPACITY);
    }

    #[test]
    fn a_line_at_the_limit_passes() {
        let mut stream = vec![b'x'; MAX_LINE_BYTES];
        stream.push(b'\n');
        assert_eq!(split(&stream, 1 << 16), [Some(vec![b'x'; MAX_LINE_BYTES])]);
        stream.insert(0, b'x');
        assert_eq!(split(&stream, 1 << 16), [None]);
    }

    #[test]
    fn an_end_inside_a_skipped_line_gives_nothing_more() {
        assert_eq!(split(&vec![b'x'; MAX_LINE_BYTES + 2], 1 << 20), [None]);
    }
}
