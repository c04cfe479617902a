//! Open rooms: the relay names members, each of them gets an envelope of its own; a member says itself,
//! through the sessions, that it left.

use std::collections::BTreeSet;

use chat_core::api::event::RoomChanged;
use chat_core::api::{CommandError, ErrorKind, Event};
use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use chat_core::nick::RoomName;
use chat_core::wire::envelope::open_room_conversation;
use chat_core::wire::{Body, ToRelay};

use super::Engine;
use crate::store::{DeliveryState, StoreError};

/// Most members of a room that are taken from a relay.
pub(super) const MAX_MEMBERS: usize = 10_000;
/// Most rooms one is in.
const MAX_ROOMS: usize = 256;

/// A room ever joined.
pub(crate) struct Room {
    pub(crate) conversation: ConversationId,
    pub(crate) joined: bool,
    /// The others.
    pub(crate) members: BTreeSet<PeerId>,
    /// The relay of this link has named its members.
    pub(crate) announced: bool,
}

impl Engine {
    /// The rooms of the profile are joined at every start.
    pub(super) fn join_profile_rooms(&mut self) -> Result<(), StoreError> {
        for room in &self.config.rooms {
            self.store.put_room(room.as_str(), open_room_conversation(room), true)?;
        }
        Ok(())
    }

    pub(super) fn load_rooms(&mut self) -> Result<(), StoreError> {
        self.rooms.clear();
        for (name, conversation, joined) in self.store.rooms()? {
            let members = self.store.members(&name)?.into_iter().collect();
            if let Ok(name) = RoomName::new(name) {
                self.rooms.insert(name, Room { conversation, joined, members, announced: false });
            }
        }
        Ok(())
    }

    pub(super) fn room_of(&self, conversation: ConversationId) -> Option<(&RoomName, &Room)> {
        self.rooms.iter().find(|(_, room)| room.conversation == conversation)
    }

    /// Everybody in a room, oneself too.
    pub(super) fn roster(&self, room: &Room) -> Vec<PeerId> {
        let mut members: Vec<PeerId> = room.members.iter().copied().collect();
        if room.joined {
            members.push(self.config.identity.peer_id());
        }
        members.sort();
        members
    }

    pub(super) fn join_all(&mut self) {
        // A room that was left while there was no link is left now, else the relay names us on and on.
        let record = |(name, room): (&RoomName, &Room)| match room.joined {
            true => ToRelay::Join { room: name.clone() },
            false => ToRelay::Leave { room: name.clone() },
        };
        let records: Vec<ToRelay> = self.rooms.iter().map(record).collect();
        self.out.records.extend(records);
    }

