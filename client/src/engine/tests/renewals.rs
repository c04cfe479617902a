//! Sessions that have to be renewed more than once within a minute: what was said arrives within seconds.

use chat_core::api::command::OfPeer;
use chat_core::api::{Command, MessageState};

use super::world::World;

fn talking(exchange: &'static str) -> World {
    let mut world = World::over(exchange, &["alice", "bob"]);
    for (from, to) in [("alice", "bob"), ("bob", "alice")] {
        world.send(from, to, "hello");
        world.settle();
    }
    world
}

/// Until a message has arrived; how many seconds that took.
fn seconds_until_it_arrives(world: &mut World, from: &str, id: chat_core::MessageId) -> u64 {
    for seconds in 0..60 {
        world.settle();
        if world.state(from, id) == MessageState::Delivered {
            return seconds;
        }
        world.pass(1_000);
    }
    panic!("it has not arrived within a minute")
}

#[test]
fn who_is_blocked_and_heard_again_more_than_once_in_a_minute() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = talking(exchange);
        let bob = || OfPeer { peer: "bob".to_owned().try_into().unwrap() };
        for n in 0..3 {
            world.run("alice", Command::Block(bob())).unwrap();
            let id = world.send("bob", "alice", &format!("while you don't hear {n}"));
            world.settle();
            world.run("alice", Command::Unblock(bob())).unwrap();
            // The wish is heard at once, or when it is its time.
            let seconds = seconds_until_it_arrives(&mut world, "bob", id);
            assert!(seconds <= 5 << n, "{exchange}: {seconds} s");
        }
        assert_eq!(world.texts("alice", "bob").len(), 5);
    }
}

#[test]
fn a_copy_that_is_put_back_more_than_once_in_a_minute() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = talking(exchange);
        let copies = [world.copy_of("bob"), world.copy_of("bob")];
        for (n, copy) in copies.into_iter().enumerate() {
            for (from, to) in [("alice", "bob"), ("bob", "alice")] {
                let id = world.send(from, to, &format!("before the copy {n}"));
                seconds_until_it_arrives(&mut world, from, id);
            }
            world.disconnect("bob");
            world.restore("bob", copy);
            world.connect("bob");
            let id = world.send("bob", "alice", &format!("from the copy {n}"));
            let seconds = seconds_until_it_arrives(&mut world, "bob", id);
            assert!(seconds <= 20, "{exchange}: {seconds} s");
        }
    }
}
