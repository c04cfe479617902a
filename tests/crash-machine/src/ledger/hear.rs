//! What the programs say, as it comes, and the rules that can be checked at once.

use super::{Key, Ledger, ROOM, Rule, Shown, To, key_of, letter, rise, text};
use crate::Who;
use crate::line::{Params, Stage};

impl Ledger {
    /// `msg.send` was answered with an id; a repeated one with the same id again.
    pub fn committed(&mut self, key: Key, id: &str) {
        if !self.learn(key, id) {
            return;
        }
        let entry = &mut self.entries[key.author][key.number as usize];
        if !entry.committed {
            entry.committed = true;
            self.tally.committed += 1;
        }
    }

    /// `msg.send` was answered with an error.
    pub fn refused(&mut self, key: Key) {
        let entry = &mut self.entries[key.author][key.number as usize];
        let known = entry.id.is_some();
        if std::mem::replace(&mut entry.refused, true) || entry.is_delivered() {
            return self.broken(Rule::Refused, format!("{key:?} is refused once more"));
        }
        self.open[key.author] -= 1;
        self.tally.refused += 1;
        if known {
            self.broken(Rule::Refused, format!("{key:?} is refused although it was said"));
        }
    }

    /// Connects a message with its id; false if it has another one.
    fn learn(&mut self, key: Key, id: &str) -> bool {
        let Ok(number) = u128::from_str_radix(id, 16) else {
            self.broken(Rule::Forged, format!("{key:?} has the id {id:?}"));
            return false;
        };
        let entry = &mut self.entries[key.author][key.number as usize];
        if let Some(known) = entry.id {
            if known != number {
                self.broken(Rule::Doubled, format!("{key:?} has the ids {known:032x} and {id}"));
            }
            return known == number;
        }
        entry.id = Some(number);
        if let Some(other) = self.ids.insert(number, key) {
            self.broken(Rule::Forged, format!("{key:?} and {other:?} have the id {id}"));
        }
        if let Some((author, shown)) = self.early.remove(&number) {
            if author == key.author {
                self.show(key, shown);
            } else {
                self.broken(Rule::Forged, format!("{} shows a state of {key:?}", letter(author)));
            }
        }
        true
    }

    /// `msg.status`
    pub fn status(&mut self, author: Who, params: &Params) {
        let (Some(id), Some(stage)) =
            (params.id.as_deref().and_then(|id| u128::from_str_radix(id, 16).ok()), params.state)
        else {
            return self
                .broken(Rule::Ended, format!("{} shows a state without sense: {params:?}", letter(author)));
        };
        if stage == Stage::Failed && !self.may_fail {
            let reason = params.reason.as_deref().unwrap_or_default();
            self.broken(Rule::Failed, format!("{:?} has failed: {reason}", self.ids.get(&id)));
        }
        let shown = Shown { stage: Some(stage), counts: params.counts.unwrap_or_default() };
        match self.ids.get(&id) {
            Some(&key) if key.author == author => self.show(key, shown),
            Some(&key) => self.broken(Rule::Forged, format!("{} shows a state of {key:?}", letter(author))),
            None => {
                let early = self.early.entry(id).or_insert((author, Shown::default()));
                match rise(early.1, shown) {
                    Ok(more) => early.1 = more,
                    Err(what) => self.broken(Rule::Backwards, format!("{id:032x}: {what}")),
                }
            }
        }
    }

    /// More of a message's life is notified.
    fn show(&mut self, key: Key, now: Shown) {
        let entry = &mut self.entries[key.author][key.number as usize];
        match rise(entry.notified, now) {
            Ok(more) => entry.notified = more,
            Err(what) => self.broken(Rule::Backwards, format!("{key:?}: {what}")),
        }
        self.know(key, now);
    }

    /// More of a message's life is known, from wherever.
    pub(super) fn know(&mut self, key: Key, now: Shown) {
        let entry = &mut self.entries[key.author][key.number as usize];
        let was = entry.is_delivered();
        if let Ok(more) = rise(entry.shown, now) {
            entry.shown = more;
        }
        let is = entry.is_delivered();
        if is && !was {
            self.tally.delivered += 1;
            self.open[key.author] -= usize::from(!entry.refused);
        }
    }

