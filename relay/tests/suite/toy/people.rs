//! Whom it knows.

use chat_core::PeerId;
use relay::mailbox::{Entry, Query};

use super::core::Core;
use super::fault::Fault;

impl Core {
    pub(super) fn has_written(&self, peer: PeerId, other: PeerId) -> bool {
        let written = |from, to| self.state.written.contains(&(from, to));
        written(peer, other) || self.fault == Fault::ContactsGoBothWays && written(other, peer)
    }

    pub(super) fn find(&self, whom: &Query, max_bytes: usize) -> Vec<Entry> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (peer, nick, _, bundle) in &self.state.directory {
            let wanted = match whom {
                Query::Peer(wanted) => wanted == peer,
                Query::Nick(wanted) => wanted == nick,
            };
            if wanted {
                bytes += bundle.len();
                if !found.is_empty() && bytes > max_bytes {
                    break;
                }
                found.push(Entry { peer: *peer, bundle: Some(bundle.clone()) });
            }
        }
        found
    }
}
