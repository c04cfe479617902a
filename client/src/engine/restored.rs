//! After a backup was put back: its keys and sessions are destroyed, as their twins may live on elsewhere, and made anew.

use chat_core::api::event::AlarmKind;
use chat_core::ids::PeerId;

use super::{Engine, Renewal};
use crate::store::StoreError;

/// Sessions begun anew in one turn.
const RENEWED_AT_A_TIME: usize = 10;

impl Engine {
    /// The user sees that it happened, and what follows.
    pub(super) fn tell_of_backup(&mut self) {
        if let Some(sessions) = self.restored.take() {
            let detail = format!(
                "the history was put back from a backup: all keys and sessions in it are destroyed and made anew, with \
                 {sessions} peers"
            );
            self.alarm(AlarmKind::Restored, None, detail);
        }
    }

    /// Begins a session with everybody whose session was destroyed, a few at a time; each is done when there is one,
    /// whichever side began it.
    pub(super) fn renew_lost_sessions(&mut self) -> Result<(), StoreError> {
        if !self.welcomed || self.keys.is_none() || self.lost_sessions.is_empty() {
            return Ok(());
        }
        let (mut done, mut lost) = (Vec::new(), Vec::new());
        for &peer in &self.lost_sessions {
            match self.contacts.get(&peer) {
                Some(contact) if contact.row.sending.is_none() => lost.push(peer),
                _ => done.push(peer),
            }
        }
        for peer in done {
            self.found_again(peer)?;
        }
        let due: Vec<PeerId> =
            lost.into_iter().filter(|peer| !self.renewals_waiting.contains_key(peer)).collect();
        for peer in due.into_iter().take(RENEWED_AT_A_TIME) {
            self.renew(peer, Renewal::Rewound)?;
        }
        Ok(())
    }

    fn found_again(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.store.renewed(peer)?;
        self.lost_sessions.remove(&peer);
        if self.contacts.contains_key(&peer) {
            let detail = "the session with this peer was renewed after the backup was put back".to_owned();
            self.alarm(AlarmKind::Restored, Some(peer), detail);
        }
        Ok(())
    }
}
