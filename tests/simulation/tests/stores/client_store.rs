//! What a client has answered as committed is in its history after a power cut, once and whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::api::command::{History, Send};
use chat_core::api::{Command, CommandError, Destination, ErrorKind, Reply, StackView};
use chat_core::nick::{Nick, RoomName};
use chat_core::profile::Options;
use chat_core::{Cipher, ClientHandle, Identity, KeyExchange, Registry};
use chat_simulation::disk::{CrashMode, Disk, DiskError};
use cipher_aes_gcm as _;
use client::{Client, ClientConfig, ConnectError, Connected, Connector, StartError, StorePlace};
use key_exchange_x25519 as _;

const MESSAGES: usize = 5;

/// There is no relay: what is sent stays in the store.
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
        Err(ConnectError::Retry("nobody is there".to_owned()))
    }
}

fn options(kind: &str, table: &str) -> Options {
    Options::parse_table(&format!("[{table}]\nkind = \"{kind}\"\n"), table).unwrap()
}

fn start(disk: &Disk) -> Result<(Client, ClientHandle), StartError> {
    let registry = Registry::linked().unwrap();
    let exchange = registry.build::<dyn KeyExchange>(&options("x25519", "key_exchange")).unwrap();
    let cipher = registry.build::<dyn Cipher>(&options("aes-256-gcm", "cipher")).unwrap();
    let config = ClientConfig {
        identity: Identity::from_seed(&[1; 32]),
        nick: Nick::new("alice").unwrap(),
        rooms: vec![RoomName::new("#lobby").unwrap()],
        closed_rooms_only: false,
        stack: StackView {
            transport: "none".into(),
            transports: Vec::new(),
            key_exchange: "x25519".into(),
            cipher: "aes-256-gcm".into(),
            frontend: "test".into(),
            properties: exchange.properties(),
        },
        key_exchange: Arc::from(exchange),
        key_exchange_name: "x25519".into(),
        cipher: Arc::from(cipher),
        rules: client::Rules::default(),
        config_text: String::new(),
        store: StorePlace::Vfs { vfs: disk.vfs_name().into(), path: disk.path("client.db") },
        store_key: client::StoreKey::from_bytes(&[7; 32]),
        history: chat_core::profile::Retention::Forever,
        max_backoff: Duration::from_secs(1),
    };
    Client::start(config, Arc::new(Nowhere))
}

fn lobby() -> Destination {
    Destination::Room("#lobby".parse().unwrap())
}

fn text(n: usize) -> String {
    format!("message {n} {}", "x".repeat(n * 700))
}

fn send(handle: &ClientHandle, n: usize) -> Result<Reply, CommandError> {
    let command = Send { to: lobby(), text: text(n), client_id: Some(n.to_string()) };
    handle.run_blocking(Command::Send(command))
}

/// How a client ends.
#[derive(PartialEq)]
enum End {
    /// It closes its store, which syncs once more.
    Finish,
    /// The power goes while it runs.
    PowerCut,
}

/// Sends all messages in turn; which were answered as committed.
fn say_all(disk: &Disk, end: End) -> (Option<StartError>, Vec<usize>) {
    let (client, handle) = match start(disk) {
        Ok(started) => started,
        Err(error) => return (Some(error), vec![]),
    };
    let acknowledged = (0..MESSAGES).filter(|n| match send(&handle, *n) {
        Ok(_) => true,
        Err(error) => {
            assert!(matches!(error.kind, ErrorKind::Store), "{error:?}");
            false
        }
    });
    let acknowledged = acknowledged.collect();
    if end == End::PowerCut {
        disk.crash();
    }
    client.finish(Duration::ZERO);
    (None, acknowledged)
}

/// How often each text is in the history.
fn history(disk: &Disk) -> Result<BTreeMap<String, usize>, String> {
    let (client, handle) = start(disk).map_err(|error| error.to_string())?;
    let command = Command::History(History { with: lobby(), before: None, limit: None });
    let reply = handle.run_blocking(command).map_err(|error| error.to_string())?;
    client.finish(Duration::ZERO);
    let Reply::History { messages, has_older: false } = reply else { panic!("{reply:?}") };
    let mut found = BTreeMap::new();
    for message in messages {
        *found.entry(message.text).or_default() += 1;
    }
    Ok(found)
}

fn verify(disk: &Disk, acknowledged: &[usize]) -> Result<(), String> {
    let found = history(disk)?;
    let lost = acknowledged.iter().find(|n| !found.contains_key(&text(**n)));
    let doubled = found.values().any(|count| *count != 1);
    let foreign = found.keys().any(|found| !(0..MESSAGES).any(|n| text(n) == *found));
    match (lost, doubled || foreign) {
        (None, false) => Ok(()),
        (lost, _) => Err(format!("lost {lost:?} of {acknowledged:?}; doubled {doubled}, foreign {foreign}")),
    }
}

/// A run without faults: how many changes it makes, about.
fn changes() -> u64 {
    let disk = Disk::new(0);
    let (error, acknowledged) = say_all(&disk, End::Finish);
    assert!(error.is_none() && acknowledged.len() == MESSAGES, "{error:?}");
    let changes = disk.counters().changes;
    verify(&disk, &acknowledged).unwrap();
    changes
}

#[test]
fn what_was_answered_survives_a_power_cut_at_every_change() {
    let mut answered = 0;
    for n in 1..=changes() {
        let disk = Disk::new(n);
        disk.crash_at(n);
        let (_, acknowledged) = say_all(&disk, End::Finish);
        disk.crash();
        disk.power_on();
        disk.forget_faults();
        verify(&disk, &acknowledged).unwrap_or_else(|fault| panic!("change {n}: {fault}"));
        answered += acknowledged.len();
        let again = say_all(&disk, End::Finish);
        assert!(again.0.is_none() && again.1.len() == MESSAGES, "it goes on: {again:?}");
        verify(&disk, &again.1).unwrap_or_else(|fault| panic!("change {n}, afterwards: {fault}"));
    }
    assert!(answered > 100, "{answered}");
}

#[test]
fn what_was_answered_survives_a_failure_at_every_change_and_a_power_cut() {
    let changes = changes();
    for error in [DiskError::Io, DiskError::Full] {
        let (mut refused, mut unopened) = (0, 0);
        for n in 1..=changes {
            let disk = Disk::new(n);
            disk.set_crash_mode(if n % 2 == 0 { CrashMode::Nothing } else { CrashMode::Drawn });
            disk.fail_change_at(n, error);
            let mut said = say_all(&disk, End::PowerCut);
            refused += u64::from(said.0.is_none() && said.1.len() < MESSAGES);
            if said.0.is_some() {
                unopened += 1;
                said = say_all(&disk, End::PowerCut);
            }
            disk.power_on();
            disk.forget_faults();
            verify(&disk, &said.1).unwrap_or_else(|fault| panic!("change {n}, {error:?}: {fault}"));
        }
        assert!(refused > 5 && unopened > 5, "{refused} refused, {unopened} unopened");
    }
}

#[test]
fn a_disk_that_does_not_sync_is_noticed() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = Disk::new(seed);
        drop(say_all(&disk, End::Finish));
        disk.set_lying(true);
        let (client, handle) = start(&disk).unwrap();
        let command = Send { to: lobby(), text: "late".into(), client_id: None };
        handle.run_blocking(Command::Send(command)).unwrap();
        disk.crash();
        client.finish(Duration::ZERO);
        disk.set_lying(false);
        disk.power_on();
        lost += u64::from(history(&disk).map_or(true, |found| !found.contains_key("late")));
    }
    assert!(lost > 3, "{lost}");
}
