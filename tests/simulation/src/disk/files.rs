//! Which files there are: as a running system sees it, as the medium has it, and the changes in between.

use std::collections::BTreeMap;

use super::fate::Fates;
use super::inode::Inode;

pub(super) type InodeId = u64;

/// A change of a directory that the medium may or may not have.
struct NameChange {
    order: u64,
    name: String,
    /// None: the name is gone.
    inode: Option<InodeId>,
}

/// All files of a disk.
#[derive(Default)]
pub(super) struct Files {
    names: BTreeMap<String, InodeId>,
    durable_names: BTreeMap<String, InodeId>,
    pending_names: Vec<NameChange>,
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: InodeId,
    /// The place of the next change in the order of all changes.
    next_order: u64,
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Files {
    pub(super) fn find(&self, name: &str) -> Option<InodeId> {
        self.names.get(name).copied()
    }

    pub(super) fn inode(&mut self, id: InodeId) -> Option<&mut Inode> {
        self.inodes.get_mut(&id)
    }

    /// Names and what is in them now.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names.iter().filter_map(|(name, id)| Some((name.as_str(), self.inodes.get(id)?.content())))
    }

    /// Bytes in use: in files that have a name or are open.
    pub(super) fn used(&self) -> usize {
        let in_use = |(id, inode): &(&InodeId, &Inode)| {
            inode.handles > 0 || self.names.values().any(|named| named == *id)
        };
        self.inodes.iter().filter(in_use).map(|(_, inode)| inode.len()).sum()
    }

    /// The place of a change in the order of all.
    pub(super) fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    pub(super) fn create(&mut self, name: &str) -> InodeId {
        self.next_inode += 1;
        let id = self.next_inode;
        self.inodes.insert(id, Inode::default());
        self.names.insert(name.to_owned(), id);
        let order = self.order();
        self.pending_names.push(NameChange { order, name: name.to_owned(), inode: Some(id) });
        id
    }

    /// False if there is no such file.
    pub(super) fn unlink(&mut self, name: &str) -> bool {
        if self.names.remove(name).is_none() {
            return false;
        }
        let order = self.order();
        self.pending_names.push(NameChange { order, name: name.to_owned(), inode: None });
        true
    }

    /// Brings what was changed in the folder of `name` to the medium.
    pub(super) fn sync_folder(&mut self, name: &str) {
        let folder_of_name = folder(name);
        let (here, elsewhere) = std::mem::take(&mut self.pending_names)
            .into_iter()
            .partition(|change| folder(&change.name) == folder_of_name);
        self.pending_names = elsewhere;
        let here: Vec<NameChange> = here;
        here.into_iter().for_each(|change| self.settle_name(change));
        self.drop_unreachable();
    }

    fn settle_name(&mut self, change: NameChange) {
        match change.inode {
            Some(id) => self.durable_names.insert(change.name, id),
            None => self.durable_names.remove(&change.name),
        };
    }

    /// Frees files without a name that are not open and that no crash can bring back.
    pub(super) fn drop_unreachable(&mut self) {
        let Self { names, durable_names, pending_names, inodes, .. } = self;
        inodes.retain(|id, inode| {
            inode.handles > 0
                || names.values().chain(durable_names.values()).any(|named| named == id)
                || pending_names.iter().any(|change| change.inode == Some(*id))
        });
    }

    /// Every change that is pending.
    pub(super) fn pending(&self) -> Vec<u64> {
        let names = self.pending_names.iter().map(|change| change.order);
        names.chain(self.inodes.values().flat_map(Inode::pending)).collect()
    }

    /// Nobody has a file open any more; what was written is there.
    pub(super) fn kill(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.locks = Default::default();
            inode.shm = Default::default();
            inode.handles = 0;
        }
        self.drop_unreachable();
    }

    /// The power is gone.
    pub(super) fn crash(&mut self, fates: &mut Fates<'_>) {
        for change in std::mem::take(&mut self.pending_names) {
            if fates.of_metadata(change.order) {
                self.settle_name(change);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.kill();
        for inode in self.inodes.values_mut() {
            inode.crash(fates);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fate::CrashMode;
    use super::super::{Counters, Rng};
    use super::*;

    fn crash(files: &mut Files, mode: CrashMode) -> Vec<String> {
        let (mut rng, mut counters) = (Rng::new(1), Counters::default());
        let pending = files.pending();
        files.crash(&mut Fates::new(mode, &mut rng, &mut counters, pending));
        assert!(files.pending().is_empty());
        files.names.keys().cloned().collect()
    }

    #[test]
    fn a_name_is_as_durable_as_its_folder() {
        let mut files = Files::default();
        files.create("a/x");
        files.create("b/y");
        files.sync_folder("a/other");
        files.create("a/z");
        assert!(files.unlink("a/x") && !files.unlink("a/x"));
        assert_eq!(crash(&mut files, CrashMode::Nothing), ["a/x"], "x is back, y and z were never there");
        files.create("b/y");
        assert!(files.unlink("a/x"));
        assert_eq!(crash(&mut files, CrashMode::Everything), ["b/y"]);
    }

    #[test]
    fn a_deleted_file_lives_as_long_as_it_is_open_or_may_come_back() {
        let mut files = Files::default();
        let id = files.create("x");
        files.sync_folder("x");
        let inode = files.inode(id).unwrap();
        inode.handles = 1;
        inode.write(9, 0, b"abc");
        assert!(files.unlink("x"));
        assert_eq!(files.used(), 3);
        files.inode(id).unwrap().handles = 0;
        files.drop_unreachable();
        assert!(files.inode(id).is_some() && files.used() == 0);
        files.sync_folder("x");
        assert!(files.inode(id).is_none());
    }
}
