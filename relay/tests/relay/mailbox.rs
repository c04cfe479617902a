//! The SQLite mailbox by itself: time, quotas, crashes and damage.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chat_core::nick::Nick;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Envelope, Recipient};
use chat_core::{Identity, PeerId, Timestamp};
use relay::mailbox::{Attached, Done, IsOnline, Joined, NewEnvelope, Outcome, Published, Query, Write};
use relay::{Mailbox, MailboxError, MailboxLimits, SqliteMailbox};
use tokio::sync::oneshot;

use crate::support::{PATIENCE, bundle, database, envelope, identity, room, to};

pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

pub(crate) struct Store(pub(crate) SqliteMailbox);

impl Store {
    pub(crate) fn open(dir: &Path, limits: MailboxLimits) -> Self {
        Self(SqliteMailbox::open(&database(dir), limits).unwrap())
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        write: impl FnOnce(Done<T>) -> Write,
    ) -> Result<T, MailboxError> {
        let (tell, told) = oneshot::channel();
        let done = Box::new(move |result| assert!(tell.send(result).is_ok()));
        self.0.write(write(done)).await;
        tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap()
    }

    pub(crate) async fn store(&self, from: &Identity, envelopes: &[Envelope], now: u64) -> Vec<Outcome> {
        self.store_at(0, from, envelopes, now).await
    }

    /// Paid for by somebody.
    pub(crate) async fn store_for(
        &self,
        payer: u64,
        from: &Identity,
        envelopes: &[Envelope],
    ) -> Vec<Outcome> {
        self.store_at(payer, from, envelopes, 1).await
    }

    async fn store_at(&self, payer: u64, from: &Identity, envelopes: &[Envelope], now: u64) -> Vec<Outcome> {
        let envelope = |e: &Envelope| NewEnvelope { id: e.id, to: e.to.clone(), bytes: e.encode().into() };
        let (from, now) = (from.peer_id(), Timestamp(now));
        let envelopes = envelopes.iter().map(envelope).collect();
        self.ask(|done| Write::Store { from, payer, envelopes, now, done }).await.unwrap()
    }

    pub(crate) async fn attach(&self, peer: &Identity, now: u64) -> Option<Attached> {
        let (peer, now) = (peer.peer_id(), Timestamp(now));
        self.ask(|done| Write::Attach { peer, now, done }).await.unwrap()
    }

    pub(crate) async fn join(&self, peer: &Identity, name: &str) -> Joined {
        self.join_among(peer, name, &[]).await
    }

    /// While these are connected.
    pub(crate) async fn join_among(&self, peer: &Identity, name: &str, online: &[PeerId]) -> Joined {
        let (peer, room, online) = (peer.peer_id(), room(name), online.to_vec());
        let is_online: IsOnline = Arc::new(move |peer| online.contains(&peer));
        self.ask(|done| Write::Join { peer, room, is_online, done }).await.unwrap()
    }

    /// Of a room with few of them.
    pub(crate) async fn members(&self, name: &str) -> Vec<PeerId> {
        let roster = self.0.roster(room(name), 0, usize::MAX).await.unwrap();
        assert_eq!(roster.next, None);
        roster.entries.iter().map(|entry| entry.peer).collect()
    }

    pub(crate) async fn publish(&self, me: &Identity, nick: &str, created: u64) -> Published {
        self.publish_at(me, nick, created, created).await
    }

    pub(crate) async fn publish_at(&self, me: &Identity, nick: &str, created: u64, now: u64) -> Published {
        let (peer, bundle) = (me.peer_id(), Bytes::from(bundle(me, nick, created)));
        let (nick, created, now) = (Nick::new(nick).unwrap(), Timestamp(created), Timestamp(now));
        self.ask(|done| Write::Publish { peer, nick, created, now, bundle, done }).await.unwrap()
    }

