//! The link to the relay: it comes, is greeted, and goes.

use chat_core::api::event::{AlarmKind, LinkDown, LinkUp, StackChanged};
use chat_core::api::{Event, LinkState};
use chat_core::ids::PeerId;
use chat_core::wire::relay::{CONNECTED_AGAIN, Refusal};
use chat_core::wire::{ToRelay, WIRE_VERSION};

use super::{Engine, LinkInfo, MINUTE_MS};
use crate::store::StoreError;

/// How long after a temporary refusal bundle and rooms are told to the relay again; each time twice as long, up to
/// the second.
pub(super) const ANNOUNCE_AGAIN_MS: u64 = 5_000;
pub(super) const ANNOUNCE_SELDOM_MS: u64 = 5 * MINUTE_MS;
/// A relay that is reached by another transport says within this who is there.
pub(super) const CONFIRM_MS: u64 = 10_000;

impl Engine {
    /// What the program's own relay listens on, known before the first link.
    pub(crate) fn set_listen(&mut self, listen: Vec<String>) {
        self.listen = listen;
    }

    /// The relay's address, for people, known before the first link.
    pub(crate) fn set_relay(&mut self, relay: String) {
        self.relay = relay;
    }

    pub(super) fn link_up(&mut self, link: LinkInfo) -> Result<(), StoreError> {
        self.relay.clone_from(&link.relay);
        if link.hosting {
            self.listen.clone_from(&link.listen);
        }
        self.link = Some(link);
        self.link_state = LinkState::Connecting;
        self.welcomed = false;
        self.told_of_clock = false;
        self.out.records.push(ToRelay::Hello { version: WIRE_VERSION });
        Ok(())
    }

    /// Another link takes the place of the one there is. Nobody has gone for that, and the relay was never out of reach:
    /// nothing is told but what the link is over. What was not confirmed is handed over again.
    pub(super) fn link_moved(&mut self, link: LinkInfo) -> Result<(), StoreError> {
        // If the new one comes to nothing, that the link is down has not been told yet.
        self.down_reason.take_if(|_| self.welcomed);
        self.abandon_link();
        self.unconfirmed.extend(self.online());
        self.confirm_until = Some(self.up.plus_ms(CONFIRM_MS));
        let state = self.link_state.clone();
        self.link_up(link)?;
        self.link_state = state;
        Ok(())
    }

    /// Who was there on the link before, and is not named on this one, has gone.
    pub(super) fn miss_unconfirmed(&mut self) -> Result<(), StoreError> {
        if self.confirm_until.take_if(|until| *until <= self.up).is_some() {
            for peer in std::mem::take(&mut self.unconfirmed) {
                self.presence(peer, false)?;
            }
        }
        Ok(())
    }

    /// Remembers which of several transports the link is over, and says so if it is another than before.
    fn tell_transport(&mut self) {
        let Some(link) = &self.link else { return };
        let stack = &mut self.config.stack;
        let (number, reason) = link.choice.clone().unwrap_or_default();
        let Some(chosen) = stack.transports.get(number).filter(|transport| !transport.in_use) else { return };
        stack.transport.clone_from(&chosen.kind);
        for (n, transport) in stack.transports.iter_mut().enumerate() {
            transport.in_use = n == number;
        }
        self.views.forget_stack();
        self.out.events.push(Event::StackChanged(StackChanged {
            transport: stack.transport.clone(),
            relay: link.relay.clone(),
            reason,
            transports: stack.transports.clone(),
        }));
    }

    pub(super) fn welcome(&mut self, version: u32, one_time_keys: Option<u32>) -> Result<(), StoreError> {
        if self.welcomed {
            return Ok(());
        }
        if version != WIRE_VERSION {
            self.out.drop_link = Some(format!("the relay speaks wire version {version}, not {WIRE_VERSION}"));
            return Ok(());
        }
        let Some(link) = &self.link else { return Ok(()) };
        self.link_state = LinkState::Up;
        self.welcomed = true;
        self.out.events.push(Event::LinkUp(LinkUp {
            relay: link.relay.clone(),
            fingerprint: link.fingerprint,
            hosting: link.hosting,
            listen: link.listen.clone(),
        }));
        self.tell_transport();
        self.announce();
        self.one_time_keys_left(one_time_keys)?;
        self.resume_renewals()?;
        self.ask_for_pinned();
        self.seal_all_waiting()?;
        self.submit_everything()
    }

