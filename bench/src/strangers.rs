//! Memory of a relay while crowds of strangers come, join a room, and go; and while they read nothing.

use std::net::SocketAddr;
use std::time::Duration;

use chat_core::nick::RoomName;
use chat_core::profile::Options;
use chat_core::transport::Role;
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
use chat_core::{Address, Identity, Link, Registry, Transport};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};
use {transport_tcp as _, transport_udp_arq as _};

use crate::lab::{Lab, PATIENCE, short};
use crate::process::resident_mib;
use crate::report::{Table, figure};
use crate::stats::over_rounds;
use crate::{Fault, Plan};

/// Strangers at a time.
const CROWD: usize = 500;
/// Crowds that come, join and go, one after the other.
const CROWDS: usize = 4;
/// Strangers who dial at the same time.
const AT_ONCE: usize = 16;
/// After a crowd came or went.
const SETTLE: Duration = Duration::from_secs(2);
/// The smallest that Linux gives: so the relay's side feels who reads nothing.
const SMALL_BUFFER_BYTES: u32 = 4096;

/// Memory of the relay in MiB.
struct Look {
    empty: f64,
    idle: f64,
    first_gone: f64,
    last_gone: f64,
    deaf: f64,
    all_gone: f64,
}

/// How far a stranger goes.
#[derive(Clone, Copy)]
enum Manners {
    /// Says hello.
    Idle,
    /// Joins, and reads who is there.
    Joins,
    /// Joins and reads nothing.
    Deaf,
}

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let columns = [
        "strangers",
        "empty, MiB",
        "KiB an idle link",
        "1st crowd gone, MiB",
        "4th crowd gone, MiB",
        "KiB a deaf link",
        "all gone, MiB",
    ];
    let mut table = Table::new("strangers", &columns);
    for profile in &plan.profiles {
        let look = |_| -> Result<Look, Fault> {
            let lab = Lab::open(&plan.program, profile)?;
            runtime.block_on(crowds(&lab))
        };
        let looks = (0..plan.rounds).map(look).collect::<Result<Vec<_>, _>>()?;
        let a_link = |from: f64, to: f64| (to - from).max(0.0) * 1024.0 / CROWD as f64;
        table.row([
            short(profile).into(),
            figure(over_rounds(&looks, |look| look.empty), 1),
            figure(over_rounds(&looks, |look| a_link(look.empty, look.idle)), 1),
            figure(over_rounds(&looks, |look| look.first_gone), 1),
            figure(over_rounds(&looks, |look| look.last_gone), 1),
            figure(over_rounds(&looks, |look| a_link(look.last_gone, look.deaf)), 1),
            figure(over_rounds(&looks, |look| look.all_gone), 1),
        ]);
    }
    Ok(table.note(format!("Medians of {} rounds; {CROWD} strangers a crowd.", plan.rounds)))
}

async fn crowds(lab: &Lab) -> Result<Look, Fault> {
    let pid = lab.relay_pid();
    let empty = resident_mib(pid)?;
    let crowd = crowd(lab, Manners::Idle).await?;
    let idle = resident_mib(pid)?;
    leave(crowd).await;
    let mut gone = Vec::new();
    for _ in 0..CROWDS {
        leave(self::crowd(lab, Manners::Joins).await?).await;
        gone.push(resident_mib(pid)?);
    }
    let crowd = self::crowd(lab, Manners::Deaf).await?;
    let deaf = resident_mib(pid)?;
    leave(crowd).await;
    let all_gone = resident_mib(pid)?;
    let (Some(&first_gone), Some(&last_gone)) = (gone.first(), gone.last()) else {
        return Err("no crowd came".into());
    };
    Ok(Look { empty, idle, first_gone, last_gone, deaf, all_gone })
}

/// Those who came, once nothing happens any more.
async fn crowd(lab: &Lab, manners: Manners) -> Result<Vec<Link>, Fault> {
    let transport = if short(&lab.profile).starts_with("tcp") { "tcp" } else { "udp-arq" };
    let coming = (0..CROWD).map(|_| async move {
        let come = timeout(PATIENCE, come(transport, lab.address(), manners));
        come.await.map_err(|_| "a stranger waits too long")?
    });
    let links: Vec<Link> = stream::iter(coming).buffer_unordered(AT_ONCE).try_collect().await?;
    sleep(SETTLE).await;
    Ok(links)
}

async fn leave(crowd: Vec<Link>) {
    drop(crowd);
    sleep(SETTLE).await;
}

async fn come(transport: &str, place: &str, manners: Manners) -> Result<Link, Fault> {
    let me = Identity::generate(&mut chat_core::OsEntropy)?;
    let mut link = dial(transport, place, &me, manners).await?;
    link.sink.send(ToRelay::Hello { version: WIRE_VERSION }.encode().into()).await?;
    next(&mut link).await?;
    if !matches!(manners, Manners::Idle) {
        let room = RoomName::new("#lobby")?;
        link.sink.send(ToRelay::Join { room }.encode().into()).await?;
    }
    if matches!(manners, Manners::Joins) {
        while !matches!(next(&mut link).await?, FromRelay::Room { .. }) {}
    }
    Ok(link)
}

async fn next(link: &mut Link) -> Result<FromRelay, Fault> {
    let frame = link.source.next().await.ok_or("the relay hung up")??;
    match FromRelay::decode(&frame)? {
        FromRelay::Error { why, detail } => Err(format!("the relay refused: {why:?} {detail}").into()),
        record => Ok(record),
    }
}

async fn dial(transport: &str, place: &str, me: &Identity, manners: Manners) -> Result<Link, Fault> {
    if transport == "tcp" && matches!(manners, Manners::Deaf) {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
        let (read, write) = socket.connect(place.parse::<SocketAddr>()?).await?.into_split();
        return match transport_tcp::over(Role::Initiator, read, write).await? {
            chat_core::Dialed::Bare(bare) => Ok(transport_noise::secure(bare, me).await?),
            chat_core::Dialed::Secure(link) => Ok(link),
        };
    }
    let options = Options::parse_table(&format!("[transport]\nkind = \"{transport}\"\n"), "transport")?;
    let plugin = Registry::linked()?.build::<dyn Transport>(&options)?;
    Ok(transport_noise::dial(&*plugin, &Address::new(place), me).await?)
}
