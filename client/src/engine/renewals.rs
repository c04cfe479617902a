//! Renewals: a peer whose frames can't be opened is asked to seal them anew, and does the same when it is asked. Both are
//! done seldom, as anybody can make a frame that does not open; what comes too soon after the last is done when it is time.

use std::collections::BTreeMap;

use chat_core::ids::{PeerId, SessionId};
use chat_core::wire::Body;

use super::peers::Contact;
use super::{Engine, Renewal};
use crate::store::StoreError;

/// Most unknown peers whose bundle is waited for.
const MAX_WANTED: usize = 256;
/// Most peers with whom something is to be renewed later.
const MAX_POSTPONED: usize = 1_024;

/// What came too soon after the last of its kind.
#[derive(Default)]
pub(crate) struct Postponed {
    renewals: BTreeMap<PeerId, Renewal>,
    /// Wishes of peers, each with the newest session that brought one.
    wishes: BTreeMap<PeerId, SessionId>,
}

fn postpone<T>(all: &mut BTreeMap<PeerId, T>, peer: PeerId, what: T) {
    if all.len() < MAX_POSTPONED || all.contains_key(&peer) {
        all.insert(peer, what);
    }
}

impl Engine {
    /// The peer could not open what was sealed before: from now on it is sealed with the session that brought the wish,
    /// which the peer certainly has.
    pub(super) fn renewed(&mut self, from: PeerId, session: SessionId) -> Result<(), StoreError> {
        if !self.rates.may_seal_anew(from, self.up) {
            postpone(&mut self.postponed.wishes, from, session);
            return Ok(());
        }
        self.set_sending(from, session)?;
        self.seal_anew(from)
    }

    /// Asks a peer whose frames can't be opened to seal them anew.
    pub(super) fn renew(&mut self, peer: PeerId, how: Renewal) -> Result<(), StoreError> {
        if !self.rates.may_renew(peer, self.up) {
            let before = self.postponed.renewals.get(&peer).copied();
            let how = before.map_or(how, |before| before.max(how));
            postpone(&mut self.postponed.renewals, peer, how);
            return Ok(());
        }
        // A stranger, or nothing to begin a session with: the directory may have it.
        let usable = |contact: &Contact| {
            let bundle = &contact.bundle.bundle;
            bundle.expires >= self.now && self.profile.agree(&bundle.profile).is_ok()
        };
        if !self.contacts.get(&peer).is_some_and(usable) {
            self.rates.forget_renewal(peer);
            if self.renew_when_known.len() < MAX_WANTED && self.renew_when_known.insert(peer) {
                self.ask_for(peer);
            }
            return Ok(());
        }
        self.begin_renewal(peer, how)
    }

    /// The same because the user has decided something about the peer, which nobody else can make happen: at once.
    pub(super) fn renew_as_decided(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.rates.forget_renewal(peer);
        self.renew(peer, Renewal::Anew)
    }

    /// Begins the session over which the peer is asked, as soon as there may be one.
    pub(super) fn begin_renewal(&mut self, peer: PeerId, how: Renewal) -> Result<(), StoreError> {
        let over_this = how == Renewal::OverAny && self.confirmed_sending(peer)?.is_some();
        if !over_this && self.renewal_waits(peer, how) {
            return Ok(());
        }
        if over_this || self.initiate(peer)?.is_some() {
            self.send_control(peer, self.direct(peer), Body::Renewed)?;
        }
        // A peer that has forgotten what it did has forgotten receipts, too, or sealed them in vain.
        if how == Renewal::Rewound { self.seal_anew(peer) } else { Ok(()) }
    }

    /// What was postponed is done if it is time.
    pub(super) fn renew_postponed(&mut self) -> Result<(), StoreError> {
        let Postponed { renewals, wishes } = std::mem::take(&mut self.postponed);
        for (peer, how) in renewals {
            self.renew(peer, how)?;
        }
        for (peer, session) in wishes {
            self.renewed(peer, session)?;
        }
        Ok(())
    }
}
