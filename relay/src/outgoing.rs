//! What is on its way to one client, in bounded queues between those who have something for it and the one
//! task that writes to its link.
//!
//! | queue | bound | when it is full |
//! |---|---|---|
//! | answers to its own records | 256 KiB, and what its submissions in flight add | its records are not read |
//! | news of its rooms | 256 KiB, and 4096 new members | dropped, and its rooms are listed again |
//! | envelopes | [`crate::RelayConfig::live_bytes`] | dropped, and its mailbox is read |
//!
//! All of them, and what was taken out of them and is not written yet, are in the client's account of
//! [`crate::memory`]; where that has no room, they are full sooner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use chat_core::wire::FromRelay;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::config::RelayConfig;
use crate::figures::Counters;
use crate::mail::{CatchUp, Mail, PAGE_BYTES, Window};
use crate::mailbox::Page;
use crate::memory::{Account, FREE_BYTES, frame_cost};
use crate::queues::{Queue, State, TURN_BYTES};

const MAX_ANSWER_BYTES: usize = 256 << 10;
const MAX_NEWS_BYTES: usize = 256 << 10;
/// As long as more than this waits to be told to a client, nothing of the moment is added.
const MAX_PASSED_QUEUE_BYTES: usize = 32 << 10;
/// Members of its rooms that a client is still to be told of; more, and the room is listed again.
const MAX_NEW_MEMBERS: usize = 4096;

/// A connected client, as the rest of the relay sees it.
pub(crate) struct Client {
    pub(crate) peer: PeerId,
    live_bytes: usize,
    counters: Arc<Counters>,
    state: Mutex<State>,
    /// There may be something to write.
    changed: Notify,
    /// Answers were written.
    drained: Notify,
    /// Nothing more is to come but a farewell.
    finishing: Notify,
}

/// What the writer does next.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) frames: Vec<Bytes>,
    /// A piece of the mailbox to read.
    pub(crate) catch_up: Option<CatchUp>,
    /// A piece of a room's members to look up, from a position.
    pub(crate) roster: Option<(RoomName, u64)>,
    /// Nothing comes after these frames.
    pub(crate) finished: bool,
}

