//! One-time keys: one's own are made, told to the relay and filled up; those of peers are asked for before a session is
//! begun, and gone without if there is none.
//!
//! A key is told to one relay, and never again, so that no two relays give out the same. If a relay has more than are
//! known here for this stack, they are of no use: their secrets are lost, or they are for another stack. It is told to
//! forget them.

use chat_core::api::event::AlarmKind;
use chat_core::error::CryptoError;
use chat_core::ids::{OneTimeKeyId, PeerId};
use chat_core::key_exchange::OneTimePair;
use chat_core::wire::{OneTimeKey, OneTimeKeys, SignedOneTimeKey, ToRelay};

use super::keys::KEYS_VALID_MS;
use super::{Engine, MINUTE_MS, Renewal, Uptime};
use crate::store::{StoreError, StoredOneTimeKey};

/// So many of one's own a relay is to have,
const STOCK: u32 = 100;
/// and if it has fewer than this, it gets more.
const REFILL_BELOW: u32 = 75;
/// Most unused ones kept for one relay, whatever it says that it needs: over it, the oldest are erased.
const MOST_FOR_A_RELAY: u64 = 400;
/// A relay is told more at most this often.
const REFILL_EVERY_MS: u64 = MINUTE_MS;
/// How long a peer's one-time key is waited for.
const WAIT_MS: u64 = 5_000;
/// Most peers whose keys are waited for at a time; beyond that, sessions begin without.
const MOST_ASKED: usize = 1_024;

/// A peer's one-time key on its way to a first message.
pub(super) enum Asked {
    /// The relay was asked.
    At(Uptime),
    /// It came, or there is none.
    Here(Option<PeersKey>, Uptime),
}

/// A peer's one-time key, verified.
pub(super) struct PeersKey {
    pub(super) id: OneTimeKeyId,
    pub(super) public: Vec<u8>,
}

/// What is known of one's own keys at the relay of this link.
#[derive(Default)]
pub(super) struct Stock {
    /// How many it has; none if it keeps none of anybody.
    left: Option<u32>,
    /// New ones are being made.
    making: bool,
    /// When it was told more the last time, in this run.
    told: Option<Uptime>,
}

impl Engine {
    /// The relay of this link says how many of one's own keys it has, none if it keeps no such keys.
    pub(super) fn one_time_keys_left(&mut self, left: Option<u32>) -> Result<(), StoreError> {
        self.stock.left = left.filter(|_| self.config.key_exchange.uses_one_time_keys());
        let Some(left) = self.stock.left else { return Ok(()) };
        let here = self.store.count_one_time_keys(&self.stock_place(), &self.exchange_key())?;
        if u64::from(left) > here {
            self.out.records.push(ToRelay::OneTimeKeys { keys: OneTimeKeys::default(), anew: true });
            self.has_erased_keys |= self.store.erase_one_time_keys_but(&self.stock_place(), 0)?;
            self.stock.left = Some(0);
        }
        self.want_one_time_keys();
        Ok(())
    }

    /// What the relay of this link is remembered by.
    fn stock_place(&self) -> String {
        let fingerprint = self.link.as_ref().and_then(|link| link.fingerprint);
        fingerprint.map_or_else(|| self.relay.clone(), |fingerprint| fingerprint.to_string())
    }

    /// Has more made if the relay has few.
    pub(super) fn want_one_time_keys(&mut self) {
        let Some(left) = self.stock.left.filter(|left| *left < REFILL_BELOW) else { return };
        let due = self.up.is_past(self.stock.told, REFILL_EVERY_MS);
        if self.welcomed && due && !self.stock.making {
            self.stock.making = true;
            self.stock.told = Some(self.up);
            self.out.want_one_time_keys = usize::try_from(STOCK.saturating_sub(left)).ok();
        }
    }

