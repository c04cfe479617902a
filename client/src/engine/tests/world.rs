//! The world of the engine's tests: people, their stores, and a relay in which the test can meddle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chat_core::api::event::EventId;
use chat_core::api::handle::Request;
use chat_core::api::{Command, CommandError, Destination, Event, MessageState, Reply, Snapshot, StackView};
use chat_core::entropy::OsEntropy;
use chat_core::identity::Identity;
use chat_core::ids::{EnvelopeId, MessageId, PeerId, Timestamp};
use chat_core::key_exchange::Context;
use chat_core::nick::{Nick, RoomName};
use chat_core::profile::Options;
use chat_core::transport::NoStats;
use chat_core::wire::bundle::SignedBundle;
use chat_core::wire::relay::{Delivery, Refusal};
use chat_core::wire::{Envelope, FromRelay, Recipient, ToRelay};
use chat_core::{KeyExchange, Registry};
use cipher_aes_gcm as _;
use cipher_chacha20_poly1305 as _;
use key_exchange_x25519 as _;
use key_exchange_x25519_ratchet as _;
use tokio::sync::oneshot;

use crate::config::{ClientConfig, Rules, StorePlace};
use crate::engine::{DAY_MS, Engine, Input, LinkInfo, Moment, Turn, Uptime};
use crate::store::Store;

use super::onlooker::Onlooker;

/// What people agree on keys by, unless a test is about another.
const EXCHANGE: &str = "x25519";

fn key_exchange(name: &str) -> Arc<dyn KeyExchange> {
    let table = format!("[key_exchange]\nkind = \"{name}\"\n");
    let options = Options::parse_table(&table, "key_exchange").unwrap();
    Arc::from(Registry::linked().unwrap().build::<dyn KeyExchange>(&options).unwrap())
}

fn lobby() -> RoomName {
    RoomName::new("#lobby").unwrap()
}

fn config(nick: &str, seed: u8, exchange: &str, cipher: &str, rules: Rules) -> ClientConfig {
    let options = Options::parse_table(&format!("[cipher]\nkind = \"{cipher}\"\n"), "cipher").unwrap();
    let key_exchange = key_exchange(exchange);
    ClientConfig {
        identity: Identity::from_seed(&[seed; 32]),
        nick: Nick::new(nick).unwrap(),
        rooms: vec![lobby()],
        closed_rooms_only: false,
        stack: StackView {
            transport: "memory".into(),
            transports: Vec::new(),
            key_exchange: exchange.into(),
            cipher: cipher.into(),
            frontend: "test".into(),
            properties: key_exchange.properties(),
        },
        key_exchange,
        key_exchange_name: exchange.into(),
        cipher: Arc::from(Registry::linked().unwrap().build::<dyn chat_core::Cipher>(&options).unwrap()),
        rules,
        config_text: String::new(),
        store: StorePlace::Memory,
        store_key: crate::vault::StoreKey::from_bytes(&[7; 32]),
        history: chat_core::profile::Retention::Forever,
        max_backoff: std::time::Duration::from_secs(1),
    }
}

/// One person: an engine, and everything it ever told.
pub(super) struct Person {
    pub(super) engine: Engine,
    pub(super) events: Vec<Event>,
    pub(super) online: bool,
    onlooker: Onlooker,
    /// How far this person's wall clock is off, in milliseconds.
    pub(super) off: i64,
    n: u64,
    path: tempfile::TempDir,
    nick: String,
    seed: u8,
    exchange: &'static str,
    cipher: String,
    rules: Rules,
    rooms: Vec<RoomName>,
}

impl Person {
    /// The clocks of this person: one that may be wrong, and the true time for the other.
    fn moment(&self, now: Timestamp) -> Moment {
        Moment { wall: Timestamp(now.0.saturating_add_signed(self.off)), up: Uptime(now.0) }
    }

    /// Takes effect at the next start.
    pub(super) fn take_profile(&mut self, exchange: &'static str, rules: Rules) {
        (self.exchange, self.rules) = (exchange, rules);
    }

    /// Takes effect at the next start.
    pub(super) fn take_rooms(&mut self, rooms: Vec<RoomName>) {
        self.rooms = rooms;
    }

    /// Takes effect at the next start.
    pub(super) fn rename(&mut self, nick: &str) {
        self.nick = nick.to_owned();
    }
}

/// Gives another one-time key than the one that is the peer's, or none.
pub(super) type Meddler = Box<dyn FnMut(PeerId, Option<Vec<u8>>) -> Option<Vec<u8>>>;

