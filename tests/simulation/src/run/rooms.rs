//! What people do about closed rooms: they make them, admit, remove, leave, and write, whether or not they may.

use std::time::Duration;

use chat_core::api::command::{Command, Destination, InRoom, MarkRead, MemberOf, NewRoom, SetTyping};
use chat_core::api::{ConversationKind, handle::ClientHandle};
use chat_core::ids::ConversationId;
use chat_core::room::RoomAddress;

use super::World;
use crate::plan::{Fault, usize_of};
use crate::record::Place;
use crate::rooms::What;

/// What all rooms are called: those of one name are told apart by their digits.
const DEN: &str = "#den";
/// Rooms that are made in a run, as far as it is known.
const MAX_ROOMS: usize = 3;
/// How many changes of a disk may pass after a wish before the power goes in the middle of one.
const CHANGES: u64 = 12;

/// The closed rooms that somebody is in, as it is shown them.
fn rooms_of(handle: &ClientHandle) -> Vec<(ConversationId, RoomAddress)> {
    let closed = |with: &ConversationKind| match with {
        ConversationKind::ClosedRoom { room, .. } => Some(room.clone()),
        _ => None,
    };
    let snapshot = handle.snapshot();
    snapshot.conversations.iter().filter_map(|it| closed(&it.with).map(|room| (it.id, room))).collect()
}

impl World {
    /// Somebody does something about a closed room.
    pub(super) fn act_in_room(&mut self) {
        self.look();
        let people = self.people.len();
        let by = usize_of(self.rng.below(people as u64));
        let other = (by + 1 + usize_of(self.rng.below(people as u64 - 1))) % people;
        let (what, which) = (self.rng.below(20), self.rng.next_u64());
        let Some(running) = &self.people[by].running else { return };
        let handle = running.handle.clone();
        let rooms = rooms_of(&handle);
        if rooms.is_empty() || what == 19 {
            return self.make_room(&handle);
        }
        let (id, room) = rooms[usize_of(which % rooms.len() as u64)].clone();
        let Some(n) = self.record.rooms.iter().position(|room| room.id == id) else {
            self.record
                .violated("P5", format!("{} is in a room of which nobody was told", self.people[by].name));
            return;
        };
        match what {
            0..9 => self.say_at(by, Place::Room(n), Destination::Conversation(id)),
            9..14 => {
                let member = MemberOf { room, peer: Destination::Peer(self.people[other].id()) };
                self.wish(by, n, What::Admit(other), Command::Admit(member));
            }
            14..16 => {
                let member = MemberOf { room, peer: Destination::Peer(self.people[other].id()) };
                self.wish(by, n, What::Remove(other), Command::Remove(member));
            }
            16 => self.wish(by, n, What::Remove(by), Command::Leave(InRoom { room })),
            17 => {
                // Answers of commands that change nothing that is checked are for nobody.
                let with = Destination::Conversation(id);
                drop(handle.submit(Command::MarkRead(MarkRead { with, up_to: None })));
            }
            _ => {
                let to = Destination::Peer(self.people[other].id());
                drop(handle.submit(Command::SetTyping(SetTyping { to, typing: true })));
            }
        }
    }

    fn make_room(&mut self, handle: &ClientHandle) {
        if self.record.rooms.len() < MAX_ROOMS {
            let room = DEN.to_owned().try_into().unwrap_or_else(|error| panic!("{error}"));
            // It is seen when it is there.
            drop(handle.submit(Command::Create(NewRoom { room })));
        }
    }

    /// Somebody wishes a room to change; now and then the power goes meanwhile.
    fn wish(&mut self, by: usize, room: usize, what: What, command: Command) {
        let blow = self.rng.chance(1, 6).then(|| 1 + self.rng.below(CHANGES));
        let Some(running) = &self.people[by].running else { return };
        if let Ok(answer) = running.handle.submit(command) {
            self.record.wish(room, by, what, answer);
        }
        if let Some(changes) = blow.filter(|_| self.plan.faults.contains(&Fault::CommitClient)) {
            self.people[by].disk.crash_at(changes);
        }
    }

    /// Whether all members of each room are of one mind.
    pub(super) fn rooms_agree(&self) -> bool {
        self.record.rooms.iter().all(|room| room.disagreement().is_none())
    }

    /// How long everything may take to arrive once all is well again.
    pub(super) fn patience(&self) -> Duration {
        if self.record.rooms.is_empty() { super::HEALING } else { super::ROOM_HEALING }
    }
}
