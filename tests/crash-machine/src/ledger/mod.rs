//! The ledger: what was said, and what the programs showed of it. Every rule is checked here, as soon as it can be,
//! from nothing but lines of JSON-RPC and the moments at which a program was started and killed.

mod hear;
mod look;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use look::{Depth, Look};

use crate::Who;
use crate::line::{Counts, Stage};

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
#[serde(default)]
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
    /// Messages that were refused because a sync failed, and were there after a restart.
    pub revived: u64,
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
    /// Syncs fail. What a database had written when a sync failed is written, and counts when it is opened again; so
    /// what was refused for that reason may be there after a restart.
    pub syncs_fail: bool,
    /// The relay's disk fails, and it may say so by alarms.
    pub relay_fails: bool,
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
