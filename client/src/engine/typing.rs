//! Who writes now: sealed, passed on by the relay while both are there, and never stored.

use std::collections::BTreeMap;

use chat_core::api::command::SetTyping;
use chat_core::api::event::Typing;
use chat_core::api::{Event, Reply};
use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId};
use chat_core::wire::{Body, Envelope, Plaintext, Recipient, ToRelay};

use super::answer::Answer;
use super::commands::Target;
use super::inbound::hash_of;
use super::rooms::Room;
use super::{Engine, Uptime};
use crate::store::StoreError;

/// As long as one writes it is said again after this.
const AGAIN_MS: u64 = 2_000;
/// What was not said again for so long is over; with a tick a second, at most five seconds after the last key.
const OVER_MS: u64 = 4_000;
/// Larger rooms are not told: each member gets a copy.
const MAX_TOLD: usize = 16;
/// Most writers remembered.
const MAX_WRITERS: usize = 1_000;
/// What is passed on may be lost, and each takes a number of the session. So many go out to a peer from whom nothing
/// comes back: far fewer than a session can miss.
const MAX_UNANSWERED: u32 = 100;

/// Who writes, and to whom one has said that one does.
#[derive(Default)]
pub(crate) struct Writing {
    said: BTreeMap<ConversationId, Uptime>,
    unanswered: BTreeMap<PeerId, u32>,
    writers: BTreeMap<(ConversationId, PeerId), Uptime>,
}

impl Writing {
    pub(super) fn heard_from(&mut self, peer: PeerId) {
        self.unanswered.remove(&peer);
    }
}

impl Engine {
    /// `typing.set`
    pub(super) fn set_typing(&mut self, set: &SetTyping) -> Answer<Reply> {
        let target = self.target(&set.to)?;
        let conversation = self.conversation_of(&target);
        let said = self.writing.said.get(&conversation).map(|at| self.up.ms_since(*at));
        let news = match set.typing {
            true => said.is_none_or(|ms| ms >= AGAIN_MS),
            false => self.writing.said.remove(&conversation).is_some() && said.is_some_and(|ms| ms < OVER_MS),
        };
        if news && self.config.rules.typing && self.welcomed {
            for peer in self.told_of_typing(&target) {
                self.pass(peer, conversation, Body::Typing(set.typing))?;
            }
            if set.typing {
                self.writing.said.insert(conversation, self.up);
            }
        }
        Ok(Reply::Done {})
    }

    /// A message ends the writing of it, for whoever gets it.
    pub(super) fn has_written(&mut self, conversation: ConversationId) {
        self.writing.said.remove(&conversation);
    }

    /// Whoever is there, of an open room that is not too large. In a closed one nobody: what is passed on tells the relay
    /// its conversation, and no relay is told of a closed room.
    fn told_of_typing(&self, target: &Target) -> Vec<PeerId> {
        let peers: Vec<PeerId> = match target {
            Target::Peer(peer) => vec![*peer],
            Target::Room(room) => {
                match self.rooms.get(room).filter(|room| room.joined).and_then(Room::open) {
                    Some(open) if open.members.len() <= MAX_TOLD => open.members.iter().copied().collect(),
                    _ => Vec::new(),
                }
            }
        };
        let there = |peer: &PeerId| {
            let there = self
                .contacts
                .get(peer)
                .is_some_and(|contact| contact.online && contact.row.problem.is_none());
            let unanswered = self.writing.unanswered.get(peer).copied().unwrap_or_default();
            there && unanswered < MAX_UNANSWERED && self.held(*peer).is_none()
        };
        peers.into_iter().filter(there).collect()
    }

