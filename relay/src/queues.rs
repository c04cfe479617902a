//! The queues of one client, and what they take of its account.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use chat_core::wire::FromRelay;

use crate::bucket::TokenBucket;
use crate::mail::Mail;
use crate::memory::{Account, frame_cost};

/// Most members that are named in one record.
const MEMBERS_A_RECORD: usize = 256;
/// Bytes of each queue that are written before the others have their turn again.
pub(crate) const TURN_BYTES: usize = 64 << 10;

/// What one client still has to get.
pub(crate) struct State {
    pub(crate) answers: Queue,
    pub(crate) news: Queue,
    pub(crate) rooms: BTreeSet<RoomName>,
    /// Who has joined its rooms, and is not told yet.
    pub(crate) new_members: BTreeMap<RoomName, Vec<PeerId>>,
    pub(crate) new_members_count: usize,
    /// Rooms whose members are being listed, with the position of the next.
    pub(crate) listings: VecDeque<(RoomName, u64)>,
    pub(crate) mail: Mail,
    /// What of the moment it is still passed on.
    pub(crate) passed: TokenBucket,
    /// What was taken and is not written yet, and what the link keeps.
    pub(crate) writing: usize,
    pub(crate) account: Account,
    pub(crate) finishing: bool,
}

/// Frames that wait.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) frames: VecDeque<Bytes>,
    /// What they take in memory.
    pub(crate) bytes: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame_cost(frame.len());
        self.frames.push_back(frame);
    }

    pub(crate) fn take(&mut self, out: &mut Vec<Bytes>) {
        let mut taken = 0;
        while taken < TURN_BYTES
            && let Some(frame) = self.frames.pop_front()
        {
            taken += frame.len();
            self.bytes -= frame_cost(frame.len());
            out.push(frame);
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }
}

impl State {
    /// Brings the account up to date.
    pub(crate) fn settle(&mut self) {
        let members = self.new_members_count * PeerId::LEN;
        let live = self.mail.live_bytes() + frame_cost(0) * self.mail.live_items();
        self.account.hold(self.answers.bytes + self.news.bytes + members + live + self.writing);
    }

    pub(crate) fn list_again(&mut self, room: &RoomName) {
        self.listings.retain(|(listed, _)| listed != room);
        self.listings.push_back((room.clone(), 0));
    }

    pub(crate) fn forget_new_members(&mut self, room: &RoomName) {
        let forgotten = self.new_members.remove(room).map_or(0, |members| members.len());
        self.new_members_count -= forgotten;
    }

    /// Who has joined a room, unless it is being listed; told of in a record.
    pub(crate) fn take_new_members(&mut self) -> Option<Bytes> {
        let is_listed = |room: &RoomName| self.listings.iter().any(|(listed, _)| listed == room);
        let room = self.new_members.keys().find(|room| !is_listed(room))?.clone();
        let waiting = self.new_members.get_mut(&room)?;
        let members: Vec<PeerId> = waiting.drain(..waiting.len().min(MEMBERS_A_RECORD)).collect();
        if waiting.is_empty() {
            self.new_members.remove(&room);
        }
        self.new_members_count -= members.len();
        Some(FromRelay::Members { room, members }.encode().into())
    }
}
