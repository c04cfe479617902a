//! What peers may make the engine do in a while.

use std::collections::{BTreeMap, VecDeque};

use chat_core::ids::{ConversationId, PeerId};

use super::{HOUR_MS, MINUTE_MS, Uptime};

/// First messages of one peer that are looked at in an hour.
const ACCEPTS_A_PEER: usize = 10;
/// First messages in the name of one peer, of which none was its own, that are looked at in a minute. Anybody can make them,
/// so whoever does keeps it from beginning a session no longer than that.
const FORGED_A_PEER: usize = 10;
/// First messages of all strangers together that are looked at in an hour, whosever they are: identities are free.
const ACCEPTS_OF_STRANGERS: usize = 5_000;
/// Renewals that frames of strangers bring about in an hour, of whom nothing is known that could be renewed. They may be
/// people whom this node knew before its data was lost; and anybody can make such frames.
const RENEWALS_WITH_STRANGERS: usize = 16;

/// What is asked or told is asked or told again after a minute, then two, four … at most so many doublings: an hour.
const SELDOM: Pace = Pace { first_ms: MINUTE_MS, doublings: 6 };
/// A renewal may be needed again at once, as when a copy of the data was put back twice. The fewer first messages of one's
/// own come of it in an hour, and so of others', than [`ACCEPTS_A_PEER`].
const RENEWALS: Pace = Pace { first_ms: 10_000, doublings: 9 };
/// A peer that keeps to that is always answered, however unevenly its wishes come.
const WISHES: Pace = Pace { first_ms: 5_000, doublings: 9 };
/// What was renewed, asked or acted on is remembered for so long.
const MEMORY_MS: u64 = 3 * HOUR_MS;
/// Most peers remembered for it,
const MAX_REMEMBERED: usize = 10_000;
/// and how many are forgotten at once if there are more, so that a crowd costs little a head.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// What is limited per time.
pub(crate) struct Rates {
    accepts: BTreeMap<PeerId, Accepts>,
    strangers: VecDeque<Uptime>,
    renewals_with_strangers: VecDeque<Uptime>,
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
            renewals_with_strangers: VecDeque::new(),
            renewals: Backoff::new(RENEWALS),
            wishes: Backoff::new(WISHES),
            questions: Backoff::new(SELDOM),
            rooms_told: Backoff::new(SELDOM),
            rooms_compared: Backoff::new(SELDOM),
            rooms_refused: Backoff::new(SELDOM),
        }
    }
}

/// How often the private key was used for one peer.
#[derive(Default)]
struct Accepts {
    /// For first messages of its own, in the last hour.
    its_own: VecDeque<Uptime>,
    /// For others in its name, in the last minute.
    forged: VecDeque<Uptime>,
}

impl Accepts {
    fn forget_old(&mut self, now: Uptime) {
        within(&mut self.its_own, now, HOUR_MS);
        within(&mut self.forged, now, MINUTE_MS);
    }
}

/// How many of these times are no longer ago than that; the others are forgotten.
fn within(times: &mut VecDeque<Uptime>, now: Uptime, ms: u64) -> usize {
    while times.front().is_some_and(|&at| now.ms_since(at) >= ms) {
        times.pop_front();
    }
    times.len()
}

impl Rates {
    /// Whether the private key is used for a first message of this peer. Strangers share one budget, so that they can't
    /// use up that of people one knows. Copies of one that was looked at are not asked about here: see
    /// [`super::looked_at`].
    pub(super) fn may_accept(&mut self, peer: PeerId, stranger: bool, now: Uptime) -> bool {
        if stranger && within(&mut self.strangers, now, HOUR_MS) >= ACCEPTS_OF_STRANGERS {
            return false;
        }
        self.accepts.get_mut(&peer).is_none_or(|of| {
            of.forget_old(now);
            of.its_own.len() < ACCEPTS_A_PEER && of.forged.len() < FORGED_A_PEER
        })
    }

    /// It was used. A first message whose signature or MAC was wrong is `forged`: anybody can send it in another's name.
    pub(super) fn accepted(&mut self, peer: PeerId, forged: bool, stranger: bool, now: Uptime) {
        self.accepts.retain(|_, of| {
            of.forget_old(now);
            !(of.its_own.is_empty() && of.forged.is_empty())
        });
        let of = self.accepts.entry(peer).or_default();
        let times = if forged { &mut of.forged } else { &mut of.its_own };
        times.push_back(now);
        if stranger {
            self.strangers.push_back(now);
        }
    }

    /// Whether a frame that does not open brings about a renewal with a stranger.
    pub(super) fn may_renew_with_stranger(&mut self, now: Uptime) -> bool {
        let may = within(&mut self.renewals_with_strangers, now, HOUR_MS) < RENEWALS_WITH_STRANGERS;
        if may {
            self.renewals_with_strangers.push_back(now);
        }
        may
    }

