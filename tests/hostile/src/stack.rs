//! The plugins that honest clients and forgers are made of.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chat_core::api::StackView;
use chat_core::key_exchange::{NewBundle, OneTimePair, OwnBundle, PeerBundle};
use chat_core::profile::Options;
use chat_core::wire::{StackProfile, WIRE_VERSION};
use chat_core::{
    Cipher, Context, CryptoError, KeyExchange, Properties, Registry, SavedSession, Session, Transport,
};
use chat_tests::Profile;
use chat_tests::profiles::{
    FAILOVER, LEGACY_STUDY, POST_QUANTUM, QUIC_RATCHET, RELAY, RELAY_RATCHET, TCP_RSA, TCP_X25519, TLS_RSA,
    UDP_RATCHET, UDP_RSA, UDP_X25519,
};

// Plugins register themselves; naming the crate is what links them.
use {
    cipher_aes_cbc_hmac as _, cipher_aes_gcm as _, cipher_chacha20_poly1305 as _,
    key_exchange_rsa_hybrid as _, key_exchange_x25519 as _, key_exchange_x25519_ratchet as _,
    transport_memory as _, transport_quic as _, transport_tcp as _, transport_tls as _,
    transport_udp_arq as _,
};

/// The end-to-end part of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    /// The name of its key exchange.
    pub key_exchange: &'static str,
    /// The name of its cipher.
    pub cipher: &'static str,
    /// Lines of the table of its key exchange.
    pub options: &'static str,
}

/// As in `tcp-x25519.toml`.
pub const X25519: Stack = Stack { key_exchange: "x25519", cipher: "chacha20-poly1305", options: "" };
/// As in `udp-rsa.toml`.
pub const RSA: Stack = Stack { key_exchange: "rsa-hybrid", cipher: "aes-256-gcm", options: "" };
/// As in `relay-ratchet.toml`.
pub const RATCHET: Stack =
    Stack { key_exchange: "x25519-ratchet", cipher: "xchacha20-poly1305", options: "" };

impl Stack {
    /// That of a profile.
    pub fn of(profile: Profile) -> Self {
        match profile {
            UDP_RSA | TCP_RSA | TLS_RSA => RSA,
            RELAY_RATCHET | RELAY => RATCHET,
            QUIC_RATCHET | FAILOVER => Self { cipher: "aes-256-gcm", ..RATCHET },
            POST_QUANTUM => Self { options: "post_quantum = true\n", ..RATCHET },
            LEGACY_STUDY => Self { cipher: "aes-128-cbc-hmac-sha256", ..RSA },
            UDP_RATCHET => Self { cipher: "aes-128-cbc-hmac-sha256", ..RATCHET },
            TCP_X25519 | UDP_X25519 => X25519,
            other => unreachable!("what is sealed with in {}?", other.name),
        }
    }

    /// Its key exchange.
    pub fn key_exchange(self) -> Arc<dyn KeyExchange> {
        let built =
            registry().build::<dyn KeyExchange>(&options("key_exchange", self.key_exchange, self.options));
        Arc::from(built.expect("the defaults are allowed"))
    }

    /// Its key exchange for somebody of this name, whose keys are the same in each test of this process: RSA keys take a
    /// while to make.
    pub fn key_exchange_of(self, name: &str) -> Arc<dyn KeyExchange> {
        let (inner, owner) = (self.key_exchange(), format!("{} {} {name}", self.key_exchange, self.options));
        Arc::new(Remembered { inner, owner, made: AtomicUsize::new(0) })
    }

    /// Its cipher.
    pub fn cipher(self) -> Arc<dyn Cipher> {
        let built = registry().build::<dyn Cipher>(&options("cipher", self.cipher, ""));
        Arc::from(built.expect("the defaults are allowed"))
    }

    /// What stands of it in a bundle.
    pub fn profile(self) -> StackProfile {
        StackProfile {
            wire_version: WIRE_VERSION,
            key_exchange: self.key_exchange.into(),
            key_exchange_options: self.key_exchange().shared_options(),
            cipher: self.cipher.into(),
        }
    }

    /// What frontends are shown of it.
    pub(crate) fn view(self) -> StackView {
        StackView {
            transport: "any".into(),
            transports: Vec::new(),
            key_exchange: self.key_exchange.into(),
            cipher: self.cipher.into(),
            frontend: "none".into(),
            properties: self.key_exchange().properties(),
        }
    }
}

/// A transport with its defaults.
pub fn transport(kind: &str) -> Arc<dyn Transport> {
    let built = registry().build::<dyn Transport>(&options("transport", kind, ""));
    Arc::from(built.expect("the defaults are allowed"))
}

fn registry() -> Registry {
    Registry::linked().expect("the linked plugins fit together")
}

fn options(table: &str, kind: &str, more: &str) -> Options {
    Options::parse_table(&format!("[{table}]\nkind = \"{kind}\"\n{more}"), table)
        .expect("a table with a kind")
}

/// The keys that were made in this process, by owner, first to last.
static MADE: Mutex<BTreeMap<(String, usize), NewBundle>> = Mutex::new(BTreeMap::new());

/// A key exchange that makes the same keys in each run of somebody.
struct Remembered {
    inner: Arc<dyn KeyExchange>,
    owner: String,
    made: AtomicUsize,
}

impl KeyExchange for Remembered {
    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn shared_options(&self) -> String {
        self.inner.shared_options()
    }

    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut made = MADE.lock().expect("nobody has panicked while keys were made");
        let kept = match made.entry((self.owner.clone(), number)) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(empty) => empty.insert(self.inner.new_bundle(cx)?),
        };
        let NewBundle { payload, secret, one_time } = &*kept;
        Ok(NewBundle { payload: payload.clone(), secret: secret.clone(), one_time: one_time.clone() })
    }

    fn uses_one_time_keys(&self) -> bool {
        self.inner.uses_one_time_keys()
    }

    fn one_time_keys(&self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        self.inner.one_time_keys(count, cx)
    }

    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        self.inner.initiate(own, peer, cx)
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        self.inner.accept(own, peer, first, cx)
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        self.inner.restore(saved, cx)
    }
}
