//! Who knows which operations of a closed room. Whoever changes something tells all members; each tells what it knows
//! before it writes to somebody whom it has not told; who gets operations answers with the hash of all it knows now. What
//! got lost is told again while somebody's hash is another one.

use std::collections::BTreeSet;

use chat_core::api::event::AlarmKind;
use chat_core::ids::{ConversationId, PeerId};
use chat_core::nick::RoomName;
use chat_core::wire::Body;
use chat_core::wire::body::{RoomAsk, RoomLog};
use chat_core::wire::membership::{Change, OperationId, SignedOperation, VerifiedOperation, log_hash};

use super::super::Engine;
use crate::roster::{Log, NotTaken};
use crate::store::{RoomPeer, StoreError};

/// So many operations are as much work as a copy of a message.
const OPERATIONS_A_COPY: usize = 8;

/// The hash of operations that are in the order in which they came, with everything before them.
fn hash_of(room: ConversationId, operations: &[&VerifiedOperation]) -> [u8; 16] {
    let parents: BTreeSet<OperationId> =
        operations.iter().flat_map(|it| it.parents.iter().copied()).collect();
    log_hash(room, operations.iter().map(|it| it.id).filter(|id| !parents.contains(id)))
}

/// What a peer is to know of a room: so many operations, and the hash of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    /// Operations that were known then.
    of: usize,
    count: u32,
    hash: [u8; 16],
}

impl Engine {
    /// What a peer is to know of a room, and the hash of it: a member everything, who is none, but was to be one, why.
    fn for_peer(&self, id: ConversationId, peer: PeerId) -> Option<(Vec<&VerifiedOperation>, [u8; 16])> {
        let log = &self.closed(id)?.log;
        if log.is_member(peer) {
            return Some((log.from(0).collect(), log.hash()));
        }
        let known = log.until_out(peer);
        let hash = hash_of(id, &known);
        (!known.is_empty()).then_some((known, hash))
    }

    /// How much a peer is to know of a room, and the hash of it. Worked out once for as long as nothing is new there: of
    /// those who are no members there may be hundreds, and they are looked through each minute.
    fn owed(&mut self, id: ConversationId, peer: PeerId) -> Option<(u32, [u8; 16])> {
        let closed = self.closed(id)?;
        let (of, is_member) = (closed.log.len(), closed.log.is_member(peer));
        if let Some(owed) = closed.owed.get(&peer).filter(|owed| owed.of == of && !is_member) {
            return (owed.count > 0).then_some((owed.count, owed.hash));
        }
        let owed = self.for_peer(id, peer).map(|(known, hash)| (known.len(), hash));
        let (count, hash) =
            owed.map_or((0, [0; 16]), |(count, hash)| (u32::try_from(count).unwrap_or(u32::MAX), hash));
        if !is_member && let Some(closed) = self.closed_mut(id) {
            closed.owed.insert(peer, Owed { of, count, hash });
        }
        (count > 0).then_some((count, hash))
    }

    pub(super) fn knows(&self, id: ConversationId, peer: PeerId) -> RoomPeer {
        self.closed(id).and_then(|closed| closed.peers.get(&peer)).copied().unwrap_or_default()
    }

    pub(super) fn set_knows(
        &mut self,
        id: ConversationId,
        peer: PeerId,
        knows: RoomPeer,
    ) -> Result<(), StoreError> {
        // A row of one's own means something else: see `vouched`.
        if peer == self.config.identity.peer_id() {
            return Ok(());
        }
        let Some(closed) = self.closed_mut(id) else { return Ok(()) };
        if closed.peers.insert(peer, knows) == Some(knows) {
            return Ok(());
        }
        self.store.put_room_peer(id, peer, knows)
    }

