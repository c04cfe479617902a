//! Crowds of strangers: ids are free, memory is not. Who is forgotten, so that there is always room for one more.

use std::collections::BTreeSet;

use chat_core::ids::{PeerId, SessionId, Timestamp};

use super::Engine;
use super::peers::Contact;
use crate::store::{DeliveryState, StoreError};

/// Most peers remembered.
pub(super) const MAX_CONTACTS: usize = 10_000;
/// Forgotten at once, so that a crowd costs little a head.
const FORGOTTEN_AT_ONCE: usize = 64;
/// Most peers asked about for it.
const LOOKED_AT: usize = 1_024;
/// Most former names of one peer that stay its own: a name is free, too.
const FORMER_NAMES: usize = 4;

/// The less somebody is to this user, the smaller: whether anything of it was ever opened, whether the relay says that it
/// is there, whether it is in a room with this user, as a relay or strangers say; and when it was seen.
type Worth = (bool, bool, bool, Timestamp);

impl Engine {
    /// Whether one more peer can be remembered; makes room by forgetting strangers. What a relay says of somebody keeps
    /// nobody, nor what strangers say in rooms of their own: they could fill this for good with people whom they have made
    /// up.
    pub(super) fn has_room_for_contact(&mut self) -> Result<bool, StoreError> {
        if !self.is_crowded() {
            return Ok(true);
        }
        let chosen = self.members_by_choice()?;
        let mut strangers: Vec<(Worth, PeerId)> =
            self.contacts.values().filter_map(|it| Some((self.worth(it, &chosen)?, it.row.peer))).collect();
        if strangers.len() > LOOKED_AT {
            strangers.select_nth_unstable(LOOKED_AT);
            strangers.truncate(LOOKED_AT);
        }
        strangers.sort_unstable();
        let mut forgotten = 0;
        for (_, peer) in strangers {
            if forgotten == FORGOTTEN_AT_ONCE {
                break;
            }
            if !self.store.has_written(self.config.identity.peer_id(), self.direct(peer))? {
                self.forget_stranger(peer)?;
                forgotten += 1;
            }
        }
        self.refresh_peers();
        Ok(!self.is_crowded())
    }

    /// Whether somebody has to be forgotten before anybody else is remembered.
    pub(super) fn is_crowded(&self) -> bool {
        self.contacts.len() >= MAX_CONTACTS
    }

    /// Everybody in the closed rooms that the user is in by choice.
    fn members_by_choice(&self) -> Result<BTreeSet<PeerId>, StoreError> {
        let mut members = BTreeSet::new();
        for (&id, room) in &self.rooms {
            if let Some(closed) = room.closed()
                && self.is_chosen(id)?
            {
                members.extend(closed.log.members());
            }
        }
        Ok(members)
    }

    /// `None` of whom the user has decided anything about.
    fn worth(&self, contact: &Contact, chosen: &BTreeSet<PeerId>) -> Option<Worth> {
        let row = &contact.row;
        let decided = self.is_decided(contact) || row.blocked || row.rival.is_some();
        if decided || chosen.contains(&row.peer) {
            return None;
        }
        let is_in_a_room = self.rooms.values().any(|room| room.has(row.peer));
        Some((row.had != 0, contact.online, is_in_a_room, row.last_seen))
    }

    /// What it has said stays in history, under its digits.
    fn forget_stranger(&mut self, peer: PeerId) -> Result<(), StoreError> {
        if self.contacts.get(&peer).is_some_and(|contact| contact.online) {
            self.tell_presence(peer, false);
        }
        // No session has the id of zeros: these are all that have not arrived.
        for delivery in self.store.open_deliveries_of_others(peer, SessionId::default())? {
            let reason = "nobody was ever heard from under this key, and too many are known";
            self.store.set_delivery_state(delivery.message, peer, DeliveryState::Failed, Some(reason))?;
            self.store.drop_delivery_envelope(delivery.message, peer)?;
            self.touched.insert(delivery.message);
        }
        for session in self.store.sessions_of(peer)? {
            self.live.remove(&session.id);
            self.store.erase_session(session.id)?;
            self.has_erased_keys = true;
        }
        self.store.erase_contact(peer)?;
        self.contacts.remove(&peer);
        self.directs.remove(&self.direct(peer));
        Ok(())
    }

    /// Remembers that a name was this peer's, so that nobody else gets it: of peers whom the user has dealt with, and a few
    /// names of each.
    pub(super) fn keep_former_name(&mut self, name: String, peer: PeerId) -> Result<(), StoreError> {
        let dealt_with = |it: &Contact| self.is_decided(it) || it.row.had != 0;
        let has = self.former_names.values().filter(|owner| **owner == peer).count();
        if has >= FORMER_NAMES || !self.contacts.get(&peer).is_some_and(dealt_with) {
            return Ok(());
        }
        self.store.put_former_name(&name, peer)?;
        self.former_names.insert(name, peer);
        Ok(())
    }
}
