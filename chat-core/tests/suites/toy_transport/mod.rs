//! A transport inside one process that does everything a transport can: secure or bare links, frames in chunks,
//! datagrams, streams. And, if it is told to, exactly one thing wrong.

mod fault;
mod link;
mod pipe;
mod proof;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use chat_core::testing::transport::Subject;
use chat_core::transport::{HANDSHAKE_DEADLINE, Peer};
use chat_core::{
    Address, Dialed, Identity, Incoming, LinkError, Listener, PeerId, PeerKey, Plugin, ProfileError,
    Transport,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub(crate) use fault::Fault;
use link::{End, pair};
use pipe::Pipe;
use proof::{Answer, Hello, Proof, Side};

const BACKLOG: usize = 64;
/// From so many links on, if they mix.
const MANY: usize = 16;

/// Who listens where, and who has dialed.
#[derive(Default)]
struct Net {
    places: Mutex<BTreeMap<String, mpsc::Sender<Offer>>>,
    last: Mutex<u64>,
    pipes: Mutex<Vec<Weak<Pipe>>>,
    left_alone: Mutex<Vec<Result<Dialed, LinkError>>>,
}

pub(crate) struct Toy {
    net: Arc<Net>,
    fault: Fault,
    is_bare: bool,
}

/// A toy with this fault in a world of its own.
pub(crate) fn toy(fault: Fault, is_bare: bool) -> Subject {
    let net = Arc::<Net>::default();
    Subject::new(move || Box::new(Toy { net: Arc::clone(&net), fault, is_bare }), || "toy:0".into())
        .on_virtual_time()
}

/// Somebody who dials.
struct Offer {
    end: End,
    /// What the dialer says first: who it is.
    hello: oneshot::Receiver<Hello>,
    /// What it is told: who listens, with the proof of it.
    answer: oneshot::Sender<Answer>,
    /// The dialer's proof.
    proof: oneshot::Receiver<Proof>,
}

#[async_trait]
impl Transport for Toy {
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError> {
        let nobody = || LinkError::Unreachable { address: to.place.clone(), reason: "nobody".into() };
        let listener = self.net.places.lock().unwrap().get(&to.place).cloned();
        let listener = match listener.filter(|listener| !listener.is_closed()) {
            Some(listener) => listener,
            None if self.fault == Fault::DialingNobodyWaits => std::future::pending().await,
            None if self.fault == Fault::DialingNobodyIsAClose => return Err(LinkError::Closed),
            None => return Err(nobody()),
        };
        let (end, theirs) = pair(self.fault);
        self.net.mix(self.fault, &end);
        let (hello, hello_in) = oneshot::channel();
        let (answer, answer_in) = oneshot::channel();
        let (proof, proof_in) = oneshot::channel();
        let offer = Offer { end: theirs, hello: hello_in, answer, proof: proof_in };
        listener.send(offer).await.map_err(|_| nobody())?;
        let dialing = Dialing {
            end,
            hello,
            answer: answer_in,
            proof,
            me: me.clone(),
            pin: to.pin.filter(|_| self.fault != Fault::IgnoresPins),
            fault: self.fault,
            is_bare: self.is_bare,
        };
        if self.fault == Fault::DialGoesOnAlone {
            let (give, given) = oneshot::channel();
            let net = Arc::clone(&self.net);
            tokio::spawn(async move {
                if let Err(unwanted) = give.send(dialing.finish().await) {
                    net.left_alone.lock().unwrap().push(unwanted);
                }
            });
            return given.await.map_err(|_| LinkError::Closed)?;
        }
        dialing.finish().await
    }

    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let mut places = self.net.places.lock().unwrap();
        let place = match on.place.strip_suffix(":0") {
            Some(stem) => {
                let mut last = self.net.last.lock().unwrap();
                *last += 1;
                format!("{stem}:{last}")
            }
            None => on.place.clone(),
        };
        if places.contains_key(&place) && self.fault != Fault::PlacesAreShared {
            return Err(LinkError::AddressInUse { address: place });
        }
        let others = places.values().any(|listener| !listener.is_closed());
        let echoes = self.fault == Fault::AddressIsWhatWasAskedFor && others;
        let says = if echoes { on.place.clone() } else { place.clone() };
        let (sender, offers) = mpsc::channel(BACKLOG);
        places.insert(place.clone(), sender);
        let listening = Listening {
            net: Arc::clone(&self.net),
            place,
            says,
            offers,
            first: None,
            peers: Arc::default(),
            pipes: Vec::new(),
            me: me.clone(),
            fault: self.fault,
            is_bare: self.is_bare,
        };
        Ok(Box::new(listening))
    }
}

