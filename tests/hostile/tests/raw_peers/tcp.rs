//! On a port for streams.

use chat_core::Identity;
use chat_hostile::mangle::{alterations, flips, garbage};
use chat_hostile::raw::{TcpPeer, TcpStep, hello};
use chat_tests::Besieged;
use chat_tests::profiles::TCP_X25519;

/// Most data of a sealed message that is a part of a frame.
const FULL: usize = 65_518;
/// Connections that stop at each step.
const STALLED: usize = 30;

fn stranger(n: usize) -> Identity {
    let mut seed = [0x51; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Identity::from_seed(&seed)
}

/// Makes something else of what is genuine.
type Case = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// P5, P7, P8: at each step: each byte changed, pieces cut off, more put on, garbage, zeros, the same step of another
/// session, an earlier and a later step. Nobody is let in for it, each connection is closed, and little is said before.
#[test]
fn anything_at_any_step() {
    let mut scene = Besieged::new(TCP_X25519);
    let address = scene.relay.address().to_owned();
    let stalled = stalled(&address);
    let before = scene.let_in();
    let mut tried = 0;
    for step in TcpStep::ALL {
        let len = TcpPeer::at(&address, &stranger(0), step).genuine(step).len();
        let mut cases: Vec<Case> = Vec::new();
        for n in 0..alterations(&vec![0; len]).len() {
            cases.push(Box::new(move |genuine| alterations(genuine).swap_remove(n)));
        }
        let other = TcpPeer::at(&address, &stranger(1), step).genuine(step);
        cases.push(Box::new(move |_| other.clone()));
        cases.push(Box::new(|genuine| vec![0; genuine.len()]));
        cases.push(Box::new(|genuine| garbage(7, genuine.len())));
        cases.push(Box::new(|genuine| genuine.iter().rev().copied().collect()));
        for case in cases {
            let mut peer = TcpPeer::at(&address, &stranger(2), step);
            let genuine = peer.genuine(step);
            let altered = case(&genuine);
            // What is genuine and has more behind it is as good as genuine at the last step.
            if step == TcpStep::Hello && altered.starts_with(&genuine)
                || step == TcpStep::Preamble && altered == genuine
            {
                continue;
            }
            peer.write(&altered);
            peer.half_close();
            assert!(peer.closed_after() < 1024);
            tried += 1;
        }
        scene.honest_pair_chats(&format!("{step:?}"));
    }
    assert!(tried >= 280, "{tried}");
    assert_eq!(scene.let_in(), before, "nobody came in");
    for peer in stalled {
        peer.closed_after();
    }
    // The same peer with nothing changed is let in.
    let peer = TcpPeer::welcomed(&address, &stranger(3));
    scene.wait_let_in(before + 1, 0);
    drop(peer);
    scene.survived();
}

/// Connections that are honest up to each step, and then say nothing, or half of it.
fn stalled(address: &str) -> Vec<TcpPeer> {
    let stall = |(n, step)| {
        let mut peer = TcpPeer::at(address, &stranger(100 + n), step);
        if n % 2 == 0 {
            let genuine = peer.genuine(step);
            peer.write(&genuine[..genuine.len() / 2]);
        }
        peer
    };
    let steps = TcpStep::ALL.into_iter().cycle().take(STALLED);
    steps.enumerate().map(stall).collect()
}

/// P5, P7: an authenticated peer that breaks the framing: frames of no kind, empty ones, endless ones, lengths that are not so,
/// the same twice, two in the wrong order, something behind the end. Its link ends, nobody else's.
#[test]
fn anything_after_the_handshake() {
    let mut scene = Besieged::new(TCP_X25519);
    let address = scene.relay.address().to_owned();
    let came = scene.let_in();
    type Attack = fn(&mut TcpPeer);
    let attacks: Vec<(&str, Attack)> = vec![
        ("no kind", |peer| say(peer, &[9, 1, 2, 3])),
        ("nothing at all", |peer| say(peer, &[])),
        ("a short part", |peer| say(peer, &[1, 2, 3])),
        ("a close with data", |peer| say(peer, &[2, 0])),
        ("no record", |peer| say(peer, &[0, 0xff, 0xff])),
        ("a second hello", |peer| say(peer, &[&[0], &hello()[..]].concat())),
        ("a frame of any length", |peer| {
            for _ in 0..64 {
                let part = peer.sealed_frame(1, &vec![0; FULL]);
                peer.write(&part);
            }
        }),
        ("the length of 4 GiB", |peer| peer.write(&[0xff; 100])),
        ("an empty frame", |peer| peer.write(&[0; 4])),
        ("a frame twice", |peer| {
            let frame = peer.sealed_frame(0, &ping());
            peer.write(&[&frame[..], &frame].concat());
        }),
        ("two frames turned around", |peer| {
            let first = peer.sealed_frame(0, &ping());
            let second = peer.sealed_frame(0, &ping());
            peer.write(&[second, first].concat());
        }),
        ("a flipped bit", |peer| {
            let frame = peer.sealed_frame(0, &ping());
            peer.write(&flips(&frame, 1).swap_remove(12));
        }),
        ("something behind the end", |peer| {
            let close = peer.sealed_frame(2, &[]);
            let more = peer.sealed_frame(0, &ping());
            peer.write(&[close, more].concat());
        }),
    ];
    let mut tried = 0;
    for (what, attack) in attacks {
        let mut peer = TcpPeer::welcomed(&address, &stranger(tried));
        attack(&mut peer);
        peer.half_close();
        peer.closed_after();
        tried += 1;
        scene.wait_let_in(came + tried, tried);
        if tried % 3 == 0 {
            scene.honest_pair_chats(what);
        }
    }
    scene.survived();
}

fn say(peer: &mut TcpPeer, inside: &[u8]) {
    let bytes = peer.sealed_bytes(inside);
    peer.write(&bytes);
}

fn ping() -> Vec<u8> {
    chat_core::wire::ToRelay::Ping { n: 7 }.encode()
}

/// P7: strangers who come in properly, read nothing, and ask and ask: the relay stops reading them; nobody else
/// notices.
#[test]
fn who_asks_and_never_reads() {
    let mut scene = Besieged::new(TCP_X25519);
    let address = scene.relay.address().to_owned();
    let came = scene.let_in();
    let mut deaf: Vec<TcpPeer> = (0..8).map(|n| TcpPeer::welcomed(&address, &stranger(n))).collect();
    scene.wait_let_in(came + deaf.len(), 0);
    for round in 0..5 {
        for peer in &mut deaf {
            let question =
                chat_core::wire::ToRelay::Find { peer: None, nick: chat_core::nick::Nick::new("bob").ok() };
            // Less than the socket's buffers hold, so that it is not this test that waits.
            for _ in 0..100 {
                let frame = peer.sealed_frame(0, &question.encode());
                peer.write(&frame);
            }
        }
        scene.honest_pair_chats(&format!("questions, round {round}"));
    }
    drop(deaf);
    scene.survived();
}
