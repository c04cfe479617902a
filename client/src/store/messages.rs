//! History.

use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError, b, int, uint};

/// Room between two neighbours, so that a late message finds a place between them.
const STRIDE: i64 = 1 << 20;
/// How far from its neighbour a late message is put, so that a long row of them finds places too.
const STEP: i64 = 1 << 10;

/// A message in history.
#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
    pub(crate) author: PeerId,
    pub(crate) mine: bool,
    pub(crate) in_room: bool,
    pub(crate) text: String,
    pub(crate) sent_at: Timestamp,
    pub(crate) position: i64,
    pub(crate) gap: bool,
    pub(crate) state: u8,
    pub(crate) reason: Option<String>,
}

/// A message about to enter history.
pub(crate) struct NewMessage<'a> {
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
    pub(crate) author: PeerId,
    pub(crate) mine: bool,
    pub(crate) in_room: bool,
    pub(crate) text: &'a str,
    pub(crate) sent_at: Timestamp,
    pub(crate) arrived: Timestamp,
    /// `None` holds it back.
    pub(crate) position: Option<i64>,
    pub(crate) gap: bool,
    pub(crate) previous: Option<[u8; 16]>,
    pub(crate) link: Option<[u8; 16]>,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) state: u8,
}

/// A message held back because something before it is missing.
#[derive(Debug, Clone)]
pub(crate) struct HeldMessage {
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
    pub(crate) author: PeerId,
    pub(crate) previous: [u8; 16],
    pub(crate) link: [u8; 16],
}

const COLUMNS: &str = "id, conversation, author, mine, in_room, text, sent_at, position, gap, state, reason";

fn read(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    Ok(MessageRow {
        id: MessageId(row.get(0)?),
        conversation: ConversationId(row.get(1)?),
        author: PeerId(row.get(2)?),
        mine: row.get(3)?,
        in_room: row.get(4)?,
        text: row.get(5)?,
        sent_at: Timestamp(uint(row.get(6)?)),
        position: row.get::<_, Option<i64>>(7)?.unwrap_or(i64::MAX),
        gap: row.get(8)?,
        state: row.get(9)?,
        reason: row.get(10)?,
    })
}

fn read_held(row: &Row<'_>) -> rusqlite::Result<HeldMessage> {
    Ok(HeldMessage {
        id: MessageId(row.get(0)?),
        conversation: ConversationId(row.get(1)?),
        author: PeerId(row.get(2)?),
        previous: row.get(3)?,
        link: row.get(4)?,
    })
}

