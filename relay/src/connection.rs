//! The reading half of a link: checks each record, hands it to the mailbox, and sees to it that the answer
//! finds its way.

use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use chat_core::PeerId;
use chat_core::transport::{FrameSource, Link, MAX_FRAME_BYTES};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout};

use crate::bucket::TokenBucket;
use crate::gate::say;
use crate::hub::error;
use crate::mailbox::{MailboxError, NewEnvelope, Outcome, Write};
use crate::memory::Account;
use crate::origins::Visit;
use crate::outgoing::Client;
use crate::passing::Welcome;
use crate::records::{self, Record, Submitted};
use crate::server::{Inner, until_closing};
use crate::settle::{refuse, settle};
use crate::writer::Writer;

/// What one client may have submitted without an answer yet, in units of 1 KiB.
const IN_FLIGHT_UNITS: u32 = 4096;

/// Why a link ends.
enum End {
    /// The peer closed it, or it failed.
    Closed,
    /// Nothing was heard for too long.
    Idle,
    /// A record that is malformed or out of order.
    Protocol(String),
    /// The relay stops.
    Moving,
    /// It was told why already: the same peer has connected again, or the mailbox can't be read.
    Told,
}

/// Takes the client out of the hub also if its task is aborted.
struct Attachment<'a> {
    relay: &'a Inner,
    client: Arc<Client>,
}

impl Drop for Attachment<'_> {
    fn drop(&mut self) {
        self.relay.hub.detach(&self.client);
    }
}

/// Serves a link whose peer has said `Hello`, until it ends.
pub(crate) async fn run(relay: Arc<Inner>, link: Link, peer: PeerId, visit: Visit) {
    let account = Account::new(Arc::clone(&relay.memory), Arc::clone(&visit.memory));
    let client = Arc::new(Client::new(peer, &relay.config, Arc::clone(&relay.counters), account));
    let Link { sink, source, stats, .. } = link;
    let mut writer = pin!(Writer { relay: &relay, client: &client, sink, stats }.run());
    if let Err(refused) = attach(&relay, &client, &visit).await {
        say!(relay, info, peer = %peer.short(), "not taken");
        client.finish(Some(&refused));
        return say_farewell(&relay, &client, writer).await;
    }
    let attachment = Attachment { relay: &relay, client: Arc::clone(&client) };
    say!(relay, info, peer = %peer.short(), "connected");
    let mut reader = Reader::new(&relay, Arc::clone(&client), &visit);
    let end = tokio::select! {
        biased;
        end = reader.run(source) => Some(end),
        () = &mut writer => None,
        () = client.finishing() => Some(End::Told),
    };
    drop(attachment);
    if let Some(end) = end {
        client.finish(farewell(&relay, peer, end).as_ref());
        say_farewell(&relay, &client, writer).await;
    }
    say!(relay, info, peer = %peer.short(), "disconnected");
}

/// Writes what is left to be said, for as long as one frame may take and no longer: the link has no other use.
async fn say_farewell(relay: &Inner, client: &Client, writer: Pin<&mut impl Future<Output = ()>>) {
    if timeout(relay.config.write_timeout, writer).await.is_err() {
        relay.counters.stalled.one();
        tracing::debug!(peer = %client.peer.short(), "did not take its farewell in time");
    }
}

fn farewell(relay: &Inner, peer: PeerId, end: End) -> Option<FromRelay> {
    match end {
        End::Closed | End::Told => None,
        End::Idle => {
            tracing::debug!(peer = %peer.short(), "silent for too long");
            None
        }
        End::Protocol(detail) => {
            relay.counters.protocol_errors.one();
            say!(relay, warn, peer = %peer.short(), "sent a record that is malformed or out of order");
            Some(error(Refusal::Protocol, detail))
        }
        End::Moving => Some(FromRelay::Moving),
    }
}

