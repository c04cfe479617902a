//! What the same promises cost with nothing but SQLite and TCP: the floor that the program is compared with.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Fault;
use crate::stats::Samples;

/// About what one message of the program is on the wire and in a store.
const MESSAGE_BYTES: usize = 512;
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
        Ok(Self(db))
    }

    /// One message, on the disk when this returns.
    fn commit(&self, body: &[u8]) -> Result<(), Fault> {
        self.0.prepare_cached("INSERT INTO message(body) VALUES(?1)")?.execute([body])?;
        Ok(())
    }
}

/// A message there and its receipt back, `count` times, along the way of the program: alice commits; the relay commits
/// and passes on; bob commits and answers; the relay commits and passes on; alice commits. Five synced commits and
/// four hops over loopback, one after another.
pub(crate) fn round_trips(folder: &Path, count: usize) -> Result<Samples, Fault> {
    let (mut alice, relay_to_alice) = connection()?;
    let (bob, relay_to_bob) = connection()?;
    let relay = Store::create(&folder.join("floor-relay.db"))?;
    let at_bob = Store::create(&folder.join("floor-bob.db"))?;
    let store = Store::create(&folder.join("floor-alice.db"))?;
    thread::Builder::new().spawn(move || pass_on(&relay, relay_to_alice, relay_to_bob).ok())?;
    thread::Builder::new().spawn(move || answer(&at_bob, bob).ok())?;
    let mut samples = Samples::default();
    let mut message = [7; MESSAGE_BYTES];
    for _ in 0..count {
        let began = Instant::now();
        store.commit(&message)?;
        alice.write_all(&message)?;
        alice.read_exact(&mut message)?;
        store.commit(&message)?;
        samples.push_ms(began.elapsed());
    }
    Ok(samples)
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

/// Messages a second into one store, each synced by itself.
pub(crate) fn commits_per_second(folder: &Path, count: usize) -> Result<f64, Fault> {
    let store = Store::create(&folder.join("floor-commits.db"))?;
    let began = Instant::now();
    for _ in 0..count {
        store.commit(&[7; MESSAGE_BYTES])?;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
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
        assert!(round_trips(folder.path(), 3).unwrap().median() > 0.0);
        for (name, rows) in [("floor-alice.db", 6), ("floor-bob.db", 3)] {
            // The threads of the relay and of bob let go of their files when they notice the end.
            let db = Connection::open(folder.path().join(name)).unwrap();
            db.busy_timeout(PATIENCE).unwrap();
            let count: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
            assert_eq!(count, rows, "{name}");
        }
        assert!(commits_per_second(folder.path(), 2).unwrap() > 0.0);
    }
}
