//! The complete data of both ends is stolen: every file, as it lies there. The thief has recorded every envelope and runs
//! the program's own code on what he stole: he brings sessions back, with each byte of them set to zero in turn so that
//! counters and windows don't stop him, and takes first messages again with every key that is left. He has the store's key
//! too, and knows that its log holds the states of before: he looks at each of them.

use std::path::Path;
use std::sync::Arc;

use chat_core::error::CryptoError;
use chat_core::ids::PeerId;
use chat_core::key_exchange::{Context, OwnBundle, PeerBundle, SavedSession, Session, Step};
use chat_core::testing::TestEntropy;
use chat_core::wire::bundle::{SignedBundle, binding};
use chat_core::wire::{Envelope, Handshake};
use zeroize::Zeroizing;

use super::world::World;
use crate::config::{ClientConfig, StorePlace};
use crate::engine::HOUR_MS;
use crate::store::{Store, StoredBundle};

/// What lies in one stolen folder, in one state of it.
struct Loot {
    me: PeerId,
    sessions: Vec<SavedSession>,
    bundles: Vec<StoredBundle>,
    one_time: Vec<Zeroizing<Vec<u8>>>,
}

/// Where each commit in a write-ahead log ends (<https://www.sqlite.org/fileformat2.html#walformat>).
fn commits(log: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap()) as usize;
    if log.len() < 32 {
        return Vec::new();
    }
    let frame = 24 + number(8);
    let frames = (0..(log.len() - 32) / frame).map(|n| 32 + n * frame);
    frames.filter(|at| number(at + 4) != 0).map(|at| at + frame).collect()
}

impl Loot {
    /// A folder as it lies there, and in every earlier state that its log still holds.
    fn all(me: PeerId, folder: &Path) -> Vec<Self> {
        let log = std::fs::read(folder.join("client.db-wal")).unwrap_or_default();
        let state = |end: usize| {
            let copy = tempfile::tempdir().unwrap();
            std::fs::copy(folder.join("client.db"), copy.path().join("client.db")).unwrap();
            std::fs::write(copy.path().join("client.db-wal"), &log[..end]).unwrap();
            crate::store::forge(&copy.path().join("client.db"));
            Self::of(me, copy.path())
        };
        std::iter::once(0).chain(commits(&log)).map(state).collect()
    }

    fn of(me: PeerId, folder: &Path) -> Self {
        let store = Store::open(&StorePlace::File(folder.join("client.db"))).unwrap();
        let ids = |sql: &str| -> Vec<Vec<u8>> {
            store
                .db
                .prepare(sql)
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect()
        };
        let sessions = ids("SELECT id FROM sessions")
            .into_iter()
            .map(|id| store.session(chat_core::ids::SessionId::from_slice(&id).unwrap()).unwrap().unwrap().1);
        let bundles =
            ids("SELECT hash FROM bundles").into_iter().map(|hash| store.bundle(&hash).unwrap().unwrap());
        let one_time = ids("SELECT secret FROM one_time_keys WHERE secret IS NOT NULL");
        Self {
            me,
            sessions: sessions.collect(),
            bundles: bundles.collect(),
            one_time: one_time.into_iter().map(Zeroizing::new).collect(),
        }
    }

    /// Whether any of it opens an envelope to its owner.
    fn opens(&self, config: &ClientConfig, now: chat_core::ids::Timestamp, envelope: &Envelope) -> bool {
        let restored = self.sessions.iter().flat_map(edited).filter_map(|saved| {
            with(config, now, [0; 32], |cx| config.key_exchange.restore(&saved, cx)).ok()
        });
        let begun = self.begun_again(config, now, envelope);
        restored.chain(begun).any(|mut session| {
            let entropy = &mut TestEntropy::new(5);
            session.open(&envelope.frame, &mut Step { now, entropy }).is_ok()
        })
    }