/// Makes the peer known to the mailbox and the hub; the error is what to tell it.
async fn attach(relay: &Arc<Inner>, client: &Arc<Client>, visit: &Visit) -> Result<(), FromRelay> {
    let failed = || error(Refusal::Storage, "the mailbox failed");
    let known = relay.in_time(relay.mailbox.knows(client.peer)).await.map_err(|_| failed())?;
    if !known && client.is_tight() {
        relay.counters.refused_addresses.one();
        return Err(error(Refusal::TooFast, "the relay is short of memory; try again in a minute"));
    }
    if !known && !visit.may_bring_a_peer() {
        relay.counters.refused_addresses.one();
        let detail = "too many new peers from your network address; try again in a minute";
        return Err(error(Refusal::TooFast, detail));
    }
    let (tell, told) = oneshot::channel();
    let (hub, attaching, now) = (Arc::clone(&relay.hub), Arc::clone(client), relay.environment.now());
    // In the order of commits: what is committed later is routed to the client, what was earlier it reads.
    let done = Box::new(move |result: Result<_, MailboxError>| {
        let result = match result {
            Ok(Some(attached)) => hub.attach(&attaching, &attached, now).map_err(|refused| *refused),
            Ok(None) => Err(error(Refusal::MailboxFull, "the relay remembers as many peers as it can")),
            Err(_) => Err(error(Refusal::Storage, "the mailbox failed")),
        };
        if let Err(Ok(())) = tell.send(result) {
            hub.detach(&attaching);
        }
    });
    let attach = Write::Attach { peer: client.peer, now, done };
    let attached = async {
        relay.mailbox.write(attach).await;
        told.await.map_err(|_| failed())?
    };
    timeout(relay.config.storage_timeout, attached).await.map_err(|_| failed())?
}

/// Envelopes handed to the mailbox. Should it drop them without an answer, as after a deadline or a panic, they are
/// refused: nobody waits for ever.
struct Unanswered {
    relay: Arc<Inner>,
    client: Arc<Client>,
    envelopes: Vec<NewEnvelope>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.envelopes.iter().for_each(|e| refuse(&self.relay, &self.client, e.id, Refusal::Storage));
    }
}

/// What reads and answers the records of one link.
pub(crate) struct Reader<'a> {
    pub(crate) relay: &'a Arc<Inner>,
    pub(crate) client: Arc<Client>,
    pub(crate) visit: &'a Visit,
    /// What was submitted and not answered yet.
    in_flight: Arc<Semaphore>,
    pub(crate) submits: TokenBucket,
    pub(crate) controls: TokenBucket,
    pub(crate) welcome: Welcome,
}

