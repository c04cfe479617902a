//! Honest clients around a lying relay, in one process, mostly on a paused clock.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_core::api::MessageState;
use chat_core::{Identity, MessageId, PeerId, Transport};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::lie::{Honest, Lie};
use crate::person::{LOBBY, Person, Setup};
use crate::relay::LyingRelay;
use crate::stack::{self, Stack};

/// People, by nick, and their relay.
pub struct Scene {
    /// The relay.
    pub relay: LyingRelay,
    /// Everybody's clock.
    pub clock: Arc<Clock>,
    stack: Stack,
    transport: Arc<dyn Transport>,
    people: BTreeMap<String, Person>,
    folder: TempDir,
    said: AtomicU64,
}

impl Scene {
    /// A relay on links in memory that lies from the first moment, and nobody yet.
    pub async fn empty(stack: Stack, lie: impl Lie + 'static) -> Self {
        let clock = Clock::new();
        let transport = stack::transport("memory");
        let relay = LyingRelay::start(&*transport, "hostile:0", Arc::clone(&clock)).await;
        relay.lie(lie);
        let folder = folder();
        Self { relay, clock, stack, transport, people: BTreeMap::new(), folder, said: AtomicU64::new(0) }
    }

    /// People who have met and talked over an honest relay, so that they have sessions; what they were told until
    /// now is not looked at any more.
    pub async fn of(stack: Stack, nicks: &[&str]) -> Self {
        let mut scene = Self::empty(stack, Honest).await;
        nicks.iter().for_each(|nick| scene.add(nick));
        for (who, other) in pairs(nicks) {
            let other = scene.id(other);
            scene[who].wait_seen(other).await;
        }
        for (who, other) in pairs(nicks) {
            scene.says(who, other, "well met").await;
        }
        scene.forget();
        scene
    }

    /// Somebody starts. Its identity follows from its nick.
    pub fn add(&mut self, nick: &str) {
        let setup = self.setup(nick);
        self.people.insert(nick.to_owned(), setup.start());
    }

    /// What somebody of this nick is made of.
    pub fn setup(&self, nick: &str) -> Setup {
        Setup {
            nick: nick.to_owned(),
            identity: identity(nick),
            stack: self.stack,
            key_exchange: self.stack.key_exchange_of(nick),
            cipher: self.stack.cipher(),
            transport: Arc::clone(&self.transport),
            relay: self.relay.address().clone(),
            clock: Arc::clone(&self.clock),
            database: Some(self.folder.path().join(format!("{nick}.db"))),
        }
    }

    /// Somebody's peer id.
    pub fn id(&self, nick: &str) -> PeerId {
        identity(nick).peer_id()
    }

    /// Their end-to-end plugins.
    pub fn stack(&self) -> Stack {
        self.stack
    }

    /// What carries them.
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// What anybody was told so far is not looked at any more.
    pub fn forget(&mut self) {
        self.people.values_mut().for_each(Person::forget);
    }

    /// Somebody says something to somebody, by key, and it is delivered and shown.
    pub async fn says(&mut self, who: &str, to: &str, text: &str) -> MessageId {
        let n = self.said.fetch_add(1, Ordering::Relaxed);
        let text = format!("{text} ({n})");
        let to_id = self.id(to).to_string();
        let id = self[who].send(&to_id, &text).await;
        self[who].wait_state(id, MessageState::Delivered).await;
        let shown = self[to].wait_text(&text).await;
        assert_eq!(shown.message.from.peer_id, self.id(who));
        id
    }

    /// The honest go on as if nothing had been: directly both ways, and in the room; nobody is alarmed any more,
    /// nothing is missing, and no history holds anything that was not said.
    pub async fn goes_on(&mut self, who: &str, other: &str) {
        self.forget();
        self.says(who, other, "and so on").await;
        self.says(other, who, "and on").await;
        let n = self.said.fetch_add(1, Ordering::Relaxed);
        let text = format!("and on, all of you ({n})");
        let id = self[who].send(LOBBY, &text).await;
        self[other].wait_text(&text).await;
        self[who].wait_state(id, MessageState::Delivered).await;
        for nick in [who, other] {
            let person = &mut self[nick];
            assert_eq!(person.alarms(), [], "{nick} is alarmed by what is honest");
            assert!(!person.saw_gap(), "{nick} misses something");
        }
    }
}

impl Index<&str> for Scene {
    type Output = Person;
    fn index(&self, nick: &str) -> &Person {
        &self.people[nick]
    }
}

impl IndexMut<&str> for Scene {
    fn index_mut(&mut self, nick: &str) -> &mut Person {
        self.people.get_mut(nick).unwrap_or_else(|| panic!("{nick} is not there"))
    }
}

/// Where databases are: in memory if the system has such a place, as no power is cut here and each commit waits.
fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("chat-test-");
    let memory = builder.tempdir_in("/dev/shm");
    memory.or_else(|_| builder.tempdir()).expect("a folder")
}

/// The identity of somebody of this nick.
pub fn identity(nick: &str) -> Identity {
    let mut seed = [0; 32];
    seed.iter_mut().zip(nick.bytes().cycle()).enumerate().for_each(|(n, (to, byte))| *to = byte ^ n as u8);
    Identity::from_seed(&seed)
}

/// Everybody with everybody else.
fn pairs<'a>(nicks: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let with =
        |who: &'a str| nicks.iter().filter(move |other| **other != who).map(move |other| (who, *other));
    nicks.iter().flat_map(|who| with(who)).collect()
}
