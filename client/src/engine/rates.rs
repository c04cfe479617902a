//! What peers may make the engine do in a while.

use std::collections::{BTreeMap, VecDeque};

use chat_core::ids::{ConversationId, PeerId};

use super::{HOUR_MS, MINUTE_MS, Uptime};

/// First messages of one peer that are looked at in an hour.
const ACCEPTS_A_PEER: usize = 10;
/// First messages of all strangers together that are looked at in an hour: identities are free.
const ACCEPTS_OF_STRANGERS: usize = 5_000;

/// A renewal is waited for a minute, then two, four … at most so many doublings.
const MAX_DOUBLINGS: u32 = 6;
/// What was renewed, asked or acted on is remembered for so long.
const MEMORY_MS: u64 = 3 * HOUR_MS;
/// Most peers remembered for it.
const MAX_REMEMBERED: usize = 10_000;

/// What is limited per time.
#[derive(Default)]
pub(crate) struct Rates {
    accepts: BTreeMap<PeerId, VecDeque<Uptime>>,
    strangers: VecDeque<Uptime>,
    renewals: Backoff<PeerId>,
    wishes: Backoff<PeerId>,
    questions: Backoff<PeerId>,
    rooms_told: Backoff<(PeerId, ConversationId)>,
    rooms_compared: Backoff<(PeerId, ConversationId)>,
}

fn within(times: &mut VecDeque<Uptime>, now: Uptime, most: usize) -> bool {
    while times.front().is_some_and(|&at| now.ms_since(at) >= HOUR_MS) {
        times.pop_front();
    }
    times.len() < most
}

impl Rates {
    /// Whether a first message of this peer is looked at. Strangers share one budget, so that they can't use up
    /// that of people one knows.
    pub(super) fn may_accept(&mut self, peer: PeerId, stranger: bool, now: Uptime) -> bool {
        if stranger && !within(&mut self.strangers, now, ACCEPTS_OF_STRANGERS) {
            return false;
        }
        self.accepts.get_mut(&peer).is_none_or(|times| within(times, now, ACCEPTS_A_PEER))
    }

    /// A first message cost what a genuine one costs. One whose signature or MAC was wrong is not counted: anybody
    /// can send it in another's name.
    pub(super) fn accepted(&mut self, peer: PeerId, stranger: bool, now: Uptime) {
        self.accepts.retain(|_, times| {
            within(times, now, usize::MAX);
            !times.is_empty()
        });
        self.accepts.entry(peer).or_default().push_back(now);
        if stranger {
            self.strangers.push_back(now);
        }
    }

    /// Whether to begin a new session because a peer's frames can't be opened.
    pub(super) fn may_renew(&mut self, peer: PeerId, now: Uptime) -> bool {
        self.renewals.may(peer, now)
    }

    /// The renewal could not be done yet after all.
    pub(super) fn forget_renewal(&mut self, peer: PeerId) {
        self.renewals.last.remove(&peer);
    }

    /// Whether to seal everything anew because a peer wishes it.
    pub(super) fn may_seal_anew(&mut self, peer: PeerId, now: Uptime) -> bool {
        self.wishes.may(peer, now)
    }

    /// Whether to ask the directory for a peer.
    pub(super) fn may_ask(&mut self, peer: PeerId, now: Uptime) -> bool {
        self.questions.may(peer, now)
    }

    /// Whether to tell a peer all of a closed room's operations once more.
    pub(super) fn may_tell(&mut self, peer: PeerId, room: ConversationId, now: Uptime) -> bool {
        self.rooms_told.may((peer, room), now)
    }

    /// Whether to compare with a peer what both know of a closed room.
    pub(super) fn may_compare(&mut self, peer: PeerId, room: ConversationId, now: Uptime) -> bool {
        self.rooms_compared.may((peer, room), now)
    }
}

/// Something done at most once a minute and peer, and ever more seldom while it goes on.
struct Backoff<K> {
    last: BTreeMap<K, (Uptime, u32)>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { last: BTreeMap::new() }
    }
}

impl<K: Ord> Backoff<K> {
    fn may(&mut self, peer: K, now: Uptime) -> bool {
        if self.last.len() >= MAX_REMEMBERED {
            self.last.retain(|_, (at, _)| now.ms_since(*at) < MEMORY_MS);
        }
        match self.last.get(&peer).copied().filter(|(at, _)| now.ms_since(*at) < MEMORY_MS) {
            Some((at, times)) if now.ms_since(at) < MINUTE_MS << times.min(MAX_DOUBLINGS) => false,
            Some((_, times)) => self.last.insert(peer, (now, times + 1)).is_some(),
            None if self.last.len() >= MAX_REMEMBERED => false,
            None => {
                self.last.insert(peer, (now, 0));
                true
            }
        }
    }
}
