//! Keys of messages that have not arrived when later ones did. Each is a row of the saved session.
//!
//! ```text
//! row key     ratchet public key (32) ‖ n u32
//! row value   message key (32) ‖ when it was stored u64, ms ‖ place in the order of storing u64
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{CryptoError, SavedSession, StateChange, Timestamp};
use x25519_agreement::KEY_LEN;
use zeroize::Zeroizing;

use crate::keys::{COUNT_END, MessageKey};

/// Most keys stored; the oldest go first.
pub const MAX_STORED: usize = 2000;
/// Keys are erased at this age: seven days, in milliseconds.
pub const MAX_STORED_MS: u64 = 7 * 24 * 60 * 60 * 1000;

const SAVED: CryptoError = CryptoError::Malformed("saved row of a session");
const ROW_LEN: usize = 32 + 8 + 8;

/// Which message a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) public: [u8; KEY_LEN],
    pub(crate) number: u32,
}

impl Place {
    fn to_bytes(self) -> Vec<u8> {
        [&self.public[..], &self.number.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (public, number) = bytes.split_first_chunk()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        (number < COUNT_END).then_some(Self { public: *public, number })
    }
}

struct Stored {
    key: Box<MessageKey>,
    at: Timestamp,
    order: u64,
}

impl Stored {
    /// Past its age, or stored by a clock that ran so far ahead that its age is not known.
    fn is_expired(&self, now: Timestamp) -> bool {
        now.0.abs_diff(self.at.0) >= MAX_STORED_MS
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ROW_LEN));
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&self.at.0.to_be_bytes());
        bytes.extend_from_slice(&self.order.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (at, order) = rest.split_first_chunk()?;
        let at = Timestamp(u64::from_be_bytes(*at));
        let order = u64::from_be_bytes(order.try_into().ok()?);
        // Room above, so that counting on never overflows.
        (order < u64::MAX / 2).then(|| Self { key: MessageKey::from_bytes(key), at, order })
    }
}

/// What [`Skipped::key`] finds.
pub(crate) enum Found<'a> {
    Key(&'a MessageKey),
    /// It is here until it is looked for what has expired, but too old to be used.
    Expired,
    Nothing,
}

/// All stored keys, and what of them is not yet saved.
#[derive(Default)]
pub(crate) struct Skipped {
    keys: BTreeMap<Place, Stored>,
    /// The same places, oldest first.
    order: BTreeMap<u64, Place>,
    unsaved: BTreeSet<Place>,
    /// In the store, but not here.
    erased: BTreeSet<Place>,
}

impl Skipped {
    pub(crate) fn key(&self, place: Place, now: Timestamp) -> Found<'_> {
        match self.keys.get(&place) {
            None => Found::Nothing,
            Some(stored) if stored.is_expired(now) => Found::Expired,
            Some(stored) => Found::Key(&stored.key),
        }
    }

    /// Stores a key; what had to go for it is returned.
    pub(crate) fn store(&mut self, place: Place, key: Box<MessageKey>, at: Timestamp) -> Option<Place> {
        let order = self.order.last_key_value().map_or(0, |(last, _)| last + 1);
        self.keys.insert(place, Stored { key, at, order });
        self.order.insert(order, place);
        self.unsaved.insert(place);
        let surplus = self.keys.len() > MAX_STORED;
        let oldest = self.order.first_key_value().map(|(_, place)| *place).filter(|_| surplus)?;
        self.erase(oldest);
        Some(oldest)
    }

    /// Forgets a key, here and in the store.
    pub(crate) fn erase(&mut self, place: Place) {
        if let Some(stored) = self.keys.remove(&place) {
            self.order.remove(&stored.order);
            if !self.unsaved.remove(&place) {
                self.erased.insert(place);
            }
        }
    }

    /// Forgets what is too old, and tells what that was.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<Place> {
        let expired = self.keys.iter().filter(|(_, stored)| stored.is_expired(now));
        let expired: Vec<Place> = expired.map(|(place, _)| *place).collect();
        expired.iter().for_each(|place| self.erase(*place));
        expired
    }

    /// What leads from the rows in the store to these.
    pub(crate) fn save_into(&mut self, change: &mut StateChange) {
        let unsaved = std::mem::take(&mut self.unsaved);
        let rows = unsaved.iter().filter_map(|place| Some((place, self.keys.get(place)?)));
        change.put = rows.map(|(place, stored)| (place.to_bytes(), stored.to_bytes())).collect();
        change.delete = std::mem::take(&mut self.erased).into_iter().map(Place::to_bytes).collect();
    }

    /// The keys that [`Self::save_into`] gave to the store.
    pub(crate) fn restore(saved: &SavedSession) -> Result<Self, CryptoError> {
        if saved.rows.len() > MAX_STORED {
            return Err(SAVED);
        }
        let mut skipped = Self::default();
        for (place, row) in &saved.rows {
            let place = Place::from_bytes(place).ok_or(SAVED)?;
            let stored = Stored::from_bytes(row).ok_or(SAVED)?;
            if skipped.order.insert(stored.order, place).is_some() {
                return Err(SAVED);
            }
            skipped.keys.insert(place, stored);
        }
        Ok(skipped)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
