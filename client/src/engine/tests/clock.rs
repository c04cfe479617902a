//! Wall clocks that are wrong, at the start or for a while, by seconds or by years.

use chat_core::api::MessageState;
use chat_core::ids::MessageId;
use chat_core::wire::FromRelay;
use chat_core::wire::relay::Refusal;

use super::world::World;
use crate::engine::{DAY_MS, HOUR_MS, Input, MINUTE_MS};

const DAYS_40: i64 = 40 * DAY_MS as i64;
const YEARS_20: i64 = 20 * 365 * DAY_MS as i64;

impl World {
    /// Everybody's clocks go on, by seconds, for so long.
    pub(super) fn live(&mut self, ms: u64) {
        for _ in 0..ms / 1_000 {
            self.pass(1_000);
            self.settle();
        }
    }

    /// A message arrives, and its receipt.
    fn talk(&mut self, from: &str, to: &str, text: &str) {
        let id = self.send(from, to, text);
        for _ in 0..3 {
            self.settle();
            self.pass(1_000);
        }
        self.live(2 * MINUTE_MS);
        assert_eq!(self.state(from, id), MessageState::Delivered, "{from} to {to}: {text}");
    }

    fn reason(&mut self, who: &str, id: MessageId) -> Option<String> {
        let me = self.id(who);
        let person = self.person(who);
        let row = person.engine.store.message(me, id).unwrap().unwrap();
        person.engine.delivery_of(&row).unwrap().reason
    }

    fn fails_in_time(&mut self, who: &str, id: MessageId) {
        assert_eq!(self.state(who, id), MessageState::Failed);
        assert_eq!(self.reason(who, id).as_deref(), Some("not delivered within 30 days"));
    }
}

/// A machine without battery: the clock is years off at the first start, and right later, in the same run or not.
#[test]
fn a_first_start_under_a_wrong_clock_is_lived_down() {
    for off in [YEARS_20, DAYS_40, -YEARS_20] {
        for restart in [false, true] {
            let mut world = World::of(&["bob"]);
            world.add_under("alice", "alice", 7, "aes-256-gcm", off);
            world.settle();
            world.live(5_000);
            let alarms = world.alarms("alice");
            let says_clock =
                alarms.iter().filter(|alarm| alarm.contains("check the date of this machine")).count();
            assert_eq!(says_clock, usize::from(off > 0), "{alarms:?}");
            world.person("alice").off = 0;
            if restart {
                world.disconnect("alice");
                world.crash("alice");
                world.connect("alice");
            }
            world.live(2 * MINUTE_MS);
            world.add("carol", "carol", 9, "aes-256-gcm");
            world.settle();
            for (from, to) in [("carol", "alice"), ("alice", "carol"), ("bob", "alice"), ("alice", "bob")] {
                world.talk(from, to, "hello");
            }
            assert_eq!(world.alarms("carol"), [""; 0]);
            let id = world.send("alice", "#lobby", "to all");
            world.settle();
            assert_eq!(world.state("alice", id), MessageState::Delivered);
        }
    }
}

/// The clock is off for seconds: nothing is made anew, nothing fails, nothing is forgotten.
#[test]
fn a_jump_of_some_seconds_changes_nothing() {
    for off in [DAYS_40, YEARS_20, -DAYS_40] {
        let mut world = World::of(&["alice", "bob"]);
        world.talk("alice", "bob", "before");
        world.live(HOUR_MS - 3 * MINUTE_MS);
        world.disconnect("bob");
        let waiting = world.send("alice", "bob", "waiting");
        let keys = world.person("alice").engine.keys.as_ref().unwrap().stored.hash;
        world.person("alice").off = off;
        // Over the hour, at which ages end.
        for _ in 0..50 {
            world.pass(1_000);
            assert_eq!(world.person("alice").engine.keys.as_ref().unwrap().stored.hash, keys);
        }
        let at_once = world.send("alice", "bob", "in between");
        world.person("alice").off = 0;
        world.live(HOUR_MS);
        for id in [waiting, at_once] {
            assert_eq!(world.state("alice", id), MessageState::Stored, "{off}");
        }
        world.connect("bob");
        world.settle();
        assert_eq!(world.texts("bob", "alice"), ["before", "waiting", "in between"]);
        for who in ["alice", "bob"] {
            assert_eq!(world.alarms(who), [""; 0]);
        }
    }
}

