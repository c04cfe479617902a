//! Several ways to one relay, on the test's own clock.

use std::time::Duration;

use client::Choice;
use tokio::time::{Instant, timeout};

use super::*;

/// A way that a test opens and closes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Now {
    Open,
    /// Nothing answers, and nothing fails.
    Swallows,
    Refuses,
    /// Somebody else answers.
    Lies,
}

struct Gate {
    memory: Box<dyn Transport>,
    now: Mutex<Now>,
    dialed: AtomicUsize,
    /// This machine may listen here.
    is_local: bool,
}

impl Gate {
    fn new() -> Arc<Self> {
        Self::of(true)
    }

    fn of(is_local: bool) -> Arc<Self> {
        let memory = Memory::build(Default::default()).unwrap();
        Arc::new(Self { memory, now: Mutex::new(Now::Open), dialed: AtomicUsize::default(), is_local })
    }

    fn set(&self, now: Now) {
        *self.now.lock().unwrap() = now;
    }

    fn dialed(&self) -> usize {
        self.dialed.load(Ordering::SeqCst)
    }
}

struct Gated(Arc<Gate>);

#[async_trait]
impl Transport for Gated {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        self.0.dialed.fetch_add(1, Ordering::SeqCst);
        let now = *self.0.now.lock().unwrap();
        match now {
            Now::Open => self.0.memory.dial(to, me).await,
            Now::Swallows => std::future::pending().await,
            Now::Refuses => {
                Err(LinkError::Unreachable { address: to.place.clone(), reason: "refused".into() })
            }
            Now::Lies => Err(LinkError::NotAuthenticated("forged")),
        }
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        if !self.0.is_local {
            return Err(LinkError::BadAddress { address: on.place.clone(), reason: "elsewhere".into() });
        }
        self.0.memory.listen(on, me).await
    }
}

struct Scene {
    network: Network,
    gates: Vec<Arc<Gate>>,
    _folder: TempDir,
}

impl Scene {
    fn new(seed: u8, host: Host, places: &[&str], gates: Vec<Arc<Gate>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let way = |(number, (place, gate)): (usize, (&&str, &Arc<Gate>))| Way {
            transport: Arc::new(Gated(Arc::clone(gate))),
            name: format!("way{number}"),
            address: Address::new(*place),
        };
        let place = Place {
            ways: places.iter().zip(&gates).enumerate().map(way).collect(),
            host,
            identity: Identity::from_seed(&[seed; 32]),
            mailbox: mailbox_in(folder.path().join("relay.db"), MailboxLimits::default()),
            folder: folder.path().to_owned(),
            relay: RelayConfig::default(),
            interactive: true,
            environment: Arc::new(chat_core::System),
        };
        Self { network: Network::new(place, Handle::current()), gates, _folder: folder }
    }

    /// Who hosts at these places, and somebody who dials them.
    async fn pair(places: &[&str]) -> (Self, Self) {
        let gates = |_: &&str| Gate::new();
        let host = Self::new(1, Host::Auto, places, places.iter().map(gates).collect());
        let listen = host.network.prepare().await.unwrap();
        assert_eq!(listen.len(), places.len());
        let guest = Self::new(2, Host::Never, places, places.iter().map(gates).collect());
        (host, guest)
    }

    async fn connect(&self) -> (Connected, Choice) {
        taken(self.network.connect().await.unwrap())
    }

    async fn leave(self) {
        self.network.leave().await;
    }
}

/// A link, taken into use.
fn taken(mut connected: Connected) -> (Connected, Choice) {
    let mut choice = connected.choice.take().unwrap();
    std::mem::replace(&mut choice.taken, Box::new(|| {}))();
    (connected, choice)
}

/// What is found out next.
async fn next(choice: &mut Choice) -> News {
    timeout(Duration::from_secs(300), choice.news.recv()).await.unwrap().unwrap()
}

async fn better(choice: &mut Choice) -> (Connected, Choice) {
    let News::Better(connected) = next(choice).await else { panic!("no better way") };
    taken(*connected)
}

