//! What was said, and what was shown of it: the checker's memory, outside of everything that can crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chat_core::api::command::{CommandError, ErrorKind, Reply};
use chat_core::api::event::{Alarm, AlarmKind, RoomChanged};
use chat_core::api::snapshot::MessageView;
use chat_core::api::{ConversationKind, Event, MessageState, Snapshot};
use chat_core::ids::ConversationId;
use chat_core::{MessageId, PeerId};
use tokio::sync::oneshot;

use crate::check::{brief, goes_back};
use crate::rooms::{Members, Room, What, Wish};
use crate::trace::Trace;

/// Where something was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the room of all.
    Lobby,
    /// To one person.
    To(usize),
    /// In a closed room, by its number in the record.
    Room(usize),
}

/// How an answer comes.
pub type Awaited = oneshot::Receiver<Result<Reply, CommandError>>;

/// What became of a command.
#[derive(Debug)]
pub enum Answer {
    /// None yet.
    Awaited(Awaited),
    /// The message is committed.
    Committed(MessageId),
    /// It is done.
    Done,
    /// Nothing has changed.
    Refused,
    /// The program, or its disk, was gone before it could be trusted: it was sent, or not.
    Unknown,
}

impl Answer {
    /// Takes the answer, if it is there now. `trusted` says whether the program could still answer truthfully.
    fn take(&mut self, trusted: impl FnOnce() -> bool) -> bool {
        let Self::Awaited(receiver) = self else { return false };
        *self = match receiver.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return false,
            Ok(_) if !trusted() => Self::Unknown,
            Ok(Ok(Reply::Sent { id })) => Self::Committed(id),
            Ok(Ok(_)) => Self::Done,
            // The disk may hold what it reported as failed: it is for the next start to find out.
            Ok(Err(error)) if matches!(error.kind, ErrorKind::Store | ErrorKind::Stopping) => Self::Unknown,
            Ok(Err(_)) => Self::Refused,
            Err(oneshot::error::TryRecvError::Closed) => Self::Unknown,
        };
        !matches!(self, Self::Unknown)
    }

    /// There will be none any more.
    fn give_up(&mut self) {
        if matches!(self, Self::Awaited(_)) {
            *self = Self::Unknown;
        }
    }
}

/// Something that somebody said, or tried to.
#[derive(Debug)]
pub struct Said {
    /// Who.
    pub by: usize,
    /// Where.
    pub place: Place,
    /// What; no two are equal.
    pub text: String,
    /// When, in the record's count.
    pub at: u64,
    /// When it was certain whether it is committed: with the answer, or, if there was none, with the program's next start.
    pub until: u64,
    /// What became of it.
    pub answer: Answer,
}

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise is broken.
    pub promise: &'static str,
    /// How.
    pub what: String,
}

/// Everything that was said and shown.
#[derive(Default)]
pub struct Record {
    /// In the order in which it was said.
    pub said: Vec<Said>,
    /// The furthest state that was shown of somebody's own message.
    pub shown: BTreeMap<(usize, MessageId), MessageState>,
    /// Messages of others that somebody was shown.
    pub received: BTreeSet<(usize, MessageId)>,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Who was the relay too, one after the other.
    pub hosts: Vec<usize>,
    /// How many events there were.
    pub events: u64,
    /// The closed rooms, in the order in which they were seen first.
    pub rooms: Vec<Room>,
    /// Goes up with all that is noted.
    count: u64,
    /// Everybody's peer id.
    ids: Vec<PeerId>,
    trace: Trace,
    /// An event, while it is taken in.
    words: String,
    /// What the relay is called where no two may be called the same: not the same in every run.
    relay: String,
}

impl Record {
    /// Nothing has happened yet to these people. `relay` is the relay's name in this process.
    pub fn new(relay: String, ids: Vec<PeerId>) -> Self {
        Self { relay, ids, ..Self::default() }
    }

    /// The next number of the record's count.
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Somebody says something.
    pub fn say(&mut self, by: usize, place: Place, text: String, answer: Awaited) {
        let at = self.next();
        self.said.push(Said { by, place, text, at, until: u64::MAX, answer: Answer::Awaited(answer) });
    }

