//! What the threads that read know together, and waiting for it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ledger::{Key, Ledger, Rule};
use crate::line::{self, Answer, Line, Refusal};
use crate::{Fault, Who};

/// How long nothing at all may happen while something is waited for. Far more than it needs: the machine may be busy,
/// and what a relay refused for a while is tried again after a minute.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked at what no program tells: whether a disk is full, whether a call has failed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Numbers of requests below this one are those of messages.
pub const FIRST_QUESTION: u64 = 1 << 40;

/// Everything that is known.
pub struct State {
    /// What was said and shown.
    pub ledger: Ledger,
    /// The people.
    pub people: Vec<Presence>,
    /// The relay's process.
    pub relay: RelayPresence,
    /// Everybody is to stop writing for good.
    pub stop: bool,
}

/// What is known of somebody's program in its present run.
#[derive(Default)]
pub struct Presence {
    /// Its standard output is open.
    pub alive: bool,
    /// It is being killed: that it ends is no news.
    pub killing: bool,
    /// It may end by itself, with an error: its system calls fail, or its disk is full.
    pub may_end: bool,
    /// Where it listens, once it is ready.
    pub ready: Option<Vec<String>>,
    /// It has a link to the relay.
    pub linked: bool,
    /// It is the relay.
    pub hosting: bool,
    /// It was told that something was not told.
    pub lagged: bool,
    /// It may be written to.
    pub writing: bool,
    /// Whom it has seen.
    pub seen: HashSet<String>,
    /// How often it said that the room has changed.
    pub room_changes: u32,
    /// Messages without an answer, of this run.
    pub unanswered: BTreeSet<u32>,
    /// And of earlier ones: to be said again, first.
    pub again: VecDeque<u32>,
    /// New messages that are still to be said.
    pub to_say: u32,
    /// How long they are to be; as it comes if there is none.
    pub len: Option<u32>,
    /// Answers that nobody has taken yet.
    pub answers: HashMap<u64, Result<Answer, Refusal>>,
    /// Kinds of refusals of messages, of all runs.
    pub refusals: BTreeSet<String>,
    /// Its standard input.
    pub input: Option<SyncSender<Vec<u8>>>,
}

/// What is known of the relay's process.
#[derive(Default)]
#[expect(missing_docs, reason = "as in `Presence`")]
pub struct RelayPresence {
    pub alive: bool,
    pub killing: bool,
    pub may_end: bool,
    pub ready: Option<Vec<String>>,
}

/// [`State`], shared.
pub struct News {
    state: Mutex<State>,
    changed: Condvar,
}

impl News {
    /// Nobody is there yet.
    pub fn new(people: usize) -> Self {
        let state = State {
            ledger: Ledger::new(people),
            people: (0..people).map(|_| Presence::default()).collect(),
            relay: RelayPresence::default(),
            stop: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Looks, without changing what others wait for.
    pub fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and tells those who wait.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.read());
        self.changed.notify_all();
        changed
    }

