//! Handing envelopes to the relay: in order, in batches, with a bounded number on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chat_core::ids::{EnvelopeId, PeerId, Timestamp};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Envelope, ToRelay};

use super::{Engine, MINUTE_MS, Uptime};
use crate::store::{DeliveryState, StoreError};

/// Most bytes handed to the relay and not yet answered (one envelope may go beyond).
const WINDOW_BYTES: usize = 1 << 20;
/// Most envelopes handed to the relay and not yet answered.
const WINDOW: usize = 512;
/// Most bytes in one record: a relay answers whole records, so over a bad network small ones get on where large ones
/// would never arrive. (One envelope may be larger.)
const BATCH_BYTES: usize = 16 << 10;
/// A relay that answers nothing for so long while something is on its way is no relay.
const ANSWER_MS: u64 = 60_000;
/// How long after a temporary refusal is tried again; twice as long each time, up to a minute.
const RETRY_MS: u64 = 5_000;
const MAX_RETRY_MS: u64 = 60_000;

/// What waits for the relay, and what the relay has not answered yet. In memory: the store knows it all.
#[derive(Default)]
pub(crate) struct Submission {
    queue: VecDeque<EnvelopeId>,
    queued: BTreeSet<EnvelopeId>,
    flight: BTreeMap<EnvelopeId, (usize, Uptime)>,
    flight_bytes: usize,
    /// When the relay answered last.
    answered_at: Uptime,
    /// The relay takes nothing before this time.
    pause: Option<Pause>,
    /// Recipients whose mailbox is full.
    blocked: BTreeMap<PeerId, Pause>,
}

/// A wait that grows.
#[derive(Clone, Copy)]
struct Pause {
    until: Uptime,
    ms: u64,
    /// Over, but remembered until something is taken again.
    over: bool,
}

impl Pause {
    fn after(earlier: Option<Self>, now: Uptime) -> Self {
        let ms = earlier.map_or(RETRY_MS, |pause| (pause.ms * 2).min(MAX_RETRY_MS));
        Self { until: now.plus_ms(ms), ms, over: false }
    }
}

impl Submission {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flight.is_empty()
    }

    pub(super) fn enqueue(&mut self, id: EnvelopeId) {
        if !self.flight.contains_key(&id) && self.queued.insert(id) {
            self.queue.push_back(id);
        }
    }

    fn answered(&mut self, id: EnvelopeId, now: Uptime) {
        self.answered_at = now;
        if let Some((bytes, _)) = self.flight.remove(&id) {
            self.flight_bytes -= bytes;
        }
    }

    fn next(&mut self) -> Option<EnvelopeId> {
        let paused = self.pause.is_some_and(|pause| !pause.over);
        if paused || self.flight.len() >= WINDOW || self.flight_bytes >= WINDOW_BYTES {
            return None;
        }
        let id = self.queue.pop_front()?;
        self.queued.remove(&id);
        Some(id)
    }

    fn is_blocked(&self, peer: PeerId) -> bool {
        self.blocked.get(&peer).is_some_and(|pause| !pause.over)
    }

    fn is_stuck(&self, now: Uptime) -> bool {
        let waits = |since: Uptime| now.ms_since(since.max(self.answered_at)) > ANSWER_MS;
        self.flight.values().any(|(_, since)| waits(*since))
    }
}

impl Engine {
    /// A new link: everything that has not arrived is handed to this relay, which knows what it has already.
    pub(super) fn submit_everything(&mut self) -> Result<(), StoreError> {
        let (pause, blocked) = (self.submission.pause, std::mem::take(&mut self.submission.blocked));
        self.submission = Submission { pause, blocked, ..Submission::default() };
        for id in self.store.open_envelopes()? {
            self.submission.enqueue(id);
        }
        Ok(())
    }

    /// Hands over as much as the window allows. What is handed over is `sent`, committed before it leaves.
    pub(super) fn pump(&mut self) -> Result<(), StoreError> {
        if !self.welcomed {
            return Ok(());
        }
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        while let Some(id) = self.submission.next() {
            // Delivered, failed or sealed anew meanwhile: nothing to hand over.
            let Some(item) = self.store.outbox_item(id)? else { continue };
            // In its order again when the mailbox may have room.
            if self.submission.is_blocked(item.peer) {
                continue;
            }
            let Ok(envelope) = Envelope::decode(&item.envelope) else {
                tracing::error!(envelope = %id.short(), "an envelope in the outbox is damaged");
                continue;
            };
            let bytes = envelope.size();
            if batch_bytes + bytes > BATCH_BYTES && !batch.is_empty() {
                self.out.records.push(ToRelay::Submit { envelopes: std::mem::take(&mut batch) });
                batch_bytes = 0;
            }
            batch_bytes += bytes;
            batch.push(envelope);
            self.submission.flight.insert(id, (bytes, self.up));
            self.submission.flight_bytes += bytes;
            if item.message.is_some() {
                self.advance(id, DeliveryState::Sent, None)?;
            }
        }
        if !batch.is_empty() {
            self.out.records.push(ToRelay::Submit { envelopes: batch });
        }
        if self.submission.is_stuck(self.up) {
            self.out.drop_link = Some("the relay does not answer".to_owned());
        }
        Ok(())
    }

