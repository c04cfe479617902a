//! From a name on the command line to a profile.

use std::io::Read;

use chat_core::profile::{Inputs, MAX_PROFILE_BYTES, Property, resolve, user_profile_dir};
use chat_core::{Profile, Registry};

use crate::exit::{Code, Failure, say};

/// The profiles that are part of the program.
pub(crate) const BUILT_IN: &[(&str, &str)] = &[
    ("udp-rsa.toml", include_str!("../../configs/udp-rsa.toml")),
    ("tcp-x25519.toml", include_str!("../../configs/tcp-x25519.toml")),
];

/// What the program gives besides the key exchange: sessions are always end to end, frames always padded.
pub(crate) const GIVEN: &[Property] = &[Property::EndToEnd, Property::Padding];

/// The layers of a profile: the text of that name, the environment, and `--set`.
pub(crate) fn inputs(name: &str, sets: &[String]) -> Result<Inputs<'static>, Failure> {
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

/// The profile of a client, with its flags.
pub(crate) fn client(
    name: &str,
    sets: &[String],
    nick: Option<&String>,
    frontend: Option<&String>,
    registry: &Registry,
) -> Result<Profile, Failure> {
    let mut inputs = inputs(name, sets)?;
    if let Some(nick) = nick {
        inputs = inputs.flag("--nick", "identity.nick", nick);
    }
    if let Some(frontend) = frontend {
        inputs = inputs.flag("--frontend", "frontend.kind", frontend);
    }
    load(&inputs.for_client(registry, GIVEN))
}

/// Reads a profile and says what is strange about it.
pub(crate) fn load(inputs: &Inputs<'_>) -> Result<Profile, Failure> {
    let (profile, warnings) = Profile::load(inputs)?;
    for warning in warnings {
        say(warning);
    }
    Ok(profile)
}
