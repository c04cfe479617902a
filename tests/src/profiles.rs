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
    /// What is changed in it, for clients.
    pub sets: &'static [&'static str],
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
pub const TCP_X25519: Profile =
    Profile { name: "tcp-x25519.toml", transport: "tcp", network: Network::Tcp, sets: &[] };
/// `udp-rsa.toml`
pub const UDP_RSA: Profile =
    Profile { name: "udp-rsa.toml", transport: "udp-arq", network: Network::Udp, sets: &[] };

/// `relay-ratchet.toml`
pub const RELAY_RATCHET: Profile = Profile { name: "relay-ratchet.toml", ..TCP_X25519 };
/// `tls-rsa.toml`
pub const TLS_RSA: Profile = Profile { name: "tls-rsa.toml", transport: "tls", ..TCP_X25519 };
/// `quic-ratchet.toml`
pub const QUIC_RATCHET: Profile = Profile { name: "quic-ratchet.toml", transport: "quic", ..UDP_RSA };
/// `relay.toml`
pub const RELAY: Profile = Profile { name: "relay.toml", ..TCP_X25519 };
/// `post-quantum.toml`
pub const POST_QUANTUM: Profile = Profile { name: "post-quantum.toml", ..TCP_X25519 };
/// `legacy-study.toml`
pub const LEGACY_STUDY: Profile = Profile { name: "legacy-study.toml", ..UDP_RSA };
/// `failover.toml`, on ports that the system chooses.
pub const FAILOVER: Profile = Profile {
    name: "failover.toml",
    transport: "udp-arq",
    network: Network::Udp,
    sets: &["transport=[{kind=\"udp-arq\"},{kind=\"tcp\"}]"],
};
/// TCP with the end-to-end plugins of `udp-rsa.toml`.
pub const TCP_RSA: Profile =
    Profile { sets: &["key_exchange.kind=rsa-hybrid", "cipher.kind=aes-256-gcm"], ..TCP_X25519 };
/// UDP with those of `tcp-x25519.toml`.
pub const UDP_X25519: Profile =
    Profile { sets: &["key_exchange.kind=x25519", "cipher.kind=chacha20-poly1305"], ..UDP_RSA };
/// UDP with the ratchet, and the oldest cipher.
pub const UDP_RATCHET: Profile =
    Profile { sets: &["key_exchange.kind=x25519-ratchet", "cipher.kind=aes-128-cbc-hmac-sha256"], ..UDP_RSA };

/// All that are built in.
pub const ALL: &[Profile] =
    &[TCP_X25519, UDP_RSA, RELAY_RATCHET, TLS_RSA, QUIC_RATCHET, RELAY, POST_QUANTUM, LEGACY_STUDY, FAILOVER];

/// Makes tests of scenarios: functions that take a [`Profile`](crate::Profile).
#[macro_export]
macro_rules! on_every_profile {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_profile!(tcp_x25519, $crate::profiles::TCP_X25519, $($scenario),+);
        $crate::on_profile!(udp_rsa, $crate::profiles::UDP_RSA, $($scenario),+);
        $crate::on_profile!(relay_ratchet, $crate::profiles::RELAY_RATCHET, $($scenario),+);
        $crate::on_profile!(tls_rsa, $crate::profiles::TLS_RSA, $($scenario),+);
        $crate::on_profile!(quic_ratchet, $crate::profiles::QUIC_RATCHET, $($scenario),+);
        $crate::on_profile!(relay, $crate::profiles::RELAY, $($scenario),+);
        $crate::on_profile!(post_quantum, $crate::profiles::POST_QUANTUM, $($scenario),+);
        $crate::on_profile!(legacy_study, $crate::profiles::LEGACY_STUDY, $($scenario),+);
        $crate::on_profile!(failover, $crate::profiles::FAILOVER, $($scenario),+);
    };
}

/// Makes tests of scenarios on the profiles that differ in what most scenarios can notice: each transport, and each kind of
/// session.
#[macro_export]
macro_rules! on_main_profiles {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_profile!(tcp_x25519, $crate::profiles::TCP_X25519, $($scenario),+);
        $crate::on_profile!(udp_rsa, $crate::profiles::UDP_RSA, $($scenario),+);
        $crate::on_profile!(relay_ratchet, $crate::profiles::RELAY_RATCHET, $($scenario),+);
        $crate::on_profile!(tls_rsa, $crate::profiles::TLS_RSA, $($scenario),+);
        $crate::on_profile!(quic_ratchet, $crate::profiles::QUIC_RATCHET, $($scenario),+);
    };
}

/// Makes tests of scenarios on each transport with each key exchange.
#[macro_export]
macro_rules! on_every_stack {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_every_profile!($($scenario),+);
        $crate::on_profile!(tcp_rsa, $crate::profiles::TCP_RSA, $($scenario),+);
        $crate::on_profile!(udp_x25519, $crate::profiles::UDP_X25519, $($scenario),+);
        $crate::on_profile!(udp_ratchet, $crate::profiles::UDP_RATCHET, $($scenario),+);
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