    /// Moves the delivery of an envelope forward; never back, and never after it has arrived or failed.
    fn advance(
        &mut self,
        id: EnvelopeId,
        state: DeliveryState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(delivery) = self.store.delivery_by_envelope(id)? else { return Ok(()) };
        let over = delivery.state >= DeliveryState::Delivered;
        let same = delivery.state >= state && (delivery.reason.is_none() || state < DeliveryState::Stored);
        if over || same {
            return Ok(());
        }
        let state = delivery.state.max(state);
        self.store.set_delivery_state(delivery.message, delivery.peer, state, reason)?;
        if state == DeliveryState::Failed {
            self.store.drop_delivery_envelope(delivery.message, delivery.peer)?;
        }
        self.touched.insert(delivery.message);
        Ok(())
    }

    /// The relay has these on its disk.
    pub(super) fn stored(&mut self, ids: &[EnvelopeId]) -> Result<(), StoreError> {
        // A pause that is not over has something behind it that was refused and is to be handed over again.
        if !ids.is_empty() {
            self.submission.pause.take_if(|pause| pause.over);
        }
        for &id in ids {
            self.submission.answered(id, self.up);
            if self.store.remove_control(id)? {
                continue;
            }
            if !self.submission.blocked.is_empty()
                && let Some(delivery) = self.store.delivery_by_envelope(id)?
                && self.submission.blocked.get(&delivery.peer).is_some_and(|pause| pause.over)
            {
                self.submission.blocked.remove(&delivery.peer);
            }
            self.advance(id, DeliveryState::Stored, None)?;
        }
        Ok(())
    }

    /// The relay does not take this one: tried again later, in its order, or failed.
    pub(super) fn refused_by_relay(&mut self, id: EnvelopeId, why: Refusal) -> Result<(), StoreError> {
        self.submission.answered(id, self.up);
        let reason = match why {
            Refusal::MailboxFull => "the recipient's mailbox is full",
            Refusal::TooLarge => "too large for the relay",
            Refusal::NotAllowed => "not allowed by the relay",
            Refusal::TooFast => "the relay asks to be slower",
            Refusal::Storage => "the relay could not write to its disk",
            _ => "refused by the relay",
        };
        if !why.is_temporary() {
            return match self.store.remove_control(id)? {
                true => Ok(()),
                false => self.advance(id, DeliveryState::Failed, Some(reason)),
            };
        }
        let Some(item) = self.store.outbox_item(id)? else { return Ok(()) };
        if why == Refusal::MailboxFull {
            let earlier = self.submission.blocked.get(&item.peer).copied();
            if earlier.is_none_or(|pause| pause.over) {
                self.submission.blocked.insert(item.peer, Pause::after(earlier, self.up));
            }
        } else if self.submission.pause.is_none_or(|pause| pause.over) {
            self.submission.pause = Some(Pause::after(self.submission.pause, self.up));
        }
        self.tell_of_delay(id, reason)
    }

    fn tell_of_delay(&mut self, id: EnvelopeId, reason: &str) -> Result<(), StoreError> {
        let Some(delivery) = self.store.delivery_by_envelope(id)? else { return Ok(()) };
        let text = format!("{reason}; it will be tried again");
        if delivery.state < DeliveryState::Delivered && delivery.reason.as_ref() != Some(&text) {
            self.store.set_delivery_state(delivery.message, delivery.peer, delivery.state, Some(&text))?;
            self.touched.insert(delivery.message);
        }
        Ok(())
    }

    /// What was refused for a while is handed over again, in order.
    pub(super) fn resume_blocked(&mut self) -> Result<(), StoreError> {
        let now = self.up;
        if let Some(pause) = &mut self.submission.pause
            && !pause.over
            && pause.until <= now
        {
            pause.over = true;
            return self.submit_everything();
        }
        let due: Vec<PeerId> = self
            .submission
            .blocked
            .iter()
            .filter(|(_, p)| !p.over && p.until <= now)
            .map(|(id, _)| *id)
            .collect();
        for peer in due {
            if let Some(pause) = self.submission.blocked.get_mut(&peer) {
                pause.over = true;
            }
            for id in self.store.open_envelopes_of(peer)? {
                self.submission.enqueue(id);
            }
        }
        Ok(())
    }

    /// Copies that the relay has, for peers who are there, but whose receipt doesn't come: handed over again,
    /// in case the receipt was lost with another relay.
    pub(super) fn nudge_unconfirmed(&mut self) -> Result<(), StoreError> {
        if !self.welcomed || self.up.ms_since(self.last_nudge) < MINUTE_MS {
            return Ok(());
        }
        self.last_nudge = self.up;
        self.nudge_rooms()?;
        let minute_ago = Timestamp(self.now.0.saturating_sub(MINUTE_MS));
        for peer in self.online() {
            for id in self.store.unconfirmed_envelopes(peer, minute_ago, self.now)? {
                self.submission.enqueue(id);
            }
        }
        Ok(())
    }
}
