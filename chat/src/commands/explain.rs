//! `chat explain`: what a stack gives and what it does not, derived from its plugins.

use chat_core::plugin::{PluginEntry, PluginKind};
use chat_core::profile::{Host, Padding, Property};
use chat_core::{Profile, Registry};

use crate::{plugins, profiles};
use chat_relay::exit::{Failure, print};

pub(crate) fn run(profile: &str) -> Result<(), Failure> {
    print(text(profile)?)
}

fn text(profile: &str) -> Result<String, Failure> {
    let registry = plugins::registry()?;
    let profile = profiles::client(profile, &[], None, None, &registry)?;
    let stack = profile.assemble(&registry, profiles::GIVEN)?;
    let transports: Vec<&str> = profile.transports.iter().map(|entry| entry.options.kind()).collect();
    let mut text = format!(
        "{} · {} · {}\n\nThis stack gives:\n",
        transports.join(", else "),
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
    if lacking.contains(&Property::SealedAtRest) {
        text.push_str(match (profile.store.is_sealed(), &profile.identity.key_file) {
            (true, None) => {
                "(sealed-at-rest is given to a profile that requires it in [policy]: this program is no relay then.)\n"
            }
            (true, Some(_)) => "(sealed-at-rest needs an identity key that is sealed too: no identity.key_file.)\n",
            (false, _) => "(sealed-at-rest needs a passphrase or a key file in [store].)\n",
        });
    }
    text.push_str(&ways(&profile, &registry));
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
    text.push_str(&listeners(&profile));
    text.push_str(&trust(&profile));
    text.push_str(
        "Open rooms are encrypted to the members that the relay names; a closed room has the members that its members\n\
         admitted, and no relay is told of it, though it sees who writes to several at once.\n",
    );
    if profile.topology.host == Host::Auto {
        text.push_str(
            "If nobody is the relay yet, this program is, for others too: its mailbox, relay.db in the data directory, lies in\n\
             the clear, as any relay's. Whoever can read it learns what a relay knows: who writes to whom, when, and the names\n\
             of people and open rooms. topology.host = \"never\", or policy.require = [\"sealed-at-rest\"], prevents that.\n",
        );
    }
    if let Some(path) = &profile.identity.key_file {
        text.push_str(&format!(
            "Your identity key lies in the clear in {}: whoever can read that is you.\n",
            path.display()
        ));
    }
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

/// Where the relay of this profile is to be found, if the profile says it for itself.
fn listeners(profile: &Profile) -> String {
    if profile.place("relay.listen").is_none() {
        return String::new();
    }
    let mut text = "Run as a relay (chat relay, chat-relay), it listens here; who comes one way chats with who comes another, \
                    and each way is encrypted up to the relay:\n"
        .to_owned();
    for listen in &profile.relay.listen {
        let given: Vec<&str> = listen.options.given().collect();
        let given = if given.is_empty() { String::new() } else { format!(" ({})", given.join(", ")) };
        let trusted = match listen.options.given().any(|option| option == "certificate") {
            true => {
                "; it shows a certificate of files, so its clients name `ca` (and `server_name`) to trust it"
            }
            false => "",
        };
        text.push_str(&format!("- {listen}{given}{trusted}\n"));
    }
    text
}

/// The ways to the relay, if there are several.
fn ways(profile: &Profile, registry: &Registry) -> String {
    if profile.transports.len() < 2 {
        return String::new();
    }
    let mut text = "\nThe ways to the relay, the preferred one first:\n".to_owned();
    for entry in &profile.transports {
        let (kind, place) = (entry.options.kind(), &entry.address.place);
        let known = |known: &&PluginEntry| known.kind == PluginKind::Transport && known.name == kind;
        let summary = registry.iter().find(known).map_or("", |entry| entry.summary);
        text.push_str(&format!("- {kind}://{place}: {summary}\n"));
    }
    text.push_str(
        "When one is blocked or falls silent the next takes over, and back when a better one works again; you are told each\n\
         time. Never another than these. Each is encrypted and proves who is at its other end, and what this stack gives is\n\
         given between you and your peers, so it is the same on all of them. Whoever can block a way chooses which of the\n\
         others you use, and each of them shows an onlooker that you use it.\n",
    );
    text.push_str(match profile.transports.iter().any(|entry| entry.address.pin.is_some()) {
        true => {
            "The relay is pinned, on all of them: whoever answers with another key is refused, and while he does the next way \
             is not taken in place of his.\n"
        }
        false => {
            "No way is pinned: whoever answers there is the relay. That it is another one than before is told. \
             FINGERPRINT@host:port in topology.relay pins it on all of them.\n"
        }
    });
    text
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

    #[test]
    fn every_way_to_the_relay_is_said() {
        let text = text("failover.toml").unwrap();
        for piece in [
            "udp-arq, else tcp, else tls · x25519-ratchet",
            "- udp-arq://127.0.0.1:12354: reliable frames over UDP",
            "- tls://127.0.0.1:12355: ",
            "Never another than these",
            "No way is pinned",
        ] {
            assert!(text.contains(piece), "no {piece} in {text}");
        }
    }

    /// A relay's mailbox lies in the clear, and every profile of the program's own may be one.
    #[test]
    fn what_lies_in_the_clear_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let said = |host: &str, rest: &str| {
            let built_in = profile_with_host();
            let changed = built_in.replace("host = \"auto\"", &format!("host = \"{host}\""));
            std::fs::write(&path, format!("{changed}\n{rest}")).unwrap();
            let text = text(path.to_str().unwrap()).unwrap();
            let (gives, lacks) = text.split_once("It does not give:").unwrap();
            (
                gives.contains("sealed-at-rest"),
                lacks.contains("sealed-at-rest needs"),
                text.contains("relay.db"),
            )
        };
        let store = "[store]\npassphrase = { env = \"X\" }";
        assert_eq!(said("auto", ""), (false, true, true));
        assert_eq!(said("auto", store), (false, false, true));
        assert_eq!(said("never", store), (true, false, false));
        assert_eq!(said("never", &format!("{store}\n[identity]\nkey_file = \"/k\"")), (false, true, false));
    }

    #[test]
    fn each_listener_of_a_relay_is_said_with_its_options() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let listen = "[relay]\nlisten = [\"udp-arq://127.0.0.1:7\", { kind = \"tls\", address = \"127.0.0.1:7\", \
                      certificate = \"a.pem\", key = \"a.key\" }]\n";
        std::fs::write(&path, format!("{}{listen}", profile_with_host())).unwrap();
        let said = text(path.to_str().unwrap()).unwrap();
        for piece in
            ["\n- udp-arq://127.0.0.1:7\n", "\n- tls://127.0.0.1:7 (certificate, key); it shows", "name `ca`"]
        {
            assert!(said.contains(piece), "no {piece} in {said}");
        }
        assert!(!text("tcp-x25519.toml").unwrap().contains("it listens here"));
    }

    fn profile_with_host() -> &'static str {
        include_str!("../../../configs/tcp-x25519.toml")
    }
}
