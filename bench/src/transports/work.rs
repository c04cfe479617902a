//! What is done with each stack on loopback, and what it takes of both processes.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{sleep, timeout};

use super::pipe::{Frame, Pipe};
use super::server::{BULK, ECHO, Server, TOTAL};
use super::stack::{Dialer, Stack};
use crate::Fault;
use crate::process::{Usage, resident_mib};
use crate::stats::Samples;

/// Links that do nothing.
pub(crate) const IDLE_LINKS: usize = 1000;
/// Of them dialing at a time.
const AT_ONCE: usize = 16;
/// Links before those that are counted: what is set up once is no link's.
const FIRST_LINKS: usize = 16;
/// After many links came or went.
const SETTLE: Duration = Duration::from_millis(1000);
const HANDSHAKES: Duration = Duration::from_millis(600);
const PING_PONG: Duration = Duration::from_millis(500);
const BULK_SPAN: Duration = Duration::from_millis(900);
/// Bytes of a frame there and back, and of one of many.
pub(crate) const PING_BYTES: usize = 200;
pub(crate) const BULK_BYTES: usize = 32 << 10;
/// Before a rate is taken.
const WARM_UP: Duration = Duration::from_millis(150);
/// Longest that any one thing may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was found of one stack in one round. CPU is that of both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// One after another, each with a byte there and back.
    pub(crate) handshakes: f64,
    pub(crate) handshake_cpu_us: f64,
    pub(crate) ping_us: f64,
    pub(crate) ping_cpu_us: f64,
    pub(crate) bulk_mb: f64,
    pub(crate) cpu_s_per_gb: f64,
    /// KiB at the end that listens.
    pub(crate) idle_kib: f64,
}

pub(crate) async fn measure(stack: Stack) -> Result<Found, Fault> {
    let server = Server::start(stack)?;
    let dialer = stack.dialer()?;
    let clock = Clock { pids: [std::process::id(), server.pid()] };
    let idle_kib = idle(&dialer, &server).await?;
    let (handshakes, handshake_cpu_us) = handshakes(&dialer, &server, &clock).await?;
    let mut pipe = timeout(PATIENCE, dialer.dial(server.address)).await??;
    let (ping_us, ping_cpu_us) = ping_pong(&mut pipe, &clock).await?;
    let (bulk_mb, cpu_s_per_gb) = bulk(&mut pipe, &clock).await?;
    Ok(Found { handshakes, handshake_cpu_us, ping_us, ping_cpu_us, bulk_mb, cpu_s_per_gb, idle_kib })
}

/// Processor time of both ends.
struct Clock {
    pids: [u32; 2],
}

impl Clock {
    fn look(&self) -> Result<[Usage; 2], Fault> {
        let [client, server] = self.pids;
        Ok([Usage::of(client)?, Usage::of(server)?])
    }

    fn since(&self, before: &[Usage; 2]) -> Result<Duration, Fault> {
        Ok(self.look()?.iter().zip(before).map(|(now, before)| now.since(before).cpu).sum())
    }
}

async fn greet(dialer: &Dialer, server: &Server) -> Result<Pipe, Fault> {
    let mut pipe = dialer.dial(server.address).await?;
    pipe.send(&Frame::new(&[ECHO])).await?;
    pipe.recv().await?.ok_or("the server hung up")?;
    Ok(pipe)
}

async fn crowd(dialer: &Dialer, server: &Server, links: usize) -> Result<Vec<Pipe>, Fault> {
    let greeted = (0..links).map(|_| async { timeout(PATIENCE, greet(dialer, server)).await? });
    stream::iter(greeted).buffer_unordered(AT_ONCE).try_collect().await
}

async fn idle(dialer: &Dialer, server: &Server) -> Result<f64, Fault> {
    let first = crowd(dialer, server, FIRST_LINKS).await?;
    let before = resident_mib(server.pid())?;
    let all = crowd(dialer, server, IDLE_LINKS).await?;
    sleep(SETTLE).await;
    let after = resident_mib(server.pid())?;
    drop((first, all));
    sleep(SETTLE).await;
    Ok((after - before).max(0.0) * 1024.0 / IDLE_LINKS as f64)
}

async fn handshakes(dialer: &Dialer, server: &Server, clock: &Clock) -> Result<(f64, f64), Fault> {
    let during = async |span: Duration| {
        let (began, mut made) = (Instant::now(), 0_u32);
        while began.elapsed() < span {
            drop(timeout(PATIENCE, greet(dialer, server)).await??);
            made += 1;
        }
        Ok::<_, Fault>((f64::from(made), began.elapsed()))
    };
    during(WARM_UP).await?;
    let before = clock.look()?;
    let (made, took) = during(HANDSHAKES).await?;
    let cpu = clock.since(&before)?;
    Ok((made / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / made))
}

async fn ping_pong(pipe: &mut Pipe, clock: &Clock) -> Result<(f64, f64), Fault> {
    let ping = Frame::new(&[ECHO; PING_BYTES]);
    let mut during = async |span: Duration| {
        let (began, mut trips) = (Instant::now(), Samples::default());
        let mut last = began;
        while last < began + span {
            pipe.send(&ping).await?;
            let pong = pipe.recv().await?.ok_or("the server hung up")?;
            if pong.len != PING_BYTES {
                return Err("another frame came back".into());
            }
            let now = Instant::now();
            trips.push((now - last).as_secs_f64() * 1e6);
            last = now;
        }
        Ok::<_, Fault>(trips)
    };
    during(WARM_UP).await?;
    let before = clock.look()?;
    let trips = during(PING_PONG).await?;
    let cpu = clock.since(&before)?;
    Ok((trips.median(), cpu.as_secs_f64() * 1e6 / trips.len() as f64))
}

/// Megabytes a second from here to there, and seconds of a processor a gigabyte.
async fn bulk(pipe: &mut Pipe, clock: &Clock) -> Result<(f64, f64), Fault> {
    let frame = Frame::new(&vec![BULK; BULK_BYTES]);
    let mut during = async |span: Duration| {
        let (began, mut sent) = (Instant::now(), 0_u64);
        while began.elapsed() < span {
            pipe.feed(&frame).await?;
            sent += BULK_BYTES as u64;
        }
        pipe.send(&Frame::new(&[TOTAL])).await?;
        let total = pipe.recv().await?.ok_or("the server hung up")?;
        let took = began.elapsed();
        if total.first[0] != TOTAL || total.number() != sent {
            return Err(format!("{sent} bytes were sent, and {} came", total.number()).into());
        }
        Ok::<_, Fault>((sent as f64, took))
    };
    during(WARM_UP).await?;
    let before = clock.look()?;
    let (bytes, took) = during(BULK_SPAN).await?;
    let cpu = clock.since(&before)?;
    Ok((bytes / 1e6 / took.as_secs_f64(), cpu.as_secs_f64() * 1e9 / bytes))
}
