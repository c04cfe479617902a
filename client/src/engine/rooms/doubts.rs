//! Doubts about who is in a closed room. Somebody has written to other members than are known here, or without being one,
//! or to somebody who has left. Most of the time the news was only on its way: both compare what they know, and nobody
//! needs to hear of it. It is an alarm if that does not settle it although both are there, or if both know the same and
//! what was written still fits none of it.

use chat_core::api::event::AlarmKind;
use chat_core::ids::{ConversationId, PeerId};
use tracing::debug;

use super::super::{Engine, HOUR_MS, MINUTE_MS, Uptime};
use crate::roster::Earlier;
use crate::store::StoreError;

/// Two who are both there, without a break, agree within this; as long as a gap in a conversation is held.
const GRACE_MS: u64 = 30_000;
/// Whoever is heard from again and again is there, whatever the relay says: for so long, without a longer silence than
/// the grace, or for this time in all.
const HEARD_MS: u64 = MINUTE_MS;
const LONGEST_MS: u64 = HOUR_MS;
/// Most doubts kept; what goes beyond is told at once.
const MAX_DOUBTS: usize = 1_000;

/// Something that does not fit what is known here.
pub(crate) struct Doubt {
    /// What it is if it is not settled.
    pub(super) kind: AlarmKind,
    pub(super) detail: String,
    /// The members that a text was written to, by their hash.
    pub(super) roster: Option<[u8; 16]>,
    /// Whether both were asked to compare: that is limited, and before that it can't be settled.
    compared: bool,
    /// When it came up.
    first: Uptime,
    /// Since when both could have settled it, without a break.
    since: Uptime,
    /// The last sign of it, and since when there was no long silence between two.
    last: Uptime,
    heard_since: Uptime,
    told: bool,
}

impl Doubt {
    pub(in crate::engine) fn new(
        kind: AlarmKind,
        detail: String,
        roster: Option<[u8; 16]>,
        now: Uptime,
    ) -> Self {
        Self {
            kind,
            detail,
            roster,
            compared: false,
            first: now,
            since: now,
            last: now,
            heard_since: now,
            told: false,
        }
    }

    fn is_overdue(&self, now: Uptime) -> bool {
        !self.told && self.compared && now.ms_since(self.since) >= GRACE_MS
    }

    /// There is another sign of it. Whether that can't be a race any more.
    fn again(&mut self, now: Uptime) -> bool {
        if now.ms_since(self.last) >= GRACE_MS {
            self.heard_since = now;
        }
        self.last = now;
        now.ms_since(self.heard_since) >= HEARD_MS || now.ms_since(self.first) >= LONGEST_MS
    }
}

impl Engine {
    /// Of rooms that are not known here there are any number: they share one place.
    pub(super) fn counted(&self, id: ConversationId) -> ConversationId {
        if self.rooms.contains_key(&id) { id } else { ConversationId::default() }
    }

    /// A sign that somebody knows other members: both compare, and the user hears of it if that does not help.
    pub(in crate::engine) fn doubt(
        &mut self,
        id: ConversationId,
        peer: PeerId,
        make: impl FnOnce(&Self) -> Doubt,
    ) -> Result<(), StoreError> {
        let (key, now) = ((self.counted(id), peer), self.up);
        let is_full = self.doubts.len() >= MAX_DOUBTS;
        let is_new = !self.doubts.contains_key(&key);
        match self.doubts.get_mut(&key) {
            Some(doubt) => {
                if doubt.again(now) {
                    self.tell_doubt(key);
                }
            }
            None => {
                let doubt = make(self);
                self.doubts.insert(key, doubt);
                if is_full {
                    self.tell_doubt(key);
                    self.doubts.remove(&key);
                }
            }
        }
        self.compare_for(key, id)?;
        // A question costs no more than a receipt: if that was all, the answer settles it.
        let is_compared = self.doubts.get(&key).is_none_or(|doubt| doubt.compared);
        let asks = is_new && !is_compared && self.closed(id).is_some();
        if asks { self.ask_room(id, key.1) } else { Ok(()) }
    }

    fn compare_for(&mut self, key: (ConversationId, PeerId), id: ConversationId) -> Result<(), StoreError> {
        if self.compare_rooms(id, key.1)?
            && let Some(doubt) = self.doubts.get_mut(&key).filter(|doubt| !doubt.compared)
        {
            (doubt.compared, doubt.since) = (true, self.up);
        }
        Ok(())
    }

    /// Both know the same of a room. If somebody has written to members who follow from none of it, that is no race.
    pub(super) fn agreed(&mut self, id: ConversationId, peer: PeerId) -> Result<(), StoreError> {
        if let Some(doubt) = self.doubts.remove(&(id, peer)).filter(|doubt| !doubt.told) {
            match doubt.roster {
                Some(roster) if self.never_had(id, roster) => self.roster_alarm(id, peer, NEVER),
                _ => {
                    debug!(room = %id.short(), peer = %peer.short(), "what did not fit was written before the news came")
                }
            }
        }
        self.vouched(id)
    }

    /// Whether no way through the known operations leads to these members.
    pub(super) fn never_had(&self, id: ConversationId, roster: [u8; 16]) -> bool {
        self.closed(id).is_some_and(|closed| closed.log.earlier(roster) == Earlier::Never)
    }

    /// A room is known here now: what was in doubt of unknown ones is settled with whoever told of it.
    pub(super) fn room_is_known(&mut self, peer: PeerId) {
        self.doubts.remove(&(ConversationId::default(), peer));
    }

    /// Tells what was not settled although both ends were there.
    pub(in crate::engine) fn tell_doubts(&mut self) -> Result<(), StoreError> {
        let open = |(key, doubt): (&(ConversationId, PeerId), &Doubt)| (!doubt.compared).then_some(*key);
        for key in self.doubts.iter().filter_map(open).collect::<Vec<_>>() {
            self.compare_for(key, key.0)?;
        }
        let (now, linked) = (self.up, self.welcomed);
        let mut overdue = Vec::new();
        for (key, doubt) in &mut self.doubts {
            let online = self.contacts.get(&key.1).is_none_or(|contact| contact.online);
            if !(linked && online) {
                doubt.since = now;
            } else if doubt.is_overdue(now) {
                overdue.push(*key);
            }
        }
        for key in overdue {
            self.tell_doubt(key);
        }
        Ok(())
    }

    fn tell_doubt(&mut self, key: (ConversationId, PeerId)) {
        let Some(doubt) = self.doubts.get_mut(&key).filter(|doubt| !doubt.told) else { return };
        doubt.told = true;
        let (kind, detail) = (doubt.kind, doubt.detail.clone());
        match kind {
            AlarmKind::Roster => self.roster_alarm(key.0, key.1, &detail),
            _ => self.alarm(kind, Some(key.1), detail),
        }
    }
}

/// What is said of a text that no knowledge explains.
pub(super) const NEVER: &str = "wrote to a list of members that no change of the room leads to";
