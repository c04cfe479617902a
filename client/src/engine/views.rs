//! What frontends see: kept up to date message by message, handed out as immutable snapshots.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chat_core::api::event::{ConversationRead, EventId};
use chat_core::api::snapshot::{Delivery, RECENT_MESSAGES};
use chat_core::api::{
    CommandError, ConversationKind, ConversationView, Event, LinkView, MessageView, PeerView, Snapshot,
    StackView, Trust,
};
use chat_core::ids::{ConversationId, MessageId, PeerId};
use chat_core::room::RoomAddress;
use chat_core::transport::LinkFigures;

use super::{Engine, LinkInfo};
use crate::store::{MessageRow, StoreError};
use crate::watch::Call;

/// Most bytes of text that a conversation's newest messages hold in memory; the newest is held in any case.
const RECENT_BYTES: usize = 1 << 20;

/// A conversation as it is shown.
struct Shown {
    with: ConversationKind,
    name: String,
    unread: u32,
    recent: VecDeque<Arc<MessageView>>,
    has_older: bool,
    /// The view of the last snapshot, until something changes.
    view: Option<Arc<ConversationView>>,
}

impl Shown {
    /// Lets go of the oldest messages beyond the limits; the store has them.
    fn trim(&mut self) {
        let mut bytes: usize = self.recent.iter().map(|message| message.text.len()).sum();
        while self.recent.len() > RECENT_MESSAGES || (bytes > RECENT_BYTES && self.recent.len() > 1) {
            let Some(oldest) = self.recent.pop_front() else { break };
            bytes -= oldest.text.len();
            self.has_older = true;
        }
    }
}

/// Everything shown.
#[derive(Default)]
pub(crate) struct Views {
    conversations: BTreeMap<ConversationId, Shown>,
    /// Until a peer changes.
    peers: Option<Vec<Arc<PeerView>>>,
    stack: Option<Arc<StackView>>,
    pub(super) figures: LinkFigures,
}

impl Views {
    /// The stack is not what it was.
    pub(super) fn forget_stack(&mut self) {
        self.stack = None;
    }
}

impl Engine {
    /// Reads all conversations from the store: at start, and when names have changed.
    pub(super) fn load_views(&mut self) -> Result<(), StoreError> {
        self.views.conversations.clear();
        let rooms: Vec<ConversationId> =
            self.rooms.iter().filter(|(_, room)| room.joined).map(|(id, _)| *id).collect();
        for conversation in rooms {
            self.load_conversation(conversation)?;
        }
        for (conversation, in_room) in self.store.conversations_with_messages()? {
            if !in_room {
                self.load_conversation(conversation)?;
            }
        }
        Ok(())
    }

    /// What a conversation is with, if that is known and to be shown.
    fn kind_of(&self, id: ConversationId) -> Option<(ConversationKind, String)> {
        if let Some(found) = self.room_of(id) {
            let (room, members) = (found.address.clone(), found.roster(self.config.identity.peer_id()));
            let kind = match found.closed() {
                None => ConversationKind::OpenRoom { room, members },
                Some(closed) => ConversationKind::ClosedRoom { room, members, creator: closed.log.creator() },
            };
            return found.joined.then(|| (kind, found.address.to_string()));
        }
        let peer = *self.directs.get(&id)?;
        Some((ConversationKind::Direct { peer }, self.name_of(peer)))
    }

    pub(super) fn conversation_name(&self, id: ConversationId) -> String {
        self.views
            .conversations
            .get(&id)
            .map(|shown| shown.name.clone())
            .or_else(|| self.rooms.get(&id).map(|room| room.address.to_string()))
            .or_else(|| self.kind_of(id).map(|(_, name)| name))
            .unwrap_or_else(|| id.short())
    }

    /// Something in the middle of a conversation changed.
    pub(super) fn refresh_history(&mut self, id: ConversationId) -> Result<(), StoreError> {
        self.load_conversation(id)
    }

