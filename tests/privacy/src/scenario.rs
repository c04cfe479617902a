//! What they live through.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chat_tests::recorder::Meddler;
use chat_tests::{Event, Exit, Network, Node, Profile, Recorder, Relay, World, memory, relay};
use serde_json::json;

use crate::capture::Capture;
use crate::core_file::core_of;
use crate::evidence::{Evidence, Found, Place};
use crate::secret::{Kind, Secrets};

mod strangers;

/// Two people; no word that a program would say by itself.
pub const NICKS: [&str; 2] = ["Persephone", "Bartholomew"];
/// What a stranger shouts at a port: no secret, but not to be repeated in a log either.
const SHOUT: &str = "let me in, I beg you";
/// The room they are in.
const ROOM: &str = "#velvet-underground";
/// How much is said to who is away.
const AWAY: usize = 20;

/// Which programs take part, and how.
#[derive(Clone, Default)]
pub struct Cast {
    /// What clients and the relay are, if not `chat` and `chat-relay`.
    pub program: Option<PathBuf>,
    /// Changes to the profile, for clients.
    pub sets: Vec<String>,
    /// The relay's transport, if not the profile's.
    pub transport: Option<&'static str>,
}

/// Everybody in a scenario, and what is known of it so far.
pub struct Scenario {
    /// All there is to be searched.
    pub evidence: Evidence,
    /// All that must not be found.
    pub secrets: Secrets,
    /// What is written.
    pub canary: String,
    profile: Profile,
    people: [Node; 2],
    relay: Relay,
    wire: Recorder,
    is_bad: Arc<AtomicBool>,
    capture: Option<Capture>,
    // Behind all that lives in it.
    world: World,
}

impl Scenario {
    /// The relay, two people, and whoever listens. All log at the highest level.
    pub fn new(profile: Profile, cast: &Cast) -> Self {
        let world = World::new();
        let capture = Capture::start(world.ip());
        let transport = cast.transport.unwrap_or(profile.transport);
        let relay = Relay::launch(
            &world,
            relay::Setup {
                alone: true,
                program: None,
                profile: profile.name.to_owned(),
                folder: world.path("relay"),
                listen: vec![format!("{transport}://{}", world.any_port())],
                sets: vec!["log.level=trace".into()],
            }
            .of(cast),
        );
        let is_bad = Arc::new(AtomicBool::new(false));
        let meddler = meddler(profile.network, Arc::clone(&is_bad));
        let wire = Recorder::meddling(&world, profile.network, relay.address(), meddler);
        let start = |nick| {
            let setup = world.node(profile, nick, wire.address()).set("log.level=trace");
            let setup = cast.sets.iter().fold(setup, |setup, set| setup.set(set));
            match &cast.program {
                Some(program) => setup.program(program).start(),
                None => setup.start(),
            }
        };
        let people = NICKS.map(start);
        let canary = canary(std::process::id());
        let mut secrets = Secrets::default();
        secrets.add(Kind::Text, "the text", canary.clone());
        NICKS.iter().for_each(|nick| secrets.add(Kind::Name, format!("the nick {nick}"), *nick));
        secrets.add(Kind::Name, "the room", ROOM);
        secrets.add(Kind::Shouted, "what a stranger shouts", SHOUT);
        secrets.add_identity(Kind::KeyOfRelay, "the relay", relay.folder());
        for person in &people {
            secrets.add_identity(Kind::Key, &name(person), person.folder());
        }
        people[0].meet(&[NICKS[1]]);
        people[1].meet(&[NICKS[0]]);
        let evidence = Evidence::default();
        Self { evidence, secrets, canary, profile, people, relay, wire, is_bad, capture, world }
    }

    /// Both write to each other, directly and in a room, read, ask, and make mistakes.
    pub fn every_day(&mut self) {
        let [one, two] = &self.people;
        for person in &self.people {
            person.ask("room.join", json!({ "room": ROOM }));
        }
        one.wait("both in the room", |events| {
            let members = |event: &Event| event.params["members"].as_array().map_or(0, Vec::len);
            let joined = |event: &Event| event.is("room.changed", &[("room", ROOM)]) && members(event) == 2;
            events.iter().any(joined).then_some(())
        });
        for to in [NICKS[1], "#lobby", ROOM] {
            one.wait_state(&one.send(to, &self.canary), "delivered");
        }
        two.wait_state(&two.send(NICKS[0], &self.canary), "delivered");
        two.ask("msg.mark_read", json!({ "with": NICKS[0] }));
        mistakes(one, &self.canary);
    }

