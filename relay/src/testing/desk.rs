//! A mailbox at work: changes that are waited for, and what is to be seen.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chat_core::nick::{Nick, RoomName};
use chat_core::testing::{Must as _, Violation};
use chat_core::wire::Recipient;
use chat_core::{EnvelopeId, PeerId, Timestamp};
use tokio::sync::oneshot;

use super::{Shelf, ensure};
use crate::MailboxLimits;
use crate::mailbox::{
    Attached, Done, IsOnline, Joined, Mailbox, MailboxError, NewEnvelope, Outcome, Published, Swept, Write,
};

/// Only so that a defect does not hang the tests.
const HANGS: Duration = Duration::from_secs(60);
/// The wall clock of the rules, unless they say another.
pub(super) const NOW: u64 = 1_700_000_000_000;
/// A page without bounds.
const ALL: usize = 1_000_000;

pub(super) fn peer(seed: u8) -> PeerId {
    PeerId([seed; 32])
}

pub(super) fn to(seed: u8) -> Recipient {
    Recipient::Peer(peer(seed))
}

pub(super) fn room(name: &str) -> Result<RoomName, Violation> {
    RoomName::new(name).must("a room's name")
}

pub(super) fn nick(name: &str) -> Result<Nick, Violation> {
    Nick::new(name).must("a nick")
}

/// The id of an envelope.
pub(super) fn id(number: u64) -> EnvelopeId {
    let mut id = [0; 16];
    for (slot, byte) in id.iter_mut().zip(number.to_be_bytes()) {
        *slot = byte;
    }
    EnvelopeId(id)
}

/// Some bytes that are different for each number.
pub(super) fn content(number: u64, len: usize) -> Bytes {
    let block: Vec<u8> = number.to_be_bytes().into_iter().chain(0..=240).collect();
    let mut bytes = block.repeat(len.div_ceil(block.len()).max(1));
    bytes.truncate(len);
    bytes.into()
}

/// An envelope of this number, with as many bytes.
pub(super) fn envelope(number: u64, to: Recipient, len: usize) -> NewEnvelope {
    NewEnvelope { id: id(number), to, bytes: content(number, len) }
}

/// What must come about.
pub(super) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> Result<T, Violation> {
    tokio::time::timeout(HANGS, wait).await.map_err(|_| Violation::new(format!("it hangs: {what}")))
}

/// Polls a future once, as somebody who does not wait for it, and drops it.
pub(super) fn polled_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The numbers of what was stored.
pub(super) fn numbers(outcomes: &[Outcome]) -> Result<Vec<u64>, Violation> {
    let number = |outcome: &Outcome| match outcome {
        Outcome::Stored(n) => Ok(*n),
        other => Err(Violation::new(format!("an envelope was to be stored, and is {other:?}"))),
    };
    outcomes.iter().map(number).collect()
}

/// An open mailbox.
pub(super) struct Desk(pub(super) Arc<dyn Mailbox>);

impl Desk {
    pub(super) fn open(shelf: &dyn Shelf) -> Result<Self, Violation> {
        Self::with(shelf, &MailboxLimits::default())
    }

    pub(super) fn with(shelf: &dyn Shelf, limits: &MailboxLimits) -> Result<Self, Violation> {
        shelf.open(limits).map(Self)
    }

    pub(super) async fn close(self) -> Result<(), Violation> {
        soon("closing", self.0.close()).await
    }

    pub(super) async fn write(&self, change: Write) -> Result<(), Violation> {
        soon("queueing a change", self.0.write(change)).await
    }

    /// The members of a room, page by page.
    pub(super) async fn members(&self, room: RoomName) -> Result<Vec<PeerId>, MailboxError> {
        let (mut members, mut position) = (Vec::new(), 0);
        loop {
            let roster = self.0.roster(room.clone(), position, usize::MAX).await?;
            members.extend(roster.entries.into_iter().map(|entry| entry.peer));
            match roster.next {
                Some(next) => position = next,
                None => return Ok(members),
            }
        }
    }

