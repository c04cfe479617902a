//! What peers may make the engine do in a while.

use std::collections::{BTreeMap, VecDeque};

use chat_core::ids::{ConversationId, PeerId, SessionId};

use super::{HOUR_MS, MINUTE_MS, Uptime};

/// First messages of one peer that are looked at in an hour.
const ACCEPTS_A_PEER: usize = 10;
/// First messages of all strangers together that are looked at in an hour: identities are free.
const ACCEPTS_OF_STRANGERS: usize = 5_000;

/// What is asked or told is asked or told again after a minute, then two, four … at most so many doublings: an hour.
const SELDOM: Pace = Pace { first_ms: MINUTE_MS, doublings: 6 };
/// A renewal may be needed again at once, as when a copy of the data was put back twice. The fewer first messages of one's
/// own come of it in an hour, and so of others', than [`ACCEPTS_A_PEER`].
const RENEWALS: Pace = Pace { first_ms: 10_000, doublings: 9 };
/// A peer that keeps to that is always answered, however unevenly its wishes come.
const WISHES: Pace = Pace { first_ms: 5_000, doublings: 9 };
/// What was renewed, asked or acted on is remembered for so long.
const MEMORY_MS: u64 = 3 * HOUR_MS;
/// Most peers remembered for it.
const MAX_REMEMBERED: usize = 10_000;

/// What is limited per time.
pub(crate) struct Rates {
    accepts: BTreeMap<PeerId, VecDeque<(Uptime, SessionId)>>,
    strangers: VecDeque<(Uptime, SessionId)>,
    renewals: Backoff<PeerId>,
    wishes: Backoff<PeerId>,
    questions: Backoff<PeerId>,
    rooms_told: Backoff<(PeerId, ConversationId)>,
    rooms_compared: Backoff<(PeerId, ConversationId)>,
    rooms_refused: Backoff<PeerId>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            accepts: BTreeMap::new(),
            strangers: VecDeque::new(),
            renewals: Backoff::new(RENEWALS),
            wishes: Backoff::new(WISHES),
            questions: Backoff::new(SELDOM),
            rooms_told: Backoff::new(SELDOM),
            rooms_compared: Backoff::new(SELDOM),
            rooms_refused: Backoff::new(SELDOM),
        }
    }
}

fn within(times: &mut VecDeque<(Uptime, SessionId)>, now: Uptime, most: usize) -> bool {
    while times.front().is_some_and(|&(at, _)| now.ms_since(at) >= HOUR_MS) {
        times.pop_front();
    }
    times.len() < most
}

impl Rates {
    /// Whether a first message of this peer is looked at. Strangers share one budget, so that they can't use up
    /// that of people one knows. A copy of one that was looked at is: anybody can send copies, and must not use up what is
    /// its author's.
    pub(super) fn may_accept(&mut self, peer: PeerId, id: SessionId, stranger: bool, now: Uptime) -> bool {
        let looked_at =
            self.accepts.get(&peer).is_some_and(|times| times.iter().any(|(_, known)| *known == id));
        if looked_at {
            return true;
        }
        if stranger && !within(&mut self.strangers, now, ACCEPTS_OF_STRANGERS) {
            return false;
        }
        self.accepts.get_mut(&peer).is_none_or(|times| within(times, now, ACCEPTS_A_PEER))
    }

