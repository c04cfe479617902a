//! Closed rooms: made, entered and left by operations of their members, which every member checks for itself.

use std::collections::BTreeSet;

use chat_core::api::command::{MemberOf, NewRoom};
use chat_core::api::{CommandError, Destination, ErrorKind, Reply};
use chat_core::ids::{ConversationId, MessageId, PeerId};
use chat_core::room::RoomAddress;
use chat_core::wire::membership::{Change, Operation, SignedOperation, VerifiedOperation};

use super::super::Engine;
use super::super::commands::Target;
use super::{Answer, Closed, Kind, MAX_ROOMS, Room};
use crate::roster::{Log, NotTaken};
use crate::store::{DeliveryState, RoomPeer, StoreError};

fn refused(kind: ErrorKind, message: impl std::fmt::Display) -> CommandError {
    CommandError::new(kind, message)
}

impl Engine {
    pub(super) fn load_closed(&self, room: ConversationId) -> Result<Option<Kind>, StoreError> {
        let mut log: Option<Log> = None;
        for bytes in self.store.room_operations(room)? {
            let Ok(Ok(operation)) = SignedOperation::decode(&bytes).map(|signed| signed.verify()) else {
                return Ok(None);
            };
            let taken = match &mut log {
                None => {
                    log = Log::begin(operation);
                    log.is_some()
                }
                Some(log) => log.restore(operation) == Ok(true),
            };
            if !taken {
                return Ok(None);
            }
        }
        let Some(log) = log.filter(|log| log.room() == room) else { return Ok(None) };
        let peers = self.store.room_peers(room)?.into_iter().collect();
        Ok(Some(Kind::Closed(Box::new(Closed { log, peers }))))
    }

    pub(super) fn closed_mut(&mut self, id: ConversationId) -> Option<&mut Closed> {
        match &mut self.rooms.get_mut(&id)?.kind {
            Kind::Closed(closed) => Some(closed),
            Kind::Open(_) => None,
        }
    }

    pub(super) fn closed(&self, id: ConversationId) -> Option<&Closed> {
        self.rooms.get(&id)?.closed()
    }

    /// Signs an operation of one's own.
    fn operation(
        &self,
        room: ConversationId,
        parents: Vec<chat_core::wire::membership::OperationId>,
        change: Change,
    ) -> Result<VerifiedOperation, CommandError> {
        let author = *self.config.identity.public().as_bytes();
        let operation = Operation { room, author, parents, change };
        let signed = SignedOperation::sign(&operation, &self.config.identity);
        signed.verify().map_err(|e| refused(ErrorKind::NotAllowed, e))
    }

    /// `room.create`
    pub(in crate::engine) fn create(&mut self, new: &NewRoom) -> Answer<Reply> {
        if !self.has_room_for_room() {
            let message = format!("you are in {MAX_ROOMS} rooms already; leave one first");
            return Ok(Err(refused(ErrorKind::TooLarge, message)));
        }
        let nonce = match self.new_id() {
            Ok(nonce) => nonce,
            Err(error) => return Ok(Err(error)),
        };
        let change = Change::Create { name: new.room.clone(), nonce };
        let first = match self.operation(ConversationId::default(), vec![], change) {
            Ok(first) => first,
            Err(error) => return Ok(Err(error)),
        };
        let Some(log) = Log::begin(first) else {
            return Ok(Err(refused(ErrorKind::NotAllowed, "the room could not be made")));
        };
        let id = log.room();
        let room = self.enter(log)?;
        self.room_changed(id, None)?;
        Ok(Ok(Reply::Created { room, conversation_id: id }))
    }

    /// Remembers a closed room that is new here, with all its operations.
    pub(super) fn enter(&mut self, log: Log) -> Result<RoomAddress, StoreError> {
        let id = log.room();
        for (n, operation) in log.from(0).enumerate() {
            self.store.put_room_operation(id, n, &operation.signed.encode())?;
        }
        let joined = log.is_member(self.config.identity.peer_id());
        let address = self.free_address(log.name(), id);
        let kind = Kind::Closed(Box::new(Closed::new(log)));
        self.insert_room(id, Room { address: address.clone(), joined, kind })?;
        Ok(address)
    }

