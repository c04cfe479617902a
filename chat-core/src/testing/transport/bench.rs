//! What a rule works with: links from both of their ends, and waits that end.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::Subject;
use super::frames::{self, Seen};
use crate::error::LinkError;
use crate::identity::Identity;
use crate::testing::Violation;
use crate::transport::{
    Address, Datagrams, Dialed, FrameSink, FrameSource, HANDSHAKE_DEADLINE, Incoming, LinkStats, Listener,
    Peer, Role, Streams, Transport,
};

/// Only so that a defect does not hang the tests: no rule measures a time.
const HANGS: Duration = Duration::from_secs(60);
/// So long nothing moves when somebody waits for what does not come. Too short a time makes a rule ask for less, it
/// never makes a good transport fail.
const QUIET: Duration = Duration::from_millis(500);
/// Between two looks at something that nobody tells of.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS: usize = 5000;
/// Frames of each direction that a layer over a bare link may take for its handshake.
const HANDSHAKE_FRAMES: u64 = 2;

/// A rule's view of the transport under test.
pub(super) struct Bench<'a> {
    subject: &'a Subject,
    notes: RefCell<Vec<String>>,
    /// Who listened for the last pair, and goes on to listen.
    listener: RefCell<Option<Box<dyn Listener>>>,
}

/// What is at one end of a link.
pub(super) struct End {
    pub(super) kind: Kind,
    pub(super) sink: FrameSink,
    pub(super) source: FrameSource,
    pub(super) datagrams: Option<Arc<dyn Datagrams>>,
    pub(super) streams: Option<Arc<dyn Streams>>,
    pub(super) stats: Arc<dyn LinkStats>,
}

/// What is known of the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bare { transport: &'static str, role: Role },
    Secure(Peer),
}

impl From<Dialed> for End {
    fn from(dialed: Dialed) -> Self {
        match dialed {
            Dialed::Bare(link) => Self {
                kind: Kind::Bare { transport: link.transport, role: link.role },
                sink: link.sink,
                source: link.source,
                datagrams: None,
                streams: None,
                stats: link.stats,
            },
            Dialed::Secure(link) => Self {
                kind: Kind::Secure(link.peer),
                sink: link.sink,
                source: link.source,
                datagrams: link.datagrams,
                streams: link.streams,
                stats: link.stats,
            },
        }
    }
}

impl End {
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.kind, Kind::Bare { .. })
    }

    pub(super) async fn send(&mut self, number: u64, len: usize) -> Result<(), Violation> {
        let sent = frames::send(&mut self.sink, frames::frame(number, len)).await;
        sent.map_err(|error| Violation::new(format!("a frame of {len} bytes was refused: {error}")))
    }

    pub(super) async fn next(&mut self) -> Seen {
        Seen::of(frames::next(&mut self.source).await)
    }

    /// The next frame, which is this one.
    pub(super) async fn expect(&mut self, number: u64, len: usize) -> Result<(), Violation> {
        self.next().await.must_be(number, len)
    }
}

pub(super) fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

pub(super) fn alice() -> Identity {
    identity(1)
}

pub(super) fn bob() -> Identity {
    identity(2)
}

/// Mallory, who says he is `whom` and has not that key.
pub(super) fn mallory_as(whom: &Identity) -> Identity {
    Identity::claiming(whom.public(), &[66; 32])
}

/// Finishes the handshake of somebody who dialed.
pub(super) async fn accept(incoming: Box<dyn Incoming>) -> Result<End, LinkError> {
    incoming.handshake().await.map(End::from)
}

impl<'a> Bench<'a> {
    pub(super) fn new(subject: &'a Subject) -> Self {
        Self { subject, notes: RefCell::default(), listener: RefCell::default() }
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        self.notes.into_inner()
    }

    pub(super) fn subject(&self) -> &Subject {
        self.subject
    }

    /// Says that something was not tried, because the transport does not have it.
    pub(super) fn note(&self, note: &str) {
        self.notes.borrow_mut().push(note.to_owned());
    }

    /// A transport as another program would have it.
    pub(super) fn transport(&self) -> Result<Box<dyn Transport>, Violation> {
        self.subject.transport()
    }

    pub(super) async fn listen_at(
        &self,
        on: &Address,
        me: &Identity,
    ) -> Result<Result<Box<dyn Listener>, LinkError>, Violation> {
        let transport = self.transport()?;
        self.soon("listening", transport.listen(on, me)).await
    }

