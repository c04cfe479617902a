//! The pages of a database and of its log, read without SQLite: so that what is whole in a file is read, whatever became
//! of the rest (<https://www.sqlite.org/fileformat2.html>). What comes out is not trusted: rows are sealed.

mod cells;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

pub(super) use cells::Record;

use super::file::beside;

const USUAL_PAGE: usize = 4096;
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: usize = 24;

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// So many-th of the database, as its last commit left it.
    Page(u32),
    /// In a frame of the log that is not what was written: from this byte on.
    Frame(u64),
}

/// A database, page by page.
pub(super) struct Pages {
    file: Option<File>,
    log: Option<File>,
    page_bytes: usize,
    count: u32,
    /// Where in the log the newest copy of a page begins.
    newest: BTreeMap<u32, u64>,
    /// Pages in frames that were damaged.
    doubtful: Vec<u64>,
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

fn open(path: &Path) -> std::io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// So many bytes from there on; `None` if there are fewer, or the disk does not give them.
fn bytes_at(mut file: &File, at: u64, len: usize) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn page_size(said: u32) -> Option<usize> {
    let said = usize::try_from(said).ok()?;
    (said.is_power_of_two() && (512..=65536).contains(&said)).then_some(said)
}

impl Pages {
    /// The database at `path` and the log beside it; either may be missing.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let (file, log) = (open(path)?, open(&beside(path, "-wal"))?);
        let head = |file: &Option<File>, len| file.as_ref().and_then(|file| bytes_at(file, 0, len));
        let of_file = head(&file, 18).and_then(|head| page_size(number(&head, 14) & 0xffff));
        let of_log = || head(&log, 12).and_then(|head| page_size(number(&head, 8)));
        let page_bytes = of_file.or_else(of_log).unwrap_or(USUAL_PAGE);
        let len = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|found| found.len()))?;
        let count = u32::try_from(len.div_ceil(page_bytes as u64)).unwrap_or(u32::MAX);
        let mut pages = Self { file, log, page_bytes, count, newest: BTreeMap::new(), doubtful: Vec::new() };
        pages.read_log();
        Ok(pages)
    }

    /// Finds the frames of the log up to its last commit. A frame is good if it carries the log's salts and its checksum
    /// follows from the one before it, as that stands there.
    fn read_log(&mut self) {
        let Some(log) = &self.log else { return };
        let Some(head) = bytes_at(log, 0, LOG_HEAD as usize) else { return };
        let frame_bytes = FRAME_HEAD + self.page_bytes;
        let frames =
            log.metadata().map_or(0, |found| found.len().saturating_sub(LOG_HEAD)) / frame_bytes as u64;
        let frame_head =
            |n: u64| bytes_at(log, LOG_HEAD + n * frame_bytes as u64, FRAME_HEAD).unwrap_or_default();
        let salts = |bytes: &[u8], at: usize| (number(bytes, at), number(bytes, at + 4));
        let of_log = match (0..frames).any(|n| salts(&frame_head(n), 8) == salts(&head, 16)) {
            true => salts(&head, 16),
            false => salts(&frame_head(0), 8),
        };
        let is_commit = |n: &u64| {
            let head = frame_head(*n);
            number(&head, 4) != 0 && salts(&head, 8) == of_log
        };
        let Some(last) = (0..frames).rev().find(is_commit) else { return };
        let mut before = salts(&head, 24);
        let is_big = number(&head, 0) == 0x377f_0683;
        for n in 0..=last {
            let at = LOG_HEAD + n * frame_bytes as u64;
            let Some(frame) = bytes_at(log, at, frame_bytes) else { continue };
            let (head, page) = frame.split_at_checked(FRAME_HEAD).unwrap_or_default();
            let sum = checksum(checksum(before, head.get(..8).unwrap_or_default(), is_big), page, is_big);
            before = salts(head, 16);
            if sum == before && salts(head, 8) == of_log {
                self.newest.insert(number(head, 0), at + FRAME_HEAD as u64);
                self.count = if n == last { number(head, 4) } else { self.count.max(number(head, 0)) };
            } else {
                self.doubtful.push(at + FRAME_HEAD as u64);
            }
        }
    }

    /// Every page, and then those of which it can't be told which they are.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let pages = (1..=self.count).map(Place::Page);
        pages.chain(self.doubtful.clone().into_iter().map(Place::Frame))
    }

    pub(super) fn page(&self, place: Place) -> Option<Vec<u8>> {
        let in_log = |at| bytes_at(self.log.as_ref()?, at, self.page_bytes);
        match place {
            Place::Frame(at) => in_log(at),
            Place::Page(n) => match self.newest.get(&n) {
                Some(at) => in_log(*at),
                None => {
                    let at = u64::from(n.checked_sub(1)?) * self.page_bytes as u64;
                    bytes_at(self.file.as_ref()?, at, self.page_bytes)
                }
            },
        }
    }

    /// Gives `visit` every record on a page, with its number there.
    pub(super) fn records(&self, place: Place, visit: impl FnMut(usize, Record)) {
        if let Some(page) = self.page(place) {
            let more = |n| self.page(Place::Page(n));
            cells::records(&page, place == Place::Page(1), &more, visit);
        }
    }
}

/// The log's checksum, from `before` on (§4.2 of the file format).
fn checksum(before: (u32, u32), bytes: &[u8], is_big: bool) -> (u32, u32) {
    let number = |four: [u8; 4]| if is_big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) };
    bytes.as_chunks::<8>().0.iter().fold(before, |(one, two), [a, b, c, d, e, f, g, h]| {
        let one = one.wrapping_add(number([*a, *b, *c, *d])).wrapping_add(two);
        (one, two.wrapping_add(number([*e, *f, *g, *h])).wrapping_add(one))
    })
}
