//! The relay alone: transports and the relay, no session code. It runs the relay of a profile and ignores the
//! tables it has no plugins for. `chat relay` is the same code, and `chat` uses what both need of a program:
//! exit codes, profiles by name, signals, the log.
//!
//! One JSON line on standard output says that it serves; messages and the log go to standard error. SIGTERM
//! and SIGINT drain it. Exit codes: 0 done, 1 failed at run time, 2 command line or profile wrong.

mod args;
pub mod exit;
pub mod files;
pub mod folder;
mod hop;
pub mod logging;
pub mod profiles;
mod run;
pub mod signals;

use std::process::ExitCode;

use clap::Parser;

pub use args::RelayArgs;
pub use hop::Noise;
pub use run::{limits, run};

/// Runs a blind relay on a profile: it passes on and keeps what people send each other, and can read none of it.
///
/// It serves the relay of the profile and passes over the tables that only a client needs.
#[derive(Debug, Parser)]
#[command(name = "chat-relay", version)]
struct Cli {
    #[command(flatten)]
    args: RelayArgs,
}

/// The whole program: reads the command line, runs, and gives the exit code.
pub fn main() -> ExitCode {
    exit::report(exit::parse::<Cli>().and_then(|cli| cli.map_or(Ok(()), |cli| run(&cli.args))))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
