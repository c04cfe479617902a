//! The thread that writes: gathers what waits, commits it as one transaction, answers.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use chat_core::PeerId;
use rusqlite::Connection;
use tokio::sync::mpsc::Receiver;

use super::super::{Done, MailboxError, Write};
use super::boxes::{Recent, Round};
use super::contacts::Contact;
use super::group::{GROUP_FRAMES, Late};
use super::quiet::Unyielding;
use super::repair::{self, is_damage};
use super::rows::{self, NewRow};
use super::schema::storage;
use super::seen::Fresh;
use super::shares::Usage;
use super::totals::{Counted, Totals};
use super::{Order, Queued, Shared, contained};
use crate::config::MailboxLimits;

/// Most entries in each of the caches below, about; over it, the cache is emptied.
const MAX_CACHED: usize = 100_000;

/// Numbers that are kept in memory and in the table `counters`.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    pub(super) next_n: u64,
    /// Bytes of all that waits, as they were when this was read; later they are in the totals.
    pub(super) stored_bytes: u64,
    /// Envelopes before this number are listed in the table `boxes` if they wait.
    pub(super) listed_n: u64,
    /// Ids before this number are in the tables `seen` and `fresh`, if they are remembered.
    pub(super) seen_n: u64,
    pub(super) directory_bytes: u64,
    /// The wall clock at the last sweep, and when it was first found to have jumped since; 0 = none.
    pub(super) swept_at: u64,
    pub(super) jumped_at: u64,
    /// Peers that have connected once; counted at start.
    pub(super) peers: u64,
}

/// Answers a change once its transaction has ended.
type Answer = Box<dyn FnOnce(Result<(), MailboxError>) + Send>;

pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) limits: MailboxLimits,
    pub(super) counters: Counters,
    /// Caches of what the tables say, dropped whenever a transaction fails.
    pub(super) usage: BTreeMap<i64, Usage>,
    /// Boxes and senders ever put into `usage`.
    pub(super) usage_entries: usize,
    pub(super) peer_ids: BTreeMap<PeerId, i64>,
    /// Whether a peer has written to another, and when.
    pub(super) contacts: BTreeMap<(i64, i64), Option<Contact>>,
    pub(super) totals: Totals,
    pub(super) fresh: Fresh,
    pub(super) round: Round,
    /// Rows of the log that the transaction which is open has still to write.
    pub(super) unwritten: Vec<NewRow>,
    /// The statements that write them: many at a time, and one.
    pub(super) insert_many: String,
    pub(super) insert_one: String,
    /// The highest `log.payer` of earlier starts; numbers of payers of this one come after it.
    pub(super) last_payer: i64,
    /// Where the sweep of `seen` goes on.
    pub(super) swept: (i64, Vec<u8>),
    /// Where the sweep of silent peers goes on.
    pub(super) swept_peers: i64,
    pub(super) unyielding: Unyielding,
    pub(super) acks: BTreeMap<PeerId, u64>,
    pub(super) shared: Arc<Shared>,
    pub(super) repaired_at: Option<Instant>,
    _lock: Option<File>,
}

pub(super) fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn load_counters(db: &Connection) -> rusqlite::Result<Counters> {
    let peers = db.query_row("SELECT count(*) FROM peers WHERE last_seen > 0", [], |row| row.get(0))?;
    // Counted, so that a damaged counter does no harm; bundles and keys are few.
    const DIRECTORY: &str = "SELECT (SELECT coalesce(sum(length(bundle)), 0) FROM directory)
        + (SELECT coalesce(sum(length(key)), 0) FROM one_time_keys)";
    let directory_bytes = db.query_row(DIRECTORY, [], |row| row.get(0))?;
    const COUNTERS: &str = "SELECT next_n, swept_at, jumped_at, stored_bytes, listed_n, seen_n FROM counters";
    db.query_row(COUNTERS, [], |row| {
        Ok(Counters {
            next_n: from_sql(row.get(0)?),
            directory_bytes: from_sql(directory_bytes),
            swept_at: from_sql(row.get(1)?),
            jumped_at: from_sql(row.get(2)?),
            stored_bytes: from_sql(row.get(3)?),
            listed_n: from_sql(row.get(4)?),
            seen_n: from_sql(row.get(5)?),
            peers: from_sql(peers),
        })
    })
}

