//! A look into somebody's history of one conversation, page by page from its end: as far back as something is to be
//! found there, or the whole.

use std::collections::{BTreeSet, HashSet};

use super::{Entry, Key, Ledger, Rule, Shown, To, letter, rise};
use crate::Who;
use crate::line::{Row, Stage};

/// How far back a look goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Until all is found that has to be there.
    Due,
    /// Also until all is found that was stored, and may be there: nobody told of it, because of a `lag`.
    Stored,
    /// To the beginning, and the order is looked at as well.
    Whole,
}

/// A look that has begun.
#[derive(Debug)]
pub struct Look {
    reader: Who,
    view: To,
    depth: Depth,
    /// Own messages that were answered with an id.
    own: BTreeSet<u32>,
    /// Messages of others that were shown to be delivered here before the look began.
    must: BTreeSet<(Who, u32)>,
    /// Messages of others that may be here.
    may: BTreeSet<(Who, u32)>,
    seen: HashSet<Key>,
    /// Newest page first, as they were read.
    pages: Vec<Vec<(Key, bool)>>,
}

impl Look {
    /// Whether nothing more is to be found.
    pub fn is_done(&self) -> bool {
        self.depth != Depth::Whole && self.own.is_empty() && self.must.is_empty() && self.may.is_empty()
    }
}

impl Ledger {
    /// Begins a look, before history is asked for: what is shown to be delivered by now has to be there.
    pub fn look(&self, reader: Who, view: To, depth: Depth) -> Look {
        let own = self.lane(reader, view).filter(|(_, entry)| entry.committed && !entry.settled);
        let own = own.map(|(number, _)| number).collect();
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for (author, to) in self.heard(reader, view) {
            for (number, entry) in self.lane(author, to).filter(|(_, entry)| entry.there & (1 << reader) == 0)
            {
                if entry.is_delivered() {
                    must.insert((author, number));
                } else if depth == Depth::Stored && entry.shown.stage >= Some(Stage::Stored) {
                    may.insert((author, number));
                }
            }
        }
        Look { reader, view, depth, own, must, may, seen: HashSet::new(), pages: Vec::new() }
    }

    /// Whose messages are in a conversation of `reader`, and where they said them.
    fn heard(&self, reader: Who, view: To) -> Vec<(Who, To)> {
        match view {
            To::Person(author) => vec![(author, To::Person(reader))],
            To::Room => {
                (0..self.entries.len()).filter(|who| *who != reader).map(|who| (who, To::Room)).collect()
            }
        }
    }

    fn lane(&self, author: Who, to: To) -> impl Iterator<Item = (u32, &Entry)> {
        let numbers = self.lanes.get(&(author, to)).map_or(&[][..], Vec::as_slice);
        numbers.iter().map(move |number| (*number, &self.entries[author][*number as usize]))
    }

