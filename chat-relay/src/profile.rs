//! From the command line to what the relay of a profile needs.

use std::io::Read;
use std::path::PathBuf;

use chat_core::profile::{Inputs, LogLevel, MAX_PROFILE_BYTES, RelaySection, resolve, user_profile_dir};
use chat_core::{Profile, ProfileError, Registry, Transport};
use relay::host::Listen;
use tracing_subscriber::filter::LevelFilter;

use crate::args::Args;
use crate::{Failure, say};

/// The profiles that are part of the program.
const BUILT_IN: &[(&str, &str)] = &[
    ("udp-rsa.toml", include_str!("../../configs/udp-rsa.toml")),
    ("tcp-x25519.toml", include_str!("../../configs/tcp-x25519.toml")),
];

/// What of a profile is the relay's.
pub(crate) struct Chosen {
    pub(crate) listen: Vec<Listen>,
    pub(crate) section: RelaySection,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) level: LevelFilter,
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        Self::usage(error)
    }
}

/// Reads the profile, and builds its transports.
pub(crate) fn choose(args: &Args) -> Result<Chosen, Failure> {
    let registry = Registry::linked().map_err(Failure::usage)?;
    let mut inputs = inputs(&args.config)?.environment(std::env::vars_os());
    for set in &args.set {
        inputs = inputs.set(set.clone());
    }
    if !args.listen.is_empty() {
        // A list of strings is written the same in JSON and in TOML.
        inputs = inputs.set(format!("relay.listen={}", serde_json::Value::from(args.listen.as_slice())));
    }
    let (profile, warnings) = Profile::load(&inputs.for_relay(&registry))?;
    warnings.iter().for_each(say);
    let listen = profile.relay.listen.iter().map(|listen| {
        Ok(Listen {
            kind: listen.options.kind().to_owned(),
            transport: registry.build::<dyn Transport>(&listen.options)?,
            address: listen.address.clone(),
        })
    });
    Ok(Chosen {
        listen: listen.collect::<Result<_, ProfileError>>()?,
        section: profile.relay,
        key_file: profile.identity.key_file,
        level: match profile.log.level {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        },
    })
}

fn inputs(name: &str) -> Result<Inputs<'static>, Failure> {
    if name == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MAX_PROFILE_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| Failure::usage(format!("standard input can't be read: {e}")))?;
        return Ok(Inputs::new("standard input", bytes));
    }
    let (config_home, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
    let user_dir = user_profile_dir(config_home.as_deref(), home.as_deref());
    let found = resolve(name, user_dir.as_deref(), BUILT_IN)?;
    Ok(Inputs::new(found.name(), found.read()?))
}
