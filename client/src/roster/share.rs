//! How often each may change the members, so that nobody can fill a room against a removal.

use chat_core::wire::membership::{Change, MAX_OPERATIONS, VerifiedOperation};

use super::{Log, NotTaken, Set};

/// Operations that are kept free for the room's creator, so that nobody can fill the log against a removal.
const RESERVED: usize = MAX_OPERATIONS / 4;
/// What all others share, and what of it an honest member begins nothing beyond: so much may be said at once by several
/// without one taking what another does not.
const SHARED: usize = MAX_OPERATIONS - RESERVED;
const SHARED_BEFORE: usize = SHARED - MAX_OPERATIONS / 8;
/// As long as there are not so many operations, a member leaves whatever others have said.
const FAREWELLS: usize = MAX_OPERATIONS / 2;

impl Log {
    /// Whether there is room for what the holder of a grant says upon its past.
    pub(super) fn has_room_for(
        &self,
        operation: &VerifiedOperation,
        grant: usize,
        past: &Set,
    ) -> Result<(), NotTaken> {
        let leaves = matches!(operation.change, Change::Remove { peer } if peer == operation.author);
        let is_farewell = leaves && self.entries.len() < FAREWELLS && !self.has_left(grant);
        if operation.author == self.creator || is_farewell {
            return Ok(());
        }
        // By its past everybody judges the same. Whoever says much at once is stopped here, by what has come.
        self.has_share(grant, past, SHARED_BEFORE).ok_or(NotTaken::Share)?;
        self.has_share(grant, &Set::first(self.entries.len()), SHARED).ok_or(NotTaken::Full)
    }

    /// Whether the holder of a grant has said that it leaves.
    fn has_left(&self, grant: usize) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.grant == grant && entry.removed() == Some(entry.operation.author))
    }

    /// Nobody takes more than what is left to others, together with whom it brought in: nor does who brought it in, and
    /// who brought that one in. So whoever fills the log, with any number of others that are only its own, leaves as much
    /// as it took; and who let it in can remove it, too.
    fn has_share(&self, grant: usize, set: &Set, most: usize) -> Option<()> {
        let left = most.checked_sub(set.len())?;
        (self.burden(grant, set) < left).then_some(())
    }

    /// What of a set was said by the holder of a grant and whom it brought in; the same of who granted it; and so on, up to
    /// the creator. An operation counts as often as its author has come the same way.
    fn burden(&self, grant: usize, set: &Set) -> usize {
        let (mut way, mut at) = (Set::empty(), grant);
        while at != 0 {
            way.add(at);
            at = self.entries.get(at).map_or(0, |entry| entry.grant);
        }
        let mut common: Vec<usize> = Vec::with_capacity(self.entries.len());
        let mut burden = 0;
        for (at, entry) in self.entries.iter().enumerate() {
            let above = common.get(entry.grant).copied().unwrap_or_default();
            common.push(above + usize::from(way.has(entry.grant)));
            if set.has(at) {
                burden += common.last().copied().unwrap_or_default();
            }
        }
        burden
    }
}
