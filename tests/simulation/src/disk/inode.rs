//! A file's bytes: as a running system sees them, as the medium has them, and the writes in between.

use std::ops::Range;
use std::sync::Weak;

use super::fate::{Fate, Fates, SECTOR};
use super::locks::{FileLocks, Shm};

/// A change that the medium may or may not have.
enum Change {
    /// `inode.bytes[data]` at `offset`.
    Write { offset: usize, data: Range<usize> },
    /// The file's length set to this.
    Resize(usize),
}

/// A file. It may have a name, be open, or both.
#[derive(Default)]
pub(super) struct Inode {
    /// What reads see.
    now: Vec<u8>,
    /// What the medium has for certain.
    durable: Vec<u8>,
    /// What was changed since the last sync, oldest first, each with its place in the order of all changes.
    pending: Vec<(u64, Change)>,
    /// The bytes of all pending writes, in one buffer: a write allocates nothing.
    bytes: Vec<u8>,
    pub(super) locks: FileLocks,
    pub(super) shm: Weak<Shm>,
    /// Open handles that are not dead.
    pub(super) handles: usize,
}

fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    if let Some(place) = image.get_mut(offset..end) {
        place.copy_from_slice(data);
    }
}

/// `data` at `offset`, cut where the medium's sectors begin.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut rest) = (offset, data);
    std::iter::from_fn(move || {
        let len = (SECTOR - at % SECTOR).min(rest.len());
        let (sector, after) = rest.split_at(len);
        let place = at;
        (at, rest) = (at + len, after);
        (!sector.is_empty()).then_some((place, sector))
    })
}

impl Inode {
    pub(super) fn len(&self) -> usize {
        self.now.len()
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.now
    }

    /// The orders of what is pending.
    pub(super) fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|(order, _)| *order)
    }

    /// Fills `buf` from `offset` on, with zeros after the end; whether all of it is there.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        let there = self.now.get(offset..).unwrap_or(&[]);
        let len = there.len().min(buf.len());
        let (known, rest) = buf.split_at_mut(len);
        known.copy_from_slice(&there[..len]);
        rest.fill(0);
        rest.is_empty()
    }

    pub(super) fn write(&mut self, order: u64, offset: usize, data: &[u8]) {
        put(&mut self.now, offset, data);
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.pending.push((order, Change::Write { offset, data: begin..self.bytes.len() }));
    }

    pub(super) fn resize(&mut self, order: u64, len: usize) {
        self.now.resize(len, 0);
        self.pending.push((order, Change::Resize(len)));
    }

    /// Everything gets to the medium.
    pub(super) fn sync(&mut self) {
        let Self { pending, bytes, durable, .. } = self;
        for (_, change) in pending.drain(..) {
            match change {
                Change::Write { offset, data } => put(durable, offset, &bytes[data]),
                Change::Resize(len) => durable.resize(len, 0),
            }
        }
        bytes.clear();
        // Data that an earlier sync lost without a trace: the length is metadata, and was not lost.
        durable.resize(self.now.len(), 0);
    }

    /// A sync that fails: some of it has got to the medium, and the rest never will, although reads still see it and
    /// later syncs succeed. That is what Linux does (Rebello et al., "Can Applications Recover from fsync
    /// Failures?", USENIX ATC 2020): after the error the pages count as clean.
    pub(super) fn sync_in_part(&mut self, fates: &mut Fates<'_>) {
        self.settle(fates);
    }

    /// The power is gone: from now on reads see what the medium has.
    pub(super) fn crash(&mut self, fates: &mut Fates<'_>) {
        self.settle(fates);
        self.now.clone_from(&self.durable);
    }

    fn settle(&mut self, fates: &mut Fates<'_>) {
        let Self { pending, bytes, durable, .. } = self;
        for (order, change) in pending.drain(..) {
            match change {
                Change::Resize(len) => {
                    if fates.of_metadata(order) {
                        durable.resize(len, 0);
                    }
                }
                Change::Write { offset, data } => {
                    let data = &bytes[data];
                    let fate = fates.of_write(order);
                    match fate {
                        Fate::Kept => put(durable, offset, data),
                        Fate::Dropped => {}
                        Fate::Torn => tear(durable, offset, data, fates),
                    }
                    let end = offset + data.len();
                    if fate != Fate::Kept && end > durable.len() && fates.length_without_data() {
                        let begin = durable.len();
                        durable.resize(end, 0);
                        fates.stale(&mut durable[begin..]);
                    }
                }
            }
        }
        bytes.clear();
    }
}

