//! What somebody may have taken for the members who knows less.

use std::collections::{BTreeSet, VecDeque};

use chat_core::ids::PeerId;
use chat_core::wire::membership::roster_hash;

use super::{Log, Set};

/// So many ways of knowing less are tried, before it is left open whether there is one.
const MOST_TRIED: usize = 128;

/// What is found about a list of members that is not the present one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// These, to somebody who knows less.
    Were(BTreeSet<PeerId>),
    /// No part of the known operations gives it.
    Never,
    /// There are too many parts to try.
    Unknown,
}

impl Log {
    /// Whether these were the members at some time to somebody who had not heard of all operations yet. Whatever one
    /// knows, one knows the past of it too; so it is looked for by taking the newest away, one by one.
    pub(crate) fn earlier(&self, roster: [u8; 16]) -> Earlier {
        let all = Set::first(self.entries.len());
        let (mut seen, mut next) = (BTreeSet::from([all.clone()]), VecDeque::from([all]));
        while let Some(known) = next.pop_front() {
            let members = self.standing(&known);
            if roster_hash(self.room, members.keys().copied()) == roster {
                return Earlier::Were(members.into_keys().collect());
            }
            for newest in self.newest_of(&known) {
                let less = known.without(newest);
                if seen.len() >= MOST_TRIED && !seen.contains(&less) {
                    return Earlier::Unknown;
                }
                if seen.insert(less.clone()) {
                    next.push_back(less);
                }
            }
        }
        Earlier::Never
    }

    /// Operations of a set that are in the past of none of it. Not the first one, without which there is no room.
    fn newest_of(&self, set: &Set) -> Vec<usize> {
        let mut older = Set::empty();
        let held = || self.entries.iter().enumerate().filter(|(at, _)| set.has(*at));
        held().for_each(|(_, entry)| older.unite(&entry.past));
        held().map(|(at, _)| at).filter(|&at| at != 0 && !older.has(at)).collect()
    }
}
