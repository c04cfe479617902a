//! One program, any secure-chat stack: the command line, the list of linked plugins, and the assembly of
//! a profile's plugins into a running node.
//!
//! A program with one plugin more is `use their_plugin as _; fn main() -> ExitCode { chat::main() }`.
//!
//! | room | what is in it |
//! |---|---|
//! | `cli` | arguments, each with its help |
//! | `plugins` | the plugins that are linked in: the one visible list |
//! | `profiles` | built-in profiles, and how arguments, environment and file become one profile |
//! | `home` | the data directory: nick, lock, identity, logs |
//! | `host` | links to the relay, and being the relay if nobody is |
//! | `run` | a client from start to exit code |
//! | `commands` | the subcommands |

#![deny(unused_crate_dependencies)]

mod cli;
mod commands;
mod home;
mod host;
mod logging;
mod plugins;
mod profiles;
mod run;

use std::process::ExitCode;

/// The whole program: reads the command line, runs, and gives the exit code.
pub fn main() -> ExitCode {
    chat_relay::exit::report(cli::parse_and_run())
}
