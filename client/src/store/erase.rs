//! What is deleted, by somebody or by its age, and really is gone. Of a peer's message its id is remembered for as long
//! as the peer may send it once more.

use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use rusqlite::params;

use super::{Store, StoreError, b, int, settle_log};

/// A message as search sees it: its row, and what it says.
pub(crate) struct Said<'s> {
    pub(crate) row: i64,
    pub(crate) author: PeerId,
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
    pub(crate) text: &'s str,
}

impl Store {
    /// Gives `visit` the messages in rows after `row`, in the order in which they came into the store, `limit` at most. How
    /// many there were.
    pub(crate) fn each_said_after(
        &self,
        row: i64,
        limit: u32,
        mut visit: impl FnMut(Said<'_>),
    ) -> Result<u32, StoreError> {
        self.seal.each_text(&self.db, "author, id, conversation", (row, limit), |row, text| {
            visit(Said {
                author: PeerId(row.get(0)?),
                id: MessageId(row.get(1)?),
                conversation: ConversationId(row.get(2)?),
                row: row.get(3)?,
                text,
            });
            Ok(())
        })
    }

    /// The messages that are shown under an id: author and conversation. Two authors may have chosen the same.
    pub(crate) fn shown_under(&self, id: MessageId) -> Result<Vec<(PeerId, ConversationId)>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT author, conversation FROM messages WHERE id = ? AND position IS NOT NULL",
        )?;
        let rows = find.query_map([b(&id)], |row| Ok((PeerId(row.get(0)?), ConversationId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Erases a message, and what of it is on its way.
    pub(crate) fn erase_message(
        &self,
        author: PeerId,
        id: MessageId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut remember = self.db.prepare_cached(
            "INSERT OR REPLACE INTO deleted (id, author, at)
             SELECT id, author, ? FROM messages WHERE id = ? AND author = ? AND mine = 0",
        )?;
        remember.execute(params![int(now.0), b(&id), b(&author)])?;
        let mut envelopes = self.db.prepare_cached(
            "DELETE FROM deliveries WHERE message = ?1
               AND EXISTS (SELECT 1 FROM messages m WHERE m.id = ?1 AND m.author = ?2 AND m.mine = 1)",
        )?;
        envelopes.execute(params![b(&id), b(&author)])?;
        let mut roster = self.db.prepare_cached(
            "DELETE FROM closed_texts WHERE message = ?1
               AND EXISTS (SELECT 1 FROM messages m WHERE m.id = ?1 AND m.author = ?2 AND m.mine = 1)",
        )?;
        roster.execute(params![b(&id), b(&author)])?;
        let mut erase = self.db.prepare_cached("DELETE FROM messages WHERE id = ? AND author = ?")?;
        erase.execute(params![b(&id), b(&author)])?;
        self.has_erased.set(true);
        Ok(())
    }

    /// Author and id of everything in a conversation.
    pub(crate) fn all_in(
        &self,
        conversation: ConversationId,
    ) -> Result<Vec<(PeerId, MessageId)>, StoreError> {
        let mut find = self.db.prepare_cached("SELECT author, id FROM messages WHERE conversation = ?")?;
        let rows =
            find.query_map([b(&conversation)], |row| Ok((PeerId(row.get(0)?), MessageId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Messages that came before `then` and have no way before them: author, id, conversation. One that was said to nobody
    /// has none.
    pub(crate) fn over_before(
        &self,
        then: Timestamp,
        limit: u32,
    ) -> Result<Vec<(PeerId, MessageId, ConversationId)>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT author, id, conversation FROM messages
             WHERE arrived < ? AND position IS NOT NULL
               AND (mine = 0 OR state >= 3
                    OR state = 2 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id))
               AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id AND d.state < 3)
             ORDER BY arrived LIMIT ?",
        )?;
        let rows = find.query_map(params![int(then.0), limit], |row| {
            Ok((PeerId(row.get(0)?), MessageId(row.get(1)?), ConversationId(row.get(2)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a peer's message is, or was, in history.
    pub(crate) fn was_taken(&self, author: PeerId, id: MessageId) -> Result<bool, StoreError> {
        let mut find = self.db.prepare_cached("SELECT 1 FROM deleted WHERE id = ? AND author = ?")?;
        Ok(self.message(author, id)?.is_some() || find.exists(params![b(&id), b(&author)])?)
    }

    pub(crate) fn forget_deleted_before(&self, then: Timestamp) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM deleted WHERE at < ?")?.execute([int(then.0)])?;
        Ok(())
    }

    /// After the commit of a turn that erased something: no earlier state of its pages stays in the log either.
    pub(super) fn forget_log(&self) {
        if self.has_erased.take()
            && let Err(error) = settle_log(&self.db)
        {
            // The next commit that erases, or the end, does it.
            self.has_erased.set(true);
            tracing::warn!(%error, "the log still holds what was deleted, sealed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;
    use crate::store::NewMessage;

    const BOB: PeerId = PeerId([2; 32]);
    const HERE: ConversationId = ConversationId([10; 16]);

    fn insert(store: &Store, n: u8, mine: bool, state: u8) {
        let id = MessageId([n; 16]);
        let message = NewMessage {
            id,
            conversation: HERE,
            author: BOB,
            mine,
            in_room: false,
            text: &format!("text {n}"),
            sent_at: Timestamp(n.into()),
            arrived: Timestamp(n.into()),
            position: Some(n.into()),
            gap: false,
            previous: None,
            link: None,
            client_id: None,
            state,
        };
        store.insert_message(&message).unwrap();
        if mine {
            store.insert_delivery(id, PeerId([3; 32]), [0; 16], Timestamp(1)).unwrap();
        }
    }

    fn sealed(store: &Store, n: u8) -> Vec<u8> {
        let sql = "SELECT sealed FROM sealed_messages WHERE id = ?";
        store.db.query_row(sql, [[n; 16].as_slice()], |row| row.get(0)).unwrap()
    }

    /// Not even what it was sealed as is left in any file.
    #[test]
    fn a_deleted_message_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::File(folder.path().join("client.db"))).unwrap();
        store.begin().unwrap();
        (1..=5).for_each(|n| insert(&store, n, n == 2, 0));
        store.commit().unwrap();
        let bytes: Vec<Vec<u8>> = (1..=5).map(|n| sealed(&store, n)).collect();
        store.begin().unwrap();
        (1..=4).for_each(|n| store.erase_message(BOB, MessageId([n; 16]), Timestamp(9)).unwrap());
        store.commit().unwrap();
        let left = |what: &[u8]| {
            let holds = |path: std::path::PathBuf| {
                std::fs::read(path).unwrap().windows(what.len()).any(|window| window == what)
            };
            folder.path().read_dir().unwrap().any(|entry| holds(entry.unwrap().path()))
        };
        // The middle of a row: its ends may be overwritten by what moved there.
        let middle = |sealed: &Vec<u8>| sealed[12..sealed.len() - 12].to_vec();
        assert!(left(&middle(&bytes[4])), "what is kept is there");
        for gone in &bytes[..4] {
            assert!(!left(&middle(gone)));
        }
        assert!(store.deliveries_of(MessageId([2; 16])).unwrap().is_empty());
        assert!(store.was_taken(BOB, MessageId([1; 16])).unwrap(), "it must not come again");
        assert!(!store.was_taken(BOB, MessageId([2; 16])).unwrap(), "one's own never comes");
        store.forget_deleted_before(Timestamp(10)).unwrap();
        assert!(!store.was_taken(BOB, MessageId([1; 16])).unwrap());
    }

    #[test]
    fn only_what_has_arrived_is_over() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        insert(&store, 1, false, 0);
        insert(&store, 2, true, 1);
        insert(&store, 3, true, 3);
        store
            .set_delivery_state(
                MessageId([3; 16]),
                PeerId([3; 32]),
                super::super::DeliveryState::Delivered,
                None,
            )
            .unwrap();
        // Said to nobody; and to somebody whose keys are not known yet.
        for (n, state) in [(4, 2), (5, 0)] {
            insert(&store, n, true, state);
            store.db.execute("DELETE FROM deliveries WHERE message = ?", [[n; 16].as_slice()]).unwrap();
        }
        insert(&store, 9, false, 0);
        let over = store.over_before(Timestamp(9), 10).unwrap();
        assert_eq!(over.iter().map(|(_, id, _)| id.0[0]).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(store.shown_under(MessageId([9; 16])).unwrap(), [(BOB, HERE)]);
        assert_eq!(store.all_in(HERE).unwrap().len(), 6);
        let mut said = Vec::new();
        assert_eq!(
            store.each_said_after(4, 10, |one| said.push((one.id.0[0], one.text.to_owned()))).unwrap(),
            2
        );
        assert_eq!(said, [(5, "text 5".to_owned()), (9, "text 9".to_owned())]);
        store
            .db
            .execute("UPDATE sealed_messages SET sent_at = 77 WHERE id = ?", [[9; 16].as_slice()])
            .unwrap();
        let damaged = store.each_said_after(0, 10, |_| {});
        assert!(
            matches!(&damaged, Err(StoreError::Damaged(row)) if row.contains("messages, row 0909")),
            "{damaged:?}"
        );
    }
}
