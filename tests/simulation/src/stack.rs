//! Which plugins a simulation is made of.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chat_core::environment::Environment;
use chat_core::profile::Options;
use chat_core::{Cipher, KeyExchange, Registry, Transport};
use transport_udp_arq::UdpArq;

// Plugins register themselves; naming the crate is what links them.
use {
    cipher_aes_cbc_hmac as _, cipher_aes_gcm as _, cipher_chacha20_poly1305 as _,
    key_exchange_rsa_hybrid as _, key_exchange_x25519 as _, key_exchange_x25519_ratchet as _,
    transport_memory as _,
};

use crate::net::{Host, Local, Tcp};

/// Transports with a simulated network under them, and the one that needs none.
pub const TRANSPORTS: [&str; 3] = ["udp-arq", "tcp", "memory"];
/// Key exchanges.
pub const KEY_EXCHANGES: [&str; 3] = ["x25519", "rsa-hybrid", "x25519-ratchet"];
/// Ciphers.
pub const CIPHERS: [&str; 4] =
    ["aes-256-gcm", "chacha20-poly1305", "xchacha20-poly1305", "aes-128-cbc-hmac-sha256"];

/// A stack. Its text is `transport/key-exchange/cipher`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    /// One of [`TRANSPORTS`].
    pub transport: &'static str,
    /// One of [`KEY_EXCHANGES`].
    pub key_exchange: &'static str,
    /// One of [`CIPHERS`].
    pub cipher: &'static str,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.transport, self.key_exchange, self.cipher)
    }
}

impl FromStr for Stack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let [transport, key_exchange, cipher] = parts[..] else {
            return Err(format!("`{text}` is not transport/key-exchange/cipher"));
        };
        let one_of = |names: &[&'static str], name: &str| {
            let found = names.iter().find(|known| **known == name).copied();
            found.ok_or_else(|| format!("`{name}` is none of {}", names.join(", ")))
        };
        Ok(Self {
            transport: one_of(&TRANSPORTS, transport)?,
            key_exchange: one_of(&KEY_EXCHANGES, key_exchange)?,
            cipher: one_of(&CIPHERS, cipher)?,
        })
    }
}

impl Stack {
    /// Every stack there is.
    pub fn all() -> impl Iterator<Item = Self> {
        TRANSPORTS.into_iter().flat_map(|transport| {
            KEY_EXCHANGES.into_iter().flat_map(move |key_exchange| {
                CIPHERS.into_iter().map(move |cipher| Self { transport, key_exchange, cipher })
            })
        })
    }

    /// The transport, on a host of the simulated network.
    pub fn transport(&self, host: &Host, environment: Arc<dyn Environment>) -> Arc<dyn Transport> {
        match self.transport {
            "tcp" => Arc::new(Tcp(host.clone())),
            "udp-arq" => {
                let options = transport_udp_arq::Options::default();
                let built = UdpArq::over(options, Arc::new(host.clone()), environment);
                Arc::new(built.unwrap_or_else(|error| panic!("the defaults are allowed: {error}")))
            }
            _ => {
                let options = options("transport", self.transport);
                let built = registry().build::<dyn Transport>(&options);
                let built = built.unwrap_or_else(|error| panic!("the defaults are allowed: {error}"));
                Arc::new(Local { inner: Arc::from(built), host: host.clone() })
            }
        }
    }

    /// The key exchange.
    pub fn key_exchange(&self) -> Arc<dyn KeyExchange> {
        // The shortest keys of RSA that a profile may ask for: making them is most of what a simulation would do.
        let bits = if self.key_exchange == "rsa-hybrid" { "bits = 2048" } else { "" };
        let built =
            registry().build::<dyn KeyExchange>(&options_with("key_exchange", self.key_exchange, bits));
        Arc::from(built.unwrap_or_else(|error| panic!("the defaults are allowed: {error}")))
    }

    /// The cipher.
    pub fn cipher(&self) -> Arc<dyn Cipher> {
        let built = registry().build::<dyn Cipher>(&options("cipher", self.cipher));
        Arc::from(built.unwrap_or_else(|error| panic!("the defaults are allowed: {error}")))
    }
}

fn registry() -> Registry {
    Registry::linked().unwrap_or_else(|error| panic!("the linked plugins fit together: {error}"))
}

fn options(table: &str, kind: &str) -> Options {
    options_with(table, kind, "")
}

fn options_with(table: &str, kind: &str, more: &str) -> Options {
    Options::parse_table(&format!("[{table}]\nkind = \"{kind}\"\n{more}\n"), table)
        .unwrap_or_else(|error| panic!("a table with a kind is a table: {error:?}"))
}
