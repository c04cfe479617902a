//! The records on a page of a b-tree (§1.6 and §2 of <https://www.sqlite.org/fileformat2.html>), as far as they are any.

use rusqlite::types::Value;

/// Overflow pages that are read for one page of a b-tree, at most: 16 MiB of the usual ones.
const MOST_OVERFLOW: usize = 4096;

/// A row of a table, or an entry of an index.
#[derive(Debug)]
pub(in crate::store) struct Record {
    /// Where the b-tree is a table with row numbers.
    pub(in crate::store) row: Option<i64>,
    pub(in crate::store) values: Vec<Value>,
}

/// What lies in a cell before its payload, and how much of that lies on the page itself.
#[derive(Clone, Copy)]
struct Shape {
    child: usize,
    has_row: bool,
}

const TABLE_LEAF: Shape = Shape { child: 0, has_row: true };
const INDEX_LEAF: Shape = Shape { child: 0, has_row: false };
const INDEX_INTERIOR: Shape = Shape { child: 4, has_row: false };

/// A number of one to nine bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut number: u64 = 0;
    for (n, byte) in bytes.iter().enumerate().take(9) {
        if n == 8 {
            number = number << 8 | u64::from(*byte);
        } else {
            number = number << 7 | u64::from(byte & 0x7f);
        }
        if n == 8 || byte & 0x80 == 0 {
            return Some((number.cast_signed(), bytes.get(n + 1..)?));
        }
    }
    None
}

/// Bytes of a payload that lie on the page, of so many; `usable` is the page's size.
fn local(shape: Shape, payload: usize, usable: usize) -> usize {
    let most = match shape.has_row {
        true => usable - 35,
        false => (usable - 12) * 64 / 255 - 23,
    };
    if payload <= most {
        return payload;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let fits = least + (payload - least) % (usable - 4);
    if fits <= most { fits } else { least }
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|two| usize::from(u16::from_be_bytes(*two)))
}

/// Gives `visit` each record of a page; `is_first` if it begins with the head of the file. `more` gives overflow pages.
pub(super) fn records(
    page: &[u8],
    is_first: bool,
    more: &dyn Fn(u32) -> Option<Vec<u8>>,
    mut visit: impl FnMut(usize, Record),
) {
    let head = if is_first { 100 } else { 0 };
    let shapes: &[(Shape, usize)] = match page.get(head) {
        Some(13) => &[(TABLE_LEAF, 8)],
        Some(10) => &[(INDEX_LEAF, 8)],
        Some(2) => &[(INDEX_INTERIOR, 12)],
        // A table's inner pages hold no rows.
        Some(5) | None => &[],
        Some(0) if page.iter().skip(head).all(|byte| *byte == 0) => &[],
        // Its kind is damaged; what it is not gives no row.
        Some(_) => &[(TABLE_LEAF, 8), (INDEX_LEAF, 8), (INDEX_INTERIOR, 12)],
    };
    let mut overflow = MOST_OVERFLOW;
    let cells = short(page, head + 3).unwrap_or(0).min(page.len() / 4);
    for (way, (shape, pointers)) in shapes.iter().enumerate() {
        for n in 0..cells {
            let at = short(page, head + pointers + 2 * n);
            if let Some(record) = at.and_then(|at| cell(page, at, *shape, more, &mut overflow)) {
                visit(way * page.len() + n, record);
            }
        }
    }
}

fn cell(
    page: &[u8],
    at: usize,
    shape: Shape,
    more: &dyn Fn(u32) -> Option<Vec<u8>>,
    overflow: &mut usize,
) -> Option<Record> {
    let (len, mut rest) = varint(page.get(at + shape.child..)?)?;
    let mut row = None;
    if shape.has_row {
        let (number, after) = varint(rest)?;
        (row, rest) = (Some(number), after);
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= MOST_OVERFLOW * page.len())?;
    let (here, next) = rest.split_at_checked(local(shape, len, page.len()))?;
    let mut payload = here.to_vec();
    let mut next = next.first_chunk().map(|four| u32::from_be_bytes(*four));
    while payload.len() < len {
        *overflow = overflow.checked_sub(1)?;
        let page = more(next?)?;
        let (after, content) = page.split_first_chunk::<4>()?;
        payload.extend(content.iter().take(len - payload.len()));
        next = Some(u32::from_be_bytes(*after));
    }
    Some(Record { row, values: values(&payload)? })
}

/// The values of a record.
fn values(payload: &[u8]) -> Option<Vec<Value>> {
    let (head, mut kinds) = varint(payload)?;
    let head = usize::try_from(head).ok()?;
    let mut content = payload.get(head..)?;
    kinds = kinds.get(..head.checked_sub(payload.len() - kinds.len())?)?;
    let mut values = Vec::new();
    while !kinds.is_empty() {
        let (kind, after) = varint(kinds)?;
        kinds = after;
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let (bytes, after) = content.split_at_checked(len)?;
        content = after;
        values.push(match kind {
            0 => Value::Null,
            8 | 9 => Value::Integer(kind - 8),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => {
                let sign = if bytes.first()? & 0x80 == 0 { 0 } else { -1 };
                Value::Integer(bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
            }
            _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        });
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pages::Pages;

    /// What SQLite writes is what is read: numbers of each width, long rows, deep trees, with row numbers and without.
    #[test]
    fn every_row_of_a_database_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.db");
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE a (x, y); CREATE TABLE b (k BLOB PRIMARY KEY, x, y) WITHOUT ROWID;")
            .unwrap();
        let numbers = [0, 1, -1, 127, -129, 40_000, -9_000_000, 1 << 31, -(1 << 40), i64::MAX, i64::MIN];
        for n in 0..900_usize {
            let number = numbers[n % numbers.len()];
            let long = vec![u8::try_from(n % 251).unwrap(); [3, 480, 1003, 4100, 9000][n % 5]];
            db.execute("INSERT INTO a VALUES (?, ?)", (number, &long)).unwrap();
            db.execute("INSERT INTO b VALUES (?, ?, ?)", (n.to_be_bytes(), number, &long)).unwrap();
        }
        drop(db);
        let (pages, mut rows, mut entries) = (Pages::open(&path).unwrap(), 0, 0);
        for place in pages.places() {
            pages.records(place, |_, record| {
                let (row, entry) = match (record.row, record.values.as_slice()) {
                    (Some(row), [Value::Integer(number), Value::Blob(long)]) => (row - 1, (number, long)),
                    (None, [Value::Blob(key), Value::Integer(number), Value::Blob(long)]) => {
                        (i64::from_be_bytes(key.as_slice().try_into().unwrap()), (number, long))
                    }
                    // The schema's own table.
                    _ => return,
                };
                let n = usize::try_from(row).unwrap();
                assert_eq!(*entry.0, numbers[n % numbers.len()]);
                assert_eq!(entry.1.len(), [3, 480, 1003, 4100, 9000][n % 5]);
                assert!(entry.1.iter().all(|byte| usize::from(*byte) == n % 251));
                *(if record.row.is_some() { &mut rows } else { &mut entries }) += 1;
            });
        }
        assert_eq!((rows, entries), (900, 900));
    }

    #[test]
    fn rubbish_is_no_record() {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        for kind in [2, 5, 10, 13, 0, 77] {
            for _ in 0..200 {
                let mut page: Vec<u8> = (0..512).map(|_| random()).collect();
                page[0] = kind;
                let page_of = page.clone();
                records(&page, false, &|_| Some(page_of.clone()), |_, _| {});
            }
        }
    }
}
