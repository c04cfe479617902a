//! The profile of a client.

use chat_core::profile::Property;
use chat_core::{Profile, Registry};
use chat_relay::exit::Failure;
use chat_relay::profiles::{inputs, load};

/// What the program can give besides the key exchange: sessions are always end to end, frames are padded unless the
/// profile turns it off, and to require verified peers or closed rooms is to have them.
pub(crate) const GIVEN: &[Property] =
    &[Property::EndToEnd, Property::VerifiedPeers, Property::ClosedRooms, Property::Padding];

/// The profile of a client, with its flags.
pub(crate) fn client(
    name: &str,
    sets: &[String],
    nick: Option<&String>,
    frontend: Option<&String>,
    registry: &Registry,
) -> Result<Profile, Failure> {
    let mut inputs = inputs(name, sets)?;
    if let Some(nick) = nick {
        inputs = inputs.flag("--nick", "identity.nick", nick);
    }
    if let Some(frontend) = frontend {
        inputs = inputs.flag("--frontend", "frontend.kind", frontend);
    }
    load(&inputs.for_client(registry, GIVEN))
}
