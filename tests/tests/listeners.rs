//! A relay's listeners, each with options of its own: who comes by one transport chats with who comes by another.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::means::Means;
use chat_tests::profiles::TCP_X25519;
use chat_tests::relay::Setup;
use chat_tests::{Exit, Node, Relay, World};

const HOST: &str = "chat.example";

/// A self-made certificate of openssl and its key.
fn certificate(world: &World, name: &str) -> [PathBuf; 2] {
    let paths = ["pem", "key"].map(|end| world.path(format!("{name}.{end}")));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", &format!("/CN={HOST}"), "-addext", &format!("subjectAltName=DNS:{HOST}")]);
    openssl.arg("-out").arg(&paths[0]).arg("-keyout").arg(&paths[1]);
    let made = openssl.output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    paths
}

/// A profile with these listeners.
fn profile(world: &World, name: &str, relay: &str) -> String {
    let text = format!(
        "schema_version = 1\n[topology]\nrelay = \"127.0.0.1:1\"\n[transport]\nkind = \"tcp\"\n[key_exchange]\n\
         kind = \"x25519\"\n[cipher]\nkind = \"chacha20-poly1305\"\n[frontend]\nkind = \"jsonrpc\"\n[relay]\n{relay}\n"
    );
    world.write(name, text).to_str().expect("a path in UTF-8").to_owned()
}

/// A listener as a table, with the certificate in these files.
fn listener(kind: &str, address: &str, [pem, key]: &[PathBuf; 2]) -> String {
    format!(
        "{{ kind = \"{kind}\", address = \"{address}\", certificate = \"{}\", key = \"{}\" }}",
        pem.display(),
        key.display()
    )
}

fn setup(world: &World, profile: String, alone: bool) -> Setup {
    Setup { alone, program: None, profile, folder: world.path("relay"), listen: Vec::new(), sets: Vec::new() }
}

/// A user who comes by this transport; with a certificate, if the relay must prove its name.
fn user(world: &World, nick: &str, kind: &str, address: &str, ca: Option<&Path>) -> chat_tests::node::Setup {
    let node = world.node(TCP_X25519, nick, address).guest().set(&format!("transport.kind={kind}"));
    match ca {
        None => node,
        Some(ca) => {
            node.set(&format!("transport.ca={}", ca.display())).set(&format!("transport.server_name={HOST}"))
        }
    }
}

/// Texts and tables, in one list: clients on four transports, of whom two demand the name in a certificate of openssl, chat
/// with each other through one relay, of either program.
#[test]
fn one_relay_with_certificates_on_some_listeners() {
    if !Means::Openssl.are_there() {
        return;
    }
    for alone in [false, true] {
        let world = World::new();
        let files = certificate(&world, "relay");
        let any = world.any_port();
        let listen = format!(
            "listen = [\"tcp://{any}\", {{ kind = \"udp-arq\", address = \"{any}\", mtu = 1400 }}, {}, {}]",
            listener("tls", &any, &files),
            listener("quic", &any, &files),
        );
        let relay = Relay::launch(&world, setup(&world, profile(&world, "relay.toml", &listen), alone));
        let kinds = ["tcp", "udp-arq", "tls", "quic"];
        let nicks = ["alice", "bob", "carol", "dave"];
        let people: Vec<Node> = (nicks.iter().zip(kinds).zip(relay.addresses()))
            .map(|((nick, kind), address)| {
                let ca = ["tls", "quic"].contains(&kind).then_some(files[0].as_path());
                user(&world, nick, kind, address, ca).start()
            })
            .collect();
        for (n, node) in people.iter().enumerate() {
            let others: Vec<&str> = nicks.into_iter().filter(|nick| *nick != nicks[n]).collect();
            node.meet(&others);
        }
        for (n, node) in people.iter().enumerate() {
            for (to, nick) in nicks.iter().enumerate().filter(|(to, _)| *to != n) {
                let text = format!("{} to {nick} by {} and {}", nicks[n], kinds[n], kinds[to]);
                node.wait_state(&node.send(nick, &text), "delivered");
                people[to].wait_text(&text);
            }
        }
        // Its certificate is of no identity: who would take one only is told what to name, and ends with 3.
        let by_identity = user(&world, "erin", "tls", relay.addresses().nth(2).unwrap(), None).launch();
        assert_eq!(by_identity.process().wait_exit(), Exit::Code(3));
        assert!(by_identity.process().stderr().contains("name `ca`"), "{}", by_identity.process().stderr());
        assert_eq!(relay.leave(), Exit::Code(0));
    }
}

/// If one listener can't be, none is: the error names it, nothing is printed that says otherwise, and what was bound before
/// it is free again.
#[test]
fn one_listener_that_fails_is_named_and_no_other_serves() {
    let world = World::new();
    let taken = TcpListener::bind((world.ip(), 0)).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = TcpListener::bind((world.ip(), 0)).unwrap().local_addr().unwrap().to_string();
    let missing = [world.path("none.pem"), world.path("none.key")];
    for alone in [false, true] {
        for (failing, pieces) in [
            (
                format!("{{ kind = \"tls\", address = \"{taken}\" }}"),
                vec![format!("tls://{taken}"), "in use".into()],
            ),
            (
                listener("quic", &world.any_port(), &missing),
                vec![format!("quic://{}", world.any_port()), "none.pem".into()],
            ),
        ] {
            let listen = format!("listen = [\"tcp://{free}\", {failing}]");
            let setup = setup(&world, profile(&world, "relay.toml", &listen), alone);
            let refused = world.run(setup.command(&world), "");
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            refused.refused(1, &pieces);
            assert_eq!(refused.stdout, "");
            assert!(!world.path("relay").exists(), "nothing is half begun");
            drop(TcpListener::bind(&free).expect("the first listener is gone"));
        }
    }
}