    /// A first message cost what a genuine one costs. One whose signature or MAC was wrong is not counted: anybody
    /// can send it in another's name.
    pub(super) fn accepted(&mut self, peer: PeerId, id: SessionId, stranger: bool, now: Uptime) {
        self.accepts.retain(|_, times| {
            within(times, now, usize::MAX);
            !times.is_empty()
        });
        let times = self.accepts.entry(peer).or_default();
        if times.iter().any(|(_, known)| *known == id) {
            return;
        }
        times.push_back((now, id));
        if stranger {
            self.strangers.push_back((now, id));
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

    /// Whether to say once more that a peer admits this node to more rooms than it may.
    pub(super) fn may_tell_of_room(&mut self, peer: PeerId, now: Uptime) -> bool {
        self.rooms_refused.may(peer, now)
    }

    /// Whether to compare with a peer what both know of a closed room.
    pub(super) fn may_compare(&mut self, peer: PeerId, room: ConversationId, now: Uptime) -> bool {
        self.rooms_compared.may((peer, room), now)
    }
}

/// How soon something may be done again: after the first wait, then twice as long each time, so many times.
#[derive(Clone, Copy)]
struct Pace {
    first_ms: u64,
    doublings: u32,
}

/// Something done ever more seldom with one peer while it goes on.
struct Backoff<K> {
    pace: Pace,
    last: BTreeMap<K, (Uptime, u32)>,
}

impl<K: Ord> Backoff<K> {
    fn new(pace: Pace) -> Self {
        Self { pace, last: BTreeMap::new() }
    }

    fn may(&mut self, peer: K, now: Uptime) -> bool {
        if self.last.len() >= MAX_REMEMBERED {
            self.last.retain(|_, (at, _)| now.ms_since(*at) < MEMORY_MS);
        }
        match self.last.get(&peer).copied().filter(|(at, _)| now.ms_since(*at) < MEMORY_MS) {
            Some((at, times)) if now.ms_since(at) < self.pace.first_ms << times.min(self.pace.doublings) => {
                false
            }
            Some((_, times)) => self.last.insert(peer, (now, times + 1)).is_some(),
            None if self.last.len() >= MAX_REMEMBERED => false,
            None => {
                self.last.insert(peer, (now, 0));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a private-key operation of RSA, or a KEM's, may be asked for: CPU, and chances for an oracle.
    #[test]
    fn a_peer_has_ten_first_messages_an_hour() {
        let (mut rates, peer) = (Rates::default(), PeerId([1; 32]));
        let id = |n: usize| SessionId([n as u8; 16]);
        for taken in 0..ACCEPTS_A_PEER {
            // Any number of copies of one count as one.
            for _ in 0..3 {
                assert!(rates.may_accept(peer, id(taken), false, Uptime(taken as u64)), "{taken}");
                rates.accepted(peer, id(taken), false, Uptime(taken as u64));
            }
        }
        assert!(!rates.may_accept(peer, id(100), false, Uptime(HOUR_MS - 1)));
        assert!(
            rates.may_accept(peer, id(5), false, Uptime(HOUR_MS - 1)),
            "a copy, or the genuine one after copies"
        );
        assert!(
            rates.may_accept(PeerId([2; 32]), id(100), false, Uptime(HOUR_MS - 1)),
            "others are not kept out"
        );
        // An hour after the first there is one again, and no more.
        assert!(rates.may_accept(peer, id(100), false, Uptime(HOUR_MS)));
        rates.accepted(peer, id(100), false, Uptime(HOUR_MS));
        assert!(!rates.may_accept(peer, id(101), false, Uptime(HOUR_MS)));
    }

    /// Else a peer's own renewals would use up what it may begin.
    #[test]
    fn renewals_in_an_hour_are_fewer_than_first_messages_and_each_is_answered() {
        let (mut rates, peer) = (Rates::default(), PeerId([1; 32]));
        let renewed: Vec<u64> =
            (0..HOUR_MS / 1_000).filter(|&s| rates.may_renew(peer, Uptime(s * 1_000))).collect();
        assert_eq!(renewed[..5], [0, 10, 30, 70, 150]);
        // One more began the session before.
        assert!(renewed.len() < ACCEPTS_A_PEER, "{renewed:?}");
        // Each comes up to five seconds earlier than it was sent, compared with the one before.
        let heard = |(n, s): (usize, &u64)| Uptime(s * 1_000 + if n % 2 == 0 { 4_900 } else { 0 });
        assert!(renewed.iter().enumerate().map(heard).all(|at| rates.may_seal_anew(peer, at)));
    }

    #[test]
    fn strangers_share_a_budget_that_is_not_that_of_friends() {
        let mut rates = Rates::default();
        let stranger = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            PeerId(id)
        };
        for n in 0..ACCEPTS_OF_STRANGERS {
            assert!(rates.may_accept(stranger(n), SessionId::default(), true, Uptime(0)), "{n}");
            rates.strangers.push_back((Uptime(0), SessionId::default()));
        }
        assert!(!rates.may_accept(
            stranger(ACCEPTS_OF_STRANGERS),
            SessionId::default(),
            true,
            Uptime(HOUR_MS - 1)
        ));
        assert!(
            rates.may_accept(stranger(0), SessionId::default(), false, Uptime(HOUR_MS - 1)),
            "one who is known"
        );
        assert!(rates.may_accept(
            stranger(ACCEPTS_OF_STRANGERS),
            SessionId::default(),
            true,
            Uptime(HOUR_MS)
        ));
    }
}
