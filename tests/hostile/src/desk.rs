//! What an honest relay does, without IO and without a disk: the truth that a lying one departs from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chat_core::nick::RoomName;
use chat_core::wire::relay::{Delivery, Refusal};
use chat_core::wire::{Envelope, FromRelay, Recipient, SignedBundle, ToRelay, WIRE_VERSION};
use chat_core::{EnvelopeId, Environment as _, PeerId, Timestamp};

use crate::clock::Clock;

/// Deliveries in one record.
const BATCH: usize = 64;

/// Something to be said to a peer.
#[derive(Debug)]
pub(crate) enum Said {
    /// As the truth demands it.
    Truth(PeerId, FromRelay),
    /// Whatever a lie made up; bytes of one frame.
    Lie(PeerId, Vec<u8>),
    /// The link to it is to end.
    HangUp(PeerId),
}

/// Directory, rooms and mailboxes.
pub struct Desk {
    clock: Arc<Clock>,
    bundles: BTreeMap<PeerId, (Vec<u8>, Timestamp)>,
    one_time_keys: BTreeMap<PeerId, VecDeque<Vec<u8>>>,
    online: BTreeSet<PeerId>,
    rooms: BTreeMap<RoomName, BTreeSet<PeerId>>,
    boxes: BTreeMap<PeerId, Vec<Delivery>>,
    waiting: BTreeSet<(PeerId, EnvelopeId)>,
    next: u64,
    submitted: Vec<Envelope>,
    pub(crate) out: VecDeque<Said>,
}

