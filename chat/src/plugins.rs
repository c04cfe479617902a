//! The plugins of this program. `inventory` keeps a plugin only if its crate is used somewhere, so every
//! one stands here; a test compares the outcome with a list.

use cipher_aes_cbc_hmac as _;
use cipher_aes_gcm as _;
use cipher_chacha20_poly1305 as _;
use frontend_jsonrpc as _;
use frontend_tui as _;
use key_exchange_rsa_hybrid as _;
use key_exchange_x25519 as _;
use key_exchange_x25519_ratchet as _;
use transport_memory as _;
use transport_quic as _;
use transport_tcp as _;
use transport_tls as _;
use transport_udp_arq as _;

use chat_core::Registry;

use chat_relay::exit::{Code, Failure};

/// Everything that is linked in, checked.
pub(crate) fn registry() -> Result<Registry, Failure> {
    Registry::linked().map_err(|error| Failure::new(Code::Usage, error))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_plugin_of_the_list_is_really_linked() {
        let registry = super::registry().unwrap();
        let found: Vec<String> =
            registry.iter().map(|entry| format!("{} {}", entry.kind, entry.name)).collect();
        let expected = [
            "transport memory",
            "transport quic",
            "transport tcp",
            "transport tls",
            "transport udp-arq",
            "key exchange rsa-hybrid",
            "key exchange x25519",
            "key exchange x25519-ratchet",
            "cipher aes-128-cbc-hmac-sha256",
            "cipher aes-256-gcm",
            "cipher chacha20-poly1305",
            "cipher xchacha20-poly1305",
            "frontend jsonrpc",
            "frontend tui",
        ];
        assert_eq!(found, expected);
    }
}