    /// Waits until `look` finds what it looks for; a fault if nothing gets on for [`PATIENCE`].
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T, Fault> {
        let mut state = self.read();
        let (mut got_on, mut since) = (progress(&state), Instant::now());
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            let now = progress(&state);
            if now != got_on {
                (got_on, since) = (now, Instant::now());
            }
            let Some(left) = PATIENCE.checked_sub(since.elapsed()) else {
                return Err(format!("waited in vain for {what}").into());
            };
            state = self
                .changed
                .wait_timeout(state, left.min(LOOK_EVERY))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for good: only for threads that end when they are told to.
    pub fn wait_for_ever<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.read();
        loop {
            if let Some(found) = look(&mut state) {
                return found;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes in lines of somebody's standard output.
    pub fn hear(&self, who: Who, lines: &[Vec<u8>]) {
        // Taken apart before anybody has to wait for the state.
        let parsed: Vec<_> = lines.iter().map(|line| (line, line::parse(line))).collect();
        self.change(|state| {
            for (line, parsed) in parsed {
                match parsed {
                    Ok(lines) => lines.into_iter().for_each(|line| state.hear(who, line)),
                    Err(error) => {
                        let start = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
                        state.ledger.broken(Rule::Ended, format!("{who} writes {start:?}: {error}"));
                    }
                }
            }
        });
    }
}

/// What has to change again and again while something is waited for.
fn progress(state: &State) -> u64 {
    state.ledger.progress() + state.ledger.tally.told
}

impl State {
    fn hear(&mut self, who: Who, line: Line) {
        if let Some(method) = &line.method {
            return self.notice(who, method, &line);
        }
        let Some(id) = line.id else {
            let error = format!("{who} answers nobody: {:?}", line.error);
            return self.ledger.broken(Rule::Ended, error);
        };
        let answer = match (line.result, line.error) {
            (_, Some(refusal)) => Err(refusal),
            (Some(result), None) => Ok(result),
            (None, None) => return self.ledger.broken(Rule::Ended, format!("{who} answers {id} nothing")),
        };
        if id >= FIRST_QUESTION {
            self.people[who].answers.insert(id, answer);
        } else {
            self.said(who, id as u32, answer);
        }
    }

    /// The answer to `msg.send`.
    fn said(&mut self, who: Who, number: u32, answer: Result<Answer, Refusal>) {
        let presence = &mut self.people[who];
        presence.unanswered.remove(&number);
        let key = Key { author: who, number };
        match answer {
            Ok(Answer { id: Some(id), .. }) => self.ledger.committed(key, &id),
            Ok(_) => self.ledger.broken(Rule::Ended, format!("{key:?} is answered without an id")),
            Err(refusal) => {
                presence.refusals.insert(refusal.data.kind.clone());
                self.ledger.refused(key);
                // The disk was at fault, and only a machine that sees to that knows whether it was.
                if !presence.may_end || !["store", "stopping"].contains(&refusal.data.kind.as_str()) {
                    let what = format!("{key:?} is refused: {} ({})", refusal.message, refusal.data.kind);
                    self.ledger.broken(Rule::Failed, what);
                }
            }
        }
    }

    fn notice(&mut self, who: Who, method: &str, line: &Line) {
        let (params, presence) = (&line.params, &mut self.people[who]);
        match method {
            "msg.status" => self.ledger.status(who, params),
            "msg.new" => self.ledger.told(who, params),
            "msg.gap" => self.ledger.gap(who, params),
            "ready" => {
                presence.ready = Some(params.listen.clone().unwrap_or_default());
                self.ledger.is_peer(who, params.peer_id.as_deref().unwrap_or_default());
            }
            "link.up" => {
                (presence.linked, presence.hosting) = (true, params.hosting == Some(true));
            }
            "link.down" => (presence.linked, presence.hosting) = (false, false),
            "room.changed" => presence.room_changes += 1,
            "peer.seen" => presence.seen.extend(params.peer_id.clone()),
            "lag" => presence.lagged = true,
            "alarm" => self.ledger.alarm(who, params),
            _ => {}
        }
    }
}

impl Presence {
    /// A new run begins. What was not answered is to be said again.
    pub fn begin(&mut self, input: SyncSender<Vec<u8>>, may_end: bool) {
        let mut again: Vec<u32> =
            std::mem::take(&mut self.unanswered).into_iter().chain(self.again.drain(..)).collect();
        again.sort_unstable();
        *self = Self {
            alive: true,
            may_end,
            again: again.into(),
            to_say: self.to_say,
            len: self.len,
            refusals: std::mem::take(&mut self.refusals),
            input: Some(input),
            ..Self::default()
        };
    }

    /// All it was to say is said and answered.
    pub fn is_quiet(&self) -> bool {
        self.to_say == 0 && self.again.is_empty() && self.unanswered.is_empty()
    }

    /// Puts lines into its standard input. They are few enough to wait there: messages without an answer are bounded.
    pub fn write(&mut self, lines: Vec<u8>) -> Result<(), Fault> {
        match self.input.as_ref().map(|input| input.try_send(lines)) {
            Some(Err(TrySendError::Full(_))) => Err("a program does not read its standard input".into()),
            // It has ended, which is heard of elsewhere.
            None | Some(Ok(()) | Err(TrySendError::Disconnected(_))) => Ok(()),
        }
    }
}
