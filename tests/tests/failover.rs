//! Several transports in order of preference: when the one in use is blocked the next takes over, nothing is lost or
//! doubled, the user is told; and back. How long it took is printed, and never a reason to fail.

use std::net::TcpListener;
use std::time::Instant;

use chat_tests::profiles::FAILOVER;
use chat_tests::{Exit, Impair, Network, Node, PATIENCE, Relay, World, relay};

/// One way to the relay: a transport, and a proxy before the relay's listener of it.
struct Way {
    kind: &'static str,
    proxy: Impair,
    to: String,
}

/// A relay on several transports, each behind a proxy of its own.
struct Scene {
    world: World,
    relay: Relay,
    ways: Vec<Way>,
}

fn network(kind: &str) -> Network {
    if matches!(kind, "tcp" | "tls") { Network::Tcp } else { Network::Udp }
}

impl Scene {
    fn new(kinds: &[&'static str]) -> Self {
        let world = World::new();
        let setup = relay::Setup {
            alone: false,
            program: None,
            profile: FAILOVER.name.to_owned(),
            folder: world.path("relay"),
            listen: kinds.iter().map(|kind| format!("{kind}://{}", world.any_port())).collect(),
            sets: vec![],
        };
        let relay = Relay::launch(&world, setup);
        let way = |(kind, to): (&&'static str, &str)| {
            let proxy = Impair::start(&world, network(kind), to, &["--delay", "5ms"]);
            Way { kind, proxy, to: to.to_owned() }
        };
        let ways = kinds.iter().zip(relay.addresses()).map(way).collect();
        Self { world, relay, ways }
    }

    /// The list for a profile.
    fn list(&self) -> String {
        let entry = |way: &Way| format!("{{kind=\"{}\",address=\"{}\"}}", way.kind, way.proxy.address());
        let entries: Vec<String> = self.ways.iter().map(entry).collect();
        format!("transport=[{}]", entries.join(","))
    }

    fn node(&self, nick: &str) -> Node {
        self.launch(nick, self.relay.address())
    }

    /// `relay` is what `topology.relay` says; each way has an address of its own.
    fn launch(&self, nick: &str, relay: &str) -> Node {
        self.world.node(FAILOVER, nick, relay).guest().set(&self.list()).launch()
    }

    /// Two who know each other.
    fn pair(&self) -> [Node; 2] {
        let [alice, bob] = ["alice", "bob"].map(|nick| self.node(nick));
        alice.meet(&["bob"]);
        bob.meet(&["alice"]);
        [alice, bob]
    }

    /// Ends a proxy and starts it again at the same place.
    fn restart(&mut self, way: usize) {
        let old = &self.ways[way];
        let proxy = Impair::start_at(&self.world, old.proxy.listen(), &old.to, &[]);
        self.ways[way].proxy = proxy;
    }
}

/// How many notifications `stack.changed` there are.
fn changes(node: &Node) -> usize {
    node.events().iter().filter(|event| event.method == "stack.changed").count()
}

/// Waits for the `stack.changed` behind the first `seen`, which must say this transport; its reason.
fn changed(node: &Node, seen: usize, transport: &str) -> String {
    let event = node.wait(&format!("the change to {transport}"), |events| {
        events.iter().filter(|event| event.method == "stack.changed").nth(seen).cloned()
    });
    assert_eq!(event.expect("transport"), transport, "{event:?}");
    let listed = event.params["transports"].as_array().expect("the list");
    let in_use: Vec<&str> =
        listed.iter().filter(|way| way["in_use"] == true).map(|way| way["kind"].as_str().unwrap()).collect();
    assert_eq!(in_use, [transport], "{event:?}");
    event.text("reason").unwrap_or_default().to_owned()
}

fn texts(who: &str, round: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{who}, {round}, {n}")).collect()
}

/// Says everything at once, each to the other.
fn talk([alice, bob]: &[Node; 2], round: &str, sent: &mut [Vec<String>; 2], ids: &mut [Vec<String>; 2]) {
    let (of_alice, of_bob) = (texts("alice", round, 25), texts("bob", round, 25));
    ids[0].extend(alice.send_all("bob", &of_alice));
    ids[1].extend(bob.send_all("alice", &of_bob));
    sent[0].extend(of_alice);
    sent[1].extend(of_bob);
}

/// Everything has arrived, once and in order, in what was told and in history; and nothing was said to be wrong.
fn all_is_well(nodes: &[Node; 2], sent: &[Vec<String>; 2], ids: &[Vec<String>; 2]) {
    for (n, (nick, other)) in [("alice", "bob"), ("bob", "alice")].into_iter().enumerate() {
        nodes[n].wait_states(&ids[n], &["delivered"]);
        let heard = &nodes[1 - n];
        assert_eq!(heard.wait_texts(sent[n].len()), sent[n], "what {other} was told by {nick}");
        let history = heard.history(nick);
        let theirs = history.iter().filter(|message| message["from"]["nick"] == nick);
        let texts: Vec<&str> = theirs.map(|message| message["text"].as_str().unwrap()).collect();
        assert_eq!(texts, sent[n], "what {other} has of {nick}");
    }
    for node in nodes {
        let odd: Vec<_> = node
            .events()
            .into_iter()
            .filter(|event| matches!(event.method.as_str(), "alarm" | "msg.gap" | "peer.lost"))
            .collect();
        assert_eq!(odd, [], "{}", node.process().label());
    }
}

/// Packets vanish in the middle of a chat, and no error says so; later the way is open again.
fn swallowed_in_the_middle(kinds: &[&'static str]) {
    let scene = Scene::new(kinds);
    let pair = scene.pair();
    let (mut sent, mut ids) = Default::default();
    talk(&pair, "before", &mut sent, &mut ids);
    assert_eq!(pair.each_ref().map(changes), [0, 0]);
    let blocked = Instant::now();
    scene.ways[0].proxy.process().freeze();
    talk(&pair, "blocked", &mut sent, &mut ids);
    for node in &pair {
        let reason = changed(node, 0, kinds[1]);
        println!("{} to {}: {:?} after it was blocked ({reason})", kinds[0], kinds[1], blocked.elapsed());
        assert!(
            reason.contains(&format!("{}://", kinds[0])) && reason.contains("gives no answer"),
            "{reason}"
        );
    }
    pair[0].wait_states(&ids[0], &["delivered"]);
    println!("all delivered {:?} after it was blocked", blocked.elapsed());
    let opened = Instant::now();
    scene.ways[0].proxy.process().thaw();
    talk(&pair, "open", &mut sent, &mut ids);
    for node in &pair {
        let reason = changed(node, 1, kinds[0]);
        println!("back to {}: {:?} after it was open ({reason})", kinds[0], opened.elapsed());
        assert!(reason.contains("works again"), "{reason}");
    }
    talk(&pair, "after", &mut sent, &mut ids);
    all_is_well(&pair, &sent, &ids);
    // Nobody has gone, and the relay was never out of reach.
    assert!(pair.iter().all(|node| node.events().iter().all(|event| event.method != "link.down")));
    let stack = pair[0].ask("stack.get", serde_json::json!({}));
    assert_eq!(stack["stack"]["transport"], kinds[0], "{stack}");
    assert_eq!(stack["stack"]["transports"].as_array().unwrap().len(), kinds.len(), "{stack}");
}

#[test]
fn udp_arq_is_swallowed() {
    swallowed_in_the_middle(&["udp-arq", "tcp"]);
}

#[test]
fn tcp_is_swallowed() {
    swallowed_in_the_middle(&["tcp", "udp-arq"]);
}

#[test]
fn quic_is_swallowed() {
    swallowed_in_the_middle(&["quic", "tls"]);
}

#[test]
fn tls_is_swallowed() {
    swallowed_in_the_middle(&["tls", "quic", "tcp"]);
}

/// The link ends with an error, nobody is there for a while, and then somebody is again.
#[test]
fn a_way_that_is_refused_and_comes_back() {
    let mut scene = Scene::new(&["tcp", "tls"]);
    let pair = scene.pair();
    let (mut sent, mut ids) = Default::default();
    talk(&pair, "before", &mut sent, &mut ids);
    let blocked = Instant::now();
    scene.ways[0].proxy.process().kill9();
    talk(&pair, "refused", &mut sent, &mut ids);
    for node in &pair {
        let reason = changed(node, 0, "tls");
        println!("tcp to tls: {:?} after it was refused ({reason})", blocked.elapsed());
        assert!(reason.contains("tcp://"), "{reason}");
        node.wait_event("link.down", &[]);
    }
    scene.restart(0);
    for node in &pair {
        changed(node, 1, "tcp");
    }
    talk(&pair, "after", &mut sent, &mut ids);
    for n in [0, 1] {
        pair[n].wait_states(&ids[n], &["delivered"]);
        assert_eq!(pair[1 - n].wait_texts(sent[n].len()), sent[n]);
    }
}

/// Nothing passes on any way: the link is kept, as it may come back before another one does.
#[test]
fn a_link_is_kept_as_long_as_there_is_no_other() {
    let scene = Scene::new(&["tcp"]);
    let silent = TcpListener::bind((scene.world.ip(), 0)).unwrap();
    let tcp = scene.ways[0].proxy.address();
    let list = format!(
        "transport=[{{kind=\"tcp\",address=\"{tcp}\"}},{{kind=\"tls\",address=\"{}\"}}]",
        silent.local_addr().unwrap()
    );
    let node = |nick| scene.world.node(FAILOVER, nick, tcp).guest().set(&list).start();
    let pair = ["alice", "bob"].map(node);
    pair[0].meet(&["bob"]);
    pair[1].meet(&["alice"]);
    let (mut sent, mut ids) = Default::default();
    talk(&pair, "before", &mut sent, &mut ids);
    let (called, calls) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let (Ok(call), Ok(())) = (silent.accept(), called.send(())) {
            kept.push(call);
        }
    });
    scene.ways[0].proxy.process().freeze();
    talk(&pair, "blocked", &mut sent, &mut ids);
    for _ in 0..2 {
        calls.recv_timeout(PATIENCE).expect("each looks for another way");
    }
    scene.ways[0].proxy.process().thaw();
    all_is_well(&pair, &sent, &ids);
    let told = |event: &chat_tests::Event| matches!(event.method.as_str(), "link.down" | "stack.changed");
    assert!(pair.iter().all(|node| !node.events().iter().any(told)));
}