impl<'a> Reader<'a> {
    fn new(relay: &'a Arc<Inner>, client: Arc<Client>, visit: &'a Visit) -> Self {
        let config = &relay.config;
        Self {
            relay,
            client,
            visit,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_UNITS as usize)),
            submits: TokenBucket::new(config.submit_rate, config.submit_burst),
            controls: TokenBucket::new(config.control_rate, config.control_burst),
            welcome: Welcome::default(),
        }
    }

    async fn run(&mut self, mut source: FrameSource) -> End {
        let mut closing = self.relay.closing.subscribe();
        loop {
            let next = timeout(self.relay.config.idle_timeout, source.next());
            let frame = tokio::select! {
                biased;
                () = until_closing(&mut closing) => return self.drain().await,
                frame = next => frame,
            };
            let frame = match frame {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_)) | None) => return End::Closed,
                Err(_) => return End::Idle,
            };
            if let Err(end) = self.record(frame).await {
                return end;
            }
            // Whoever does not read its answers is not read either; the writer's deadline ends that.
            self.client.takes_answers().await;
            if self.client.is_tight() {
                // Nor who is owed some: while memory is short, one record at a time.
                drop(self.in_flight.acquire_many(IN_FLIGHT_UNITS).await);
                self.client.takes_answers().await;
            }
        }
    }

    /// What was submitted is still answered. [`crate::Relay::shutdown`] bounds the wait.
    async fn drain(&self) -> End {
        let _all = self.in_flight.acquire_many(IN_FLIGHT_UNITS).await;
        End::Moving
    }

    async fn record(&mut self, frame: Bytes) -> Result<(), End> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(End::Protocol("the record is over the limit of size".into()));
        }
        let record = records::parse(&frame).map_err(|error| End::Protocol(error.to_string()))?;
        match record {
            Record::Submit(envelopes) => self.submit(frame, envelopes).await,
            Record::Other(ToRelay::Ack { through }) => self.ack(through).await,
            Record::Other(ToRelay::Ping { n }) => self.client.answer(&FromRelay::Pong { n }),
            Record::Other(ToRelay::Pass { envelope }) => self.pass(envelope, frame.len()).await,
            Record::Other(ToRelay::Hello { .. }) => {
                return Err(End::Protocol("`Hello` is the first record, and no other".into()));
            }
            // `records` reads every `Submit` itself. Should one come in an encoding that it does not see: nobody would
            // answer for its envelopes.
            Record::Other(ToRelay::Submit { .. }) => {
                return Err(End::Protocol("`Submit` is an array of two items".into()));
            }
            Record::Other(other) => {
                if self.controls.take(Instant::now()) {
                    self.control(other).await;
                } else {
                    self.client.answer(&error(Refusal::TooFast, "too many records in too short a time"));
                }
            }
        }
        Ok(())
    }

    /// Room among what is in flight, kept by whoever answers; none if the mailbox gives no answers.
    pub(crate) async fn place(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(IN_FLIGHT_UNITS);
        let place = Arc::clone(&self.in_flight).acquire_many_owned(units);
        timeout(self.relay.config.storage_timeout, place).await.ok()?.ok()
    }

    /// The same, and room among what everybody has in flight.
    async fn place_for_envelopes(&self, bytes: usize) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = self.place(bytes).await?;
        let all = self.relay.config.submit_units();
        let units = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(all);
        let place = Arc::clone(&self.relay.submitting).acquire_many_owned(units);
        let everybodys = timeout(self.relay.config.storage_timeout, place).await.ok()?.ok()?;
        Some([own, everybodys])
    }

    pub(crate) fn failed(&self) {
        self.client.answer(&error(Refusal::Storage, "the mailbox failed"));
    }

    /// Hands a change over; false if the mailbox didn't take it in time, and nothing of it happens.
    async fn write(&self, change: Write) -> bool {
        timeout(self.relay.config.storage_timeout, self.relay.mailbox.write(change)).await.is_ok()
    }

    async fn submit(&mut self, frame: Bytes, submitted: Vec<Submitted>) {
        self.relay.counters.submitted.add(submitted.len());
        let mut taken = Vec::with_capacity(submitted.len());
        let mut bytes = 0;
        let now = Instant::now();
        for envelope in submitted {
            let refusal = if envelope.from != self.client.peer {
                Some(Refusal::NotAllowed)
            } else if envelope.too_large {
                Some(Refusal::TooLarge)
            } else if !self.submits.take(now) {
                Some(Refusal::TooFast)
            } else {
                None
            };
            match refusal {
                Some(why) => refuse(self.relay, &self.client, envelope.id, why),
                None => {
                    bytes += envelope.place.len();
                    taken.push(envelope);
                }
            }
        }
        if taken.is_empty() {
            return;
        }
        // The envelopes stay in their frame until there is room for them.
        let Some(place) = self.place_for_envelopes(bytes).await else {
            return taken.iter().for_each(|e| refuse(self.relay, &self.client, e.id, Refusal::Storage));
        };
        let envelopes: Vec<NewEnvelope> =
            taken.into_iter().map(|envelope| envelope.cut_out(&frame)).collect();
        drop(frame);
        let mut unanswered = Unanswered {
            relay: Arc::clone(self.relay),
            client: Arc::clone(&self.client),
            // Copies of a few words each: the bytes are shared.
            envelopes: envelopes.clone(),
        };
        let done = Box::new(move |result: Result<Vec<Outcome>, MailboxError>| {
            let Unanswered { relay, client, envelopes } = &unanswered;
            settle(relay, client, envelopes, result);
            unanswered.envelopes.clear();
            drop(place);
        });
        let now = self.relay.environment.now();
        let (from, payer) = (self.client.peer, self.visit.payer());
        let store = Write::Store { from, payer, envelopes, now, done };
        if !self.write(store).await {
            tracing::warn!(peer = %self.client.peer.short(), "the mailbox took no envelopes in time");
        }
    }

    async fn ack(&self, through: u64) {
        if let Some(through) = self.client.ack(through)
            && !self.write(Write::Ack { peer: self.client.peer, through }).await
        {
            // What it acknowledged may come again; it will know it.
            tracing::warn!(peer = %self.client.peer.short(), "the mailbox took no acknowledgement in time");
        }
    }

    /// Hands over a change that is answered by an error only.
    pub(crate) async fn change(&self, change: Write) {
        if !self.write(change).await {
            self.failed();
        }
    }
}
