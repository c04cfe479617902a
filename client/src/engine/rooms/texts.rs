//! What is written in a closed room. Each copy is sealed like a direct message and looks like one from outside.

use std::collections::BTreeSet;

use chat_core::api::event::AlarmKind;
use chat_core::ids::{ConversationId, PeerId};
use chat_core::wire::body::ClosedText;
use chat_core::wire::membership::copy_id;
use chat_core::wire::{Body, Plaintext};

use super::super::{Engine, Fault};
use super::doubts::Doubt;
use crate::engine::refusal::{not_of_room, refused};
use crate::roster::Earlier;
use crate::store::{MessageRow, StoreError};

impl Engine {
    /// The copy of a message of one's own for a member: in a closed room, with the roster it was written to.
    pub(in crate::engine) fn closed_plaintext(
        &self,
        row: &MessageRow,
        to: PeerId,
        previous: [u8; 16],
    ) -> Result<Plaintext, StoreError> {
        let (room, message) = (row.conversation, row.id);
        let roster = self.store.closed_text(message)?.unwrap_or_default();
        Ok(Plaintext {
            context: None,
            conversation: self.direct(to),
            message: copy_id(room, message, to),
            sent_at: row.sent_at,
            previous,
            body: Body::ClosedText(ClosedText { roster, room, message, text: row.text.clone() }),
        })
    }

    /// Whether a message to a closed room may be taken, before anything is written.
    pub(in crate::engine) fn check_closed(
        &self,
        from: PeerId,
        plaintext: &Plaintext,
        text: &ClosedText,
    ) -> Result<(), Fault> {
        let me = self.config.identity.peer_id();
        if plaintext.message != copy_id(text.room, text.message, me) {
            return Err(refused(AlarmKind::Tampered, from, "a room's message made for another member"));
        }
        let Some((room, closed)) = self.room_of(text.room).and_then(|room| Some((room, room.closed()?)))
        else {
            return Err(not_of_room(
                from,
                text.room,
                AlarmKind::Refused,
                "a message in a room that is not known here",
            ));
        };
        if !room.joined {
            return Err(not_of_room(
                from,
                text.room,
                AlarmKind::Refused,
                "a message in a room that one is not in",
            ));
        }
        if !closed.log.is_member(from) {
            let detail = "wrote in a closed room without being a member of it; what it wrote is not shown";
            return Err(not_of_room(from, text.room, AlarmKind::Roster, detail));
        }
        Ok(())
    }

    /// A member has written to other members than are known here. One of both has not heard of a change, or a relay keeps
    /// it back.
    pub(in crate::engine) fn compare_roster(
        &mut self,
        from: PeerId,
        text: &ClosedText,
    ) -> Result<(), StoreError> {
        let (id, roster) = (text.room, text.roster);
        let Some(closed) = self.closed(id) else { return Ok(()) };
        if closed.log.roster() == roster {
            return Ok(());
        }
        // Whatever it has confirmed: it may have written this before, or have lost since what it knew.
        self.doubt(id, from, |engine| {
            let what = engine.what_differs(id, roster);
            Doubt::new(AlarmKind::Roster, what, Some(roster), engine.up)
        })
    }

    /// In what the members somebody has written to differ from those known here.
    fn what_differs(&self, id: ConversationId, roster: [u8; 16]) -> String {
        let Some(closed) = self.closed(id) else { return String::new() };
        match closed.log.earlier(roster) {
            Earlier::Were(theirs) => self.difference(&closed.log.members().collect(), &theirs),
            Earlier::Never | Earlier::Unknown => "wrote to members who are not those known here".to_owned(),
        }
    }

    fn difference(&self, now: &BTreeSet<PeerId>, theirs: &BTreeSet<PeerId>) -> String {
        let names = |peers: std::collections::btree_set::Difference<'_, PeerId>| {
            peers.map(|&peer| self.name_of(peer)).collect::<Vec<_>>().join(", ")
        };
        let (more, less) = (names(theirs.difference(now)), names(now.difference(theirs)));
        let more = (!more.is_empty()).then(|| format!("still has {more}, who is no longer a member"));
        let less = (!less.is_empty()).then(|| format!("lacks {less}, who is a member"));
        let both: Vec<String> = more.into_iter().chain(less).collect();
        format!("wrote to a list of members that {}", both.join(" and "))
    }

    /// Whether a conversation is a closed room's.
    pub(in crate::engine) fn is_closed(&self, conversation: ConversationId) -> bool {
        self.room_of(conversation).is_some_and(|room| !room.is_open())
    }
}
