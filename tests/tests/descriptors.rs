//! A relay that runs out of file descriptors: it waits without burning time, whoever is there goes on, and it takes newcomers
//! again when there are some. Linux: elsewhere nobody can take them away from a process that runs.
#![cfg(target_os = "linux")]

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use chat_tests::memory::{figures, processor_time_in};
use chat_tests::profiles::{TCP_X25519, TLS_RSA};
use chat_tests::relay::Setup;
use chat_tests::{Exit, Node, PATIENCE, Profile, Relay, World, binary, on_profile};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

on_profile!(tcp_x25519, super::TCP_X25519, none_are_left_and_then_some_are);
on_profile!(tls_rsa, super::TLS_RSA, none_are_left_and_then_some_are);

/// Connections that nobody can accept. The system keeps them waiting.
const REFUSED: usize = 50;
/// While nothing can be accepted, so much time may be used in so long; trying on and on would take all of it.
const BUSY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// `None`: as many as this test itself may have.
fn limit_files(relay: &Relay, files: Option<u64>) {
    let pid = i32::try_from(relay.process().pid()).ok().and_then(Pid::from_raw);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let set = prlimit(pid, Resource::Nofile, Rlimit { current: files.or(maximum), maximum });
    set.expect("the limit of a process of one's own can be set");
}

fn chat(one: &Node, other: &Node, to: &str, text: &str) {
    one.wait_state(&one.send(to, text), "delivered");
    other.wait_text(text);
}

fn none_are_left_and_then_some_are(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let start = |nick: &str| world.node(profile, nick, relay.address()).guest().start();
    let (alice, bob) = (start("alice"), start("bob"));
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let pid = relay.process().pid();
    let open = figures(pid).expect("Linux says it").files;
    // None of the numbers that are free lies below the limit, unless there was a hole.
    limit_files(&relay, Some(3));
    assert!(open > 3);
    let waiting: Vec<TcpStream> =
        (0..REFUSED).map(|_| TcpStream::connect(relay.address()).expect("the system answers")).collect();
    let log_says = |words: &str| {
        let seen =
            relay.process().wait(|said| String::from_utf8_lossy(&said.stderr).contains(words).then_some(()));
        assert!(seen.is_some(), "no {words} in {}", relay.process().stderr());
    };
    log_says("cannot accept connections for now");
    chat(&alice, &bob, "bob", "while nobody new can come");
    chat(&bob, &alice, "alice", "nor anybody else");
    let busy = processor_time_in(pid, BUSY.1).expect("Linux says it");
    assert!(busy < BUSY.0, "busy for {busy:?} of {:?}", BUSY.1);
    let lines = relay.process().stderr().matches("cannot accept").count();
    assert!(lines < 20, "{lines} lines in the log");
    limit_files(&relay, None);
    let carol = start("carol");
    carol.meet(&["alice", "bob"]);
    chat(&carol, &alice, "alice", "here I am");
    // Those who waited are accepted now, and given up at the handshake's deadline like all who say nothing.
    drop(waiting);
    for node in [&alice, &bob] {
        assert!(node.events().iter().all(|event| event.method != "link.down"));
    }
    assert_eq!(relay.leave(), Exit::Code(0));
}

/// With few of them from the beginning, strangers can't use up what the relay needs for itself, on however many listeners.
#[test]
fn few_from_the_beginning_are_shared_out() {
    let world = World::new();
    let program =
        world.write("few", format!("#!/bin/sh\nulimit -n 160\nexec '{}' \"$@\"\n", binary::chat().display()));
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it is ours");
    let setup = Setup {
        alone: false,
        program: Some(program),
        profile: TCP_X25519.name.to_owned(),
        folder: world.path("relay"),
        listen: ["tcp", "tls", "tcp"].map(|kind| format!("{kind}://{}", world.any_port())).to_vec(),
        sets: Vec::new(),
    };
    let relay = Relay::launch(&world, setup);
    let said = relay.process().stderr();
    assert!(said.contains("few open files are allowed"), "{said}");
    let addresses: Vec<&str> = relay.addresses().collect();
    let mut crowd: Vec<TcpStream> = Vec::new();
    for round in 0..3 {
        for address in &addresses {
            crowd.extend((0..100).filter_map(|_| TcpStream::connect(address).ok()));
        }
        let nick = ["alice", "bob", "carol"][round];
        let node = world.node(TCP_X25519, nick, addresses[round % 3]).guest();
        let kind = ["tcp", "tls", "tcp"][round % 3];
        node.set(&format!("transport.kind={kind}")).start().wait_event("link.up", &[]);
        let open = figures(relay.process().pid()).expect("Linux says it").files;
        assert!(open < 160, "{open}");
    }
    let said = relay.process().stderr();
    assert!(!said.contains("cannot accept connections"), "{said}");
    // The first of the crowd had to go long ago, for those behind them.
    let mut first = crowd.swap_remove(0);
    first.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(first.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(relay.leave(), Exit::Code(0));
}
