//! What it costs the relay's mailbox to make an envelope durable, beside the device's own sync and two servers that keep
//! messages: each with 64 envelopes in flight, acknowledged one by one.
//!
//! The servers are reached over loopback by one connection that keeps 64 commands in flight; the mailbox is called in
//! this process by 64 tasks, each with one envelope at a time, within the limits that a relay has by default. CPU is that
//! of the server's process, or of this one, tasks and all.

mod peers;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::wire::Recipient;
use chat_core::{EnvelopeId, PeerId, Timestamp};
use relay::mailbox::{NewEnvelope, Outcome, Write};
use relay::{Mailbox, MailboxLimits, SqliteMailbox};
use tokio::sync::oneshot;

use crate::process::Usage;
use crate::report::{Cell, Table, figure};
use crate::stats::{Samples, over_rounds};
use crate::{Fault, Plan};

/// Envelopes in flight.
pub(crate) const WRITERS: usize = 64;
/// Mailboxes that are written to.
pub(crate) const BOXES: usize = 200;
/// Bytes of an envelope.
pub(crate) const ENVELOPE_BYTES: usize = 300;
/// How long each is measured in a round.
pub(crate) const SPAN: Duration = Duration::from_secs(3);
/// Envelopes a second where one is in flight.
const PACE: u32 = 500;

/// What one server, or the mailbox, did in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) a_second: f64,
    pub(crate) cpu_us: f64,
    /// Envelopes that one sync made durable, where that is known.
    pub(crate) a_sync: Option<f64>,
}

struct Round {
    syncs: f64,
    sync_us: f64,
    many: Done,
    paced: (f64, f64),
    redis: Option<Done>,
    jetstream: Option<Done>,
}

type OfRound = fn(&Round) -> Option<Done>;

/// What is compared, and how it did in a round.
const ENDURED: [(&str, OfRound); 3] = [
    ("mailbox, 64 writers", |round| Some(round.many)),
    ("redis-server, appendfsync always, XADD", |round| round.redis),
    ("nats-server JetStream, file, not synced", |round| round.jetstream),
];

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let columns = [
        "durable enqueue",
        "a second",
        "× fdatasync/s",
        "CPU µs each",
        "each sync",
        "p50 µs",
        "p99 µs",
        "p50 × fdatasync",
    ];
    let mut table = Table::new("mailbox", &columns);
    let rounds = (0..plan.rounds).map(|_| round(plan)).collect::<Result<Vec<_>, _>>()?;
    let over = |of: &dyn Fn(&Round) -> f64| over_rounds(&rounds, of);
    let nothing = || Cell::Nothing;
    let (syncs, sync_us) = (figure(over(&|r| r.syncs), 0), figure(over(&|r| r.sync_us), 0));
    let once = || figure(1.0, 1);
    table.row([
        "fdatasync of 4 KiB, one after another".into(),
        syncs,
        once(),
        nothing(),
        nothing(),
        sync_us,
        nothing(),
        once(),
    ]);
    let mut ratios = Vec::new();
    for (name, of) in ENDURED {
        if rounds.iter().any(|round| of(round).is_none()) {
            ratios.push(format!("{name}: not installed"));
            continue;
        }
        let done = |round: &Round| of(round).unwrap_or(round.many);
        table.row([
            name.into(),
            figure(over(&|r| done(r).a_second), 0),
            figure(over(&|r| done(r).a_second / r.syncs), 1),
            figure(over(&|r| done(r).cpu_us), 1),
            match rounds.iter().any(|round| done(round).a_sync.is_none()) {
                true => nothing(),
                false => figure(over(&|r| done(r).a_sync.unwrap_or_default()), 0),
            },
            nothing(),
            nothing(),
            nothing(),
        ]);
        ratios.push(format!("the mailbox is {:.2}× {name}", over(&|r| r.many.a_second / done(r).a_second)));
    }
    table.row([
        "mailbox, one in flight, 500/s".into(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        figure(over(&|r| r.paced.0), 0),
        figure(over(&|r| r.paced.1), 0),
        figure(over(&|r| r.paced.0 / r.sync_us), 1),
    ]);
    let how = format!(
        "Medians of {} rounds of {} s each; {ENVELOPE_BYTES} bytes; {}.",
        plan.rounds,
        SPAN.as_secs(),
        ratios.get(1..).unwrap_or_default().join("; ")
    );
    Ok(table.note(how))
}

/// One after another, each in a folder of its own on the same disk.
fn round(plan: &Plan) -> Result<Round, Fault> {
    let place = || plan.program.folder();
    let (first, _) = syncs(place()?.path(), SPAN / 2)?;
    let many = many(place()?.path())?;
    let redis = peers::redis(place()?.path())?;
    let jetstream = peers::jetstream(place()?.path())?;
    let paced_place = place()?;
    let (second, sync_us) = syncs(paced_place.path(), SPAN / 2)?;
    let paced = paced(paced_place.path())?;
    Ok(Round { syncs: (first + second) / 2.0, sync_us, many, paced, redis, jetstream })
}

