//! What is on its way: one delivery a recipient of each message, and control frames.

use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::{MessageRow, Store, StoreError, b, int};

/// How far one recipient's copy has come. The numbers are in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DeliveryState {
    Queued = 0,
    Sent = 1,
    Stored = 2,
    Delivered = 3,
    Read = 4,
    Failed = 5,
}

impl DeliveryState {
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Queued,
            1 => Self::Sent,
            2 => Self::Stored,
            3 => Self::Delivered,
            4 => Self::Read,
            _ => Self::Failed,
        }
    }
}

/// How far the copies of a message are.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) of: u32,
    pub(crate) stored: u32,
    pub(crate) delivered: u32,
    pub(crate) read: u32,
    /// The state that all have reached; none without copies.
    pub(crate) least: Option<DeliveryState>,
    pub(crate) failed: bool,
    pub(crate) reason: Option<String>,
}

/// One recipient's copy of a message.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryRow {
    pub(crate) message: MessageId,
    pub(crate) peer: PeerId,
    pub(crate) state: DeliveryState,
    pub(crate) reason: Option<String>,
    pub(crate) previous: [u8; 16],
}

fn read(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        message: MessageId(row.get(0)?),
        peer: PeerId(row.get(1)?),
        state: DeliveryState::from_number(row.get(2)?),
        reason: row.get(3)?,
        previous: row.get(4)?,
    })
}

const COLUMNS: &str = "message, peer, state, reason, previous";

/// An envelope of the outbox, ready for the relay.
#[derive(Debug, Clone)]
pub(crate) struct OutboxItem {
    pub(crate) envelope: Vec<u8>,
    /// Of a delivery; none for a control frame.
    pub(crate) message: Option<MessageId>,
    /// Who gets it.
    pub(crate) peer: PeerId,
}