struct Dialing {
    end: End,
    hello: oneshot::Sender<Hello>,
    answer: oneshot::Receiver<Answer>,
    proof: oneshot::Sender<Proof>,
    me: Identity,
    pin: Option<PeerId>,
    fault: Fault,
    is_bare: bool,
}

impl Dialing {
    async fn finish(self) -> Result<Dialed, LinkError> {
        let Self { end, hello, answer, proof, me, pin, fault, is_bare } = self;
        // So that whoever is polled once only has not said yet who it is.
        tokio::task::yield_now().await;
        let mine = Hello::of(&me);
        hello.send(mine).map_err(|_| LinkError::Closed)?;
        let late = |_| LinkError::Timeout("the handshake");
        let answered = timeout(HANDSHAKE_DEADLINE, answer).await.map_err(late)?;
        let Answer { hello: theirs, proof: proved } = answered.map_err(|_| LinkError::Closed)?;
        if !is_bare && !matches!(fault, Fault::BelievesEverybody | Fault::BelievesWhoListens) {
            proof::check(Side::Listener, &mine, &theirs, &proved)?;
        }
        let found = theirs.key.peer_id();
        if let Some(expected) = pin.filter(|&expected| expected != found && !is_bare) {
            return Err(LinkError::WrongPeer { expected, found });
        }
        let signed = proof::sign(Side::Dialer, &mine, &theirs, &me);
        proof.send(signed).map_err(|_| LinkError::Closed)?;
        let peer = if fault == Fault::DialerNamesItself { mine.key } else { theirs.key };
        Ok(end.into_link((!is_bare).then_some(Peer::Key(peer))))
    }
}

impl Net {
    /// Lets some frames of many links come out of another one.
    fn mix(&self, fault: Fault, end: &End) {
        let mut pipes = self.pipes.lock().unwrap();
        pipes.retain(|pipe| pipe.strong_count() > 0);
        if fault == Fault::MixesLinks && pipes.len() > MANY {
            *end.out().wrong.lock().unwrap() = pipes.first().and_then(Weak::upgrade);
            end.out().mixes.store(true, Ordering::Relaxed);
        }
        pipes.push(Arc::downgrade(end.out()));
    }
}

struct Listening {
    net: Arc<Net>,
    place: String,
    says: String,
    offers: mpsc::Receiver<Offer>,
    /// Whose first words are awaited, by one that does so.
    first: Option<Offer>,
    /// Who came first.
    peers: Arc<Mutex<Option<PeerKey>>>,
    pipes: Vec<Weak<Pipe>>,
    me: Identity,
    fault: Fault,
    is_bare: bool,
}

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> Address {
        Address::new(self.says.clone())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let offer = loop {
            let offer = match self.first.take() {
                Some(offer) => offer,
                None => self.offers.recv().await.ok_or(LinkError::Closed)?,
            };
            if self.fault != Fault::NextHandshakes {
                break offer;
            }
            // Kept beside the call, so that dropping it loses nobody.
            let Offer { hello, .. } = self.first.insert(offer);
            let heard = hello.await;
            let Some(offer) = self.first.take() else { continue };
            let (again, hello) = oneshot::channel();
            if let Ok(heard) = heard {
                again.send(heard).ok();
                break Offer { hello, ..offer };
            }
        };
        if self.fault == Fault::ListenerTakesThenWaits {
            tokio::task::yield_now().await;
        }
        if self.fault == Fault::ListenerTakesItsLinksAlong {
            self.pipes.push(Arc::downgrade(offer.end.out()));
        }
        let (me, fault, is_bare) = (self.me.clone(), self.fault, self.is_bare);
        Ok(Box::new(Caller { offer, me, peers: Arc::clone(&self.peers), fault, is_bare }))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.offers.close();
        if self.fault != Fault::PlacesAreKept {
            self.net.places.lock().unwrap().remove(&self.place);
        }
        for pipe in self.pipes.iter().filter_map(Weak::upgrade) {
            pipe.end(pipe::End::Gone);
        }
    }
}

