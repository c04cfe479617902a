//! The built program behind a lying relay, over real sockets: what `lying_relay` shows of the engine, a user sees. One
//! scenario a profile, as each lie ends with everybody well.

use chat_core::wire::relay::Refusal;
use chat_core::wire::{Envelope, FromRelay, Recipient};
use chat_core::{EnvelopeId, PeerId};
use chat_hostile::forge::{Forger, fresh};
use chat_hostile::lie::{self, Hears};
use chat_hostile::scene::identity;
use chat_hostile::stack::transport;
use chat_hostile::{Clock, Desk, LyingRelay, RSA, X25519};
use chat_tests::{Exit, Network, Node, Profile, World, on_every_profile};
use tokio::runtime::{Builder, Runtime};

on_every_profile!(what_a_user_sees);

struct Scene {
    relay: LyingRelay,
    alice: Node,
    bob: Node,
    profile: Profile,
    said: usize,
    // Behind what lives in it.
    _world: World,
    _runtime: Runtime,
}

impl Scene {
    fn new(profile: Profile) -> Self {
        let world = World::new();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let relay = runtime.block_on(async {
            let transport = transport(profile.transport);
            LyingRelay::start(&*transport, &world.any_port(), Clock::new()).await
        });
        let node = |nick| world.node(profile, nick, &relay.address().place).guest().start();
        let (alice, bob) = (node("alice"), node("bob"));
        let mut scene = Self { relay, alice, bob, profile, said: 0, _world: world, _runtime: runtime };
        scene.alice.meet(&["bob"]);
        scene.bob.meet(&["alice"]);
        scene.goes_on("at first");
        scene
    }

    /// Both say something to the other, and it is delivered and shown.
    fn goes_on(&mut self, when: &str) {
        self.said += 1;
        let text = format!("{when} ({})", self.said);
        let (alice, bob) = (self.alice.peer_id(), self.bob.peer_id());
        self.alice.wait_state(&self.alice.send(&bob, &text), "delivered");
        self.bob.wait_text(&text);
        self.bob.wait_state(&self.bob.send(&alice, &text), "delivered");
        self.alice.wait_text(&text);
    }

    fn id(&self, node: &Node) -> PeerId {
        node.peer_id().parse().expect("a peer id")
    }

    /// Starts alice again, so that her link is new.
    fn restart_alice(&mut self) {
        assert_eq!(self.alice.leave(), Exit::Code(0));
        self.alice.restart();
        self.alice.wait_event("link.up", &[]);
    }

    /// The newest envelope from alice to bob.
    fn newest(&self) -> Envelope {
        let (alice, bob) = (self.id(&self.alice), self.id(&self.bob));
        let of_both = |it: &&Envelope| it.from == alice && it.to == Recipient::Peer(bob);
        self.relay.with(|desk| desk.submitted().iter().rfind(of_both).cloned()).expect("there is one")
    }
}

/// P1, P2, P5, P7, P8.
fn what_a_user_sees(profile: Profile) {
    let mut scene = Scene::new(profile);
    stored_is_its_word(&mut scene);
    nothing_altered_is_shown(&mut scene);
    a_second_key_is_told(&mut scene);
    links_that_end_are_told(&mut scene);
}

/// Known truth: `stored` is the relay's word. `delivered` is not.
fn stored_is_its_word(scene: &mut Scene) {
    scene.relay.lie(lie::store_nothing(scene.id(&scene.alice)));
    let ids = scene.alice.send_all("bob", ["swallowed", "and this"]);
    scene.alice.wait_states(&ids, &["stored"]);
    scene.relay.be_honest();
    assert!(!scene.alice.states(&ids[0]).contains(&"delivered".to_owned()));
    scene.restart_alice();
    scene.alice.wait_states(&ids, &["delivered"]);
    scene.bob.wait_text("and this");
    scene.goes_on("after what was not stored");
}

fn nothing_altered_is_shown(scene: &mut Scene) {
    let bob = scene.id(&scene.bob);
    let genuine = scene.newest();
    let shown = scene.bob.texts().len();
    let relabelled = Envelope { id: EnvelopeId(fresh()), message: fresh_message(), ..genuine.clone() };
    let mut flipped = Envelope { id: EnvelopeId(fresh()), ..genuine.clone() };
    flipped.frame[20] ^= 1;
    let again = Envelope { id: EnvelopeId(fresh()), ..genuine.clone() };
    let elsewhere = Envelope { to: Recipient::Peer(scene.id(&scene.alice)), ..genuine };
    scene.relay.with(|desk| [relabelled, flipped, again, elsewhere].map(|it| desk.hand(bob, it)));
    scene.bob.wait_event("alarm", &[("kind", "tampered")]);
    scene.bob.wait_event("alarm", &[("kind", "replayed")]);
    scene.goes_on("after what was altered");
    assert_eq!(scene.bob.texts().len(), shown + 1);
}

fn fresh_message() -> chat_core::MessageId {
    chat_core::MessageId(fresh())
}

fn a_second_key_is_told(scene: &mut Scene) {
    let stack = if scene.profile.network == Network::Tcp { X25519 } else { RSA };
    let mallory = Forger::new(stack, identity("mallory"));
    let alice = scene.id(&scene.alice);
    scene
        .relay
        .with(|desk| desk.say(alice, &FromRelay::Peer { bundle: mallory.signed("bob"), online: true }));
    let changed = scene.alice.wait_event("peer.key_changed", &[("claims", "bob")]);
    assert_eq!(changed.expect("peer_id"), mallory.id().to_string());
    assert_eq!(changed.expect("known"), scene.bob.peer_id());
    scene.goes_on("after a second key");
}

fn links_that_end_are_told(scene: &mut Scene) {
    let alice = scene.id(&scene.alice);
    scene.restart_alice();
    scene.relay.with(|desk| desk.say_bytes(alice, b"HTTP/1.1 200 OK".to_vec()));
    let down = scene.alice.wait_event("link.down", &[]);
    assert!(down.expect("reason").contains("what is no record"), "{down:?}");
    scene.goes_on("after nonsense");
    // It refuses everything for now; nothing of what was sent is lost.
    scene.relay.lie(Hears(|desk: &mut Desk, from, record| match record {
        chat_core::wire::ToRelay::Submit { envelopes } => {
            let refused = envelopes.iter().map(|it| FromRelay::Refused { id: it.id, why: Refusal::Storage });
            refused.for_each(|record| desk.say(from, &record));
            None
        }
        other => Some(other),
    }));
    let bob = scene.bob.peer_id();
    let id = scene.alice.send(&bob, "through all of it");
    scene.alice.wait("a reason", |events| {
        let of_it = events.iter().filter(|event| event.is("msg.status", &[("id", &id)]));
        of_it
            .filter_map(|event| event.text("reason"))
            .any(|reason| reason.contains("tried again"))
            .then_some(())
    });
    scene.relay.be_honest();
    scene.alice.wait_state(&id, "delivered");
    scene.bob.wait_text("through all of it");
    scene.goes_on("at last");
}
