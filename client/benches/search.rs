//! Search over 100 000 sealed messages, through the engine as a frontend asks it: the first search of a run, which may
//! have to open what was not read yet, and every later one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that can't be set up has nothing to say")]
#![allow(clippy::print_stderr, missing_docs, reason = "the figure of the first search is said once")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chat_core::api::command::{Command, Destination, Reply, Search, Send};
use chat_core::api::{ClientHandle, StackView};
use chat_core::environment::System;
use chat_core::identity::Identity;
use chat_core::nick::{Nick, RoomName};
use chat_core::plugin::Registry;
use chat_core::profile::{Options, Retention};
use cipher_aes_gcm as _;
use client::{ClientConfig, ConnectError, Connected, Connector, Node, StoreKey, StorePlace};
use criterion::{Criterion, criterion_group, criterion_main};
use key_exchange_x25519 as _;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const MESSAGES: usize = 100_000;
const AT_ONCE: usize = 1_000;
const WORDS: [&str; 12] = [
    "harbour",
    "lantern",
    "naïve",
    "Straße",
    "quietly",
    "seventeen",
    "orchard",
    "velvet",
    "compass",
    "thunder",
    "marble",
    "window",
];

/// There is no relay: what is said stays here.
struct Nowhere;

#[async_trait]
impl Connector for Nowhere {
    fn relay(&self) -> String {
        "nowhere".to_owned()
    }

    async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        std::future::pending().await
    }
}

fn start(runtime: &Runtime, folder: &std::path::Path) -> (ClientHandle, oneshot::Sender<Duration>) {
    let options =
        |table: &str, kind: &str| Options::parse_table(&format!("[{table}]\nkind = \"{kind}\"\n"), table);
    let registry = Registry::linked().unwrap();
    let key_exchange: Arc<dyn chat_core::KeyExchange> = Arc::from(
        registry.build::<dyn chat_core::KeyExchange>(&options("key_exchange", "x25519").unwrap()).unwrap(),
    );
    let config = ClientConfig {
        identity: Identity::from_seed(&[1; 32]),
        nick: Nick::new("alice").unwrap(),
        rooms: vec![RoomName::new("#lobby").unwrap()],
        stack: StackView {
            transport: "none".into(),
            key_exchange: "x25519".into(),
            cipher: "aes-256-gcm".into(),
            frontend: "bench".into(),
            properties: key_exchange.properties(),
        },
        key_exchange,
        key_exchange_name: "x25519".into(),
        cipher: Arc::from(
            registry.build::<dyn chat_core::Cipher>(&options("cipher", "aes-256-gcm").unwrap()).unwrap(),
        ),
        config_text: String::new(),
        store: StorePlace::File(folder.join("client.db")),
        store_key: StoreKey::from_bytes(&[7; 32]),
        history: Retention::Forever,
        max_backoff: Duration::from_secs(1),
    };
    let (node, handle) = Node::new(config, Arc::new(Nowhere), Arc::new(System)).unwrap();
    let (finish, finished) = oneshot::channel();
    runtime.spawn(node.run(finished));
    (handle, finish)
}

async fn fill(handle: &ClientHandle) {
    for batch in 0..MESSAGES / AT_ONCE {
        let sends = (0..AT_ONCE).map(|n| {
            let at = batch * AT_ONCE + n;
            let words: Vec<&str> = (0..8).map(|k| WORDS[(at * 7 + k * k * 5 + at / 12) % 12]).collect();
            let to = Destination::Room(RoomName::new("#lobby").unwrap());
            let text = format!("{} number{at}", words.join(" "));
            handle.run(Command::Send(Send { to, text, client_id: None }))
        });
        for sent in futures_util::future::join_all(sends).await {
            sent.unwrap();
        }
    }
}

async fn search(handle: &ClientHandle, query: &str) -> usize {
    let search = Search { query: query.to_owned(), with: None, limit: None };
    match handle.run(Command::Search(search)).await.unwrap() {
        Reply::Found { messages, .. } => messages.len(),
        other => panic!("{other:?}"),
    }
}

fn searches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (handle, finish) = start(&runtime, folder.path());
    runtime.block_on(fill(&handle));
    drop((handle, finish));

    let began = Instant::now();
    let (handle, _finish) = start(&runtime, folder.path());
    let opened = began.elapsed();
    let found = runtime.block_on(search(&handle, "number99999"));
    assert_eq!(found, 1);
    eprintln!(
        "a store of {MESSAGES} messages: opened in {opened:?}, the first search at once after {:?}",
        began.elapsed()
    );

    let mut group = criterion.benchmark_group("search in 100000 sealed messages");
    for (name, query, at_least) in
        [("one of all", "number12345", 1), ("many", "strasse naive", 50), ("none", "absent", 0)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(runtime.block_on(search(&handle, query)) >= at_least));
        });
    }
    group.finish();
}

criterion_group!(benches, searches);
criterion_main!(benches);
