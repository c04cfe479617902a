//! Open rooms: the relay names members, each of them gets an envelope of its own; a member says itself,
//! through the sessions, that it left.

use std::collections::BTreeSet;

use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use chat_core::nick::RoomName;
use chat_core::wire::envelope::open_room_conversation;
use chat_core::wire::{Body, ToRelay};

use super::super::Engine;
use super::names::Tie;
use super::{Kind, Open, Room};
use crate::store::{DeliveryState, StoreError};

/// Most members of an open room that are taken from a relay.
pub(in crate::engine) const MAX_MEMBERS: usize = 10_000;
/// In a room of so many, all are told that one leaves, though a session has to be begun for it.
const FAREWELLS_TO_ALL: usize = 64;
/// Most who are told.
const MAX_FAREWELLS: usize = 256;

impl Engine {
    pub(super) fn load_open(&self, room: ConversationId) -> Result<Kind, StoreError> {
        let members = self.store.members(room)?.into_iter().collect();
        Ok(Kind::Open(Open { members, announced: false }))
    }

    pub(in crate::engine) fn open_room(&mut self, id: ConversationId) -> Option<&mut Open> {
        match &mut self.rooms.get_mut(&id)?.kind {
            Kind::Open(open) => Some(open),
            Kind::Closed(_) => None,
        }
    }

    /// An open room that one is in.
    fn joined_open(&mut self, id: ConversationId) -> Option<&mut Open> {
        let joined = self.rooms.get(&id)?.joined;
        self.open_room(id).filter(|_| joined)
    }

    /// Tells the relay which open rooms one is in. Of closed ones no relay hears anything.
    pub(in crate::engine) fn join_all(&mut self) {
        // A room that was left while there was no link is left now, else the relay names us on and on.
        let record = |room: &Room| match room.joined {
            true => ToRelay::Join { room: room.address.name().clone() },
            false => ToRelay::Leave { room: room.address.name().clone() },
        };
        let records: Vec<ToRelay> = self.rooms.values().filter(|room| room.is_open()).map(record).collect();
        self.out.records.extend(records);
    }

    /// Joins a room that the user wishes to be in; or, if he is, gives it its name where it had digits.
    pub(super) fn join_open(&mut self, name: &RoomName) -> Result<(), StoreError> {
        let id = open_room_conversation(name);
        let address = self.take_name(name, id, Tie::Chosen)?;
        match self.rooms.get(&id).filter(|room| room.joined) {
            Some(room) if room.address == address => return Ok(()),
            Some(_) => return self.rename_room(id, address),
            None => {}
        }
        self.insert_room(id, Room { address, joined: true, kind: Kind::Open(Open::default()) })?;
        if self.welcomed {
            self.out.records.push(ToRelay::Join { room: name.clone() });
        }
        self.room_changed(id, None)?;
        self.came_back(id)
    }

    pub(super) fn leave_open(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get(&id) else { return Ok(()) };
        let name = room.address.name().clone();
        self.set_joined(id, false)?;
        let members = self.open_room(id).map(|open| std::mem::take(&mut open.members)).unwrap_or_default();
        self.store.remove_all_members(id)?;
        // Of many, those with whom there is a session: who has none yet is told if it writes here.
        let is_small = members.len() <= FAREWELLS_TO_ALL;
        let has_session = |peer: &PeerId| self.contacts.get(peer).is_some_and(|it| it.row.sending.is_some());
        let told = members.into_iter().filter(|peer| is_small || has_session(peer)).take(MAX_FAREWELLS);
        for peer in told.collect::<Vec<_>>() {
            self.send_control(peer, id, Body::Left)?;
        }
        if self.welcomed {
            self.out.records.push(ToRelay::Leave { room: name });
        }
        self.room_changed(id, None)
    }

    /// The relay names members of a room, the last of them or not. Those it doesn't name stay for their 30 days: another
    /// relay may simply not have met them yet, and whoever leaves says so itself.
    pub(in crate::engine) fn members_record(
        &mut self,
        name: &RoomName,
        members: Vec<PeerId>,
        last: bool,
    ) -> Result<(), StoreError> {
        let (me, id) = (self.config.identity.peer_id(), open_room_conversation(name));
        let Some(open) = self.joined_open(id) else { return Ok(()) };
        let mut changed = last && !open.announced;
        open.announced |= last;
        for peer in members.into_iter().filter(|&peer| peer != me) {
            changed |= self.take_member(id, peer)?;
        }
        if !self.open_room(id).is_some_and(|open| open.announced) {
            return Ok(());
        }
        if changed {
            self.room_changed(id, None)?;
        }
        self.address_waiting(id)
    }

