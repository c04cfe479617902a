//! From the words of a profile to addresses and a bound socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chat_core::transport::HANDSHAKE_DEADLINE;
use chat_core::{Address, LinkError};
use tokio::time::timeout;

use crate::network::{Network, Socket};

/// Longest that a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(HANDSHAKE_DEADLINE.as_secs() / 2);

/// The addresses of `host:port`; at least one.
///
/// # Errors
/// [`LinkError::BadAddress`], or [`LinkError::Resolve`] for a name without an address.
pub(crate) async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, LinkError> {
    let (host, port) = address.host_port()?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |reason: &str| LinkError::Resolve { host: host.clone(), reason: reason.to_owned() };
    let found = timeout(RESOLVE, tokio::net::lookup_host((host.as_str(), port))).await;
    let found = found.map_err(|_| failed("no answer in time"))?;
    let mut found: Vec<_> = found.map_err(|error| failed(&error.to_string()))?.collect();
    // The system gives an address once for each type of socket.
    found.dedup();
    if found.is_empty() {
        return Err(failed("it has no address"));
    }
    Ok(found)
}

/// Binds the first address that can be bound. One that is in use is the answer, not a reason to try the next:
/// or two nodes would each listen on another address of one name.
///
/// # Errors
/// [`LinkError::AddressInUse`], and [`LinkError::BadAddress`] for one that is not this machine's.
pub(crate) async fn bind(network: &dyn Network, on: &Address) -> Result<Box<dyn Socket>, LinkError> {
    let mut last = None;
    for address in resolve(on).await? {
        match network.bind(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(LinkError::AddressInUse { address: on.place.clone() });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) if error.kind() == io::ErrorKind::AddrNotAvailable => LinkError::BadAddress {
            address: on.place.clone(),
            reason: "it is not an address of this machine".to_owned(),
        },
        Some(error) => io::Error::new(error.kind(), format!("{}: {error}", on.place)).into(),
        None => LinkError::Resolve { host: on.place.clone(), reason: "it has no address".to_owned() },
    })
}
