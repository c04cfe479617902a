//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::commands::db::{Carried, DbCommand, Whose};
use crate::commands::impair::ImpairArgs;
use crate::run;
use chat_relay::RelayArgs;
use chat_relay::exit::{self, Failure};

/// One program, any secure-chat stack: a TOML profile names a transport, a key exchange, a cipher and a
/// frontend; this assembles them and runs.
#[derive(Debug, Parser)]
#[command(name = "chat", version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// Arguments of a client.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// The profile: a path, one of your own, a built-in one such as `udp-rsa.toml`, or `-` for standard input.
    #[arg(long, short, value_name = "PROFILE")]
    pub(crate) config: Option<String>,
    /// Changes one value of the profile, such as `--set topology.relay=127.0.0.1:2000`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// What others call you; by default your login name.
    #[arg(long)]
    pub(crate) nick: Option<String>,
    /// The frontend, whatever the profile says: tui, jsonrpc.
    #[arg(long, value_name = "KIND")]
    pub(crate) frontend: Option<String>,
    /// Where identity and history are kept; by default a folder for each nick.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a blind relay on a profile, without frontend.
    Relay(RelayArgs),
    /// Checks profiles without touching anything: no network, no command, no file written.
    Check {
        /// The profiles.
        #[arg(required = true, value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Changes one value of each profile; may be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Says in plain words what a profile's stack protects, from whom, and what it does not.
    Explain {
        /// The profile.
        profile: String,
    },
    /// Shows profiles as they take effect.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Lists the plugins that are built into this program.
    Plugins {
        /// As JSON, with the schema of each plugin's options.
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON schema of profiles.
    Schema,
    /// Your identity.
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// The store of a data directory: checked, carried elsewhere, locked in another way.
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Passes on UDP or TCP as a bad network would, with loss, delay and more; for tests.
    ///
    /// What is asked is wrong in both directions, for each client on its own: a packet of UDP, or a segment of a TCP
    /// connection, is lost, delayed and so on. A UDP client that is silent for two minutes is forgotten; there are 128
    /// clients at a time at most. One JSON line says that it serves, and another one, when Ctrl+C or SIGTERM ends it,
    /// what became of the packets.
    Impair(ImpairArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the effective profile, each value with where it comes from; the output is a valid profile.
    Show {
        /// The profile.
        profile: String,
        /// Changes one value; may be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// As the flag of a run.
        #[arg(long)]
        nick: Option<String>,
        /// As the flag of a run.
        #[arg(long, value_name = "KIND")]
        frontend: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum IdentityCommand {
    /// Prints the fingerprint that others compare.
    Show {
        #[command(flatten)]
        whose: Whose,
    },
    /// Writes your identity into a new file, sealed under a passphrase.
    Export(Carried),
    /// Puts an exported identity into a data directory that has none.
    Import(Carried),
    /// Shows that fingerprint as a QR code, in light blocks as for a dark terminal.
    Qr {
        #[command(flatten)]
        whose: Whose,
        /// Writes it into a new PNG picture, black on white, in place of the terminal.
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
    },
}

/// Reads the arguments and does what they say.
pub(crate) fn parse_and_run() -> Result<(), Failure> {
    let Some(cli) = exit::parse::<Cli>()? else { return Ok(()) };
    match cli.command {
        None => run::run(&cli.run),
        Some(Command::Relay(args)) => {
            // This program has all plugins, so the whole profile must be right; `chat-relay` looks at less.
            commands::check::one(&args.config, &args.set)?;
            chat_relay::run(&args)
        }
        Some(Command::Check { profiles, set }) => commands::check::run(&profiles, &set),
        Some(Command::Explain { profile }) => commands::explain::run(&profile),
        Some(Command::Config { command: ConfigCommand::Show { profile, set, nick, frontend } }) => {
            commands::config::show(&profile, &set, nick, frontend)
        }
        Some(Command::Plugins { json }) => commands::plugins::run(json),
        Some(Command::Schema) => commands::plugins::schema(),
        Some(Command::Identity { command: IdentityCommand::Show { whose } }) => {
            commands::identity::show(&whose)
        }
        Some(Command::Identity { command: IdentityCommand::Export(carried) }) => {
            commands::identity::export(&carried)
        }
        Some(Command::Identity { command: IdentityCommand::Import(carried) }) => {
            commands::identity::import(&carried)
        }
        Some(Command::Db { command }) => commands::db::run(command),
        Some(Command::Identity { command: IdentityCommand::Qr { whose, png } }) => {
            commands::identity::qr(&whose, png.as_deref())
        }
        Some(Command::Impair(args)) => commands::impair::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