    /// Tells a peer what it has not been told. What can't be sealed for it now is told when it can.
    pub(in crate::engine) fn tell_room(
        &mut self,
        id: ConversationId,
        peer: PeerId,
    ) -> Result<(), StoreError> {
        if peer == self.config.identity.peer_id() {
            return Ok(());
        }
        if !self.contacts.contains_key(&peer) {
            return self.ask_for_member(id, peer);
        }
        let knows = self.knows(id, peer);
        let Some((known, log)) = self.for_peer(id, peer) else { return Ok(()) };
        let told = usize::try_from(knows.told).unwrap_or(usize::MAX);
        let operations: Vec<SignedOperation> =
            known.iter().skip(told).map(|operation| operation.signed.clone()).collect();
        let all = u32::try_from(known.len()).unwrap_or(u32::MAX);
        if operations.is_empty() || self.waits_in_line(peer) {
            return Ok(());
        }
        let work = 1 + operations.len() / OPERATIONS_A_COPY;
        let body = Body::RoomLog(RoomLog { room: id, log, operations });
        if self.send_control(peer, self.direct(peer), body)? {
            self.backlog.has_done(work);
            self.set_knows(id, peer, RoomPeer { told: all, ..knows })?;
        }
        Ok(())
    }

    /// Asks for a member that is not known. If somebody else would have to be forgotten for it, only in a room that the
    /// user has chosen: else two could take each other's place for ever.
    fn ask_for_member(&mut self, id: ConversationId, peer: PeerId) -> Result<(), StoreError> {
        if !self.is_crowded() || self.is_chosen(id)? {
            self.ask_for(peer);
        }
        Ok(())
    }

    /// Everything that a peer has not been told of any room.
    pub(in crate::engine) fn tell_rooms(&mut self, peer: PeerId) -> Result<(), StoreError> {
        for id in self.rooms_with(peer) {
            self.tell_room(id, peer)?;
        }
        Ok(())
    }

    /// Closed rooms that a peer is in, or was told of.
    fn rooms_with(&self, peer: PeerId) -> Vec<ConversationId> {
        let concerns = |(id, room): (&ConversationId, &super::Room)| {
            let closed = room.closed()?;
            let of_it = room.has(peer) || closed.peers.contains_key(&peer);
            of_it.then_some(*id)
        };
        self.rooms.iter().filter_map(concerns).collect()
    }

    /// Everybody in a room is told what it has not been told.
    pub(in crate::engine) fn tell_members(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let Some(closed) = self.closed(id) else { return Ok(()) };
        for peer in closed.log.members().collect::<Vec<_>>() {
            self.tell_room(id, peer)?;
        }
        Ok(())
    }

    pub(in crate::engine) fn tell_all_rooms(&mut self) -> Result<(), StoreError> {
        for (id, peer) in self.unconfirmed_in_rooms() {
            self.tell_room(id, peer)?;
        }
        Ok(())
    }

    /// Members, and who was one and is known here, that have not said they know what they are to know.
    fn unconfirmed_in_rooms(&mut self) -> Vec<(ConversationId, PeerId)> {
        let me = self.config.identity.peer_id();
        let mut open = Vec::new();
        for (id, room) in &self.rooms {
            let Some(closed) = room.closed() else { continue };
            // Who has left says that it has, and nothing else. Who is no member and nobody here has met is told by whoever
            // removed it, or when it comes.
            let gone = closed.peers.keys().filter(|peer| self.contacts.contains_key(peer));
            let all: BTreeSet<PeerId> = closed.log.members().chain(gone.copied()).collect();
            open.extend(all.into_iter().filter(|&peer| peer != me).map(|peer| (*id, peer)));
        }
        open.retain(|(id, peer)| {
            let heard = self.knows(*id, *peer).heard;
            self.owed(*id, *peer).is_some_and(|(_, hash)| heard != Some(hash))
        });
        open
    }

    /// Now and then, what somebody who is there has not confirmed is told again from the beginning.
    pub(in crate::engine) fn nudge_rooms(&mut self) -> Result<(), StoreError> {
        self.tell_of_doubtful_rooms();
        for (id, peer) in self.unconfirmed_in_rooms() {
            match self.contacts.get(&peer).map(|contact| contact.online) {
                None => self.ask_for_member(id, peer)?,
                Some(true) => drop(self.tell_again(id, peer)?),
                Some(false) => {}
            }
        }
        Ok(())
    }

    /// Tells everything once more, if that was not done a short while ago. Whether it was done.
    fn tell_again(&mut self, id: ConversationId, peer: PeerId) -> Result<bool, StoreError> {
        let known = !self.is_stranger(peer)?;
        if !self.rates.may_tell(peer, id, known, self.up) {
            return Ok(false);
        }
        let knows = self.knows(id, peer);
        self.set_knows(id, peer, RoomPeer { told: 0, ..knows })?;
        self.tell_room(id, peer).map(|()| true)
    }

