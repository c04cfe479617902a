//! How many files the program may have open: each TCP connection is one.

use relay::RelayConfig;

/// Files that are open beside connections: databases, logs, listeners, timers, and some to spare.
const OWN_FILES: usize = 64;

/// Asks the system for as many open files as the relay may need with so many listeners. If there are fewer, the relay takes
/// fewer clients, and fewer who are about to become some, and says so in the log: without a file to spare, a database can't
/// do its work either.
#[cfg(unix)]
pub fn provide(config: &mut RelayConfig, listeners: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = (config.max_connections(listeners) + OWN_FILES) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current.filter(|now| *now < needed) else { return };
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised =
        wanted > now && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let files = if raised { wanted } else { now };
    if files < needed {
        let connections = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OWN_FILES);
        config.limit_connections(connections, listeners);
        tracing::warn!(
            files,
            clients = config.max_clients,
            handshakes = config.max_handshakes,
            "few open files are allowed, so few clients are taken"
        );
    }
}

/// Nothing to ask for.
#[cfg(not(unix))]
pub fn provide(_: &mut RelayConfig, _: usize) {}