    fn load_conversation(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let Some((with, name)) = self.kind_of(id) else { return Ok(()) };
        let (rows, has_older) = self.store.history(id, None, RECENT_MESSAGES)?;
        let recent = rows
            .iter()
            .map(|row| self.message_view(row).map(Arc::new))
            .collect::<Result<VecDeque<_>, StoreError>>()?;
        let unread = self.store.unread(id)?;
        let mut shown = Shown { with, name, unread, recent, has_older, view: None };
        shown.trim();
        self.views.conversations.insert(id, shown);
        Ok(())
    }

    /// The members or the existence of a conversation changed.
    pub(super) fn refresh_conversation(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let kind = self.kind_of(id);
        match (self.views.conversations.get_mut(&id), kind) {
            (Some(shown), Some((with, name))) => {
                (shown.with, shown.name, shown.view) = (with, name, None);
                Ok(())
            }
            (Some(_), None) => {
                self.views.conversations.remove(&id);
                Ok(())
            }
            (None, _) => self.load_conversation(id),
        }
    }

    /// A message as frontends see it.
    pub(super) fn message_view(&self, row: &MessageRow) -> Result<MessageView, StoreError> {
        Ok(MessageView {
            id: row.id,
            address: self.address_of(row.conversation),
            conversation: row.conversation,
            position: row.position,
            from: self.author(row.author),
            delivery: if row.mine { Some(self.delivery_of(row)?) } else { None },
            text: row.text.clone(),
            sent_at: row.sent_at,
            gap_before: row.gap,
        })
    }

    /// A message entered the visible history. A late one also closes the gap that was shown after it.
    pub(super) fn view_message(&mut self, message: MessageView, late: bool) -> Result<(), StoreError> {
        let id = message.conversation;
        if late || !self.views.conversations.contains_key(&id) {
            // It is in the store already, in its place.
            return self.load_conversation(id);
        }
        let mine = message.delivery.is_some();
        if let Some(shown) = self.views.conversations.get_mut(&id) {
            shown.recent.push_back(Arc::new(message));
            shown.trim();
            shown.unread = shown.unread.saturating_add(u32::from(!mine));
            shown.view = None;
        }
        Ok(())
    }

    /// Shows a message's new state; whether anything visible changed.
    pub(super) fn view_status(
        &mut self,
        conversation: ConversationId,
        id: MessageId,
        delivery: &Delivery,
    ) -> bool {
        let Some(shown) = self.views.conversations.get_mut(&conversation) else { return false };
        let Some(message) = shown.recent.iter_mut().rev().find(|message| message.id == id) else {
            return false;
        };
        if message.delivery.as_ref() == Some(delivery) {
            return false;
        }
        *message = Arc::new(MessageView { delivery: Some(delivery.clone()), ..(**message).clone() });
        shown.view = None;
        true
    }

    /// A peer has another name: it stands in its own conversation and in the rooms it is in.
    pub(super) fn refresh_name_of(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let rooms = self.rooms.iter().filter(|(_, room)| room.joined).map(|(id, _)| *id);
        let shown = std::iter::once(self.direct(peer)).chain(rooms);
        let shown: Vec<_> = shown.filter(|id| self.views.conversations.contains_key(id)).collect();
        for id in shown {
            self.load_conversation(id)?;
        }
        Ok(())
    }

    pub(super) fn conversation_read(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let unread = self.store.unread(id)?;
        if let Some(shown) = self.views.conversations.get_mut(&id) {
            (shown.unread, shown.view) = (unread, None);
        }
        let address = self.address_of(id);
        self.out.events.push(Event::ConversationRead(ConversationRead { address, conversation: id, unread }));
        Ok(())
    }

    /// Something about a peer changed.
    pub(super) fn refresh_peers(&mut self) {
        self.views.peers = None;
    }

    pub(super) fn peer_views(&mut self) -> Vec<Arc<PeerView>> {
        if let Some(peers) = &self.views.peers {
            return peers.clone();
        }
        let mut peers: Vec<Arc<PeerView>> =
            self.contacts.values().map(|c| Arc::new(self.peer_view(c))).collect();
        peers.sort_by(|a, b| a.nick.cmp(&b.nick));
        self.views.peers = Some(peers.clone());
        peers
    }