    /// Keys that were made: signed, stored, and only then told to the relay.
    pub(super) fn one_time_keys_made(
        &mut self,
        made: Result<Vec<OneTimePair>, CryptoError>,
    ) -> Result<(), StoreError> {
        self.stock.making = false;
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!(%error, "no one-time keys could be made");
                return Ok(());
            }
        };
        if !self.welcomed || self.stock.left.is_none() {
            return Ok(());
        }
        let keys = self.sign_one_time_keys(made)?;
        self.has_erased_keys |= self.store.erase_one_time_keys_but(&self.stock_place(), MOST_FOR_A_RELAY)?;
        self.out.records.push(ToRelay::OneTimeKeys { keys, anew: false });
        Ok(())
    }

    fn sign_one_time_keys(&mut self, made: Vec<OneTimePair>) -> Result<OneTimeKeys, StoreError> {
        let (relay, exchange) = (self.stock_place(), self.exchange_key());
        let mut signed = Vec::with_capacity(made.len());
        for (public, secret) in made.into_iter().take(STOCK as usize) {
            let key = OneTimeKey {
                key_exchange: self.profile.key_exchange.clone(),
                key_exchange_options: self.profile.key_exchange_options.clone(),
                public,
                expires: self.now.plus_ms(KEYS_VALID_MS),
            };
            let bytes = SignedOneTimeKey::sign(&key, &self.config.identity).encode();
            if let Err(error) = SignedOneTimeKey::read(&bytes) {
                let detail = format!("the key exchange made a one-time key that can't be published: {error}");
                self.alarm(AlarmKind::Refused, None, detail);
                break;
            }
            self.store.put_one_time_key(&StoredOneTimeKey {
                id: key.id(),
                secret: Some(secret),
                exchange: exchange.clone(),
                relay: relay.clone(),
                made: self.now,
            })?;
            signed.push(bytes);
        }
        Ok(OneTimeKeys(signed))
    }

    /// The peer's one-time key for a session that is to be begun now, if there is one. `None`: the answer is on its way,
    /// or there is no relay to ask; [`Engine::seal_waiting`] follows when it is here.
    pub(super) fn one_time_key_of(&mut self, peer: PeerId) -> Option<Option<PeersKey>> {
        if !self.config.key_exchange.uses_one_time_keys() {
            return Some(None);
        }
        if !self.welcomed {
            return None;
        }
        match self.asked.remove(&peer) {
            Some(Asked::Here(key, _)) => return Some(key),
            Some(asked) => {
                self.asked.insert(peer, asked);
                return None;
            }
            None => {}
        }
        if self.stock.left.is_none() || self.asked.len() >= MOST_ASKED {
            return Some(None);
        }
        self.asked.insert(peer, Asked::At(self.up));
        self.out.records.push(ToRelay::TakeOneTimeKey { peer });
        None
    }

    /// The relay gives a peer's one-time key, or has none. Only what was asked for is taken.
    pub(super) fn one_time_key(&mut self, peer: PeerId, key: Option<Vec<u8>>) -> Result<(), StoreError> {
        if !matches!(self.asked.get(&peer), Some(Asked::At(_))) {
            return Ok(());
        }
        let key = key.and_then(|bytes| self.verified_key_of(peer, &bytes));
        self.one_time_key_came(peer, key)
    }

    fn verified_key_of(&mut self, peer: PeerId, bytes: &[u8]) -> Option<PeersKey> {
        let owner = self.contacts.get(&peer)?.bundle.key;
        let verified = match SignedOneTimeKey::verify(bytes, owner) {
            Ok(verified) => verified,
            Err(error) => {
                let detail = format!("the relay gave a one-time key that is not this peer's: {error}");
                self.alarm(AlarmKind::Tampered, Some(peer), detail);
                return None;
            }
        };
        let OneTimeKey { key_exchange, key_exchange_options, public, expires } = verified.key;
        let fits = (&key_exchange, &key_exchange_options)
            == (&self.profile.key_exchange, &self.profile.key_exchange_options);
        (fits && expires >= self.now).then_some(PeersKey { id: verified.id, public })
    }

    fn one_time_key_came(&mut self, peer: PeerId, key: Option<PeersKey>) -> Result<(), StoreError> {
        self.asked.insert(peer, Asked::Here(key, self.up));
        if let Some(how) = self.renewals_waiting.remove(&peer) {
            self.begin_renewal(peer, how)?;
        }
        self.seal_waiting(peer)?;
        // It was asked for because the present session is at its end, and that could seal once more.
        if self.asked.contains_key(&peer) && self.sending_is_due(peer)? {
            self.initiate(peer)?;
        }
        Ok(())
    }

    /// Whether a renewal has to wait for a peer's one-time key; if so, it goes on when that is here.
    pub(super) fn renewal_waits(&mut self, peer: PeerId, how: Renewal) -> bool {
        match self.one_time_key_of(peer) {
            Some(key) => {
                self.asked.insert(peer, Asked::Here(key, self.up));
                false
            }
            None => {
                self.renewals_waiting.insert(peer, how);
                true
            }
        }
    }

    /// Who has not been told a key in time goes without.
    pub(super) fn wait_for_one_time_keys(&mut self) -> Result<(), StoreError> {
        let now = self.up;
        self.asked.retain(|_, asked| !matches!(asked, Asked::Here(_, at) if now.ms_since(*at) >= MINUTE_MS));
        let late = |asked: &Asked| matches!(asked, Asked::At(at) if now.ms_since(*at) >= WAIT_MS);
        let late: Vec<PeerId> =
            self.asked.iter().filter(|(_, asked)| late(asked)).map(|(peer, _)| *peer).collect();
        for peer in late {
            self.one_time_key_came(peer, None)?;
        }
        self.want_one_time_keys();
        Ok(())
    }

    /// There is a link again: who waited for one goes on.
    pub(super) fn resume_renewals(&mut self) -> Result<(), StoreError> {
        for (peer, how) in std::mem::take(&mut self.renewals_waiting) {
            self.begin_renewal(peer, how)?;
        }
        Ok(())
    }

    /// What was asked over a link that is gone is not answered any more.
    pub(super) fn forget_asked(&mut self) {
        self.asked.clear();
        let told = self.stock.told;
        self.stock = Stock { told, making: self.stock.making, ..Stock::default() };
    }

    /// A plugin has refused to use a peer's key.
    pub(super) fn go_without_one_time_key(&mut self, peer: PeerId) {
        self.asked.insert(peer, Asked::Here(None, self.up));
    }
}