    /// A page of history, oldest first, of a program that was asked after the look began.
    pub fn page(&mut self, look: &mut Look, rows: &[Row]) {
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(key) = self.genuine(look.reader, look.view, &row.id, &row.from.peer_id, &row.text)
            else {
                continue;
            };
            if !look.seen.insert(key) {
                let what = format!("{} has {key:?} twice in history", letter(look.reader));
                self.broken(Rule::Doubled, what);
            }
            page.push((key, row.gap_before));
            if key.author == look.reader {
                look.own.remove(&key.number);
                self.own_row(key, row);
            } else {
                look.must.remove(&(key.author, key.number));
                look.may.remove(&(key.author, key.number));
                self.entries[key.author][key.number as usize].there |= 1 << look.reader;
            }
        }
        look.pages.push(page);
    }

    /// An own message in history: at least as far as it was shown before this run of the program.
    fn own_row(&mut self, key: Key, row: &Row) {
        let entry = &self.entries[key.author][key.number as usize];
        let Some(delivery) = &row.delivery else {
            return self.broken(Rule::Backwards, format!("{key:?} has no state in history"));
        };
        let now = Shown { stage: Some(delivery.state), counts: delivery.counts.unwrap_or_default() };
        if let Err(what) = rise(entry.floor, now) {
            return self.broken(Rule::Backwards, format!("{key:?} in history: {what}"));
        }
        if delivery.state == Stage::Failed && entry.shown.stage != Some(Stage::Failed) && !self.may_fail {
            let what = format!("{key:?} has failed in history: {:?}", delivery.reason);
            self.broken(Rule::Failed, what);
        }
        // It may be older than what was notified since it was asked for; then it tells nothing new.
        self.know(key, now);
        let delivered = matches!(delivery.state, Stage::Delivered | Stage::Read);
        self.entries[key.author][key.number as usize].settled |= delivered;
    }

    /// Ends a look: what was not found is not there.
    pub fn looked(&mut self, look: Look) {
        let reader = letter(look.reader);
        for number in &look.own {
            let key = Key { author: look.reader, number: *number };
            self.broken(Rule::Lost, format!("{reader} has lost {key:?}, which was committed"));
        }
        for (author, to) in self.heard(look.reader, look.view) {
            self.arrived(&look, author, to);
        }
        if look.depth == Depth::Whole {
            self.in_order(look);
        }
    }

    /// What was delivered is in history, but for what waits behind something that has not come yet: that is held
    /// back, durably, and shown after it.
    fn arrived(&mut self, look: &Look, author: Who, to: To) {
        let missing = |number: u32| look.must.contains(&(author, number));
        let mut lost = Vec::new();
        for (number, entry) in self.lane(author, to) {
            let there = entry.there & (1 << look.reader) != 0;
            if missing(number) {
                lost.push(number);
            } else if !there && !entry.refused {
                break;
            }
        }
        for number in lost {
            let key = Key { author, number };
            let what = format!("{} has not got {key:?}, which was delivered", letter(look.reader));
            self.broken(Rule::Lost, what);
        }
    }

    /// The whole conversation: by author, exactly what was said and not refused, in that order, without gaps.
    fn in_order(&mut self, look: Look) {
        let reader = letter(look.reader);
        let rows: Vec<(Key, bool)> = look.pages.into_iter().rev().flatten().collect();
        let mut authors = self.heard(look.reader, look.view);
        authors.push((look.reader, look.view));
        for (author, to) in authors {
            let got = rows.iter().filter(|(key, _)| key.author == author);
            let got: Vec<u32> = got.map(|(key, _)| key.number).collect();
            let said: Vec<u32> =
                self.lane(author, to).filter(|(_, entry)| !entry.refused).map(|(number, _)| number).collect();
            if got == said {
                continue;
            }
            let unordered = got.windows(2).find(|two| two[0] > two[1]).map(<[u32]>::to_vec);
            let there: HashSet<u32> = got.iter().copied().collect();
            let absent: Vec<u32> = said.iter().copied().filter(|number| !there.contains(number)).collect();
            let (writer, where_) = (letter(author), look.view);
            if let Some(two) = unordered {
                self.broken(
                    Rule::Order,
                    format!("{reader} has {two:?} of {writer} in {where_:?} out of order"),
                );
            }
            if let Some(first) = absent.first() {
                let what =
                    format!("{reader} lacks {} of {writer} in {where_:?}, the first {first}", absent.len());
                self.broken(Rule::Lost, what);
            }
        }
        for (key, _) in rows.iter().filter(|(_, gap)| *gap) {
            self.broken(Rule::Gap, format!("{reader} is shown a gap before {key:?}"));
        }
    }

    /// At the very end: everything that was shown is of a message that was said.
    pub fn close(&mut self) {
        let strays: Vec<String> =
            self.early.iter().map(|(id, (who, _))| format!("{} of {id:032x}", letter(*who))).collect();
        if let Some(first) = strays.first() {
            let what = format!("{} states of messages that nobody said, the first by {first}", strays.len());
            self.broken(Rule::Forged, what);
        }
    }
}
