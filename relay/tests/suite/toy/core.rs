//! What it knows, and what changes do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;
use chat_core::{EnvelopeId, PeerId, Timestamp};
use relay::MailboxLimits;
use relay::mailbox::{
    Attached, Entry, Joined, NewEnvelope, Outcome, Page, Published, Roster, Stocked, Swept, Taken, Write,
};

use super::{Fault, lock};

#[derive(Clone)]
pub(super) struct Stored {
    pub(super) n: u64,
    to: Recipient,
    from: PeerId,
    at: Timestamp,
    id: EnvelopeId,
    bytes: Bytes,
}

/// What is kept.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) last: u64,
    pub(super) log: Vec<Stored>,
    /// Who has written to whom.
    pub(super) written: BTreeSet<(PeerId, PeerId)>,
    seen: BTreeMap<Key, (u64, Timestamp)>,
    /// When they were seen; none for those who were only written to. And what they have.
    peers: BTreeMap<PeerId, (Option<Timestamp>, u64)>,
    pub(super) directory: Vec<(PeerId, Nick, Timestamp, Bytes)>,
    one_time_keys: BTreeMap<PeerId, Vec<(Bytes, Timestamp)>>,
    /// Whose were given to whom, and when.
    given: Vec<(PeerId, PeerId, Timestamp)>,
    gone: Vec<(PeerId, (Bytes, Timestamp))>,
    /// With the number after which envelopes are for the member.
    pub(super) members: BTreeMap<(RoomName, PeerId), u64>,
}

type Key = (String, EnvelopeId);

/// A mailbox without its queue.
pub(super) struct Core {
    pub(super) state: State,
    /// One change behind.
    pub(super) before: State,
    pub(super) limits: MailboxLimits,
    pub(super) fault: Fault,
    /// Envelopes that don't count.
    pub(super) counted: usize,
    pub(super) disk: Arc<Mutex<State>>,
    /// What of it is synced.
    pub(super) medium: Arc<Mutex<State>>,
}

/// Gives its answer once the change is committed.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

impl Core {
    pub(super) fn apply(&mut self, change: Write) -> Answer {
        self.before = self.state.clone();
        let fault = self.fault;
        let answer: Answer = match change {
            Write::Store { from, payer: _, envelopes, now, done } => {
                let outcomes = envelopes.into_iter().map(|it| self.store(from, it, now)).collect();
                Box::new(move || done(Ok(outcomes)))
            }
            Write::Ack { peer, through } => {
                self.ack(peer, through);
                Box::new(|| ())
            }
            Write::Attach { peer, now, done } => {
                let attached = self.attach(peer, now);
                Box::new(move || done(Ok(attached)))
            }
            Write::Publish { peer, nick, created, bundle, done, .. } => {
                let published = self.publish(peer, nick, created, bundle);
                Box::new(move || done(Ok(published)))
            }
            Write::Join { peer, room, done, .. } => {
                let joined = self.join(peer, &room);
                Box::new(move || done(Ok(joined)))
            }
            Write::Leave { peer, room, done } => {
                let left = self.state.members.remove(&(room, peer)).is_some();
                Box::new(move || done(Ok(left || fault == Fault::LeavingIsAlwaysTrue)))
            }
            Write::OneTimeKeys { peer, keys, anew, now, done } => {
                let stocked = self.one_time_keys(peer, keys, anew, now);
                Box::new(move || done(Ok(stocked)))
            }
            Write::TakeOneTimeKey { peer, asker, now, done } => {
                let taken = self.take_one_time_key(peer, asker, now);
                Box::new(move || done(Ok(taken)))
            }
            Write::Discard { numbers } => {
                for gone in self.drop_where(|it| numbers.contains(&it.n)) {
                    if fault != Fault::DiscardKeepsTheId {
                        let key = self.key(&gone.to, gone.id);
                        self.state.seen.remove(&key);
                    }
                }
                Box::new(|| ())
            }
            Write::Sweep { now, online, done } => {
                let swept = self.sweep(now, &online);
                Box::new(move || done(Ok(swept)))
            }
        };
        let is_behind = fault == Fault::AnswersBeforeTheCommit;
        *lock(&self.disk) = if is_behind { self.before.clone() } else { self.state.clone() };
        let is_unsynced = fault == Fault::AnswersBeforeTheSync;
        *lock(&self.medium) = if is_unsynced { self.before.clone() } else { self.state.clone() };
        answer
    }

