//! A relay on links in memory, and clients that speak its records.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::nick::{Nick, RoomName};
use chat_core::transport::{
    Address, BareLink, Dialed, FrameSink, FrameSource, Incoming, Link, Listener, NoStats, Peer, Role,
};
use chat_core::wire::relay::{Delivery, Refusal};
use chat_core::wire::{
    Bundle, Envelope, FromRelay, Recipient, SignedBundle, StackProfile, ToRelay, WIRE_VERSION,
};
use chat_core::{
    ConversationId, EnvelopeId, Identity, LinkError, MessageId, PeerId, PeerKey, SessionId, Timestamp,
};
use futures_util::{SinkExt, StreamExt, sink, stream};
use relay::{MailboxLimits, Relay, RelayConfig, Secure};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Frames that a link in memory holds each way: few, so that whoever doesn't read is felt.
const LINK_FRAMES: usize = 2;

fn half(tx: mpsc::Sender<Bytes>, rx: mpsc::Receiver<Bytes>) -> (FrameSink, FrameSource) {
    let sink = sink::unfold(tx, |tx, frame| async move {
        tx.send(frame).await.map_err(|_| LinkError::Closed)?;
        Ok(tx)
    });
    let source = stream::unfold(rx, |mut rx| async move { rx.recv().await.map(|frame| (Ok(frame), rx)) });
    (Box::pin(sink), Box::pin(source))
}

struct Dialing {
    remote: String,
    sink: FrameSink,
    source: FrameSource,
}

#[async_trait]
impl Incoming for Dialing {
    fn remote(&self) -> String {
        self.remote.clone()
    }
    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        let Self { sink, source, .. } = *self;
        let (transport, role, stats) = ("memory", Role::Responder, Arc::new(NoStats));
        Ok(Dialed::Bare(BareLink { transport, role, sink, source, stats }))
    }
}

struct MemoryListener(mpsc::Receiver<Dialing>);

#[async_trait]
impl Listener for MemoryListener {
    fn address(&self) -> Address {
        Address::new("memory")
    }
    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let dialing = self.0.recv().await.ok_or(LinkError::Closed)?;
        Ok(Box::new(dialing))
    }
}

/// Believes the first frame: 32 bytes are the peer's key, anything else its name.
struct Trusting;

#[async_trait]
impl Secure for Trusting {
    async fn secure(&self, dialed: Dialed) -> Result<Link, LinkError> {
        let Dialed::Bare(mut bare) = dialed else {
            return Err(LinkError::NotAuthenticated("bare links only"));
        };
        let first = bare.source.next().await.ok_or(LinkError::Closed)??;
        let peer = match PeerKey::from_bytes(&first) {
            Ok(key) => Peer::Key(key),
            Err(_) => Peer::Name(String::from_utf8_lossy(&first).into_owned()),
        };
        let BareLink { sink, source, stats, .. } = bare;
        Ok(Link { peer, sink, source, datagrams: None, streams: None, stats })
    }
}

/// A relay in a folder of its own.
pub(crate) struct Node {
    pub(crate) relay: Relay,
    dial: mpsc::Sender<Dialing>,
    pub(crate) serving: JoinHandle<Result<(), LinkError>>,
}

pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join("relay.db")
}