    /// Whether to begin a new session because a peer's frames can't be opened.
    pub(super) fn may_renew(&mut self, peer: PeerId, known: bool, now: Uptime) -> bool {
        self.renewals.may(peer, known, now)
    }

    /// Whether a renewal with a peer was begun not long ago.
    pub(super) fn has_renewed(&self, peer: PeerId, now: Uptime) -> bool {
        self.renewals.last.get(&peer).is_some_and(|done| now.ms_since(done.at) < MEMORY_MS)
    }

    /// The renewal could not be done yet after all.
    pub(super) fn forget_renewal(&mut self, peer: PeerId) {
        self.renewals.last.remove(&peer);
    }

    /// Whether to seal everything anew because a peer wishes it.
    pub(super) fn may_seal_anew(&mut self, peer: PeerId, known: bool, now: Uptime) -> bool {
        self.wishes.may(peer, known, now)
    }

    /// Whether to ask the directory for a peer.
    pub(super) fn may_ask(&mut self, peer: PeerId, known: bool, now: Uptime) -> bool {
        self.questions.may(peer, known, now)
    }

    /// Whether to tell a peer all of a closed room's operations once more.
    pub(super) fn may_tell(&mut self, peer: PeerId, room: ConversationId, known: bool, now: Uptime) -> bool {
        self.rooms_told.may((peer, room), known, now)
    }

    /// Whether to say once more that a peer admits this node to more rooms than it may.
    pub(super) fn may_tell_of_room(&mut self, peer: PeerId, now: Uptime) -> bool {
        self.rooms_refused.may(peer, true, now)
    }

    /// Whether to compare with a peer what both know of a closed room.
    pub(super) fn may_compare(
        &mut self,
        peer: PeerId,
        room: ConversationId,
        known: bool,
        now: Uptime,
    ) -> bool {
        self.rooms_compared.may((peer, room), known, now)
    }
}

/// How soon something may be done again: after the first wait, then twice as long each time, so many times.
#[derive(Clone, Copy)]
struct Pace {
    first_ms: u64,
    doublings: u32,
}

/// When something was done the last time.
#[derive(Clone, Copy)]
struct Done {
    at: Uptime,
    /// How often before.
    times: u32,
    /// With somebody this user has to do with.
    known: bool,
}

/// Something done ever more seldom with one peer while it goes on.
struct Backoff<K> {
    pace: Pace,
    last: BTreeMap<K, Done>,
}

impl<K: Ord> Backoff<K> {
    fn new(pace: Pace) -> Self {
        Self { pace, last: BTreeMap::new() }
    }

    fn may(&mut self, peer: K, known: bool, now: Uptime) -> bool {
        let last = self.last.get(&peer).copied().filter(|done| now.ms_since(done.at) < MEMORY_MS);
        let times = match last {
            Some(Done { at, times, .. }) => {
                if now.ms_since(at) < self.pace.first_ms << times.min(self.pace.doublings) {
                    return false;
                }
                times + 1
            }
            None => {
                self.make_room(now);
                0
            }
        };
        self.last.insert(peer, Done { at: now, times, known });
        true
    }

