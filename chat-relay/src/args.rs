//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// A blind relay on a profile: routes and stores sealed envelopes and can open none.
#[derive(Debug, Parser)]
#[command(name = "chat-relay", version)]
pub(crate) struct Args {
    /// The profile: a path, one of your own, a built-in one such as `udp-rsa.toml`, or `-` for standard input.
    #[arg(long, short, value_name = "PROFILE")]
    pub(crate) config: String,
    /// Where the relay keeps its identity and its mailbox.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Changes one value of the profile, such as `--set relay.max_clients=100`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where to listen, such as `tcp://0.0.0.0:12345`, instead of what the profile says; may be repeated. Port 0
    /// lets the system choose.
    #[arg(long, value_name = "KIND://PLACE")]
    pub(crate) listen: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Args::command().debug_assert();
    }
}