impl Node {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, RelayConfig::default(), MailboxLimits::default())
    }

    pub(crate) fn start_with(dir: &Path, config: RelayConfig, limits: MailboxLimits) -> Self {
        Self::of(Relay::open(config, limits, &database(dir)).unwrap())
    }

    pub(crate) fn of(relay: Relay) -> Self {
        let (dial, dialed) = mpsc::channel(16);
        let serve = relay.clone();
        let listener = Box::new(MemoryListener(dialed));
        let serving = tokio::spawn(async move { serve.serve(listener, Arc::new(Trusting)).await });
        Self { relay, dial, serving }
    }

    /// A link whose first frame says who is there; nothing else was sent.
    pub(crate) async fn raw(&self, who: &[u8]) -> Client {
        self.raw_from("memory", who).await
    }

    /// The same, from an address.
    pub(crate) async fn raw_from(&self, remote: &str, who: &[u8]) -> Client {
        let (to_relay, at_relay) = mpsc::channel(LINK_FRAMES);
        let (to_client, at_client) = mpsc::channel(LINK_FRAMES);
        let (sink, source) = half(to_client, at_relay);
        self.dial.send(Dialing { remote: remote.to_owned(), sink, source }).await.unwrap();
        let (sink, source) = half(to_relay, at_client);
        let mut client = Client { sink, source, early: Vec::new(), fates: HashMap::new() };
        client.send_bytes(who.to_vec()).await;
        client
    }

    /// A client that was welcomed.
    pub(crate) async fn connect(&self, me: &Identity) -> Client {
        let mut client = self.raw(me.public().as_bytes()).await;
        client.send(ToRelay::Hello { version: WIRE_VERSION }).await;
        match client.next().await {
            Some(FromRelay::Welcome { version: WIRE_VERSION, .. }) => client,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stop(self) {
        timeout(PATIENCE, self.relay.shutdown()).await.unwrap();
        timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) struct Client {
    pub(crate) sink: FrameSink,
    pub(crate) source: FrameSource,
    /// Records that came while another was waited for.
    early: Vec<FromRelay>,
    /// What became of envelopes, as far as it was heard.
    fates: HashMap<EnvelopeId, Result<(), Refusal>>,
}

impl Client {
    pub(crate) async fn send_bytes(&mut self, frame: Vec<u8>) {
        timeout(PATIENCE, self.sink.send(frame.into())).await.unwrap().unwrap();
    }

    pub(crate) async fn send(&mut self, record: ToRelay) {
        self.send_bytes(record.encode()).await;
    }

    /// The next record, in the order they come; none at the end of the link.
    pub(crate) async fn next(&mut self) -> Option<FromRelay> {
        assert!(self.early.is_empty());
        self.receive().await
    }

    async fn receive(&mut self) -> Option<FromRelay> {
        let frame = timeout(PATIENCE, self.source.next()).await.expect("the relay sends nothing")?.ok()?;
        Some(FromRelay::decode(&frame).unwrap())
    }

    /// The first record that `wanted` takes; others stay for later.
    pub(crate) async fn wait<T>(&mut self, mut wanted: impl FnMut(&FromRelay) -> Option<T>) -> T {
        if let Some(found) = self.early.iter().position(|record| wanted(record).is_some()) {
            let record = self.early.remove(found);
            return wanted(&record).unwrap();
        }
        loop {
            let record = self.receive().await.expect("the link has ended");
            match wanted(&record) {
                Some(found) => return found,
                None if self.hear_fate(&record) => {}
                None => self.early.push(record),
            }
        }
    }

    /// Waits until everything sent before was read and answered, then gives what came.
    pub(crate) async fn settle(&mut self) -> Vec<FromRelay> {
        static N: AtomicU64 = AtomicU64::new(1 << 40);
        let n = N.fetch_add(1, Ordering::Relaxed);
        self.send(ToRelay::Ping { n }).await;
        self.wait(|record| (*record == FromRelay::Pong { n }).then_some(())).await;
        std::mem::take(&mut self.early)
    }

    pub(crate) async fn submit(&mut self, envelopes: &[Envelope]) {
        self.send(ToRelay::Submit { envelopes: envelopes.to_vec() }).await;
    }

    /// Submits one and waits until it is stored.
    pub(crate) async fn store(&mut self, envelope: &Envelope) {
        self.submit(std::slice::from_ref(envelope)).await;
        assert_eq!(self.fate(envelope.id).await, Ok(()));
    }

    /// Whether a record has said what became of an envelope; each is counted once.
    fn hear_fate(&mut self, record: &FromRelay) -> bool {
        match record {
            FromRelay::Stored { ids } => self.fates.extend(ids.iter().map(|id| (*id, Ok(())))),
            FromRelay::Refused { id, why } => drop(self.fates.insert(*id, Err(*why))),
            _ => return false,
        }
        true
    }

    /// Whether the relay has said what became of an envelope.
    pub(crate) fn heard_of(&self, id: EnvelopeId) -> bool {
        self.fates.contains_key(&id)
    }

    /// What became of an envelope; asked again, what became of it since.
    pub(crate) async fn fate(&mut self, id: EnvelopeId) -> Result<(), Refusal> {
        loop {
            if let Some(fate) = self.fates.remove(&id) {
                return fate;
            }
            let record = self.receive().await.expect("the link has ended");
            if !self.hear_fate(&record) {
                self.early.push(record);
            }
        }
    }

    /// The next deliveries, at least one.
    pub(crate) async fn deliveries(&mut self) -> Vec<Delivery> {
        self.wait(|record| match record {
            FromRelay::Deliver { items } => Some(items.clone()),
            _ => None,
        })
        .await
    }

    /// Exactly so many deliveries, each acknowledged if `ack`.
    pub(crate) async fn take(&mut self, count: usize, ack: bool) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(self.deliveries().await);
            if ack {
                self.send(ToRelay::Ack { through: taken.last().unwrap().n }).await;
            }
        }
        assert_eq!(taken.len(), count);
        taken
    }

    pub(crate) async fn join(&mut self, name: &str) -> Vec<PeerId> {
        self.send(ToRelay::Join { room: room(name) }).await;
        self.room(name).await
    }

    /// The next list of members of a room.
    pub(crate) async fn room(&mut self, name: &str) -> Vec<PeerId> {
        let wanted = room(name);
        self.wait(|record| match record {
            FromRelay::Room { room, members } if *room == wanted => Some(members.clone()),
            _ => None,
        })
        .await
    }

    /// Reads until the link ends; the last record.
    pub(crate) async fn last_words(&mut self) -> Option<FromRelay> {
        let mut last = self.early.pop();
        while let Some(record) = self.receive().await {
            last = Some(record);
        }
        last
    }
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// An envelope with an id of its own.
pub(crate) fn envelope(from: &Identity, to: Recipient, len: usize) -> Envelope {
    static N: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&N.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Envelope {
        id: EnvelopeId(id),
        to,
        from: from.peer_id(),
        conversation: ConversationId([1; 16]),
        message: MessageId(id),
        session: SessionId([2; 16]),
        handshake: None,
        frame: vec![id[7]; len],
    }
}

pub(crate) fn to(peer: &Identity) -> Recipient {
    Recipient::Peer(peer.peer_id())
}

pub(crate) fn bundle(me: &Identity, nick: &str, created: u64) -> Vec<u8> {
    let bundle = Bundle {
        identity: me.public().as_bytes().to_vec(),
        profile: StackProfile {
            wire_version: WIRE_VERSION,
            key_exchange: "none".into(),
            key_exchange_options: String::new(),
            cipher: "none".into(),
        },
        nick: Nick::new(nick).unwrap(),
        payload: vec![7; 100],
        created: Timestamp(created),
        expires: Timestamp(u64::MAX),
    };
    SignedBundle::sign(&bundle, me).encode()
}

pub(crate) fn envelopes(items: &[Delivery]) -> Vec<Envelope> {
    items.iter().map(|item| item.envelope.clone()).collect()
}