    /// Somebody is in a room; whether that is news. In a full room, a member of whom nothing is known gives way to one
    /// who is known: a relay, or a crowd that came to it, can name any number of peer ids.
    fn take_member(&mut self, id: ConversationId, peer: PeerId) -> Result<bool, StoreError> {
        let known = self.contacts.contains_key(&peer);
        let Some(Kind::Open(open)) = self.rooms.get_mut(&id).map(|room| &mut room.kind) else {
            return Ok(false);
        };
        let mut new = false;
        if !open.members.contains(&peer) {
            if open.members.len() >= MAX_MEMBERS {
                let unknown = || open.members.iter().find(|member| !self.contacts.contains_key(member));
                let Some(gone) = unknown().filter(|_| known).copied() else { return Ok(false) };
                open.members.remove(&gone);
                self.store.remove_member(id, gone)?;
            }
            new = open.members.insert(peer);
        }
        self.store.put_member(id, peer, self.now)?;
        Ok(new)
    }

    /// Another relay may know other members: what is written until it has told them waits.
    pub(in crate::engine) fn forget_announcements(&mut self) {
        for room in self.rooms.values_mut() {
            if let Kind::Open(open) = &mut room.kind {
                open.announced = false;
            }
        }
    }

    /// Somebody writes in the room, so it is in it.
    pub(in crate::engine) fn admit_writer(
        &mut self,
        id: ConversationId,
        peer: PeerId,
    ) -> Result<(), StoreError> {
        let is_member = self.open_room(id).is_none_or(|open| open.members.contains(&peer));
        if !is_member && self.take_member(id, peer)? {
            self.room_changed(id, None)?;
        }
        Ok(())
    }

    /// A member says it left. What is on its way to it still arrives, and is answered: taken, or not.
    pub(in crate::engine) fn member_left(
        &mut self,
        id: ConversationId,
        peer: PeerId,
    ) -> Result<(), StoreError> {
        let Some(open) = self.open_room(id) else { return Ok(()) };
        open.members.remove(&peer);
        if !self.store.remove_member(id, peer)? {
            return Ok(());
        }
        self.room_changed(id, None)?;
        // It may have come back before its farewell arrived; the relay knows.
        if let Some(room) = self.rooms.get(&id).filter(|room| room.joined && self.welcomed) {
            let room = room.address.name().clone();
            self.out.records.push(ToRelay::Join { room });
        }
        Ok(())
    }

    /// A peer is not in the room and has not taken these: nobody waits for it any longer.
    pub(in crate::engine) fn not_taken_by(
        &mut self,
        conversation: ConversationId,
        peer: PeerId,
        messages: &[MessageId],
    ) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        for &message in messages {
            let here = self.store.message(me, message)?.is_some_and(|row| row.conversation == conversation);
            let open =
                self.store.delivery(message, peer)?.is_some_and(|copy| copy.state < DeliveryState::Delivered);
            if here && open {
                self.store.remove_delivery(message, peer)?;
                self.touched.insert(message);
            }
        }
        self.member_left(conversation, peer)
    }

    /// Members not seen for their time are members no longer; whoever is there now is seen.
    pub(in crate::engine) fn expire_members(&mut self, then: Timestamp) -> Result<(), StoreError> {
        for peer in self.online() {
            self.touch_memberships(peer)?;
        }
        if self.store.remove_members_unseen_since(then)? == 0 {
            return Ok(());
        }
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let members: BTreeSet<PeerId> = self.store.members(id)?.into_iter().collect();
            let changed = self.open_room(id).is_some_and(|open| {
                let changed = open.members != members;
                open.members = members;
                changed
            });
            if changed {
                self.room_changed(id, None)?;
            }
        }
        Ok(())
    }

    /// A peer was seen: its memberships begin their 30 days anew.
    pub(in crate::engine) fn touch_memberships(&mut self, peer: PeerId) -> Result<(), StoreError> {
        for (id, room) in &self.rooms {
            if room.open().is_some_and(|open| open.members.contains(&peer)) {
                self.store.put_member(*id, peer, self.now)?;
            }
        }
        Ok(())
    }
}
