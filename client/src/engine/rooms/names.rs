//! What rooms are called here. A name is a label, chosen by whoever made a room, so several may have one; an address means
//! one room. Whose a name is follows from what the user has to do with each: what others bring takes no name from a room
//! that he has chosen, and one that he has left keeps none from another.

use chat_core::api::{CommandError, ErrorKind};
use chat_core::ids::{ConversationId, PeerId};
use chat_core::nick::RoomName;
use chat_core::room::RoomAddress;
use chat_core::wire::envelope::open_room_conversation;

use super::super::Engine;
use super::super::answer::Answer;
use super::{Kind, Room};
use crate::store::StoreError;

/// Digits of a room's id in its address, at least.
const MIN_DIGITS: usize = 4;

/// What the user has to do with a room. Of two that have one name, the closer one is called so, or else the one that was
/// here first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tie {
    /// A closed room that he is not in any more.
    Left,
    /// One into which a stranger has brought him, and in which he has said nothing; or an open one that he has left.
    Loose,
    /// One that he has made, joined or written in, or into which somebody has brought him whom he knows.
    Chosen,
    /// An open room that the profile names.
    OfProfile,
}

impl Engine {
    /// What the user has to do with a room that is known here.
    fn tie(&self, id: ConversationId, room: &Room) -> Result<Tie, StoreError> {
        let closed = match &room.kind {
            Kind::Open(_) if self.is_of_profile(room.address.name()) => return Ok(Tie::OfProfile),
            Kind::Open(_) => return Ok(if room.joined { Tie::Chosen } else { Tie::Loose }),
            Kind::Closed(_) if !room.joined => return Ok(Tie::Left),
            Kind::Closed(closed) => closed,
        };
        let me = self.config.identity.peer_id();
        if closed.log.creator() == me || self.store.has_written(me, id)? {
            return Ok(Tie::Chosen);
        }
        self.tie_through(closed.log.admitter(me).unwrap_or(closed.log.creator()))
    }

    /// What the user has to do with a room into which this peer brings him.
    pub(super) fn tie_through(&self, by: PeerId) -> Result<Tie, StoreError> {
        Ok(if self.is_known_by_choice(by)? { Tie::Chosen } else { Tie::Loose })
    }

    /// Whether the user is in a closed room by his own choice: strangers can bring him into others.
    pub(in crate::engine) fn is_chosen(&self, id: ConversationId) -> Result<bool, StoreError> {
        match self.rooms.get(&id).filter(|room| !room.is_open()) {
            Some(room) => Ok(self.tie(id, room)? == Tie::Chosen),
            None => Ok(false),
        }
    }

    /// The profile names an open room so: no other room is called that.
    fn is_of_profile(&self, name: &RoomName) -> bool {
        !self.config.closed_rooms_only && self.config.rooms.contains(name)
    }

    /// What a room is called from now on: its name, if nobody else has it or who has it gives way, or the name with
    /// digits. Whoever gives way gets digits, too.
    pub(super) fn take_name(
        &mut self,
        name: &RoomName,
        id: ConversationId,
        tie: Tie,
    ) -> Result<RoomAddress, StoreError> {
        let plain = RoomAddress::from(name.clone());
        let is_reserved = self.is_of_profile(name) && id != open_room_conversation(name);
        let holder = self.called(&plain);
        let gives_way = match holder {
            Some((holder, _)) if holder == id => return Ok(plain),
            _ if is_reserved => false,
            Some((holder, room)) => self.tie(holder, room)? < tie,
            None => return Ok(plain),
        };
        match holder.map(|(holder, _)| holder) {
            Some(holder) if gives_way => {
                let digits = self.with_digits(name, holder);
                self.rename_room(holder, digits)?;
                Ok(plain)
            }
            _ => Ok(self
                .rooms
                .get(&id)
                .map_or_else(|| self.with_digits(name, id), |room| room.address.clone())),
        }
    }

