//! Simulation of whole nodes: everything they touch is simulated, and a seed decides what happens.
//!
//! A seed stands for a plan, and a plan with its seed for a run. What a seed stands for changes when more is drawn; a plan
//! is a text that stays what it is. Each that ever failed is in `plans/`, and held to its promises by `tests/seeds.rs`.
//!
//! | room | what is in it |
//! |---|---|
//! | [`run`] | one seed from beginning to end |
//! | [`plan`] | what a seed stands for |
//! | [`person`], [`post`] | the machines: somebody's client, the relay |
//! | [`machine`] | clock and randomness of a machine |
//! | [`net`] | the network |
//! | [`disk`] | a file system in memory that loses power: what was not synced may be gone or torn afterwards |
//! | [`record`], [`check`] | what was said and shown, and what must hold of it |
//! | [`rooms`] | who was a member of which closed room, in whose eyes |
//! | [`stack`] | the plugins |
//! | [`rng`], [`trace`] | the numbers a seed stands for; what happened as one number |

pub mod check;
pub mod disk;
pub mod machine;
pub mod net;
mod panics;
pub mod person;
pub mod plan;
pub mod post;
pub mod record;
pub mod rng;
pub mod rooms;
pub mod run;
pub mod stack;
pub mod trace;
