//! The link to the relay: it comes, is greeted, and goes.

use chat_core::api::event::{LinkDown, LinkUp};
use chat_core::api::{Event, LinkState};
use chat_core::wire::{ToRelay, WIRE_VERSION};

use super::{ANNOUNCE_AGAIN_MS, Engine, LinkInfo};
use crate::store::StoreError;

impl Engine {
    pub(super) fn link_up(&mut self, link: LinkInfo) -> Result<(), StoreError> {
        self.relay.clone_from(&link.relay);
        if link.hosting {
            self.listen.clone_from(&link.listen);
        }
        self.link = Some(link);
        self.link_state = LinkState::Connecting;
        self.welcomed = false;
        self.out.records.push(ToRelay::Hello { version: WIRE_VERSION });
        Ok(())
    }

    pub(super) fn welcome(&mut self, version: u32) -> Result<(), StoreError> {
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
        self.announce();
        self.seal_all_waiting()?;
        self.submit_everything()
    }

    /// Tells the relay one's bundle and rooms.
    pub(super) fn announce(&mut self) {
        self.publish();
        self.join_all();
    }

    pub(super) fn link_down(&mut self, reason: String) -> Result<(), StoreError> {
        self.forget_link(reason);
        for peer in self.online() {
            self.presence(peer, false)?;
        }
        Ok(())
    }

    /// What the end of a link means before anything is written.
    pub(super) fn forget_link(&mut self, reason: String) {
        // That the relay closed it says less than what it said before.
        let reason = self.link_refused.take().unwrap_or(reason);
        let lost = std::mem::take(&mut self.welcomed);
        self.link = None;
        self.announce_at = None;
        self.announce_wait_ms = ANNOUNCE_AGAIN_MS;
        self.forget_announcements();
        self.submission.clear();
        // One event for each time a link is lost that was told to be up, or the reason changes; not one an attempt.
        if lost || self.down_reason.as_ref() != Some(&reason) {
            let relay = self.relay.clone();
            self.out.events.push(Event::LinkDown(LinkDown { relay, reason: reason.clone() }));
        }
        self.link_state = LinkState::Down { reason: reason.clone() };
        self.down_reason = Some(reason);
    }
}
