//! The thread around the engine, with links of the test's own.

use async_trait::async_trait;
use chat_core::api::command::Send;
use chat_core::api::handle::Lagged;
use chat_core::api::{Command, Destination, StackView};
use chat_core::entropy::OsEntropy;
use chat_core::key_exchange::Context;
use chat_core::nick::Nick;
use chat_core::profile::Options;
use chat_core::testing::Hanging;
use chat_core::transport::{NoStats, Peer};
use chat_core::wire::bundle::{Bundle, SignedBundle, StackProfile};
use chat_core::wire::{FromRelay, WIRE_VERSION};
use chat_core::{Cipher, KeyExchange};
use chat_core::{Identity, PeerId, Registry, Timestamp};
use futures_util::{StreamExt, sink, stream};

use super::*;
use crate::config::StorePlace;
use crate::connect::Connected;

struct Unreachable;

#[async_trait]
impl Connector for Unreachable {
    fn relay(&self) -> String {
        "memory://nowhere".to_owned()
    }
    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }
    async fn connect(&self) -> Result<Connected, ConnectError> {
        Err(ConnectError::Retry("nobody is there".to_owned()))
    }
}

fn config() -> ClientConfig {
    let registry = Registry::linked().unwrap();
    let options =
        |kind: &str, table| Options::parse_table(&format!("[{table}]\nkind = \"{kind}\"\n"), table).unwrap();
    let exchange = registry.build::<dyn KeyExchange>(&options("x25519", "key_exchange")).unwrap();
    let cipher = registry.build::<dyn Cipher>(&options("aes-256-gcm", "cipher")).unwrap();
    ClientConfig {
        identity: Identity::from_seed(&[1; 32]),
        nick: Nick::new("alice").unwrap(),
        rooms: Vec::new(),
        closed_rooms_only: false,
        stack: StackView {
            transport: "memory".into(),
            transports: Vec::new(),
            key_exchange: "x25519".into(),
            cipher: "aes-256-gcm".into(),
            frontend: "test".into(),
            properties: exchange.properties(),
        },
        key_exchange: Arc::from(exchange),
        key_exchange_name: "x25519".into(),
        cipher: Arc::from(cipher),
        rules: crate::config::Rules::default(),
        config_text: String::new(),
        store: StorePlace::Memory,
        store_key: crate::vault::StoreKey::from_bytes(&[7; 32]),
        history: chat_core::profile::Retention::Forever,
        max_backoff: Duration::from_secs(1),
    }
}

/// Before the first link, too, it is said which relay can't be reached.
#[test]
fn a_relay_that_was_never_reached_has_a_name() {
    let (client, handle) = Client::start(config(), Arc::new(Unreachable)).unwrap();
    let mut events = handle.events_since(EventId { n: 0, ..handle.snapshot().event }).unwrap();
    let down = loop {
        match events.next_blocking(PREPARE_DEADLINE).unwrap().unwrap().event.clone() {
            Event::LinkDown(down) => break down,
            _ => continue,
        }
    };
    assert_eq!((down.relay.as_str(), down.reason.as_str()), ("memory://nowhere", "nobody is there"));
    assert_eq!(handle.snapshot().link.relay, "memory://nowhere");
    assert_eq!(client.finish(Duration::ZERO), Unsent { no_relay: 0, own_relay: 0 });
}

/// A link on which the test is the relay.
struct Linked(std::sync::Mutex<Option<chat_core::Link>>);

#[async_trait]
impl Connector for Linked {
    fn relay(&self) -> String {
        "memory://here".to_owned()
    }
    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let link = self.0.lock().unwrap().take();
        let link = link.ok_or_else(|| ConnectError::Retry("once only".to_owned()))?;
        let relay = self.relay();
        Ok(Connected { relay, ..connected(link) })
    }
}

/// A link without a choice.
pub(super) fn connected(link: chat_core::Link) -> Connected {
    let relay = "memory://here".to_owned();
    Connected { link, relay, hosting: false, listen: vec![], superseded: None, choice: None }
}

/// A link from a relay that says these records and takes whatever comes.
pub(super) fn link(records: Vec<FromRelay>) -> chat_core::Link {
    let said = stream::iter(records.into_iter().map(|record| Ok(record.encode().into())));
    chat_core::Link {
        peer: Peer::Name("relay".to_owned()),
        sink: Box::pin(sink::unfold((), |(), _| async { Ok(()) })),
        source: Box::pin(said.chain(stream::pending())),
        datagrams: None,
        streams: None,
        stats: Arc::new(NoStats),
    }
}

/// bob's bundle, as a relay has it.
fn bundle_of_bob(config: &ClientConfig) -> (PeerId, Vec<u8>) {
    let bob = Identity::from_seed(&[2; 32]);
    let mut entropy = OsEntropy;
    let cipher = Arc::clone(&config.cipher);
    let mut cx = Context { now: Timestamp::now(), entropy: &mut entropy, cipher, binding: [0; 32] };
    let bundle = Bundle {
        identity: bob.public().as_bytes().to_vec(),
        profile: StackProfile {
            wire_version: WIRE_VERSION,
            key_exchange: config.key_exchange_name.clone(),
            key_exchange_options: String::new(),
            cipher: config.cipher.name().to_owned(),
        },
        nick: Nick::new("bob").unwrap(),
        payload: config.key_exchange.new_bundle(&mut cx).unwrap().payload,
        created: Timestamp::now(),
        expires: Timestamp::now().plus_ms(1_000_000),
    };
    (bob.peer_id(), SignedBundle::sign(&bundle, &bob).encode())
}

/// P10: a plugin that never returns hangs the engine's thread for ever; the program ends all the same, and says why.
#[test]
fn a_plugin_that_never_returns_ends_the_program() {
    let mut config = config();
    let (bob, bundle) = bundle_of_bob(&config);
    config.key_exchange = Arc::new(Hanging(Arc::clone(&config.key_exchange)));
    let welcome = FromRelay::Welcome { version: WIRE_VERSION, now: Timestamp::now(), one_time_keys: None };
    let link = link(vec![welcome, FromRelay::Peer { bundle, online: true }]);
    let connector = Arc::new(Linked(std::sync::Mutex::new(Some(link))));
    let look_every = Duration::from_millis(5);
    let (client, handle) = Client::start_watched(config, connector, look_every, 3).unwrap();
    let mut events = handle.events_since(EventId { n: 0, ..handle.snapshot().event }).unwrap();
    while handle.snapshot().peer(bob).is_none() {
        events.next_blocking(PREPARE_DEADLINE).unwrap().unwrap();
    }
    let to = Destination::Peer(bob);
    // Once there are keys of one's own, it hangs, before or after the answer to this.
    let send = Command::Send(Send { to, text: "hello".into(), client_id: None });
    let answer = handle.submit(send).unwrap();
    while events.next_blocking(PREPARE_DEADLINE).is_some_and(|event| event != Err(Lagged::Stopped)) {}
    let stop = handle.stopping().unwrap();
    let message = stop.message.unwrap();
    assert_eq!(stop.exit_code, 1);
    assert!(message.contains("`x25519`") && message.contains("`initiate`"), "{message}");
    assert_eq!(client.finish(Duration::ZERO), Unsent { no_relay: u64::MAX, own_relay: 0 });
    drop(answer);
}
