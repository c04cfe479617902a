//! Dialing: one of a host's addresses after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_core::transport::HANDSHAKE_DEADLINE;
use chat_core::{Address, Identity, Link, LinkError};
use quinn::{Connection, ConnectionError, Endpoint, TokioRuntime};
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout};
use transport_tcp::connect::resolve;

use crate::options::QuicOptions;
use crate::{address, link, refusal, side};

/// Connects to the first of the host's addresses that answers. A silent one gets its share of the time, so that one way
/// that leads nowhere (IPv6, often) does not use up that of the others. Dropping it ends what was begun.
pub(crate) async fn dial(options: &QuicOptions, to: &Address, me: &Identity) -> Result<Link, LinkError> {
    let deadline = Instant::now() + HANDSHAKE_DEADLINE;
    let name = options.certificates().expected_name(to)?;
    let addresses = resolve(to).await?;
    let mut reasons: Vec<String> = Vec::new();
    for (tried, &address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let reason = match timeout(share, dial_one(options, to, address, &name, me)).await {
            Ok(Err(LinkError::Unreachable { reason, .. })) => reason,
            Err(_) => "no answer in time".to_owned(),
            // Somebody answered, and that is the answer.
            Ok(other) => return other,
        };
        reasons.push(if addresses.len() == 1 { reason } else { format!("{address}: {reason}") });
    }
    Err(LinkError::Unreachable { address: to.place.clone(), reason: reasons.join("; ") })
}

async fn dial_one(
    options: &QuicOptions,
    to: &Address,
    address: SocketAddr,
    name: &ServerName<'static>,
    me: &Identity,
) -> Result<Link, LinkError> {
    let unreachable = |reason: String| LinkError::Unreachable { address: to.place.clone(), reason };
    let (config, verdict) = side::client(options, to, me)?;
    let socket = address::to_dial(address).map_err(|error| unreachable(error.to_string()))?;
    let endpoint = Endpoint::new(side::endpoint(), None, socket, Arc::new(TokioRuntime))?;
    let connecting = endpoint.connect_with(config, address, &name.to_str());
    let connecting = connecting.map_err(|error| unreachable(error.to_string()))?;
    let connected = tokio::select! {
        connected = connecting => connected,
        error = address::nobody_there(address) => return Err(unreachable(error.to_string())),
    };
    let connection = connected.map_err(|error| match error {
        ConnectionError::TimedOut => unreachable("no answer in time".to_owned()),
        error => refusal::handshake(error, &verdict),
    })?;
    side::speaks_chat(&connection)?;
    let shown = side::shown(&connection);
    let peer = options.certificates().found(name, shown.as_deref())?;
    let watched = watch(connection.clone(), address, options.keepalive());
    let link = link::dialed(connection, peer).await?;
    transport_noise::check_pin(&link, to)?;
    tokio::spawn(watched);
    Ok(link)
}

/// Ends a connection whose other end is silent, though it was asked, when the system says that nobody is at its address any
/// more: its program has died and its machine has not. Otherwise only silence tells, much later.
async fn watch(connection: Connection, address: SocketAddr, keepalive: Duration) {
    /// Of a third of `keepalive` each; in good order something comes within three of them and a round trip.
    const SILENT_TICKS: u32 = 4;
    let received = || connection.stats().udp_rx.datagrams;
    let (mut before, mut silent) = (received(), 0);
    while timeout(keepalive / 3, connection.closed()).await.is_err() {
        let now = received();
        silent = if now == before { silent + 1 } else { 0 };
        before = now;
        if silent < SILENT_TICKS {
            continue;
        }
        silent = 0;
        let gone = timeout(keepalive, address::nobody_there(address)).await;
        if gone.is_ok_and(|error| address::means_nobody(&error)) && received() == before {
            link::end(&connection);
            return;
        }
    }
}
