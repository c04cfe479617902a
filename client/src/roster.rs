//! Who is in a closed room, by all membership operations that are known. Pure: the same operations give the same members,
//! in whatever order they came. `docs/closed-rooms.md` gives the rules and why they hold.
//!
//! An operation's hash covers its *past*: the operations it was made upon. Of it and its past alone follows whether its
//! author might do that ([`Log::insert`]); such an operation is refused by everybody, for ever. What was allowed can still
//! be undone by a removal of its author that it didn't know of: then the two are *concurrent*, and the removal wins.
//! Seniority makes that well founded: a removal ends admissions that came after its author's own, and no other.

mod set;
mod share;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chat_core::ids::{ConversationId, PeerId};
use chat_core::nick::RoomName;
use chat_core::wire::membership::{
    Change, MAX_OPERATIONS, MAX_ROOM_MEMBERS, OperationId, VerifiedOperation, log_hash, roster_hash,
};
use set::Set;

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

/// Why an operation is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// It belongs to another room, or begins one again.
    #[error("it is of another room")]
    Elsewhere,
    /// Something it was made upon is not here (yet).
    #[error("what it was made upon is not known")]
    Orphan,
    /// Its author might not do that.
    #[error("its author had no right to it")]
    NoRight,
    /// It says what was so already, or can't be.
    #[error("it changes nothing")]
    Nothing,
    /// The room, or its log, is full.
    #[error("the room has as many members or changes as it can have")]
    Full,
    /// Its author, and whom it has brought in, have said as much as leaves others enough.
    #[error(
        "its author, with whom it brought in, has changed the room as often as leaves others room for it"
    )]
    Share,
}

/// A place in an order that is the same for everybody and in which everything stands behind its past.
type Key = (u32, OperationId);

struct Entry {
    operation: VerifiedOperation,
    /// Everything it was made upon.
    past: Set,
    key: Key,
    /// What made its author a member in its past, and by whose key it therefore acts. Itself, if it begins the room.
    grant: usize,
    rank: Key,
    /// If it makes somebody a member, the removals that end that, if they count.
    enders: Set,
}

impl Entry {
    /// Whom it makes a member, if it does.
    fn admitted(&self) -> Option<PeerId> {
        match self.operation.change {
            Change::Create { .. } => Some(self.operation.author),
            Change::Admit { peer } => Some(peer),
            Change::Remove { .. } => None,
        }
    }

    /// Whether it ends this admission of the same peer, if it counts. It must have been made by a senior, or, to leave, by
    /// the same right: somebody may have been admitted by two who didn't know of each other, and who removes the junior that
    /// the one made it has no say about the other. And an admission that was made in the knowledge of a removal is a return;
    /// any other loses against it.
    fn ends(&self, own_place: usize, admission: &Self) -> bool {
        self.rank <= admission.key && !admission.past.has(own_place)
    }

    /// Whom it removes, if it does.
    fn removed(&self) -> Option<PeerId> {
        match self.operation.change {
            Change::Remove { peer } => Some(peer),
            Change::Create { .. } | Change::Admit { .. } => None,
        }
    }

    /// Its place among those that can undo each other: seniors first; and of what one says by the same right, that one
    /// leaves, so that an older copy of whoever has left says nothing any more.
    fn order(&self) -> (Key, bool, Key) {
        let leaves = self.removed() == Some(self.operation.author);
        let begins = self.rank == self.key;
        (self.rank, !leaves && !begins, self.key)
    }
}

/// Members, and what made each of them one.
type Standing = BTreeMap<PeerId, usize>;

/// All known operations of a room.
pub(crate) struct Log {
    room: ConversationId,
    creator: PeerId,
    name: RoomName,
    entries: Vec<Entry>,
    places: BTreeMap<OperationId, usize>,
    heads: BTreeSet<OperationId>,
    /// Places by [`Entry::order`]: what can undo something stands before it.
    by_rank: Vec<usize>,
    members: Standing,
}

impl Log {
    /// A room that begins with this; `None` if it begins none.
    pub(crate) fn begin(operation: VerifiedOperation) -> Option<Self> {
        let Change::Create { name, .. } = &operation.change else { return None };
        let key = (0, operation.id);
        let mut log = Self {
            room: operation.room,
            creator: operation.author,
            name: name.clone(),
            entries: Vec::new(),
            places: BTreeMap::new(),
            heads: BTreeSet::new(),
            by_rank: Vec::new(),
            members: Standing::new(),
        };
        log.push(Entry { operation, past: Set::empty(), key, grant: 0, rank: key, enders: Set::empty() });
        Some(log)
    }