    /// The relay refused a record other than an envelope: bundle or rooms. What may pass is tried again.
    pub(super) fn refused_record(&mut self, why: Refusal, detail: &str) {
        if why == Refusal::Clock {
            self.announce_at = Some(self.up.plus_ms(MINUTE_MS));
            if !std::mem::replace(&mut self.told_of_clock, true) {
                let detail = "the relay's clock is more than a day behind this one, so it does not take your keys and \
                              nobody new finds you: check the date of this machine; it will be tried again";
                self.alarm(AlarmKind::Refused, None, detail.to_owned());
            }
            return;
        }
        if why == Refusal::NotAllowed && detail == CONNECTED_AGAIN && self.welcomed {
            let detail = "a second copy of your identity is in use: another program connected with it, so the relay ended \
                          this link. End one of the two, if both are yours (a copied folder, a backup that was put back); \
                          if you know of no other, somebody has your key, and only a new identity is yours alone";
            self.alarm(AlarmKind::Refused, None, detail.to_owned());
            return;
        }
        let detail: String = chat_core::nick::inert(detail).chars().take(200).collect();
        if !self.welcomed {
            // Told as the reason why there is no link, and tried again as after any other.
            let reason = format!("the relay takes no link now: {why:?} {detail}");
            self.link_refused = Some(reason.clone());
            self.out.drop_link = Some(reason);
            return;
        }
        if why.is_temporary() && self.announce_at.is_none() {
            self.announce_at = Some(self.up.plus_ms(self.announce_wait_ms));
            self.announce_wait_ms = (self.announce_wait_ms * 2).min(ANNOUNCE_SELDOM_MS);
        }
        self.alarm(AlarmKind::Refused, None, format!("the relay refused a record: {why:?} {detail}"));
    }

    /// Tells the relay one's bundle and rooms.
    pub(super) fn announce(&mut self) {
        self.publish();
        self.join_all();
    }

    pub(super) fn link_down(&mut self, reason: String) -> Result<(), StoreError> {
        self.forget_link(reason);
        self.forget_claims();
        self.end_writing(true);
        for peer in self.online() {
            self.presence(peer, false)?;
        }
        Ok(())
    }

    /// Whether there is nothing left that the relay could take now; nor, if this program is the relay, that somebody who
    /// is there could take of it.
    pub(crate) fn is_drained(&self) -> bool {
        !self.welcomed || (self.submission.is_idle() && self.unsent() == 0 && !self.owes_somebody_here())
    }

    /// Messages of one's own of which the relay that this program hosts has copies, and not all recipients: when the
    /// program ends, nobody else has them.
    pub(crate) fn unsent_by_own_relay(&self) -> u64 {
        match self.is_hosting().then(|| self.store.count_stored()) {
            None => 0,
            Some(Ok(count)) => count,
            Some(Err(error)) => {
                tracing::error!(%error, "what has not arrived can't be counted");
                0
            }
        }
    }

    fn is_hosting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.hosting)
    }

    fn owes_somebody_here(&self) -> bool {
        if !self.is_hosting() {
            return false;
        }
        let here = |peer: &PeerId| self.contacts.get(peer).is_some_and(|contact| contact.online);
        self.store.peers_with_stored().is_ok_and(|peers| peers.iter().any(here))
    }

    /// Everything that was so on the link only.
    fn abandon_link(&mut self) {
        self.welcomed = false;
        self.link = None;
        self.announce_at = None;
        self.announce_wait_ms = ANNOUNCE_AGAIN_MS;
        self.forget_announcements();
        self.forget_asked();
        self.submission.clear();
        self.unconfirmed.clear();
        self.confirm_until = None;
    }

    /// What the end of a link means before anything is written.
    pub(super) fn forget_link(&mut self, reason: String) {
        // That the relay closed it says less than what it said before.
        let reason = self.link_refused.take().unwrap_or(reason);
        let lost = self.welcomed;
        self.abandon_link();
        // One event for each time a link is lost that was told to be up, or the reason changes; not one an attempt.
        if lost || self.down_reason.as_ref() != Some(&reason) {
            let relay = self.relay.clone();
            self.out.events.push(Event::LinkDown(LinkDown { relay, reason: reason.clone() }));
        }
        self.link_state = LinkState::Down { reason: reason.clone() };
        self.down_reason = Some(reason);
    }
}
