//! What peers may make the engine do in a while.

use std::collections::{HashMap, VecDeque};

use chat_core::ids::{PeerId, Timestamp};

use super::{HOUR_MS, MINUTE_MS};

/// First messages of one peer that are looked at in an hour.
const ACCEPTS_A_PEER: usize = 10;
/// First messages of all peers that are looked at in an hour: identities are free.
const ACCEPTS_IN_ALL: usize = 1_000;

/// What is limited per time.
#[derive(Default)]
pub(crate) struct Rates {
    accepts: HashMap<PeerId, VecDeque<Timestamp>>,
    all_accepts: VecDeque<Timestamp>,
    renewals: HashMap<PeerId, Timestamp>,
}

fn within(times: &mut VecDeque<Timestamp>, now: Timestamp, most: usize) -> bool {
    while times.front().is_some_and(|&at| now.ms_since(at) >= HOUR_MS) {
        times.pop_front();
    }
    times.len() < most
}

impl Rates {
    /// Ten first messages an hour and peer: each may cost a private-key operation.
    pub(super) fn may_accept(&mut self, peer: PeerId, now: Timestamp) -> bool {
        if !within(&mut self.all_accepts, now, ACCEPTS_IN_ALL) {
            return false;
        }
        // Peers without an accept in the last hour need no entry; at most ACCEPTS_IN_ALL others remain.
        self.accepts.retain(|_, times| {
            within(times, now, usize::MAX);
            !times.is_empty()
        });
        let times = self.accepts.entry(peer).or_default();
        if !within(times, now, ACCEPTS_A_PEER) {
            return false;
        }
        times.push_back(now);
        self.all_accepts.push_back(now);
        true
    }

    /// At most one renewal a minute and peer.
    pub(super) fn may_renew(&mut self, peer: PeerId, now: Timestamp) -> bool {
        self.renewals.retain(|_, &mut at| now.ms_since(at) < MINUTE_MS);
        if self.renewals.contains_key(&peer) || self.renewals.len() >= ACCEPTS_IN_ALL {
            return false;
        }
        self.renewals.insert(peer, now);
        true
    }

    /// The renewal could not be done yet after all.
    pub(super) fn forget_renewal(&mut self, peer: PeerId) {
        self.renewals.remove(&peer);
    }
}
