//! What is on its way to one client, in bounded queues between those who have something for it and the one
//! task that writes to its link.
//!
//! | queue | bound | when it is full |
//! |---|---|---|
//! | answers to its own records | 256 KiB, and what its submissions in flight add | its records are not read |
//! | news of its rooms | 256 KiB | dropped, and its rooms are listed again |
//! | envelopes | [`crate::RelayConfig::live_bytes`] | dropped, and its mailbox is read |

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use chat_core::wire::FromRelay;
use tokio::sync::Notify;

use crate::config::RelayConfig;
use crate::figures::Counters;
use crate::mail::{CatchUp, Mail, Window};
use crate::mailbox::Page;

const MAX_ANSWER_BYTES: usize = 256 << 10;
const MAX_NEWS_BYTES: usize = 256 << 10;
/// Bytes of each queue that are written before the others have their turn again.
const TURN_BYTES: usize = 256 << 10;

/// A connected client, as the rest of the relay sees it.
pub(crate) struct Client {
    pub(crate) peer: PeerId,
    live_bytes: usize,
    memory_bytes: usize,
    counters: Arc<Counters>,
    state: Mutex<State>,
    /// There may be something to write.
    changed: Notify,
    /// Answers were written.
    drained: Notify,
}

struct State {
    answers: Queue,
    news: Queue,
    rooms: BTreeSet<RoomName>,
    /// Rooms whose members have changed.
    changed_rooms: BTreeSet<RoomName>,
    /// Rooms whose members are being listed, with the position of the next.
    listings: VecDeque<(RoomName, u64)>,
    mail: Mail,
    finishing: bool,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn take(&mut self, out: &mut Vec<Bytes>) {
        let mut taken = 0;
        while taken < TURN_BYTES
            && let Some(frame) = self.frames.pop_front()
        {
            taken += frame.len();
            self.bytes -= frame.len();
            out.push(frame);
        }
    }
}

/// What the writer does next.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) frames: Vec<Bytes>,
    /// A piece of the mailbox to read.
    pub(crate) catch_up: Option<CatchUp>,
    pub(crate) roster: Roster,
    /// Nothing comes after these frames.
    pub(crate) finished: bool,
}

/// What of a room's members the writer has to look up.
#[derive(Default)]
pub(crate) enum Roster {
    #[default]
    Nothing,
    /// A piece of their bundles, from a position.
    Bundles(RoomName, u64),
    /// The list of them.
    List(RoomName),
}

impl Turn {
    pub(crate) fn is_idle(&self) -> bool {
        let Self { frames, catch_up, roster, finished } = self;
        frames.is_empty() && catch_up.is_none() && matches!(roster, Roster::Nothing) && !finished
    }
}