    /// Bytes are flipped on the way to the relay and back. What was written arrives, over links that end and begin.
    pub fn bad_wire(&mut self) {
        self.is_bad.store(true, Ordering::SeqCst);
        let [one, two] = &self.people;
        for _ in 0..3 {
            one.wait_state(&one.send(NICKS[1], &self.canary), "delivered");
            two.wait_state(&two.send(NICKS[0], &self.canary), "delivered");
        }
        self.is_bad.store(false, Ordering::SeqCst);
    }

    /// One is away; what the other writes lies at the relay, where it is looked for. Then the other, or everybody but
    /// the one who is away, is killed and comes back.
    pub fn away(&mut self, kill: bool) {
        assert_eq!(self.people[1].leave(), Exit::Code(0));
        self.learn(1);
        let texts: Vec<String> = (0..AWAY).map(|n| format!("{n}: {}", self.canary)).collect();
        let waiting = self.people[0].send_all(NICKS[1], &texts);
        self.people[0].wait_states(&waiting, &["stored"]);
        self.look_at_relay();
        if kill {
            self.relay.kill9();
            self.evidence.add_stderr(self.relay.process());
            self.evidence.add_relay(self.relay.folder());
            self.people[0].wait_event("link.down", &[]);
            self.people[0].kill9();
            self.learn(0);
            self.relay.restart();
            self.people[0].restart();
        }
        self.people[1].restart();
        self.people[0].wait_history(NICKS[1], &waiting, &["delivered"]);
        self.people[1].wait_texts(AWAY);
        self.look_at_relay();
    }

    /// The relay's memory and files as they are now.
    fn look_at_relay(&mut self) {
        let folder = self.world.path(format!("core of {}", self.evidence.pieces()));
        std::fs::create_dir(&folder).expect("a folder");
        if let Some(core) = core_of(self.relay.process().pid(), &folder) {
            self.evidence.add_file(Place::Core, core);
        }
        self.evidence.add_relay(self.relay.folder());
    }

    /// Without the relay one of the two hosts; it is killed, the other hosts, and it comes back.
    pub fn another_host(&mut self) {
        let canary = self.canary.clone();
        self.leave();
        self.people[0].restart_at(&self.world.any_port());
        let address = self.people[0].address();
        self.people[1].restart_at(&address);
        self.people[1].wait_event("link.up", &[]);
        let [one, two] = &self.people;
        one.wait_state(&one.send(&two.peer_id(), &canary), "delivered");
        two.wait_state(&two.send("#lobby", &canary), "delivered");
        one.kill9();
        let late = two.send(&one.peer_id(), &canary);
        let hosting = |events: &[Event]| Node::hosts(events).filter(|hosts| *hosts);
        two.wait("to be the host", hosting);
        self.learn(0);
        self.people[0].restart_at(&address);
        self.people[1].wait_state(&late, "delivered");
    }

    /// Everybody ends in good order.
    fn leave(&mut self) {
        for person in [0, 1] {
            assert_eq!(self.people[person].leave(), Exit::Code(0));
            self.learn(person);
        }
    }

    /// Somebody has ended: what it has said, and the keys it has.
    fn learn(&mut self, person: usize) {
        let person = &self.people[person];
        self.evidence.add_stderr(person.process());
        self.secrets.add_database(&name(person), person.folder());
    }

    /// Ends; the places are what they must be, else a search would find nothing in nothing: logs say these words. All
    /// that was found, but for what belongs there.
    pub fn finish(mut self, log_says: &[&str]) -> Vec<Found> {
        // Where it belongs it is: one has it open in its database, as `chat explain` says, or in memory.
        let [one, _] = &self.people;
        let in_memory = memory::scan(one.process().pid(), &[self.canary.as_bytes()]).is_ok_and(|it| it[0]);
        self.leave();
        let files = chat_tests::files::contents(self.people[0].folder());
        let stored =
            files.iter().any(|(_, bytes)| chat_tests::files::find(bytes, self.canary.as_bytes()).is_some());
        assert!(stored || in_memory, "{} has the text nowhere", NICKS[0]);
        assert!(self.secrets.keys() >= 10, "{} keys", self.secrets.keys());
        if self.relay.process().is_alive() {
            assert_eq!(self.relay.leave(), Exit::Code(0));
        }
        self.evidence.add_stderr(self.relay.process());
        self.evidence.add_relay(self.relay.folder());
        self.people.iter().for_each(|person| self.evidence.add_client(person.folder()));
        for folder in [self.world.temporary(), self.world.path("runtime"), self.world.path("home")] {
            self.evidence.add_folder(&folder);
        }
        self.evidence.add_wire(&self.wire);
        self.check_evidence(log_says);
        self.evidence.search(&self.secrets).into_iter().collect()
    }