    fn push(&mut self, mut entry: Entry) {
        let (at, id) = (self.entries.len(), entry.operation.id);
        let (admitted, removed) = (entry.admitted(), entry.removed());
        for (other_at, other) in self.entries.iter_mut().enumerate() {
            if admitted.is_some() && other.removed() == admitted && other.ends(other_at, &entry) {
                entry.enders.add(other_at);
            }
            if removed.is_some() && other.admitted() == removed && entry.ends(at, other) {
                other.enders.add(at);
            }
        }
        for parent in &entry.operation.parents {
            self.heads.remove(parent);
        }
        self.heads.insert(id);
        self.places.insert(id, at);
        let before = |&other: &usize| self.entries.get(other).is_some_and(|it| it.order() < entry.order());
        let place = self.by_rank.partition_point(before);
        self.by_rank.insert(place, at);
        let knew_all = entry.past.len() == at;
        self.entries.push(entry);
        match (admitted, removed) {
            // It undoes nothing but what it names, and nothing undoes it.
            (Some(peer), _) if knew_all => drop(self.members.insert(peer, at)),
            (_, Some(peer)) if knew_all => drop(self.members.remove(&peer)),
            _ => self.members = self.standing(&Set::first(self.entries.len())),
        }
    }

    /// Takes an operation; `false` if it is known. Nothing has changed if it is refused.
    pub(crate) fn insert(&mut self, operation: VerifiedOperation) -> Result<bool, NotTaken> {
        self.take(operation, true)
    }

    /// Takes an operation again that was taken once, in the same order.
    pub(crate) fn restore(&mut self, operation: VerifiedOperation) -> Result<bool, NotTaken> {
        self.take(operation, false)
    }

    fn take(&mut self, operation: VerifiedOperation, is_new: bool) -> Result<bool, NotTaken> {
        if self.places.contains_key(&operation.id) {
            return Ok(false);
        }
        if operation.room != self.room || matches!(operation.change, Change::Create { .. }) {
            return Err(NotTaken::Elsewhere);
        }
        let mut past = Set::empty();
        let mut depth = 0;
        for parent in &operation.parents {
            let (at, entry) = self.entry(parent).ok_or(NotTaken::Orphan)?;
            past.unite(&entry.past);
            past.add(at);
            depth = depth.max(entry.key.0 + 1);
        }
        let later;
        let standing = if past.len() == self.entries.len() {
            &self.members
        } else {
            later = self.standing(&past);
            &later
        };
        let grant = *standing.get(&operation.author).ok_or(NotTaken::NoRight)?;
        let rank = self.key_of(grant);
        match &operation.change {
            Change::Admit { peer } if standing.contains_key(peer) => return Err(NotTaken::Nothing),
            Change::Admit { .. } if standing.len() >= MAX_ROOM_MEMBERS => return Err(NotTaken::Full),
            Change::Remove { peer } => {
                let other = standing.get(peer).ok_or(NotTaken::Nothing)?;
                if *peer != operation.author && self.key_of(*other) <= rank {
                    return Err(NotTaken::NoRight);
                }
            }
            _ => {}
        }
        if self.entries.len() >= MAX_OPERATIONS {
            return Err(NotTaken::Full);
        }
        if is_new {
            self.has_room_for(&operation, grant, &past)?;
        }
        let key = (depth, operation.id);
        self.push(Entry { operation, past, key, grant, rank, enders: Set::empty() });
        Ok(true)
    }

    fn entry(&self, id: &OperationId) -> Option<(usize, &Entry)> {
        let at = *self.places.get(id)?;
        self.entries.get(at).map(|entry| (at, entry))
    }

    fn key_of(&self, at: usize) -> Key {
        // What is not there ranks last.
        self.entries.get(at).map_or((u32::MAX, OperationId([0xff; 32])), |entry| entry.key)
    }

    /// Who is a member after a set of operations that holds the past of each.
    fn standing(&self, set: &Set) -> Standing {
        let mut holds = Set::empty();
        for &at in self.by_rank.iter().filter(|&&at| set.has(at)) {
            let Some(entry) = self.entries.get(at) else { continue };
            // What made its author a member, and whatever ended that, stands before it here: so it is decided.
            let granted = entry.grant == at || holds.has(entry.grant);
            if granted && !self.undoers(at).any(|removal| holds.has(removal)) {
                holds.add(at);
            }
        }
        let mut members = Standing::new();
        for (at, entry) in self.entries.iter().enumerate().filter(|(at, _)| holds.has(*at)) {
            let Some(peer) = entry.admitted() else { continue };
            if entry.enders.common(&holds).next().is_some() {
                continue;
            }
            let first = members.entry(peer).or_insert(at);
            if entry.key < self.key_of(*first) {
                *first = at;
            }
        }
        members
    }