impl Client {
    pub(crate) fn new(peer: PeerId, config: &RelayConfig, counters: Arc<Counters>) -> Self {
        let window = Window { items: config.window_items, bytes: config.window_bytes };
        Self {
            peer,
            live_bytes: config.live_bytes,
            memory_bytes: config.memory_bytes,
            counters,
            state: Mutex::new(State {
                answers: Queue::default(),
                news: Queue::default(),
                rooms: BTreeSet::new(),
                changed_rooms: BTreeSet::new(),
                listings: VecDeque::new(),
                mail: Mail::new(0, window),
                finishing: false,
            }),
            changed: Notify::new(),
            drained: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is known to be in these rooms, and to have acknowledged up to `cursor`.
    pub(crate) fn attach(&self, rooms: &[RoomName], cursor: u64, window: Window) {
        let mut state = self.state();
        state.rooms.extend(rooms.iter().cloned());
        state.mail = Mail::new(cursor, window);
        drop(state);
        self.changed.notify_one();
    }

    /// An answer to one of its records.
    pub(crate) fn answer(&self, record: &FromRelay) {
        self.state().answers.push(record.encode().into());
        self.changed.notify_one();
    }

    /// Waits until there is room for answers. Cancel safe.
    pub(crate) async fn takes_answers(&self) {
        while self.state().answers.bytes > MAX_ANSWER_BYTES {
            self.drained.notified().await;
        }
    }

    /// News of a peer in one of its rooms.
    pub(crate) fn news(&self, frame: Bytes) {
        let mut state = self.state();
        if state.news.bytes + frame.len() > MAX_NEWS_BYTES {
            self.counters.resyncs.one();
            state.news = Queue::default();
            state.listings = state.rooms.iter().map(|room| (room.clone(), 0)).collect();
        } else {
            state.news.push(frame);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A room it is in has other members than before.
    pub(crate) fn room_changed(&self, room: &RoomName) {
        self.state().changed_rooms.insert(room.clone());
        self.changed.notify_one();
    }

    /// It is in this room now, and gets to know its members.
    pub(crate) fn joined(&self, room: &RoomName) {
        let mut state = self.state();
        state.rooms.insert(room.clone());
        state.listings.retain(|(listed, _)| listed != room);
        state.listings.push_back((room.clone(), 0));
        drop(state);
        self.changed.notify_one();
    }

    /// It is no longer in this room.
    pub(crate) fn left(&self, room: &RoomName) {
        let mut state = self.state();
        state.rooms.remove(room);
        state.changed_rooms.remove(room);
        state.listings.retain(|(listed, _)| listed != room);
    }

    /// Whether it is known to be in this room.
    pub(crate) fn is_in(&self, room: &RoomName) -> bool {
        self.state().rooms.contains(room)
    }

    pub(crate) fn rooms(&self) -> BTreeSet<RoomName> {
        self.state().rooms.clone()
    }

    /// A committed envelope for it.
    pub(crate) fn deliver(&self, n: u64, envelope: &Bytes) {
        let mut state = self.state();
        let before = state.mail.live_bytes();
        let in_time = state.mail.push(n, envelope.clone(), |bytes| {
            let everybody = usize::try_from(self.counters.live_bytes.value()).unwrap_or(usize::MAX);
            bytes <= self.live_bytes && everybody + envelope.len() <= self.memory_bytes
        });
        self.count_live(before, &state);
        drop(state);
        if !in_time {
            self.counters.catch_ups.one();
            tracing::debug!(peer = %self.peer.short(), n, "fell behind, reads its mailbox");
        }
        self.changed.notify_one();
    }

    fn count_live(&self, before: usize, state: &State) {
        let after = state.mail.live_bytes();
        self.counters.live_bytes.add(after.saturating_sub(before));
        self.counters.live_bytes.sub(before.saturating_sub(after));
    }

    /// Gives what to tell the mailbox.
    pub(crate) fn ack(&self, through: u64) -> Option<u64> {
        let news = self.state().mail.ack(through);
        self.changed.notify_one();
        news
    }

    /// Nothing but `last`, after the answers that wait, is written any more; then the link is closed.
    pub(crate) fn finish(&self, last: Option<&FromRelay>) {
        let mut state = self.state();
        if !state.finishing {
            state.finishing = true;
            if let Some(record) = last {
                state.answers.push(record.encode().into());
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until there may be something to write. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What to write now.
    pub(crate) fn turn(&self) -> Turn {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut turn = Turn::default();
        let had_answers = state.answers.bytes;
        state.answers.take(&mut turn.frames);
        if had_answers > MAX_ANSWER_BYTES {
            self.drained.notify_one();
        }
        if state.finishing {
            turn.finished = state.answers.frames.is_empty();
            return turn;
        }
        state.news.take(&mut turn.frames);
        let before = state.mail.live_bytes();
        let mut bytes = 0;
        while bytes < TURN_BYTES
            && let Some((record, count)) = state.mail.next_record()
        {
            bytes += record.len();
            self.counters.delivered.add(count);
            turn.frames.push(record);
        }
        self.count_live(before, state);
        turn.catch_up = state.mail.catch_up();
        turn.roster = state.roster();
        turn
    }

    /// A piece of a room's members was written; the next begins at `next`.
    pub(crate) fn listed(&self, room: &RoomName, position: u64, next: Option<u64>) {
        let mut state = self.state();
        // Otherwise it was begun again, or the client has left.
        if state.listings.front().is_some_and(|(listed, at)| listed == room && *at == position) {
            state.listings.pop_front();
            match next {
                Some(next) => state.listings.push_front((room.clone(), next)),
                None => drop(state.changed_rooms.insert(room.clone())),
            }
        }
    }

    /// The list of a room's members is about to be looked up; false if the client has left.
    pub(crate) fn wants_room(&self, room: &RoomName) -> bool {
        let mut state = self.state();
        state.changed_rooms.remove(room) && state.rooms.contains(room)
    }

    /// A piece of the mailbox was read.
    pub(crate) fn caught_up(&self, page: Page) {
        let mut state = self.state();
        let before = state.mail.live_bytes();
        state.mail.caught_up(page);
        self.count_live(before, &state);
    }
}

impl State {
    /// News come first, so that a list of members names nobody the client was not told of.
    fn roster(&self) -> Roster {
        if !self.news.frames.is_empty() {
            return Roster::Nothing;
        }
        if let Some((room, position)) = self.listings.front() {
            return Roster::Bundles(room.clone(), *position);
        }
        self.changed_rooms.first().cloned().map_or(Roster::Nothing, Roster::List)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let live = self.state().mail.live_bytes();
        self.counters.live_bytes.sub(live);
    }
}