impl Store {
    pub(crate) fn insert_delivery(
        &self,
        message: MessageId,
        peer: PeerId,
        previous: [u8; 16],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "INSERT INTO deliveries (message, peer, state, previous, created) VALUES (?,?,0,?,?)",
        )?;
        put.execute(params![b(&message), b(&peer), previous.as_slice(), int(now.0)])?;
        Ok(())
    }

    /// The copy is sealed; also anew after a renewal, which moves no state back.
    pub(crate) fn set_delivery_envelope(
        &self,
        message: MessageId,
        peer: PeerId,
        id: EnvelopeId,
        session: SessionId,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "UPDATE deliveries SET envelope_id = ?, envelope = ?, session = ? WHERE message = ? AND peer = ?",
        )?;
        put.execute(params![b(&id), envelope, b(&session), b(&message), b(&peer)])?;
        Ok(())
    }

    pub(crate) fn delivery_by_envelope(&self, id: EnvelopeId) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE envelope_id = ?");
        Ok(self.db.prepare_cached(&sql)?.query_row([b(&id)], read).optional()?)
    }

    pub(crate) fn delivery(
        &self,
        message: MessageId,
        peer: PeerId,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE message = ? AND peer = ?");
        Ok(self.db.prepare_cached(&sql)?.query_row(params![b(&message), b(&peer)], read).optional()?)
    }

    /// How far the copies of a message are, without reading them one by one.
    pub(crate) fn progress_of(&self, message: MessageId) -> Result<Progress, StoreError> {
        let mut sum = self.db.prepare_cached(
            "SELECT count(*), total(state BETWEEN 2 AND 4), total(state BETWEEN 3 AND 4), total(state = 4),
                min(state), max(CASE WHEN state = 5 THEN reason END), max(state = 5), max(reason)
             FROM deliveries WHERE message = ?",
        )?;
        Ok(sum.query_row([b(&message)], |row| {
            let count = |index| row.get::<_, f64>(index).map(|sum| sum as u32);
            let failed = row.get::<_, Option<bool>>(6)?.unwrap_or(false);
            Ok(Progress {
                of: row.get(0)?,
                stored: count(1)?,
                delivered: count(2)?,
                read: count(3)?,
                least: row.get::<_, Option<u8>>(4)?.map(DeliveryState::from_number),
                failed,
                reason: if failed { row.get(5)? } else { row.get(7)? },
            })
        })?)
    }

    pub(crate) fn deliveries_of(&self, message: MessageId) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE message = ? ORDER BY seq");
        let mut all = self.db.prepare_cached(&sql)?;
        let rows = all.query_map([b(&message)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Copies for a peer that wait without envelope, oldest first, each with its place: those behind a place, so many.
    pub(crate) fn unsealed_deliveries(
        &self,
        peer: PeerId,
        behind: i64,
        most: usize,
    ) -> Result<Vec<(i64, DeliveryRow)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, seq FROM deliveries
             WHERE peer = ? AND state < 3 AND envelope_id IS NULL AND seq > ? ORDER BY seq LIMIT ?"
        );
        let mut all = self.db.prepare_cached(&sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = all.query_map(params![b(&peer), behind, most], |row| Ok((row.get(5)?, read(row)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Copies for a peer that have not arrived and that another session than `session` has sealed, oldest first.
    pub(crate) fn open_deliveries_of_others(
        &self,
        peer: PeerId,
        session: SessionId,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE peer = ? AND state < 3 AND session IS NOT ? ORDER BY seq"
        );
        let mut all = self.db.prepare_cached(&sql)?;
        let rows = all.query_map(params![b(&peer), b(&session)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Envelopes for a peer that the relay may not have: control frames, then copies, in order.
    pub(crate) fn open_envelopes_of(&self, peer: PeerId) -> Result<Vec<EnvelopeId>, StoreError> {
        let mut ids = Vec::new();
        for sql in [
            "SELECT envelope_id FROM controls WHERE peer = ? ORDER BY seq",
            "SELECT envelope_id FROM deliveries WHERE peer = ? AND state < 2 AND state < 3
             AND envelope_id IS NOT NULL ORDER BY seq",
        ] {
            let mut all = self.db.prepare_cached(sql)?;
            let rows = all.query_map([b(&peer)], |row| row.get(0).map(EnvelopeId))?;
            ids.extend(rows.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(ids)
    }

    /// Peers for whom a copy waits without envelope.
    pub(crate) fn peers_with_unsealed(&self) -> Result<Vec<PeerId>, StoreError> {
        let mut all = self
            .db
            .prepare_cached("SELECT DISTINCT peer FROM deliveries WHERE state < 3 AND envelope_id IS NULL")?;
        let rows = all.query_map([], |row| row.get(0).map(PeerId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Peers for whom a copy has not arrived.
    pub(crate) fn peers_with_open_deliveries(&self) -> Result<Vec<PeerId>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT DISTINCT peer FROM deliveries WHERE state < 3")?;
        let rows = all.query_map([], |row| row.get(0).map(PeerId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn set_delivery_state(
        &self,
        message: MessageId,
        peer: PeerId,
        state: DeliveryState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut put = self
            .db
            .prepare_cached("UPDATE deliveries SET state = ?, reason = ? WHERE message = ? AND peer = ?")?;
        put.execute(params![state as u8, reason, b(&message), b(&peer)])?;
        Ok(())
    }

    /// A failed copy begins its life again.
    pub(crate) fn revive_delivery(
        &self,
        message: MessageId,
        peer: PeerId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "UPDATE deliveries SET state = 0, reason = NULL, created = ?, envelope_id = NULL, envelope = NULL
             WHERE message = ? AND peer = ?",
        )?;
        put.execute(params![int(now.0), b(&message), b(&peer)])?;
        Ok(())
    }

    /// The sealed bytes are no longer needed once the copy has arrived.
    pub(crate) fn drop_delivery_envelope(&self, message: MessageId, peer: PeerId) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "UPDATE deliveries SET envelope = NULL, envelope_id = NULL WHERE message = ? AND peer = ?",
        )?;
        put.execute(params![b(&message), b(&peer)])?;
        Ok(())
    }

    pub(crate) fn remove_delivery(&self, message: MessageId, peer: PeerId) -> Result<(), StoreError> {
        let mut remove = self.db.prepare_cached("DELETE FROM deliveries WHERE message = ? AND peer = ?")?;
        remove.execute(params![b(&message), b(&peer)])?;
        Ok(())
    }

    /// Copies older than `then` that have not arrived.
    pub(crate) fn expired_deliveries(&self, then: Timestamp) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE state < 3 AND created < ? ORDER BY seq LIMIT 1000"
        );
        let mut all = self.db.prepare_cached(&sql)?;
        let rows = all.query_map([int(then.0)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn insert_control(
        &self,
        id: EnvelopeId,
        peer: PeerId,
        envelope: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut put = self
            .db
            .prepare_cached("INSERT INTO controls (envelope_id, peer, envelope, created) VALUES (?,?,?,?)")?;
        put.execute(params![b(&id), b(&peer), envelope, int(now.0)])?;
        Ok(())
    }

    /// Whether it was a control frame.
    pub(crate) fn remove_control(&self, id: EnvelopeId) -> Result<bool, StoreError> {
        let mut remove = self.db.prepare_cached("DELETE FROM controls WHERE envelope_id = ? RETURNING 1")?;
        let removed = remove.query_map([b(&id)], |_| Ok(()))?;
        Ok(!removed.collect::<Result<Vec<()>, _>>()?.is_empty())
    }

    pub(crate) fn remove_controls_before(&self, then: Timestamp) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM controls WHERE created < ?", [int(then.0)])?;
        Ok(())
    }

    /// Every envelope that the relay may not have: control frames, then copies that have not arrived, in order.
    pub(crate) fn open_envelopes(&self) -> Result<Vec<EnvelopeId>, StoreError> {
        let mut ids = Vec::new();
        for sql in [
            "SELECT envelope_id FROM controls ORDER BY seq",
            "SELECT envelope_id FROM deliveries WHERE state < 3 AND envelope_id IS NOT NULL ORDER BY seq",
        ] {
            let mut all = self.db.prepare_cached(sql)?;
            let rows = all.query_map([], |row| row.get(0).map(EnvelopeId))?;
            ids.extend(rows.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(ids)
    }

    /// Copies for these peers that the relay has, but whose receipt has not come since `then`. What is dated after `now`
    /// was written when the clock was ahead.
    pub(crate) fn unconfirmed_envelopes(
        &self,
        peer: PeerId,
        then: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<EnvelopeId>, StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT envelope_id FROM deliveries
             WHERE peer = ? AND state < 3 AND state = 2 AND envelope_id IS NOT NULL
               AND (created < ? OR created > ?) ORDER BY seq LIMIT 256",
        )?;
        let rows =
            all.query_map(params![b(&peer), int(then.0), int(now.0)], |row| row.get(0).map(EnvelopeId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The bytes of an envelope, unless it is no longer needed.
    pub(crate) fn outbox_item(&self, id: EnvelopeId) -> Result<Option<OutboxItem>, StoreError> {
        let mut find = self
            .db
            .prepare_cached("SELECT envelope, message, peer FROM deliveries WHERE envelope_id = ? AND state < 3 AND envelope IS NOT NULL")?;
        let delivery = find.query_row([b(&id)], |row| {
            Ok(OutboxItem {
                envelope: row.get(0)?,
                message: Some(MessageId(row.get(1)?)),
                peer: PeerId(row.get(2)?),
            })
        });
        if let Some(item) = delivery.optional()? {
            return Ok(Some(item));
        }
        let mut find = self.db.prepare_cached("SELECT envelope, peer FROM controls WHERE envelope_id = ?")?;
        let control = find.query_row([b(&id)], |row| {
            Ok(OutboxItem { envelope: row.get(0)?, message: None, peer: PeerId(row.get(1)?) })
        });
        Ok(control.optional()?)
    }

    /// Messages of one's own in a room whose roster was not known when they were written, in order.
    pub(crate) fn unaddressed(&self, conversation: ConversationId) -> Result<Vec<MessageRow>, StoreError> {
        self.messages_where(
            "conversation = ? AND mine = 1 AND in_room = 1 AND state = 0
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id) ORDER BY position",
            [b(&conversation)],
        )
    }

    /// Those of them, in any room, that were written before `then`.
    pub(crate) fn unaddressed_since(&self, then: Timestamp) -> Result<Vec<MessageId>, StoreError> {
        let rows = self.messages_where(
            "mine = 1 AND in_room = 1 AND state = 0 AND arrived < ?
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id)",
            [int(then.0)],
        )?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// How many copies have not arrived.
    pub(crate) fn count_open_deliveries(&self) -> Result<u64, StoreError> {
        let count: i64 = self
            .db
            .prepare_cached("SELECT count(*) FROM deliveries WHERE state < 3")?
            .query_row([], |row| row.get(0))?;
        Ok(super::uint(count))
    }
    /// How many messages a relay has for somebody who has not got them, and that are not counted as unsent.
    pub(crate) fn count_stored(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(DISTINCT d.message) FROM deliveries d JOIN messages m ON m.id = d.message
                   WHERE d.state = 2 AND m.state >= 2";
        let count: i64 = self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(super::uint(count))
    }

    /// Peers for whom a relay has a copy that has not arrived.
    pub(crate) fn peers_with_stored(&self) -> Result<Vec<PeerId>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT DISTINCT peer FROM deliveries WHERE state = 2")?;
        let rows = all.query_map([], |row| row.get(0).map(PeerId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