    /// The removals of an operation's author that make it void, if they count: they end what it acts by, and were not made
    /// upon it.
    fn undoers(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let grant = self.entries.get(at).and_then(|entry| self.entries.get(entry.grant));
        let removals = grant.into_iter().flat_map(|grant| grant.enders.common(&grant.enders));
        removals.filter(move |&removal| self.entries.get(removal).is_some_and(|it| !it.past.has(at)))
    }

    /// Who removed a member without knowing of what makes it one.
    pub(crate) fn removed_in_vain(&self, member: PeerId) -> Option<PeerId> {
        let admission = self.entries.get(*self.members.get(&member)?)?;
        let in_vain = |(at, entry): &(usize, &Entry)| {
            entry.removed() == Some(member) && entry.operation.author != member && !admission.past.has(*at)
        };
        self.entries.iter().enumerate().rfind(in_vain).map(|(_, entry)| entry.operation.author)
    }

    /// The room.
    pub(crate) fn room(&self) -> ConversationId {
        self.room
    }

    /// Who made it.
    pub(crate) fn creator(&self) -> PeerId {
        self.creator
    }

    /// What its creator called it.
    pub(crate) fn name(&self) -> &RoomName {
        &self.name
    }

    /// Everybody in it.
    pub(crate) fn members(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.members.keys().copied()
    }

    /// The same, who has been there longest first.
    pub(crate) fn by_seniority(&self) -> Vec<PeerId> {
        let mut members: Vec<PeerId> = self.members().collect();
        members.sort_by_key(|member| self.members.get(member).map(|&grant| self.key_of(grant)));
        members
    }

    pub(crate) fn is_member(&self, peer: PeerId) -> bool {
        self.members.contains_key(&peer)
    }

    /// Who has admitted somebody, the last time.
    pub(crate) fn admitter(&self, peer: PeerId) -> Option<PeerId> {
        let admits =
            |entry: &&Entry| matches!(entry.operation.change, Change::Admit { peer: it } if it == peer);
        self.entries.iter().rfind(admits).map(|entry| entry.operation.author)
    }

    /// Whether one member may remove another.
    pub(crate) fn may_remove(&self, author: PeerId, peer: PeerId) -> bool {
        match (self.members.get(&author), self.members.get(&peer)) {
            (Some(_), Some(_)) if author == peer => true,
            (Some(one), Some(other)) => self.key_of(*one) < self.key_of(*other),
            _ => false,
        }
    }

    /// The newest operations, which the next one names: as many as it may.
    pub(crate) fn parents(&self) -> Vec<OperationId> {
        // With more heads than that, those left out stay heads, and the next operation names them.
        self.heads.iter().copied().take(chat_core::wire::membership::MAX_PARENTS).collect()
    }

    /// Hash of everything known.
    pub(crate) fn hash(&self) -> [u8; 16] {
        log_hash(self.room, self.heads.iter().copied())
    }

    /// Hash of the members.
    pub(crate) fn roster(&self) -> [u8; 16] {
        roster_hash(self.room, self.members())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn has(&self, id: &OperationId) -> bool {
        self.places.contains_key(id)
    }

    /// Operations from a place on, in the order in which they came.
    pub(crate) fn from(&self, place: usize) -> impl Iterator<Item = &VerifiedOperation> {
        self.entries.iter().skip(place).map(|entry| &entry.operation)
    }

    /// What somebody who is no member may know: how it was admitted and removed, and all that went before; and by what an
    /// author of that had lost its place meanwhile, for an admission may count for nothing though nobody was removed by name.
    /// Of that follows that it is none. Empty if nobody ever wished it to be one.
    pub(crate) fn until_out(&self, peer: PeerId) -> Vec<&VerifiedOperation> {
        let places = self.entries.iter().enumerate();
        let is_about = |entry: &Entry| [entry.admitted(), entry.removed()].contains(&Some(peer));
        let mut known = Set::empty();
        let about = places.clone().filter(|(at, entry)| *at != 0 && is_about(entry));
        let mut wanted: Vec<usize> = about.map(|(at, _)| at).inspect(|&at| known.add(at)).collect();
        while let Some(at) = wanted.pop() {
            let Some(entry) = self.entries.get(at) else { continue };
            let mut also = entry.past.clone();
            self.undoers(at).for_each(|removal| also.add(removal));
            let new = known.take_in(&also);
            wanted.extend(new.common(&new));
        }
        places.filter(|(at, _)| known.has(*at)).map(|(_, entry)| &entry.operation).collect()
    }

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

#[cfg(test)]
mod tests;
