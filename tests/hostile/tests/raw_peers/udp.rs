//! On a port for datagrams.

use std::net::IpAddr;

use chat_core::Identity;
use chat_core::nick::Nick;
use chat_core::wire::ToRelay;
use chat_hostile::mangle::{alterations, flips, garbage};
use chat_hostile::raw::{UdpPeer, UdpStep, chunk, hello};
use chat_tests::Besieged;
use chat_tests::profiles::UDP_RSA;

/// Wrong messages that a half-open handshake bears.
const BORNE: usize = 7;
/// Handshakes that stop at each step.
const STALLED: usize = 12;

fn stranger(n: usize) -> Identity {
    let mut seed = [0x52; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Identity::from_seed(&seed)
}

struct Attacker {
    ip: IpAddr,
    address: String,
    strangers: usize,
}

impl Attacker {
    fn of(scene: &Besieged) -> Self {
        Self { ip: scene.world.ip().into(), address: scene.relay.address().to_owned(), strangers: 0 }
    }

    fn at(&mut self, step: UdpStep) -> UdpPeer {
        self.strangers += 1;
        UdpPeer::at(self.ip, &self.address, &stranger(self.strangers), step)
    }
}

/// P5, P7, P8: at each step: bytes changed, pieces cut off, more put on, garbage, the same step of another session. Nothing of it
/// counts, the genuine one that comes behind it does, and nobody gets more than was put in.
#[test]
fn anything_at_any_step() {
    let mut scene = Besieged::new(UDP_RSA);
    let mut attacker = Attacker::of(&scene);
    let mut came = scene.let_in();
    let stalled: Vec<UdpPeer> =
        UdpStep::ALL.into_iter().cycle().take(STALLED).map(|step| attacker.at(step)).collect();
    hellos(&mut attacker);
    scene.honest_pair_chats("HELLOs");

    let wrong = alterations(&attacker.at(UdpStep::Finish).genuine(UdpStep::Finish));
    assert!(wrong.len() > 170);
    for places in (0..wrong.len()).collect::<Vec<_>>().chunks(BORNE) {
        let mut peer = attacker.at(UdpStep::Finish);
        let genuine = peer.genuine(UdpStep::Finish);
        for &place in places {
            let altered = alterations(&genuine).swap_remove(place);
            // FINISH may be followed by a packet, so with more behind it it is genuine.
            if !altered.starts_with(&genuine) {
                peer.send(&altered);
            }
        }
        peer.send(&genuine);
        let first = peer.genuine(UdpStep::First);
        peer.send(&first);
        came += 1;
        scene.wait_let_in(came, 0);
    }
    scene.honest_pair_chats("FINISHes");

    let mut peer = attacker.at(UdpStep::First);
    let genuine = peer.genuine(UdpStep::First);
    let other = attacker.at(UdpStep::First).genuine(UdpStep::First);
    for datagram in alterations(&genuine).into_iter().chain([other, garbage(8, genuine.len())]) {
        peer.send(&datagram);
    }
    scene.honest_pair_chats("first packets");
    assert_eq!(scene.let_in(), came, "nobody came in");
    peer.send(&genuine);
    scene.wait_let_in(came + 1, 0);
    drop(stalled);
    scene.survived();
}

/// HELLOs, with and without a cookie: what comes back is at most three times what was sent, and mostly nothing.
fn hellos(attacker: &mut Attacker) {
    let mut peer = attacker.at(UdpStep::Hello);
    let genuine = peer.genuine(UdpStep::Hello);
    let mut sent = 0;
    let with_cookie = [&genuine[..47], &[0x10], &[7; 16], &genuine[64..]].concat();
    let cut = [0, 1, 15, 47, 1199].map(|len| genuine[..len].to_vec());
    let front = genuine[..64].to_vec();
    let altered = flips(&front, 1).into_iter().map(|front| [&front[..], &genuine[64..]].concat());
    for datagram in altered.chain(cut).chain([with_cookie, [&genuine[..], &[0; 800]].concat()]) {
        peer.send(&datagram);
        sent += datagram.len();
    }
    // Whatever came before, the genuine one is answered.
    peer.send(&genuine);
    assert!(!peer.receive().is_empty());
    let got = peer.unread();
    assert!(got < sent, "{got} bytes for {sent}");
}

/// P7: an authenticated peer whose packets hold what can't be: its link ends, nobody else's, and the relay sets nothing
/// aside for what is only claimed.
#[test]
fn anything_after_the_handshake() {
    let mut scene = Besieged::new(UDP_RSA);
    let mut attacker = Attacker::of(&scene);
    let (came, mut tried) = (scene.let_in(), 0);
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("an acknowledgement of what was never sent", chunk::ack(1 << 20, 0)),
        ("an acknowledgement of more than there is", chunk::ack(0, 1 << 20)),
        ("a message of 2 GiB", chunk::fragment(1, 1 << 31, 0, b"x")),
        ("a message of 2^61 bytes", chunk::fragment(1, 1 << 61, 1 << 60, b"x")),
        ("a piece behind the end", chunk::fragment(1, 100, 200, b"x")),
        (
            "a message that changes its length",
            [chunk::fragment(1, 100, 0, b"x"), chunk::fragment(1, 99, 1, b"x")].concat(),
        ),
        ("a message beyond all credit", chunk::fragment(1 << 40, 1 << 20, 0, b"x")),
        ("no chunk", vec![0x3f, 1, 2, 3]),
        ("half a chunk", vec![0x11, 0xff]),
        ("no record", chunk::whole(1, b"\xff\xff")),
        ("a second hello", chunk::whole(1, &hello())),
    ];
    for (what, chunks) in attacks {
        let mut peer = attacker.at(UdpStep::First);
        let first = peer.genuine(UdpStep::First);
        peer.send(&first);
        tried += 1;
        scene.wait_let_in(came + tried, tried - 1);
        let packet = peer.sealed(&chunks);
        peer.send(&packet);
        scene.wait_let_in(came + tried, tried);
        if tried % 3 == 0 {
            scene.honest_pair_chats(what);
        }
    }
    // What is harmless: the same packet again and again, numbers far ahead, strangers' packets to known ids.
    let mut peer = attacker.at(UdpStep::First);
    let first = peer.genuine(UdpStep::First);
    (0..100).for_each(|_| peer.send(&first));
    scene.wait_let_in(came + tried + 1, tried);
    let far = peer.sealed_as(1 << 30, &[0x01]);
    (0..100).for_each(|_| peer.send(&far));
    scene.honest_pair_chats("repeats");
    assert_eq!(scene.let_in(), came + tried + 1);
    scene.survived();
}

/// P7: strangers who come in properly, acknowledge nothing, and ask and ask: the relay stops answering them; nobody else
/// notices.
#[test]
fn who_asks_and_never_reads() {
    let mut scene = Besieged::new(UDP_RSA);
    let mut attacker = Attacker::of(&scene);
    let came = scene.let_in();
    let mut deaf: Vec<UdpPeer> = (0..8).map(|_| attacker.at(UdpStep::First)).collect();
    for peer in &mut deaf {
        let first = peer.genuine(UdpStep::First);
        peer.send(&first);
    }
    scene.wait_let_in(came + deaf.len(), 0);
    let question = ToRelay::Find { peer: None, nick: Nick::new("bob").ok() }.encode();
    for round in 0..5 {
        for peer in &mut deaf {
            for n in 1..=50 {
                let packet = peer.sealed(&chunk::whole(round * 50 + n, &question));
                peer.send(&packet);
            }
        }
        scene.honest_pair_chats(&format!("questions, round {round}"));
    }
    drop(deaf);
    scene.survived();
}