    /// What a session carried that is lost may have been of this: it is told again over the new one. And a peer may have
    /// lost its session because it goes on from an older copy of its data: whatever it has confirmed, it is asked.
    pub(in crate::engine) fn retell_rooms(&mut self, peer: PeerId) -> Result<(), StoreError> {
        for id in self.rooms_with(peer) {
            let knows = self.knows(id, peer);
            let has_confirmed = self.has_confirmed(id, peer);
            match has_confirmed {
                true => self.ask_room(id, peer)?,
                false => self.set_knows(id, peer, RoomPeer { told: 0, ..knows })?,
            }
        }
        self.tell_rooms(peer)
    }

    /// Whether a peer has said that it knows what it is to know.
    fn has_confirmed(&mut self, id: ConversationId, peer: PeerId) -> bool {
        let heard = self.knows(id, peer).heard;
        self.owed(id, peer).is_some_and(|(_, hash)| heard == Some(hash))
    }

    /// Says by its hash what is known here of a room, to hear whether the peer knows the same.
    pub(super) fn ask_room(&mut self, id: ConversationId, peer: PeerId) -> Result<(), StoreError> {
        let log = self.owed(id, peer).map(|(_, hash)| hash).unwrap_or_default();
        let ask = Body::RoomAsk(RoomAsk { room: id, log });
        self.send_control(peer, self.direct(peer), ask).map(drop)
    }

    /// Says by its hash what is known here, and nothing more.
    fn confirm_room(&mut self, id: ConversationId, peer: PeerId, log: [u8; 16]) -> Result<(), StoreError> {
        let body = Body::RoomLog(RoomLog { room: id, log, operations: vec![] });
        self.send_control(peer, self.direct(peer), body).map(drop)
    }

    /// Somebody knows other operations, or wrote where it may not: both tell each other all, unless that was done a short
    /// while ago. Whether it is done.
    pub(in crate::engine) fn compare_rooms(
        &mut self,
        id: ConversationId,
        peer: PeerId,
    ) -> Result<bool, StoreError> {
        let counted = self.counted(id);
        let known = !self.is_stranger(peer)?;
        if !self.rates.may_compare(peer, counted, known, self.up) {
            return Ok(false);
        }
        let knows = self.knows(id, peer);
        if self.closed(id).is_some() {
            self.set_knows(id, peer, RoomPeer { told: 0, ..knows })?;
            self.tell_room(id, peer)?;
        }
        self.ask_room(id, peer)?;
        Ok(true)
    }

    /// [`Body::RoomAsk`]
    pub(in crate::engine) fn room_ask(&mut self, from: PeerId, ask: &RoomAsk) -> Result<(), StoreError> {
        // Who is no member and never was learns nothing, not even that there is such a room.
        let Some((_, hash)) = self.owed(ask.room, from) else { return Ok(()) };
        let knows = self.knows(ask.room, from);
        self.set_knows(ask.room, from, RoomPeer { heard: Some(ask.log), ..knows })?;
        if ask.log == hash {
            self.confirm_room(ask.room, from, hash)?;
            return self.agreed(ask.room, from);
        }
        // As long as it may not be told all again, it hears at least that there is something to tell.
        if self.tell_again(ask.room, from)? { Ok(()) } else { self.confirm_room(ask.room, from, hash) }
    }

