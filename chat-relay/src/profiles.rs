//! From a name on the command line to a profile.

use std::io::Read;

use chat_core::Profile;
use chat_core::profile::{Inputs, MAX_PROFILE_BYTES, resolve, user_profile_dir};

use crate::exit::{Code, Failure, say};

/// The profiles that are part of the program.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("udp-rsa.toml", include_str!("../../configs/udp-rsa.toml")),
    ("tcp-x25519.toml", include_str!("../../configs/tcp-x25519.toml")),
    ("relay-ratchet.toml", include_str!("../../configs/relay-ratchet.toml")),
    ("tls-rsa.toml", include_str!("../../configs/tls-rsa.toml")),
    ("quic-ratchet.toml", include_str!("../../configs/quic-ratchet.toml")),
    ("relay.toml", include_str!("../../configs/relay.toml")),
    ("post-quantum.toml", include_str!("../../configs/post-quantum.toml")),
    ("legacy-study.toml", include_str!("../../configs/legacy-study.toml")),
    ("failover.toml", include_str!("../../configs/failover.toml")),
];

/// The layers of a profile: the text of that name, the environment, and `--set`.
///
/// # Errors
/// There is no such profile, or it can't be read.
pub fn inputs(name: &str, sets: &[String]) -> Result<Inputs<'static>, Failure> {
    let (name, bytes) = if name == "-" {
        let mut bytes = Vec::new();
        let limit = MAX_PROFILE_BYTES as u64 + 1;
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.map_err(|e| Failure::new(Code::Usage, format!("standard input can't be read: {e}")))?;
        ("standard input".to_owned(), bytes)
    } else {
        let (config_home, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
        let user_dir = user_profile_dir(config_home.as_deref(), home.as_deref());
        let found = resolve(name, user_dir.as_deref(), BUILT_IN)?;
        (found.name(), found.read()?)
    };
    let inputs = Inputs::new(name, bytes).environment(std::env::vars_os());
    Ok(sets.iter().fold(inputs, |inputs, set| inputs.set(set.clone())))
}

/// Reads a profile and says what is strange about it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(inputs: &Inputs<'_>) -> Result<Profile, Failure> {
    let (profile, warnings) = Profile::load(inputs)?;
    for warning in warnings {
        say(warning);
    }
    Ok(profile)
}