    /// `msg.new`
    pub fn told(&mut self, reader: Who, params: &Params) {
        let (Some(id), Some(from), Some(text), Some(place)) =
            (&params.id, &params.from, &params.text, &params.conversation)
        else {
            return self.broken(Rule::Ended, format!("{} is told without sense", letter(reader)));
        };
        let Some(view) = self.place(place) else {
            return self.broken(Rule::Forged, format!("{} is told of {place}", letter(reader)));
        };
        let Some(key) = self.genuine(reader, view, id, &from.peer_id, text) else { return };
        // One's own messages are told as well, for other frontends.
        if key.author == reader {
            return;
        }
        self.tally.told += 1;
        let entry = &mut self.entries[key.author][key.number as usize];
        let to = entry.to;
        let again = entry.told & (1 << reader) != 0;
        entry.told |= 1 << reader;
        if again {
            self.broken(Rule::Doubled, format!("{} is told of {key:?} again", letter(reader)));
        }
        let last = self.last_told.entry((reader, key.author, to)).or_insert(key.number);
        if key.number < *last && !again && !self.gaps.contains(&(reader, view)) {
            let what = format!("{} is told of {key:?} after {last}", letter(reader));
            self.broken(Rule::Order, what);
        } else {
            *last = key.number.max(*last);
        }
    }

    /// `alarm`
    pub fn alarm(&mut self, who: Who, params: &Params) {
        if params.detail.as_deref().is_some_and(|detail| detail.contains("too old")) {
            self.tally.overtaken += 1;
        } else if !(self.relay_fails
            && params.detail.as_deref().is_some_and(|detail| detail.contains("Storage")))
        {
            let what = format!("{} is alarmed: {:?} {:?}", letter(who), params.kind, params.detail);
            self.broken(Rule::Alarm, what);
        }
    }

    /// `msg.gap`
    pub fn gap(&mut self, reader: Who, params: &Params) {
        self.tally.gaps += 1;
        if let Some(view) = params.conversation.as_deref().and_then(|place| self.place(place)) {
            self.gaps.insert((reader, view));
        }
    }

    /// The program of somebody is started again: from now on nothing may be less than it was shown.
    pub fn ended(&mut self, who: Who) {
        for entry in self.entries[who].iter_mut().filter(|entry| !entry.settled) {
            (entry.floor, entry.notified) = (entry.shown, entry.shown);
        }
    }

    /// A conversation by the name that the program gives it.
    fn place(&self, name: &str) -> Option<To> {
        let person = |name: &str| self.peers.iter().position(|peer| peer.as_deref() == Some(name));
        if name == ROOM { Some(To::Room) } else { person(name).map(To::Person) }
    }

    /// Which message this is, if it is what its author said, where its author said it.
    pub(super) fn genuine(&mut self, reader: Who, view: To, id: &str, from: &str, said: &str) -> Option<Key> {
        let key = key_of(said);
        let entry = key.and_then(|key| self.entries.get(key.author)?.get(key.number as usize));
        let (Some(key), Some(entry)) = (key, entry) else {
            let start: String = said.chars().take(40).collect();
            self.broken(Rule::Forged, format!("{} has {start:?}, which nobody said", letter(reader)));
            return None;
        };
        let there = match entry.to {
            To::Room => To::Room,
            To::Person(_) if reader == key.author => entry.to,
            To::Person(recipient) if recipient == reader => To::Person(key.author),
            To::Person(_) => {
                self.broken(Rule::Forged, format!("{} has {key:?} of others", letter(reader)));
                return None;
            }
        };
        if there != view || text(key, entry.len) != said || self.peer(key.author) != Some(from) {
            let what = format!("{} has {key:?} changed: from {from} in {view:?}", letter(reader));
            self.broken(Rule::Forged, what);
            return None;
        }
        let already = entry.told | entry.there;
        if entry.refused && self.syncs_fail {
            self.tally.revived += u64::from(reader == key.author && entry.id.is_none());
        } else if entry.refused && already & (1 << reader) == 0 {
            self.broken(Rule::Refused, format!("{} has {key:?}, which was refused", letter(reader)));
        }
        self.learn(key, id).then_some(key)
    }
}