    /// [`Body::RoomLog`]
    pub(in crate::engine) fn room_log(&mut self, from: PeerId, told: &RoomLog) -> Result<(), StoreError> {
        let id = told.room;
        let is_new = self.closed(id).is_none();
        let has_confirmed = self.has_confirmed(id, from);
        let orphans = if is_new {
            // Asked before anything is checked: that is work for a thousand signatures.
            let Some((by, name)) = self.invited_by(told) else { return Ok(()) };
            if !self.may_be_brought(by, name)? {
                return Ok(());
            }
            let Some(log) = self.admitted_by(from, told) else { return Ok(()) };
            let tie = self.tie_through(log.admitter(self.config.identity.peer_id()).unwrap_or(by))?;
            self.enter(log, tie)?;
            if by != from {
                // It was in a room before it, of which nothing is known here: perhaps it has been removed since, and this
                // node, which has its identity from a backup, knew it once.
                self.doubt_members(id)?;
            }
            self.room_is_known(from);
            let by = self.closed(id).and_then(|closed| closed.log.admitter(self.config.identity.peer_id()));
            self.room_changed(id, by)?;
            false
        } else {
            if !self.may_come_back(told)? {
                return Ok(());
            }
            self.merge(from, told)?
        };
        let Some((all, hash)) = self.owed(id, from) else { return Ok(()) };
        let knows = self.knows(id, from);
        let told_all = if told.log == hash { all } else { knows.told };
        self.set_knows(id, from, RoomPeer { told: told_all, heard: Some(told.log) })?;
        if orphans {
            return self.compare_rooms(id, from).map(drop);
        }
        if told.log != hash {
            // It had confirmed all of this: what it was told, it has lost.
            return if has_confirmed {
                self.tell_again(id, from).map(drop)
            } else {
                self.tell_room(id, from)
            };
        }
        self.agreed(id, from)?;
        if told.operations.is_empty() { Ok(()) } else { self.confirm_room(id, from, hash) }
    }

    /// Who admits this node to a room that is not known here, and what it is called, by what is told of it.
    fn invited_by(&self, told: &RoomLog) -> Option<(PeerId, RoomName)> {
        let me = self.config.identity.peer_id();
        let Change::Create { name, .. } = told.operations.first()?.claims().ok()?.1 else { return None };
        let claims = told.operations.iter().rev().filter_map(|signed| signed.claims().ok());
        let mut admissions =
            claims.filter(|(_, change)| matches!(change, Change::Admit { peer } if *peer == me));
        Some((admissions.next()?.0, name))
    }

    /// A room that is not known here, if it admits this node: all of its operations, every one of them right.
    fn admitted_by(&mut self, from: PeerId, told: &RoomLog) -> Option<Log> {
        let me = self.config.identity.peer_id();
        if told.operations.is_empty() || self.rooms.contains_key(&told.room) {
            return None;
        }
        let mut log: Option<Log> = None;
        for signed in &told.operations {
            let operation = signed.verify().ok()?;
            match &mut log {
                None => log = Some(Log::begin(operation)?),
                Some(log) => drop(log.insert(operation).ok()?),
            }
        }
        let log = log.filter(|log| log.room() == told.room && log.hash() == told.log)?;
        (log.is_member(me) && log.is_member(from)).then_some(log)
    }

    /// Takes what is new of a room that is known. Whether something is missing before some of it.
    fn merge(&mut self, from: PeerId, told: &RoomLog) -> Result<bool, StoreError> {
        let id = told.room;
        let Some(closed) = self.closed(id) else { return Ok(false) };
        let before: BTreeSet<PeerId> = closed.log.members().collect();
        let (mut orphans, mut by) = (false, None);
        for signed in &told.operations {
            if self.closed(id).is_some_and(|closed| closed.log.has(&signed.id())) {
                continue;
            }
            let Ok(operation) = signed.verify() else {
                self.roster_alarm(id, from, "told of a change of the members that nobody has signed");
                break;
            };
            let author = operation.author;
            match self.take_operation(id, operation)? {
                Ok(_) => by = Some(author),
                Err(NotTaken::Orphan) => orphans = true,
                Err(NotTaken::NoRight) => {
                    self.roster_alarm(id, author, "wished to change the members without a right to it");
                }
                Err(NotTaken::Share) => {
                    self.roster_alarm(
                        id,
                        author,
                        "changes the members more often than leaves others room for it",
                    );
                }
                Err(NotTaken::Full) => {
                    self.roster_alarm(id, author, "changes the members more often than a room can hold");
                    break;
                }
                Err(NotTaken::Nothing | NotTaken::Elsewhere) => {}
            }
        }
        self.members_changed(id, &before, by)?;
        Ok(orphans)
    }

    /// Says who did what, and in which room.
    pub(in crate::engine) fn roster_alarm(&mut self, id: ConversationId, peer: PeerId, what: &str) {
        let room = self.rooms.get(&id).map_or_else(|| id.short(), |room| room.address.to_string());
        let detail = format!("{} {what} ({room})", self.name_of(peer));
        self.alarm(AlarmKind::Roster, Some(peer), detail);
    }
}