impl Client {
    pub(crate) fn new(peer: PeerId, config: &RelayConfig, counters: Arc<Counters>, account: Account) -> Self {
        let window = Window { items: config.window_items, bytes: config.window_bytes };
        Self {
            peer,
            live_bytes: config.live_bytes,
            counters,
            state: Mutex::new(State {
                answers: Queue::default(),
                news: Queue::default(),
                rooms: BTreeSet::new(),
                new_members: BTreeMap::new(),
                new_members_count: 0,
                listings: VecDeque::new(),
                mail: Mail::new(0, window),
                passed: TokenBucket::new(config.passed_rate, config.passed_burst),
                writing: 0,
                account,
                finishing: false,
            }),
            changed: Notify::new(),
            drained: Notify::new(),
            finishing: Notify::new(),
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
        let mut state = self.state();
        state.answers.push(record.encode().into());
        state.settle();
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until there is room for answers. Cancel safe.
    pub(crate) async fn takes_answers(&self) {
        while self.has_too_many_answers() {
            self.drained.notified().await;
        }
    }

    fn has_too_many_answers(&self) -> bool {
        let state = self.state();
        let most = if state.account.is_tight() { FREE_BYTES / 2 } else { MAX_ANSWER_BYTES };
        state.answers.bytes > most
    }

    /// Whether memory is short for it.
    pub(crate) fn is_tight(&self) -> bool {
        self.state().account.is_tight()
    }

    /// Whether it may hold so many bytes more.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.state().account.has_room(bytes)
    }

    /// News of a peer in one of its rooms.
    pub(crate) fn news(&self, frame: Bytes) {
        let mut state = self.state();
        let cost = frame_cost(frame.len());
        if state.news.bytes + cost > MAX_NEWS_BYTES || !state.account.has_room(cost) {
            self.counters.resyncs.one();
            state.news = Queue::default();
            state.new_members.clear();
            state.new_members_count = 0;
            state.listings = state.rooms.iter().map(|room| (room.clone(), 0)).collect();
        } else {
            state.news.push(frame);
        }
        state.settle();
        drop(state);
        self.changed.notify_one();
    }

    /// Something of the moment: dropped if it would have to wait behind much else, or there was too much of it.
    pub(crate) fn pass(&self, frame: Bytes) {
        let mut state = self.state();
        let cost = frame_cost(frame.len());
        if !state.passed.take(Instant::now()) {
            return;
        }
        if state.news.bytes + cost > MAX_PASSED_QUEUE_BYTES || !state.account.has_room(cost) {
            return;
        }
        state.news.push(frame);
        state.settle();
        drop(state);
        self.changed.notify_one();
    }

    /// Somebody has joined a room it is in.
    pub(crate) fn member_joined(&self, room: &RoomName, peer: PeerId) {
        let mut state = self.state();
        if state.new_members_count >= MAX_NEW_MEMBERS || !state.account.has_room(PeerId::LEN) {
            self.counters.resyncs.one();
            state.forget_new_members(room);
            state.list_again(room);
        } else {
            state.new_members.entry(room.clone()).or_default().push(peer);
            state.new_members_count += 1;
        }
        state.settle();
        drop(state);
        self.changed.notify_one();
    }

    /// Whether it is in one of these rooms.
    pub(crate) fn is_in_any(&self, rooms: &BTreeSet<RoomName>) -> bool {
        !self.state().rooms.is_disjoint(rooms)
    }

    /// It is in this room now, and gets to know its members.
    pub(crate) fn joined(&self, room: &RoomName) {
        let mut state = self.state();
        state.rooms.insert(room.clone());
        state.list_again(room);
        drop(state);
        self.changed.notify_one();
    }

    /// It is no longer in this room.
    pub(crate) fn left(&self, room: &RoomName) {
        let mut state = self.state();
        state.rooms.remove(room);
        state.forget_new_members(room);
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
        let has_room = state.account.has_room(frame_cost(envelope.len()));
        let in_time = state.mail.push(n, envelope.clone(), |bytes| bytes <= self.live_bytes && has_room);
        self.count_live(before, &state);
        state.settle();
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
        state.settle();
        drop(state);
        self.finishing.notify_one();
        self.changed.notify_one();
    }

    /// Waits for [`Client::finish`], one at a time. Cancel safe.
    pub(crate) async fn finishing(&self) {
        self.finishing.notified().await;
    }

    /// Waits until there may be something to write. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What to write now. It is [written](Client::written) before the next.
    pub(crate) fn turn(&self) -> Turn {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut turn = Turn::default();
        state.answers.take(&mut turn.frames);
        if state.finishing {
            turn.finished = state.answers.frames.is_empty();
        } else {
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
            let page_bytes = if state.account.is_tight() { FREE_BYTES / 2 } else { PAGE_BYTES };
            turn.catch_up = state.mail.catch_up(page_bytes);
            // News come first, so that a list of members names nobody the client was not told of.
            if state.news.frames.is_empty() {
                turn.frames.extend(std::iter::from_fn(|| state.take_new_members()));
                turn.roster = state.listings.front().cloned();
            }
        }
        state.writing += turn.frames.iter().map(|frame| frame_cost(frame.len())).sum::<usize>();
        state.settle();
        turn
    }

    /// Frames that the writer has looked up and is about to write; false if there is no room for them.
    pub(crate) fn writes(&self, frames: &[Bytes]) -> bool {
        let cost = frames.iter().map(|frame| frame_cost(frame.len())).sum();
        let mut state = self.state();
        let has_room = state.account.has_room(cost);
        if has_room {
            state.writing += cost;
            state.settle();
        }
        has_room
    }

    /// All that was taken is written; the link keeps so many bytes of what it was given.
    pub(crate) fn written(&self, kept_by_link: usize) {
        let mut state = self.state();
        state.writing = kept_by_link;
        state.settle();
        drop(state);
        self.drained.notify_one();
    }

    /// A piece of a room's members was written; the next begins at `next`.
    pub(crate) fn listed(&self, room: &RoomName, position: u64, next: Option<u64>) {
        let mut state = self.state();
        // Otherwise it was begun again, or the client has left.
        if state.listings.front().is_some_and(|(listed, at)| listed == room && *at == position) {
            state.listings.pop_front();
            if let Some(next) = next {
                state.listings.push_front((room.clone(), next));
            }
        }
    }

    /// A piece of the mailbox was read; false if there is no room for it, then it is to be read again later.
    pub(crate) fn caught_up(&self, page: Page) -> bool {
        let cost = page.items.iter().map(|(_, envelope)| frame_cost(envelope.len())).sum();
        let mut state = self.state();
        if !state.account.has_room(cost) {
            return false;
        }
        let before = state.mail.live_bytes();
        state.mail.caught_up(page);
        self.count_live(before, &state);
        state.settle();
        true
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let live = self.state().mail.live_bytes();
        self.counters.live_bytes.sub(live);
    }
}