impl Store {
    pub(crate) fn insert_message(&self, new: &NewMessage<'_>) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "INSERT INTO messages (id, conversation, author, mine, in_room, text, sent_at, arrived, position,
                gap, previous, link, client_id, state, seen) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )?;
        put.execute(params![
            b(&new.id),
            b(&new.conversation),
            b(&new.author),
            new.mine,
            new.in_room,
            new.text,
            int(new.sent_at.0),
            int(new.arrived.0),
            new.position,
            new.gap,
            new.previous.as_ref().map(<[u8; 16]>::as_slice),
            new.link.as_ref().map(<[u8; 16]>::as_slice),
            new.client_id,
            new.state,
            new.mine,
        ])?;
        Ok(())
    }

    /// Messages that meet a condition.
    pub(super) fn messages_where(
        &self,
        condition: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let mut find =
            self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM messages WHERE {condition}"))?;
        Ok(find.query_map(params, read)?.collect::<Result<_, _>>()?)
    }

    pub(crate) fn message(&self, author: PeerId, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ? AND author = ?");
        Ok(self.db.prepare_cached(&sql)?.query_row(params![b(&id), b(&author)], read).optional()?)
    }

    /// Whether somebody has ever written in a conversation.
    pub(crate) fn has_written(
        &self,
        author: PeerId,
        conversation: ConversationId,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM messages WHERE conversation = ? AND author = ?";
        Ok(self.db.prepare_cached(sql)?.exists(params![b(&conversation), b(&author)])?)
    }

    /// A message shown in a conversation, whoever wrote it.
    pub(crate) fn message_in(
        &self,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE id = ? AND conversation = ? AND position IS NOT NULL"
        );
        Ok(self.db.prepare_cached(&sql)?.query_row(params![b(&id), b(&conversation)], read).optional()?)
    }

    pub(crate) fn message_by_client_id(&self, client_id: &str) -> Result<Option<MessageId>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT id FROM messages WHERE client_id_hash = hashed('messages.client_id', ?)",
        )?;
        Ok(find.query_row([client_id], |row| row.get(0).map(MessageId)).optional()?)
    }

    /// A place after everything in the conversation.
    pub(crate) fn next_position(&self, conversation: ConversationId) -> Result<i64, StoreError> {
        let mut find = self.db.prepare_cached("SELECT max(position) FROM messages WHERE conversation = ?")?;
        let last: Option<i64> = find.query_row([b(&conversation)], |row| row.get(0))?;
        Ok(last.unwrap_or(0) + STRIDE)
    }

    /// A free place just before `position`.
    pub(crate) fn position_before(
        &self,
        conversation: ConversationId,
        position: i64,
    ) -> Result<i64, StoreError> {
        let mut find = self
            .db
            .prepare_cached("SELECT max(position) FROM messages WHERE conversation = ? AND position < ?")?;
        let before: Option<i64> = find.query_row(params![b(&conversation), position], |row| row.get(0))?;
        let position = self.make_room(conversation, before.unwrap_or(0), position)?;
        Ok(position - STEP.min((position - before.unwrap_or(0)) / 2))
    }

    /// A free place just after `position`.
    pub(crate) fn position_after(
        &self,
        conversation: ConversationId,
        position: i64,
    ) -> Result<i64, StoreError> {
        let mut find = self
            .db
            .prepare_cached("SELECT min(position) FROM messages WHERE conversation = ? AND position > ?")?;
        let after: Option<i64> = find.query_row(params![b(&conversation), position], |row| row.get(0))?;
        let Some(after) = after else { return Ok(position + STRIDE) };
        let after = self.make_room(conversation, position, after)?;
        Ok(position + STEP.min((after - position) / 2))
    }

    /// Moves `upper` and everything after it away if there is no place left between it and `lower`.
    fn make_room(&self, conversation: ConversationId, lower: i64, upper: i64) -> Result<i64, StoreError> {
        if upper - lower >= 2 {
            return Ok(upper);
        }
        let mut shift = self.db.prepare_cached(
            "UPDATE messages SET position = position + ? WHERE conversation = ? AND position >= ?",
        )?;
        shift.execute(params![STRIDE, b(&conversation), upper])?;
        Ok(upper + STRIDE)
    }

    /// The newest messages before a position, oldest first, and whether there are still older ones.
    pub(crate) fn history(
        &self,
        conversation: ConversationId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<MessageRow>, bool), StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE conversation = ? AND position < ?
             ORDER BY position DESC, arrived DESC LIMIT ?"
        );
        let mut find = self.db.prepare_cached(&sql)?;
        let limit_plus_one = int(limit as u64 + 1);
        let rows =
            find.query_map(params![b(&conversation), before.unwrap_or(i64::MAX), limit_plus_one], read)?;
        let mut rows: Vec<MessageRow> = rows.collect::<Result<_, _>>()?;
        let has_older = rows.len() > limit;
        rows.truncate(limit);
        rows.reverse();
        Ok((rows, has_older))
    }

    /// Every conversation with a message in history.
    pub(crate) fn conversations_with_messages(&self) -> Result<Vec<(ConversationId, bool)>, StoreError> {
        let mut all = self.db.prepare_cached(
            // From one to the next by the index: there are few conversations, and may be many messages.
            "WITH RECURSIVE places (here) AS (SELECT min(conversation) FROM messages UNION ALL
               SELECT (SELECT min(conversation) FROM messages WHERE conversation > here) FROM places WHERE here NOT NULL)
             SELECT here, (SELECT in_room FROM messages WHERE conversation = here AND position NOT NULL LIMIT 1) AS in_room
             FROM places WHERE here NOT NULL AND in_room NOT NULL",
        )?;
        let rows = all.query_map([], |row| Ok((ConversationId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A held message whose predecessor is `link`.
    pub(crate) fn held_after(
        &self,
        conversation: ConversationId,
        author: PeerId,
        link: [u8; 16],
    ) -> Result<Option<HeldMessage>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT id, conversation, author, previous, link FROM messages
             WHERE conversation = ? AND author = ? AND previous_hash = hashed('messages.previous', ?) AND mine = 0
               AND position IS NULL",
        )?;
        Ok(find.query_row(params![b(&conversation), b(&author), link.as_slice()], read_held).optional()?)
    }

    /// The held message that has this link.
    pub(crate) fn held_with(
        &self,
        conversation: ConversationId,
        author: PeerId,
        link: [u8; 16],
    ) -> Result<Option<HeldMessage>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT id, conversation, author, previous, link FROM messages
             WHERE position IS NULL AND mine = 0 AND conversation = ? AND author = ?
               AND link_hash = hashed('messages.link', ?)",
        )?;
        Ok(find.query_row(params![b(&conversation), b(&author), link.as_slice()], read_held).optional()?)
    }

    /// The message shown after a gap whose missing predecessor is `link`.
    pub(crate) fn shown_after_gap(
        &self,
        conversation: ConversationId,
        author: PeerId,
        link: [u8; 16],
    ) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE conversation = ? AND author = ?
             AND previous_hash = hashed('messages.previous', ?) AND mine = 0 AND position IS NOT NULL AND gap = 1"
        );
        let mut find = self.db.prepare_cached(&sql)?;
        Ok(find.query_row(params![b(&conversation), b(&author), link.as_slice()], read).optional()?)
    }

    /// The held message that has waited longest, if it arrived before `then`, or after `ahead`.
    pub(crate) fn oldest_held(
        &self,
        then: Timestamp,
        ahead: Timestamp,
    ) -> Result<Option<HeldMessage>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT id, conversation, author, previous, link FROM messages
             WHERE position IS NULL AND (arrived <= ? OR arrived > ?) ORDER BY arrived, sent_at, row LIMIT 1",
        )?;
        Ok(find.query_row([int(then.0), int(ahead.0)], read_held).optional()?)
    }

    /// Where the message with this link is shown, if it is.
    pub(crate) fn shown_with(
        &self,
        conversation: ConversationId,
        author: PeerId,
        link: [u8; 16],
    ) -> Result<Option<i64>, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT position FROM messages
             WHERE conversation = ? AND author = ? AND link_hash = hashed('messages.link', ?) AND mine = 0
               AND position IS NOT NULL",
        )?;
        Ok(find
            .query_row(params![b(&conversation), b(&author), link.as_slice()], |row| row.get(0))
            .optional()?)
    }

    /// The first message of an author in a conversation, if something is known to be missing before it.
    pub(crate) fn first_after_gap(
        &self,
        conversation: ConversationId,
        author: PeerId,
    ) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE conversation = ? AND author = ? AND position IS NOT NULL
             ORDER BY position LIMIT 1"
        );
        let first = self
            .db
            .prepare_cached(&sql)?
            .query_row(params![b(&conversation), b(&author)], read)
            .optional()?;
        Ok(first.filter(|row| row.gap))
    }

    /// Whether something is known to follow the message with this link.
    pub(crate) fn has_successor(
        &self,
        conversation: ConversationId,
        author: PeerId,
        link: [u8; 16],
    ) -> Result<bool, StoreError> {
        let mut find = self.db.prepare_cached(
            "SELECT 1 FROM messages WHERE conversation = ? AND author = ?
               AND previous_hash = hashed('messages.previous', ?) AND mine = 0",
        )?;
        Ok(find.exists(params![b(&conversation), b(&author), link.as_slice()])?)
    }

    pub(crate) fn show_message(
        &self,
        author: PeerId,
        id: MessageId,
        position: i64,
        gap: bool,
    ) -> Result<(), StoreError> {
        let mut put = self
            .db
            .prepare_cached("UPDATE messages SET position = ?, gap = ? WHERE id = ? AND author = ?")?;
        put.execute(params![position, gap, b(&id), b(&author)])?;
        Ok(())
    }

    pub(crate) fn set_gap(&self, author: PeerId, id: MessageId, gap: bool) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("UPDATE messages SET gap = ? WHERE id = ? AND author = ?")?;
        put.execute(params![gap, b(&id), b(&author)])?;
        Ok(())
    }

    pub(crate) fn set_message_state(
        &self,
        id: MessageId,
        state: u8,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut put =
            self.db.prepare_cached("UPDATE messages SET state = ?, reason = ? WHERE id = ? AND mine = 1")?;
        put.execute(params![state, reason, b(&id)])?;
        Ok(())
    }

    pub(crate) fn unread(&self, conversation: ConversationId) -> Result<u32, StoreError> {
        let mut count = self.db.prepare_cached(
            "SELECT count(*) FROM messages WHERE conversation = ? AND mine = 0 AND seen = 0 AND position IS NOT NULL",
        )?;
        Ok(count.query_row([b(&conversation)], |row| row.get(0))?)
    }

    /// Marks what others wrote up to a position as seen; gives author and id of each that was not.
    pub(crate) fn mark_seen(
        &self,
        conversation: ConversationId,
        up_to: i64,
    ) -> Result<Vec<(PeerId, MessageId)>, StoreError> {
        let mut mark = self.db.prepare_cached(
            "UPDATE messages SET seen = 1 WHERE conversation = ? AND mine = 0 AND seen = 0 AND position <= ?
             RETURNING author, id",
        )?;
        let rows = mark.query_map(params![b(&conversation), up_to], |row| {
            Ok((PeerId(row.get(0)?), MessageId(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many messages of one's own have not even reached a relay, or their recipients, whichever `below` asks.
    pub(crate) fn count_mine_below(&self, below: u8) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM messages WHERE mine = 1 AND state < ?";
        let count: i64 = self.db.prepare_cached(sql)?.query_row([below], |row| row.get(0))?;
        Ok(uint(count))
    }
}
