//! Who is connected, and which rooms they share. Everything here happens under one short lock and waits for
//! nothing; what the mailbox has committed is routed in the order of its commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chat_core::nick::RoomName;
use chat_core::wire::relay::{CONNECTED_AGAIN, Refusal};
use chat_core::wire::{FromRelay, Recipient, WIRE_VERSION};
use chat_core::{PeerId, Timestamp};

use crate::figures::Counters;
use crate::mail::Window;
use crate::mailbox::Attached;
use crate::outgoing::Client;

pub(crate) struct Hub {
    state: Mutex<State>,
    counters: Arc<Counters>,
    max_clients: usize,
    window: Window,
}

#[derive(Default)]
struct State {
    clients: BTreeMap<PeerId, Arc<Client>>,
    /// Rooms with members who are connected.
    rooms: BTreeMap<RoomName, BTreeMap<PeerId, Arc<Client>>>,
    closed: bool,
}

impl State {
    /// Everybody who shares a room with `peer`, once, without itself.
    fn neighbours(&self, peer: PeerId, rooms: impl IntoIterator<Item = RoomName>) -> Vec<Arc<Client>> {
        let mut found = BTreeMap::new();
        for room in rooms.into_iter().filter_map(|room| self.rooms.get(&room)) {
            found.extend(room.iter().map(|(id, client)| (*id, client)));
        }
        found.remove(&peer);
        found.into_values().cloned().collect()
    }

    fn tell_presence(&self, client: &Client, online: bool) {
        let record: Bytes = FromRelay::Presence { peer: client.peer, online }.encode().into();
        for neighbour in self.neighbours(client.peer, client.rooms()) {
            neighbour.news(record.clone());
        }
    }

    fn leave_room(&mut self, room: &RoomName, peer: PeerId) {
        if let Some(online) = self.rooms.get_mut(room) {
            online.remove(&peer);
            if online.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}

impl Hub {
    pub(crate) fn new(counters: Arc<Counters>, max_clients: usize, window: Window) -> Self {
        Self { state: Mutex::default(), counters, max_clients, window }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a client in and welcomes it. An older link of the same peer is closed.
    pub(crate) fn attach(
        &self,
        client: &Arc<Client>,
        attached: &Attached,
        now: Timestamp,
    ) -> Result<(), Box<FromRelay>> {
        let mut state = self.state();
        if state.closed {
            return Err(Box::new(FromRelay::Moving));
        }
        if state.clients.len() >= self.max_clients && !state.clients.contains_key(&client.peer) {
            let full = error(Refusal::TooFast, "the relay has as many clients as it takes");
            return Err(Box::new(full));
        }
        let one_time_keys = Some(attached.one_time_keys);
        client.answer(&FromRelay::Welcome { version: WIRE_VERSION, now, one_time_keys });
        client.attach(&attached.rooms, attached.cursor, self.window);
        let older = state.clients.insert(client.peer, Arc::clone(client));
        for room in &attached.rooms {
            state.rooms.entry(room.clone()).or_default().insert(client.peer, Arc::clone(client));
        }
        match older {
            Some(older) => {
                self.counters.replaced.one();
                older.finish(Some(&error(Refusal::NotAllowed, CONNECTED_AGAIN)));
            }
            None => {
                self.counters.clients.one();
                state.tell_presence(client, true);
            }
        }
        Ok(())
    }

    /// The link of a client has ended. Nothing happens if a newer one has taken its place.
    pub(crate) fn detach(&self, client: &Arc<Client>) {
        let mut state = self.state();
        if !state.clients.get(&client.peer).is_some_and(|current| Arc::ptr_eq(current, client)) {
            return;
        }
        state.clients.remove(&client.peer);
        self.counters.clients.sub(1);
        state.tell_presence(client, false);
        for room in client.rooms() {
            state.leave_room(&room, client.peer);
        }
    }

    /// Envelopes that were committed, in the order of their numbers.
    pub(crate) fn route<'a>(
        &self,
        from: PeerId,
        envelopes: impl IntoIterator<Item = (u64, &'a Recipient, &'a Bytes)>,
    ) {
        let state = self.state();
        for (n, to, envelope) in envelopes {
            match to {
                Recipient::Peer(peer) => {
                    if let Some(client) = state.clients.get(peer) {
                        client.deliver(n, envelope);
                    }
                }
                Recipient::Room(room) => {
                    for (_, client) in
                        state.rooms.get(room).into_iter().flatten().filter(|(peer, _)| **peer != from)
                    {
                        client.deliver(n, envelope);
                    }
                }
            }
        }
    }

    /// A peer that is here.
    pub(crate) fn client(&self, peer: PeerId) -> Option<Arc<Client>> {
        self.state().clients.get(&peer).cloned()
    }

    /// `asking` asked to join a room and is a member of it now, or still, also if its link has ended meanwhile. The
    /// bundle is what the others have to know of a new member before its id means anything to them.
    pub(crate) fn joined(&self, asking: &Client, room: &RoomName, new: bool, bundle: Option<Bytes>) {
        let peer = asking.peer;
        let mut state = self.state();
        let client = state.clients.get(&peer).cloned();
        if new {
            let online = client.is_some();
            let record = bundle.map(|bundle| FromRelay::Peer { bundle: bundle.to_vec(), online }.encode());
            let record: Option<Bytes> = record.map(Bytes::from);
            // As many steps as there are members who have to be told, and nothing is built for them.
            let members = state.rooms.get(room).into_iter().flatten();
            for other in members.filter(|(id, _)| **id != peer).map(|(_, other)| other) {
                if let Some(record) = &record {
                    other.news(record.clone());
                }
                other.member_joined(room, peer);
            }
        }
        if let Some(client) = client {
            state.rooms.entry(room.clone()).or_default().insert(peer, Arc::clone(&client));
            client.joined(room);
        } else {
            // Its bundle may be committed next, and goes to those who were told of it.
            asking.joined(room);
        }
    }

    pub(crate) fn left(&self, peer: PeerId, room: &RoomName) {
        let mut state = self.state();
        state.leave_room(room, peer);
        if let Some(client) = state.clients.get(&peer) {
            client.left(room);
        }
    }

    /// A peer has a newer bundle. Who is in a room with it has to hear of it also if the link it came over has ended
    /// meanwhile: the peer will publish the same again, which is no news then.
    pub(crate) fn published(&self, publisher: &Client, bundle: &Bytes) {
        let state = self.state();
        let current = state.clients.get(&publisher.peer);
        let rooms =
            publisher.rooms().into_iter().chain(current.into_iter().flat_map(|client| client.rooms()));
        let record = FromRelay::Peer { bundle: bundle.to_vec(), online: current.is_some() };
        let record: Bytes = record.encode().into();
        for neighbour in state.neighbours(publisher.peer, rooms) {
            neighbour.news(record.clone());
        }
    }

    /// One of a peer's one-time keys was given out: if it is there, it may make more.
    pub(crate) fn gave_out(&self, peer: PeerId, left: u32) {
        if let Some(owner) = self.state().clients.get(&peer) {
            owner.news(FromRelay::OneTimeKeysLeft { left }.encode().into());
        }
    }

    pub(crate) fn is_online(&self, peer: PeerId) -> bool {
        self.state().clients.contains_key(&peer)
    }

    pub(crate) fn online(&self) -> Vec<PeerId> {
        self.state().clients.keys().copied().collect()
    }

    /// No client is taken any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }
}

pub(crate) fn error(why: Refusal, detail: impl Into<String>) -> FromRelay {
    FromRelay::Error { why, detail: detail.into() }
}
