//! The writing half of a link: one turn after another takes what waits for the client, writes it, flushes
//! once, and looks up what has to be read from the mailbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_core::nick::RoomName;
use chat_core::transport::{FrameSink, LinkStats};
use chat_core::wire::FromRelay;
use chat_core::wire::relay::Refusal;
use chat_core::{LinkError, PeerId};
use futures_util::SinkExt;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use crate::gate::say;
use crate::hub::error;
use crate::mail::CatchUp;
use crate::mailbox::{Entry, MailboxError, Write};
use crate::memory::{FREE_BYTES, frame_cost};
use crate::outgoing::Client;
use crate::server::Inner;

/// Bytes of bundles looked up at a time.
const ROSTER_BYTES: usize = 16 << 10;

/// Bytes that a link may keep of what it was given before more is looked up for it; less when memory is short.
const LINK_BYTES: usize = 256 << 10;
/// How soon a link that keeps more is asked again, and one whose figure is old.
const LINK_PAUSE: Duration = Duration::from_millis(20);
const LINK_REFRESH: Duration = Duration::from_secs(1);
/// First and longest pause before memory is asked for again.
const MEMORY_PAUSE: Duration = Duration::from_millis(50);
const MEMORY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Whether something was looked up.
enum Lookup {
    Done,
    /// There is no room for so many bytes.
    NoRoom(usize),
}

/// When it is worth looking something up again, because memory was short or the link slow.
struct Pause {
    until: Instant,
    wait: Duration,
    /// Bytes there must be room for.
    wanted: usize,
}

impl Pause {
    fn new() -> Self {
        Self { until: Instant::now(), wait: MEMORY_PAUSE, wanted: 0 }
    }

    /// Whether to look up now.
    fn is_over(&mut self, client: &Client, kept: usize) -> bool {
        if Instant::now() < self.until {
            return false;
        }
        let link_bytes = if client.is_tight() { FREE_BYTES / 2 } else { LINK_BYTES };
        if kept > link_bytes {
            self.until = Instant::now() + LINK_PAUSE;
            return false;
        }
        if client.has_room(self.wanted) {
            return true;
        }
        self.lengthen();
        false
    }

    fn lengthen(&mut self) {
        self.until = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(MEMORY_PAUSE_MAX);
    }

    fn after(&mut self, lookup: &Lookup) {
        match lookup {
            Lookup::Done => *self = Self::new(),
            Lookup::NoRoom(bytes) => {
                self.wanted = *bytes;
                self.lengthen();
            }
        }
    }
}

/// The writing half.
pub(crate) struct Writer<'a> {
    pub(crate) relay: &'a Inner,
    pub(crate) client: &'a Client,
    pub(crate) sink: FrameSink,
    pub(crate) stats: Arc<dyn LinkStats>,
}

