//! Closed rooms out of a backup: who is in them is known as of then, and somebody may have been admitted or removed since.
//! What is written there waits until others have said that they know the same.

use chat_core::ids::{ConversationId, PeerId};

use super::super::Engine;
use crate::store::StoreError;

impl Engine {
    /// Whether nobody has vouched yet for what is known here of a closed room's members. A row of one's own among those
    /// of the others says so: see [`crate::store::Store::doubt_closed_rooms`].
    pub(in crate::engine) fn awaits_news(&self, id: ConversationId) -> bool {
        let me = self.config.identity.peer_id();
        self.closed(id).is_some_and(|closed| {
            closed.peers.contains_key(&me) && closed.log.members().any(|member| member != me)
        })
    }

    /// Somebody knows the same of a room. If that is enough, what waits is addressed to its members.
    pub(super) fn vouched(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let is_joined = self.rooms.get(&id).is_some_and(|room| room.joined);
        if !is_joined || !self.closed(id).is_some_and(|closed| closed.peers.contains_key(&me)) {
            return Ok(());
        }
        if !self.is_vouched(id) {
            // What was just learned is news to others, too; they answer.
            return self.tell_members(id);
        }
        if let Some(closed) = self.closed_mut(id) {
            closed.peers.remove(&me);
        }
        self.store.remove_room_peer(id, me)?;
        let members: Vec<PeerId> = self.closed(id).map(|it| it.log.members().collect()).unwrap_or_default();
        for peer in members.into_iter().filter(|&peer| peer != me) {
            self.seal_waiting(peer)?;
        }
        self.address_waiting(id)
    }

    /// Somebody else vouches for each member: one who was removed may say that it never was. Of the most senior nobody
    /// else could say so.
    fn is_vouched(&self, id: ConversationId) -> bool {
        let me = self.config.identity.peer_id();
        let Some(closed) = self.closed(id) else { return false };
        let hash = closed.log.hash();
        let others: Vec<PeerId> = closed.log.members().filter(|&member| member != me).collect();
        let says_so = |peer: &PeerId| closed.peers.get(peer).is_some_and(|knows| knows.heard == Some(hash));
        others.iter().all(|member| {
            let mut rest = others.iter().filter(|other| *other != member);
            rest.clone().any(says_so)
                || (says_so(member) && !rest.any(|other| closed.log.may_remove(*other, *member)))
        })
    }
}