    /// Seals something of the moment, with a session that both have; it is worth no new one.
    fn pass(&mut self, peer: PeerId, conversation: ConversationId, body: Body) -> Result<(), StoreError> {
        if self.confirmed_sending(peer)?.is_none() {
            return Ok(());
        }
        let (Ok(id), Ok(message)) = (self.new_id(), self.new_id()) else { return Ok(()) };
        let message = MessageId(message);
        let sent_at = self.wall;
        let plaintext = Plaintext { context: None, conversation, message, sent_at, previous: [0; 16], body };
        let Some(sealed) = self.seal(peer, &plaintext)? else { return Ok(()) };
        // A session was due and is new: its first message is not to be lost.
        if sealed.handshake.is_some() {
            return Ok(());
        }
        *self.writing.unanswered.entry(peer).or_default() += 1;
        let envelope = Envelope {
            id: EnvelopeId(id),
            to: Recipient::Peer(peer),
            from: self.config.identity.peer_id(),
            conversation,
            message,
            session: sealed.session,
            handshake: None,
            frame: sealed.frame,
        };
        self.out.records.push(ToRelay::Pass { envelope });
        Ok(())
    }

    /// What was passed on. It may be anything that anybody made up, and nothing is lost with it: what does not open, or
    /// is not of the moment, is forgotten without a word.
    pub(super) fn passed(&mut self, envelope: &Envelope) -> Result<(), StoreError> {
        let from = envelope.from;
        let to_me = envelope.to == Recipient::Peer(self.config.identity.peer_id());
        if !to_me || envelope.handshake.is_some() || self.is_shut_out(from) {
            return Ok(());
        }
        self.passed_to_me(envelope)
    }

    fn passed_to_me(&mut self, envelope: &Envelope) -> Result<(), StoreError> {
        let from = envelope.from;
        let opened = match self.open(envelope) {
            Ok(opened) => opened,
            Err(super::Fault::Store(error)) => return Err(error),
            Err(super::Fault::Refused(refused)) => {
                tracing::debug!(peer = %from.short(), detail = refused.detail, "something passed on was refused");
                return Ok(());
            }
        };
        // Dropped with its session's step, which the store still has as it was.
        let Body::Typing(typing) = opened.plaintext.body else { return Ok(()) };
        let conversation = opened.plaintext.conversation;
        self.keep_opened(opened.live, opened.accepted)?;
        // Delivered later as something stored, it is known for what it is, a replay.
        let frame = hash_of(&envelope.frame);
        self.store.remember_envelope(&frame, from, None, &frame, self.now)?;
        self.heard_from(from)?;
        self.writes(from, conversation, typing);
        Ok(())
    }

    /// Somebody writes, or no longer does.
    pub(super) fn writes(&mut self, from: PeerId, conversation: ConversationId, typing: bool) {
        let is_here = conversation == self.direct(from)
            || self.room_of(conversation).is_some_and(|room| room.joined && room.is_open() && room.has(from));
        let writer = (conversation, from);
        let known = self.writing.writers.contains_key(&writer);
        let full = self.writing.writers.len() >= MAX_WRITERS;
        if !is_here || (typing && full && !known) {
            return;
        }
        match typing {
            true => self.writing.writers.insert(writer, self.up),
            false => self.writing.writers.remove(&writer),
        };
        if known != typing {
            self.tell_typing(writer, typing);
        }
    }

    fn tell_typing(&mut self, (conversation, from): (ConversationId, PeerId), typing: bool) {
        let (address, from) = (self.address_of(conversation), self.author(from));
        self.out.events.push(Event::Typing(Typing { address, conversation, from, typing }));
    }

    /// Whoever has not said it again for a while writes no longer.
    pub(super) fn end_writing(&mut self, all: bool) {
        let now = self.up;
        let over = |at: &Uptime| all || now.ms_since(*at) >= OVER_MS;
        let ended: Vec<_> =
            self.writing.writers.iter().filter(|(_, at)| over(at)).map(|(writer, _)| *writer).collect();
        for writer in ended {
            self.writing.writers.remove(&writer);
            self.tell_typing(writer, false);
        }
    }
}