/// It is off for long enough to be believed: keys of that date are made, and given up when it is right again.
#[test]
fn a_jump_of_minutes_is_lived_down() {
    for off in [DAYS_40, YEARS_20, -DAYS_40] {
        let mut world = World::of(&["alice", "bob"]);
        world.talk("alice", "bob", "before");
        world.disconnect("bob");
        let waiting = world.send("alice", "bob", "waiting");
        let keys = world.person("alice").engine.keys.as_ref().unwrap().stored.hash;
        world.person("alice").off = off;
        world.live(10 * MINUTE_MS);
        assert_eq!(world.state("alice", waiting), MessageState::Stored, "{off}");
        assert_ne!(world.person("alice").engine.keys.as_ref().unwrap().stored.hash, keys);
        world.person("alice").off = 0;
        world.live(2 * MINUTE_MS);
        assert_eq!(
            world.person("alice").engine.keys.as_ref().unwrap().stored.hash,
            keys,
            "they are good again"
        );
        world.connect("bob");
        world.add("carol", "carol", 9, "aes-256-gcm");
        world.live(2 * MINUTE_MS);
        assert_eq!(world.state("alice", waiting), MessageState::Delivered, "{off}");
        for (from, to) in [("carol", "alice"), ("alice", "carol"), ("bob", "alice"), ("alice", "bob")] {
            world.talk(from, to, "hello");
        }
    }
}

/// One machine, whose clock is years ahead from the start or for a while, is alice's and the relay's. When it is right,
/// hers are the keys of today.
#[test]
fn a_host_whose_clock_was_ahead() {
    for from_the_start in [true, false] {
        let mut world = World::new();
        let before = if from_the_start { YEARS_20 } else { 0 };
        world.relay.off = before;
        world.add_under("alice", "alice", 7, "aes-256-gcm", before);
        world.live(3_000);
        (world.relay.off, world.person("alice").off) = (YEARS_20, YEARS_20);
        world.live(2 * MINUTE_MS);
        assert_eq!(world.alarms("alice"), [""; 0]);
        (world.relay.off, world.person("alice").off) = (0, 0);
        world.live(2 * MINUTE_MS);
        world.add("bob", "bob", 9, "aes-256-gcm");
        world.settle();
        let (alice, now) = (world.id("alice"), world.now);
        assert!(world.person("bob").engine.contacts[&alice].bundle.bundle.created <= now, "{from_the_start}");
        world.talk("bob", "alice", "hello");
    }
}

/// A session begun while the clock was ahead would not be old for as long, and never be renewed.
#[test]
fn a_session_from_the_future_is_renewed() {
    let mut world = World::of(&["bob"]);
    world.add_under("alice", "alice", 7, "aes-256-gcm", 10 * DAY_MS as i64);
    world.settle();
    world.talk("alice", "bob", "in the future");
    let bob = world.id("bob");
    let began = world.person("alice").engine.contacts[&bob].row.sending;
    world.talk("alice", "bob", "still there");
    assert_eq!(world.person("alice").engine.contacts[&bob].row.sending, began);
    world.person("alice").off = 0;
    world.live(2 * MINUTE_MS);
    world.talk("alice", "bob", "today");
    assert_ne!(world.person("alice").engine.contacts[&bob].row.sending, began);
}

/// Who has met somebody under a wrong date of either knows their next keys all the same.
#[test]
fn keys_from_the_future_give_way() {
    let mut world = World::of(&["bob"]);
    // Both clocks are wrong, so to bob these keys are of today.
    world.person("bob").off = YEARS_20;
    world.disconnect("bob");
    world.crash("bob");
    world.add_under("alice", "alice", 7, "aes-256-gcm", YEARS_20);
    let bundle = world.person("alice").engine.keys.as_ref().unwrap().stored.signed.clone();
    world.connect("bob");
    world.input("bob", vec![Input::Record(FromRelay::Peer { bundle, online: true })]);
    for who in ["alice", "bob"] {
        world.person(who).off = 0;
    }
    world.live(3 * MINUTE_MS);
    let now = world.now;
    let alice = world.id("alice");
    let known = &world.person("bob").engine.contacts[&alice];
    assert!(known.bundle.bundle.created <= now);
    world.talk("bob", "alice", "hello");
}

