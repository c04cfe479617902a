//! The crash machine: people write to each other through the built programs while these are killed, their system
//! calls fail and their disks fill up, and a ledger of everything that was said and shown checks what was promised.
//!
//! It knows of the programs what their users know: command line, exit codes, JSON-RPC, and that a data directory
//! outlives its process.
//!
//! | room | what is in it |
//! |---|---|
//! | [`ledger`] | who said what, what was shown of it, and every rule that is checked; no process, no clock |
//! | [`line`] | lines of the `jsonrpc` frontend, taken apart |
//! | [`program`] | how the programs are started, also with failing system calls |
//! | [`child`] | a process, and the thread that reads what it says |
//! | [`news`] | what all those threads know together, and waiting for it |
//! | [`town`] | a relay and people in a folder, started, killed and looked at |
//! | [`talk`] | a thread a person that writes as much as the program takes |
//! | [`kills`] | loops of traffic and `kill -9` |
//! | [`calls`] | the n-th failing system call, for n = 1, 2, 3 … |
//! | [`disk`] | a disk that fills up in the middle |
//! | [`report`] | what came of a case of the two above |
//! | [`book`] | what of a long run is done, and what broke a promise |
//! | [`results`] | what came out, loop by loop, to be resumed and to be shown |
//!
//! **Promises checked**, after every kill, failed call and full disk:
//!
//! - *No lie.* What was shown `delivered` is in the recipient's history: at the next start of the recipient, some of
//!   them cut off from everybody, and at the end. What was shown `stored` arrives although its author stays away.
//! - *Committed is kept.* What was answered with an id is in its author's history after any kill, and arrives.
//! - *Refused is not said.* What was answered with an error arrives nowhere.
//! - *States never go back*, within a run of the program, over a restart, and room counts neither.
//! - *Order* by author and conversation, in history and in notifications; *exactly once* in both; texts unchanged, in
//!   the conversation they were said in, from whom they say.
//! - *Restartable.* Every start gets ready. No process ends by itself but with an error, and none panics.

pub mod book;
pub mod calls;
pub mod chance;
pub mod child;
pub mod disk;
pub mod kills;
pub mod ledger;
pub mod line;
pub mod news;
pub mod program;
pub mod report;
pub mod results;
pub mod talk;
pub mod town;

use std::fmt;

/// Why a run can't go on: something was waited for in vain, or the machine itself has no means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// One of the people of a town, by number.
pub type Who = usize;