    fn drop_where(&mut self, gone: impl Fn(&Stored) -> bool) -> Vec<Stored> {
        let (dropped, kept) = std::mem::take(&mut self.state.log).into_iter().partition(|it| gone(it));
        self.state.log = kept;
        dropped
    }

    fn key(&self, to: &Recipient, id: EnvelopeId) -> Key {
        let anybody = self.fault == Fault::KnowsIdsWhoeverTheyAreFor;
        (if anybody { String::new() } else { format!("{to:?}") }, id)
    }

    fn store(&mut self, from: PeerId, new: NewEnvelope, now: Timestamp) -> Outcome {
        if let Recipient::Room(room) = &new.to
            && !self.state.members.contains_key(&(room.clone(), from))
            && self.fault != Fault::StrangersWriteToRooms
        {
            return Outcome::Refused(Refusal::NotAllowed);
        }
        let key = self.key(&new.to, new.id);
        let seen = self.state.seen.get(&key).copied();
        if let Some((n, at)) = seen {
            let waits = self.state.log.iter().any(|it| it.n == n);
            let soon = now.ms_since(at) < self.limits.redeliver_ms;
            if waits || soon || self.fault == Fault::RefusesRepeatsForever {
                return Outcome::Known;
            }
        }
        if !self.has_room(&new) {
            if self.fault == Fault::RefusedIsKnown {
                self.state.seen.insert(key, (0, now));
            }
            return Outcome::Refused(Refusal::MailboxFull);
        }
        self.state.last += 1;
        let n = self.state.last;
        self.state.seen.insert(key, (n, now));
        if let Recipient::Peer(peer) = &new.to {
            self.state.peers.entry(*peer).or_default();
            self.state.written.insert((from, *peer));
        }
        let turned = self.fault == Fault::TurnsLongEnvelopes && new.bytes.len() > 200_000;
        let bytes = if turned { new.bytes.iter().rev().copied().collect() } else { new.bytes };
        self.state.log.push(Stored { n, to: new.to, from, at: now, id: new.id, bytes });
        Outcome::Stored(n)
    }

    fn has_room(&self, new: &NewEnvelope) -> bool {
        let len = new.bytes.len() as u64;
        let sum = |log: &mut dyn Iterator<Item = &Stored>| log.map(|it| it.bytes.len() as u64).sum::<u64>();
        let total = sum(&mut self.state.log.iter().skip(self.counted));
        let there = sum(&mut self.state.log.iter().filter(|it| it.to == new.to));
        let fits = there + len <= self.limits.mailbox_bytes || self.fault == Fault::MailboxesAreUnbounded;
        total + len <= self.limits.stored_bytes && fits
    }

    fn ack(&mut self, peer: PeerId, through: u64) {
        let newest = if self.fault == Fault::BelievesFutureAcks { u64::MAX } else { self.state.last };
        let through = through.min(newest);
        let Some((_, acked)) = self.state.peers.get_mut(&peer) else { return };
        *acked = if self.fault == Fault::AckGoesBack { through } else { through.max(*acked) };
        let all = self.fault == Fault::AckForgetsRoomsForAll;
        self.drop_where(|it| {
            let mine = it.to == Recipient::Peer(peer) || (all && matches!(it.to, Recipient::Room(_)));
            mine && it.n <= through
        });
    }

    fn attach(&mut self, peer: PeerId, now: Timestamp) -> Option<Attached> {
        let known = self.state.peers.values().filter(|(seen, _)| seen.is_some()).count() as u64;
        let (seen, acked) = self.state.peers.get(&peer).copied().unwrap_or_default();
        if seen.is_none() && known >= self.limits.max_peers && self.fault != Fault::PeersAreUnbounded {
            return None;
        }
        self.state.peers.insert(peer, (Some(now), acked));
        let rooms = self.state.members.keys().filter(|(_, member)| *member == peer);
        let rooms = rooms.map(|(room, _)| room.clone()).collect();
        Some(Attached { cursor: acked, rooms, one_time_keys: self.one_time_keys_left(peer, now) })
    }