    /// The sessions that its first message begins with any of the keys that are left.
    fn begun_again(
        &self,
        config: &ClientConfig,
        now: chat_core::ids::Timestamp,
        envelope: &Envelope,
    ) -> Vec<Box<dyn Session>> {
        let Some(handshake) = &envelope.handshake else { return Vec::new() };
        let handshake = Handshake::decode(handshake).unwrap();
        let theirs = SignedBundle::verify(&handshake.bundle).unwrap();
        let mut begun = Vec::new();
        for own in &self.bundles {
            let verified = SignedBundle::verify(&own.signed).unwrap();
            let peer = PeerBundle { identity: theirs.key, payload: &theirs.bundle.payload, one_time: None };
            for one_time in std::iter::once(None).chain(self.one_time.iter().map(|key| Some(&key[..]))) {
                let ours = OwnBundle {
                    identity: &config.identity,
                    payload: &own.payload,
                    secret: &own.secret,
                    one_time,
                };
                let accepted = with(config, now, binding(&theirs, &verified), |cx| {
                    config.key_exchange.accept(&ours, &peer, &handshake.first, cx)
                });
                begun.extend(accepted.ok());
            }
        }
        begun
    }
}

fn with<T>(
    config: &ClientConfig,
    now: chat_core::ids::Timestamp,
    binding: [u8; 32],
    run: impl FnOnce(&mut Context<'_>) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    let mut entropy = TestEntropy::new(6);
    run(&mut Context { now, entropy: &mut entropy, cipher: Arc::clone(&config.cipher), binding })
}

/// A stolen state as it is, and with each byte of its main record set to zero.
fn edited(saved: &SavedSession) -> impl Iterator<Item = SavedSession> + '_ {
    let with_zero = |at: usize| {
        let mut main = saved.main.to_vec();
        main[at] = 0;
        SavedSession { main: Zeroizing::new(main), rows: saved.rows.clone() }
    };
    std::iter::once(saved.clone()).chain((0..saved.main.len()).map(with_zero))
}

/// The engine hears that time has passed.
const TICK_MS: u64 = 1_000;

/// Ages end at most once an hour.
fn days_pass(world: &mut World, days: u64) {
    for _ in 0..days * 3 {
        world.pass(8 * HOUR_MS);
    }
    // What a clock that is set right again keeps for a day.
    world.pass(TICK_MS);
}

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// Of so many envelopes before the first answer,
    first_flight: usize,
    /// these were read.
    first_flight_read: usize,
    /// And of so many after it,
    later: usize,
    /// these.
    later_read: usize,
    /// The one-time secret that was used is there still.
    has_secret: bool,
    /// States in the logs, beside the last ones.
    earlier_states: usize,
}

/// What happens before everything is stolen.
enum Then {
    Nothing,
    ATick,
    /// Both are killed at once, and start again.
    AStart,
}

/// Alice writes to bob, who is away; he answers; they talk on; then everything is stolen.
fn steal(exchange: &'static str, with_one_time_keys: bool, then: Then) -> Verdict {
    let mut world = World::over(exchange, &["alice", "bob"]);
    if !with_one_time_keys {
        world.meddle_with_key = Box::new(|_, _| None);
    }
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    world.disconnect("bob");
    for n in 0..3 {
        world.send("alice", "bob", &format!("while you are away {n}"));
    }
    let flight = world.relay.record.clone();
    let named = Handshake::decode(flight[0].handshake.as_ref().unwrap()).unwrap().one_time;
    assert_eq!(named.is_some(), with_one_time_keys);
    let secret = named.map(|id| {
        let key = world.person("bob").engine.store.one_time_key(id).unwrap().unwrap();
        key.secret.unwrap()
    });
    world.connect("bob");
    world.settle();
    for n in 0..3 {
        for (from, to) in [("bob", "alice"), ("alice", "bob")] {
            world.send(from, to, &format!("and on {n}"));
            world.settle();
        }
    }
    match then {
        Then::Nothing => {}
        Then::ATick => world.pass(TICK_MS),
        Then::AStart => ["alice", "bob"].into_iter().for_each(|who| world.crash(who)),
    }
    let loot: Vec<(&str, Loot)> = [("alice", alice), ("bob", bob)]
        .into_iter()
        .flat_map(|(who, id)| {
            Loot::all(id, world.copy_of(who).path()).into_iter().map(move |loot| (who, loot))
        })
        .collect();
    let now = world.now;
    let later: Vec<Envelope> = world.relay.record[flight.len()..].to_vec();
    let mut count = |envelopes: &[Envelope]| {
        let mut read = |envelope: &&Envelope| {
            loot.iter().any(|(who, loot)| {
                let config = &world.person(who).engine.config;
                let to = chat_core::wire::Recipient::Peer(loot.me);
                envelope.to == to && loot.opens(config, now, envelope)
            })
        };
        envelopes.iter().filter(|envelope| read(envelope)).count()
    };
    let (first_flight_read, later_read) = (count(&flight), count(&later));
    assert!(loot.iter().any(|(_, loot)| !loot.one_time.is_empty()), "those that nobody used are there");
    let has_secret =
        loot.iter().any(|(_, loot)| loot.one_time.iter().any(|key| Some(key) == secret.as_ref()));
    let verdict = Verdict {
        first_flight: flight.len(),
        first_flight_read,
        later: later.len(),
        later_read,
        has_secret,
        earlier_states: loot.len() - 2,
    };
    let keys = if with_one_time_keys { "with" } else { "without" };
    #[allow(clippy::print_stdout)] // The verdict is there to be read.
    {
        println!("{exchange}, first message {keys} a one-time key: {verdict:?}");
    }
    verdict
}