    /// Somebody wishes a room to change.
    pub fn wish(&mut self, room: usize, by: usize, what: What, answer: Awaited) {
        let at = self.next();
        tracing::debug!(at, by, room, ?what, "wishes");
        let answer = Answer::Awaited(answer);
        self.rooms[room].wishes.push(Wish { by, what, at, until: u64::MAX, answer });
    }

    /// Notes what must not happen.
    pub fn violated(&mut self, promise: &'static str, what: String) {
        self.violations.push(Violation { promise, what });
    }

    /// Everything that was shown, as a number.
    pub fn trace(&self) -> u64 {
        self.trace.hash()
    }

    /// An event at somebody's frontend.
    pub fn event(&mut self, who: usize, name: &str, event: &Event) {
        self.events += 1;
        self.trace.number(who as u64);
        self.words.clear();
        // Writing to a string does not fail.
        write!(self.words, "{event:?}").unwrap_or_default();
        match self.words.contains(&self.relay) {
            true => self.trace.add(self.words.replace(&self.relay, "relay").as_bytes()),
            false => self.trace.add(self.words.as_bytes()),
        }
        match event {
            Event::MessageStatus(status) => self.status(who, name, status.id, status.state),
            Event::MessageNew(new) => {
                let message = &new.message;
                if !self.received.insert((who, message.id)) {
                    self.violated("P1", format!("{name} is shown {} a second time", brief(&message.text)));
                }
            }
            Event::Alarm(alarm) if alarm.kind == AlarmKind::Roster => self.roster(who, name, alarm),
            Event::Alarm(alarm) if alarm.kind != AlarmKind::Refused => {
                self.violated("P5", format!("{name} is alarmed though nobody lies: {alarm:?}"));
            }
            Event::RoomChanged(changed) if !changed.open => self.room_changed(who, name, changed),
            Event::LinkUp(up) if up.hosting && self.hosts.last() != Some(&who) => self.hosts.push(who),
            _ => {}
        }
    }

    fn status(&mut self, who: usize, name: &str, id: MessageId, state: MessageState) {
        let before = self.shown.insert((who, id), state);
        let forward = before.is_none_or(|before| !goes_back(before, state));
        if !forward {
            self.violated("P1", format!("{name} is shown {state:?} of {id} after {before:?}"));
        }
    }

    /// These people, by index. Who is none of them is told of.
    fn people(&mut self, name: &str, members: &[PeerId]) -> Members {
        let (mut known, mut strangers) = (Members::new(), 0);
        for member in members {
            match self.ids.iter().position(|id| id == member) {
                Some(who) => drop(known.insert(who)),
                None => strangers += 1,
            }
        }
        if strangers > 0 {
            self.violated("P4", format!("{name} is shown {strangers} in a closed room who are nobody"));
        }
        known
    }

    fn room_changed(&mut self, who: usize, name: &str, changed: &RoomChanged) {
        let members = if changed.joined { self.people(name, &changed.members) } else { Members::new() };
        let known = self.rooms.iter().any(|room| room.id == changed.conversation);
        if !known && members != Members::from([who]) {
            self.violated("P4", format!("{name} is shown a closed room that nobody has made"));
        }
        self.show(who, changed.conversation, who, members);
    }

    fn show(&mut self, who: usize, id: ConversationId, creator: usize, members: Members) {
        let at = self.next();
        let n = self.rooms.iter().position(|room| room.id == id).unwrap_or_else(|| {
            self.rooms.push(Room::new(id, creator, self.ids.len()));
            self.rooms.len() - 1
        });
        tracing::debug!(at, who, room = n, ?members, "is shown");
        self.rooms[n].show(who, at, members);
    }

