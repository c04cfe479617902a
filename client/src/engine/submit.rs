//! Handing envelopes to the relay: in order, in batches, with a bounded number on the way.

use std::collections::{HashMap, HashSet, VecDeque};

use chat_core::ids::{EnvelopeId, PeerId, Timestamp};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Envelope, ToRelay};

use super::{Engine, MINUTE_MS};
use crate::store::{DeliveryState, StoreError};

/// Most bytes handed to the relay and not yet answered (one envelope may go beyond).
const WINDOW_BYTES: usize = 1 << 20;
/// Most envelopes handed to the relay and not yet answered.
const WINDOW: usize = 512;
/// Most bytes in one record, well below the longest frame.
const BATCH_BYTES: usize = 1 << 19;
/// A relay that leaves an envelope unanswered for so long is no relay.
const ANSWER_MS: u64 = 30_000;
/// How long after a temporary refusal the envelope is tried again.
const RETRY_MS: u64 = 5_000;

/// What waits for the relay, and what the relay has not answered yet. In memory: the store knows it all.
#[derive(Default)]
pub(crate) struct Submission {
    queue: VecDeque<EnvelopeId>,
    queued: HashSet<EnvelopeId>,
    flight: HashMap<EnvelopeId, (usize, Timestamp)>,
    flight_bytes: usize,
    later: VecDeque<(Timestamp, EnvelopeId)>,
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

    fn answered(&mut self, id: EnvelopeId) {
        if let Some((bytes, _)) = self.flight.remove(&id) {
            self.flight_bytes -= bytes;
        }
    }

    fn next(&mut self, now: Timestamp) -> Option<EnvelopeId> {
        while let Some((at, id)) = self.later.front().copied().filter(|(at, _)| *at <= now) {
            debug_assert!(at <= now);
            self.later.pop_front();
            self.enqueue(id);
        }
        if self.flight.len() >= WINDOW || self.flight_bytes >= WINDOW_BYTES {
            return None;
        }
        let id = self.queue.pop_front()?;
        self.queued.remove(&id);
        Some(id)
    }

    fn is_stuck(&self, now: Timestamp) -> bool {
        self.flight.values().any(|(_, since)| now.ms_since(*since) > ANSWER_MS)
    }
}

impl Engine {
    /// A new link: everything that has not arrived is handed to this relay, which knows what it has already.
    pub(super) fn submit_everything(&mut self) -> Result<(), StoreError> {
        self.submission.clear();
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
        while let Some(id) = self.submission.next(self.now) {
            // Delivered, failed or sealed anew meanwhile: nothing to hand over.
            let Some(item) = self.store.outbox_item(id)? else { continue };
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
            self.submission.flight.insert(id, (bytes, self.now));
            self.submission.flight_bytes += bytes;
            if item.message.is_some() {
                self.advance(id, DeliveryState::Sent, None)?;
            }
        }
        if !batch.is_empty() {
            self.out.records.push(ToRelay::Submit { envelopes: batch });
        }
        if self.submission.is_stuck(self.now) {
            self.out.drop_link = Some("the relay does not answer".to_owned());
        }
        Ok(())
    }

    /// Moves the delivery of an envelope forward; never back.
    fn advance(
        &mut self,
        id: EnvelopeId,
        state: DeliveryState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(delivery) = self.store.delivery_by_envelope(id)? else { return Ok(()) };
        if delivery.state >= state && delivery.reason.is_none() {
            return Ok(());
        }
        let state = delivery.state.max(state);
        self.store.set_delivery_state(delivery.message, delivery.peer, state, reason)?;
        self.refresh_status(delivery.message)
    }

    /// The relay has these on its disk.
    pub(super) fn stored(&mut self, ids: &[EnvelopeId]) -> Result<(), StoreError> {
        for &id in ids {
            self.submission.answered(id);
            if !self.store.remove_control(id)? {
                self.advance(id, DeliveryState::Stored, None)?;
            }
        }
        Ok(())
    }

    /// The relay does not take this one: tried again later, or failed.
    pub(super) fn refused_by_relay(&mut self, id: EnvelopeId, why: Refusal) -> Result<(), StoreError> {
        self.submission.answered(id);
        let reason = match why {
            Refusal::MailboxFull => "the recipient's mailbox is full",
            Refusal::TooLarge => "too large for the relay",
            Refusal::NotAllowed => "not allowed by the relay",
            Refusal::TooFast => "the relay asks to be slower",
            Refusal::Storage => "the relay could not write to its disk",
            _ => "refused by the relay",
        };
        if why.is_temporary() {
            self.submission.later.push_back((self.now.plus_ms(RETRY_MS), id));
            let Some(delivery) = self.store.delivery_by_envelope(id)? else { return Ok(()) };
            let text = format!("{reason}; it will be tried again");
            self.store.set_delivery_state(delivery.message, delivery.peer, delivery.state, Some(&text))?;
            return self.refresh_status(delivery.message);
        }
        if self.store.remove_control(id)? {
            return Ok(());
        }
        self.advance(id, DeliveryState::Failed, Some(reason))
    }

    /// Copies that the relay has, for peers who are there, but whose receipt doesn't come: handed over again,
    /// in case the receipt was lost with another relay.
    pub(super) fn nudge_unconfirmed(&mut self) -> Result<(), StoreError> {
        if !self.welcomed || self.now.ms_since(self.last_nudge) < MINUTE_MS {
            return Ok(());
        }
        self.last_nudge = self.now;
        let minute_ago = Timestamp(self.now.0.saturating_sub(MINUTE_MS));
        let online: Vec<PeerId> = self.contacts.iter().filter(|(_, c)| c.online).map(|(id, _)| *id).collect();
        for peer in online {
            for id in self.store.unconfirmed_envelopes(peer, minute_ago)? {
                self.submission.enqueue(id);
            }
        }
        Ok(())
    }
}
