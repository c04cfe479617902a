//! The ledger: what was said, and what the programs showed of it. Every rule is checked here, as soon as it can be,
//! from nothing but lines of JSON-RPC and the moments at which a program was started and killed.

mod look;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use look::{Depth, Look};

use crate::Who;
use crate::line::{Counts, Params, Stage};

/// Violations that are kept; the others are counted.
const KEPT: usize = 40;
/// The room that everybody is in.
pub const ROOM: &str = "#lobby";

/// Where something is said; also a conversation, as one of its ends sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum To {
    /// To this one, or with this one.
    Person(Who),
    /// To all, in [`ROOM`].
    Room,
}

/// The name of a message in the ledger; its text begins with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who wrote it.
    pub author: Who,
    /// The how-manieth of its author it is.
    pub number: u32,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", letter(self.author), self.number)
    }
}

fn letter(who: Who) -> char {
    char::from(b'a' + who as u8)
}

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// What was acknowledged is not there.
    Lost,
    /// What was said once is there twice.
    Doubled,
    /// Another order than its author's.
    Order,
    /// A state or a count was lower than it had been.
    Backwards,
    /// A message that nobody wrote, or not like this, or not to here.
    Forged,
    /// What was refused was said all the same.
    Refused,
    /// Given up, or not taken, without need.
    Failed,
    /// A gap is left where nothing is missing.
    Gap,
    /// The program raised an alarm.
    Alarm,
    /// The program ended by itself, panicked, does not start, or speaks no JSON-RPC.
    Ended,
    /// It does not get on.
    Stuck,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Figures of what happened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages that were asked to be sent.
    pub said: u64,
    /// Messages that were answered with an id.
    pub committed: u64,
    /// Messages that were refused with an error.
    pub refused: u64,
    /// Messages that were shown `delivered`: all recipients acknowledged them.
    pub delivered: u64,
    /// Notifications of messages of others.
    pub told: u64,
    /// Gaps that were shown while what was missing was on its way.
    pub gaps: u64,
    /// Alarms over frames that were overtaken by too many others. What is missing because of them shows by itself.
    pub overtaken: u64,
    /// Acknowledged messages that were not there.
    pub lost: u64,
    /// Messages that were there twice.
    pub doubled: u64,
    /// All broken promises together.
    pub broken: u64,
}

/// How much of a message's life was shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Shown {
    stage: Option<Stage>,
    counts: Counts,
}

#[derive(Debug)]
struct Entry {
    to: To,
    len: u32,
    id: Option<u128>,
    committed: bool,
    refused: bool,
    /// The most that was shown to its author.
    shown: Shown,
    /// The last that was notified. Answers overtake notifications: history may have said more already.
    notified: Shown,
    /// What had been shown when its author's program was last started: nothing may be less from then on.
    floor: Shown,
    /// Its author's history has it, delivered.
    settled: bool,
    /// Whose history has it, a bit a person.
    there: u8,
    /// Who was told of it.
    told: u8,
}

impl Entry {
    fn is_delivered(&self) -> bool {
        matches!(self.shown.stage, Some(Stage::Delivered | Stage::Read))
    }
}

/// Everything that was said and shown.
#[derive(Debug, Default)]
pub struct Ledger {
    peers: Vec<Option<String>>,
    entries: Vec<Vec<Entry>>,
    /// By author, messages that are neither refused nor known to be delivered.
    open: Vec<usize>,
    /// What an author said in one place, in order.
    lanes: HashMap<(Who, To), Vec<u32>>,
    ids: HashMap<u128, Key>,
    /// What was shown of messages whose ids are not known yet: the answer with the id comes later.
    early: HashMap<u128, (Who, Shown)>,
    last_told: HashMap<(Who, Who, To), u32>,
    /// Where a gap was told: something may come late there.
    gaps: HashSet<(Who, To)>,
    /// Messages may be given up with a reason.
    pub may_fail: bool,
    /// Figures.
    pub tally: Tally,
    violations: Vec<Violation>,
}

impl Ledger {
    /// An empty ledger of so many people.
    pub fn new(people: usize) -> Self {
        let entries = (0..people).map(|_| Vec::new()).collect();
        Self { peers: vec![None; people], entries, open: vec![0; people], ..Self::default() }
    }

    /// Notes a broken promise.
    pub fn broken(&mut self, rule: Rule, what: String) {
        self.tally.broken += 1;
        self.tally.lost += u64::from(rule == Rule::Lost);
        self.tally.doubled += u64::from(rule == Rule::Doubled);
        if self.violations.len() < KEPT {
            self.violations.push(Violation { rule, what });
        }
    }

    /// The first of all broken promises.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What somebody is called by key.
    pub fn peer(&self, who: Who) -> Option<&str> {
        self.peers.get(who)?.as_deref()
    }

