//! One-time keys: taken in from their owners, and given out, each once.

use std::sync::Arc;

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, SignedOneTimeKey};

use crate::connection::Reader;
use crate::hub::error;
use crate::mailbox::{MailboxError, Stocked, Taken, Write};

impl Reader<'_> {
    /// Who signed them is for those to check who use them; a peer that publishes rubbish harms itself.
    pub(crate) async fn one_time_keys(&self, keys: Vec<Vec<u8>>, anew: bool) {
        let dated: Result<Vec<_>, _> = keys
            .into_iter()
            .map(|key| SignedOneTimeKey::read(&key).map(|read| (Bytes::from(key), read.expires)))
            .collect();
        let keys = match dated {
            Ok(keys) => keys,
            Err(reason) => {
                let detail = format!("a one-time key is refused: {reason}");
                return self.client.answer(&error(Refusal::NotAllowed, detail));
            }
        };
        let bytes = keys.iter().map(|(key, _)| key.len()).sum();
        let Some(place) = self.place(bytes).await else { return self.failed() };
        let client = Arc::clone(&self.client);
        let done = Box::new(move |result: Result<Stocked, MailboxError>| {
            client.answer(&match result {
                Ok(Stocked::Left(left)) => FromRelay::OneTimeKeysLeft { left },
                Ok(Stocked::Full) => error(Refusal::MailboxFull, "the directory is full"),
                Err(_) => error(Refusal::Storage, "the one-time keys were not stored"),
            });
            drop(place);
        });
        let (peer, now) = (self.client.peer, self.relay.environment.now());
        self.change(Write::OneTimeKeys { peer, keys, anew, now, done }).await;
    }

    /// A first message can be made without one, so whoever may not have one is told that there is none.
    pub(crate) async fn take_one_time_key(&self, peer: PeerId) {
        let none = FromRelay::OneTimeKey { peer, key: None };
        if peer == self.client.peer || !self.visit.may_take_a_one_time_key() {
            return self.client.answer(&none);
        }
        let Some(place) = self.place(0).await else { return self.client.answer(&none) };
        let (hub, client) = (Arc::clone(&self.relay.hub), Arc::clone(&self.client));
        let done = Box::new(move |result: Result<Taken, MailboxError>| {
            let key = match result {
                Ok(Taken { key: Some(key), left }) => {
                    hub.gave_out(peer, left);
                    Some(key.to_vec())
                }
                _ => None,
            };
            client.answer(&FromRelay::OneTimeKey { peer, key });
            drop(place);
        });
        let (asker, now) = (self.client.peer, self.relay.environment.now());
        self.change(Write::TakeOneTimeKey { peer, asker, now, done }).await;
    }
}
