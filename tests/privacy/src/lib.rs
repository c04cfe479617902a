//! What people write, their keys and their names are found nowhere but where they belong. The built programs live through
//! a whole scenario, everything they leave behind is collected, and one search goes through all of it.
//!
//! | room | what is in it |
//! |---|---|
//! | [`secret`] | what must not be found: texts, keys, names; `chat_tests::search` looks for them |
//! | [`evidence`] | what was left behind: logs, wire, core files, folders |
//! | [`capture`], [`core_file`] | all packets of an address; the memory of a process |
//! | [`scenario`] | what they live through: everyday life, strangers, a bad wire, crashes, a lying relay, another host |
//! | [`leaky`] | plugins that leak, for the program `leaky-chat`: the search must find them out |
//!
//! # What is looked for where
//!
//! | | text | keys | names of people and rooms |
//! |---|---|---|---|
//! | logs of every program at the level `trace`, all targets; standard error | no | no | no |
//! | the wire: a recorder in front of each relay, and a capture of all packets | no | no | no |
//! | the relay's core file (`gcore`), with messages waiting and later | no | no, but for its own | *known to it* |
//! | the relay's folder | no | no, but for its own | *known to it* |
//! | a client's folder, but for `identity.key` and `store.key`, where they belong; in `client.db` they lie sealed | no | no | no, but for the mailbox of one that hosts |
//! | temporary and runtime folders | no | no | no |
//!
//! *Known to it*: the relay's directory holds who is called what, and rooms are made of names, so that people find each
//! other. It is a hint for clients, who verify it. That is stated in the README, and it is why names are not looked for there.
//!
//! What a stranger says openly may be on the wire and in memory; it is not repeated in a log.
//!
//! **Texts** are looked for in pieces: any twelve characters in a row, as they are, in hexadecimal, as lists of numbers,
//! escaped, and in both kinds of base64. And so are **keys**, any eight bytes in a row: identity keys, what Ed25519 makes of
//! them, the keys of bundles (for RSA the middle of each private number), and both direction keys of each session, or the root,
//! ratchet and chain keys of one that ratchets, as far as databases held them whenever a program had ended. **Names** are looked for as a whole, in the same spellings. Not known from outside, and so not looked
//! for: keys of hops, which are made for one link and never written, and keys of single messages, which are
//! derived from those of directions and chains. That plugins don't log those is a rule of the conformance suites in `chat-core`.
//!
//! The programs hand the log to `tracing`. No bridge from the crate `log` is installed, so what a dependency says
//! there goes nowhere.

pub mod capture;
pub mod core_file;
pub mod evidence;
pub mod leaky;
pub mod scenario;
pub mod secret;

pub use evidence::{Evidence, Found, Place};
pub use scenario::Scenario;
pub use secret::{Kind, Secrets};