/// One way after the other is swallowed or refused, whichever is in use, while both talk: nothing is lost or doubled.
#[test]
fn whatever_becomes_of_the_ways() {
    let mut scene = Scene::new(&["udp-arq", "tls", "tcp"]);
    let pair = scene.pair();
    let (mut sent, mut ids) = Default::default();
    let in_use = |node: &Node| {
        let stack = node.ask("stack.get", serde_json::json!({}));
        let ways = stack["stack"]["transports"].as_array().expect("the list");
        ways.iter().position(|way| way["in_use"] == true).expect("one is in use")
    };
    for round in 0..6 {
        let (way, before) = (in_use(&pair[0]), changes(&pair[0]));
        if round % 3 == 2 {
            scene.ways[way].proxy.process().kill9();
        } else {
            scene.ways[way].proxy.process().freeze();
        }
        talk(&pair, &format!("round {round}"), &mut sent, &mut ids);
        let began = Instant::now();
        pair[0].wait("another way", |events| {
            let changes = events.iter().filter(|event| event.method == "stack.changed").count();
            (changes > before).then_some(())
        });
        println!("round {round}: from way {way} to {} in {:?}", in_use(&pair[0]), began.elapsed());
        match round % 3 {
            2 => scene.restart(way),
            _ => scene.ways[way].proxy.process().thaw(),
        }
        talk(&pair, &format!("behind round {round}"), &mut sent, &mut ids);
    }
    for (n, (nick, heard)) in [("alice", &pair[1]), ("bob", &pair[0])].into_iter().enumerate() {
        pair[n].wait_states(&ids[n], &["delivered"]);
        assert_eq!(heard.wait_texts(sent[n].len()), sent[n], "what was told of {nick}");
        assert!(heard.events().iter().all(|event| event.method != "alarm"));
    }
}

