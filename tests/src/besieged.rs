//! A relay that strangers attack, and an honest pair on it.

use std::time::Duration;

use crate::memory::{Figures, figures, processor_time_in};
use crate::{Exit, Node, Profile, Recorder, Relay, World};

/// What the relay may grow by, whatever strangers do. Generous: allocators keep what was given back.
const MAX_GROWTH_BYTES: u64 = 48 << 20;
/// Address space counts as well: 4 GiB set aside and never touched would show here.
const MAX_VIRTUAL_BYTES: u64 = 1 << 30;

/// What a relay may be busy, in how long, once nobody wants anything of it: a loop without end takes all of it.
const IDLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// A relay with an honest pair on it, and what one of them sent to come in, piece by piece.
pub struct Besieged {
    /// Everybody's world.
    pub world: World,
    /// The relay; it logs in detail.
    pub relay: Relay,
    /// She is recorded.
    pub alice: Node,
    /// He is not.
    pub bob: Node,
    /// What alice sent until she had met bob.
    pub honest: Vec<Vec<u8>>,
    profile: Profile,
    before: Option<Figures>,
    said: usize,
}

impl Besieged {
    /// Starts them, and lets them meet and talk.
    pub fn new(profile: Profile) -> Self {
        let world = World::new();
        let relay = Relay::start_with(&world, profile, &["log.level=debug"]);
        let recorder = Recorder::start(&world, profile.network, relay.address());
        let alice = world.node(profile, "alice", recorder.address()).guest().start();
        let bob = world.node(profile, "bob", relay.address()).guest().start();
        alice.meet(&["bob"]);
        bob.meet(&["alice"]);
        let honest = recorder.to_relay().concat();
        let before = figures(relay.process().pid());
        let mut scene = Self { world, relay, alice, bob, honest, profile, before, said: 0 };
        scene.honest_pair_chats("before anything");
        scene
    }

    /// The honest pair does not notice a thing.
    pub fn honest_pair_chats(&mut self, when: &str) {
        self.said += 1;
        let text = format!("{when} ({})", self.said);
        self.alice.wait_state(&self.alice.send("bob", &text), "delivered");
        self.bob.wait_text(&text);
        self.bob.wait_state(&self.bob.send("#lobby", &text), "delivered");
    }

    /// How often the relay has let somebody in.
    pub fn let_in(&self) -> usize {
        self.relay.process().stderr().matches(" connected peer").count()
    }

    /// Waits until the relay has let in so many, and so many of them have gone.
    #[track_caller]
    pub fn wait_let_in(&self, came: usize, gone: usize) {
        let counted = self.relay.process().wait(|said| {
            let log = String::from_utf8_lossy(&said.stderr);
            let seen = (log.matches(" connected peer").count(), log.matches("disconnected peer").count());
            (seen.0 >= came && seen.1 >= gone).then_some(())
        });
        assert!(counted.is_some(), "not {came} have come, or not {gone} gone");
    }

    /// Somebody new can come, the relay has not grown, is idle, and leaves in good order.
    pub fn survived(self) {
        self.survived_with("carol");
    }

    /// The same; the newcomer is called so.
    pub fn survived_with(self, nick: &str) {
        let newcomer = self.world.node(self.profile, nick, self.relay.address()).guest().start();
        newcomer.meet(&["alice", "bob"]);
        if let (Some(before), Some(after)) = (self.before, figures(self.relay.process().pid())) {
            let grown = after.resident.saturating_sub(before.resident);
            assert!(grown < MAX_GROWTH_BYTES, "grown by {grown} bytes: {before:?} {after:?}");
            let grown = after.peak_virtual.saturating_sub(before.peak_virtual);
            assert!(grown < MAX_VIRTUAL_BYTES, "set aside {grown} bytes: {before:?} {after:?}");
        }
        if let Some(busy) = processor_time_in(self.relay.process().pid(), IDLE.1) {
            assert!(busy < IDLE.0, "busy for {busy:?} of {:?}", IDLE.1);
        }
        for node in [&self.alice, &self.bob] {
            let bad: Vec<_> = node.events().into_iter().filter(|event| event.method == "link.down").collect();
            assert_eq!(bad, [], "the honest never lost their link");
        }
        assert_eq!(self.relay.leave(), Exit::Code(0));
    }
}