/// C31, through whole nodes: with a one-time key nothing that was said before is read, not even the first flight.
#[test]
fn stolen_data_opens_nothing_that_was_said_before() {
    let verdict = steal("x25519-ratchet", true, Then::ATick);
    assert!(verdict.first_flight == 3 && verdict.later > 6, "{verdict:?}");
    assert_eq!((verdict.first_flight_read, verdict.later_read), (0, 0), "{verdict:?}");
    assert!(!verdict.has_secret, "{verdict:?}");
}

/// The control: what was opened within the last second lies in the log still. The first flight does not, as a key that is
/// used is erased with its commit.
#[test]
fn at_once_the_log_opens_what_was_said_last() {
    let verdict = steal("x25519-ratchet", true, Then::Nothing);
    assert!(verdict.earlier_states > 0 && verdict.later_read > 0, "{verdict:?}");
    assert!(!verdict.has_secret, "{verdict:?}");
}

/// Who was killed within that second has left its states in the log; the next start empties it before all else.
#[test]
fn a_start_leaves_nothing_of_what_a_killed_process_left_in_the_log() {
    let verdict = steal("x25519-ratchet", true, Then::AStart);
    assert!(verdict.first_flight == 3 && verdict.later > 6, "{verdict:?}");
    assert_eq!((verdict.first_flight_read, verdict.later_read), (0, 0), "{verdict:?}");
    assert!(!verdict.has_secret, "{verdict:?}");
}

/// The control: without one, the first flight is read, all of it, as the bundle's key is kept for weeks; and no more.
#[test]
fn without_a_one_time_key_the_first_flight_is_read() {
    let verdict = steal("x25519-ratchet", false, Then::ATick);
    assert_eq!((verdict.first_flight_read, verdict.later_read), (3, 0), "{verdict:?}");
}

/// And only while the bundle's key lives: thirty days from its making, though it was signed again on its sixth day.
#[test]
fn the_key_of_a_bundle_is_gone_after_thirty_days() {
    for (days, read) in [(29, 3), (30, 0)] {
        let mut world = World::over("x25519-ratchet", &["alice", "bob"]);
        world.meddle_with_key = Box::new(|_, _| None);
        let bob = world.id("bob");
        days_pass(&mut world, 6);
        world.disconnect("bob");
        world.person("bob").rename("robert");
        world.crash("bob");
        world.connect("bob");
        world.disconnect("bob");
        let to = bob.to_string();
        for n in 0..3 {
            world.send("alice", &to, &format!("while you are away {n}"));
        }
        let flight = world.relay.record.clone();
        world.connect("bob");
        world.settle();
        world.send("bob", "alice", "I am here");
        world.settle();
        days_pass(&mut world, days - 6);
        let now = world.now;
        let loot = Loot::all(bob, world.copy_of("bob").path());
        let config = &world.person("bob").engine.config;
        let opened = flight.iter().filter(|it| loot.iter().any(|loot| loot.opens(config, now, it))).count();
        assert_eq!((flight.len(), opened), (3, read), "after {days} days");
        let bundles = loot.iter().map(|loot| loot.bundles.len()).max();
        assert!((2..=6).contains(&bundles.unwrap()), "{bundles:?} bundles: new ones every week");
    }
}

/// The control: a static key falls to the same thief, wholly.
#[test]
fn a_static_key_opens_nearly_everything() {
    let verdict = steal("x25519", true, Then::ATick);
    assert!(
        verdict.first_flight_read + verdict.later_read + 2 >= verdict.first_flight + verdict.later,
        "{verdict:?}"
    );
    assert!(!verdict.has_secret, "the one-time key itself is gone here too");
}
