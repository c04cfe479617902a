//! Closed rooms: made, entered and left by operations of their members, which every member checks for itself.

use std::collections::BTreeSet;

use chat_core::api::command::{MemberOf, NewRoom};
use chat_core::api::{CommandError, Destination, ErrorKind, Reply};
use chat_core::ids::{ConversationId, MessageId, PeerId};
use chat_core::room::RoomAddress;
use chat_core::wire::membership::{Change, Operation, SignedOperation, VerifiedOperation};

use super::super::Engine;
use super::super::answer::{Answer, Denied};
use super::super::commands::Target;
use super::names::Tie;
use super::{Closed, Kind, MAX_ROOMS, Room};
use crate::roster::{Log, NotTaken};
use crate::store::{DeliveryState, RoomPeer, StoreError};

impl Engine {
    pub(super) fn load_closed(&self, room: ConversationId) -> Result<Option<Kind>, StoreError> {
        let mut log: Option<Log> = None;
        for bytes in self.store.room_operations(room)? {
            let Ok(Ok(operation)) = SignedOperation::decode(&bytes).map(|signed| signed.verified_before())
            else {
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
        Ok(Some(Kind::Closed(Box::new(Closed { peers, ..Closed::new(log) }))))
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
        signed.verify().map_err(|e| CommandError::new(ErrorKind::NotAllowed, e))
    }

    /// `room.create`
    pub(in crate::engine) fn create(&mut self, new: &NewRoom) -> Answer<Reply> {
        if !self.has_room_for_room() {
            let message = format!("you are in {MAX_ROOMS} rooms already; leave one first");
            return Err(CommandError::new(ErrorKind::TooLarge, message).into());
        }
        let nonce = self.new_id()?;
        let change = Change::Create { name: new.room.clone(), nonce };
        let first = self.operation(ConversationId::default(), vec![], change)?;
        let Some(log) = Log::begin(first) else {
            return Err(CommandError::new(ErrorKind::NotAllowed, "the room could not be made").into());
        };
        let id = log.room();
        let room = self.enter(log, Tie::Chosen)?;
        self.room_changed(id, None)?;
        Ok(Reply::Created { room, conversation_id: id })
    }

    /// Remembers a closed room that is new here, with all its operations.
    pub(super) fn enter(&mut self, log: Log, tie: Tie) -> Result<RoomAddress, StoreError> {
        let id = log.room();
        for (n, operation) in log.from(0).enumerate() {
            self.store.put_room_operation(id, n, &operation.signed.encode())?;
        }
        let joined = log.is_member(self.config.identity.peer_id());
        let address = self.take_name(&log.name().clone(), id, tie)?;
        let kind = Kind::Closed(Box::new(Closed::new(log)));
        self.insert_room(id, Room { address: address.clone(), joined, kind })?;
        Ok(address)
    }

    /// The closed room of a command, and the peer it is about.
    fn member_of(&self, of: &MemberOf) -> Result<(ConversationId, PeerId), CommandError> {
        let (id, room) = self.joined_at(&of.room)?;
        if room.is_open() {
            let message = format!("{} is an open room: it admits whom the relay admits", of.room);
            return Err(CommandError::new(ErrorKind::NotAllowed, message));
        }
        let me = self.config.identity.peer_id();
        let member = |peer: &PeerId| *peer == me || room.has(*peer);
        match &of.peer {
            // A member may not be known otherwise yet.
            Destination::Peer(peer) if member(peer) => Ok((id, *peer)),
            peer => match self.target(peer)? {
                Target::Peer(peer) => Ok((id, peer)),
                Target::Room(_) => Err(CommandError::new(ErrorKind::BadParams, "peer: that is a room")),
            },
        }
    }

    /// `room.admit`
    pub(in crate::engine) fn admit(&mut self, of: &MemberOf) -> Answer<()> {
        let (id, peer) = self.member_of(of)?;
        if self.closed(id).is_some_and(|closed| closed.log.is_member(peer)) {
            return Ok(self.confirm_member(id, peer)?);
        }
        let contact = self.contacts.get(&peer);
        let refused_here = contact.filter(|contact| contact.row.problem.is_some() || self.is_shut_out(peer));
        let problem = refused_here.and_then(|contact| self.problem(contact));
        if let Some(problem) = problem {
            let message = format!("nothing can be sent to {}: {problem}", self.name_of(peer));
            return Err(CommandError::new(ErrorKind::NotAllowed, message).into());
        }
        self.change(id, Change::Admit { peer })
    }

    /// `room.remove`
    pub(in crate::engine) fn remove(&mut self, of: &MemberOf) -> Answer<()> {
        let (id, peer) = self.member_of(of)?;
        let me = self.config.identity.peer_id();
        let Some(closed) = self.closed(id) else { return Ok(()) };
        if !closed.log.is_member(peer) {
            let message = format!("{} is not in {}", self.name_of(peer), of.room);
            return Err(CommandError::new(ErrorKind::NotFound, message).into());
        }
        if !closed.log.may_remove(me, peer) {
            let message = format!(
                "{} was in {} before you: who comes later can't remove who was there; /leave, or make another room",
                self.name_of(peer),
                of.room
            );
            return Err(CommandError::new(ErrorKind::NotAllowed, message).into());
        }
        self.change(id, Change::Remove { peer })
    }

    pub(super) fn leave_closed(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        match self.change(id, Change::Remove { peer: me }) {
            Ok(()) => Ok(()),
            Err(Denied::Store(error)) => Err(error),
            // One may always go: the others are told when there is something to tell.
            Err(Denied::Command(_)) => {
                self.left_closed(id, "you left the room before it arrived")?;
                self.room_changed(id, Some(me))
            }
        }
    }

    /// An operation of one's own: checked like any other, kept, and told to all whom it concerns.
    fn change(&mut self, id: ConversationId, change: Change) -> Answer<()> {
        let Some(closed) = self.closed(id) else { return Ok(()) };
        let (parents, before) = (closed.log.parents(), closed.log.members().collect::<BTreeSet<_>>());
        let operation = self.operation(id, parents, change)?;
        if let Err(error) = self.take_operation(id, operation)? {
            let kind = match error {
                NotTaken::Full | NotTaken::Share => ErrorKind::TooLarge,
                _ => ErrorKind::NotAllowed,
            };
            return Err(CommandError::new(kind, error).into());
        }
        self.members_changed(id, &before, Some(self.config.identity.peer_id()))?;
        let after: BTreeSet<PeerId> =
            self.closed(id).map(|closed| closed.log.members().collect()).unwrap_or_default();
        for &peer in before.union(&after) {
            self.tell_room(id, peer)?;
        }
        Ok(self.roster_decided(id)?)
    }

    /// Takes an operation into the log and the store; whether it was new.
    pub(in crate::engine) fn take_operation(
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
            let author = self.closed(id).and_then(|closed| closed.log.removed_in_vain(come));
            if author == Some(me) {
                self.roster_alarm(
                    id,
                    come,
                    "is a member, though you removed it: by somebody who was there before you",
                );
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
