//! The mailbox in SQLite: one thread writes, one reads.
//!
//! A change waits in a queue that is bounded in bytes; the writer takes what waits there, at most 256
//! envelopes, into one transaction (write-ahead log, `synchronous = FULL`), and only then answers. So one
//! fsync serves everybody who waited for it. Acknowledgements ride on the next transaction, or wait 100 ms.
//!
//! **Deduplication.** `(recipient, envelope id)` is remembered for 30 days, also after the recipient has
//! acknowledged. A repeat is answered `Known`. But a sender who repeats an envelope that was acknowledged lacks
//! the recipient's receipt, and only the recipient can send that again: so it is stored and delivered once
//! more, at most once a minute; the recipient recognises it by its id and answers.
//!
//! **Quotas.** A peer's mailbox that is full refuses (`MailboxFull`), and so does a sender's share of it, or of
//! all mailboxes together; identities cost nothing, so a network address has such shares, too, whoever connects from it.
//! Whom the mailbox's owner has never written to is a stranger, and strangers have a part of each mailbox, and of all
//! together, that they share: however many they are, the owner's correspondents keep the rest. A room's log that is full loses its oldest envelopes instead, the sender's own first: who keeps up has them, and
//! somebody who stays away must not stop the room. Such a member sees the gap in the chain of messages.

mod boxes;
mod checksum;
mod contacts;
mod group;
mod log;
mod one_time;
mod peers;
mod quiet;
mod reader;
mod repair;
mod rows;
mod schema;
mod seen;
mod shape;
mod shares;
mod steps;
mod sweep;
mod totals;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chat_core::PeerId;
use chat_core::environment::{Environment, System, Work};
use chat_core::nick::RoomName;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::{Entry, Mailbox, MailboxError, Page, Query, Roster, Write};
use crate::config::MailboxLimits;
use boxes::Recent;
use reader::Read;
use writer::Writer;

/// The unit in which the queue of changes is measured.
const QUEUE_UNIT: usize = 1024;
/// Reads that wait at a time; more wait for their place.
const MAX_READS: usize = 256;

/// A change in the queue, with its share of it.
struct Queued {
    write: Write,
    _place: OwnedSemaphorePermit,
}

/// What goes to the writer's thread.
enum Order {
    Write(Queued),
    Close,
}

/// What both threads and the one who asks know of.
#[derive(Default)]
struct Shared {
    commits: AtomicU64,
    commit_us: AtomicU64,
    /// Of the list of what waits, what is not in its table.
    recent: Recent,
    /// An index does not say what its table says.
    damaged: AtomicBool,
    /// It could not be made anew: what can be read is read, and the rest is lost.
    beyond_repair: AtomicBool,
}

/// A [`Mailbox`] in one SQLite file. One process at a time; see the module's documentation for what it promises.
///
/// A sweep that is more than a day after the last one is not done, for a wall clock that jumped would drop the mail
/// of everybody; it is done when the clock, at least an hour later, still says so.
pub struct SqliteMailbox {
    /// Bounds the queue of changes in bytes.
    places: Arc<Semaphore>,
    max_places: u32,
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    read_places: Arc<Semaphore>,
    reads: Mutex<Option<mpsc::Sender<Read>>>,
    shared: Arc<Shared>,
    /// Whether the thread that writes has ended, and with it the database's lock; and the one that reads.
    writer_ended: watch::Receiver<bool>,
    reader_ended: watch::Receiver<bool>,
}

/// Runs something that others handed in, or that meets what they wrote: a panic there is an error here, and does
/// not end the thread that serves everybody.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, MailboxError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        tracing::error!("a panic in the mailbox; what it served fails");
        MailboxError::Storage("a panic in the mailbox".into())
    })
}