impl Desk {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            bundles: BTreeMap::new(),
            one_time_keys: BTreeMap::new(),
            online: BTreeSet::new(),
            rooms: BTreeMap::new(),
            boxes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            next: 1,
            submitted: Vec::new(),
            out: VecDeque::new(),
        }
    }

    /// Says something that is not so.
    pub fn say(&mut self, to: PeerId, record: &FromRelay) {
        self.say_bytes(to, record.encode());
    }

    /// Says something that need not even be a record.
    pub fn say_bytes(&mut self, to: PeerId, bytes: Vec<u8>) {
        self.out.push_back(Said::Lie(to, bytes));
    }

    /// Hands somebody an envelope that is not in its mailbox.
    pub fn hand(&mut self, to: PeerId, envelope: Envelope) {
        let n = self.number();
        self.say(to, &FromRelay::Deliver { items: vec![Delivery { n, envelope }] });
    }

    /// Hands everybody who is there what waits for them, as after a new link: a relay that has become honest would.
    pub fn catch_up(&mut self) {
        for peer in self.online.clone() {
            self.deliver_waiting(peer);
        }
    }

    /// Ends the link to somebody.
    pub fn hang_up(&mut self, peer: PeerId) {
        self.out.push_back(Said::HangUp(peer));
    }

    /// Everything that was ever submitted, repeats too.
    pub fn submitted(&self) -> &[Envelope] {
        &self.submitted
    }

    /// Somebody's bundle, if it was published.
    pub fn bundle(&self, peer: PeerId) -> Option<&[u8]> {
        self.bundles.get(&peer).map(|(bundle, _)| bundle.as_slice())
    }

    /// Whether somebody has a link.
    pub fn is_online(&self, peer: PeerId) -> bool {
        self.online.contains(&peer)
    }

    /// How many envelopes wait for somebody.
    pub fn waiting_for(&self, peer: PeerId) -> usize {
        self.boxes.get(&peer).map_or(0, Vec::len)
    }

    /// A number for a delivery, greater than all before.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn tell(&mut self, to: PeerId, record: FromRelay) {
        if self.online.contains(&to) {
            self.out.push_back(Said::Truth(to, record));
        }
    }

    pub(crate) fn gone(&mut self, peer: PeerId) {
        if self.online.remove(&peer) {
            self.tell_presence(peer, false);
        }
    }

    fn tell_presence(&mut self, peer: PeerId, online: bool) {
        for other in self.neighbours(peer) {
            self.tell(other, FromRelay::Presence { peer, online });
        }
    }

    fn neighbours(&self, peer: PeerId) -> BTreeSet<PeerId> {
        let common = self.rooms.values().filter(|members| members.contains(&peer));
        common.flatten().copied().filter(|other| *other != peer).collect()
    }

    /// What an honest relay does with a record.
    pub fn hear(&mut self, from: PeerId, record: ToRelay) {
        match record {
            ToRelay::Hello { .. } => self.hello(from),
            ToRelay::Publish { bundle } => self.publish(from, bundle),
            ToRelay::Join { room } => self.join(from, room),
            ToRelay::Leave { room } => {
                self.rooms.entry(room.clone()).or_default().remove(&from);
                self.tell_roster(&room);
            }
            ToRelay::Submit { envelopes } => envelopes.into_iter().for_each(|it| self.submit(from, it)),
            ToRelay::Ack { through } => {
                let waiting = &mut self.waiting;
                self.boxes.entry(from).or_default().retain(|item| {
                    let keep = item.n > through;
                    if !keep {
                        waiting.remove(&(from, item.envelope.id));
                    }
                    keep
                });
            }
            ToRelay::Find { peer, nick } => {
                let found = peer.filter(|peer| self.bundles.contains_key(peer));
                match found {
                    Some(peer) => self.tell_peer(from, peer),
                    None => self.tell(from, FromRelay::Unknown { peer, nick }),
                }
            }
            ToRelay::Pass { envelope } => match envelope.to {
                Recipient::Peer(to) if envelope.from == from => self.tell(to, FromRelay::Passed { envelope }),
                _ => {}
            },
            ToRelay::Ping { n } => self.tell(from, FromRelay::Pong { n }),
            ToRelay::OneTimeKeys { keys, anew } => {
                let known = self.one_time_keys.entry(from).or_default();
                if anew {
                    known.clear();
                }
                known.extend(keys.0);
                let left = self.one_time_keys_left(from);
                self.tell(from, FromRelay::OneTimeKeysLeft { left });
            }
            ToRelay::TakeOneTimeKey { peer } => {
                let key = self.one_time_keys.get_mut(&peer).and_then(VecDeque::pop_front);
                let left = self.one_time_keys_left(peer);
                self.tell(peer, FromRelay::OneTimeKeysLeft { left });
                self.tell(from, FromRelay::OneTimeKey { peer, key });
            }
        }
    }

    fn one_time_keys_left(&self, peer: PeerId) -> u32 {
        self.one_time_keys.get(&peer).map_or(0, |keys| u32::try_from(keys.len()).unwrap_or(u32::MAX))
    }

    /// A one-time key that waits to be given out.
    pub fn one_time_key(&self, peer: PeerId) -> Option<Vec<u8>> {
        self.one_time_keys.get(&peer).and_then(VecDeque::front).cloned()
    }

    fn hello(&mut self, from: PeerId) {
        self.online.insert(from);
        let one_time_keys = Some(self.one_time_keys_left(from));
        self.tell(from, FromRelay::Welcome { version: WIRE_VERSION, now: self.clock.now(), one_time_keys });
        self.deliver_waiting(from);
        self.tell_presence(from, true);
    }

    fn deliver_waiting(&mut self, to: PeerId) {
        let waiting = self.boxes.get(&to).cloned().unwrap_or_default();
        for items in waiting.chunks(BATCH) {
            self.tell(to, FromRelay::Deliver { items: items.to_vec() });
        }
    }

    fn publish(&mut self, from: PeerId, bundle: Vec<u8>) {
        let verified = SignedBundle::verify(&bundle).ok().filter(|verified| verified.peer_id == from);
        let Some(verified) = verified else {
            let detail = "not your bundle".to_owned();
            return self.tell(from, FromRelay::Error { why: Refusal::NotAllowed, detail });
        };
        let created = verified.bundle.created;
        if self.bundles.get(&from).is_some_and(|(_, known)| *known > created) {
            return;
        }
        self.bundles.insert(from, (bundle, created));
        for other in self.neighbours(from) {
            self.tell_peer(other, from);
        }
    }

    fn tell_peer(&mut self, to: PeerId, peer: PeerId) {
        if let Some((bundle, _)) = self.bundles.get(&peer) {
            let record = FromRelay::Peer { bundle: bundle.clone(), online: self.online.contains(&peer) };
            self.tell(to, record);
        }
    }

    fn join(&mut self, from: PeerId, room: RoomName) {
        self.rooms.entry(room.clone()).or_default().insert(from);
        let members: Vec<PeerId> = self.rooms[&room].iter().copied().collect();
        for &member in members.iter().filter(|member| **member != from) {
            self.tell_peer(from, member);
            self.tell_peer(member, from);
        }
        self.tell_roster(&room);
    }

    fn tell_roster(&mut self, room: &RoomName) {
        let members: Vec<PeerId> = self.rooms.get(room).into_iter().flatten().copied().collect();
        for &member in &members {
            self.tell(member, FromRelay::Room { room: room.clone(), members: members.clone() });
        }
    }

    fn submit(&mut self, from: PeerId, envelope: Envelope) {
        let id = envelope.id;
        self.submitted.push(envelope.clone());
        let Recipient::Peer(to) = envelope.to else {
            return self.tell(from, FromRelay::Refused { id, why: Refusal::NotAllowed });
        };
        if envelope.from != from {
            return self.tell(from, FromRelay::Refused { id, why: Refusal::NotAllowed });
        }
        if self.waiting.insert((to, id)) {
            let delivery = Delivery { n: self.number(), envelope };
            self.boxes.entry(to).or_default().push(delivery.clone());
            self.tell(to, FromRelay::Deliver { items: vec![delivery] });
        }
        self.tell(from, FromRelay::Stored { ids: vec![id] });
    }
}