    /// Somebody listens at a place of its own.
    pub(super) async fn listen_as(&self, me: &Identity) -> Result<Box<dyn Listener>, Violation> {
        let on = self.subject.place();
        let listening = self.listen_at(&on, me).await?;
        listening.map_err(|error| Violation::new(format!("cannot listen at {on}: {error}")))
    }

    pub(super) async fn listen(&self) -> Result<Box<dyn Listener>, Violation> {
        self.listen_as(&bob()).await
    }

    /// Dials as another program would.
    pub(super) async fn dial(
        &self,
        to: &Address,
        me: &Identity,
    ) -> Result<Result<End, LinkError>, Violation> {
        let transport = self.transport()?;
        Ok(self.soon("dialing", transport.dial(to, me)).await?.map(End::from))
    }

    /// A link from Alice to who listens, both ends.
    pub(super) async fn link(&self, listener: &mut dyn Listener) -> Result<(End, End), Violation> {
        let address = listener.address();
        let me = alice();
        let accepted = async { accept(listener.next().await?).await };
        let both = async { tokio::join!(self.dial(&address, &me), accepted) };
        let (dialed, accepted) = self.soon("a handshake of two who want it", both).await?;
        let failed = |end: &str, error| Violation::new(format!("{end} got no link: {error}"));
        let mut a = dialed?.map_err(|error| failed("the dialer", error))?;
        let mut b = accepted.map_err(|error| failed("the listener", error))?;
        self.greet(&mut a, &mut b).await?;
        Ok((a, b))
    }

    /// On a bare link, as the handshake of the layer above. A transport may hold these frames to a shorter length than
    /// what follows.
    pub(super) async fn greet(&self, a: &mut End, b: &mut End) -> Result<(), Violation> {
        if a.is_bare() {
            for number in 0..HANDSHAKE_FRAMES {
                self.both("a first frame", a.send(number, 64), b.expect(number, 64)).await?;
                self.both("its answer", b.send(number, 64), a.expect(number, 64)).await?;
            }
        }
        Ok(())
    }

    /// Both ends of a link from Alice to Bob, who goes on to listen.
    pub(super) async fn pair(&self) -> Result<(End, End), Violation> {
        drop(self.listener.take());
        let mut listener = self.listen().await?;
        let ends = self.link(&mut *listener).await?;
        self.listener.replace(Some(listener));
        Ok(ends)
    }

    /// What must come about.
    pub(super) async fn soon<T>(&self, what: &str, wait: impl Future<Output = T>) -> Result<T, Violation> {
        let late = |_| Violation::new(format!("it hangs: {what}"));
        tokio::time::timeout(HANGS, wait).await.map_err(late)
    }

    /// What must come about by a deadline that the transport itself has named, and a little: `None` if it does not.
    pub(super) async fn within<T>(&self, deadline: Duration, wait: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(deadline.saturating_add(HANGS), wait).await.ok()
    }

    /// What may never come about: `None` once nothing moves any more.
    pub(super) async fn unless_quiet<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(QUIET, wait).await.ok()
    }

    /// Both of two things that must come about and need each other.
    pub(super) async fn both(
        &self,
        what: &str,
        one: impl Future<Output = Result<(), Violation>>,
        other: impl Future<Output = Result<(), Violation>>,
    ) -> Result<(), Violation> {
        self.soon(what, async { tokio::try_join!(one, other) }).await??;
        Ok(())
    }

    /// Looks until there is something to see; for what a transport tells nobody.
    pub(super) async fn look<T>(
        &self,
        what: &str,
        mut at: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, Violation> {
        for _ in 0..LOOKS {
            if let Some(seen) = self.soon(what, at()).await? {
                return Ok(seen);
            }
            let moment = tokio::time::timeout(LOOK, std::future::pending::<()>()).await;
            debug_assert!(moment.is_err());
        }
        Err(Violation::new(format!("it never happens: {what}")))
    }

    /// The longest time that a handshake may take, and a little.
    pub(super) fn handshake_deadline(&self) -> Duration {
        HANDSHAKE_DEADLINE + HANGS
    }
}

/// Lets everything else that can go on do so once.
pub(super) async fn breathe() {
    tokio::task::yield_now().await;
}
