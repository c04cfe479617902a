//! Rooms: what they are called here, and what open and closed ones have in common.
//!
//! | room | what is in it |
//! |---|---|
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
mod open;
mod sync;
mod texts;
mod vouched;

use std::collections::{BTreeMap, BTreeSet};

use chat_core::api::command::InRoom;
use chat_core::api::event::RoomChanged;
use chat_core::api::{CommandError, ErrorKind, Event};
use chat_core::ids::{ConversationId, PeerId};
use chat_core::nick::RoomName;
use chat_core::room::RoomAddress;
use chat_core::wire::envelope::open_room_conversation;

use super::Engine;
use crate::roster::Log;
use crate::store::{RoomPeer, RoomRow, StoreError};

pub(super) use doubts::Doubt;
#[cfg(test)]
pub(super) use open::MAX_MEMBERS;

/// Most rooms one is in.
const MAX_ROOMS: usize = 256;
/// Most of them that others have made; the rest is for one's own and for open ones.
const MAX_ROOMS_OF_OTHERS: usize = MAX_ROOMS / 4 * 3;
/// Most rooms that are remembered of those one is not in any more.
const MAX_LEFT_ROOMS: usize = 256;
/// Digits of a room's id in its address, at least.
const MIN_DIGITS: usize = 4;

type Answer<T> = Result<Result<T, CommandError>, StoreError>;

/// A room ever joined, or one that admitted this node.
pub(crate) struct Room {
    /// What it is called here. It stays that: a name never moves from one room to another by itself.
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
    /// Who admitted this node, if somebody else told of the room first: its word is enough, as if it had come first.
    brought_by: Option<PeerId>,
}

impl Closed {
    fn new(log: Log) -> Self {
        Self {
            log,
            peers: BTreeMap::new(),
            owed: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            brought_by: None,
        }
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

fn no_room(address: &RoomAddress) -> CommandError {
    CommandError::new(ErrorKind::NotFound, format!("you are not in {address}; /join {address} first"))
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
            let address = self.free_address(&name, conversation);
            self.insert_room(
                conversation,
                Room { address, joined: true, kind: Kind::Open(Open::default()) },
            )?;
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

    /// Remembers a room that is new, or joined or left.
    fn insert_room(&mut self, conversation: ConversationId, room: Room) -> Result<(), StoreError> {
        self.store.put_room(&RoomRow {
            conversation,
            address: room.address.to_string(),
            closed: !room.is_open(),
            joined: room.joined,
        })?;
        self.rooms.insert(conversation, room);
        self.forget_left_rooms()
    }

    fn set_joined(&mut self, conversation: ConversationId, joined: bool) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get_mut(&conversation) else { return Ok(()) };
        room.joined = joined;
        let (address, closed) = (room.address.to_string(), !room.is_open());
        self.store.put_room(&RoomRow { conversation, address, closed, joined })
    }

    /// The name itself, or with digits of the id if another room has it.
    fn free_address(&self, name: &RoomName, id: ConversationId) -> RoomAddress {
        if let Some(room) = self.rooms.get(&id) {
            return room.address.clone();
        }
        let taken = |address: &RoomAddress| self.rooms.values().any(|room| room.address == *address);
        let long = (MIN_DIGITS..=2 * ConversationId::LEN)
            .map(|digits| RoomAddress::with_digits(name.clone(), id, digits));
        let mut all = std::iter::once(RoomAddress::from(name.clone())).chain(long);
        all.find(|address| !taken(address)).unwrap_or_else(|| name.clone().into())
    }

    pub(super) fn room_of(&self, conversation: ConversationId) -> Option<&Room> {
        self.rooms.get(&conversation)
    }

    /// The room that is called so here.
    pub(super) fn room_at(&self, address: &RoomAddress) -> Option<(ConversationId, &Room)> {
        self.rooms.iter().find(|(_, room)| room.address == *address).map(|(id, room)| (*id, room))
    }

    /// The room of this address that one is in.
    pub(super) fn joined_at(&self, address: &RoomAddress) -> Result<(ConversationId, &Room), CommandError> {
        self.room_at(address).filter(|(_, room)| room.joined).ok_or_else(|| no_room(address))
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
        let address = &at.room;
        let refuse = |kind, message: String| Ok(Err(CommandError::new(kind, message)));
        match self.room_at(address) {
            Some((_, room)) if room.joined => return Ok(Ok(())),
            Some((_, room)) if !room.is_open() => {
                let message = format!("{address} is a closed room: somebody who is in it has to admit you");
                return refuse(ErrorKind::NotAllowed, message);
            }
            _ => {}
        }
        if self.config.closed_rooms_only {
            let message = "the profile requires closed-rooms, and an open room admits whom the relay admits; \
                           /create makes a closed one";
            return refuse(ErrorKind::NotAllowed, message.to_owned());
        }
        let known = self.room_at(address).map(|(_, room)| room.address.name());
        let Some(name) = known.or(address.plain()).cloned() else {
            return refuse(ErrorKind::NotFound, format!("there is no room {address}"));
        };
        if !self.has_room_for_room() {
            let message = format!("you are in {MAX_ROOMS} rooms already; leave one first");
            return refuse(ErrorKind::TooLarge, message);
        }
        self.join_open(&name).map(Ok)
    }

    /// `room.leave`
    pub(super) fn leave(&mut self, at: &InRoom) -> Answer<()> {
        let (id, open) = match self.joined_at(&at.room) {
            Ok((id, room)) => (id, room.is_open()),
            Err(_) => {
                let message = format!("you are not in {}", at.room);
                return Ok(Err(CommandError::new(ErrorKind::NotFound, message)));
            }
        };
        if open { self.leave_open(id).map(Ok) } else { self.leave_closed(id) }
    }
}
