//! The chain of messages per sender, conversation and recipient, and envelopes seen before.

use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, b, int};

/// The first half of the SHA-256 of a sealed frame.
pub(crate) type FrameHash = [u8; 16];
/// The same of an envelope: what stands beside the frame is the relay's word, which must not make a frame known under what
/// another one has.
pub(crate) type EnvelopeHash = [u8; 16];

impl Store {
    /// The last link of a chain; `None` before its first message.
    pub(crate) fn chain(
        &self,
        conversation: ConversationId,
        peer: PeerId,
        outgoing: bool,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        let mut find = self
            .db
            .prepare_cached("SELECT link FROM chains WHERE conversation = ? AND peer = ? AND outgoing = ?")?;
        Ok(find.query_row(params![b(&conversation), b(&peer), outgoing], |row| row.get(0)).optional()?)
    }

    pub(crate) fn set_chain(
        &self,
        conversation: ConversationId,
        peer: PeerId,
        outgoing: bool,
        link: [u8; 16],
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO chains VALUES (?,?,?,?)")?;
        put.execute(params![b(&conversation), b(&peer), outgoing, link.as_slice()])?;
        Ok(())
    }

    /// Whether exactly this envelope was processed before, and if so, which text it brought.
    pub(crate) fn seen_envelope(
        &self,
        envelope: &EnvelopeHash,
        sender: PeerId,
    ) -> Result<Option<Option<MessageId>>, StoreError> {
        let mut find =
            self.db.prepare_cached("SELECT message FROM seen_envelopes WHERE id = ? AND sender = ?")?;
        let found =
            find.query_row(params![envelope.as_slice(), b(&sender)], |row| row.get::<_, Option<[u8; 16]>>(0));
        Ok(found.optional()?.map(|message| message.map(MessageId)))
    }

    pub(crate) fn remember_envelope(
        &self,
        envelope: &EnvelopeHash,
        sender: PeerId,
        message: Option<MessageId>,
        frame: &FrameHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "INSERT OR REPLACE INTO seen_envelopes (id, sender, message, at, frame) VALUES (?,?,?,?,?)",
        )?;
        let (id, frame) = (envelope.as_slice(), frame.as_slice());
        put.execute(params![id, b(&sender), message.as_ref().map(b), int(now.0), frame])?;
        Ok(())
    }

    /// Whether exactly these sealed bytes were opened before, in whatever envelope.
    pub(crate) fn frame_is_known(&self, sender: PeerId, frame: &FrameHash) -> Result<bool, StoreError> {
        let mut find =
            self.db.prepare_cached("SELECT 1 FROM seen_envelopes WHERE frame = ? AND sender = ?")?;
        Ok(find.exists(params![frame.as_slice(), b(&sender)])?)
    }

    pub(crate) fn forget_envelopes_before(&self, then: Timestamp) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM seen_envelopes WHERE at < ?", [int(then.0)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;

    const BOB: PeerId = PeerId([2; 32]);
    const EVE: PeerId = PeerId([3; 32]);

    #[test]
    fn each_conversation_peer_and_direction_has_its_chain() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let (here, there) = (ConversationId([1; 16]), ConversationId([2; 16]));
        store.set_chain(here, BOB, true, [7; 16]).unwrap();
        store.set_chain(here, BOB, true, [8; 16]).unwrap();
        assert_eq!(store.chain(here, BOB, true).unwrap(), Some([8; 16]));
        for (conversation, peer, outgoing) in [(there, BOB, true), (here, EVE, true), (here, BOB, false)] {
            assert_eq!(store.chain(conversation, peer, outgoing).unwrap(), None);
        }
    }

    #[test]
    fn an_envelope_and_its_frame_are_known_until_they_are_forgotten() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let (text, receipt) = ([1; 16], [2; 16]);
        let message = Some(MessageId([5; 16]));
        store.remember_envelope(&text, BOB, message, &[7; 16], Timestamp(10)).unwrap();
        store.remember_envelope(&receipt, BOB, None, &[8; 16], Timestamp(20)).unwrap();
        assert_eq!(store.seen_envelope(&text, BOB).unwrap(), Some(message));
        assert_eq!(store.seen_envelope(&receipt, BOB).unwrap(), Some(None));
        assert_eq!(store.seen_envelope(&text, EVE).unwrap(), None);
        assert!(
            store.frame_is_known(BOB, &[7; 16]).unwrap() && !store.frame_is_known(BOB, &[9; 16]).unwrap()
        );
        assert!(!store.frame_is_known(EVE, &[7; 16]).unwrap(), "another's frame says nothing");
        store.forget_envelopes_before(Timestamp(20)).unwrap();
        assert_eq!(store.seen_envelope(&text, BOB).unwrap(), None);
        assert_eq!(store.seen_envelope(&receipt, BOB).unwrap(), Some(None));
    }
}
