//! A profile, with all plugins, as `chat check` reads it. Behind a zero byte there may be lines that are laid over it:
//! `CHAT_…=` as environment, others as `--set`.
//!
//! - What is refused has at least one error, and all of it can be shown: nothing in it acts on a terminal, and it
//!   stays short, however much is wrong.
//! - What is accepted can be shown too, and what is shown is a profile that says the same, but for secrets.
//! - The relay reads it as well, whatever it makes of it.
//!
//! Allocated: 1 KiB for each byte that came, and 2 MiB for the plugins and the rest.

use std::sync::OnceLock;

use chat_core::nick::is_unsafe_to_show;
use chat_core::profile::{Inputs, Property};
use chat_core::{Profile, Registry};
use {
    cipher_aes_cbc_hmac as _, cipher_aes_gcm as _, cipher_chacha20_poly1305 as _, frontend_jsonrpc as _,
    frontend_tui as _, key_exchange_rsa_hybrid as _, key_exchange_x25519 as _,
    key_exchange_x25519_ratchet as _, transport_memory as _, transport_tcp as _, transport_udp_arq as _,
};

use crate::alloc::bounded;

/// What the program adds to what its key exchange gives.
const GIVEN: &[Property] = &[Property::EndToEnd, Property::Padding];
/// Fifty errors of four lines.
const MAX_SHOWN: usize = 64 << 10;

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let registry = Registry::linked().unwrap();
        assert!(registry.iter().count() >= 10, "a plugin is missing");
        registry
    })
}

pub fn prepare() {
    registry();
}

pub fn run(data: &[u8]) {
    bounded((data.len() << 10) + (2 << 20), || {
        let inputs = inputs(data);
        read(inputs.clone().for_relay(registry()), false);
        read(inputs.for_client(registry(), GIVEN), true);
    });
}

fn inputs(data: &[u8]) -> Inputs<'static> {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let (text, layers) = data.split_at(end);
    let mut inputs = Inputs::new("p.toml", text);
    let layers = String::from_utf8_lossy(layers.get(1..).unwrap_or_default());
    for line in layers.lines() {
        inputs = match line.split_once('=') {
            Some((name, value)) if name.starts_with("CHAT_") && !line.contains('\0') => {
                inputs.environment([(name, value)])
            }
            _ => inputs.set(line),
        };
    }
    inputs
}

fn read(inputs: Inputs<'_>, client: bool) {
    match Profile::load(&inputs) {
        Err(error) => {
            assert!(!error.errors().is_empty());
            let shown = format!("{error}");
            inert(&shown);
            assert!(!shown.is_empty() && shown.len() <= MAX_SHOWN, "{} bytes", shown.len());
            inert(&format!("{error:?}"));
        }
        Ok((profile, warnings)) => {
            warnings.iter().for_each(|warning| inert(&warning.to_string()));
            let shown = profile.show();
            inert(&shown);
            if client {
                same_again(&profile, &shown);
            }
        }
    }
}

fn same_again(profile: &Profile, shown: &str) {
    // A secret is shown as stars, which may be no value for its key.
    if shown.contains("\"***\"") {
        return;
    }
    match Profile::load(&Inputs::new("shown.toml", shown).for_client(registry(), GIVEN)) {
        Ok((again, _)) => assert_eq!(again.to_json(), profile.to_json(), "{shown}"),
        Err(error) => panic!("what is shown is not a profile: {error}\n{shown}"),
    }
}

fn inert(text: &str) {
    assert!(!text.chars().any(|c| c != '\n' && is_unsafe_to_show(c)), "{text:?}");
}
