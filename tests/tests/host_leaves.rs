//! The one whose program is the relay leaves in the middle: another becomes the relay, and nothing is lost.

use chat_tests::{Exit, Node, Profile, World, on_main_profiles};

on_main_profiles!(another_takes_over_and_nothing_is_lost);

/// What is said in the moment the host leaves.
const BURST: usize = 20;

/// A21, C13, P1 to P3: three rounds, the host ends by `SIGTERM` or by `kill -9`, while one of the others is
/// writing to the third, and to the host itself. Without anybody doing anything another one hosts, what was
/// not delivered is delivered, once and in order; and who was away gets the rest when coming back.
fn another_takes_over_and_nothing_is_lost(profile: Profile) {
    let world = World::new();
    let alice = world.node(profile, "alice", &world.any_port()).start();
    let address = alice.address();
    let others = ["bob", "carol"].map(|nick| world.node(profile, nick, &address).start());
    let [bob, carol] = others;
    let mut nodes = [alice, bob, carol];
    let nicks = ["alice", "bob", "carol"];
    let mut sent: Vec<Vec<String>> = vec![Vec::new(); 3];
    let mut host = 0;
    for round in 0..3 {
        let (one, third) = ((host + 1) % 3, (host + 2) % 3);
        for n in [one, third] {
            nodes[n].meet(&[nicks[host], nicks[if n == one { third } else { one }]]);
        }
        // Only now is each sure to have its link to this host, and none to the next one.
        let before = [0, 1, 2].map(|n| if n == host { 0 } else { links(&nodes[n]) });
        let burst = |to: &str| (0..BURST).map(|n| format!("round {round}, {n} to {to}")).collect::<Vec<_>>();
        let (to_third, to_host) = (burst(nicks[third]), burst(nicks[host]));
        let ids = nodes[one].send_all(nicks[third], &to_third);
        if round == 1 {
            assert_eq!(nodes[host].leave(), Exit::Code(0), "the host leaves in good order");
        } else {
            nodes[host].kill9();
        }
        let late = nodes[one].send_all(nicks[host], &to_host);
        let gone = host;
        host = wait_for_host(&nodes, [one, third], before);
        nodes[one].wait_states(&ids, &["delivered"]);
        nodes[gone].restart_at(&address);
        nodes[one].wait_states(&late, &["delivered"]);
        sent[third].extend(to_third);
        sent[gone].extend(to_host);
        for n in 0..3 {
            let texts: Vec<_> = written_to(&nodes[n], &nicks);
            assert_eq!(texts.len(), sent[n].len(), "{} in round {round}: {texts:?}", nicks[n]);
        }
    }
    for ((node, nick), sent) in nodes.iter().zip(nicks).zip(&sent) {
        let mut texts = written_to(node, &nicks);
        // By sender is the order that is promised; the rounds say who it was.
        texts.sort_by_key(|text| sent.iter().position(|other| other == text));
        assert_eq!(&texts, sent, "what {nick} has got");
        let alarms: Vec<_> = node.events().into_iter().filter(|event| event.method == "alarm").collect();
        assert_eq!(alarms, [], "{nick}");
    }
}

fn links(node: &Node) -> usize {
    node.events().iter().filter(|event| event.method == "link.up").count()
}

/// Which of the two that stayed hosts now, once both have a link again.
fn wait_for_host(nodes: &[Node; 3], stayed: [usize; 2], before: [usize; 3]) -> usize {
    let hosts = stayed.map(|n| {
        nodes[n].wait("a link to another host", |events| {
            let ups = events.iter().filter(|event| event.method == "link.up").count();
            if ups > before[n] { Node::hosts(events) } else { None }
        })
    });
    match hosts {
        [true, false] => stayed[0],
        [false, true] => stayed[1],
        other => panic!("one of the two hosts: {other:?}"),
    }
}

/// The texts in a node's history that others wrote to it directly, oldest first in each conversation.
fn written_to(node: &Node, nicks: &[&str]) -> Vec<String> {
    let own = node.peer_id();
    let with = nicks.iter().filter(|nick| **nick != node.ready().expect("nick"));
    let history = with.flat_map(|nick| node.history(nick));
    let theirs = history.filter(|message| message["from"]["peer_id"] != own.as_str());
    theirs.map(|message| message["text"].as_str().expect("a text").to_owned()).collect()
}