    fn room_changed(&mut self, name: &RoomName) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get(name) else { return Ok(()) };
        let event = RoomChanged {
            room: name.clone(),
            conversation: room.conversation,
            joined: room.joined,
            open: true,
            members: self.roster(room),
        };
        let conversation = room.conversation;
        self.out.events.push(Event::RoomChanged(event));
        self.refresh_conversation(conversation)
    }

    pub(super) fn join(&mut self, name: &RoomName) -> Result<Result<(), CommandError>, StoreError> {
        if self.rooms.get(name).is_some_and(|room| room.joined) {
            return Ok(Ok(()));
        }
        if self.rooms.values().filter(|room| room.joined).count() >= MAX_ROOMS {
            let message = format!("you are in {MAX_ROOMS} rooms already; leave one first");
            return Ok(Err(CommandError::new(ErrorKind::TooLarge, message)));
        }
        let conversation = open_room_conversation(name);
        self.store.put_room(name.as_str(), conversation, true)?;
        self.rooms.insert(
            name.clone(),
            Room { conversation, joined: true, members: BTreeSet::new(), announced: false },
        );
        if self.welcomed {
            self.out.records.push(ToRelay::Join { room: name.clone() });
        }
        self.room_changed(name)?;
        Ok(Ok(()))
    }

    pub(super) fn leave(&mut self, name: &RoomName) -> Result<Result<(), CommandError>, StoreError> {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.joined) else {
            return Ok(Err(CommandError::new(ErrorKind::NotFound, format!("you are not in {name}"))));
        };
        room.joined = false;
        let (conversation, members) = (room.conversation, std::mem::take(&mut room.members));
        self.store.put_room(name.as_str(), conversation, false)?;
        self.store.remove_all_members(name.as_str())?;
        for peer in members {
            self.send_control(peer, conversation, Body::Left)?;
        }
        if self.welcomed {
            self.out.records.push(ToRelay::Leave { room: name.clone() });
        }
        self.room_changed(name)?;
        Ok(Ok(()))
    }

    /// The relay names members of a room, the last of them or not. Those it doesn't name stay for their 30 days: another
    /// relay may simply not have met them yet, and whoever leaves says so itself.
    pub(super) fn members_record(
        &mut self,
        name: &RoomName,
        members: Vec<PeerId>,
        last: bool,
    ) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.joined) else { return Ok(()) };
        let mut changed = last && !room.announced;
        room.announced |= last;
        for peer in members.into_iter().filter(|&peer| peer != me) {
            changed |= self.take_member(name, peer)?;
        }
        if !self.rooms.get(name).is_some_and(|room| room.announced) {
            return Ok(());
        }
        if changed {
            self.room_changed(name)?;
        }
        self.address_waiting(name)
    }

    /// Somebody is in a room; whether that is news. In a full room, a member of whom nothing is known gives way to one
    /// who is known: a relay, or a crowd that came to it, can name any number of peer ids.
    fn take_member(&mut self, name: &RoomName, peer: PeerId) -> Result<bool, StoreError> {
        let Some(room) = self.rooms.get_mut(name) else { return Ok(false) };
        let mut new = false;
        if !room.members.contains(&peer) {
            if room.members.len() >= MAX_MEMBERS {
                let unknown = || room.members.iter().find(|member| !self.contacts.contains_key(member));
                let known = self.contacts.contains_key(&peer);
                let Some(gone) = unknown().filter(|_| known).copied() else { return Ok(false) };
                room.members.remove(&gone);
                self.store.remove_member(name.as_str(), gone)?;
            }
            new = room.members.insert(peer);
        }
        self.store.put_member(name.as_str(), peer, self.now)?;
        Ok(new)
    }

    /// Another relay may know other members: what is written until it has told them waits.
    pub(super) fn forget_announcements(&mut self) {
        for room in self.rooms.values_mut() {
            room.announced = false;
        }
    }

    /// Somebody writes in the room, so it is in it.
    pub(super) fn admit_writer(
        &mut self,
        conversation: ConversationId,
        peer: PeerId,
    ) -> Result<(), StoreError> {
        let Some(name) = self.room_of(conversation).map(|(name, _)| name.clone()) else { return Ok(()) };
        let is_member = self.rooms.get(&name).is_some_and(|room| room.members.contains(&peer));
        if !is_member && self.take_member(&name, peer)? {
            self.room_changed(&name)?;
        }
        Ok(())
    }

    /// A member says it left. What is on its way to it still arrives, and is answered: taken, or not.
    pub(super) fn member_left(
        &mut self,
        conversation: ConversationId,
        peer: PeerId,
    ) -> Result<(), StoreError> {
        let Some(name) = self.room_of(conversation).map(|(name, _)| name.clone()) else { return Ok(()) };
        if let Some(room) = self.rooms.get_mut(&name) {
            room.members.remove(&peer);
        }
        if !self.store.remove_member(name.as_str(), peer)? {
            return Ok(());
        }
        self.room_changed(&name)?;
        // It may have come back before its farewell arrived; the relay knows.
        if self.welcomed && self.rooms.get(&name).is_some_and(|room| room.joined) {
            self.out.records.push(ToRelay::Join { room: name });
        }
        Ok(())
    }

    /// A peer is not in the room and has not taken these: nobody waits for it any longer.
    pub(super) fn not_taken_by(
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
    pub(super) fn expire_members(&mut self, then: Timestamp) -> Result<(), StoreError> {
        for peer in self.online() {
            self.touch_memberships(peer)?;
        }
        if self.store.remove_members_unseen_since(then)? == 0 {
            return Ok(());
        }
        for name in self.rooms.keys().cloned().collect::<Vec<_>>() {
            let members: BTreeSet<PeerId> = self.store.members(name.as_str())?.into_iter().collect();
            let changed = self.rooms.get_mut(&name).is_some_and(|room| {
                let changed = room.members != members;
                room.members = members;
                changed
            });
            if changed {
                self.room_changed(&name)?;
            }
        }
        Ok(())
    }

    /// A peer was seen: its memberships begin their 30 days anew.
    pub(super) fn touch_memberships(&mut self, peer: PeerId) -> Result<(), StoreError> {
        for (name, _) in self.rooms.iter().filter(|(_, room)| room.members.contains(&peer)) {
            self.store.put_member(name.as_str(), peer, self.now)?;
        }
        Ok(())
    }
}
