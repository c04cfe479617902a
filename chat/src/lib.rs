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
//! | `assembly` | from a profile and its plugins to the parts of a node |
//! | `run` | a client from start to exit code |
//! | `secret` | secrets that a profile refers to |
//! | `leave` | leaving because a signal says so |
//! | `commands` | the subcommands |

#![deny(unused_crate_dependencies)]

mod assembly;
mod cli;
mod commands;
mod home;
#[doc(hidden)] // For the simulation, which runs this very code.
pub mod host;
mod leave;
mod logging;
mod plugins;
mod profiles;
mod run;
mod secret;

use std::process::ExitCode;

/// The whole program: reads the command line, runs, and gives the exit code.
pub fn main() -> ExitCode {
    leave_no_core_file();
    write_for_the_owner_only();
    chat_relay::exit::report(cli::parse_and_run())
}

/// Plaintext and keys are in this process; a core file would put them on the disk.
#[cfg(unix)]
fn leave_no_core_file() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        chat_relay::exit::say(format!("warning: a crash of this program may leave a core file: {error}"));
    }
}

#[cfg(not(unix))]
fn leave_no_core_file() {}

/// Whatever file this process makes (logs, sockets, what SQLite puts beside a database) is its owner's alone.
#[cfg(unix)]
fn write_for_the_owner_only() {
    use rustix::fs::Mode;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

#[cfg(not(unix))]
fn write_for_the_owner_only() {}
