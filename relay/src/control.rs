//! Records about the peer itself: its bundle, its rooms, and whom it looks for.

use std::sync::Arc;

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, SignedBundle, ToRelay};

use crate::connection::Reader;
use crate::hub::error;
use crate::mailbox::{Entry, Joined, MailboxError, Published, Query, Write};

/// Bytes of bundles in the answers to one `Find`.
const FOUND_BYTES: usize = 64 << 10;

impl Reader<'_> {
    pub(crate) async fn control(&self, record: ToRelay) {
        match record {
            ToRelay::Publish { bundle } => self.publish(bundle.into()).await,
            ToRelay::Join { room } => self.join(room).await,
            ToRelay::Leave { room } => self.leave(room).await,
            ToRelay::Find { peer, nick } => self.find(peer, nick).await,
            ToRelay::OneTimeKeys { keys, anew } => self.one_time_keys(keys.0, anew).await,
            ToRelay::TakeOneTimeKey { peer } => self.take_one_time_key(peer).await,
            ToRelay::Hello { .. }
            | ToRelay::Submit { .. }
            | ToRelay::Ack { .. }
            | ToRelay::Ping { .. }
            | ToRelay::Pass { .. } => {}
        }
    }

    async fn publish(&self, bundle: Bytes) {
        let peer = self.client.peer;
        let verified = match SignedBundle::verify(&bundle) {
            Ok(verified) if verified.peer_id == peer => verified,
            Ok(_) => {
                self.client.answer(&error(Refusal::NotAllowed, "the bundle is another peer's"));
                return;
            }
            Err(reason) => {
                self.client.answer(&error(Refusal::NotAllowed, format!("the bundle is refused: {reason}")));
                return;
            }
        };
        let Some(place) = self.place(bundle.len()).await else { return self.failed() };
        let (hub, client, published) =
            (Arc::clone(&self.relay.hub), Arc::clone(&self.client), bundle.clone());
        let done = Box::new(move |result: Result<Published, MailboxError>| {
            match result {
                Ok(Published::New) => hub.published(&client, &published),
                Ok(Published::Old) => {}
                Ok(Published::Ahead) => {
                    client
                        .answer(&error(Refusal::Clock, "the bundle is dated more than a day in the future"));
                }
                Ok(Published::Full) => {
                    client.answer(&error(Refusal::MailboxFull, "the directory is full"));
                }
                Err(_) => client.answer(&error(Refusal::Storage, "the bundle was not stored")),
            }
            drop(place);
        });
        let (nick, created) = (verified.bundle.nick, verified.bundle.created);
        let now = self.relay.environment.now();
        self.change(Write::Publish { peer, nick, created, now, bundle, done }).await;
    }

    async fn join(&self, room: RoomName) {
        if !self.client.is_in(&room) && !self.visit.may_join() {
            self.relay.counters.refused_addresses.one();
            let detail = "too many new members from your network address; try again in a minute";
            return self.client.answer(&error(Refusal::TooFast, detail));
        }
        let Some(place) = self.place(0).await else { return self.failed() };
        let (hub, client, peer) = (Arc::clone(&self.relay.hub), Arc::clone(&self.client), self.client.peer);
        let joining = room.clone();
        let done = Box::new(move |result: Result<Joined, MailboxError>| {
            match result {
                Ok(Joined::New { bundle }) => hub.joined(&client, &joining, true, bundle),
                Ok(Joined::Already) => hub.joined(&client, &joining, false, None),
                Ok(Joined::TooManyRooms) => {
                    client.answer(&error(Refusal::NotAllowed, "a member of too many rooms"));
                }
                Ok(Joined::RoomFull) => client.answer(&error(Refusal::MailboxFull, "the room is full")),
                Err(_) => client.answer(&error(Refusal::Storage, "the membership was not stored")),
            }
            drop(place);
        });
        let hub = Arc::clone(&self.relay.hub);
        let is_online = Arc::new(move |peer| hub.is_online(peer));
        self.change(Write::Join { peer, room, is_online, done }).await;
    }

    async fn leave(&self, room: RoomName) {
        let Some(place) = self.place(0).await else { return self.failed() };
        let (hub, client, peer) = (Arc::clone(&self.relay.hub), Arc::clone(&self.client), self.client.peer);
        let leaving = room.clone();
        let done = Box::new(move |result: Result<bool, MailboxError>| {
            match result {
                Ok(true) => hub.left(peer, &leaving),
                Ok(false) => {}
                Err(_) => client.answer(&error(Refusal::Storage, "leaving was not stored")),
            }
            drop(place);
        });
        self.change(Write::Leave { peer, room, done }).await;
    }

    async fn find(&self, peer: Option<PeerId>, nick: Option<Nick>) {
        let query = match (peer, &nick) {
            (Some(peer), _) => Query::Peer(peer),
            (None, Some(nick)) => Query::Nick(nick.clone()),
            (None, None) => return self.client.answer(&FromRelay::Unknown { peer, nick }),
        };
        if !self.client.has_room(FOUND_BYTES) {
            return self.client.answer(&error(Refusal::TooFast, "the relay is short of memory"));
        }
        let found = match self.relay.in_time(self.relay.mailbox.find(query, FOUND_BYTES)).await {
            Ok(found) => found,
            Err(_) => return self.client.answer(&error(Refusal::Storage, "the directory failed")),
        };
        let mut known = false;
        for Entry { peer, bundle } in found {
            let Some(bundle) = bundle else { continue };
            known = true;
            let online = self.relay.hub.is_online(peer);
            self.client.answer(&FromRelay::Peer { bundle: bundle.to_vec(), online });
        }
        if !known {
            self.client.answer(&FromRelay::Unknown { peer, nick });
        }
    }
}
