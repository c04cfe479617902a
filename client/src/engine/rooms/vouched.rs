//! Closed rooms out of a backup: who is in them is known as of then, and somebody may have been admitted or removed since.
//! What is written there waits until others have said that they know the same. So it is with a room of which somebody tells
//! who didn't admit this node: of an identity out of a backup all rooms are lost.

use chat_core::api::event::AlarmKind;
use chat_core::ids::{ConversationId, PeerId};

use super::super::Engine;
use super::Closed;
use crate::store::{RoomPeer, StoreError};

/// The row of one's own in a room of which somebody told who had not admitted this node. Out of a backup it is an empty one.
const TOLD_OF: RoomPeer = RoomPeer { told: 1, heard: None };

impl Engine {
    /// Whether nobody has vouched yet for what is known here of a closed room's members. A row of one's own among those
    /// of the others says so: see [`crate::store::Store::doubt_closed_rooms`].
    pub(in crate::engine) fn awaits_news(&self, id: ConversationId) -> bool {
        let me = self.config.identity.peer_id();
        self.closed(id).is_some_and(|closed| {
            closed.peers.contains_key(&me) && closed.log.members().any(|member| member != me)
        })
    }

    /// From now on others have to vouch for who is in a room: who admitted this node, or members who are senior.
    pub(super) fn doubt_members(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let Some(closed) = self.closed_mut(id) else { return Ok(()) };
        closed.peers.insert(me, TOLD_OF);
        self.store.put_room_peer(id, me, TOLD_OF)
    }

    /// Who admitted this node, if somebody else told of the room first, and nothing is in doubt but for that: its word is
    /// enough, as if it had come first.
    fn is_brought_by(&self, closed: &Closed) -> Option<PeerId> {
        let me = self.config.identity.peer_id();
        closed.peers.get(&me).filter(|row| **row == TOLD_OF).and_then(|_| closed.log.admitter(me))
    }

    /// Somebody knows the same of a room, or the user has said who is in it. If that is enough, what waits is addressed to
    /// its members.
    pub(super) fn vouched(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let is_joined = self.rooms.get(&id).is_some_and(|room| room.joined);
        if !is_joined || !self.closed(id).is_some_and(|closed| closed.peers.contains_key(&me)) {
            return Ok(());
        }
        if self.unvouched(id).is_some() {
            // What was just learned is news to others, too; they answer.
            return self.tell_members(id);
        }
        if let Some(closed) = self.closed_mut(id) {
            closed.peers.remove(&me);
            closed.confirmed.clear();
        }
        self.store.remove_room_peer(id, me)?;
        let members: Vec<PeerId> = self.closed(id).map(|it| it.log.members().collect()).unwrap_or_default();
        for peer in members.into_iter().filter(|&peer| peer != me) {
            self.seal_waiting(peer)?;
        }
        self.address_waiting(id)
    }

    /// The first member, by seniority, of whom it isn't certain that it is one still. One who was removed would say that it
    /// never was, and so would a friend who was removed with it; so each is vouched for by somebody senior to it, who is
    /// vouched for. Of the most senior nobody else could say so. And whom nobody but oneself could have removed, the user
    /// alone knows of: there is no trace of it but in what was lost.
    fn unvouched(&self, id: ConversationId) -> Option<PeerId> {
        let me = self.config.identity.peer_id();
        let closed = self.closed(id)?;
        let hash = closed.log.hash();
        let says_so = |peer: &PeerId| closed.peers.get(peer).is_some_and(|knows| knows.heard == Some(hash));
        let (mut is_vouched, mut first) = (self.is_brought_by(closed).as_ref().is_some_and(says_so), true);
        for member in closed.log.by_seniority() {
            if member != me {
                let for_itself = first && says_so(&member);
                if !is_vouched && !for_itself && !closed.confirmed.contains(&member) {
                    return Some(member);
                }
                is_vouched |= says_so(&member);
            }
            first = false;
        }
        None
    }

    /// The user says of a member that it is one still. Nothing, in a room in which that is no question.
    pub(super) fn confirm_member(&mut self, id: ConversationId, peer: PeerId) -> Result<(), StoreError> {
        if !self.awaits_news(id) {
            return Ok(());
        }
        if let Some(closed) = self.closed_mut(id) {
            closed.confirmed.insert(peer);
        }
        self.roster_decided(id)
    }

    /// The user has said something about who is in a room.
    pub(super) fn roster_decided(&mut self, id: ConversationId) -> Result<(), StoreError> {
        self.vouched(id)?;
        self.tell_of_doubtful_room(id);
        Ok(())
    }

    /// Now and then, as long as it is so, the user sees why what is written waits, and what to do.
    pub(super) fn tell_of_doubtful_rooms(&mut self) {
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let Some(peer) = self.awaits_news(id).then(|| self.unvouched(id)).flatten() else { continue };
            if self.rates.may_tell_of_room(peer, self.up) {
                self.tell_of_doubtful_room(id);
            }
        }
    }

    /// Not of a room that another told of first: most of the time the word of who admitted this node is only on its way.
    fn tell_of_doubtful_room(&mut self, id: ConversationId) {
        let Some(room) = self.rooms.get(&id).filter(|room| room.joined && self.awaits_news(id)) else {
            return;
        };
        let Some(peer) = self.unvouched(id) else { return };
        if room.closed().is_some_and(|closed| self.is_brought_by(closed).is_some()) {
            return;
        }
        let (address, name, me) = (&room.address, self.name_of(peer), self.config.identity.peer_id());
        let detail = if room.closed().is_some_and(|closed| closed.log.may_remove(me, peer)) {
            format!(
                "you may have removed {name} from {address} since the backup was made, and nobody else could say so: \
                 what you write there waits until you say that {name} is in it (/admit {address} {name}) or not \
                 (/remove {address} {name})"
            )
        } else {
            format!(
                "what you write in {address} waits until {name} has said who is in it; if you know that {name} is, and \
                 won't wait: /admit {address} {name}"
            )
        };
        self.alarm(AlarmKind::Restored, Some(peer), detail);
    }
}