fn reason(choice: &Choice) -> &str {
    choice.reason.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn the_first_way_that_works_is_taken_and_the_reason_told() {
    let (host, guest) = Scene::pair(&["first-a", "first-b", "first-c"]).await;
    let (connected, choice) = guest.connect().await;
    assert_eq!((choice.number, reason(&choice), connected.relay.as_str()), (0, "", "way0://first-a"));
    assert_eq!((guest.gates[1].dialed(), guest.gates[2].dialed()), (0, 0));
    drop((connected, choice));
    guest.gates[0].set(Now::Refuses);
    guest.gates[1].set(Now::Swallows);
    let began = Instant::now();
    let (_connected, choice) = guest.connect().await;
    assert!(began.elapsed() < Duration::from_millis(1100), "{:?}", began.elapsed());
    assert_eq!(choice.number, 2);
    let told = reason(&choice);
    assert!(told.contains("way0://first-a: ") && told.contains("way1://first-b gives no answer"), "{told}");
    host.leave().await;
}

#[tokio::test(start_paused = true)]
async fn another_way_is_found_and_back_again_without_flapping() {
    let (host, guest) = Scene::pair(&["back-a", "back-b"]).await;
    let (_connected, _choice) = guest.connect().await;
    let mut rests = Vec::new();
    for _ in 0..4 {
        guest.gates[0].set(Now::Swallows);
        let began = Instant::now();
        // One that is dropped, because the link has spoken after all, changes nothing.
        drop(guest.network.another().await.unwrap());
        let (_second, mut choice) = taken(guest.network.another().await.unwrap());
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        assert_eq!((choice.number, reason(&choice)), (1, "way0://back-a gives no answer"));
        guest.gates[0].set(Now::Open);
        let (_first, of_first) = better(&mut choice).await;
        assert_eq!((of_first.number, reason(&of_first)), (0, "way0://back-a works again"));
        rests.push(began.elapsed().as_secs());
    }
    // It works all the time, but each time it was lost soon.
    assert!(rests[0] >= 5 && rests[1] >= 10 && rests[2] >= 20 && rests[3] >= 40, "{rests:?}");
    assert!(rests[3] < 40 + 15 + 2, "{rests:?}");
    host.leave().await;
}

/// Whoever uses the link no longer wants to know: then nobody looks.
#[tokio::test(start_paused = true)]
async fn the_search_for_a_better_way_ends_with_the_link() {
    let (host, guest) = Scene::pair(&["ends-a", "ends-b"]).await;
    guest.gates[0].set(Now::Refuses);
    let (_connected, choice) = guest.connect().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = guest.gates[0].dialed();
    assert!((5..20).contains(&before), "{before}");
    drop(choice);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(guest.gates[0].dialed(), before);
    host.leave().await;
}

/// P8.
#[tokio::test(start_paused = true)]
async fn an_impostor_is_fatal_at_the_start_and_told_later() {
    let (host, guest) = Scene::pair(&["lies-a", "lies-b", "lies-c"]).await;
    guest.gates[0].set(Now::Lies);
    let (code, message) = said(guest.network.connect().await);
    assert!(code == 3 && message.contains("forged"), "{message}");
    assert_eq!(guest.gates[1].dialed(), 0, "not gone around");
    // While a lesser way is in use: once, in words, and the link stays.
    guest.gates[0].set(Now::Refuses);
    let (_connected, mut choice) = guest.connect().await;
    assert_eq!(choice.number, 1);
    guest.gates[0].set(Now::Lies);
    let News::Impostor(who) = next(&mut choice).await else { panic!("it is better") };
    assert!(who.contains("way0://lies-a") && who.contains("forged"), "{who}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(choice.news.try_recv().is_err(), "it is told once");
    // Looking for another way, or for a new link, he is not gone around either; the reason names him.
    let (code, reason) = said(guest.network.connect().await);
    assert!(code == 0 && reason.contains("way0://lies-a is not the relay"), "{reason}");
    let (code, reason) = said(guest.network.another().await);
    assert!(code == 0 && reason.contains("forged"), "{reason}");
    assert_eq!(guest.gates[2].dialed(), 0);
    host.leave().await;
}

#[tokio::test(start_paused = true)]
async fn when_no_way_works_each_is_named() {
    let (host, guest) = Scene::pair(&["none-a", "none-b"]).await;
    guest.gates.iter().for_each(|gate| gate.set(Now::Refuses));
    let (code, reason) = said(guest.network.connect().await);
    assert!(code == 0 && reason.contains("way0://none-a") && reason.contains("way1://none-b"), "{reason}");
    host.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_way_that_was_lost_again_and_again_is_not_dialed_first_for_a_while() {
    let (host, guest) = Scene::pair(&["often-a", "often-b"]).await;
    for number in [0, 0, 1] {
        let (_connected, choice) = guest.connect().await;
        assert_eq!(choice.number, number);
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(guest.connect().await.1.number, 0);
    host.leave().await;
}

/// All or none; and where the relay is elsewhere by one of the ways, nobody is it here.
#[tokio::test]
async fn a_host_listens_on_every_way_or_on_none() {
    let places = ["all-a", "all-b"];
    let blocker = Gate::new();
    let taken = blocker.memory.listen(&Address::new("all-b"), &Identity::from_seed(&[9; 32])).await.unwrap();
    let alice = Scene::new(1, Host::Auto, &places, vec![Gate::new(), Gate::new()]);
    assert!(alice.network.prepare().await.unwrap().is_empty());
    // What it had taken already is free again.
    drop(taken);
    assert_eq!(alice.network.prepare().await.unwrap(), ["way0://all-a", "way1://all-b"]);
    let connected = alice.network.connect().await.unwrap();
    assert!(connected.hosting && connected.choice.is_none() && connected.listen.len() == 2);
    let bob = Scene::new(2, Host::Auto, &places, vec![Gate::new(), Gate::new()]);
    bob.gates[0].set(Now::Refuses);
    let (connected, choice) = bob.connect().await;
    assert!(!connected.hosting && connected.superseded.is_some());
    assert_eq!(choice.number, 1);
    alice.leave().await;
    let elsewhere = Scene::new(3, Host::Auto, &["some-a", "some-b"], vec![Gate::new(), Gate::of(false)]);
    assert!(elsewhere.network.prepare().await.unwrap().is_empty());
    assert!(elsewhere.network.connect().await.is_err());
    elsewhere.leave().await;
}
