//! Search over 100 000 sealed messages, through the engine as a frontend asks it: the first search of a run, which may
//! have to open what was not read yet, and every later one. Beside it, in the same run, SQLite's FTS5 over the same texts in
//! the clear, and the opening of a store with nothing in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that can't be set up has nothing to say")]
#![allow(clippy::print_stderr, missing_docs, reason = "figures that are measured a few times are said once")]

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
use client::{ClientConfig, ConnectError, Connected, Connector, Node, Rules, StoreKey, StorePlace, Unsent};
use criterion::{Criterion, criterion_group, criterion_main};
use key_exchange_x25519 as _;
use rusqlite::Connection;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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

type Started = (ClientHandle, oneshot::Sender<Duration>, JoinHandle<Unsent>);

fn start(runtime: &Runtime, folder: &std::path::Path) -> Started {
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
            transports: Vec::new(),
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
        rules: Rules::default(),
        closed_rooms_only: false,
        max_backoff: Duration::from_secs(1),
    };
    let (node, handle) = Node::new(config, Arc::new(Nowhere), Arc::new(System)).unwrap();
    let (finish, finished) = oneshot::channel();
    let over = runtime.spawn(node.run(finished));
    (handle, finish, over)
}

async fn fill(handle: &ClientHandle) {
    for batch in 0..MESSAGES / AT_ONCE {
        let sends = (0..AT_ONCE).map(|n| {
            let at = batch * AT_ONCE + n;
            let to = Destination::Room(RoomName::new("#lobby").unwrap().into());
            handle.run(Command::Send(Send { to, text: text(at), client_id: None }))
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

/// What was said as the n-th.
fn text(n: usize) -> String {
    let words: Vec<&str> = (0..8).map(|k| WORDS[(n * 7 + k * k * 5 + n / 12) % 12]).collect();
    format!("{} number{n}", words.join(" "))
}

/// The same texts in the clear, in the index that SQLite brings.
fn full_text_index(folder: &std::path::Path) -> Connection {
    let db = Connection::open(folder.join("plain.db")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE VIRTUAL TABLE said USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2'); BEGIN;",
    )
    .unwrap();
    let mut insert = db.prepare("INSERT INTO said (text) VALUES (?)").unwrap();
    (0..MESSAGES).for_each(|n| assert_eq!(insert.execute([text(n)]).unwrap(), 1));
    drop(insert);
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    db
}

fn search_plain(db: &Connection, query: &str) -> usize {
    let sql = "SELECT rowid, text FROM said WHERE said MATCH ? ORDER BY rowid DESC LIMIT 51";
    let mut find = db.prepare_cached(sql).unwrap();
    let found = find.query_map([query], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.map(Result::unwrap).inspect(|found: &(i64, String)| assert!(!found.1.is_empty())).count()
}

/// What all threads of this process have spent on a processor (Linux), which a busy machine leaves as it is.
fn on_processor() -> Duration {
    let spent = |task: std::fs::DirEntry| {
        let figures = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        figures.split(' ').next()?.parse::<u64>().ok()
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    Duration::from_nanos(tasks.flatten().filter_map(spent).sum())
}

/// The middle one of nine, by the clock and on the processor.
fn median(mut measure: impl FnMut() -> [Duration; 2]) -> String {
    let all: Vec<[Duration; 2]> = (0..9).map(|_| measure()).collect();
    let [wall, cpu] = [0, 1].map(|which| {
        let mut all: Vec<Duration> = all.iter().map(|one| one[which]).collect();
        all.sort();
        all[4].as_secs_f64() * 1000.0
    });
    format!("{wall:.1} ms, of which {cpu:.1} ms on a processor")
}

/// How long something takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, [Duration; 2]) {
    let (began, spent) = (Instant::now(), on_processor());
    let done = work();
    (done, [began.elapsed(), on_processor().saturating_sub(spent)])
}

/// Ends a node, and waits until its store is closed.
fn end(runtime: &Runtime, (handle, finish, over): Started) {
    drop((handle, finish));
    runtime.block_on(over).unwrap();
}

fn opened(runtime: &Runtime, folder: &std::path::Path) -> [Duration; 2] {
    let (started, took) = timed(|| start(runtime, folder));
    end(runtime, started);
    took
}

fn searched_at_once(runtime: &Runtime, folder: &std::path::Path) -> [Duration; 2] {
    let started = start(runtime, folder);
    let (found, took) = timed(|| runtime.block_on(search(&started.0, "number99999")));
    assert_eq!(found, 1);
    end(runtime, started);
    took
}

fn searches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let started = start(&runtime, folder.path());
    runtime.block_on(fill(&started.0));
    end(&runtime, started);
    let plain = full_text_index(folder.path());

    let size = |name: &str| folder.path().join(name).metadata().unwrap().len() >> 20;
    eprintln!("{MESSAGES} messages: {} MiB sealed, {} MiB with FTS5", size("client.db"), size("plain.db"));
    opened(&runtime, empty.path());
    let (of_nothing, of_all) =
        (median(|| opened(&runtime, empty.path())), median(|| opened(&runtime, folder.path())));
    eprintln!("opened: {of_all}; with nothing in it: {of_nothing}");
    let first = median(|| searched_at_once(&runtime, folder.path()));
    eprintln!("the first search, at once after the start: {first}");

    let started = start(&runtime, folder.path());
    let mut group = criterion.benchmark_group("search in 100000 messages");
    for (name, query, plain_query, at_least) in [
        ("one of all", "number12345", "number12345*", 1),
        ("many", "strasse naive", "straße* naive*", 50),
        ("none", "absent", "absent*", 0),
    ] {
        group.bench_function(format!("{name}, sealed"), |bencher| {
            bencher.iter(|| assert!(runtime.block_on(search(&started.0, query)) >= at_least));
        });
        group.bench_function(format!("{name}, FTS5 in the clear"), |bencher| {
            bencher.iter(|| assert!(search_plain(&plain, plain_query) >= at_least));
        });
    }
    group.finish();
}

criterion_group!(benches, searches);
criterion_main!(benches);
