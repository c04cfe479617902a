//! Whoever can reach a port can speak its transport up to any step, and then say anything. Each test lets an honest pair
//! go on meanwhile. See `hostile_port.rs` for strangers who speak something else.

mod listeners;
mod replays;
mod tcp;
mod udp;