    /// What was given out is there again.
    pub(super) fn take_back(state: &mut State) {
        for (peer, key) in std::mem::take(&mut state.gone).into_iter().rev() {
            state.one_time_keys.entry(peer).or_default().insert(0, key);
        }
    }

    fn one_time_keys_left(&self, peer: PeerId, now: Timestamp) -> u32 {
        let keys = self.state.one_time_keys.get(&peer).into_iter().flatten();
        keys.filter(|(_, expires)| *expires > now).count() as u32
    }

    fn one_time_keys(
        &mut self,
        peer: PeerId,
        new: Vec<(Bytes, Timestamp)>,
        anew: bool,
        now: Timestamp,
    ) -> Stocked {
        let all = self.state.one_time_keys.values().flatten();
        let there: u64 = all.map(|(key, _)| key.len() as u64).sum();
        let more: u64 = new.iter().map(|(key, _)| key.len() as u64).sum();
        let full = there + more > self.limits.directory_bytes && !new.is_empty();
        if full && self.fault != Fault::OneTimeKeysAreUnbounded {
            return Stocked::Full;
        }
        let keys = self.state.one_time_keys.entry(peer).or_default();
        if anew && self.fault != Fault::OneTimeKeysStay {
            keys.clear();
        }
        keys.extend(new);
        let surplus = keys.len().saturating_sub(self.limits.one_time_keys as usize);
        keys.drain(..surplus);
        Stocked::Left(self.one_time_keys_left(peer, now))
    }

    fn take_one_time_key(&mut self, peer: PeerId, asker: PeerId, now: Timestamp) -> Taken {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let left = self.one_time_keys_left(peer, now);
        let State { one_time_keys, given, gone, .. } = &mut self.state;
        let times: Vec<_> = given.iter().filter(|it| it.0 == peer && now.ms_since(it.2) < DAY_MS).collect();
        let had = times.iter().filter(|it| it.1 == asker).count() as u32;
        let is_soon = times.iter().any(|it| now.ms_since(it.2) < self.limits.one_time_keys_floor_ms);
        let enough =
            had >= self.limits.one_time_keys_per_asker && self.fault != Fault::OneTimeKeysForTheAsking;
        let floor =
            left <= self.limits.one_time_keys_floor && is_soon && self.fault != Fault::OneTimeKeysHaveNoFloor;
        let keys = one_time_keys.entry(peer).or_default();
        match keys.iter().position(|(_, expires)| *expires > now) {
            Some(at) if !enough && !floor => {
                given.push((peer, asker, now));
                let (key, expires) = keys.remove(at);
                gone.push((peer, (key.clone(), expires)));
                Taken { key: Some(key), left: left - 1 }
            }
            _ => Taken { key: None, left },
        }
    }

    fn publish(&mut self, peer: PeerId, nick: Nick, created: Timestamp, bundle: Bytes) -> Published {
        let known = self.state.directory.iter().position(|entry| entry.0 == peer);
        let newest = known.and_then(|at| self.state.directory.get(at)).map(|entry| entry.2);
        let counts = self.fault == Fault::OlderBundlesCount && newest.is_some_and(|newest| newest > created);
        if newest.is_some_and(|newest| newest >= created) && !counts {
            return Published::Old;
        }
        let others = self.state.directory.iter().filter(|entry| entry.0 != peer);
        let bytes: u64 = others.map(|entry| entry.3.len() as u64).sum();
        let full = bytes + bundle.len() as u64 > self.limits.directory_bytes;
        if full && self.fault != Fault::DirectoryIsUnbounded {
            return Published::Full;
        }
        match known.and_then(|at| self.state.directory.get_mut(at)) {
            Some(entry) if self.fault == Fault::NamesAreForever => (entry.2, entry.3) = (created, bundle),
            Some(entry) => *entry = (peer, nick, created, bundle),
            None => self.state.directory.push((peer, nick, created, bundle)),
        }
        Published::New
    }

    fn bundle(&self, peer: PeerId) -> Option<Bytes> {
        self.state.directory.iter().find(|entry| entry.0 == peer).map(|entry| entry.3.clone())
    }

