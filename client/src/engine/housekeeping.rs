//! What is done now and then: ages end, and a wall clock that was wrong is lived with.

use chat_core::ids::Timestamp;

use super::clock::JUMP_MS;
use super::inbound::MEMORY_MS;
use super::{DAY_MS, Engine, HOUR_MS};
use crate::store::{Kept, StoreError};

impl Engine {
    /// Ages end, once an hour, if the wall clock is believed.
    pub(super) fn keep_house(&mut self) -> Result<(), StoreError> {
        self.expire_sessions()?;
        if !self.up.is_past(self.last_housekeeping, HOUR_MS) {
            return Ok(());
        }
        self.last_housekeeping = Some(self.up);
        if !self.believes_ages()? {
            return Ok(());
        }
        // What was written while the clock was ahead would stay for ever.
        self.store.pull_back(self.now, self.now.plus_ms(JUMP_MS))?;
        let month_ago = Timestamp(self.now.0.saturating_sub(30 * DAY_MS));
        self.store.forget_envelopes_before(Timestamp(self.now.0.saturating_sub(MEMORY_MS)))?;
        self.store.forget_handshakes(self.now)?;
        let ahead = self.now.plus_ms(JUMP_MS);
        self.has_erased_keys |= self.store.erase_bundles_outside(self.now, ahead)?;
        // A day longer than they are given out: a relay's clock need not be this one.
        let day_before = Timestamp(month_ago.0.saturating_sub(DAY_MS));
        self.has_erased_keys |= self.store.erase_one_time_keys_outside(day_before, ahead)?;
        self.begin_to_expire();
        self.expire_sessions()?;
        self.store.remove_controls_before(month_ago)?;
        self.expire_members(month_ago)?;
        self.forget_deleted()?;
        if self.end_history()? {
            // The rest follows at the next ticks.
            self.last_housekeeping = None;
        }
        self.expire(month_ago)
    }

    /// Whether the wall clock is believed as far as to forget and to fail what is old by it. If it is more than a day
    /// away from the last time, either the program was off for so long, or the clock is wrong now, or it was wrong then.
    /// It is believed when it has stood by it for an hour, or in a later run: a program that never runs for an hour
    /// must not keep everything for ever.
    fn believes_ages(&mut self) -> Result<bool, StoreError> {
        let Kept { kept_at, doubted_at } = self.store.kept()?;
        let is_far = kept_at != Timestamp::default() && kept_at.0.abs_diff(self.now.0) > JUMP_MS;
        let stands = match self.doubt_since {
            Some(since) => self.up.ms_since(since) >= HOUR_MS,
            None => doubted_at != Timestamp::default() && self.now >= doubted_at.plus_ms(HOUR_MS),
        };
        if !is_far || stands {
            self.doubt_since = None;
            self.store.set_kept(Kept { kept_at: self.now, doubted_at: Timestamp::default() })?;
            return Ok(true);
        }
        if self.doubt_since.is_none() {
            tracing::info!(
                "the wall clock is more than a day from the last time; nothing is given up for an hour"
            );
            self.doubt_since = Some(self.up);
            self.store.set_kept(Kept { kept_at, doubted_at: self.now })?;
        }
        Ok(false)
    }

    /// The wall clock has jumped and is believed: what goes by dates is looked at again.
    pub(super) fn clock_jumped(&mut self) -> Result<(), StoreError> {
        // An hour from now, whatever was doubted before.
        self.doubt_since = Some(self.up);
        let Kept { kept_at, .. } = self.store.kept()?;
        self.store.set_kept(Kept { kept_at, doubted_at: self.now })?;
        self.load_keys()?;
        if self.welcomed {
            // The relay tells the bundles of everybody again, which may be valid now.
            self.announce();
        }
        self.seal_all_waiting()
    }
}