/// What is kept in memory, as the tables say. A counter that is behind them is damaged.
fn load(db: &Connection, recent: &Recent) -> rusqlite::Result<(Counters, Counted, Fresh)> {
    let mut counters = load_counters(db)?;
    let fresh = Fresh::load(db, &counters)?;
    let counted = repair::count(db, &counters, recent, &fresh)?;
    // It may have been made anew.
    counters.listed_n = load_counters(db)?.listed_n;
    let least = repair::least_next_n(db, counted.last_seen)?;
    if counters.next_n < least {
        tracing::error!("the mailbox's number of the next envelope was damaged");
        counters.next_n = least;
    }
    Ok((counters, counted, fresh))
}

impl Writer {
    pub(super) fn new(
        db: Connection,
        lock: Option<File>,
        limits: MailboxLimits,
        shared: Arc<Shared>,
    ) -> Result<Self, MailboxError> {
        let (insert_many, insert_one) = rows::inserts();
        let (counters, counted, fresh) = load(&db, &shared.recent).map_err(storage)?;
        Ok(Self {
            db,
            limits,
            counters,
            usage: BTreeMap::new(),
            usage_entries: 0,
            peer_ids: BTreeMap::new(),
            contacts: BTreeMap::new(),
            totals: counted.totals,
            fresh,
            round: Round::begin(counters.next_n),
            unwritten: Vec::new(),
            insert_many,
            insert_one,
            last_payer: counted.last_payer,
            swept: (i64::MIN, Vec::new()),
            swept_peers: 0,
            unyielding: Unyielding::default(),
            acks: BTreeMap::new(),
            shared,
            repaired_at: None,
            _lock: lock,
        })
    }