    /// In each place there is what cannot be missing.
    fn check_evidence(&mut self, log_says: &[&str]) {
        let recorded = self.wire.to_relay().into_iter().find_map(|track| track.into_iter().next());
        if let Some(capture) = self.capture.take() {
            capture
                .finish()
                .into_iter()
                .for_each(|flow| self.evidence.add(Place::Wire, "a captured flow", flow));
            let recorded = recorded.expect("something was recorded");
            assert!(self.evidence.holds(Place::Wire, &recorded), "the capture has what the recorder has");
        }
        let evidence = &self.evidence;
        assert!(evidence.len(Place::Wire) > 2 * AWAY * self.canary.len(), "the wire was recorded");
        for word in log_says {
            assert!(evidence.holds(Place::Log, word.as_bytes()), "no log says {word}");
        }
        let peer_id = self.secrets_of_routing();
        if evidence.len(Place::Core) > 0 {
            assert!(evidence.holds(Place::Core, &peer_id), "the core file holds whom the relay routes to");
        }
        assert!(evidence.holds(Place::RelayFiles, &peer_id), "the mailbox holds whom it is of");
    }

    /// The second one's peer id, which the relay can't do without.
    fn secrets_of_routing(&self) -> Vec<u8> {
        let seed = std::fs::read(self.people[1].folder().join("identity.key")).expect("an identity");
        let seed: [u8; 32] = seed.try_into().expect("a seed");
        chat_core::Identity::from_seed(&seed).peer_id().0.to_vec()
    }
}

/// A text of 39 characters, other ones for each seed. No twelve of them in a row come about by chance, or stand in a program.
fn canary(seed: u32) -> String {
    let mut state = u64::from(seed);
    let mut word = || {
        let mut draw = |letters: &[u8]| {
            // Knuth's generator, of which the upper bits are the better ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(letters[(state >> 33) as usize % letters.len()])
        };
        (0..3).flat_map(|_| [draw(b"bdfghklmnprstvwz"), draw(b"aeiou")]).collect::<String>()
    };
    [(); 6].map(|()| word()).join(" ")[..39].to_owned()
}

/// A relay's setup with what the cast changes.
trait Of {
    fn of(self, cast: &Cast) -> Self;
}

impl Of for relay::Setup {
    fn of(self, cast: &Cast) -> Self {
        let alone = cast.program.is_none();
        Self { alone, program: cast.program.clone(), ..self }
    }
}

fn name(person: &Node) -> String {
    person.folder().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// While the wire is bad, a byte of each so many pieces is another.
fn meddler(network: Network, is_bad: Arc<AtomicBool>) -> Arc<Meddler> {
    let count = AtomicU64::new(0);
    // Over a stream each of them ends the link.
    let each = if network == Network::Tcp { 25 } else { 7 };
    Arc::new(move |_, mut piece: Vec<u8>| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        if is_bad.load(Ordering::SeqCst) && n.is_multiple_of(each) && !piece.is_empty() {
            let at = n as usize * 31 % piece.len();
            piece[at] ^= 1 << (n % 8);
        }
        vec![piece]
    })
}

/// What is refused, and must not be repeated in a log for that.
fn mistakes(node: &Node, text: &str) {
    for (method, params) in [
        ("msg.send", json!({ "to": "nobody", "text": text })),
        ("msg.send", json!({ "to": ROOM, "text": 5, "why": text })),
        ("room.join", json!({ "room": text })),
        ("command.run", json!({ "line": format!("/{text}") })),
        (text, json!({})),
    ] {
        node.call(method, params).unwrap_err();
    }
    node.line(text);
    node.take_answer(|answer| answer["id"].is_null());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_like_no_other_text() {
        let (one, other) = (canary(1000), canary(1001));
        assert_eq!((one.len(), one.split(' ').count()), (39, 6), "{one}");
        let mut pieces: Vec<&[u8]> = [&one, &other]
            .iter()
            .flat_map(|it| it.as_bytes().windows(chat_tests::search::TEXT_BYTES))
            .collect();
        let all = pieces.len();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), all, "{one}, {other}");
    }
}
