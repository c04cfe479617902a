//! People who write as much as their program takes: in batches, several behind each other, and what was not answered
//! before the program was killed once more, first and in the same order.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::Who;
use crate::chance::Chance;
use crate::ledger::{Key, Ledger, ROOM, To};
use crate::news::{News, State};

/// Messages without an answer that one may have.
const WINDOW: usize = 512;
/// Most messages of a batch.
const BATCH: u64 = 64;

/// A thread a person.
pub struct Talkers {
    news: Arc<News>,
    threads: Vec<JoinHandle<()>>,
}

impl Talkers {
    /// Begins to write whatever is to be said.
    ///
    /// Nobody has more than `open` messages on their way.
    pub fn start(news: &Arc<News>, seed: u64, open: usize) -> Self {
        let people = news.read().people.len();
        let talker = |who: Who| {
            let (news, mut chance) = (Arc::clone(news), Chance::of(seed, 100 + who as u64));
            thread::spawn(move || {
                while news.wait_for_ever(|state| {
                    state.stop.then_some(false).or_else(|| state.talk(who, open, &mut chance))
                }) {}
            })
        };
        Self { news: Arc::clone(news), threads: (0..people).map(talker).collect() }
    }
}

impl Drop for Talkers {
    fn drop(&mut self) {
        self.news.change(|state| state.stop = true);
        for thread in self.threads.drain(..) {
            // That one has failed was noticed: nothing got on.
            thread.join().ok();
        }
    }
}

impl State {
    /// Writes a batch, if there is something to be said and somebody to say it.
    fn talk(&mut self, who: Who, open: usize, chance: &mut Chance) -> Option<bool> {
        let presence = &self.people[who];
        let left = presence.to_say as usize + presence.again.len();
        if !presence.writing || !presence.alive || left == 0 || presence.unanswered.len() >= WINDOW {
            return None;
        }
        if presence.again.is_empty() && self.ledger.open_of(who) >= open {
            return None;
        }
        let count = (chance.within(1, BATCH) as usize).min(left);
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.next(who, chance);
            batch.push(request(&self.ledger, key));
            self.people[who].unanswered.insert(key.number);
        }
        self.say(who, batch).then_some(true)
    }

    fn next(&mut self, who: Who, chance: &mut Chance) -> Key {
        let presence = &mut self.people[who];
        if let Some(number) = presence.again.pop_front() {
            return Key { author: who, number };
        }
        presence.to_say = presence.to_say.saturating_sub(1);
        let len = presence.len;
        let others: Vec<Who> = (0..self.people.len()).filter(|other| *other != who).collect();
        let to = match chance.pick(&others) {
            Some(other) if !chance.one_in(5) => To::Person(other),
            _ => To::Room,
        };
        let len = len.unwrap_or_else(|| match chance.below(400) {
            0 => 40_000,
            1..8 => 3_000,
            _ => chance.within(8, 120) as u32,
        });
        self.ledger.say(who, to, len)
    }

    /// Says these as one line: what they are of a batch alone, or together.
    pub fn say(&mut self, who: Who, mut batch: Vec<Value>) -> bool {
        let mut line = match (batch.pop(), batch.is_empty()) {
            (Some(only), true) => only.to_string(),
            (last, _) => {
                batch.extend(last);
                Value::Array(batch).to_string()
            }
        };
        line.push('\n');
        self.people[who].write(line.into_bytes()).is_ok()
    }
}

/// The request that says a message; always the same for the same one.
pub fn request(ledger: &Ledger, key: Key) -> Value {
    let (to, text) = ledger.text(key);
    let to = match to {
        To::Room => ROOM,
        To::Person(who) => ledger.peer(who).unwrap_or_default(),
    };
    let params = json!({ "to": to, "text": text, "client_id": format!("{key:?}") });
    json!({ "jsonrpc": "2.0", "id": key.number, "method": "msg.send", "params": params })
}