/// The relay: what it stores, and who is a member where.
#[derive(Default)]
pub(super) struct MapRelay {
    /// What the next envelope is refused with.
    pub(super) refuses: Option<Refusal>,
    pub(super) boxes: BTreeMap<PeerId, Vec<(u64, Envelope)>>,
    had: BTreeSet<(PeerId, EnvelopeId)>,
    next: u64,
    /// How far its wall clock is off, in milliseconds.
    pub(super) off: i64,
    bundles: BTreeMap<PeerId, Vec<u8>>,
    /// One-time keys, oldest first.
    pub(super) one_time: BTreeMap<PeerId, VecDeque<Vec<u8>>>,
    /// Every one-time key that was given out, and whose it is.
    pub(super) given: Vec<(PeerId, Vec<u8>)>,
    /// It has never heard of one-time keys.
    pub(super) is_old: bool,
    rooms: BTreeMap<RoomName, BTreeSet<PeerId>>,
    /// Every envelope that was ever submitted.
    pub(super) record: Vec<Envelope>,
    /// And passed on.
    pub(super) passed: Vec<Envelope>,
}

pub(super) struct World {
    /// What whoever is added agrees on keys by.
    exchange: &'static str,
    pub(super) now: Timestamp,
    pub(super) people: BTreeMap<&'static str, Person>,
    pub(super) relay: MapRelay,
    on_the_way: VecDeque<(String, ToRelay)>,
    travelling: bool,
    /// The relay tells nobody who comes and who joins.
    pub(super) quiet: bool,
    /// Called for every envelope on its way to its recipient: give it back, altered, doubled, or not at all.
    pub(super) meddle: Box<dyn FnMut(Envelope) -> Vec<Envelope>>,
    /// Called for every one-time key on its way to whoever asked for it, with its owner.
    pub(super) meddle_with_key: Meddler,
}

impl MapRelay {
    pub(super) fn forget_rooms(&mut self) {
        self.rooms.clear();
    }

    pub(super) fn is_member(&self, room: &str, peer: PeerId) -> bool {
        self.rooms.get(&RoomName::new(room).unwrap()).is_some_and(|members| members.contains(&peer))
    }

