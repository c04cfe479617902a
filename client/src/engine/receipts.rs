//! Receipts: that a message is in history here, and that it was read.

use std::collections::BTreeMap;

use chat_core::ids::{ConversationId, MessageId, PeerId};
use chat_core::wire::Body;
use chat_core::wire::body::{MAX_RECEIPT_IDS, ReceiptKind};

use super::Engine;
use crate::store::StoreError;

impl Engine {
    /// The receipts owed by this turn, in the same commit as what they confirm.
    pub(super) fn send_receipts(&mut self) -> Result<(), StoreError> {
        for (peer, messages) in std::mem::take(&mut self.receipts) {
            self.send_receipt(peer, ReceiptKind::Delivered, &Vec::from_iter(messages))?;
        }
        Ok(())
    }

    fn send_receipt(
        &mut self,
        to: PeerId,
        kind: ReceiptKind,
        messages: &[MessageId],
    ) -> Result<(), StoreError> {
        for chunk in messages.chunks(MAX_RECEIPT_IDS) {
            self.send_control(to, self.direct(to), Body::Receipt(kind, chunk.to_vec()))?;
        }
        Ok(())
    }

    /// `msg.mark_read`
    pub(super) fn mark_read(&mut self, conversation: ConversationId, up_to: i64) -> Result<(), StoreError> {
        let mut by_author: BTreeMap<PeerId, Vec<MessageId>> = BTreeMap::new();
        for (author, message) in self.store.mark_seen(conversation, up_to)? {
            by_author.entry(author).or_default().push(message);
        }
        if by_author.is_empty() {
            return Ok(());
        }
        let told = by_author.into_iter().filter(|_| self.config.rules.read_receipts);
        for (author, messages) in told.collect::<Vec<_>>() {
            self.send_receipt(author, ReceiptKind::Read, &messages)?;
        }
        self.conversation_read(conversation)
    }
}
