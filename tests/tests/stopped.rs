//! A process that is stopped for a while and goes on, as on a machine that falls asleep: nothing is lost, nothing doubled.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::time::Duration;

use chat_tests::profiles::{QUIC_RATCHET, TCP_X25519, TLS_RSA, UDP_RSA};
use chat_tests::{Exit, Node, Process, Profile, Relay, World, on_profile};

on_profile!(tcp_x25519, super::TCP_X25519, for_a_moment);
on_profile!(udp_rsa, super::UDP_RSA, for_a_moment);
on_profile!(tls_rsa, super::TLS_RSA, for_a_moment);
on_profile!(quic_ratchet, super::QUIC_RATCHET, for_a_moment);

/// Texts each way before, during and after each stop.
const TEXTS: usize = 10;

/// Shorter than any link's patience.
fn for_a_moment(profile: Profile) {
    stopped_for(profile, Duration::from_millis(1500));
}

/// Longer than every link's patience: all are lost, and made anew. All transports at once, or it would take half an hour.
#[test]
#[ignore = "takes seven minutes"]
fn for_two_minutes() {
    std::thread::scope(|scope| {
        for profile in [TCP_X25519, UDP_RSA, TLS_RSA, QUIC_RATCHET] {
            scope.spawn(move || stopped_for(profile, Duration::from_secs(120)));
        }
    });
}

/// What each has said.
type Said = BTreeMap<&'static str, Vec<String>>;

/// Both write, but for one who can't; nobody waits for more than that it is committed.
fn write(said: &mut Said, pair: [(&Node, &'static str, &str); 2], but: &str, when: &str) {
    for (node, nick, to) in pair.into_iter().filter(|(_, nick, _)| *nick != but) {
        let texts: Vec<String> = (0..TEXTS).map(|n| format!("{nick} {when} {n}")).collect();
        node.send_all(to, &texts);
        said.entry(nick).or_default().extend(texts);
    }
}

fn stopped_for(profile: Profile, how_long: Duration) {
    let world = World::lasting(4 * how_long + Duration::from_secs(150));
    let relay = Relay::start(&world, profile);
    let start = |nick: &str| world.node(profile, nick, relay.address()).guest().start();
    let (alice, bob) = (start("alice"), start("bob"));
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let mut said = Said::new();
    let pair = [(&alice, "alice", "bob"), (&bob, "bob", "alice")];
    let stops: [(&str, &Process); 3] =
        [("the relay", relay.process()), ("bob", bob.process()), ("alice", alice.process())];
    for (who, process) in stops {
        write(&mut said, pair, "", &format!("before {who} stops"));
        process.suspend(true);
        write(&mut said, pair, who, &format!("while {who} stands still"));
        // Time has to pass: that is what is tested.
        std::thread::sleep(how_long);
        process.suspend(false);
        write(&mut said, pair, "", &format!("after {who} goes on"));
        // What comes last is there, so all is: whatever is missing now is lost.
        for (node, other, to) in [(&alice, &bob, "bob"), (&bob, &alice, "alice")] {
            let last = format!("that was {who}");
            node.wait_state(&node.send(to, &last), "delivered");
            other.wait_text(&last);
        }
    }
    for (reader, writer, nick) in [(&bob, &alice, "alice"), (&alice, &bob, "bob")] {
        let heard: Vec<String> = reader.texts().into_iter().filter(|text| text.starts_with(nick)).collect();
        assert_eq!(heard, said[nick], "all of it, once, in order");
        assert!(said[nick].len() >= 7 * TEXTS);
        let failed = writer.events().iter().any(|event| event.is("msg.status", &[("state", "failed")]));
        assert!(!failed);
        assert!(reader.events().iter().all(|event| event.method != "msg.gap" && event.method != "alarm"));
    }
    for node in [&alice, &bob] {
        assert_eq!(node.leave(), Exit::Code(0));
    }
    assert_eq!(relay.leave(), Exit::Code(0));
}