    /// A change, and what became of it.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        change: impl FnOnce(Done<T>) -> Write,
    ) -> Result<Result<T, MailboxError>, Violation> {
        let (tell, told) = oneshot::channel();
        // Whoever asked may have given up.
        let done: Done<T> = Box::new(move |result| drop(tell.send(result)));
        self.write(change(done)).await?;
        soon("the answer to a change", told).await?.must("waiting for an answer that was never given")
    }

    pub(super) async fn store_at(
        &self,
        from: u8,
        envelopes: Vec<NewEnvelope>,
        now: u64,
    ) -> Result<Vec<Outcome>, Violation> {
        let (from, now, count) = (peer(from), Timestamp(now), envelopes.len());
        let outcomes =
            self.ask(|done| Write::Store { from, payer: 0, envelopes, now, done }).await?.must("storing")?;
        ensure!(outcomes.len() == count, "{} outcomes for {count} envelopes", outcomes.len());
        Ok(outcomes)
    }

    pub(super) async fn store(
        &self,
        from: u8,
        envelopes: Vec<NewEnvelope>,
    ) -> Result<Vec<Outcome>, Violation> {
        self.store_at(from, envelopes, NOW).await
    }

    /// Stores what must be stored.
    pub(super) async fn stored(&self, from: u8, envelopes: Vec<NewEnvelope>) -> Result<Vec<u64>, Violation> {
        numbers(&self.store(from, envelopes).await?)
    }

    pub(super) async fn attach(&self, seed: u8) -> Result<Option<Attached>, Violation> {
        self.attach_at(seed, NOW).await
    }

    pub(super) async fn attach_at(&self, seed: u8, now: u64) -> Result<Option<Attached>, Violation> {
        let (peer, now) = (peer(seed), Timestamp(now));
        self.ask(|done| Write::Attach { peer, now, done }).await?.must("attaching")
    }

    pub(super) async fn attached(&self, seed: u8) -> Result<Attached, Violation> {
        self.attach(seed).await?.ok_or_else(|| Violation::new("a peer is not let in though there is room"))
    }

    /// Acknowledges, and sees to it that it counts.
    pub(super) async fn ack(&self, seed: u8, through: u64) -> Result<Attached, Violation> {
        self.write(Write::Ack { peer: peer(seed), through }).await?;
        self.attached(seed).await
    }

    pub(super) async fn join(&self, seed: u8, name: &str) -> Result<Joined, Violation> {
        let (peer, room) = (peer(seed), room(name)?);
        self.ask(|done| Write::Join { peer, room, is_online: everybody(), done }).await?.must("joining")
    }

    pub(super) async fn leave(&self, seed: u8, name: &str) -> Result<bool, Violation> {
        let (peer, room) = (peer(seed), room(name)?);
        self.ask(|done| Write::Leave { peer, room, done }).await?.must("leaving")
    }

    pub(super) async fn publish(
        &self,
        seed: u8,
        name: &str,
        created: u64,
        bundle: Bytes,
    ) -> Result<Published, Violation> {
        let (peer, nick, created) = (peer(seed), nick(name)?, Timestamp(created));
        self.ask(|done| Write::Publish { peer, nick, created, now: created, bundle, done })
            .await?
            .must("publishing")
    }

    /// Sweeps until nothing more is to follow.
    pub(super) async fn sweep(&self, now: u64, online: &[u8]) -> Result<Swept, Violation> {
        let online: Vec<PeerId> = online.iter().map(|seed| peer(*seed)).collect();
        let mut all = Swept::default();
        for _ in 0..100 {
            let (now, online) = (Timestamp(now), online.clone());
            let swept = self.ask(|done| Write::Sweep { now, online, done }).await?.must("sweeping")?;
            all.rooms.extend(swept.rooms);
            if !swept.more {
                return Ok(all);
            }
        }
        Err(Violation::new("a sweep never ends"))
    }

    /// All that waits for a peer, after this number.
    pub(super) async fn waiting(&self, seed: u8, after: u64) -> Result<Vec<(u64, Bytes)>, Violation> {
        let page =
            soon("reading", self.0.waiting(peer(seed), after, ALL, usize::MAX)).await?.must("reading")?;
        ensure!(!page.more, "a page without bounds has not all of it");
        ensure!(page.damaged.is_empty(), "these were damaged by nobody: {:?}", page.damaged);
        Ok(page.items)
    }

    /// That exactly this waits for a peer.
    pub(super) async fn must_wait(
        &self,
        seed: u8,
        expected: &[(u64, Bytes)],
        what: &str,
    ) -> Result<(), Violation> {
        let waiting = self.waiting(seed, 0).await?;
        let numbers = |items: &[(u64, Bytes)]| items.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        let (came, wanted) = (numbers(&waiting), numbers(expected));
        ensure!(came == wanted, "{what}: {came:?} wait for peer {seed}, and not {wanted:?}");
        ensure!(waiting == expected, "{what}: other bytes wait for peer {seed} than were stored");
        Ok(())
    }
}

/// Everybody is connected, so that nobody gives way in a full room.
pub(super) fn everybody() -> IsOnline {
    Arc::new(|_| true)
}
