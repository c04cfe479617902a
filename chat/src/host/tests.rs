use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_core::wire::{ToRelay, WIRE_VERSION};
use chat_core::{Dialed, Incoming, Listener, Plugin};
use futures_util::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::sync::Notify;
use transport_memory::Memory;

use super::*;

mod ways;

/// Links in memory, and whatever trouble a test wants.
struct Fake {
    memory: Box<dyn Transport>,
    /// What becomes of the next attempts to listen.
    troubles: Mutex<VecDeque<LinkError>>,
    listened: AtomicUsize,
    /// Ends a listener.
    broken: Arc<Notify>,
}

struct FakeListener {
    memory: Box<dyn Listener>,
    broken: Arc<Notify>,
}

#[async_trait]
impl Listener for FakeListener {
    fn address(&self) -> Address {
        self.memory.address()
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        tokio::select! {
            incoming = self.memory.next() => incoming,
            () = self.broken.notified() => Err(LinkError::Closed),
        }
    }
}

#[async_trait]
impl Transport for Fake {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        self.memory.dial(to, me).await
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        if let Some(trouble) = self.troubles.lock().unwrap().pop_front() {
            return Err(trouble);
        }
        let memory = self.memory.listen(on, me).await?;
        self.listened.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeListener { memory, broken: Arc::clone(&self.broken) }))
    }
}

/// A program at `address`, its transport, and its data directory.
struct Program {
    network: Network,
    fake: Arc<Fake>,
    folder: TempDir,
}

impl Program {
    fn new(seed: u8, address: &str, interactive: bool) -> Self {
        let fake = Arc::new(Fake {
            memory: Memory::build(Default::default()).unwrap(),
            troubles: Mutex::default(),
            listened: AtomicUsize::new(0),
            broken: Arc::default(),
        });
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            ways: vec![Way {
                transport: Arc::clone(&fake) as Arc<dyn Transport>,
                name: "memory".into(),
                address: Address::new(address),
            }],
            host: Host::Auto,
            identity: Identity::from_seed(&[seed; 32]),
            mailbox: mailbox_in(folder.path().join("relay.db"), MailboxLimits::default()),
            folder: folder.path().to_owned(),
            relay: RelayConfig::default(),
            interactive,
            environment: Arc::new(chat_core::System),
        };
        Self { network: Network::new(place, Handle::current()), fake, folder }
    }

    fn troubles(&self, troubles: impl IntoIterator<Item = LinkError>) {
        self.fake.troubles.lock().unwrap().extend(troubles);
    }

    fn judge(&self, error: LinkError) -> ConnectError {
        let shared = &self.network.shared;
        shared.judge(&shared.place.ways[0], error, true)
    }

    async fn leave(self) {
        let network = self.network.clone();
        tokio::task::spawn_blocking(move || network.shut_down()).await.unwrap();
    }
}

fn no_files() -> LinkError {
    LinkError::Io(std::io::Error::other("too many open files"))
}

fn no_name() -> LinkError {
    LinkError::Resolve { host: "localhost".into(), reason: "the resolver is away".into() }
}

/// The exit code and what is said; 0 if it is tried again.
fn said<T>(outcome: Result<T, ConnectError>) -> (u8, String) {
    match outcome {
        Err(ConnectError::Retry(reason)) => (0, reason),
        Err(ConnectError::Fatal { exit_code, message }) => (exit_code, message),
        Ok(_) => panic!("it worked"),
    }
}