/// What `check`, `config show`, `explain` and `schema` make of listeners with options.
#[test]
fn listeners_are_checked_shown_and_explained() {
    let world = World::new();
    let listen = "listen = [\"tcp://127.0.0.1:7\", { kind = \"tls\", address = \"127.0.0.1:8\", certificate = \"a.pem\", \
                  key = \"a.key\", keepalive_seconds = 9 }]";
    let good = profile(&world, "good.toml", listen);
    assert!(world.chat(&["check", &good]).succeeded().contains("ok"));
    let shown = world.chat(&["config", "show", &good]).succeeded().to_owned();
    let again = world.write("again.toml", &shown);
    let again = again.to_str().unwrap();
    assert!(world.chat(&["check", again]).succeeded().contains("ok"));
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.rsplit_once("  # "))
            .map(|(value, _)| value.trim().to_owned())
            .collect()
    };
    let shown_again = world.chat(&["config", "show", again]).succeeded().to_owned();
    assert!(values(&shown).len() > 10 && values(&shown) == values(&shown_again), "{shown}\n{shown_again}");
    assert!(shown.contains("key = \"a.key\""), "a path is no secret: {shown}");
    let explained = world.chat(&["explain", &good]).succeeded().to_owned();
    assert!(explained.contains("tls://127.0.0.1:8 (certificate, keepalive_seconds, key)"), "{explained}");
    assert!(world.chat(&["schema"]).succeeded().contains("urn:chat:listen:tls"));
    for (bad, pieces) in [
        (listen.replace(":8\"", ":7\""), ["bad.toml:13:58", "TCP port 7 is taken by `tcp://127.0.0.1:7`"]),
        (
            listen.replace("keepalive_seconds", "keepalive"),
            ["bad.toml:13:111", "did you mean `keepalive_seconds`"],
        ),
        (
            listen.replace("keepalive_seconds = 9", "keepalive_seconds = 9000"),
            ["bad.toml:13:", "at most 3600"],
        ),
    ] {
        let bad = profile(&world, "bad.toml", &bad);
        world.chat(&["check", &bad]).refused(2, &pieces);
        let relay = setup(&world, bad, true);
        world.run(relay.command(&world), "").refused(2, &pieces);
    }
    let alone = listen.replace(", key = \"a.key\"", "");
    world
        .chat(&["check", &profile(&world, "bad.toml", &alone)])
        .refused(2, &["certificate: needs `key` beside it"]);
}

/// New files of a certificate are shown to the next who come; whoever is there keeps its link.
#[test]
fn a_certificate_is_exchanged_while_people_chat() {
    if !Means::Openssl.are_there() {
        return;
    }
    let world = World::new();
    let files = certificate(&world, "relay");
    let any = world.any_port();
    let listen = format!("listen = [{}, {}]", listener("tls", &any, &files), listener("quic", &any, &files));
    let relay = Relay::launch(&world, setup(&world, profile(&world, "relay.toml", &listen), true));
    let addresses: Vec<&str> = relay.addresses().collect();
    let kinds = ["tls", "quic"];
    let old = std::fs::read(&files[0]).unwrap();
    let old_ca = world.write("old.pem", old);
    let user = |nick: &str, way: usize, ca: &Path| user(&world, nick, kinds[way], addresses[way], Some(ca));
    let alice = user("alice", 0, &old_ca).start();
    let bob = user("bob", 1, &old_ca).start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    // Not at once, as no administrator's script does it; in between they fit each other not.
    let new = certificate(&world, "new");
    for (from, to) in new.iter().zip(&files) {
        std::fs::copy(from, to).unwrap();
    }
    for (way, nick) in ["carol", "dave"].into_iter().enumerate() {
        let newcomer = loop {
            let node = user(nick, way, &new[0]).launch();
            let up = node.process().wait(|said| {
                let up = said.lines.iter().any(|line| String::from_utf8_lossy(line).contains("\"link.up\""));
                up.then_some(())
            });
            match up {
                Some(()) => break node,
                // Still the old one; the files are looked at every second.
                None => assert_eq!(node.process().wait_exit(), Exit::Code(3), "{}", node.process().stderr()),
            }
        };
        newcomer.meet(&["alice", "bob"]);
        newcomer.wait_state(&newcomer.send("alice", nick), "delivered");
        let too_late = user("erin", way, &old_ca).launch();
        assert_eq!(too_late.process().wait_exit(), Exit::Code(3), "the old one is trusted no more");
    }
    bob.wait_state(&bob.send("alice", "all the time"), "delivered");
    for node in [&alice, &bob] {
        assert!(node.events().iter().all(|event| event.method != "link.down"));
    }
    assert_eq!(relay.leave(), Exit::Code(0));
}
