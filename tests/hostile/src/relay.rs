//! A relay that speaks the real protocol over a real hop, and lies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::transport::Peer;
use chat_core::wire::ToRelay;
use chat_core::{Address, Identity, Incoming, Link, Listener, PeerId, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::desk::{Desk, Said};
use crate::lie::{Honest, Lie};

/// Frames that may wait for one client; one that takes none loses its link.
const QUEUED: usize = 1 << 14;

/// A relay on any transport. It is honest until it is told to lie. Dropping it ends it.
pub struct LyingRelay {
    shared: Arc<Shared>,
    address: Address,
    accepting: JoinHandle<()>,
}

struct Shared {
    identity: Identity,
    state: Mutex<State>,
    /// Nobody is listened to, not even as far as the transport goes.
    deaf: watch::Sender<bool>,
}

struct State {
    desk: Desk,
    lie: Box<dyn Lie>,
    /// Records that were not what the truth demanded.
    lies: u64,
    links: BTreeMap<PeerId, (u64, mpsc::Sender<Vec<u8>>)>,
    /// Links there ever were.
    linked: u64,
}

impl LyingRelay {
    /// Listens at a place, or at any with port 0.
    pub async fn start(transport: &dyn Transport, place: &str, clock: Arc<Clock>) -> Self {
        let identity = Identity::from_seed(&[0xEE; 32]);
        let listener = transport.listen(&Address::new(place), &identity).await.expect("it listens");
        let address = listener.address();
        let state = State {
            desk: Desk::new(clock),
            lie: Box::new(Honest),
            lies: 0,
            links: BTreeMap::new(),
            linked: 0,
        };
        let deaf = watch::Sender::new(false);
        let shared = Arc::new(Shared { identity, state: Mutex::new(state), deaf });
        let accepting = tokio::spawn(accept(Arc::clone(&shared), listener));
        Self { shared, address, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// From now on it lies like this.
    pub fn lie(&self, lie: impl Lie + 'static) {
        self.shared.state().lie = Box::new(lie);
    }

    /// From now on it is honest. How many lies it has told until now: a test in which there was none has tested
    /// nothing.
    #[track_caller]
    pub fn be_honest(&self) -> u64 {
        let lies = {
            let mut state = self.shared.state();
            state.lie = Box::new(Honest);
            state.lies
        };
        assert!(lies > 0, "no lie was told");
        lies
    }

    /// How many lies it has told.
    pub fn lies(&self) -> u64 {
        self.shared.state().lies
    }

    /// How many links there ever were.
    pub fn linked(&self) -> u64 {
        self.shared.state().linked
    }

    /// Looks at what it knows, or says something of its own making.
    pub fn with<T>(&self, look: impl FnOnce(&mut Desk) -> T) -> T {
        let mut state = self.shared.state();
        let result = look(&mut state.desk);
        state.flush();
        result
    }

    /// Stops reading from everybody, or goes on.
    pub fn be_deaf(&self, deaf: bool) {
        self.shared.deaf.send_replace(deaf);
        if deaf {
            self.shared.state().lies += 1;
        }
    }
}

impl Drop for LyingRelay {
    fn drop(&mut self) {
        self.accepting.abort();
        // Whoever still has a link loses it.
        self.shared.state().links.clear();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hear(&mut self, from: PeerId, record: ToRelay) {
        let heard = self.lie.hears(&mut self.desk, from, record.clone());
        self.lies += u64::from(heard.as_ref() != Some(&record));
        if let Some(record) = heard {
            self.desk.hear(from, record);
        }
        self.flush();
    }

    /// Says what is to be said, the truth as the lie turns it.
    fn flush(&mut self) {
        while let Some(said) = self.desk.out.pop_front() {
            match said {
                Said::Truth(to, record) => {
                    let turned = self.lie.says(&mut self.desk, to, record.clone());
                    self.lies += u64::from(turned != [record]);
                    turned.iter().for_each(|record| self.write(to, record.encode()));
                }
                Said::Lie(to, bytes) => {
                    self.lies += 1;
                    self.write(to, bytes);
                }
                Said::HangUp(peer) => drop(self.links.remove(&peer)),
            }
        }
    }

    fn write(&mut self, to: PeerId, bytes: Vec<u8>) {
        if self.links.get(&to).is_some_and(|(_, link)| link.try_send(bytes).is_err()) {
            self.links.remove(&to);
        }
    }

    /// The link of this number has ended.
    fn ended(&mut self, peer: PeerId, number: u64) {
        if self.links.get(&peer).is_none_or(|(now, _)| *now == number) {
            self.links.remove(&peer);
            self.desk.gone(peer);
            self.flush();
        }
    }
}

async fn accept(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    while let Ok(incoming) = listener.next().await {
        drop(tokio::spawn(serve(Arc::clone(&shared), incoming)));
    }
}

async fn serve(shared: Arc<Shared>, incoming: Box<dyn Incoming>) {
    // Who can't be greeted is none of the test's business.
    let Ok(link) = transport_noise::accept(incoming, &shared.identity).await else { return };
    let Link { peer: Peer::Key(key), mut sink, mut source, .. } = link else { return };
    let peer = key.peer_id();
    let (records, mut queue) = mpsc::channel::<Vec<u8>>(QUEUED);
    let number = {
        let mut state = shared.state();
        state.linked += 1;
        let number = state.linked;
        state.links.insert(peer, (number, records));
        number
    };
    let write = async {
        while let Some(frame) = queue.recv().await {
            if sink.send(frame.into()).await.is_err() {
                break;
            }
        }
        // It may be too late for a farewell.
        sink.close().await.unwrap_or_default();
    };
    let mut deaf = shared.deaf.subscribe();
    let read = async {
        loop {
            if deaf.wait_for(|deaf| !deaf).await.is_err() {
                return;
            }
            let frame = tokio::select! {
                biased;
                _ = deaf.wait_for(|deaf| *deaf) => continue,
                frame = source.next() => frame,
            };
            let Some(Ok(frame)) = frame else { return };
            let Ok(record) = ToRelay::decode(&frame) else { return };
            shared.state().hear(peer, record);
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    shared.state().ended(peer, number);
}
