//! Rooms that others bring this node into. Identities are free, so strangers share a bound, and each has one of its own;
//! who is verified, or was written to, is none. And rooms that one has left: the least telling ones are forgotten.

use std::collections::BTreeMap;

use chat_core::api::event::AlarmKind;
use chat_core::ids::{ConversationId, PeerId};
use chat_core::wire::body::RoomLog;
use chat_core::wire::membership::Change;

use super::super::Engine;
use super::{MAX_LEFT_ROOMS, MAX_ROOMS, MAX_ROOMS_OF_OTHERS};
use crate::store::StoreError;

/// Most rooms into which one and the same peer has brought this node: somebody it knows, or a stranger,
const MAX_ROOMS_OF_ONE: usize = 64;
const MAX_ROOMS_OF_A_STRANGER: usize = 8;
/// and all strangers together.
const MAX_ROOMS_OF_STRANGERS: usize = 64;

impl Engine {
    /// Whether the user has to do with a peer by his own choice: has verified it, or written to it.
    pub(super) fn is_known_by_choice(&self, peer: PeerId) -> Result<bool, StoreError> {
        let verified = self.contacts.get(&peer).is_some_and(|contact| self.is_verified(contact));
        Ok(verified || self.store.has_written(self.config.identity.peer_id(), self.direct(peer))?)
    }

    /// Why this node takes part in no further room that a peer admits it to, if so.
    fn too_many_rooms_of(&self, by: PeerId) -> Result<Option<String>, StoreError> {
        let me = self.config.identity.peer_id();
        let joined = || self.rooms.values().filter(|room| room.joined);
        if joined().count() >= MAX_ROOMS {
            return Ok(Some(format!("you are in {MAX_ROOMS} rooms already")));
        }
        let of_others = joined().filter_map(|room| room.closed()).filter(|closed| closed.log.creator() != me);
        let mut brought: BTreeMap<PeerId, usize> = BTreeMap::new();
        for closed in of_others {
            *brought.entry(closed.log.admitter(me).unwrap_or(closed.log.creator())).or_default() += 1;
        }
        if brought.values().sum::<usize>() >= MAX_ROOMS_OF_OTHERS {
            return Ok(Some(format!("you are in {MAX_ROOMS_OF_OTHERS} rooms of others already")));
        }
        let (of_this, is_known) =
            (brought.get(&by).copied().unwrap_or_default(), self.is_known_by_choice(by)?);
        let most = if is_known { MAX_ROOMS_OF_ONE } else { MAX_ROOMS_OF_A_STRANGER };
        if of_this >= most {
            return Ok(Some(format!("it has brought you into {most} rooms already")));
        }
        if is_known {
            return Ok(None);
        }
        let mut of_strangers = 0;
        for (peer, count) in brought {
            of_strangers += if self.is_known_by_choice(peer)? { 0 } else { count };
        }
        Ok((of_strangers >= MAX_ROOMS_OF_STRANGERS).then(|| {
            format!("you are in {of_strangers} rooms of people whom you have neither verified nor written to")
        }))
    }

    /// Whether this node may be brought into one more room. If not, the user hears of it now and then.
    pub(super) fn may_be_brought(
        &mut self,
        by: PeerId,
        what: impl std::fmt::Display,
    ) -> Result<bool, StoreError> {
        let Some(why) = self.too_many_rooms_of(by)? else { return Ok(true) };
        // Of strangers, of whom there are any number, as if they were one.
        let told_of = if self.is_known_by_choice(by)? { by } else { PeerId([0; 32]) };
        if self.rates.may_tell_of_room(told_of, self.up) {
            let name = self.name_of(by);
            let detail = format!("{name} admits you to {what}, but {why}: leave one, and it comes again");
            self.alarm(AlarmKind::Refused, Some(by), detail);
        }
        Ok(false)
    }

    /// Whether what was told of a room that one is not in any more may bring this node back into it.
    pub(super) fn may_come_back(&mut self, told: &RoomLog) -> Result<bool, StoreError> {
        let me = self.config.identity.peer_id();
        let Some(room) = self.rooms.get(&told.room) else { return Ok(true) };
        let Some(closed) = room.closed().filter(|_| !room.joined) else { return Ok(true) };
        let unknown = told.operations.iter().filter(|signed| !closed.log.has(&signed.id()));
        let admits = unknown
            .filter_map(|signed| signed.verify().ok())
            .find(|operation| matches!(operation.change, Change::Admit { peer } if peer == me));
        let (address, by) = (room.address.clone(), admits.map(|operation| operation.author));
        by.map_or(Ok(true), |by| self.may_be_brought(by, address))
    }

    /// Beyond a bound, rooms one has left are forgotten: first those in which nothing was said, then those in which one
    /// has said nothing oneself. What was said stays in history.
    pub(super) fn forget_left_rooms(&mut self) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let left: Vec<ConversationId> =
            self.rooms.iter().filter(|(_, room)| !room.joined).map(|(id, _)| *id).collect();
        let Some(surplus) = left.len().checked_sub(MAX_LEFT_ROOMS).filter(|&surplus| surplus > 0) else {
            return Ok(());
        };
        let mut by_worth = Vec::with_capacity(left.len());
        for id in left {
            by_worth.push((self.store.has_written(me, id)?, self.store.has_history_in(id)?, id));
        }
        by_worth.sort_unstable();
        for (_, _, id) in by_worth.into_iter().take(surplus) {
            self.store.erase_room(id)?;
            self.rooms.remove(&id);
            self.doubts.retain(|(room, _), _| *room != id);
        }
        Ok(())
    }
}