/// Appends and syncs 4 KiB, again and again: how often a second, and the median time of one in microseconds.
fn syncs(folder: &Path, span: Duration) -> Result<(f64, f64), Fault> {
    let mut file = File::create(folder.join("synced"))?;
    let (mut times, mut count, began) = (Samples::default(), 0, Instant::now());
    while began.elapsed() < span {
        file.write_all(&[7; 4096])?;
        let syncing = Instant::now();
        file.sync_data()?;
        times.push(syncing.elapsed().as_secs_f64() * 1e6);
        count += 1;
    }
    Ok((f64::from(count) / began.elapsed().as_secs_f64(), times.median()))
}

fn peer(n: usize) -> PeerId {
    let mut id = [7; PeerId::LEN];
    id.iter_mut().zip(n.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
    PeerId(id)
}

fn envelope(n: u64) -> NewEnvelope {
    let mut bytes = vec![b'e'; ENVELOPE_BYTES];
    // Ids are random in truth: they spread over the table of those that were seen.
    let id = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes();
    bytes.iter_mut().zip(id).for_each(|(slot, byte)| *slot = byte);
    let to = Recipient::Peer(peer(usize::try_from(n).unwrap_or_default() % BOXES));
    NewEnvelope { id: EnvelopeId(id), to, bytes: bytes.into() }
}

/// Stores one, and waits until it is durable.
async fn store(mailbox: &SqliteMailbox, from: PeerId, n: u64) -> Result<(), Fault> {
    let (tell, told) = oneshot::channel();
    let done = Box::new(move |outcome: Result<Vec<Outcome>, _>| drop(tell.send(outcome)));
    let envelopes = vec![envelope(n)];
    mailbox.write(Write::Store { from, payer: 0, envelopes, now: Timestamp::now(), done }).await;
    match told.await??[..] {
        [Outcome::Stored(_)] => Ok(()),
        ref other => Err(format!("an envelope is {other:?}").into()),
    }
}

fn mailbox(folder: &Path) -> Result<(tokio::runtime::Runtime, Arc<SqliteMailbox>), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mailbox = SqliteMailbox::open(&folder.join("relay.db"), MailboxLimits::default())?;
    Ok((runtime, Arc::new(mailbox)))
}

/// Sixty-four writers, each with one envelope at a time.
fn many(folder: &Path) -> Result<Done, Fault> {
    let (runtime, mailbox) = mailbox(folder)?;
    let (before, began) = (Usage::of(std::process::id())?, Instant::now());
    let count: u64 = runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS as u64 {
            let mailbox = Arc::clone(&mailbox);
            writers.spawn(async move {
                let from = peer(10_000 + usize::try_from(writer)?);
                let mut stored = 0;
                while began.elapsed() < SPAN {
                    store(&mailbox, from, writer + stored * WRITERS as u64).await?;
                    stored += 1;
                }
                Ok::<_, Fault>(stored)
            });
        }
        let mut count = 0;
        while let Some(stored) = writers.join_next().await {
            count += stored??;
        }
        Ok::<_, Fault>(count)
    })?;
    let took = began.elapsed();
    let used = Usage::of(std::process::id())?.since(&before);
    let (commits, _) = mailbox.commits();
    runtime.block_on(mailbox.close());
    Ok(Done {
        a_second: count as f64 / took.as_secs_f64(),
        cpu_us: used.cpu.as_secs_f64() * 1e6 / count as f64,
        a_sync: Some(count as f64 / commits as f64),
    })
}

/// Five hundred a second, one after another: the median and the 99th percentile of the time until one is durable, in
/// microseconds.
fn paced(folder: &Path) -> Result<(f64, f64), Fault> {
    let (runtime, mailbox) = mailbox(folder)?;
    let mut times = Samples::default();
    let mut every = runtime.block_on(async { tokio::time::interval(Duration::from_secs(1) / PACE) });
    let count = SPAN.as_secs() * u64::from(PACE);
    runtime.block_on(async {
        for n in 0..count {
            every.tick().await;
            let storing = Instant::now();
            store(&mailbox, peer(10_000), n).await?;
            times.push(storing.elapsed().as_secs_f64() * 1e6);
        }
        mailbox.close().await;
        Ok::<_, Fault>(())
    })?;
    Ok((times.median(), times.percentile(99)))
}

/// As it is stored.
pub(crate) fn payload(n: u64) -> Bytes {
    envelope(n).bytes
}
