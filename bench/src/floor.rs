//! What the same promises cost with nothing but SQLite and TCP: the floor that the program is compared with.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Fault;

/// About what one message of the program is on the wire and in a store.
const MESSAGE_BYTES: usize = 512;
/// Length of a log that has been full once.
const LOG_BYTES: usize = 6 << 20;
/// Messages in a commit of the stream.
pub(crate) const BATCH: usize = 50;
/// Longest wait for the other side of a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// A database with the settings of the program's own stores.
struct Store(Connection);

impl Store {
    fn create(path: &Path) -> Result<Self, Fault> {
        let db = Connection::open(path)?;
        db.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE message(n INTEGER PRIMARY KEY, body BLOB NOT NULL);",
        )?;
        // A sync is much dearer while the log grows than when it is written over, as it is in a program that has run
        // for a while. So the log is made to grow beyond its checkpoint (1000 pages) and to begin anew.
        let store = Self(db);
        store.commit(&vec![0; LOG_BYTES])?;
        store.0.execute_batch("DELETE FROM message")?;
        Ok(store)
    }

    /// One message, on the disk when this returns, or with the transaction it is in.
    fn commit(&self, body: &[u8]) -> Result<(), Fault> {
        self.0.prepare_cached("INSERT INTO message(body) VALUES(?1)")?.execute([body])?;
        Ok(())
    }

    /// Many messages in one commit.
    fn commit_each(&self, messages: &[u8]) -> Result<(), Fault> {
        self.0.execute_batch("BEGIN IMMEDIATE")?;
        messages.chunks(MESSAGE_BYTES).try_for_each(|body| self.commit(body))?;
        Ok(self.0.execute_batch("COMMIT")?)
    }
}

/// Three stores and two connections: alice, the relay and bob, without anything that makes them a chat.
pub(crate) struct Floor {
    store: Store,
    relay: TcpStream,
}

impl Floor {
    /// Opens the stores in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, Fault> {
        let (alice, relay_to_alice) = connection()?;
        let (bob, relay_to_bob) = connection()?;
        let relay = Store::create(&folder.join("floor-relay.db"))?;
        let at_bob = Store::create(&folder.join("floor-bob.db"))?;
        let store = Store::create(&folder.join("floor-alice.db"))?;
        // Both end when the connection does.
        thread::Builder::new().spawn(move || pass_on(&relay, relay_to_alice, relay_to_bob).ok())?;
        thread::Builder::new().spawn(move || answer(&at_bob, bob).ok())?;
        Ok(Self { store, relay: alice })
    }

    /// A message there and its receipt back along the way of the program: alice commits; the relay commits and
    /// passes on; bob commits and answers; the relay commits and passes on; alice commits. Five synced commits and
    /// four hops over loopback, one after another.
    pub(crate) fn round_trip(&mut self) -> Result<Duration, Fault> {
        let mut message = [7; MESSAGE_BYTES];
        let began = Instant::now();
        self.store.commit(&message)?;
        self.relay.write_all(&message)?;
        self.relay.read_exact(&mut message)?;
        self.store.commit(&message)?;
        Ok(began.elapsed())
    }
}

/// Messages a second from alice through the relay to bob, each durable in all three stores before it goes on,
/// [`BATCH`] of them in a commit.
pub(crate) fn stream(folder: &Path, batches: usize) -> Result<f64, Fault> {
    let (mut alice, mut relay_from_alice) = connection()?;
    let (mut relay_to_bob, mut bob) = connection()?;
    let store = Store::create(&folder.join("stream-alice.db"))?;
    let at_relay = Store::create(&folder.join("stream-relay.db"))?;
    let at_bob = Store::create(&folder.join("stream-bob.db"))?;
    let began = Instant::now();
    let relaying = thread::Builder::new().spawn(move || {
        let mut batch = vec![0; BATCH * MESSAGE_BYTES];
        for _ in 0..batches {
            relay_from_alice.read_exact(&mut batch)?;
            at_relay.commit_each(&batch)?;
            relay_to_bob.write_all(&batch)?;
        }
        Ok::<_, Fault>(())
    })?;
    let arriving = thread::Builder::new().spawn(move || {
        let mut batch = vec![0; BATCH * MESSAGE_BYTES];
        for _ in 0..batches {
            bob.read_exact(&mut batch)?;
            at_bob.commit_each(&batch)?;
        }
        Ok::<_, Fault>(Instant::now())
    })?;
    let batch = vec![7; BATCH * MESSAGE_BYTES];
    for _ in 0..batches {
        store.commit_each(&batch)?;
        alice.write_all(&batch)?;
    }
    let gone = |_| Fault::from("a thread of the floor failed");
    relaying.join().map_err(gone)??;
    let ended = arriving.join().map_err(gone)??;
    Ok((batches * BATCH) as f64 / (ended - began).as_secs_f64())
}

fn pass_on(store: &Store, mut alice: TcpStream, mut bob: TcpStream) -> Result<(), Fault> {
    let mut message = [0; MESSAGE_BYTES];
    loop {
        alice.read_exact(&mut message)?;
        store.commit(&message)?;
        bob.write_all(&message)?;
        bob.read_exact(&mut message)?;
        store.commit(&message)?;
        alice.write_all(&message)?;
    }
}

fn answer(store: &Store, mut relay: TcpStream) -> Result<(), Fault> {
    let mut message = [0; MESSAGE_BYTES];
    loop {
        relay.read_exact(&mut message)?;
        store.commit(&message)?;
        relay.write_all(&message)?;
    }
}

fn connection() -> Result<(TcpStream, TcpStream), Fault> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_trip_is_in_three_stores() {
        let folder = tempfile::tempdir().unwrap();
        let mut floor = Floor::open(folder.path()).unwrap();
        for _ in 0..3 {
            assert!(floor.round_trip().unwrap() > Duration::ZERO);
        }
        drop(floor);
        assert!(stream(folder.path(), 2).unwrap() > 0.0);
        let stores = ["alice", "relay", "bob"].map(|who| (format!("stream-{who}.db"), 2 * BATCH as i64));
        let trips = [("alice", 6), ("relay", 6), ("bob", 3)].map(|(who, n)| (format!("floor-{who}.db"), n));
        for (name, rows) in stores.into_iter().chain(trips) {
            // The threads of the relay and of bob let go of their files when they notice the end.
            let db = Connection::open(folder.path().join(&name)).unwrap();
            db.busy_timeout(PATIENCE).unwrap();
            let count: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
            assert_eq!(count, rows, "{name}");
        }
    }
}
