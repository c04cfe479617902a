//! Rooms: what open and closed ones have in common.
//!
//! | room | what is in it |
//! |---|---|
//! | `names` | what rooms are called here, and which of two that have one name is called so |
//! | `open` | the relay names the members |
//! | `closed` | members admit and remove members, by operations that every member checks |
//! | `doubts` | who seems to know other members: settled by comparing, or an alarm |
//! | `brought` | how many rooms others may bring this node into, and which are forgotten that one has left |
//! | `sync` | who knows which operations: told, asked for, told again |
//! | `vouched` | a room out of a backup: nothing is written to its members before others have said who they are |
//! | `texts` | what is written in a closed room, and by whom |

mod brought;
mod closed;
mod doubts;
mod names;
mod open;
mod sync;
mod texts;
mod vouched;

use std::collections::{BTreeMap, BTreeSet};

use chat_core::api::command::InRoom;
use chat_core::api::event::RoomChanged;
use chat_core::api::{CommandError, ErrorKind, Event};
use chat_core::ids::{ConversationId, PeerId};
use chat_core::room::RoomAddress;
use chat_core::wire::envelope::open_room_conversation;

use super::Engine;
use super::answer::Answer;
use crate::roster::Log;
use crate::store::{RoomPeer, RoomRow, StoreError};
use names::Tie;

pub(super) use doubts::Doubt;
#[cfg(test)]
pub(super) use open::MAX_MEMBERS;

/// Most rooms one is in.
const MAX_ROOMS: usize = 256;
/// Most of them that others have made; the rest is for one's own and for open ones.
const MAX_ROOMS_OF_OTHERS: usize = MAX_ROOMS / 4 * 3;
/// Most rooms that are remembered of those one is not in any more.
const MAX_LEFT_ROOMS: usize = 256;

/// A room ever joined, or one that admitted this node.
pub(crate) struct Room {
    /// What it is called here: see [`names`].
    pub(crate) address: RoomAddress,
    pub(crate) joined: bool,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Open(Open),
    Closed(Box<Closed>),
}

/// The relay names the members.
#[derive(Default)]
pub(crate) struct Open {
    /// The others.
    pub(crate) members: BTreeSet<PeerId>,
    /// The relay of this link has named its members.
    pub(crate) announced: bool,
}

/// The members name the members.
pub(crate) struct Closed {
    pub(crate) log: Log,
    /// What others know of it.
    peers: BTreeMap<PeerId, RoomPeer>,
    /// What they are to know, as far as it was asked for.
    owed: BTreeMap<PeerId, sync::Owed>,
    /// Members of whom the user has said that they are some, in a room out of a backup.
    confirmed: BTreeSet<PeerId>,
}

impl Closed {
    fn new(log: Log) -> Self {
        Self { log, peers: BTreeMap::new(), owed: BTreeMap::new(), confirmed: BTreeSet::new() }
    }
}

impl Room {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open(_))
    }

    pub(super) fn open(&self) -> Option<&Open> {
        match &self.kind {
            Kind::Open(open) => Some(open),
            Kind::Closed(_) => None,
        }
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        match &self.kind {
            Kind::Open(_) => None,
            Kind::Closed(closed) => Some(closed),
        }
    }

    /// Whether somebody else is in it.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        match &self.kind {
            Kind::Open(open) => open.members.contains(&peer),
            Kind::Closed(closed) => self.joined && closed.log.is_member(peer),
        }
    }

    /// Everybody in it, oneself too, in order.
    pub(super) fn roster(&self, me: PeerId) -> Vec<PeerId> {
        match &self.kind {
            Kind::Closed(closed) => closed.log.members().collect(),
            Kind::Open(open) => {
                let mut members = open.members.clone();
                if self.joined {
                    members.insert(me);
                }
                members.into_iter().collect()
            }
        }
    }
}

