use std::path::PathBuf;

use clap::Args;

/// A blind relay on a profile: routes and stores sealed envelopes and can open none.
#[derive(Debug, Clone, Args)]
pub struct RelayArgs {
    /// The profile: a path, one of your own, a built-in one such as `udp-rsa.toml`, or `-` for standard input.
    #[arg(long, short, value_name = "PROFILE")]
    pub config: String,
    /// Changes one value of the profile, such as `--set relay.max_clients=100`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where to listen, such as `tcp://0.0.0.0:12345`, instead of what the profile says; may be repeated. Port 0
    /// lets the system choose.
    #[arg(long, value_name = "KIND://PLACE")]
    pub listen: Vec<String>,
    /// Where the relay keeps its identity and its mailbox.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}