/// A long text on links so slow that they are taken for silent: it is not begun for ever, and arrives once.
#[test]
fn a_link_that_is_only_slow_costs_time_at_most() {
    let mut scene = Scene::new(&["tcp", "tls"]);
    for way in &mut scene.ways {
        way.proxy = Impair::start(&scene.world, Network::Tcp, &way.to, &["--rate", "512kbit"]);
    }
    let pair = scene.pair();
    let long: String = (0..384 << 10).map(|n| char::from(b'!' + (n * 7 % 89) as u8)).collect();
    let sent = [vec![long], vec![]];
    let ids = [pair[0].send_all("bob", &sent[0]), vec![]];
    all_is_well(&pair, &sent, &ids);
    println!("moved {} times", changes(&pair[0]));
}

/// P8: whoever answers with another key than the pinned one is no reason to go on with the next way.
#[test]
fn an_impostor_is_not_gone_around() {
    let scene = Scene::new(&["tcp", "udp-arq"]);
    let other = Scene::new(&["tcp"]);
    let list = format!(
        "transport=[{{kind=\"tcp\",address=\"{}\"}},{{kind=\"udp-arq\",address=\"{}\"}}]",
        other.relay.address(),
        scene.ways[1].proxy.address()
    );
    let pinned = format!("{}@{}", scene.relay.fingerprint(), scene.relay.address());
    let alice = scene.world.node(FAILOVER, "alice", &pinned).guest().set(&list).launch();
    assert_eq!(alice.process().wait_exit(), Exit::Code(3));
    let said = alice.process().stderr();
    for piece in [other.relay.fingerprint(), scene.relay.fingerprint(), other.relay.address(), "pins"] {
        assert!(said.contains(piece), "no {piece} in {said}");
    }
    assert!(alice.events().iter().all(|event| event.method != "link.up"));
}

