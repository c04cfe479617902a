//! One's own keys: made beside the engine, signed as a bundle, told to the relay.

use chat_core::api::event::AlarmKind;
use chat_core::error::CryptoError;
use chat_core::ids::Timestamp;
use chat_core::key_exchange::NewBundle;
use chat_core::wire::ToRelay;
use chat_core::wire::bundle::{Bundle, SignedBundle, VerifiedBundle};

use super::clock::JUMP_MS;
use super::{DAY_MS, Engine, MINUTE_MS};
use crate::store::{StoreError, StoredBundle};

/// Keys are made anew after this.
const KEYS_FRESH_MS: u64 = 7 * DAY_MS;
/// And may be used by peers for this long.
pub(super) const KEYS_VALID_MS: u64 = 30 * DAY_MS;

/// One's own bundle in use.
pub(crate) struct OwnKeys {
    pub(crate) stored: StoredBundle,
    pub(crate) verified: VerifiedBundle,
}

impl Engine {
    pub(super) fn exchange_key(&self) -> String {
        format!("{} {}", self.profile.key_exchange, self.profile.key_exchange_options)
    }

    /// The newest keys that are not from the future.
    pub(super) fn load_keys(&mut self) -> Result<(), StoreError> {
        self.keys = None;
        let ahead = self.now.plus_ms(JUMP_MS);
        if let Some(stored) = self.store.newest_bundle(&self.exchange_key(), ahead)? {
            self.use_keys(stored)?;
        }
        Ok(())
    }

    /// Takes stored keys into use; signs them anew if the name, the cipher or the time demands another bundle.
    fn use_keys(&mut self, stored: StoredBundle) -> Result<(), StoreError> {
        let current = stored.nick == self.config.nick.as_str()
            && stored.cipher == self.profile.cipher
            && stored.expires > self.now
            && stored.created >= self.store.newest_date(self.now.plus_ms(JUMP_MS))?;
        if current && let Ok(verified) = SignedBundle::verify(&stored.signed) {
            self.keys = Some(OwnKeys { stored, verified });
            return Ok(());
        }
        if self.now.ms_since(stored.made) >= KEYS_FRESH_MS {
            return Ok(());
        }
        let StoredBundle { payload, secret, made, .. } = stored;
        self.sign_keys(NewBundle { payload, secret, one_time: Vec::new() }, made)
    }

    /// Signs a payload as one's bundle and stores it before anybody sees it. Only the newest counts for others, so it is
    /// dated after all others, also if the clock was set back by some hours meanwhile.
    fn sign_keys(&mut self, new: NewBundle, made: Timestamp) -> Result<(), StoreError> {
        let newest = self.store.newest_date(self.now.plus_ms(JUMP_MS))?;
        let created = self.now.max(newest.plus_ms(1));
        let bundle = Bundle {
            identity: self.config.identity.public().as_bytes().to_vec(),
            profile: self.profile.clone(),
            nick: self.config.nick.clone(),
            payload: new.payload.clone(),
            created,
            expires: made.plus_ms(KEYS_VALID_MS),
        };
        let signed = SignedBundle::sign(&bundle, &self.config.identity).encode();
        let verified = match SignedBundle::verify(&signed) {
            Ok(verified) => verified,
            Err(error) => {
                self.alarm(
                    AlarmKind::Refused,
                    None,
                    format!("the key exchange made keys that can't be published: {error}"),
                );
                return Ok(());
            }
        };
        let stored = StoredBundle {
            hash: verified.hash,
            signed,
            payload: new.payload,
            secret: new.secret,
            exchange: self.exchange_key(),
            cipher: self.profile.cipher.clone(),
            nick: self.config.nick.to_string(),
            made,
            created,
            expires: bundle.expires,
        };
        self.store.put_bundle(&stored)?;
        self.keys = Some(OwnKeys { stored, verified });
        Ok(())
    }

    /// Asks for new keys if there are none, or they are old; after a failure not before a minute has passed. Keys from
    /// the future, made when the clock was ahead, are none: see [`Engine::load_keys`].
    pub(super) fn want_fresh_keys(&mut self) {
        let fresh =
            self.keys.as_ref().is_some_and(|keys| self.now.ms_since(keys.stored.made) < KEYS_FRESH_MS);
        let waited = self.up.is_past(self.last_keys_wanted, MINUTE_MS);
        if !fresh && !self.keys_wanted && waited {
            self.keys_wanted = true;
            self.last_keys_wanted = Some(self.up);
            self.out.want_keys = true;
        }
    }

    pub(super) fn keys_made(&mut self, keys: Result<NewBundle, CryptoError>) -> Result<(), StoreError> {
        self.keys_wanted = false;
        match keys {
            Ok(mut new) => {
                let one_time = std::mem::take(&mut new.one_time);
                self.sign_keys(new, self.now)?;
                if !one_time.is_empty() {
                    self.one_time_keys_made(Ok(one_time))?;
                }
                self.publish();
                self.seal_all_waiting()
            }
            Err(error) => {
                self.alarm(AlarmKind::Refused, None, format!("no keys could be made: {error}"));
                Ok(())
            }
        }
    }

    pub(super) fn publish(&mut self) {
        if let (Some(keys), true) = (&self.keys, self.welcomed) {
            self.out.records.push(ToRelay::Publish { bundle: keys.stored.signed.clone() });
        }
    }
}