impl Writer<'_> {
    /// Writes until the client is finished, the link fails, or its peer takes nothing for too long.
    pub(crate) async fn run(mut self) {
        let client = self.client;
        let mut pause = Pause::new();
        loop {
            let turn = client.turn();
            let had_frames = !turn.frames.is_empty();
            if let Err(end) = self.write(turn.frames).await {
                tracing::debug!(peer = %client.peer.short(), reason = %end, "a link failed");
                return;
            }
            if turn.finished {
                break;
            }
            let kept = self.stats.waiting_bytes();
            client.written(kept);
            let wants = turn.catch_up.is_some() || turn.roster.is_some();
            if wants && pause.is_over(client, kept) {
                match self.look_up(turn.catch_up, turn.roster).await {
                    Ok(lookup) => pause.after(&lookup),
                    Err(reason) => {
                        tracing::error!(peer = %client.peer.short(), %reason, "the mailbox could not be read");
                        client.finish(Some(&error(Refusal::Storage, "the mailbox could not be read")));
                    }
                }
            } else if had_frames {
                // One turn is not all there may be.
            } else if wants {
                drop(timeout_at(pause.until, client.changed()).await);
            } else if kept > 0 {
                // Until what the link keeps is another figure.
                drop(timeout(LINK_REFRESH, client.changed()).await);
            } else {
                client.changed().await;
            }
        }
        if !matches!(timeout(self.relay.config.write_timeout, self.sink.close()).await, Ok(Ok(()))) {
            tracing::debug!(peer = %client.peer.short(), "a link was not closed in good order");
        }
    }

    async fn look_up(
        &mut self,
        catch_up: Option<CatchUp>,
        roster: Option<(RoomName, u64)>,
    ) -> Result<Lookup, MailboxError> {
        if let Some(read) = catch_up
            && let Lookup::NoRoom(bytes) = self.catch_up(read).await?
        {
            return Ok(Lookup::NoRoom(bytes));
        }
        match roster {
            Some((room, position)) => self.roster(room, position).await,
            None => Ok(Lookup::Done),
        }
    }

    async fn write(&mut self, frames: Vec<Bytes>) -> Result<(), LinkError> {
        if frames.is_empty() {
            return Ok(());
        }
        let deadline = self.relay.config.write_timeout;
        for frame in frames {
            let fed = timeout(deadline, self.sink.feed(frame)).await;
            self.in_time(fed)?;
        }
        let flushed = timeout(deadline, self.sink.flush()).await;
        self.in_time(flushed)
    }

    fn in_time(&self, written: Result<Result<(), LinkError>, Elapsed>) -> Result<(), LinkError> {
        written.unwrap_or_else(|_| {
            self.relay.counters.stalled.one();
            say!(self.relay, info, peer = %self.client.peer.short(), "takes nothing any more");
            Err(LinkError::Timeout("writing"))
        })
    }

    /// Reads a piece of the mailbox.
    async fn catch_up(&mut self, read: CatchUp) -> Result<Lookup, MailboxError> {
        let Self { relay, client, .. } = *self;
        let reading = relay.mailbox.waiting(client.peer, read.after, read.max_items, read.max_bytes);
        let page = relay.in_time(reading).await?;
        if !page.damaged.is_empty() {
            relay.counters.damaged.add(page.damaged.len());
            tracing::error!(numbers = ?page.damaged, "stored envelopes are damaged and dropped; a resend brings them again");
            let discard = async {
                relay.mailbox.write(Write::Discard { numbers: page.damaged.clone() }).await;
                Ok(())
            };
            relay.in_time(discard).await?;
        }
        let bytes = page.items.iter().map(|(_, envelope)| frame_cost(envelope.len())).sum();
        Ok(if client.caught_up(page) { Lookup::Done } else { Lookup::NoRoom(bytes) })
    }

    /// Looks up and writes a piece of a room's members. The next is looked up once this one was taken.
    async fn roster(&mut self, room: RoomName, position: u64) -> Result<Lookup, MailboxError> {
        let Self { relay, client, .. } = *self;
        let piece = relay.in_time(relay.mailbox.roster(room.clone(), position, ROSTER_BYTES)).await?;
        let members: Vec<PeerId> = piece.entries.iter().map(|entry| entry.peer).collect();
        let mut frames: Vec<Bytes> = Vec::new();
        for Entry { peer, bundle } in piece.entries {
            if let Some(bundle) = bundle {
                let online = relay.hub.is_online(peer);
                frames.push(FromRelay::Peer { bundle: bundle.to_vec(), online }.encode().into());
            }
        }
        let named = match piece.next {
            Some(_) => FromRelay::Members { room: room.clone(), members },
            None => FromRelay::Room { room: room.clone(), members },
        };
        frames.push(named.encode().into());
        if !client.writes(&frames) {
            return Ok(Lookup::NoRoom(frames.iter().map(|frame| frame_cost(frame.len())).sum()));
        }
        // A link that fails here fails again in the next turn, which ends it.
        if self.write(frames).await.is_err() {
            client.finish(None);
        }
        client.written(self.stats.waiting_bytes());
        client.listed(&room, position, piece.next);
        Ok(Lookup::Done)
    }
}