    /// Until it is told to close, or nobody can send any more.
    pub(super) async fn run(mut self, mut orders: Receiver<Order>) {
        let mut open = true;
        while open {
            let mut group = Vec::new();
            open = self.gather(&mut orders, &mut group).await;
            self.commit(group, &mut orders);
        }
        // What was queued before the end is still done.
        loop {
            let mut group = Vec::new();
            while group.len() < GROUP_FRAMES {
                match orders.try_recv() {
                    Ok(Order::Write(queued)) => group.push(queued),
                    Ok(Order::Close) => {}
                    Err(_) => break,
                }
            }
            if group.is_empty() && self.acks.is_empty() {
                break;
            }
            self.commit(group, &mut orders);
        }
        if let Err(error) = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the mailbox was not checkpointed; it will be at the next start");
        }
    }

    /// Commits everything in `group`, and what comes while that is applied, in one transaction if none of it fails, and
    /// answers in its order.
    pub(super) fn commit(&mut self, group: Vec<Queued>, orders: &mut Receiver<Order>) {
        self.repair();
        let mut late = Late::after(&group);
        let mut queue: VecDeque<Queued> = group.into();
        let mut first = true;
        while !queue.is_empty() || (first && !self.acks.is_empty()) {
            first = false;
            let mut answers = Vec::with_capacity(queue.len());
            let begun = Instant::now();
            let result = contained(|| self.transaction(&mut queue, &mut answers, (&mut late, &mut *orders)));
            if let Ok(Err(error)) = &result
                && is_damage(error)
            {
                self.met_damage();
            }
            let result = result.map(|result| result.map_err(storage));
            let result = result.and_then(|result| result);
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
            let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.commit_us.fetch_add(us, Ordering::Relaxed);
            if let Err(error) = &result {
                tracing::error!(%error, changes = answers.len(), "a transaction of the mailbox failed");
                self.recover();
            }
            for (answer, _place) in answers {
                // It has said so; whoever waits for this answer sees that none comes.
                drop(contained(|| answer(result.clone())));
            }
        }
    }

    /// Takes changes from `queue`, then what came late, until there is nothing or one fails; then the transaction is
    /// rolled back and the rest stays in `queue`.
    fn transaction(
        &mut self,
        queue: &mut VecDeque<Queued>,
        answers: &mut Vec<(Answer, tokio::sync::OwnedSemaphorePermit)>,
        (late, orders): (&mut Late, &mut Receiver<Order>),
    ) -> rusqlite::Result<()> {
        let begun = self.db.execute_batch("BEGIN IMMEDIATE");
        let acks: Vec<(PeerId, u64)> = self.acks.iter().map(|(peer, through)| (*peer, *through)).collect();
        let mut result =
            begun.and_then(|()| acks.iter().try_for_each(|(peer, through)| self.apply_ack(*peer, *through)));
        while let Some(queued) = queue.pop_front().or_else(|| late.take(orders)) {
            let applied = match result {
                Ok(()) => self.apply(queued.write),
                // Whatever begins with an error fails as a whole, so that this ends.
                Err(_) => (failing(queued.write), Ok(())),
            };
            answers.push((applied.0, queued._place));
            if let Err(error) = applied.1 {
                result = Err(error);
                break;
            }
        }
        result?;
        self.write_rows()?;
        self.bound_fresh()?;
        self.bound_recent()?;
        self.put_counters()?;
        self.db.execute_batch("COMMIT")?;
        self.totals.committed();
        self.shared.recent.committed();
        self.acks.clear();
        Ok(())
    }

    pub(super) fn put_counters(&self) -> rusqlite::Result<()> {
        let Counters { next_n, listed_n, seen_n, directory_bytes, swept_at, jumped_at, .. } = self.counters;
        let stored_bytes = self.totals.of_everybody();
        self.db
            .prepare_cached(
                "UPDATE counters SET next_n = ?1, stored_bytes = ?2, directory_bytes = ?3, swept_at = ?4,
                 jumped_at = ?5, listed_n = ?6, seen_n = ?7",
            )?
            .execute(
                [next_n, stored_bytes, directory_bytes, swept_at, jumped_at, listed_n, seen_n].map(to_sql),
            )
            .map(drop)
    }

    /// After a failed transaction: memory says again what the tables say.
    fn recover(&mut self) {
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        self.forget_caches();
        self.totals.roll_back();
        self.shared.recent.roll_back();
        self.unwritten.clear();
        match load_counters(&self.db) {
            // Numbers only grow, so the one in memory, which is not behind that on the disk, is safe.
            Ok(counters) => self.counters = Counters { next_n: self.counters.next_n, ..counters },
            Err(error) => tracing::error!(%error, "the mailbox's counters could not be read again"),
        }
        self.round = Round::begin(self.counters.next_n);
        self.reload_fresh();
        // The client's next acknowledgement covers these too; until then it may get again what it recognises.
        self.acks.clear();
    }

    pub(super) fn forget_caches(&mut self) {
        self.usage.clear();
        self.usage_entries = 0;
        self.peer_ids.clear();
        self.contacts.clear();
    }

    /// Keeps the caches within their bounds.
    pub(super) fn trim_caches(&mut self) {
        let largest = self.peer_ids.len().max(self.usage_entries).max(self.contacts.len());
        if largest > MAX_CACHED {
            self.forget_caches();
        }
    }

    fn apply_ack(&mut self, peer: PeerId, through: u64) -> rusqlite::Result<()> {
        let acked = self.ack(peer, through);
        self.despite_damage(acked)
    }

    fn apply(&mut self, write: Write) -> (Answer, rusqlite::Result<()>) {
        if !matches!(write, Write::Store { .. })
            && let Err(error) = self.write_rows()
        {
            return (failing(write), Err(error));
        }
        match write {
            Write::Store { from, payer, envelopes, now, done } => {
                settle(done, self.store(from, payer, &envelopes, now))
            }
            Write::Ack { peer, through } => (Box::new(|_| ()), self.apply_ack(peer, through)),
            Write::Attach { peer, now, done } => settle(done, self.attach(peer, now)),
            Write::Publish { peer, nick, created, now, bundle, done } => {
                settle(done, self.publish(peer, &nick, (created, now), &bundle))
            }
            Write::Join { peer, room, is_online, done } => settle(done, self.join(peer, &room, &is_online)),
            Write::Leave { peer, room, done } => settle(done, self.leave(peer, &room)),
            Write::OneTimeKeys { peer, keys, anew, now, done } => {
                settle(done, self.put_one_time_keys(peer, &keys, anew, now))
            }
            Write::TakeOneTimeKey { peer, asker, now, done } => {
                settle(done, self.take_one_time_key(peer, asker, now))
            }
            Write::Discard { numbers } => {
                let discarded = self.discard(&numbers);
                (Box::new(|_| ()), self.despite_damage(discarded))
            }
            Write::Sweep { now, online, done } => settle(done, self.sweep(now, &online)),
        }
    }
}

/// The answer that is given when the transaction has ended, and what decides whether it may go on.
fn settle<T: Send + 'static>(done: Done<T>, result: rusqlite::Result<T>) -> (Answer, rusqlite::Result<()>) {
    match result {
        Ok(value) => (Box::new(move |committed| done(committed.map(|()| value))), Ok(())),
        Err(error) => {
            let failed = move |committed: Result<(), _>| {
                done(Err(committed.err().unwrap_or(MailboxError::Closed)));
            };
            (Box::new(failed), Err(error))
        }
    }
}

fn failing(write: Write) -> Answer {
    Box::new(move |committed| {
        write.fail(committed.err().unwrap_or(MailboxError::Closed));
    })
}