struct Caller {
    offer: Offer,
    me: Identity,
    peers: Arc<Mutex<Option<PeerKey>>>,
    fault: Fault,
    is_bare: bool,
}

#[async_trait]
impl Incoming for Caller {
    fn remote(&self) -> String {
        "somebody in this process".into()
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        let Offer { end, hello, answer, proof } = self.offer;
        let late = |_| LinkError::Timeout("the handshake");
        let said = timeout(HANDSHAKE_DEADLINE, hello).await.map_err(late)?;
        let (theirs, mine) = (said.map_err(|_| LinkError::Closed)?, Hello::of(&self.me));
        let signed = proof::sign(Side::Listener, &theirs, &mine, &self.me);
        answer.send(Answer { hello: mine, proof: signed }).map_err(|_| LinkError::Closed)?;
        let proved = timeout(HANDSHAKE_DEADLINE, proof).await.map_err(late)?;
        let proved = proved.map_err(|_| LinkError::Closed)?;
        if !self.is_bare && !matches!(self.fault, Fault::BelievesEverybody | Fault::BelievesWhoDials) {
            proof::check(Side::Dialer, &theirs, &mine, &proved)?;
        }
        let first = *self.peers.lock().unwrap().get_or_insert(theirs.key);
        let peer = if self.fault == Fault::RemembersTheFirstPeer { first } else { theirs.key };
        let is_bare = self.is_bare || self.fault == Fault::OneEndIsBare;
        Ok(end.into_link((!is_bare).then_some(Peer::Key(peer))))
    }
}

/// The options of the toys that are plugins.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoOptions {}

pub(crate) type AnyOptions = BTreeMap<String, serde_json::Value>;

fn plugin() -> Box<dyn Transport> {
    static NET: Mutex<Option<Arc<Net>>> = Mutex::new(None);
    let net = Arc::clone(NET.lock().unwrap().get_or_insert_default());
    Box::new(Toy { net, fault: Fault::Nothing, is_bare: false })
}

macro_rules! plugins {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $summary:literal, $options:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Plugin<dyn Transport> for $name {
            const NAME: &'static str = $kind;
            const SUMMARY: &'static str = $summary;
            const EXAMPLE: &'static str = concat!("[transport]\nkind = \"", $kind, "\"\n");
            type Options = $options;
            fn build(_: $options) -> Result<Box<dyn Transport>, ProfileError> {
                Ok(plugin())
            }
        }
    )*};
}

plugins! {
    /// As it should be.
    Good, "toy-transport", "links for the suite's own tests", NoOptions;
    /// Is not registered.
    Unregistered, "toy-stranger", "links for the suite's own tests", NoOptions;
    /// Takes options that it doesn't know.
    Careless, "toy-careless", "links for the suite's own tests", AnyOptions;
    /// Its summary is none.
    Wordless, "toy-wordless", "", NoOptions;
}
chat_core::register!(dyn Transport, Good);
chat_core::register!(dyn Transport, Careless);
chat_core::register!(dyn Transport, Wordless);