    /// As after a day: what was acknowledged and comes again is delivered again.
    pub(super) fn forget_what_was_had(&mut self) {
        self.had.clear();
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            exchange: EXCHANGE,
            now: Timestamp(1_700_000_000_000),
            people: BTreeMap::new(),
            relay: MapRelay::default(),
            on_the_way: VecDeque::new(),
            travelling: false,
            quiet: false,
            meddle: Box::new(|envelope| vec![envelope]),
            meddle_with_key: Box::new(|_, key| key),
        }
    }

    /// People who are online and have met in #lobby.
    pub(super) fn of(names: &[&'static str]) -> Self {
        Self::over(EXCHANGE, names)
    }

    /// The same with another key exchange.
    pub(super) fn over(exchange: &'static str, names: &[&'static str]) -> Self {
        let mut world = Self { exchange, ..Self::new() };
        for (seed, name) in (1u8..).zip(names) {
            world.add(name, name, seed, "aes-256-gcm");
        }
        world.settle();
        world
    }

    pub(super) fn add(&mut self, key: &'static str, nick: &str, seed: u8, cipher: &str) {
        self.add_under(key, nick, seed, cipher, 0);
    }

    /// Somebody whose wall clock is so many milliseconds off.
    pub(super) fn add_under(&mut self, key: &'static str, nick: &str, seed: u8, cipher: &str, off: i64) {
        let path = tempfile::tempdir().unwrap();
        let at = Moment { wall: Timestamp(self.now.0.saturating_add_signed(off)), up: Uptime(self.now.0) };
        let exchange = self.exchange;
        let config = config(nick, seed, exchange, cipher, Rules::default());
        let mut engine = open(path.path(), config, at);
        let rules = Rules::default();
        let (nick, cipher, onlooker) = (nick.to_owned(), cipher.to_owned(), Onlooker::of(&mut engine));
        let (events, online, n) = (vec![], false, 0);
        let person = Person {
            engine,
            events,
            online,
            onlooker,
            off,
            n,
            path,
            nick,
            seed,
            exchange,
            cipher,
            rules,
            rooms: vec![lobby()],
        };
        self.people.insert(key, person);
        self.make_keys(key);
        self.connect(key);
    }

    pub(super) fn make_keys(&mut self, who: &str) {
        let exchange = Arc::clone(&self.person(who).engine.config.key_exchange);
        let mut entropy = OsEntropy;
        let now = self.now;
        let now = self.person(who).moment(now).wall;
        let cipher = Arc::clone(&self.person(who).engine.config.cipher);
        let mut cx = Context { now, entropy: &mut entropy, cipher, binding: [0; 32] };
        let keys = exchange.new_bundle(&mut cx);
        self.input(who, vec![Input::Keys(keys)]);
    }

    pub(super) fn person(&mut self, who: &str) -> &mut Person {
        self.people.get_mut(who).unwrap()
    }

    pub(super) fn id(&mut self, who: &str) -> PeerId {
        self.person(who).engine.config.identity.peer_id()
    }

    pub(super) fn connect(&mut self, who: &str) {
        let link = LinkInfo {
            relay: "map".into(),
            fingerprint: None,
            hosting: false,
            listen: vec![],
            stats: Arc::new(NoStats),
            choice: None,
        };
        self.person(who).online = true;
        self.input(who, vec![Input::LinkUp(link)]);
    }

    /// Another link takes the place of the one that `who` has, by this transport of the list.
    pub(super) fn moved(number: usize, reason: &str) -> Input {
        Input::LinkMoved(LinkInfo {
            relay: format!("way{number}://map"),
            fingerprint: None,
            hosting: false,
            listen: vec![],
            stats: Arc::new(NoStats),
            choice: Some((number, Some(reason.to_owned()))),
        })
    }

    pub(super) fn disconnect(&mut self, who: &str) {
        self.person(who).online = false;
        self.input(who, vec![Input::LinkDown { reason: "test".into() }]);
        let id = self.id(who);
        self.tell_all(&FromRelay::Presence { peer: id, online: false }, id);
    }

    /// The process is gone; what was committed is there again.
    pub(super) fn crash(&mut self, who: &str) {
        let copy = self.copy_of(who);
        self.restore(who, copy);
    }

    /// A copy of the files as they are now: a killed process closes nothing.
    pub(super) fn copy_of(&mut self, who: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.person(who).path.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        folder
    }

    /// Starts again with these files.
    pub(super) fn restore(&mut self, who: &str, folder: tempfile::TempDir) {
        let now = self.now;
        let person = self.person(who);
        let at = person.moment(now);
        let rules = person.rules.clone();
        let mut config = config(&person.nick, person.seed, person.exchange, &person.cipher, rules);
        config.rooms.clone_from(&person.rooms);
        person.engine = open(folder.path(), config, at);
        person.onlooker = Onlooker::of(&mut person.engine);
        person.path = folder;
        person.online = false;
    }

    /// A turn of an engine, of which nobody else hears.
    pub(super) fn turn(&mut self, who: &str, inputs: Vec<Input>) -> Turn {
        let now = self.now;
        let person = self.person(who);
        let at = person.moment(now);
        let turn = person.engine.turn(at, inputs);
        person.onlooker.hear(&mut person.engine, &turn.events);
        turn
    }

    pub(super) fn input(&mut self, who: &str, inputs: Vec<Input>) -> Turn {
        let mut turn = self.turn(who, inputs);
        let person = self.person(who);
        person.events.append(&mut turn.events);
        // In the order in which they left, as on a link, though the relay's answers give rise to more.
        let of = std::mem::take(&mut turn.records).into_iter().map(|record| (who.to_owned(), record));
        self.on_the_way.extend(of);
        if !std::mem::replace(&mut self.travelling, true) {
            while let Some((who, record)) = self.on_the_way.pop_front() {
                self.at_relay(&who, record);
            }
            self.travelling = false;
        }
        if let Some(count) = turn.want_one_time_keys {
            self.make_one_time_keys(who, count);
        }
        turn
    }

    fn make_one_time_keys(&mut self, who: &str, count: usize) {
        let config = &self.person(who).engine.config;
        let (exchange, cipher) = (Arc::clone(&config.key_exchange), Arc::clone(&config.cipher));
        let (now, mut entropy) = (self.now, OsEntropy);
        let made = exchange
            .one_time_keys(count, &mut Context { now, entropy: &mut entropy, cipher, binding: [0; 32] });
        self.input(who, vec![Input::OneTimeKeys(made)]);
    }

    pub(super) fn run(&mut self, who: &str, command: Command) -> Result<Reply, CommandError> {
        let (reply, _) = oneshot::channel();
        let mut turn = self.input(who, vec![Input::Command(Request { command, reply })]);
        turn.answers.pop().unwrap().1
    }

    pub(super) fn try_send(&mut self, who: &str, to: &str, text: &str) -> Result<MessageId, CommandError> {
        let to = Destination::try_from(to.to_owned()).unwrap();
        let send = chat_core::api::command::Send { to, text: text.into(), client_id: None };
        match self.run(who, Command::Send(send))? {
            Reply::Sent { id } => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn send(&mut self, who: &str, to: &str, text: &str) -> MessageId {
        self.try_send(who, to, text).unwrap()
    }

    fn tell(&mut self, peer: PeerId, record: FromRelay) {
        let who =
            self.people.iter_mut().find(|(_, p)| p.online && p.engine.config.identity.peer_id() == peer);
        if let Some((who, _)) = who {
            let who = *who;
            // Every record goes through its encoding, as it would on a link.
            let record = FromRelay::decode(&record.encode()).unwrap();
            self.input(who, vec![Input::Record(record)]);
        }
    }

    fn tell_all(&mut self, record: &FromRelay, but: PeerId) {
        if self.quiet {
            return;
        }
        let peers: Vec<PeerId> = self.people.values().map(|p| p.engine.config.identity.peer_id()).collect();
        for peer in peers.into_iter().filter(|&peer| peer != but) {
            self.tell(peer, record.clone());
        }
    }

    fn is_online(&self, peer: PeerId) -> bool {
        self.people.values().any(|p| p.online && p.engine.config.identity.peer_id() == peer)
    }

    fn at_relay(&mut self, who: &str, record: ToRelay) {
        let me = self.id(who);
        match ToRelay::decode(&record.encode()).unwrap() {
            ToRelay::Hello { .. } => {
                let left = self.relay.one_time.get(&me).map_or(0, VecDeque::len) as u32;
                let one_time_keys = (!self.relay.is_old).then_some(left);
                self.tell(me, FromRelay::Welcome { version: 1, now: self.now, one_time_keys });
                self.tell_all(&FromRelay::Presence { peer: me, online: true }, me);
            }
            ToRelay::Publish { bundle } => {
                let created = SignedBundle::verify(&bundle).unwrap().bundle.created;
                let latest = Timestamp(self.now.0.saturating_add_signed(self.relay.off)).plus_ms(DAY_MS);
                if created > latest {
                    return self.tell(me, FromRelay::Error { why: Refusal::Clock, detail: "date".into() });
                }
                let known = self.relay.bundles.get(&me);
                let known = known.map(|known| SignedBundle::verify(known).unwrap().bundle.created);
                if known.is_some_and(|known| known >= created && known <= latest) {
                    return;
                }
                self.relay.bundles.insert(me, bundle.clone());
                self.tell_all(&FromRelay::Peer { bundle, online: true }, me);
            }
            ToRelay::Join { .. } if self.quiet => {}
            ToRelay::Join { room } => {
                self.relay.rooms.entry(room.clone()).or_default().insert(me);
                let members: Vec<PeerId> = self.relay.rooms[&room].iter().copied().collect();
                for peer in members.iter().filter(|&&peer| peer != me) {
                    if let Some(bundle) = self.relay.bundles.get(peer).cloned() {
                        let online = self.is_online(*peer);
                        self.tell(me, FromRelay::Peer { bundle, online });
                    }
                }
                for &peer in &members {
                    self.tell(peer, FromRelay::Room { room: room.clone(), members: members.clone() });
                }
            }
            ToRelay::Leave { room } => {
                self.relay.rooms.entry(room).or_default().remove(&me);
            }
            ToRelay::Submit { envelopes } => {
                let mut envelopes = std::collections::VecDeque::from(envelopes);
                if let Some(why) = self.relay.refuses.take()
                    && let Some(refused) = envelopes.pop_front()
                {
                    self.tell(me, FromRelay::Refused { id: refused.id, why });
                }
                let ids = envelopes.iter().map(|envelope| envelope.id).collect();
                for envelope in envelopes {
                    assert_eq!(envelope.from, me);
                    let Recipient::Peer(to) = envelope.to else { panic!("{envelope:?}") };
                    self.relay.record.push(envelope.clone());
                    if self.relay.had.insert((to, envelope.id)) {
                        self.relay.next += 1;
                        self.relay.boxes.entry(to).or_default().push((self.relay.next, envelope));
                    }
                }
                self.tell(me, FromRelay::Stored { ids });
            }
            ToRelay::Ack { through } => self.relay.boxes.entry(me).or_default().retain(|(n, _)| *n > through),
            ToRelay::Find { peer, .. } => {
                if let Some(bundle) = peer.and_then(|peer| self.relay.bundles.get(&peer).cloned()) {
                    self.tell(me, FromRelay::Peer { bundle, online: true });
                }
            }
            ToRelay::Pass { envelope } => {
                let Recipient::Peer(to) = envelope.to else { panic!("{envelope:?}") };
                self.relay.passed.push(envelope.clone());
                self.tell(to, FromRelay::Passed { envelope });
            }
            ToRelay::Ping { n } => self.tell(me, FromRelay::Pong { n }),
            ToRelay::OneTimeKeys { keys, anew } => {
                assert!(!self.relay.is_old);
                let known = self.relay.one_time.entry(me).or_default();
                if anew {
                    known.clear();
                }
                known.extend(keys.0);
                known.drain(..known.len().saturating_sub(128));
                let left = known.len() as u32;
                self.tell(me, FromRelay::OneTimeKeysLeft { left });
            }
            ToRelay::TakeOneTimeKey { peer } => {
                assert!(!self.relay.is_old);
                let known = self.relay.one_time.entry(peer).or_default();
                let (key, left) = (known.pop_front(), known.len() as u32);
                let key = (self.meddle_with_key)(peer, key);
                self.relay.given.extend(key.iter().map(|key| (peer, key.clone())));
                self.tell(peer, FromRelay::OneTimeKeysLeft { left });
                self.tell(me, FromRelay::OneTimeKey { peer, key });
            }
        }
    }

    /// The relay takes this late, from a link that was given up: nobody hears what it answers.
    pub(super) fn late(&mut self, who: &str, record: ToRelay) {
        let online = std::mem::replace(&mut self.person(who).online, false);
        self.at_relay(who, record);
        self.person(who).online = online;
    }

    /// Delivers mail until there is none.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mail = self.people.iter().filter(|(_, p)| p.online).find_map(|(who, p)| {
                let waiting = self.relay.boxes.get(&p.engine.config.identity.peer_id())?;
                waiting.first().map(|(n, envelope)| (*who, *n, envelope.clone()))
            });
            let Some((who, n, envelope)) = mail else { return };
            let items: Vec<Delivery> =
                (self.meddle)(envelope).into_iter().map(|envelope| Delivery { n, envelope }).collect();
            if items.is_empty() {
                let id = self.id(who);
                self.relay.boxes.get_mut(&id).unwrap().remove(0);
            } else {
                let id = self.id(who);
                self.tell(id, FromRelay::Deliver { items });
            }
        }
        panic!("the mail never ends");
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        let names: Vec<&'static str> = self.people.keys().copied().collect();
        for name in names {
            if self.input(name, vec![Input::Tick]).want_keys {
                self.make_keys(name);
            }
        }
    }

    pub(super) fn snapshot(&mut self, who: &str) -> Snapshot {
        let person = self.person(who);
        person.n += 1;
        person.engine.snapshot(EventId { epoch: 1, n: person.n })
    }

    /// The texts of a conversation, as shown.
    pub(super) fn texts(&mut self, who: &str, conversation: &str) -> Vec<String> {
        let snapshot = self.snapshot(who);
        let found = snapshot.conversations.iter().find(|view| view.name == conversation);
        found.map(|view| view.messages.iter().map(|m| m.text.clone()).collect()).unwrap_or_default()
    }

    /// Author and text of everything in a conversation's history.
    pub(super) fn all_messages(&mut self, who: &str, conversation: &str) -> Vec<(String, String)> {
        let with = Destination::try_from(conversation.to_owned()).unwrap();
        let history = chat_core::api::command::History { with, before: None, limit: Some(1_000) };
        match self.run(who, Command::History(history)) {
            Ok(Reply::History { messages, has_older: false }) => {
                messages.into_iter().map(|message| (message.from.nick, message.text)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn state(&mut self, who: &str, id: MessageId) -> MessageState {
        let person = self.person(who);
        let me = person.engine.config.identity.peer_id();
        let row = person.engine.store.message(me, id).unwrap().unwrap();
        person.engine.delivery_of(&row).unwrap().state
    }

    pub(super) fn alarms(&mut self, who: &str) -> Vec<String> {
        let alarm = |event: &Event| match event {
            Event::Alarm(alarm) => Some(format!("{:?}: {}", alarm.kind, alarm.detail)),
            _ => None,
        };
        self.person(who).events.iter().filter_map(alarm).collect()
    }
}

fn open(folder: &std::path::Path, config: ClientConfig, at: Moment) -> Engine {
    let store = Store::open(&StorePlace::File(folder.join("client.db"))).unwrap();
    // A crash in here copies files within one running system: what is written counts, synced or not.
    store.db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    Engine::new(config, store, Box::new(OsEntropy), at).unwrap()
}