impl Engine {
    /// The rooms of the profile are joined at every start; open ones of earlier profiles are left if this one wants none.
    pub(super) fn join_profile_rooms(&mut self) -> Result<(), StoreError> {
        let known = self.store.rooms()?;
        if self.config.closed_rooms_only {
            for row in known.into_iter().filter(|row| !row.closed && row.joined) {
                self.store.put_room(&RoomRow { joined: false, ..row })?;
            }
            return Ok(());
        }
        self.load_rooms()?;
        for name in self.config.rooms.clone() {
            let conversation = open_room_conversation(&name);
            let address = self.take_name(&name, conversation, Tie::OfProfile)?;
            let room = Room { address, joined: true, kind: Kind::Open(Open::default()) };
            self.insert_room(conversation, room)?;
        }
        Ok(())
    }

    pub(super) fn load_rooms(&mut self) -> Result<(), StoreError> {
        self.rooms.clear();
        for RoomRow { conversation, address, closed, joined } in self.store.rooms()? {
            let kind =
                if closed { self.load_closed(conversation)? } else { Some(self.load_open(conversation)?) };
            let (Ok(address), Some(kind)) = (address.parse(), kind) else {
                tracing::error!(room = %conversation.short(), "a stored room is damaged");
                continue;
            };
            self.rooms.insert(conversation, Room { address, joined, kind });
        }
        Ok(())
    }

    /// Remembers a room that is new, or joined again.
    fn insert_room(&mut self, conversation: ConversationId, room: Room) -> Result<(), StoreError> {
        self.rooms.insert(conversation, room);
        self.write_room(conversation)?;
        self.forget_left_rooms()
    }

    fn set_joined(&mut self, conversation: ConversationId, joined: bool) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get_mut(&conversation) else { return Ok(()) };
        room.joined = joined;
        self.write_room(conversation)
    }

    fn write_room(&self, conversation: ConversationId) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get(&conversation) else { return Ok(()) };
        let (address, closed, joined) = (room.address.to_string(), !room.is_open(), room.joined);
        self.store.put_room(&RoomRow { conversation, address, closed, joined })
    }

    pub(super) fn room_of(&self, conversation: ConversationId) -> Option<&Room> {
        self.rooms.get(&conversation)
    }

    fn has_room_for_room(&self) -> bool {
        self.rooms.values().filter(|room| room.joined).count() < MAX_ROOMS
    }

    fn room_changed(&mut self, id: ConversationId, by: Option<PeerId>) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get(&id) else { return Ok(()) };
        self.out.events.push(Event::RoomChanged(RoomChanged {
            room: room.address.clone(),
            conversation: id,
            joined: room.joined,
            open: room.is_open(),
            members: room.roster(self.config.identity.peer_id()),
            by,
        }));
        self.refresh_conversation(id)
    }

    /// A room is there again that one was in before: what was not read then is still unread.
    fn came_back(&mut self, id: ConversationId) -> Result<(), StoreError> {
        if self.store.unread(id)? > 0 { self.conversation_read(id) } else { Ok(()) }
    }

    /// `room.join`
    pub(super) fn join(&mut self, at: &InRoom) -> Answer<()> {
        let Some(name) = self.open_room_meant(&at.room)? else { return Ok(()) };
        let refuse = |kind, message: String| Err(CommandError::new(kind, message).into());
        if self.config.closed_rooms_only {
            let message = "the profile requires closed-rooms, and an open room admits whom the relay admits; \
                           /create makes a closed one";
            return refuse(ErrorKind::NotAllowed, message.to_owned());
        }
        let is_in = self.rooms.get(&open_room_conversation(&name)).is_some_and(|room| room.joined);
        if !is_in && !self.has_room_for_room() {
            let message = format!("you are in {MAX_ROOMS} rooms already; leave one first");
            return refuse(ErrorKind::TooLarge, message);
        }
        Ok(self.join_open(&name)?)
    }

    /// `room.leave`
    pub(super) fn leave(&mut self, at: &InRoom) -> Answer<()> {
        let (id, room) = self.joined_at(&at.room)?;
        let left = if room.is_open() { self.leave_open(id) } else { self.leave_closed(id) };
        Ok(left?)
    }
}