    /// The name with so many digits of the id that no other room is called so.
    fn with_digits(&self, name: &RoomName, id: ConversationId) -> RoomAddress {
        let whole = 2 * ConversationId::LEN;
        let mut all = (MIN_DIGITS..whole).map(|digits| RoomAddress::with_digits(name.clone(), id, digits));
        all.find(|address| self.called(address).is_none())
            .unwrap_or_else(|| RoomAddress::with_digits(name.clone(), id, whole))
    }

    /// A room is called otherwise from now on, also in what was said in it.
    pub(super) fn rename_room(&mut self, id: ConversationId, address: RoomAddress) -> Result<(), StoreError> {
        let Some(room) = self.rooms.get_mut(&id) else { return Ok(()) };
        room.address = address;
        let joined = room.joined;
        self.write_room(id)?;
        if joined {
            self.room_changed(id, None)?;
            self.refresh_history(id)?;
        }
        Ok(())
    }

    /// The room that is called exactly so.
    fn called(&self, address: &RoomAddress) -> Option<(ConversationId, &Room)> {
        self.rooms.iter().find(|(_, room)| room.address == *address).map(|(id, room)| (*id, room))
    }

    /// The room that is called so here, or that has this name and these digits, whatever it is called.
    pub(in crate::engine) fn room_at(&self, address: &RoomAddress) -> Option<(ConversationId, &Room)> {
        let fits = |(id, room): &(&ConversationId, &Room)| {
            room.address.name() == address.name() && address.has_digits_of(**id)
        };
        self.called(address).or_else(|| {
            let mut found = self.rooms.iter().filter(fits);
            let (id, room) = found.next()?;
            found.next().is_none().then_some((*id, room))
        })
    }

    /// The room of this address that one is in.
    pub(in crate::engine) fn joined_at(
        &self,
        address: &RoomAddress,
    ) -> Result<(ConversationId, &Room), CommandError> {
        self.room_at(address).filter(|(_, room)| room.joined).ok_or_else(|| self.no_room(address))
    }

    /// That one is not in the room of an address, and what to do. Not to join what may be a slip of the pen: an open room
    /// is made by whoever joins it, and whoever comes reads what is said.
    pub(in crate::engine) fn no_room(&self, address: &RoomAddress) -> CommandError {
        let namesakes =
            self.rooms.values().filter(|room| room.joined && room.address.name() == address.name());
        let namesakes: Vec<String> = namesakes.map(|room| room.address.to_string()).collect();
        let message = match self.room_at(address) {
            Some((_, room)) if room.is_open() => {
                format!("you have left {address}; /join {address} goes there again")
            }
            Some(_) => format!(
                "you are no longer in {address}: it is a closed room, and somebody who is in it has to admit you"
            ),
            None if !namesakes.is_empty() => {
                format!("there is no room {address} here; you are in {}", namesakes.join(" and "))
            }
            None => format!("you are in no room {address}; /rooms shows those you are in"),
        };
        CommandError::new(ErrorKind::NotFound, message)
    }

    /// The open room that `room.join` means; `None` if it means a room that one is in, or why it means none.
    pub(super) fn open_room_meant(&self, address: &RoomAddress) -> Answer<Option<RoomName>> {
        let open = open_room_conversation(address.name());
        let name = || Ok(Some(address.name().clone()));
        let Some((id, room)) = self.room_at(address) else {
            let is_open = address.plain().is_some() || address.has_digits_of(open);
            return if is_open { name() } else { Err(self.no_room(address).into()) };
        };
        if id == open {
            let is_called_so = room.joined && room.address == *address;
            return if is_called_so { Ok(None) } else { name() };
        }
        match self.tie(id, room)? {
            Tie::Chosen | Tie::OfProfile => Ok(None),
            // Strangers, and rooms of before, keep nobody out of the open room of that name.
            _ if address.plain().is_some() => name(),
            Tie::Loose => Ok(None),
            Tie::Left => Err(CommandError::new(
                ErrorKind::NotAllowed,
                format!("{address} is a closed room: somebody who is in it has to admit you"),
            )
            .into()),
        }
    }
}
