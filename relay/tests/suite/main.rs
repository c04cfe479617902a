//! The suite for mailboxes: the one in SQLite holds it, and for each rule there is a mailbox that is wrong in the one way
//! that the rule is there for.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

mod faults;
mod sqlite;
mod toy;
