//! `chat explain`: what a stack gives and what it does not, derived from its plugins.

use chat_core::profile::Property;

use crate::{plugins, profiles};
use chat_relay::exit::{Failure, print};

pub(crate) fn run(profile: &str) -> Result<(), Failure> {
    let registry = plugins::registry()?;
    let profile = profiles::client(profile, &[], None, None, &registry)?;
    let stack = profile.assemble(&registry, profiles::GIVEN)?;
    let transport = profile.transports.first().map_or("", |entry| entry.options.kind());
    let mut text = format!(
        "{transport} · {} · {}\n\nThis stack gives:\n",
        profile.key_exchange.kind(),
        profile.cipher.kind()
    );
    let (given, lacking): (Vec<Property>, Vec<Property>) =
        Property::ALL.into_iter().partition(|property| stack.gives.contains(property));
    let line = |property: Property| format!("  {:<16} {}\n", property.word(), property.meaning());
    text.extend(given.into_iter().map(line));
    text.push_str("\nIt does not give:\n");
    text.extend(lacking.into_iter().map(line));
    text.push_str(
        "\nA relay sees who writes to whom, when, and about how much; it can delay or drop, which shows.\n\
         Peers are unverified until you compare fingerprints (chat identity show).\n\
         Open rooms are encrypted to the members that the relay names.\n\
         History and keys lie unsealed in the data directory, which only you can read.",
    );
    print(text)
}