    /// The closed room of a command, and the peer it is about.
    fn member_of(&self, of: &MemberOf) -> Result<(ConversationId, PeerId), CommandError> {
        let (id, room) = self.joined_at(&of.room)?;
        if room.is_open() {
            let message = format!("{} is an open room: it admits whom the relay admits", of.room);
            return Err(refused(ErrorKind::NotAllowed, message));
        }
        let me = self.config.identity.peer_id();
        let member = |peer: &PeerId| *peer == me || room.has(*peer);
        match &of.peer {
            // A member may not be known otherwise yet.
            Destination::Peer(peer) if member(peer) => Ok((id, *peer)),
            peer => match self.target(peer)? {
                Target::Peer(peer) => Ok((id, peer)),
                Target::Room(_) => Err(refused(ErrorKind::BadParams, "peer: that is a room")),
            },
        }
    }

    /// `room.admit`
    pub(in crate::engine) fn admit(&mut self, of: &MemberOf) -> Answer<()> {
        let (id, peer) = match self.member_of(of) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if self.closed(id).is_some_and(|closed| closed.log.is_member(peer)) {
            return Ok(Ok(()));
        }
        let contact = self.contacts.get(&peer);
        let refused_here = contact.filter(|contact| contact.row.problem.is_some() || self.is_shut_out(peer));
        let problem = refused_here.and_then(|contact| self.problem(contact));
        if let Some(problem) = problem {
            let message = format!("nothing can be sent to {}: {problem}", self.name_of(peer));
            return Ok(Err(refused(ErrorKind::NotAllowed, message)));
        }
        self.change(id, Change::Admit { peer })
    }

    /// `room.remove`
    pub(in crate::engine) fn remove(&mut self, of: &MemberOf) -> Answer<()> {
        let (id, peer) = match self.member_of(of) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let me = self.config.identity.peer_id();
        let Some(closed) = self.closed(id) else { return Ok(Ok(())) };
        if !closed.log.is_member(peer) {
            let message = format!("{} is not in {}", self.name_of(peer), of.room);
            return Ok(Err(refused(ErrorKind::NotFound, message)));
        }
        if !closed.log.may_remove(me, peer) {
            let message = format!(
                "{} was in {} before you: who comes later can't remove who was there; /leave, or make another room",
                self.name_of(peer),
                of.room
            );
            return Ok(Err(refused(ErrorKind::NotAllowed, message)));
        }
        self.change(id, Change::Remove { peer })
    }

    pub(super) fn leave_closed(&mut self, id: ConversationId) -> Answer<()> {
        let me = self.config.identity.peer_id();
        match self.change(id, Change::Remove { peer: me })? {
            // One may always go: the others are told when there is something to tell.
            Err(_) => {
                self.left_closed(id, "you left the room before it arrived")?;
                self.room_changed(id, Some(me))?;
                Ok(Ok(()))
            }
            done => Ok(done),
        }
    }