    /// Somebody says who they are: the same as ever.
    pub fn is_peer(&mut self, who: Who, peer_id: &str) {
        match &mut self.peers[who] {
            Some(known) if known == peer_id => {}
            Some(known) => {
                let what = format!("{} was {known} and is {peer_id}", letter(who));
                self.broken(Rule::Forged, what);
            }
            unknown => *unknown = Some(peer_id.to_owned()),
        }
    }

    /// A new message is about to be said; its key.
    pub fn say(&mut self, author: Who, to: To, len: u32) -> Key {
        let number = self.entries[author].len() as u32;
        self.entries[author].push(Entry {
            to,
            len,
            id: None,
            committed: false,
            refused: false,
            shown: Shown::default(),
            notified: Shown::default(),
            floor: Shown::default(),
            settled: false,
            there: 0,
            told: 0,
        });
        self.lanes.entry((author, to)).or_default().push(number);
        self.tally.said += 1;
        self.open[author] += 1;
        Key { author, number }
    }

    /// Where a message goes, and its text.
    pub fn text(&self, key: Key) -> (To, String) {
        let entry = &self.entries[key.author][key.number as usize];
        (entry.to, text(key, entry.len))
    }

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
    fn know(&mut self, key: Key, now: Shown) {
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
        } else {
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
    fn genuine(&mut self, reader: Who, view: To, id: &str, from: &str, said: &str) -> Option<Key> {
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
        if entry.refused && already & (1 << reader) == 0 {
            self.broken(Rule::Refused, format!("{} has {key:?}, which was refused", letter(reader)));
        }
        self.learn(key, id).then_some(key)
    }
}

/// Questions.
impl Ledger {
    /// Messages that are neither refused nor known to be delivered.
    pub fn open(&self) -> usize {
        self.open.iter().sum()
    }

    /// The same of one author.
    pub fn open_of(&self, author: Who) -> usize {
        self.open[author]
    }

    /// How much has happened: answers, and messages delivered.
    pub fn progress(&self) -> u64 {
        self.tally.committed + self.tally.refused + self.tally.delivered
    }

    /// Some of what is neither refused nor known to be delivered, with its state.
    pub fn waiting(&self) -> String {
        let mut some = Vec::new();
        for (author, entries) in self.entries.iter().enumerate() {
            let open = |(_, entry): &(usize, &Entry)| !entry.refused && !entry.is_delivered();
            for (number, entry) in entries.iter().enumerate().filter(open).take(3) {
                let key = Key { author, number: number as u32 };
                some.push(format!("{key:?} to {:?} {:?}", entry.to, entry.shown.stage));
            }
        }
        some.join(", ")
    }

    /// What of an author is shown to be stored, or further: who must get it whatever becomes of the author.
    pub fn stored_of(&self, author: Who) -> Vec<Key> {
        let stored = |(_, entry): &(usize, &Entry)| entry.shown.stage >= Some(Stage::Stored);
        let all = self.entries[author].iter().enumerate().filter(stored);
        all.map(|(number, _)| Key { author, number: number as u32 }).collect()
    }

    /// Whether all its recipients have it, as far as they were looked at and said so.
    pub fn has_arrived(&self, key: Key) -> bool {
        let entry = &self.entries[key.author][key.number as usize];
        let has = |who: Who| (entry.there | entry.told) & (1 << who) != 0;
        match entry.to {
            To::Person(who) => has(who),
            To::Room => (0..self.peers.len()).filter(|who| *who != key.author).all(has),
        }
    }
}

/// More of a life was shown, or less than before. Given up is outside of the order.
fn rise(before: Shown, now: Shown) -> Result<Shown, String> {
    let failed = |shown: Shown| shown.stage == Some(Stage::Failed);
    if failed(now) || failed(before) {
        return Ok(now);
    }
    let less = now.stage < before.stage
        || now.counts.stored < before.counts.stored
        || now.counts.delivered < before.counts.delivered
        || now.counts.of < before.counts.of;
    if less { Err(format!("{before:?} and then {now:?}")) } else { Ok(now) }
}

/// The text of a message: its key, and as much more as it is to be long.
fn text(key: Key, len: u32) -> String {
    let mut text = format!("{key:?}|");
    let missing = (len as usize).saturating_sub(text.len());
    text.extend((0..missing).map(|at| char::from(b'a' + ((at + key.number as usize) % 26) as u8)));
    text
}

fn key_of(text: &str) -> Option<Key> {
    let (name, _) = text.split_once('|')?;
    let (author, number) = name.split_at_checked(1)?;
    let author = author.bytes().next()?.checked_sub(b'a')?;
    Some(Key { author: author.into(), number: number.parse().ok()? })
}
