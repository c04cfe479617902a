//! An older copy of a peer's data comes back, or lives on beside the newer one: what it has counted on from there was
//! counted already.

use chat_core::api::MessageState;
use chat_core::ids::EnvelopeId;

use super::world::World;
use crate::engine::MINUTE_MS;

impl World {
    fn say(&mut self, from: &str, to: &str, texts: &[String]) -> Vec<chat_core::ids::MessageId> {
        texts.iter().map(|text| self.send(from, to, text)).collect()
    }

    /// A few minutes, with mail. As a relay does, this one delivers what was acknowledged again after a minute.
    fn minutes(&mut self, minutes: u64) {
        for quarter in 0..minutes * 4 {
            self.pass(MINUTE_MS / 4);
            self.settle();
            if quarter % 4 == 3 {
                self.relay.forget_what_was_had();
            }
        }
    }
}

fn texts(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{what} {n}")).collect()
}

/// alice's folder is replaced by a copy of `before`; then she writes, and everything arrives, in order, once.
fn restored(exchange: &'static str, forgotten: usize, new_keys: bool) -> World {
    let mut world = World::over(exchange, &["alice", "bob"]);
    world.say("alice", "bob", &texts("before", 3));
    world.say("bob", "alice", &texts("answer", 3));
    world.settle();
    let copy = world.copy_of("alice");
    if new_keys {
        world.now = world.now.plus_ms(crate::engine::DAY_MS);
        world.make_keys("alice");
        world.settle();
    }
    world.say("alice", "bob", &texts("forgotten", forgotten));
    world.settle();
    world.disconnect("alice");
    world.restore("alice", copy);
    world.connect("alice");
    let sent = world.say("alice", "bob", &texts("after", 15));
    let received = world.say("bob", "alice", &texts("reply", 3));
    world.settle();
    // What was refused is asked for within a second, receipts that were lost are asked for within minutes.
    world.minutes(5);
    for (who, ids) in [("alice", &sent), ("bob", &received)] {
        for id in ids {
            assert_eq!(world.state(who, *id), MessageState::Delivered, "{who}");
        }
    }
    let heard = world.texts("bob", "alice");
    let of = |what: &str| heard.iter().filter(|text| text.starts_with(what)).cloned().collect::<Vec<_>>();
    // Of long conversations, the newest part is shown.
    if forgotten < 100 {
        assert_eq!(of("before"), texts("before", 3));
    }
    assert_eq!(of("after"), texts("after", 15));
    assert_eq!(of("forgotten").last(), texts("forgotten", forgotten).last());
    let replies: Vec<String> =
        world.texts("alice", "bob").into_iter().filter(|text| text.starts_with("reply")).collect();
    assert_eq!(replies, texts("reply", 3));
    world
}

#[test]
fn what_is_sent_from_an_older_copy_arrives() {
    let mut world = restored("x25519", 10, false);
    let alarms = world.alarms("bob");
    assert!(alarms.iter().any(|alarm| alarm.contains("older copy")), "{alarms:?}");
    assert_eq!(world.alarms("alice"), [""; 0]);
}

/// The window of what was received has moved on beyond it.
#[test]
fn what_is_sent_from_a_much_older_copy_arrives() {
    restored("x25519", 1_200, false);
}

/// The copy has not even the keys that bob knows.
#[test]
fn what_is_sent_from_a_copy_without_the_newest_keys_arrives() {
    restored("x25519", 10, true);
}

/// With the ratchet, the secrets of now are not in the copy: nothing that either end seals opens at the other.
#[test]
fn what_is_sent_from_an_older_copy_with_the_ratchet_arrives() {
    for forgotten in [1, 10, 1_200] {
        let mut world = restored("x25519-ratchet", forgotten, false);
        assert!(world.alarms("alice").len() + world.alarms("bob").len() > 0, "it is told");
    }
    restored("x25519-ratchet", 10, true);
}

/// Two copies run and take turns at the relay: neither stays unheard.
fn take_turns(exchange: &'static str) {
    let mut world = World::over(exchange, &["alice", "bob"]);
    world.say("alice", "bob", &texts("before", 2));
    world.say("bob", "alice", &texts("answer", 2));
    world.settle();
    let mut other = Some(world.copy_of("alice"));
    for turn in 0..4 {
        let ids = world.say("alice", "bob", &texts(&format!("turn {turn}"), 5));
        world.settle();
        world.minutes(10);
        for id in ids {
            assert_eq!(world.state("alice", id), MessageState::Delivered, "{turn}");
        }
        let mine = world.copy_of("alice");
        world.disconnect("alice");
        world.restore("alice", other.replace(mine).unwrap());
        world.connect("alice");
    }
}

#[test]
fn two_copies_take_turns() {
    take_turns("x25519");
}

#[test]
fn two_copies_with_the_ratchet_take_turns() {
    take_turns("x25519-ratchet");
}

/// The same bytes again, under any other name, are a replay, whenever they come: an alarm, and nothing else happens.
fn replay(exchange: &'static str) {
    let mut world = World::over(exchange, &["alice", "bob"]);
    world.say("alice", "bob", &texts("one way", 5));
    world.say("bob", "alice", &texts("other way", 5));
    world.settle();
    world.say("alice", "bob", &texts("and on", 1_100));
    world.settle();
    world.crash("bob");
    world.connect("bob");
    world.settle();
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let sending = world.person("bob").engine.contacts[&alice].row.sending;
    let genuine: Vec<_> = world.relay.record.iter().filter(|e| e.from == alice).cloned().collect();
    assert!(genuine.len() > 1_100);
    let before = world.relay.record.len();
    for (n, mut envelope) in genuine.into_iter().enumerate() {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        envelope.id = EnvelopeId(id);
        world.relay.boxes.entry(bob).or_default().push((1_000_000 + n as u64, envelope));
    }
    world.settle();
    assert_eq!(world.relay.record.len(), before, "bob says nothing to it");
    assert_eq!(world.person("bob").engine.contacts[&alice].row.sending, sending);
    assert!(
        world.alarms("bob").iter().all(|alarm| alarm.starts_with("Replayed") || alarm.contains("too old"))
    );
}

#[test]
fn a_replay_of_anything_genuine_renews_nothing() {
    replay("x25519");
}

#[test]
fn a_replay_of_anything_genuine_with_the_ratchet_renews_nothing() {
    replay("x25519-ratchet");
}
