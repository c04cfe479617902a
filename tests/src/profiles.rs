//! The built-in profiles. A new one is a constant, an entry of [`ALL`] and a line in [`on_every_profile`]; `cli.rs`
//! fails as long as one is missing.

/// A built-in profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Its name after `--config`.
    pub name: &'static str,
    /// The name of its transport.
    pub transport: &'static str,
    /// What its transport is over.
    pub network: Network,
}

/// What a transport is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// `tcp-x25519.toml`
pub const TCP_X25519: Profile = Profile { name: "tcp-x25519.toml", transport: "tcp", network: Network::Tcp };
/// `udp-rsa.toml`
pub const UDP_RSA: Profile = Profile { name: "udp-rsa.toml", transport: "udp-arq", network: Network::Udp };

/// `relay-ratchet.toml`
pub const RELAY_RATCHET: Profile =
    Profile { name: "relay-ratchet.toml", transport: "tcp", network: Network::Tcp };

/// All of them.
pub const ALL: &[Profile] = &[TCP_X25519, UDP_RSA, RELAY_RATCHET];

/// Makes tests of scenarios: functions that take a [`Profile`](crate::Profile).
#[macro_export]
macro_rules! on_every_profile {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_profile!(tcp_x25519, $crate::profiles::TCP_X25519, $($scenario),+);
        $crate::on_profile!(udp_rsa, $crate::profiles::UDP_RSA, $($scenario),+);
        $crate::on_profile!(relay_ratchet, $crate::profiles::RELAY_RATCHET, $($scenario),+);
    };
}

/// Makes tests of scenarios on one profile, in a module of its name.
#[macro_export]
macro_rules! on_profile {
    ($module:ident, $profile:expr, $($scenario:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $scenario() {
                    super::$scenario($profile);
                }
            )+
        }
    };
}
