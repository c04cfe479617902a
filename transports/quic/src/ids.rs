//! The ids by which who listens knows its connections (RFC 9000 §5.1).
//!
//! Those of the library have 24 random bits, and it compares the id in a Retry with none that is in use: of the dials to a node
//! that has a thousand links, at eight ids each, one in two thousand fell on such an id, got no answer and ended at its deadline
//! (quinn-rs/quinn#2883).

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use ring::hmac;

const NONCE_BYTES: usize = 8;
/// As much as it takes to tell junk apart, which is answered by nothing.
const TAG_BYTES: usize = 4;

/// A nonce, and what only its node can make of it, so that the node knows it again after a start.
pub(crate) struct Ids {
    node: hmac::Key,
    /// What the nonces of this start are made with, one after the other: no two are the same, and nobody sees which belong
    /// together.
    start: hmac::Key,
    made: u64,
}

impl Ids {
    pub(crate) fn new(node: hmac::Key, start: hmac::Key) -> Self {
        Self { node, start, made: 0 }
    }

    fn tag(&self, nonce: &[u8]) -> hmac::Tag {
        hmac::sign(&self.node, nonce)
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        let nonce = hmac::sign(&self.start, &self.made.to_be_bytes());
        let nonce = &nonce.as_ref()[..NONCE_BYTES];
        ConnectionId::new(&[nonce, &self.tag(nonce).as_ref()[..TAG_BYTES]].concat())
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let (nonce, tag) = id.split_at_checked(NONCE_BYTES).ok_or(InvalidCid)?;
        let known = tag == &self.tag(nonce).as_ref()[..TAG_BYTES];
        known.then_some(()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        NONCE_BYTES + TAG_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ids(node: u8, start: u8) -> Ids {
        let [node, start] = [node, start].map(|byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]));
        Ids::new(node, start)
    }

    #[test]
    fn ten_thousand_links_have_no_id_in_common() {
        let mut ids = ids(1, 1);
        let made: HashSet<ConnectionId> = (0..80_000).map(|_| ids.generate_cid()).collect();
        assert_eq!(made.len(), 80_000);
        assert!(made.iter().all(|id| id.len() == ids.cid_len()));
    }

    #[test]
    fn a_node_knows_its_ids_after_a_start_and_no_others() {
        let (mut before, mut after, other) = (ids(1, 1), ids(1, 2), ids(2, 1));
        let id = before.generate_cid();
        assert_ne!(id, after.generate_cid());
        assert!(after.validate(&id).is_ok() && other.validate(&id).is_err());
        for len in 0..id.len() {
            assert!(after.validate(&ConnectionId::new(&id[..len])).is_err(), "{len}");
        }
        for at in 0..id.len() {
            let mut changed = id.to_vec();
            changed[at] ^= 1;
            assert!(after.validate(&ConnectionId::new(&changed)).is_err(), "{at}");
        }
    }
}
