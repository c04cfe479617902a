//! What an attacker tries on every linked key exchange with every linked cipher. Each test prints a verdict a stack:
//! `cargo test -p chat-evidence -- --nocapture`.
//!
//! A verdict proves something only if the same attack succeeds where there is nothing to withstand it. So each has a
//! control: [`naive::Naive`], a session as one writes it in an afternoon, which falls to all of them.

// Links what the program has.
use chat as _;

pub mod naive;
pub mod stacks;
pub mod verdict;