    /// Crowds are free: whoever comes next must not be the one to wait. The oldest entries give way, those of strangers
    /// first; with whom this is done again a little sooner then.
    fn make_room(&mut self, now: Uptime) {
        if self.last.len() < MAX_REMEMBERED {
            return;
        }
        self.last.retain(|_, done| now.ms_since(done.at) < MEMORY_MS);
        let mut surplus = (self.last.len() + FORGOTTEN_AT_ONCE).saturating_sub(MAX_REMEMBERED);
        let mut by_worth: Vec<(bool, Uptime)> = self.last.values().map(|it| (it.known, it.at)).collect();
        if surplus == 0 || surplus > by_worth.len() {
            return;
        }
        let (_, &mut most, _) = by_worth.select_nth_unstable(surplus - 1);
        self.last.retain(|_, done| {
            let stays = surplus == 0 || (done.known, done.at) > most;
            surplus -= usize::from(!stays);
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a private-key operation of RSA, or a KEM's, may be asked for: CPU, and chances for an oracle.
    #[test]
    fn a_peer_has_ten_first_messages_an_hour() {
        let (mut rates, peer) = (Rates::default(), PeerId([1; 32]));
        for taken in 0..ACCEPTS_A_PEER {
            assert!(rates.may_accept(peer, false, Uptime(taken as u64)), "{taken}");
            rates.accepted(peer, false, false, Uptime(taken as u64));
        }
        assert!(!rates.may_accept(peer, false, Uptime(HOUR_MS - 1)));
        assert!(rates.may_accept(PeerId([2; 32]), false, Uptime(HOUR_MS - 1)), "others are not kept out");
        // An hour after the first there is one again, and no more.
        assert!(rates.may_accept(peer, false, Uptime(HOUR_MS)));
        rates.accepted(peer, false, false, Uptime(HOUR_MS));
        assert!(!rates.may_accept(peer, false, Uptime(HOUR_MS)));
    }

    #[test]
    fn forged_first_messages_are_counted_and_keep_nobody_out_for_longer_than_a_minute() {
        let (mut rates, peer) = (Rates::default(), PeerId([1; 32]));
        for n in 0..100 {
            let (at, may) = (Uptime(n), n < FORGED_A_PEER as u64);
            assert_eq!(rates.may_accept(peer, false, at), may, "{n}");
            if may {
                rates.accepted(peer, true, false, at);
            }
        }
        assert!(!rates.may_accept(peer, false, Uptime(MINUTE_MS - 1)));
        assert!(rates.may_accept(peer, false, Uptime(MINUTE_MS)));
        // Of strangers they are counted with all others.
        for n in 0..ACCEPTS_OF_STRANGERS as u64 {
            let mut stranger = PeerId([2; 32]);
            stranger.0[..8].copy_from_slice(&n.to_be_bytes());
            assert!(rates.may_accept(stranger, true, Uptime(0)));
            rates.accepted(stranger, true, true, Uptime(0));
        }
        assert!(!rates.may_accept(PeerId([3; 32]), true, Uptime(0)));
    }

    /// Else a peer's own renewals would use up what it may begin.
    #[test]
    fn renewals_in_an_hour_are_fewer_than_first_messages_and_each_is_answered() {
        let (mut rates, peer) = (Rates::default(), PeerId([1; 32]));
        let renewed: Vec<u64> =
            (0..HOUR_MS / 1_000).filter(|&s| rates.may_renew(peer, true, Uptime(s * 1_000))).collect();
        assert_eq!(renewed[..5], [0, 10, 30, 70, 150]);
        // One more began the session before.
        assert!(renewed.len() < ACCEPTS_A_PEER, "{renewed:?}");
        // Each comes up to five seconds earlier than it was sent, compared with the one before.
        let heard = |(n, s): (usize, &u64)| Uptime(s * 1_000 + if n % 2 == 0 { 4_900 } else { 0 });
        assert!(renewed.iter().enumerate().map(heard).all(|at| rates.may_seal_anew(peer, true, at)));
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
            assert!(rates.may_accept(stranger(n), true, Uptime(0)), "{n}");
            rates.strangers.push_back(Uptime(0));
        }
        let one_more = stranger(ACCEPTS_OF_STRANGERS);
        assert!(!rates.may_accept(one_more, true, Uptime(HOUR_MS - 1)));
        assert!(rates.may_accept(stranger(0), false, Uptime(HOUR_MS - 1)), "one who is known");
        assert!(rates.may_accept(one_more, true, Uptime(HOUR_MS)));
    }

    /// Nobody is kept waiting by a crowd: not who was never seen before, nor whoever comes last of it; and whom the user has
    /// to do with is not forgotten for it, so that nobody makes us renew with him any sooner.
    #[test]
    fn a_crowd_takes_no_place_from_anybody() {
        let crowd = |n: u64| {
            let mut id = [7; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            PeerId(id)
        };
        let (friend, room) = (PeerId([1; 32]), ConversationId([3; 16]));
        type May = fn(&mut Rates, PeerId, ConversationId, bool, Uptime) -> bool;
        let each: [May; 5] = [
            |rates, peer, _, known, now| rates.may_renew(peer, known, now),
            |rates, peer, _, known, now| rates.may_seal_anew(peer, known, now),
            |rates, peer, _, known, now| rates.may_ask(peer, known, now),
            |rates, peer, room, known, now| rates.may_tell(peer, room, known, now),
            |rates, peer, room, known, now| rates.may_compare(peer, room, known, now),
        ];
        for may in each {
            let mut rates = Rates::default();
            assert!(may(&mut rates, friend, room, true, Uptime(0)));
            for n in 0..2 * MAX_REMEMBERED as u64 {
                assert!(may(&mut rates, crowd(n), room, false, Uptime(1 + n / 10_000)), "{n}");
            }
            assert!(!may(&mut rates, friend, room, true, Uptime(4_999)), "it is remembered");
            assert!(may(&mut rates, PeerId([2; 32]), room, true, Uptime(4_999)));
            let last = crowd(2 * MAX_REMEMBERED as u64 - 1);
            assert!(!may(&mut rates, last, room, false, Uptime(4_999)), "so is the newest");
            let tables = [&rates.renewals, &rates.wishes, &rates.questions].map(|it| it.last.len());
            let of_rooms = [&rates.rooms_told, &rates.rooms_compared].map(|it| it.last.len());
            assert!(tables.into_iter().chain(of_rooms).all(|len| len <= MAX_REMEMBERED));
        }
    }
}