    pub(crate) async fn sweep(&self, now: u64, online: &[&Identity]) -> Vec<String> {
        let online: Vec<PeerId> = online.iter().map(|peer| peer.peer_id()).collect();
        let swept = self.ask(|done| Write::Sweep { now: Timestamp(now), online, done }).await.unwrap();
        swept.rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    /// All pieces.
    pub(crate) async fn sweep_all(&self, now: u64, online: &[&Identity]) {
        let mut online: Vec<PeerId> = online.iter().map(|peer| peer.peer_id()).collect();
        loop {
            let online = std::mem::take(&mut online);
            let swept = self.ask(|done| Write::Sweep { now: Timestamp(now), online, done }).await.unwrap();
            if !swept.more {
                return;
            }
        }
    }

    /// Acknowledges, and sees to it that it counts.
    pub(crate) async fn ack(&self, peer: &Identity, through: u64, now: u64) {
        self.0.write(Write::Ack { peer: peer.peer_id(), through }).await;
        assert!(self.attach(peer, now).await.unwrap().cursor >= through);
    }

    pub(crate) async fn waiting(&self, peer: &Identity) -> Vec<(u64, Envelope)> {
        let page = self.0.waiting(peer.peer_id(), 0, 10_000, usize::MAX).await.unwrap();
        assert!(!page.more && page.damaged.is_empty());
        page.items.iter().map(|(n, bytes)| (*n, Envelope::decode(bytes).unwrap())).collect()
    }
}

pub(crate) fn numbers(outcomes: &[Outcome]) -> Vec<u64> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Stored(n) => *n,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn thirty_days_end_envelopes_memories_and_memberships() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { max_peers: 3, ..MailboxLimits::default() };
    let mailbox = Store::open(dir.path(), limits);
    let (alice, bob, carol) = (identity(1), identity(2), identity(3));
    for person in [&alice, &bob, &carol] {
        mailbox.attach(person, DAY).await.unwrap();
        mailbox.publish(person, "somebody", 1).await;
        assert!(matches!(mailbox.join(person, "#lobby").await, Joined::New { bundle: Some(_) }));
    }
    assert_eq!(mailbox.attach(&identity(4), DAY).await, None, "as many peers as it may remember");
    // Also not if somebody writes to it; but its mail waits.
    mailbox.store(&alice, &[envelope(&alice, to(&identity(4)), 5)], DAY).await;
    assert_eq!(mailbox.attach(&identity(4), DAY).await, None);
    let (old, new) = (envelope(&alice, to(&bob), 5), envelope(&alice, to(&bob), 5));
    mailbox.store(&alice, std::slice::from_ref(&old), 2 * DAY).await;
    let n = numbers(&mailbox.store(&alice, std::slice::from_ref(&new), 20 * DAY).await)[0];
    assert!(mailbox.sweep(31 * DAY, &[&alice]).await.is_empty());
    assert_eq!(mailbox.waiting(&bob).await.len(), 2);
    // Bob and Carol were seen on day 1, Alice on day 31, and is connected.
    assert_eq!(mailbox.sweep(32 * DAY, &[&alice]).await, ["#lobby"]);
    mailbox.sweep(32 * DAY + 1, &[&alice]).await;
    assert_eq!(mailbox.waiting(&bob).await, [(n, new)]);
    assert_eq!(mailbox.members("#lobby").await, [alice.peer_id()]);
    // Carol is forgotten; Bob has mail.
    let known = mailbox.0.find(Query::Nick(Nick::new("somebody").unwrap()), usize::MAX).await.unwrap();
    let known: Vec<PeerId> = known.into_iter().map(|entry| entry.peer).collect();
    assert_eq!(known, [alice.peer_id(), bob.peer_id()]);
    assert!(mailbox.attach(&identity(4), 33 * DAY).await.is_some(), "room for another");
    // The id of what expired is forgotten with it, so that a resend is no lie.
    assert!(matches!(mailbox.store(&alice, &[old], 33 * DAY).await[..], [Outcome::Stored(_)]));
    mailbox.0.close().await;
}

#[tokio::test]
async fn ids_of_acknowledged_envelopes_are_forgotten_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox =
        Store::open(dir.path(), MailboxLimits { redeliver_ms: u64::MAX, ..MailboxLimits::default() });
    let (alice, bob) = (identity(1), identity(2));
    let sent: Vec<Envelope> = (0..50).map(|i| envelope(&alice, to(&bob), i)).collect();
    let last = *numbers(&mailbox.store(&alice, &sent, DAY).await).last().unwrap();
    mailbox.ack(&bob, last, DAY).await;
    mailbox.sweep(30 * DAY, &[&alice, &bob]).await;
    assert!(mailbox.store(&alice, &sent, 30 * DAY).await.iter().all(|outcome| *outcome == Outcome::Known));
    mailbox.sweep(31 * DAY, &[&alice, &bob]).await;
    mailbox.sweep(31 * DAY + 1, &[&alice, &bob]).await;
    numbers(&mailbox.store(&alice, &sent, 31 * DAY + 1).await);
    mailbox.0.close().await;
}

#[tokio::test]
async fn a_room_envelope_goes_when_every_member_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Store::open(dir.path(), MailboxLimits { redeliver_ms: 0, ..MailboxLimits::default() });
    let (alice, bob, carol) = (identity(1), identity(2), identity(3));
    let everybody = [&alice, &bob, &carol];
    for person in everybody {
        mailbox.attach(person, 1).await.unwrap();
        mailbox.join(person, "#all").await;
    }
    let sent: Vec<Envelope> = (0..3).map(|i| envelope(&alice, Recipient::Room(room("#all")), i)).collect();
    let n = numbers(&mailbox.store(&alice, &sent, 1).await);
    assert!(mailbox.waiting(&alice).await.is_empty());
    mailbox.ack(&bob, n[2], 1).await;
    mailbox.ack(&carol, n[1], 1).await;
    mailbox.sweep(2, &everybody).await;
    assert!(mailbox.waiting(&bob).await.is_empty());
    assert_eq!(mailbox.waiting(&carol).await.len(), 1);
    // The first two are gone, so they are stored again for whoever lacks a receipt; the third still waits.
    let again = mailbox.store(&alice, &sent, 3).await;
    assert!(matches!(again[..], [Outcome::Stored(_), Outcome::Stored(_), Outcome::Known]), "{again:?}");
    mailbox.0.close().await;
}

