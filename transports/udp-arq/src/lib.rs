//! Reliable frames over UDP with our own ARQ, every packet sealed.
//!
//! `DESIGN.md` beside this crate has the packets byte by byte, the state machines, and what is left for later.
//!
//! | module | what | source |
//! |---|---|---|
//! | `packet`, `chunk`, `varint` | what is on the wire | RFC 9000 §16–19 |
//! | `protect`, `replay` | sealing and opening packets, key update | RFC 9001 §5–6, RFC 4303 §3.4.3 |
//! | `handshake` | Noise over a network that loses packets, cookies | Noise, RFC 9000 §8.1, RFC 2104 |
//! | `ack`, `loss`, `rtt`, `congestion` | acknowledgements, losses, how much may be in flight | RFC 9002, RFC 6298 |
//! | `stream` | frames cut up and put together, credit | |
//! | `connection`, `endpoint` | one connection, all connections of a socket; sans-IO | |
//! | [`network`] | the sockets, the system's or others | |
//! | `driver`, `transport`, `address` | the clock, the tasks and the links; tokio | |

mod ack;
mod address;
mod chunk;
mod config;
mod congestion;
mod connection;
mod driver;
mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod loss;
pub mod network;
mod packet;
mod protect;
mod range_set;
mod replay;
mod rtt;
mod stream;
#[cfg(test)]
mod tests;
mod transport;
mod varint;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Entropy, Environment, OsEntropy, Plugin, ProfileError, Transport};
use schemars::JsonSchema;
use serde::Deserialize;

use config::Config;
use network::{Network, Udp};

/// Reliable, ordered frames over UDP. Secure by itself: it gives [`chat_core::Dialed::Secure`].
#[derive(Clone)]
pub struct UdpArq {
    config: Config,
    network: Arc<dyn Network>,
    entropy: EntropySource,
}

/// Gives each connection its own source of randomness, by its number.
pub(crate) type EntropySource = Arc<dyn Fn(u64) -> Box<dyn Entropy> + Send + Sync>;

impl fmt::Debug for UdpArq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpArq").field("config", &self.config).finish_non_exhaustive()
    }
}

impl UdpArq {
    /// The same transport with other sockets, and with the randomness of `environment`.
    ///
    /// # Errors
    /// As [`Plugin::build`].
    pub fn over(
        options: Options,
        network: Arc<dyn Network>,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, ProfileError> {
        let config = Config::try_from(options)?;
        Ok(Self { config, network, entropy: Arc::new(move |_| environment.entropy()) })
    }
}

/// The keys of `[transport]` beside `kind = "udp-arq"`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Longest datagram that is sent, in bytes of UDP payload. Both ends may differ.
    #[serde(default)]
    #[schemars(range(min = 1200, max = 9000))]
    pub mtu: Option<u32>,
    /// Most packets in flight; 1 is stop-and-wait, for which both ends should have it: then each packet is acknowledged at
    /// once. None = congestion control alone decides.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65536))]
    pub window: Option<u32>,
    /// A fixed retransmission timeout. None = measured (RFC 6298).
    #[serde(default)]
    #[schemars(range(min = 10, max = 60000))]
    pub rto_ms: Option<u32>,
    /// Retransmission timeouts in a row after which the link is given up. None = after 30 s.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub max_retries: Option<u32>,
}

fn within(key: &str, value: Option<u32>, range: RangeInclusive<u32>) -> Result<Option<u32>, ProfileError> {
    match value {
        Some(value) if !range.contains(&value) => Err(ProfileError::option(
            key,
            format!("{value} is not from {} to {}", range.start(), range.end()),
        )),
        _ => Ok(value),
    }
}

impl Plugin<dyn Transport> for UdpArq {
    const NAME: &'static str = "udp-arq";
    const SUMMARY: &'static str = "reliable frames over UDP with our own ARQ, every packet sealed";
    const EXAMPLE: &'static str = "[transport]\nkind = \"udp-arq\"\nmtu = 1200\n";
    type Options = Options;

    fn build(options: Options) -> Result<Box<dyn Transport>, ProfileError> {
        let config = Config::try_from(options)?;
        let entropy: EntropySource = Arc::new(|_| Box::new(OsEntropy));
        Ok(Box::new(Self { config, network: Arc::new(Udp), entropy }))
    }
}

impl TryFrom<Options> for Config {
    type Error = ProfileError;

    fn try_from(options: Options) -> Result<Self, ProfileError> {
        let mut config = Self::default();
        if let Some(mtu) = within("mtu", options.mtu, 1200..=9000)? {
            config.mtu = mtu as usize;
        }
        config.window = within("window", options.window, 1..=65536)?;
        let rto_ms = within("rto_ms", options.rto_ms, 10..=60_000)?;
        config.rto = rto_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        config.max_retries = within("max_retries", options.max_retries, 1..=1000)?;
        Ok(config)
    }
}

#[cfg(test)]
mod plugin_tests {
    use chat_core::Registry;
    use chat_core::plugin::PluginKind;
    use chat_core::profile::Options as Table;

    use super::*;

    fn build(text: &str) -> Result<Box<dyn Transport>, ProfileError> {
        let registry = Registry::linked().unwrap();
        assert_eq!(registry.find(PluginKind::Transport, "udp-arq").unwrap().krate, "transport-udp-arq");
        registry.build::<dyn Transport>(&Table::parse_table(text, "transport").unwrap())
    }

    #[test]
    fn the_example_and_every_option_build() {
        assert!(build(UdpArq::EXAMPLE).is_ok());
        let all = "[transport]\nkind = \"udp-arq\"\nmtu = 1452\nwindow = 1\nrto_ms = 2000\nmax_retries = 5\n";
        assert!(build(all).is_ok());
    }

    #[test]
    fn values_that_cannot_be_are_refused_by_name() {
        for bad in ["mtu = 1199", "mtu = 9001", "window = 0", "rto_ms = 9", "max_retries = 0", "mut = 1"] {
            let key = bad.split(' ').next().unwrap();
            let error = build(&format!("[transport]\nkind = \"udp-arq\"\n{bad}\n")).err().unwrap();
            assert!(error.to_string().contains(key), "{bad}: {error}");
        }
    }
}

chat_core::register!(dyn Transport, UdpArq);
