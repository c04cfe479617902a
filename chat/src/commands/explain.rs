//! `chat explain`: what a stack gives and what it does not, derived from its plugins.

use chat_core::Profile;
use chat_core::profile::{Padding, Property};

use crate::{plugins, profiles};
use chat_relay::exit::{Failure, print};

pub(crate) fn run(profile: &str) -> Result<(), Failure> {
    print(text(profile)?)
}

fn text(profile: &str) -> Result<String, Failure> {
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
    text.extend(lacking.iter().copied().map(line));
    if lacking.iter().any(|property| matches!(property, Property::VerifiedPeers | Property::ClosedRooms)) {
        text.push_str(
            "(verified-peers and closed-rooms are given to a profile that requires them in [policy].)\n",
        );
    }
    let caveats = stack.key_exchange.caveats();
    if !caveats.is_empty() {
        text.push_str(&format!("\nOf {}, know this:\n", profile.key_exchange.kind()));
        text.extend(caveats.iter().map(|caveat| format!("- {caveat}\n")));
    }
    let length = match profile.padding {
        Padding::Buckets => "about how much",
        Padding::Off => "how much",
    };
    text.push_str(&format!(
        "\nA relay sees who writes to whom, when, and {length}; it can delay or drop, which shows.\n"
    ));
    text.push_str(&trust(&profile));
    text.push_str(
        "Open rooms are encrypted to the members that the relay names; a closed room has the members that its members\n\
         admitted, and no relay is told of it, though it sees who writes to several at once.\n",
    );
    text.push_str(match profile.store.is_sealed() {
        true => {
            "History and keys are sealed under your passphrase or key file; who has it, and the data directory, reads both. \
             Whoever puts a whole older data directory in place of the present one is not noticed by the store itself, \
             though peers notice sessions that are behind."
        }
        false => {
            "History and keys are sealed with a key that lies beside them: whoever can read the data directory, or steals the \
             disk, can open them. [store] with a passphrase or a key file changes that."
        }
    });
    Ok(text)
}

/// Whose keys are believed, and what becomes of the others.
fn trust(profile: &Profile) -> String {
    let mut text = "Peers are unverified until you compare safety numbers (/verify NICK; chat identity show|qr), or the \
                    profile pins their keys ([[pin]]).\n"
        .to_owned();
    if profile.policy.requires(Property::VerifiedPeers) {
        text.push_str(
            "Nothing is sealed for a peer that is not verified, not even a receipt; what it says is shown as unverified.\n",
        );
    }
    for pin in &profile.pins {
        text.push_str(&format!("{} is {}, and nobody else.\n", pin.nick, pin.fingerprint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_exchange_cannot_do_is_said() {
        for (profile, pieces) in [
            ("tcp-x25519.toml", ["Of x25519", "pose as others to you until it is rotated"]),
            ("udp-rsa.toml", ["no forward secrecy within the life of the RSA key", "RUSTSEC-2023-0071"]),
            ("relay-ratchet.toml", ["made without a one-time key", "a thief who only reads along"]),
        ] {
            let text = text(profile).unwrap();
            for piece in pieces {
                assert!(text.contains(piece), "no {piece} in {text}");
            }
        }
    }
}