    pub(super) fn room_views(&mut self) -> Vec<Arc<ConversationView>> {
        self.conversation_views().into_iter().filter(|view| view.with.room().is_some()).collect()
    }

    pub(super) fn member_views(&self, room: &RoomAddress) -> Result<Vec<Arc<PeerView>>, CommandError> {
        let (_, found) = self.joined_at(room)?;
        let me = self.config.identity.peer_id();
        Ok(found.roster(me).into_iter().map(|peer| Arc::new(self.member_view(peer, me))).collect())
    }

    fn member_view(&self, peer: PeerId, me: PeerId) -> PeerView {
        match self.contacts.get(&peer) {
            Some(contact) => self.peer_view(contact),
            None => PeerView {
                peer_id: peer,
                nick: self.name_of(peer),
                trust: if peer == me { Trust::Verified } else { Trust::Unverified },
                verified: peer == me,
                pinned: false,
                held: None,
                online: peer == me,
                last_seen: None,
                problem: (peer != me).then(|| "its keys are not known yet".to_owned()),
            },
        }
    }

    fn conversation_views(&mut self) -> Vec<Arc<ConversationView>> {
        let mut views: Vec<Arc<ConversationView>> = Vec::with_capacity(self.views.conversations.len());
        for (id, shown) in &mut self.views.conversations {
            let view = shown.view.get_or_insert_with(|| {
                Arc::new(ConversationView {
                    id: *id,
                    with: shown.with.clone(),
                    name: shown.name.clone(),
                    unread: shown.unread,
                    messages: shown.recent.iter().cloned().collect(),
                    has_older: shown.has_older,
                })
            });
            views.push(Arc::clone(view));
        }
        views.sort_by(|a, b| order(a).cmp(&order(b)));
        views
    }

    /// Everything visible after event `event`.
    pub(crate) fn snapshot(&mut self, event: EventId) -> Snapshot {
        let stack = self.views.stack.get_or_insert_with(|| Arc::new(self.config.stack.clone()));
        let stack = Arc::clone(stack);
        let link = self.link.as_ref();
        let link = LinkView {
            state: self.link_state.clone(),
            relay: self.relay.clone(),
            relay_fingerprint: link.and_then(|link| link.fingerprint),
            hosting: link.is_some_and(|link| link.hosting),
            listen: self.listen.clone(),
            figures: self.views.figures.clone(),
        };
        Snapshot {
            event,
            peer_id: self.config.identity.peer_id(),
            nick: self.config.nick.clone(),
            link,
            stack,
            conversations: self.conversation_views(),
            peers: self.peer_views(),
        }
    }

    /// Asks the transport for the figures of the link, for the next snapshots: not while one is made, which holds up
    /// every frontend. A transport that panics over its figures has none.
    pub(crate) fn read_figures(&mut self) -> &LinkFigures {
        let watch = &self.watch;
        let figures = |link: &LinkInfo| watch.guarded(Call::Figures, || Ok(link.stats.figures()));
        self.views.figures = self.link.as_ref().and_then(|link| figures(link).ok()).unwrap_or_default();
        &self.views.figures
    }
}

/// Rooms first, by name; then peers, by name: a place that doesn't jump while one types.
fn order(view: &ConversationView) -> (bool, &str) {
    (matches!(view.with, ConversationKind::Direct { .. }), &view.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_stand_before_peers() {
        let view = |with, name: &str| ConversationView {
            id: ConversationId::default(),
            with,
            name: name.into(),
            unread: 0,
            messages: vec![],
            has_older: false,
        };
        let room = "#z".parse().unwrap();
        let room = view(ConversationKind::OpenRoom { room, members: vec![] }, "#z");
        let peer = view(ConversationKind::Direct { peer: PeerId::default() }, "a");
        assert!(order(&room) < order(&peer));
    }
}
