//! A backup is put back: everything secret in it is destroyed, and made anew by itself, visibly.

use chat_core::api::MessageState;
use chat_core::wire::SignedOneTimeKey;

use super::world::World;
use crate::config::StorePlace;
use crate::engine::MINUTE_MS;

impl World {
    /// The store is put back from `backup`, as an import does.
    pub(super) fn put_back(&mut self, who: &str, backup: tempfile::TempDir) {
        let place = StorePlace::File(backup.path().join("client.db"));
        let key = crate::vault::StoreKey::from_bytes(&[7; 32]);
        crate::mark_restored(&place, &key, Box::new(chat_core::entropy::OsEntropy)).unwrap();
        self.disconnect(who);
        self.restore(who, backup);
        self.connect(who);
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1_000);
            self.settle();
        }
    }
}

fn talked(exchange: &'static str) -> World {
    let mut world = World::over(exchange, &["alice", "bob", "carol"]);
    for (from, to) in [("bob", "alice"), ("alice", "bob"), ("carol", "alice"), ("alice", "carol")] {
        world.send(from, to, "before");
        world.settle();
    }
    world
}

/// Sessions with both are renewed before anybody says anything, it is told, and what is said from then on arrives.
#[test]
fn sessions_are_renewed_by_themselves_and_it_is_told() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = talked(exchange);
        let (alice, bob) = (world.id("alice"), world.id("bob"));
        let backup = world.copy_of("alice");
        let old_bundle = world.person("alice").engine.keys.as_ref().unwrap().verified.hash;
        world.send("alice", "bob", "after the backup");
        world.settle();
        let old_session = world.person("alice").engine.contacts[&bob].row.sending;
        let old_keys = world.relay.one_time[&alice].clone();
        world.put_back("alice", backup);
        let store = &world.person("alice").engine.store;
        assert!(store.bundle(&old_bundle).unwrap().is_none(), "{exchange}: the old bundle is gone");
        world.seconds(5);
        // As a person would have to wait for the next tick that wants keys.
        world.make_keys("alice");
        world.seconds(5);
        let sending = world.person("alice").engine.contacts[&bob].row.sending;
        assert!(sending.is_some() && sending != old_session, "{exchange}");
        assert!(world.person("alice").engine.lost_sessions.is_empty(), "{exchange}");
        let alarms = world.alarms("alice");
        let told = |what: &str| {
            alarms.iter().filter(|alarm| alarm.starts_with("Restored") && alarm.contains(what)).count()
        };
        assert_eq!(
            (told("put back from a backup: all keys"), told("was renewed")),
            (1, 2),
            "{exchange}: {alarms:?}"
        );
        let keys = &world.relay.one_time[&alice];
        assert!(keys.len() == 100 && keys.iter().all(|key| !old_keys.contains(key)), "{exchange}");
        for (from, to) in [("bob", "alice"), ("alice", "bob"), ("carol", "alice"), ("alice", "carol")] {
            let sent = world.send(from, to, "and on");
            world.seconds(2);
            assert_eq!(world.state(from, sent), MessageState::Delivered, "{exchange}: {from} to {to}");
        }
        assert_eq!(world.texts("bob", "alice"), ["before", "before", "after the backup", "and on", "and on"]);
        // It happens once.
        world.crash("alice");
        world.connect("alice");
        world.seconds(5);
        assert_eq!(world.person("alice").engine.contacts[&bob].row.sending, sending);
    }
}

/// What waited to be sent when the backup was made, sealed by sessions that are destroyed, arrives too, once.
#[test]
fn what_waited_in_the_backup_arrives() {
    let mut world = talked("x25519-ratchet");
    world.disconnect("alice");
    let waiting = world.send("alice", "bob", "written before the backup");
    let backup = world.copy_of("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(world.state("alice", waiting), MessageState::Delivered);
    world.put_back("alice", backup);
    world.make_keys("alice");
    world.seconds(5);
    for _ in 0..3 {
        world.pass(MINUTE_MS);
        world.settle();
    }
    assert_eq!(world.state("alice", waiting), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice").iter().filter(|text| text.contains("written")).count(), 1);
}

/// First messages for keys of the backup are refused, whoever has them still; nothing is lost by it.
#[test]
fn a_first_message_for_a_destroyed_key_is_refused_and_comes_again() {
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.id("alice");
    let backup = world.copy_of("alice");
    world.disconnect("alice");
    let sent = world.send("bob", "alice", "for the old keys");
    let first = world.relay.record.last().unwrap().clone();
    let named = chat_core::wire::Handshake::decode(first.handshake.as_ref().unwrap()).unwrap().one_time;
    assert!(named.is_some());
    world.put_back("alice", backup);
    assert!(world.person("alice").engine.store.one_time_key(named.unwrap()).unwrap().is_none());
    world.make_keys("alice");
    world.seconds(10);
    assert_eq!(world.state("bob", sent), MessageState::Delivered);
    assert_eq!(world.texts("alice", "bob"), ["for the old keys"]);
    let key = world.relay.one_time[&alice][0].clone();
    assert!(SignedOneTimeKey::read(&key).is_ok());
}

/// A crash before the first renewal: it is done after the next start.
#[test]
fn a_crash_in_between_loses_nothing() {
    let mut world = talked("x25519");
    let backup = world.copy_of("alice");
    let bob = world.id("bob");
    world.put_back("alice", backup);
    world.crash("alice");
    assert_eq!(world.person("alice").engine.lost_sessions.len(), 2);
    world.make_keys("alice");
    world.crash("alice");
    world.connect("alice");
    world.seconds(5);
    assert!(world.person("alice").engine.contacts[&bob].row.sending.is_some());
    assert!(world.person("alice").engine.lost_sessions.is_empty());
}