    /// Somebody's program has started: what its disk kept is what holds, whatever was shown of it before, and whatever
    /// was said without an answer is there or not.
    pub fn started(&mut self, who: usize, name: &str, snapshot: &Snapshot) {
        let mut inside = BTreeSet::new();
        for conversation in &snapshot.conversations {
            let ConversationKind::ClosedRoom { members, creator, .. } = &conversation.with else { continue };
            let members = self.people(name, members);
            let creator = self.ids.iter().position(|id| id == creator).unwrap_or(who);
            self.show(who, conversation.id, creator, members);
            inside.insert(conversation.id);
        }
        let at = self.next();
        for room in &mut self.rooms {
            if !inside.contains(&room.id) && !room.members(who).is_empty() {
                room.show(who, at, Members::new());
            }
            let unknown = |wish: &&mut Wish| wish.by == who && matches!(wish.answer, Answer::Unknown);
            room.wishes.iter_mut().filter(unknown).for_each(|wish| wish.until = wish.until.min(at));
        }
        let unknown = |said: &&mut Said| said.by == who && matches!(said.answer, Answer::Unknown);
        self.said.iter_mut().filter(unknown).for_each(|said| said.until = said.until.min(at));
    }

    /// Somebody's list of members is not the one that another had who wrote. With everybody honest that is so only while
    /// news of a change is on its way; nobody ever does what it has no right to.
    fn roster(&mut self, who: usize, name: &str, alarm: &Alarm) {
        let writer = alarm.peer_id.and_then(|peer| self.ids.iter().position(|id| *id == peer));
        let honest = ["wrote to a list of members", "wrote to members", "wrote in a closed room"];
        let differs = |said: &Said| {
            let Place::Room(n) = said.place else { return false };
            let (room, mine) = (&self.rooms[n], self.rooms[n].members(who));
            Some(said.by) == writer && room.within(said.by, said.at, said.until).any(|list| *list != mine)
        };
        // Who was admitted by two at once stays by the more senior word of them: who removed it without knowing is told.
        let removed =
            |wish: &Wish| wish.by == who && matches!(wish.what, What::Remove(peer) if Some(peer) == writer);
        if alarm.detail.contains("though you removed it")
            && self.rooms.iter().any(|room| room.wishes.iter().any(removed))
        {
            return;
        }
        let never = alarm.detail.contains("no change of the room leads to");
        if never || !honest.iter().any(|words| alarm.detail.contains(words)) || !self.said.iter().any(differs)
        {
            self.violated("P5", format!("{name} is alarmed though nobody lies: {alarm:?}"));
        }
    }

    /// Takes the answers that have come. `trusted` says whether somebody's program could still answer truthfully.
    pub fn answers(&mut self, mut trusted: impl FnMut(usize) -> bool) {
        let at = self.next();
        for said in &mut self.said {
            if said.answer.take(|| trusted(said.by)) {
                said.until = at;
            }
        }
        for wish in self.rooms.iter_mut().flat_map(|room| &mut room.wishes) {
            if wish.answer.take(|| trusted(wish.by)) {
                wish.until = at;
            }
        }
    }

    /// Whether every message of one's own that was shown has come to its end, as far as that was shown too.
    pub fn looks_settled(&self) -> bool {
        self.shown.values().all(|state| *state >= MessageState::Delivered)
    }

    /// Somebody's program is gone, and with it the answers that were awaited.
    pub fn gone(&mut self, who: usize) {
        for said in self.said.iter_mut().filter(|said| said.by == who) {
            said.answer.give_up();
        }
        for wish in self.rooms.iter_mut().flat_map(|room| &mut room.wishes).filter(|wish| wish.by == who) {
            wish.answer.give_up();
        }
    }
}

/// What a person has in its history when all is over: for each place, who wrote what, in order.
pub type Histories = BTreeMap<Place, Vec<Shown>>;

/// A message in somebody's history.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub by: PeerId,
    /// What.
    pub text: String,
    /// How far it has come and how many recipients it has, if it is one's own.
    pub delivery: Option<(MessageState, u32)>,
    /// Whether something before it is missing.
    pub gap_before: bool,
}

impl From<MessageView> for Shown {
    fn from(view: MessageView) -> Self {
        let delivery = view.delivery.map(|it| (it.state, it.counts.map_or(1, |counts| counts.of)));
        let MessageView { id, from, text, gap_before, .. } = view;
        Self { id, by: from.peer_id, text, delivery, gap_before }
    }
}