/// Writes some of the sectors of `data`.
fn tear(image: &mut Vec<u8>, offset: usize, data: &[u8], fates: &mut Fates<'_>) {
    let count = sectors(offset, data).count();
    let mut keeps = fates.tear(count);
    for (at, sector) in sectors(offset, data) {
        if keeps(fates) {
            put(image, at, sector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fate::CrashMode;
    use super::super::{Counters, Rng};
    use super::*;

    /// What may be left of `write` over two sectors of zeros, over many seeds.
    fn outcomes(mode: CrashMode, writes: &[(usize, usize, u8)]) -> std::collections::BTreeSet<Vec<u8>> {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let mut inode = Inode::default();
            inode.resize(0, 4 * SECTOR);
            inode.sync();
            for (order, (offset, len, byte)) in (1..).zip(writes) {
                inode.write(order, *offset, &vec![*byte; *len]);
            }
            let (mut rng, mut counters) = (Rng::new(seed), Counters::default());
            let mut fates = Fates::new(mode, &mut rng, &mut counters, inode.pending().collect());
            inode.crash(&mut fates);
            assert_eq!(inode.content().len(), 4 * SECTOR);
            // One byte a sector tells all: writes here cover whole sectors.
            seen.insert(inode.now.iter().step_by(SECTOR).copied().collect());
        }
        seen
    }

    fn all(cases: &[[u8; 4]]) -> std::collections::BTreeSet<Vec<u8>> {
        cases.iter().map(|case| case.to_vec()).collect()
    }

    #[test]
    fn sectors_begin_where_the_mediums_do() {
        let data = [7; 2 * SECTOR];
        let cut: Vec<_> = sectors(500, &data).map(|(at, sector)| (at, sector.len())).collect();
        assert_eq!(cut, [(500, 12), (512, 512), (1024, 500)]);
        assert_eq!(sectors(512, &[]).count(), 0);
    }

    #[test]
    fn in_order_a_later_write_never_outlives_an_earlier_one() {
        let seen = outcomes(CrashMode::Prefix, &[(0, SECTOR, 1), (SECTOR, 2 * SECTOR, 2)]);
        assert_eq!(seen, all(&[[0, 0, 0, 0], [1, 0, 0, 0], [1, 2, 0, 0], [1, 2, 2, 0]]));
    }

    #[test]
    fn without_order_any_sectors_may_be_left() {
        let seen = outcomes(CrashMode::Subset, &[(0, SECTOR, 1), (SECTOR, 2 * SECTOR, 2)]);
        assert_eq!(seen.len(), 2 * 4, "{seen:?}");
        let seen = outcomes(CrashMode::Subset, &[(0, SECTOR, 1), (0, SECTOR, 2)]);
        assert_eq!(seen, all(&[[0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]]));
    }

    #[test]
    fn nothing_and_everything() {
        let writes = [(0, SECTOR, 1), (SECTOR, 3 * SECTOR, 2)];
        assert_eq!(outcomes(CrashMode::Nothing, &writes), all(&[[0, 0, 0, 0]]));
        assert_eq!(outcomes(CrashMode::Everything, &writes), all(&[[1, 2, 2, 2]]));
    }

    #[test]
    fn what_a_failed_sync_lost_no_later_sync_brings_back() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut inode = Inode::default();
            inode.write(0, 0, &[1; SECTOR]);
            let (mut rng, mut counters) = (Rng::new(seed), Counters::default());
            inode.sync_in_part(&mut Fates::new(CrashMode::Subset, &mut rng, &mut counters, vec![0]));
            inode.sync();
            assert_eq!(inode.content(), [1; SECTOR], "it is still to be read");
            inode.crash(&mut Fates::new(CrashMode::Everything, &mut rng, &mut counters, vec![]));
            assert_eq!(inode.content().len(), SECTOR);
            lost += usize::from(inode.content() != [1; SECTOR]);
        }
        assert!((20..90).contains(&lost), "{lost}");
    }
}