#[tokio::test]
async fn a_host_whose_listener_ends_hosts_anew() {
    let alice = Program::new(1, "ended:0", true);
    let Connected { mut link, listen: before, hosting, .. } = alice.network.connect().await.unwrap();
    assert!(hosting);
    link.sink.send(ToRelay::Hello { version: WIRE_VERSION }.encode().into()).await.unwrap();
    link.source.next().await.unwrap().unwrap();
    alice.fake.broken.notify_one();
    // The relay says farewell and closes.
    while let Some(Ok(_)) = link.source.next().await {}
    drop(link);
    let again = alice.network.connect().await.unwrap();
    assert!(again.hosting && again.listen != before, "{:?}", again.listen);
    assert_eq!(alice.fake.listened.load(Ordering::SeqCst), 2);
    alice.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_trouble_that_passes_does_not_keep_a_client_from_taking_the_hosts_place() {
    let alice = Program::new(1, "passing:0", true);
    let address = alice.network.connect().await.unwrap().listen.remove(0);
    let place = address.strip_prefix("memory://").unwrap();
    let bob = Program::new(2, place, true);
    let joined = bob.network.connect().await.unwrap();
    assert!(!joined.hosting);
    bob.troubles([no_files(), no_name(), no_files()]);
    alice.leave().await;
    joined.superseded.unwrap().await.unwrap();
    assert!(bob.fake.troubles.lock().unwrap().is_empty());
    assert!(bob.network.connect().await.unwrap().hosting);
    bob.leave().await;
}

/// Who can't listen may still dial whoever can, and goes on asking.
#[tokio::test]
async fn who_can_not_listen_dials() {
    let alice = Program::new(1, "dialing:0", true);
    let address = alice.network.connect().await.unwrap().listen.remove(0);
    let bob = Program::new(2, address.strip_prefix("memory://").unwrap(), false);
    bob.troubles([no_files(), no_files()]);
    assert!(bob.network.prepare().await.unwrap().is_empty());
    let joined = bob.network.connect().await.unwrap();
    assert!(!joined.hosting && joined.superseded.is_some());
    alice.leave().await;
    bob.troubles([no_files()]);
    let carol = Program::new(3, "dialing:nobody", false);
    carol.troubles([no_files()]);
    let (code, reason) = said(carol.network.connect().await);
    assert!(code == 0 && reason.contains("too many open files"), "{reason}");
}

#[tokio::test]
async fn a_mailbox_that_can_not_be_opened_is_told() {
    for (interactive, expected) in [(true, 0), (false, 1)] {
        let alice = Program::new(1, "mailbox:0", interactive);
        let database = alice.folder.path().join("relay.db");
        std::fs::write(&database, b"no database at all, just text".repeat(200)).unwrap();
        let (code, reason) = said(alice.network.prepare().await);
        assert_eq!(code, expected, "{reason}");
        assert!(reason.contains("mailbox") && reason.contains("relay.db"), "{reason}");
        assert_eq!(reason.contains("--data-dir"), !interactive, "{reason}");
        // What is tried again is logged as well, so it has no path.
        let (code, reason) = said(alice.network.connect().await);
        let folder = alice.folder.path().to_str().unwrap();
        assert!(code == 0 && !reason.contains(folder), "{reason}");
        std::fs::remove_file(&database).unwrap();
        assert!(alice.network.connect().await.unwrap().hosting, "it passed");
        alice.leave().await;
    }
}

#[tokio::test]
async fn two_attempts_to_host_at_a_time_are_one_relay() {
    // Without number: a second attempt at once would find the address taken by the first.
    let alice = Program::new(1, "at-a-time", true);
    let shared = &alice.network.shared;
    let both = tokio::join!(shared.try_host(), shared.try_host());
    let (Ok(Hosting::Yes(first)), Ok(Hosting::Yes(second))) = both else { panic!("both host") };
    assert!(Arc::ptr_eq(&first, &second));
    alice.leave().await;
}

#[tokio::test]
async fn a_foreign_neighbour_is_told_of_also_later() {
    let foreign = || LinkError::ForeignProtocol { looks_like: "looks like HTTP" };
    for interactive in [true, false] {
        let first = Program::new(1, "foreign", interactive);
        let (code, message) = said::<()>(Err(first.judge(foreign())));
        assert!(code == 4 && message.contains("looks like HTTP"), "{message}");

        let later = Program::new(1, "foreign", interactive);
        assert_eq!(said::<()>(Err(later.judge(no_files()))).0, 0);
        let (code, message) = said::<()>(Err(later.judge(foreign())));
        assert!(code == 0 && message.contains("is in use by something that is no chat relay"), "{message}");
        let (code, message) = said::<()>(Err(later.judge(foreign())));
        assert_eq!(code, if interactive { 0 } else { 4 }, "{message}");
    }
}

#[tokio::test]
async fn a_silent_neighbour_is_given_up_by_scripts_only() {
    for (interactive, expected) in [(true, 0), (false, 4)] {
        let alice = Program::new(1, "silent", interactive);
        let silent = || LinkError::Timeout("handshake");
        assert_eq!(said::<()>(Err(alice.judge(silent()))).0, 0);
        // Something between two silences begins the count anew.
        assert_eq!(said::<()>(Err(alice.judge(no_files()))).0, 0);
        assert_eq!(said::<()>(Err(alice.judge(silent()))).0, 0);
        let (code, message) = said::<()>(Err(alice.judge(silent())));
        assert_eq!(code, expected, "{message}");
        assert!(
            message.contains("does not answer") && message.contains("--set topology.relay="),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_impostor_is_fatal_at_any_time_before_the_first_link() {
    let alice = Program::new(1, "impostor", true);
    assert_eq!(said::<()>(Err(alice.judge(no_files()))).0, 0);
    let (code, message) = said::<()>(Err(alice.judge(LinkError::NotAuthenticated("forged"))));
    assert!(code == 3 && message.contains("forged"), "{message}");
}
