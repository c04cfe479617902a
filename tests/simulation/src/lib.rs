//! Simulation of whole nodes: everything they touch is simulated, and a seed decides what happens.
//!
//! | room | what is in it |
//! |---|---|
//! | [`disk`] | a file system in memory that loses power: what was not synced may be gone or torn afterwards |
//! | [`rng`] | the numbers a seed stands for |

pub mod disk;
pub mod rng;
