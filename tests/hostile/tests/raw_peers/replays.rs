//! What an honest client and the relay said to each other, said again: by a stranger to the relay, and by a false relay to a
//! client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;

use chat_tests::recorder::Track;
use chat_tests::{Exit, Network, Node, PATIENCE, Profile, Recorder, Relay, World, on_main_profiles};

on_main_profiles!(said_again_to_the_relay, said_again_to_a_client);

struct Scene {
    world: World,
    relay: Relay,
    wire: Recorder,
    alice: Node,
    bob: Node,
}

fn scene(profile: Profile) -> Scene {
    let world = World::new();
    let relay = Relay::start_with(&world, profile, &["log.level=debug"]);
    let wire = Recorder::start(&world, profile.network, relay.address());
    let alice = world.node(profile, "alice", wire.address()).guest().start();
    let bob = world.node(profile, "bob", relay.address()).guest().start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let scene = Scene { world, relay, wire, alice, bob };
    scene.chat("before");
    scene
}

impl Scene {
    fn chat(&self, text: &str) {
        self.alice.wait_state(&self.alice.send("bob", text), "delivered");
        self.bob.wait_text(text);
        self.bob.wait_state(&self.bob.send("alice", text), "delivered");
    }

    fn let_in(&self) -> usize {
        self.relay.process().stderr().matches(" connected peer").count()
    }
}

/// Says all of a recording, and waits until it is certain that it was heard.
fn say(network: Network, ip: Ipv4Addr, to: &str, track: &Track) {
    match network {
        Network::Tcp => {
            let mut stream = TcpStream::connect(to).expect("somebody listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream.write_all(&track.concat()).ok();
            stream.shutdown(Shutdown::Write).ok();
            let mut said = Vec::new();
            // However it ends, it ends.
            stream.read_to_end(&mut said).unwrap_or_default();
        }
        Network::Udp => {
            let socket = UdpSocket::bind((ip, 0)).expect("a port");
            socket.connect(to).expect("an address");
            track.iter().for_each(|datagram| drop(socket.send(datagram)));
        }
    }
}

/// P5: alice's side and the relay's own side, said to the relay: now, after alice has a new link, and after the relay was
/// started again. Nobody is let in, and nobody else notices.
fn said_again_to_the_relay(profile: Profile) {
    let mut scene = scene(profile);
    let (ip, address) = (scene.world.ip(), scene.relay.address().to_owned());
    let recorded = [scene.wire.to_relay(), scene.wire.from_relay()].concat();
    assert!(recorded.len() >= 2 && recorded.iter().all(|track| track.concat().len() > 200));
    for when in ["now", "after a new link", "after the relay's restart"] {
        match when {
            "after a new link" => {
                assert_eq!(scene.alice.leave(), Exit::Code(0));
                scene.alice.restart();
                scene.alice.meet(&["bob"]);
            }
            "after the relay's restart" => {
                assert_eq!(scene.relay.leave(), Exit::Code(0));
                scene.relay.restart();
                scene.chat("after the restart");
            }
            _ => {}
        }
        let before = scene.let_in();
        assert!(before > 0);
        for track in &recorded {
            say(profile.network, ip, &address, track);
        }
        scene.chat(when);
        assert_eq!(scene.let_in(), before, "nobody came in {when}");
    }
}

/// P5, P8: the relay's side of alice's link, said to bob by something that he takes for his relay: he does not believe it.
fn said_again_to_a_client(profile: Profile) {
    let scene = scene(profile);
    let recorded = scene.wire.from_relay().swap_remove(0);
    let address = match profile.network {
        Network::Tcp => false_tcp_relay(scene.world.ip(), recorded),
        Network::Udp => false_udp_relay(scene.world.ip(), recorded),
    };
    let carol = scene.world.node(profile, "carol", &address).guest().launch();
    match profile.network {
        // What answers is no proof of anything; that is said, and nothing else.
        Network::Tcp => {
            assert_eq!(carol.process().wait_exit(), Exit::Code(3), "{}", carol.process().stderr())
        }
        // Anybody can send such datagrams: they are ignored, and nobody has answered.
        Network::Udp => drop(carol.wait_event("link.down", &[])),
    }
    assert!(carol.events().iter().all(|event| event.method != "link.up"));
    scene.chat("after");
}

fn false_tcp_relay(ip: Ipv4Addr, recorded: Track) -> String {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.write_all(&recorded.concat()).ok();
            stream.shutdown(Shutdown::Write).ok();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).unwrap_or_default();
        }
    });
    address
}

fn false_udp_relay(ip: Ipv4Addr, recorded: Track) -> String {
    let socket = UdpSocket::bind((ip, 0)).expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            recorded.iter().for_each(|datagram| drop(socket.send_to(datagram, from)));
        }
    });
    address
}