/// Found while a lesser way is in use, he raises an alarm, and the link stays where it is.
#[test]
fn an_impostor_on_a_better_way_is_told() {
    let scene = Scene::new(&["tcp", "udp-arq"]);
    let other = Scene::new(&["tcp"]);
    let tcp = scene.ways[0].proxy.listen().to_owned();
    scene.ways[0].proxy.process().kill9();
    let pinned = format!("{}@{}", scene.relay.fingerprint(), scene.relay.address());
    let alice = scene.launch("alice", &pinned);
    assert!(changed(&alice, 0, "udp-arq").contains("tcp://"));
    let _proxy = Impair::start_at(&scene.world, &tcp, other.relay.address(), &[]);
    let alarm = alice.wait_event("alarm", &[("kind", "refused")]);
    for piece in ["tcp://", "is not the relay", other.relay.fingerprint()] {
        assert!(alarm.expect("detail").contains(piece), "no {piece} in {alarm:?}");
    }
    assert_eq!(changes(&alice), 1);
    let link = alice.events().into_iter().rfind(|event| event.method.starts_with("link.")).expect("a link");
    assert_eq!((link.method.as_str(), link.expect("fingerprint")), ("link.up", scene.relay.fingerprint()));
}

/// Without a pin another relay is used, and told.
#[test]
fn another_relay_is_told() {
    let scene = Scene::new(&["tcp"]);
    let other = Scene::new(&["tls"]);
    let list = format!(
        "transport=[{{kind=\"tcp\",address=\"{}\"}},{{kind=\"tls\",address=\"{}\"}}]",
        scene.ways[0].proxy.address(),
        other.relay.address()
    );
    let alice = scene.world.node(FAILOVER, "alice", scene.relay.address()).guest().set(&list).start();
    alice.wait_event("link.up", &[("fingerprint", scene.relay.fingerprint())]);
    scene.ways[0].proxy.process().freeze();
    let reason = changed(&alice, 0, "tls");
    for piece in [scene.relay.fingerprint(), other.relay.fingerprint(), "pins neither"] {
        assert!(reason.contains(piece), "no {piece} in {reason}");
    }
    alice.wait_event("link.up", &[("fingerprint", other.relay.fingerprint())]);
}

/// Who is the relay too is it on all of them, and others may come by any.
#[test]
fn a_host_listens_on_all() {
    let world = World::new();
    let alice = world.node(FAILOVER, "alice", &world.any_port()).start();
    let ready = alice.ready();
    let listen: Vec<&str> =
        ready.params["listen"].as_array().unwrap().iter().map(|place| place.as_str().unwrap()).collect();
    let [udp, tcp] = listen.as_slice() else { panic!("{listen:?}") };
    let place = |line: &str, kind: &str| line.strip_prefix(kind).expect(line).to_owned();
    let (udp, tcp) = (place(udp, "udp-arq://"), place(tcp, "tcp://"));
    let bob = world.node(FAILOVER, "bob", &udp).set("transport.kind=udp-arq").guest().start();
    let carol = world.node(FAILOVER, "carol", &tcp).set("transport.kind=tcp").guest().start();
    bob.meet(&["alice", "carol"]);
    carol.meet(&["bob"]);
    let id = carol.send("bob", "by another way");
    carol.wait_state(&id, "delivered");
    bob.wait_text("by another way");
    assert_eq!(Node::hosts(&alice.events()), Some(true));
}