    fn join(&mut self, peer: PeerId, room: &RoomName) -> Joined {
        if self.state.members.contains_key(&(room.clone(), peer)) {
            return Joined::Already;
        }
        let unbounded = self.fault == Fault::RoomsAreUnbounded;
        let rooms = self.state.members.keys().filter(|(_, member)| *member == peer).count() as u64;
        if rooms >= self.limits.rooms_per_peer && !unbounded {
            return Joined::TooManyRooms;
        }
        let members = self.state.members.keys().filter(|(name, _)| name == room).count() as u64;
        if members >= self.limits.members_per_room {
            return Joined::RoomFull;
        }
        self.state.peers.entry(peer).or_default();
        let since = if self.fault == Fault::NewcomersGetEverything { 0 } else { self.state.last };
        self.state.members.insert((room.clone(), peer), since);
        Joined::New { bundle: self.bundle(peer) }
    }

    fn sweep(&mut self, now: Timestamp, online: &[PeerId]) -> Swept {
        if self.fault == Fault::NothingIsTooOld {
            return Swept::default();
        }
        for peer in online {
            self.state.peers.entry(*peer).or_default().0 = Some(now);
        }
        let limits = self.limits.clone();
        for gone in self.drop_where(|it| now.ms_since(it.at) > limits.ttl_ms) {
            let key = self.key(&gone.to, gone.id);
            self.state.seen.remove(&key);
        }
        let peers = self.state.peers.clone();
        let unseen = |peer: &PeerId| {
            let seen = peers.get(peer).and_then(|it| it.0);
            seen.is_none_or(|seen| now.ms_since(seen) > limits.unseen_ms)
        };
        let mut rooms = BTreeSet::new();
        self.state.members.retain(|(room, peer), _| {
            let gone = unseen(peer);
            if gone {
                rooms.insert(room.clone());
            }
            !gone
        });
        Swept { rooms: rooms.into_iter().collect(), more: false }
    }

    pub(super) fn knows(&self, peer: PeerId) -> bool {
        self.state.peers.get(&peer).is_some_and(|(seen, _)| seen.is_some())
    }

    pub(super) fn waiting(&self, peer: PeerId, after: u64, max_items: usize, max_bytes: usize) -> Page {
        let state = &self.state;
        let acked = state.peers.get(&peer).map_or(0, |it| it.1);
        let mine = |it: &&Stored| match &it.to {
            Recipient::Peer(to) => *to == peer,
            Recipient::Room(room) => {
                let since = state.members.get(&(room.clone(), peer));
                let own = it.from == peer && self.fault != Fault::SendersGetTheirOwn;
                since.is_some_and(|since| it.n > *since) && !own
            }
        };
        let found = state.log.iter().filter(|it| it.n > after.max(acked)).filter(mine);
        let mut page = Page { items: vec![], through: state.last.max(after), more: false, damaged: vec![] };
        let max_items = max_items.max(1) + usize::from(self.fault == Fault::PagesHaveOneMore);
        let mut bytes = 0;
        for it in found {
            let len = it.bytes.len();
            if page.items.len() >= max_items || (!page.items.is_empty() && bytes + len > max_bytes) {
                page.more = true;
                page.through = page.items.last().map_or(after, |(n, _)| *n);
                page.through += u64::from(self.fault == Fault::PagesLoseTheirEdge);
                break;
            }
            bytes += len;
            page.items.push((it.n, it.bytes.clone()));
        }
        page
    }

    pub(super) fn roster(&self, room: &RoomName, position: u64, max_bytes: usize) -> Roster {
        let of = |state: &State| {
            let members = state.members.keys().filter(|(name, _)| name == room);
            members.map(|(_, peer)| *peer).collect::<Vec<_>>()
        };
        let before = of(&self.before);
        let is_behind = self.fault == Fault::ReadsAreBehind && before.len() <= 1;
        let members = if is_behind { before } else { of(&self.state) };
        let (mut roster, mut bytes) = (Roster { entries: vec![], next: None }, 0);
        for (at, peer) in (1..).zip(members).skip(usize::try_from(position).unwrap()) {
            let entry = Entry { peer, bundle: self.bundle(peer) };
            bytes += entry.bundle.as_ref().map_or(0, Bytes::len);
            if !roster.entries.is_empty() && bytes > max_bytes {
                let lost = u64::from(self.fault == Fault::RosterLosesItsEdge);
                roster.next = Some(at - 1 + lost);
                break;
            }
            roster.entries.push(entry);
        }
        roster
    }
}
