//! Black-box tests of the built program `chat`, with real processes, pipes and sockets.
//!
//! Nothing of the program is linked here: what these tests know of it is its command line, its exit codes,
//! the JSON-RPC contract, its files, and the bytes on its ports. One file of `tests/` is one scenario.
//!
//! | room | what is in it |
//! |---|---|
//! | [`binary`] | the program under test is built, once |
//! | [`World`] | a temporary home for the processes of one test; shows all of them if it fails |
//! | [`Process`] | a process: what it says, how it ends |
//! | [`Node`] | a user: `chat` with the `jsonrpc` frontend |
//! | [`Relay`] | `chat relay` |
//! | [`Screen`] | a program on a terminal of its own |
//! | [`Impair`] | `chat impair`: a bad network between processes |
//! | [`Besieged`] | a relay that strangers attack, and an honest pair on it |
//! | [`Recorder`] | a proxy that writes down what passes, and may meddle with it |
//! | [`memory`] | what is in a process's memory, and how much of it there is |
//! | [`search`] | pieces of secrets, however written |
//! | [`means`] | what not every machine has, and tests that need it |
//! | [`profiles`] | the built-in profiles; [`on_every_profile`] runs a scenario on each |
//!
//! **Time.** Nothing is measured. Everything waits for a condition, for [`PATIENCE`] at most, and a test that hangs
//! nevertheless is ended by its world after [`world::LIMIT`].
//!
//! **Ports.** Every world has a loopback address of its own where the system has a whole network of them, and
//! ports are chosen by the system, so tests disturb neither each other nor a chat of the developer's.

use std::time::Duration;

pub mod besieged;
pub mod binary;
pub mod event;
pub mod files;
pub mod impair;
pub mod means;
pub mod memory;
pub mod node;
pub mod openssl;
pub mod process;
pub mod profiles;
pub mod recorder;
pub mod relay;
#[cfg(unix)]
pub mod screen;
pub mod search;
pub mod world;

pub use besieged::Besieged;
pub use event::{Event, RpcError};
pub use impair::Impair;
pub use node::Node;
pub use process::{Exit, Process};
pub use profiles::{Network, Profile};
pub use recorder::{Direction, Recorder};
pub use relay::Relay;
#[cfg(unix)]
pub use screen::Screen;
pub use world::World;

/// How long a condition may take. Far more than it needs: this machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);