/// Tells that a thread has ended, however it did.
struct Ending(watch::Sender<bool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Runs something on a thread of its own, and tells when that has ended.
fn spawn(
    environment: &dyn Environment,
    name: &'static str,
    work: Work,
) -> Result<watch::Receiver<bool>, MailboxError> {
    let (ending, ended) = watch::channel(false);
    let ending = Ending(ending);
    let work = async move {
        let _ending = ending;
        work.await;
    };
    let spawned = environment.spawn(name, Box::pin(work));
    spawned.map(|()| ended).map_err(|error| MailboxError::Storage(error.to_string()))
}

async fn end_of(thread: &watch::Receiver<bool>) {
    // An error: the thread is gone.
    drop(thread.clone().wait_for(|ended| *ended).await);
}

impl SqliteMailbox {
    /// Opens the database at `path`, or makes it there, and checks it. Its folder must exist. Blocks for as long as
    /// the check takes.
    ///
    /// # Errors
    /// [`MailboxError`] says whether it is in use, from a later version, damaged, or whether the disk failed.
    pub fn open(path: &Path, limits: MailboxLimits) -> Result<Self, MailboxError> {
        Self::open_in(path, limits, &System)
    }

    /// As [`SqliteMailbox::open`], with threads of any environment.
    ///
    /// # Errors
    /// As [`SqliteMailbox::open`].
    pub fn open_in(
        path: &Path,
        limits: MailboxLimits,
        environment: &dyn Environment,
    ) -> Result<Self, MailboxError> {
        Self::over(schema::open(path, None, limits.database_bytes)?, limits, environment)
    }

    /// As [`SqliteMailbox::open`], in a file system that was registered with SQLite under the name `vfs`, and in any
    /// environment: for simulations, whose disks fail on purpose. SQLite alone reaches it, so there is no lock beside
    /// the file: to open it once is the caller's part.
    ///
    /// # Errors
    /// As [`SqliteMailbox::open`], but not that it is in use.
    pub fn open_on_vfs(
        vfs: &str,
        path: &Path,
        limits: MailboxLimits,
        environment: &dyn Environment,
    ) -> Result<Self, MailboxError> {
        Self::over(schema::open(path, Some(vfs), limits.database_bytes)?, limits, environment)
    }

    fn over(
        opened: schema::Opened,
        limits: MailboxLimits,
        environment: &dyn Environment,
    ) -> Result<Self, MailboxError> {
        let max_places = u32::try_from(limits.queue_bytes / QUEUE_UNIT).unwrap_or(u32::MAX).max(1);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(opened.writer, opened.lock, limits, Arc::clone(&shared))?;
        // One place a change at least, so these channels are never full.
        let (orders, order_queue) = mpsc::channel(max_places as usize + 1);
        let (reads, read_queue) = mpsc::channel::<Read>(MAX_READS);
        let writer_ended = spawn(environment, "mailbox-writer", Box::pin(writer.run(order_queue)))?;
        let reading = reader::run(opened.reader, read_queue);
        let reader_ended = spawn(environment, "mailbox-reader", Box::pin(reading))?;
        Ok(Self {
            places: Arc::new(Semaphore::new(max_places as usize)),
            max_places,
            orders: Mutex::new(Some(orders)),
            read_places: Arc::new(Semaphore::new(MAX_READS)),
            reads: Mutex::new(Some(reads)),
            shared,
            writer_ended,
            reader_ended,
        })
    }

    /// Runs a query on the reader's thread.
    async fn read<T, F>(&self, query: F) -> Result<T, MailboxError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let place = Arc::clone(&self.read_places).acquire_owned().await.map_err(|_| MailboxError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let read: Read = Box::new(move |db| {
            // Kept until here, also if the one who asked has gone: so the channel is never full.
            let _place = place;
            let result = contained(|| query(db)).and_then(|found| {
                // An index that is damaged is made anew before the next commit.
                if found.as_ref().is_err_and(repair::is_damage) {
                    shared.damaged.store(true, Ordering::Relaxed);
                }
                found.map_err(schema::storage)
            });
            drop(answer.send(result));
        });
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reads.ok_or(MailboxError::Closed)?.try_send(read).map_err(|_| MailboxError::Closed)?;
        answered.await.map_err(|_| MailboxError::Closed)?
    }
}

#[async_trait]
impl Mailbox for SqliteMailbox {
    async fn write(&self, write: Write) {
        let units = u32::try_from(write.size() / QUEUE_UNIT + 1).unwrap_or(u32::MAX).min(self.max_places);
        let Ok(place) = Arc::clone(&self.places).acquire_many_owned(units).await else {
            return write.fail(MailboxError::Closed);
        };
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let order = Order::Write(Queued { write, _place: place });
        let refused = match orders {
            Some(orders) => orders.try_send(order).err().map(|error| match error {
                TrySendError::Full(order) | TrySendError::Closed(order) => order,
            }),
            None => Some(order),
        };
        if let Some(Order::Write(queued)) = refused {
            queued.write.fail(MailboxError::Closed);
        }
    }

    async fn knows(&self, peer: PeerId) -> Result<bool, MailboxError> {
        self.read(move |db| reader::knows(db, peer)).await
    }

    async fn has_written(&self, peer: PeerId, other: PeerId) -> Result<bool, MailboxError> {
        self.read(move |db| reader::has_written(db, peer, other)).await
    }

    async fn waiting(
        &self,
        peer: PeerId,
        after: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Page, MailboxError> {
        let shared = Arc::clone(&self.shared);
        self.read(move |db| {
            let (page, list_is_damaged) =
                reader::waiting(db, &shared.recent, peer, after, max_items, max_bytes)?;
            if list_is_damaged {
                tracing::error!("the list of what waits is damaged");
                shared.damaged.store(true, Ordering::Relaxed);
            }
            // What the index lacks would be skipped: better read again once it is made anew.
            if list_is_damaged && !shared.beyond_repair.load(Ordering::Relaxed) {
                return Err(repair::damage("the list of what waits is damaged; it is made anew"));
            }
            Ok(page)
        })
        .await
    }

    async fn roster(&self, room: RoomName, position: u64, max_bytes: usize) -> Result<Roster, MailboxError> {
        self.read(move |db| reader::roster(db, &room, position, max_bytes)).await
    }

    async fn find(&self, whom: Query, max_bytes: usize) -> Result<Vec<Entry>, MailboxError> {
        self.read(move |db| reader::find(db, &whom, max_bytes)).await
    }

    async fn close(&self) {
        drop(self.reads.lock().unwrap_or_else(PoisonError::into_inner).take());
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(orders) = orders
            && orders.try_send(Order::Close).is_err()
        {
            tracing::error!("the mailbox's writer ended before it was closed");
        }
        // Whoever closed first may have gone: the end is what everybody waits for, and both hold the database open.
        end_of(&self.writer_ended).await;
        end_of(&self.reader_ended).await;
    }

    async fn ended(&self) {
        tokio::select! {
            biased;
            () = end_of(&self.writer_ended) => {}
            () = end_of(&self.reader_ended) => {}
        }
    }

    fn commits(&self) -> (u64, u64) {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        (load(&self.shared.commits), load(&self.shared.commit_us))
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod exact;

#[cfg(test)]
mod tests {
    use chat_core::Timestamp;
    use tokio::time::{Duration, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn mailbox() -> (tempfile::TempDir, SqliteMailbox) {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = SqliteMailbox::open(&dir.path().join("relay.db"), MailboxLimits::default()).unwrap();
        (dir, mailbox)
    }

    async fn attach(mailbox: &SqliteMailbox, panics: bool) -> Result<(), MailboxError> {
        let (tell, told) = oneshot::channel();
        let done: super::super::Done<_> = Box::new(move |result: Result<_, _>| {
            assert!(!panics, "a panic as a test");
            tell.send(result.map(drop)).unwrap();
        });
        mailbox.write(Write::Attach { peer: PeerId([1; 32]), now: Timestamp(1), done }).await;
        timeout(PATIENCE, told).await.unwrap().unwrap_or(Err(MailboxError::Closed))
    }

    #[tokio::test]
    async fn a_panic_fails_what_it_served_and_nothing_else() {
        let (_dir, mailbox) = mailbox();
        assert_eq!(attach(&mailbox, true).await, Err(MailboxError::Closed), "its answer is lost");
        assert_eq!(attach(&mailbox, false).await, Ok(()));
        let read = timeout(PATIENCE, mailbox.read::<(), _>(|_| panic!("a panic as a test"))).await.unwrap();
        assert!(matches!(read, Err(MailboxError::Storage(_))), "{read:?}");
        let found = timeout(PATIENCE, mailbox.find(Query::Peer(PeerId([1; 32])), 1)).await.unwrap();
        assert!(found.is_ok(), "{found:?}");
        assert!(!*mailbox.writer_ended.borrow() && !*mailbox.reader_ended.borrow());
        mailbox.close().await;
    }

    #[tokio::test]
    async fn the_end_of_either_thread_is_the_end() {
        let (_dir, without_writer) = mailbox();
        drop(without_writer.orders.lock().unwrap().take());
        timeout(PATIENCE, without_writer.ended()).await.unwrap();
        let (_dir, without_reader) = mailbox();
        drop(without_reader.reads.lock().unwrap().take());
        timeout(PATIENCE, without_reader.ended()).await.unwrap();
    }
}