#[tokio::test]
async fn an_absent_member_does_not_stop_a_room() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { mailbox_bytes: 40_000, ..MailboxLimits::default() };
    let mailbox = Store::open(dir.path(), limits);
    let (alice, bob, absent) = (identity(1), identity(2), identity(3));
    for person in [&alice, &bob, &absent] {
        mailbox.attach(person, 1).await.unwrap();
        mailbox.join(person, "#all").await;
    }
    let others = envelope(&bob, Recipient::Room(room("#all")), 10);
    mailbox.store(&bob, std::slice::from_ref(&others), 1).await;
    let mut sent = Vec::new();
    for _ in 0..50 {
        let envelope = envelope(&alice, Recipient::Room(room("#all")), 1000);
        numbers(&mailbox.store(&alice, std::slice::from_ref(&envelope), 1).await);
        sent.push(envelope);
    }
    let waiting: Vec<Envelope> = mailbox.waiting(&absent).await.into_iter().map(|(_, e)| e).collect();
    let (first, rest) = waiting.split_first().unwrap();
    assert_eq!(first, &others, "who floods the room loses its own envelopes");
    assert!((3..10).contains(&rest.len()), "{}", rest.len());
    assert!(sent.ends_with(rest), "the newest are there, in order");
    // An envelope that never fits is refused; nothing is dropped for it.
    let huge = envelope(&alice, Recipient::Room(room("#all")), 40_000);
    assert_eq!(mailbox.store(&alice, &[huge], 1).await, [Outcome::Refused(Refusal::MailboxFull)]);
    assert_eq!(mailbox.waiting(&absent).await.len(), waiting.len());
    // One that is larger than a share takes the place of all of its sender's.
    let large = envelope(&alice, Recipient::Room(room("#all")), 20_000);
    let n = numbers(&mailbox.store(&alice, std::slice::from_ref(&large), 1).await);
    assert_eq!(mailbox.waiting(&absent).await[1..], [(n[0], large)]);
    mailbox.0.close().await;
}

#[tokio::test]
async fn a_damaged_envelope_is_left_out_and_a_resend_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (identity(1), identity(2));
    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    let sent: Vec<Envelope> = (0..3).map(|_| envelope(&alice, to(&bob), 3000)).collect();
    let n = numbers(&mailbox.store(&alice, &sent, 1).await);
    mailbox.0.close().await;
    let mut bytes = std::fs::read(database(dir.path())).unwrap();
    let needle = [&sent[1].frame[..500]].concat();
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 100] ^= 1;
    std::fs::write(database(dir.path()), bytes).unwrap();

    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    let page = mailbox.0.waiting(bob.peer_id(), 0, 10, usize::MAX).await.unwrap();
    assert_eq!(page.items.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [n[0], n[2]]);
    assert_eq!(page.damaged, [n[1]]);
    mailbox.0.write(Write::Discard { numbers: page.damaged }).await;
    let healed = mailbox.store(&alice, &sent, 1).await;
    assert!(matches!(healed[..], [Outcome::Known, Outcome::Stored(_), Outcome::Known]), "{healed:?}");
    assert_eq!(mailbox.waiting(&bob).await.len(), 3);
    mailbox.0.close().await;
}

#[tokio::test]
async fn pages_are_bounded_and_fit_together() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    let (alice, bob) = (identity(1), identity(2));
    for person in [&alice, &bob] {
        mailbox.attach(person, 1).await.unwrap();
        mailbox.join(person, "#all").await;
    }
    let sent: Vec<Envelope> = (0..40)
        .map(|i| envelope(&alice, if i % 3 == 0 { Recipient::Room(room("#all")) } else { to(&bob) }, i * 100))
        .collect();
    mailbox.store(&alice, &sent, 1).await;
    mailbox.store(&alice, &[envelope(&alice, to(&identity(5)), 1)], 1).await;
    for (max_items, max_bytes) in [(1, usize::MAX), (7, usize::MAX), (40, 3000), (40, 0), (0, 0)] {
        let (mut after, mut got, mut more) = (0, Vec::new(), true);
        while more {
            let page = mailbox.0.waiting(bob.peer_id(), after, max_items, max_bytes).await.unwrap();
            let bytes: usize = page.items.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(page.items.len() == 1 || (page.items.len() <= max_items && bytes <= max_bytes));
            got.extend(page.items.iter().map(|(_, bytes)| Envelope::decode(bytes).unwrap()));
            assert!(page.through > after);
            (after, more) = (page.through, page.more);
        }
        assert_eq!(got, sent);
        assert_eq!(after, 41, "also past what is for others");
    }
    mailbox.0.close().await;
}
