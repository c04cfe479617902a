//! The writing half of a link: one turn after another takes what waits for the client, writes it, flushes
//! once, and looks up what has to be read from the mailbox.

use bytes::Bytes;
use chat_core::LinkError;
use chat_core::nick::RoomName;
use chat_core::transport::FrameSink;
use chat_core::wire::FromRelay;
use chat_core::wire::relay::Refusal;
use futures_util::SinkExt;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::gate::say;
use crate::hub::error;
use crate::mail::CatchUp;
use crate::mailbox::{MailboxError, Write};
use crate::outgoing::{Client, Roster};
use crate::server::Inner;

/// Bytes of bundles looked up at a time.
const ROSTER_BYTES: usize = 64 << 10;

/// Writes until the client is finished, the link fails, or its peer takes nothing for too long.
pub(crate) async fn run(relay: &Inner, client: &Client, mut sink: FrameSink) {
    loop {
        let turn = client.turn();
        if turn.is_idle() {
            client.changed().await;
            continue;
        }
        if let Err(end) = write(relay, client, &mut sink, turn.frames).await {
            tracing::debug!(peer = %client.peer.short(), reason = %end, "a link failed");
            return;
        }
        if turn.finished {
            break;
        }
        let looked_up = async {
            if let Some(read) = turn.catch_up {
                catch_up(relay, client, read).await?;
            }
            match turn.roster {
                Roster::Nothing => Ok(()),
                Roster::Bundles(room, position) => bundles(relay, client, &mut sink, room, position).await,
                Roster::List(room) => members(relay, client, &mut sink, room).await,
            }
        };
        if let Err(reason) = looked_up.await {
            tracing::error!(peer = %client.peer.short(), %reason, "the mailbox could not be read");
            client.finish(Some(&error(Refusal::Storage, "the mailbox could not be read")));
        }
    }
    if !matches!(timeout(relay.config.write_timeout, sink.close()).await, Ok(Ok(()))) {
        tracing::debug!(peer = %client.peer.short(), "a link was not closed in good order");
    }
}

async fn write(
    relay: &Inner,
    client: &Client,
    sink: &mut FrameSink,
    frames: Vec<Bytes>,
) -> Result<(), LinkError> {
    if frames.is_empty() {
        return Ok(());
    }
    let deadline = relay.config.write_timeout;
    for frame in frames {
        in_time(relay, client, timeout(deadline, sink.feed(frame)).await)?;
    }
    in_time(relay, client, timeout(deadline, sink.flush()).await)
}

fn in_time(
    relay: &Inner,
    client: &Client,
    written: Result<Result<(), LinkError>, Elapsed>,
) -> Result<(), LinkError> {
    written.unwrap_or_else(|_| {
        relay.counters.stalled.one();
        say!(relay, info, peer = %client.peer.short(), "takes nothing any more");
        Err(LinkError::Timeout("writing"))
    })
}

async fn catch_up(relay: &Inner, client: &Client, read: CatchUp) -> Result<(), MailboxError> {
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
    client.caught_up(page);
    Ok(())
}

async fn bundles(
    relay: &Inner,
    client: &Client,
    sink: &mut FrameSink,
    room: RoomName,
    position: u64,
) -> Result<(), MailboxError> {
    let roster = relay.in_time(relay.mailbox.roster(room.clone(), position, ROSTER_BYTES)).await?;
    let frames = roster.entries.into_iter().filter_map(|entry| {
        let online = relay.hub.is_online(entry.peer);
        entry.bundle.map(|bundle| FromRelay::Peer { bundle: bundle.to_vec(), online }.encode().into())
    });
    // A link that fails here fails again in the next turn, which ends it.
    if write(relay, client, sink, frames.collect()).await.is_err() {
        client.finish(None);
    }
    client.listed(&room, position, roster.next);
    Ok(())
}

async fn members(
    relay: &Inner,
    client: &Client,
    sink: &mut FrameSink,
    room: RoomName,
) -> Result<(), MailboxError> {
    if !client.wants_room(&room) {
        return Ok(());
    }
    let list = relay.hub.room_list(&room);
    let record = list
        .get_or_try_init(|| async {
            let members = relay.in_time(relay.mailbox.members(room.clone())).await?;
            Ok(FromRelay::Room { room: room.clone(), members }.encode().into())
        })
        .await?;
    if write(relay, client, sink, vec![Bytes::clone(record)]).await.is_err() {
        client.finish(None);
    }
    Ok(())
}