/// Thirty days end for what waits, however the clock comes there, but not at once: only when it stands by it.
#[test]
fn what_has_waited_for_thirty_days_fails_once_the_clock_is_believed() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let id = world.send("alice", "bob", "are you there?");
    world.live(3_000);
    // A laptop that slept for forty days: its clock has moved, and the time it ran for has not.
    world.person("alice").off = DAYS_40;
    world.live(HOUR_MS);
    assert_eq!(world.state("alice", id), MessageState::Stored);
    world.live(2 * HOUR_MS);
    world.fails_in_time("alice", id);
    // It arrives all the same in the end.
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["are you there?"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

/// A program that was off for forty days believes the clock when it has run for an hour, or at its next start.
#[test]
fn an_age_that_ended_while_the_program_was_off() {
    for restart in [false, true] {
        let mut world = World::of(&["alice", "bob"]);
        world.disconnect("bob");
        let id = world.send("alice", "bob", "are you there?");
        world.live(3_000);
        world.disconnect("alice");
        world.now = world.now.plus_ms(40 * DAY_MS);
        world.crash("alice");
        world.live(5 * MINUTE_MS);
        assert_eq!(world.state("alice", id), MessageState::Stored, "it may be the clock");
        if restart {
            world.now = world.now.plus_ms(7 * DAY_MS);
            world.crash("alice");
            world.live(3_000);
        } else {
            world.live(HOUR_MS);
        }
        world.fails_in_time("alice", id);
    }
}

/// What is written while the clock is years ahead fails in its time, not years later.
#[test]
fn what_was_written_in_the_future_has_its_thirty_days_too() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    world.person("alice").off = YEARS_20;
    world.live(3 * HOUR_MS);
    let id = world.send("alice", "bob", "from the future");
    world.person("alice").off = 0;
    world.live(3 * HOUR_MS);
    assert_eq!(world.state("alice", id), MessageState::Stored);
    for _ in 0..31 {
        world.now = world.now.plus_ms(DAY_MS - HOUR_MS);
        world.live(HOUR_MS);
    }
    world.fails_in_time("alice", id);
}

/// What is waited for in a run goes by the time that passes: a clock that is set back by hours holds nothing up.
#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut world = World::of(&["alice", "bob"]);
    world.talk("alice", "bob", "before");
    let bob = world.id("bob");
    world.send("alice", "bob", "refused for a while");
    let envelope = world.relay.boxes.get_mut(&bob).unwrap().pop().unwrap().1;
    world.relay.forget_what_was_had();
    let refused = FromRelay::Refused { id: envelope.id, why: Refusal::TooFast };
    world.input("alice", vec![Input::Record(refused)]);
    for who in ["alice", "bob"] {
        world.person(who).off = -20 * HOUR_MS as i64;
    }
    world.live(10_000);
    assert_eq!(world.texts("bob", "alice"), ["before", "refused for a while"]);
    // A hole is shown after half a minute, also if the message behind it arrived under the earlier date.
    world.meddle = Box::new(|_| vec![]);
    world.send("alice", "bob", "lost");
    world.settle();
    world.meddle = Box::new(|envelope| vec![envelope]);
    world.send("alice", "bob", "after the hole");
    world.settle();
    world.person("bob").off = -22 * HOUR_MS as i64;
    world.live(31_000);
    assert_eq!(world.texts("bob", "alice").last().map(String::as_str), Some("after the hole"));
}

/// Back from another key exchange, one's keys are signed again: peers and relay have seen newer ones.
#[test]
fn keys_of_another_exchange_give_way() {
    let mut world = World::of(&["alice", "bob"]);
    let before = world.person("alice").engine.keys.as_ref().unwrap().stored.created;
    let other =
        "INSERT INTO bundles SELECT x'01', signed, payload, secret, 'other', cipher, nick, made, created + 9,
                 expires FROM bundles";
    world.person("alice").engine.store.run(other).unwrap();
    world.crash("alice");
    let keys = &world.person("alice").engine.keys.as_ref().unwrap().stored;
    assert_eq!(keys.created, before.plus_ms(10));
}

/// Keys are dated after all earlier ones, also if the clock was set back by hours: else nobody would take a new name.
#[test]
fn a_new_nick_after_the_clock_was_set_back_by_hours() {
    let mut world = World::of(&["bob"]);
    world.add_under("alice", "alice", 7, "aes-256-gcm", 5 * HOUR_MS as i64);
    world.settle();
    let alice = world.id("alice");
    assert_eq!(world.snapshot("bob").peer(alice).unwrap().nick, "alice");
    let person = world.person("alice");
    person.off = 0;
    person.rename("alicia");
    world.disconnect("alice");
    world.crash("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(world.snapshot("bob").peer(alice).unwrap().nick, "alicia");
}
