//! First messages that were looked at, and what the private key gave for each: anybody can send copies of one, with any frame
//! in them, and a copy costs a lookup.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::error::CryptoError;
use chat_core::ids::{PeerId, SessionId};

use super::accept::Accepted;
use super::{HOUR_MS, Uptime};

/// Most first messages of which it is remembered, each with the bundle and the session in it: some megabytes.
const MAX_LOOKED_AT: usize = 2_048;

/// What became of a first message: the session as it began, of which no frame was opened yet, or why there is none.
pub(super) type Outcome = Result<Arc<Accepted>, CryptoError>;

struct Looked {
    at: Uptime,
    /// Of somebody of whom something was opened before: strangers don't displace it.
    known: bool,
    outcome: Outcome,
}

/// First messages of the last hour that have not become sessions.
#[derive(Default)]
pub(crate) struct LookedAt(BTreeMap<(PeerId, SessionId), Looked>);

impl LookedAt {
    pub(super) fn outcome(&self, peer: PeerId, id: SessionId, now: Uptime) -> Option<Outcome> {
        let looked = self.0.get(&(peer, id)).filter(|looked| now.ms_since(looked.at) < HOUR_MS)?;
        Some(looked.outcome.clone())
    }

    /// Remembers it. If there are too many, the oldest gives way, of strangers first: a copy of that costs its peer another
    /// of the first messages that it has in an hour.
    pub(super) fn remember(
        &mut self,
        (peer, id): (PeerId, SessionId),
        known: bool,
        outcome: Outcome,
        now: Uptime,
    ) {
        self.forget_old(now);
        if self.0.len() >= MAX_LOOKED_AT {
            let first = self.0.iter().min_by_key(|(_, looked)| (looked.known, looked.at));
            if let Some(first) = first.map(|(key, _)| *key) {
                self.0.remove(&first);
            }
        }
        self.0.insert((peer, id), Looked { at: now, known, outcome });
    }

    /// It has become a session: its secrets are that one's alone.
    pub(super) fn forget(&mut self, peer: PeerId, id: SessionId) {
        self.0.remove(&(peer, id));
    }

    pub(super) fn forget_old(&mut self, now: Uptime) {
        self.0.retain(|_, looked| now.ms_since(looked.at) < HOUR_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: usize) -> PeerId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        PeerId(id)
    }

    #[test]
    fn strangers_displace_one_another_and_nobody_who_is_known() {
        let (mut all, id) = (LookedAt::default(), SessionId([1; 16]));
        let refused = || Err(CryptoError::Forged);
        all.remember((peer(0), id), true, refused(), Uptime(0));
        for n in 1..=MAX_LOOKED_AT {
            all.remember((peer(n), id), false, refused(), Uptime(n as u64));
        }
        let knows = |all: &LookedAt, n| all.outcome(peer(n), id, Uptime(HOUR_MS - 1)).is_some();
        assert!(knows(&all, 0) && !knows(&all, 1) && knows(&all, 2) && knows(&all, MAX_LOOKED_AT));
        assert_eq!(all.0.len(), MAX_LOOKED_AT);
        assert!(all.outcome(peer(0), SessionId([2; 16]), Uptime(0)).is_none());
        assert!(all.outcome(peer(0), id, Uptime(HOUR_MS)).is_none(), "after an hour");
        all.forget(peer(2), id);
        assert!(!knows(&all, 2));
        all.forget_old(Uptime(2 * HOUR_MS));
        assert!(all.0.is_empty());
    }
}
