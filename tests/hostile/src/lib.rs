//! Hostile peers for tests, against clients and relays in this process or as built programs.
//!
//! | room | what is in it |
//! |---|---|
//! | [`raw`] | a peer that sends any bytes at any step of a handshake, stalls, floods, reads slowly or never |
//! | [`mangle`] | what can be done to bytes |
//! | [`stranger`] | an authenticated client that speaks records as it likes |
//! | [`forge`] | bundles, sessions and envelopes of one's own making |
//! | [`relay`], [`lie`], [`desk`] | a relay that speaks the real protocol and lies; the ways to lie; what is true |
//! | [`person`], [`scene`] | honest clients, and a scene of them around a lying relay |
//! | [`stack`], [`clock`] | what they are made of |
//!
//! Each test says which promise it attacks, shows that the attack took place, and that the honest go on afterwards.

pub mod clock;
pub mod desk;
pub mod forge;
pub mod lie;
pub mod mangle;
pub mod person;
pub mod raw;
pub mod relay;
pub mod scene;
pub mod stack;
pub mod stranger;

pub use clock::Clock;
pub use desk::Desk;
pub use person::{LOBBY, Person};
pub use relay::LyingRelay;
pub use scene::Scene;
pub use stack::{RATCHET, RSA, Stack, X25519};
pub use stranger::Stranger;
