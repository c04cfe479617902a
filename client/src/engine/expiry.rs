//! Keys that wait for frames do so for seven days. What a relay has kept back since would be opened by whoever steals
//! them, though it came anew and was deleted.

use chat_core::ids::{PeerId, SessionId, Timestamp};

use super::clock::JUMP_MS;
use super::{DAY_MS, Engine};
use crate::store::StoreError;
use crate::watch::Call;

/// How long a session that another one has replaced opens what was on its way.
const REPLACED_MS: u64 = 7 * DAY_MS;
/// Sessions looked at in one tick: a peer may have left thousands of keys in each.
const LOOKED_AT: u32 = 8;

impl Engine {
    /// All sessions are looked at once more.
    pub(super) fn begin_to_expire(&mut self) {
        self.expiring.get_or_insert_default();
    }

    /// Looks at the next few, as long as the wall clock is believed.
    pub(super) fn expire_sessions(&mut self) -> Result<(), StoreError> {
        let Some(after) = self.expiring.filter(|_| self.doubt_since.is_none()) else { return Ok(()) };
        let next = self.store.sessions_after(after, LOOKED_AT)?;
        self.expiring = next.last().map(|(id, _)| *id);
        for (id, peer) in next {
            match self.is_over(id, peer)? {
                true => self.erase_session(id)?,
                false => self.expire_in(id)?,
            }
        }
        Ok(())
    }

    /// Whether another session has sealed in place of this one for so long. Whether frames have come since doesn't
    /// matter: the relay could keep it by giving out one at a time of those that it has kept back.
    fn is_over(&self, id: SessionId, peer: PeerId) -> Result<bool, StoreError> {
        let all = self.store.sessions_of(peer)?;
        let Some((at, row)) = all.iter().enumerate().find(|(_, row)| row.id == id) else { return Ok(false) };
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        if sending == Some(id) && self.is_of_this_stack(row) {
            return Ok(false);
        }
        // If the newest doesn't seal, it never did, but for a moment.
        let replaced = all.get(at + 1).unwrap_or(row).created;
        Ok(self.is_past(replaced))
    }

    /// A date ahead is of a clock that was wrong.
    fn is_past(&self, began: Timestamp) -> bool {
        began.plus_ms(REPLACED_MS) <= self.now || began > self.now.plus_ms(JUMP_MS)
    }

    /// In a session in which nothing happens nothing expires by itself.
    fn expire_in(&mut self, id: SessionId) -> Result<(), StoreError> {
        let was_live = self.live.contains_key(&id);
        let Some(mut live) = self.take_live(id)? else {
            // It can't be restored, so what it holds can't expire.
            let row = self.store.session(id)?.map(|(row, _)| row);
            return if row.is_some_and(|row| self.is_past(row.created)) {
                self.erase_session(id)
            } else {
                Ok(())
            };
        };
        let now = self.now;
        match self.watch.guarded(Call::Expire, || Ok(live.session.expire(now))) {
            Ok(true) => {
                self.has_erased_keys = true;
                self.put_live(live)
            }
            Ok(false) => {
                if was_live {
                    self.live.insert(id, live);
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(session = %id.short(), %error, "what has expired in a session can't be erased");
                Ok(())
            }
        }
    }

    pub(super) fn erase_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        self.live.remove(&id);
        self.has_erased_keys = true;
        self.store.erase_session(id)
    }
}
