//! Three users and their lying relay.

use chat_core::wire::{Envelope, Recipient};
use chat_core::{EnvelopeId, PeerId};
use chat_hostile::forge::fresh;
use chat_hostile::lie;
use chat_hostile::stack::transport;
use chat_hostile::{Clock, LyingRelay, Stack};
use chat_tests::{Event, Exit, Node, Profile, World};
use tokio::runtime::{Builder, Runtime};

pub(crate) struct Scene {
    pub(crate) relay: LyingRelay,
    pub(crate) alice: Node,
    pub(crate) bob: Node,
    pub(crate) carol: Node,
    pub(crate) stack: Stack,
    said: usize,
    // Behind what lives in it.
    _world: World,
    _runtime: Runtime,
}

impl Scene {
    pub(crate) fn new(profile: Profile) -> Self {
        let world = World::new();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let relay = runtime.block_on(async {
            let transport = transport(profile.transport);
            LyingRelay::start(&*transport, &world.any_port(), Clock::new()).await
        });
        let [alice, bob, carol] = ["alice", "bob", "carol"]
            .map(|nick| world.node(profile, nick, &relay.address().place).guest().start());
        let stack = Stack::of(profile);
        let mut scene = Self { relay, alice, bob, carol, stack, said: 0, _world: world, _runtime: runtime };
        scene.alice.meet(&["bob", "carol"]);
        scene.bob.meet(&["alice", "carol"]);
        scene.carol.meet(&["alice", "bob"]);
        scene.goes_on("at first");
        scene.relay.with(|desk| assert!(desk.submitted().len() > 3, "they use this relay"));
        scene
    }

    /// A text that nobody has said before.
    pub(crate) fn text(&mut self, text: &str) -> String {
        self.said += 1;
        format!("{text} ({})", self.said)
    }

    /// All say something directly and in the room, and it is delivered and shown once.
    pub(crate) fn goes_on(&mut self, when: &str) {
        let text = self.text(when);
        let Self { alice, bob, carol, .. } = self;
        let to_all = format!("all: {text}");
        for (one, other) in [(&*alice, &*bob), (bob, alice), (alice, carol)] {
            one.wait_state(&one.send(&other.peer_id(), &text), "delivered");
            other.wait_text(&text);
        }
        alice.wait_state(&alice.send("#lobby", &to_all), "delivered");
        for node in [&*bob, carol] {
            node.wait_text(&to_all);
            assert_eq!(node.texts().iter().filter(|it| **it == to_all).count(), 1);
        }
    }

    pub(crate) fn id(&self, node: &Node) -> PeerId {
        node.peer_id().parse().expect("a peer id")
    }

    pub(crate) fn ids(&self) -> [PeerId; 3] {
        [&self.alice, &self.bob, &self.carol].map(|node| self.id(node))
    }

    /// Starts alice again, so that her link is new.
    pub(crate) fn restart_alice(&mut self) {
        assert_eq!(self.alice.leave(), Exit::Code(0));
        self.alice.restart();
        self.alice.wait_event("link.up", &[]);
    }

    /// alice sends a text, which the relay says it has stored, and keeps from everybody: message id, and the envelope to
    /// bob.
    pub(crate) fn caught(&mut self, to: &str, text: &str) -> (String, Envelope) {
        let bob = self.id(&self.bob);
        let (held, lie) = lie::hold_envelopes(|_, _| true);
        self.relay.lie(lie);
        let id = self.alice.send(to, text);
        self.alice.wait_state(&id, "stored");
        self.relay.be_honest();
        let mut caught = held.take().into_iter().map(|(_, envelope)| envelope);
        let is_it = |it: &Envelope| it.to == Recipient::Peer(bob) && it.message.to_string() == id;
        let envelope = caught.find(is_it).expect("it was kept back");
        (id, envelope)
    }

    /// As after a new link, everybody is given what waits.
    pub(crate) fn catch_up(&self) {
        self.relay.with(chat_hostile::Desk::catch_up);
    }

    /// The newest envelope from alice to bob.
    pub(crate) fn newest(&self) -> Envelope {
        let [alice, bob, _] = self.ids();
        let of_both = |it: &&Envelope| it.from == alice && it.to == Recipient::Peer(bob);
        self.relay.with(|desk| desk.submitted().iter().rfind(of_both).cloned()).expect("there is one")
    }
}

/// The same under an id that nobody has seen.
pub(crate) fn anew(envelope: &Envelope) -> Envelope {
    Envelope { id: EnvelopeId(fresh()), ..envelope.clone() }
}

/// How many alarms of a kind somebody was told of. Of more than so many a second only the number is told.
pub(crate) fn alarms(events: &[Event], kind: &str) -> usize {
    let counted = |event: &Event| event.text("detail").is_some_and(|it| it.contains("more within a second"));
    let of_it = |event: &&Event| event.is("alarm", &[("kind", kind)]) || counted(event);
    events.iter().filter(of_it).count()
}

/// Does something, and waits for an alarm of a kind that comes behind it.
pub(crate) fn alarmed(node: &Node, kind: &str, lie: impl FnOnce()) {
    let before = alarms(&node.events(), kind);
    lie();
    node.wait(&format!("another alarm {kind}"), |events| (alarms(events, kind) > before).then_some(()));
}
