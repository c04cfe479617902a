//! From an address to a socket, dialing or listening.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chat_core::transport::HANDSHAKE_DEADLINE;
use chat_core::{Address, LinkError};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// Connects to the first of the host's addresses that answers. A silent one gets its share of the time, so
/// that one way that leads nowhere (IPv6, often) does not use up that of the others.
/// Cancel safe.
///
/// # Errors
/// [`LinkError::Unreachable`] with the reason of each address, [`LinkError::Resolve`], [`LinkError::BadAddress`].
pub async fn connect(to: &Address) -> Result<TcpStream, LinkError> {
    let deadline = Instant::now() + HANDSHAKE_DEADLINE;
    let addresses = resolve(to).await?;
    let mut reasons: Vec<String> = Vec::new();
    for (tried, &address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match attempt(address, share).await {
            Ok(stream) => return Ok(stream),
            Err(reason) if addresses.len() == 1 => reasons.push(reason),
            Err(reason) => reasons.push(format!("{address}: {reason}")),
        }
    }
    Err(LinkError::Unreachable { address: to.place.clone(), reason: reasons.join("; ") })
}

async fn attempt(address: SocketAddr, within: Duration) -> Result<TcpStream, String> {
    let connected = timeout(within, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| "no answer in time")?.map_err(|error| error.to_string())?;
    // A port nobody listens on can be given to the dialing socket itself, and TCP then connects it with itself.
    if stream.local_addr().ok() == Some(address) {
        return Err("nobody listens there".into());
    }
    Ok(stream)
}

/// Binds and listens. An address in use ends it: a host with two addresses must not get two listeners.
///
/// # Errors
/// [`LinkError::AddressInUse`], [`LinkError::BadAddress`] for one that is not of this machine, [`LinkError::Resolve`].
pub async fn bind(on: &Address) -> Result<TcpListener, LinkError> {
    let mut last = None;
    for address in resolve(on).await? {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(not_bound(on, Some(error))),
            Err(error) => last = Some(error),
        }
    }
    Err(not_bound(on, last))
}

/// Why none of a host's addresses could be bound, given what the system said last.
pub fn not_bound(on: &Address, last: Option<io::Error>) -> LinkError {
    match last {
        Some(error) if error.kind() == io::ErrorKind::AddrInUse => {
            LinkError::AddressInUse { address: on.place.clone() }
        }
        Some(error) if error.kind() == io::ErrorKind::AddrNotAvailable => LinkError::BadAddress {
            address: on.place.clone(),
            reason: "it is not an address of this machine".into(),
        },
        Some(error) => io::Error::new(error.kind(), format!("{}: {error}", on.place)).into(),
        None => no_address(on.place.clone()),
    }
}

/// The addresses of a host, as far as a name has any; at least one.
///
/// # Errors
/// [`LinkError::BadAddress`], [`LinkError::Resolve`], also if the answer takes too long.
pub async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, LinkError> {
    let (host, port) = address.host_port()?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |reason: String| LinkError::Resolve { host: host.clone(), reason };
    let found = timeout(HANDSHAKE_DEADLINE / 2, lookup_host((host.as_str(), port))).await;
    let found = found.map_err(|_| failed("no answer in time".into()))?;
    let mut addresses: Vec<_> = found.map_err(|error| failed(error.to_string()))?.collect();
    // Several socket types of one address come as several answers.
    addresses.dedup();
    if addresses.is_empty() { Err(no_address(host)) } else { Ok(addresses) }
}

fn no_address(host: String) -> LinkError {
    LinkError::Resolve { host, reason: "it has no address".into() }
}