    /// An operation of one's own: checked like any other, kept, and told to all whom it concerns.
    fn change(&mut self, id: ConversationId, change: Change) -> Answer<()> {
        let Some(closed) = self.closed(id) else { return Ok(Ok(())) };
        let (parents, before) = (closed.log.parents(), closed.log.members().collect::<BTreeSet<_>>());
        let operation = match self.operation(id, parents, change) {
            Ok(operation) => operation,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.take_operation(id, operation)? {
            let kind = match error {
                NotTaken::Full | NotTaken::Share => ErrorKind::TooLarge,
                _ => ErrorKind::NotAllowed,
            };
            return Ok(Err(refused(kind, error)));
        }
        self.members_changed(id, &before, Some(self.config.identity.peer_id()))?;
        let after: BTreeSet<PeerId> =
            self.closed(id).map(|closed| closed.log.members().collect()).unwrap_or_default();
        for &peer in before.union(&after) {
            self.tell_room(id, peer)?;
        }
        Ok(Ok(()))
    }

    /// Takes an operation into the log and the store; whether it was new.
    pub(super) fn take_operation(
        &mut self,
        id: ConversationId,
        operation: VerifiedOperation,
    ) -> Result<Result<bool, NotTaken>, StoreError> {
        let Some(closed) = self.closed_mut(id) else { return Ok(Err(NotTaken::Elsewhere)) };
        let (bytes, change) = (operation.signed.encode(), operation.change.clone());
        let (n, taken) = (closed.log.len(), closed.log.insert(operation));
        if taken == Ok(true) {
            self.store.put_room_operation(id, n, &bytes)?;
            // Also who never was a member here, as what admitted it counts for nothing, believes to be one.
            if let Change::Admit { peer } | Change::Remove { peer } = change {
                let knows = self.knows(id, peer);
                self.set_knows(id, peer, RoomPeer { told: 0, ..knows })?;
            }
        }
        Ok(taken)
    }

    /// What follows from a change of the members: nothing more is sealed for who is gone, and one's own room comes or goes.
    pub(super) fn members_changed(
        &mut self,
        id: ConversationId,
        before: &BTreeSet<PeerId>,
        by: Option<PeerId>,
    ) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let Some(closed) = self.closed_mut(id) else { return Ok(()) };
        let after: BTreeSet<PeerId> = closed.log.members().collect();
        if after == *before {
            return Ok(());
        }
        // Who comes or goes is to know other operations than before.
        for &moved in before.symmetric_difference(&after) {
            let knows = self.knows(id, moved);
            self.set_knows(id, moved, RoomPeer { told: 0, ..knows })?;
        }
        for &gone in before.difference(&after).filter(|&&gone| gone != me) {
            let dropped = self.store.drop_copies_in(id, gone)?;
            for message in dropped {
                self.was_for_nobody_else(message)?;
            }
        }
        for &come in after.difference(before) {
            if let Some(author) = self.closed(id).and_then(|closed| closed.log.removed_in_vain(come)) {
                let what =
                    format!("is a member, though {} removed it: by somebody senior", self.name_of(author));
                self.roster_alarm(id, come, &what);
            }
        }
        let joined = self.rooms.get(&id).is_some_and(|room| room.joined);
        match after.contains(&me) {
            true if !joined => self.set_joined(id, true)?,
            false if joined => self.left_closed(id, "you are no longer in the room")?,
            _ => {}
        }
        self.room_changed(id, by)?;
        if !joined && after.contains(&me) { self.came_back(id) } else { Ok(()) }
    }

    /// A message whose last copy nobody waits for any longer does not wait either, least of all for who comes later.
    fn was_for_nobody_else(&mut self, message: MessageId) -> Result<(), StoreError> {
        if self.store.deliveries_of(message)?.is_empty() {
            self.store.set_message_state(message, DeliveryState::Stored as u8, None)?;
        }
        self.touched.insert(message);
        Ok(())
    }

    fn left_closed(&mut self, id: ConversationId, reason: &str) -> Result<(), StoreError> {
        let failed = self.store.fail_copies_in(id, reason)?;
        self.touched.extend(failed);
        for row in self.store.unaddressed(id)? {
            self.store.set_message_state(row.id, DeliveryState::Failed as u8, Some(reason))?;
            self.touched.insert(row.id);
        }
        self.set_joined(id, false)
    }

    /// Whether a copy of what is written in a closed room may be sealed for a peer: it is a member, as is this node.
    pub(in crate::engine) fn may_read(&self, id: ConversationId, peer: PeerId) -> bool {
        self.rooms.get(&id).is_some_and(|room| room.has(peer))
    }
}
