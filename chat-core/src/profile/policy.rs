//! What a stack gives, and what a profile requires of it.

use std::fmt;

use crate::key_exchange::{KeyExchange, Properties};
use crate::plugin::{PluginEntry, PluginKind, Registry};

use super::diagnostics::{Diagnostic, Problems, ProfileError};
use super::options::Options;
use super::source::Place;

/// Something a stack gives its users. Required in `[policy]`, told by `chat explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Property {
    /// Plaintext and keys exist only inside client processes.
    EndToEnd,
    /// [`Properties::forward_secrecy`]
    ForwardSecrecy,
    /// [`Properties::healing`]
    Healing,
    /// [`Properties::post_quantum`]
    PostQuantum,
    /// [`Properties::deniable`]
    Deniable,
    /// Nothing is sent to a peer whose key the user has not verified.
    VerifiedPeers,
    /// Rooms admit only whom a member admits.
    ClosedRooms,
    /// The length of a message shows only which of a few classes it is in.
    Padding,
    /// What lies in the data directory is sealed under a secret that is not in there.
    SealedAtRest,
}

impl Property {
    /// All of them, in the order they are told.
    pub const ALL: [Self; 9] = [
        Self::EndToEnd,
        Self::ForwardSecrecy,
        Self::Healing,
        Self::PostQuantum,
        Self::Deniable,
        Self::VerifiedPeers,
        Self::ClosedRooms,
        Self::Padding,
        Self::SealedAtRest,
    ];

    /// The words of all of them, in the same order.
    pub const WORDS: [&'static str; 9] = {
        let mut words = [""; 9];
        let mut index = 0;
        while index < words.len() {
            words[index] = Self::ALL[index].word();
            index += 1;
        }
        words
    };

    /// The word in a profile.
    pub const fn word(self) -> &'static str {
        match self {
            Self::EndToEnd => "end-to-end",
            Self::ForwardSecrecy => "forward-secrecy",
            Self::Healing => "healing",
            Self::PostQuantum => "post-quantum",
            Self::Deniable => "deniable",
            Self::VerifiedPeers => "verified-peers",
            Self::ClosedRooms => "closed-rooms",
            Self::Padding => "padding",
            Self::SealedAtRest => "sealed-at-rest",
        }
    }

    /// What it means to a user, as half a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::EndToEnd => "only the two ends can read a message; no relay can",
            Self::ForwardSecrecy => "keys stolen later open no message of now",
            Self::Healing => "after a theft of keys a conversation becomes secret again by itself",
            Self::PostQuantum => "what is recorded now stays closed to a quantum computer of later",
            Self::Deniable => "a transcript proves to nobody else who wrote it",
            Self::VerifiedPeers => "nothing is sent to somebody whose key was not verified",
            Self::ClosedRooms => "a room admits only whom a member admits",
            Self::Padding => "the length of a message tells little about it",
            Self::SealedAtRest => "a stolen data directory tells little without the passphrase or key file",
        }
    }

    fn of_key_exchange(self, properties: &Properties) -> bool {
        match self {
            Self::ForwardSecrecy => properties.forward_secrecy,
            Self::Healing => properties.healing,
            Self::PostQuantum => properties.post_quantum,
            Self::Deniable => properties.deniable,
            _ => false,
        }
    }

    /// Whether a key exchange decides about it, rather than the program.
    fn is_of_key_exchange(self) -> bool {
        matches!(self, Self::ForwardSecrecy | Self::Healing | Self::PostQuantum | Self::Deniable)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a stack gives: end-to-end always, what its key exchange gives, and what the program adds. In the order of [`Property::ALL`].
pub fn given(key_exchange: &Properties, program_gives: &[Property]) -> Vec<Property> {
    let gives = |property: &Property| {
        // The session between the two ends is the only way a message travels, whatever the profile says.
        *property == Property::EndToEnd
            || property.of_key_exchange(key_exchange)
            || (!property.is_of_key_exchange() && program_gives.contains(property))
    };
    Property::ALL.into_iter().filter(gives).collect()
}

/// `[policy]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The required properties and where each is required, in the order of the profile.
    pub(super) require: Vec<(Property, Place)>,
}

impl Policy {
    /// What is required, in the order of the profile.
    pub fn require(&self) -> impl Iterator<Item = Property> {
        self.require.iter().map(|(property, _)| *property)
    }

    /// Whether a property is required.
    pub fn requires(&self, property: Property) -> bool {
        self.require().any(|required| required == property)
    }

    pub(super) fn check(
        &self,
        given: &[Property],
        key_exchange: &str,
        registry: &Registry,
        problems: &mut Problems,
    ) {
        for (property, place) in self.require.iter().filter(|(property, _)| !given.contains(property)) {
            problems.push(lacking(*property, place, key_exchange, registry));
        }
    }
}

fn lacking(property: Property, place: &Place, key_exchange: &str, registry: &Registry) -> Diagnostic {
    let message = format!("the policy requires `{property}`, and this stack does not give it");
    let error = Diagnostic::error(place, message).note(format!("{property}: {}", property.meaning()));
    if property == Property::SealedAtRest {
        return error.note(
            "what gives it: [store] with a `passphrase`, or with a `key_file` outside of the data directory, and no \
             `identity.key_file`, which lies in the clear",
        );
    }
    if property == Property::Padding {
        return error.note("what gives it: [padding] kind = \"buckets\"");
    }
    if !property.is_of_key_exchange() {
        return error.note(format!(
            "no part of this program gives it yet; take `{property}` out of `policy.require`"
        ));
    }
    let error = error.note(format!("the key exchange `{key_exchange}` does not give it"));
    let givers = givers(property, registry);
    error.note(match givers.as_slice() {
        [] => {
            format!("no key exchange of this program gives it; take `{property}` out of `policy.require`")
        }
        givers => format!("what gives it: [key_exchange] {}", givers.join(" or ")),
    })
}

/// The linked key exchanges that give a property in their own example, or if none does, with one of their switches on. They
/// are built and asked, so that the advice can't be out of date.
fn givers(property: Property, registry: &Registry) -> Vec<String> {
    let gives = |options: &str| {
        let options = Options::parse_table(options, PluginKind::KeyExchange.table()).ok()?;
        let exchange = registry.build::<dyn KeyExchange>(&options).ok()?;
        Some(property.of_key_exchange(&exchange.properties()))
    };
    let exchanges = || registry.iter().filter(|entry| entry.kind == PluginKind::KeyExchange);
    let plain: Vec<_> = exchanges()
        .filter(|entry| gives(entry.example) == Some(true))
        .map(|entry| format!("kind = \"{}\"", entry.name))
        .collect();
    if !plain.is_empty() {
        return plain;
    }
    let switched = exchanges().flat_map(|entry| switches(entry).into_iter().map(move |key| (entry, key)));
    switched
        .filter(|(entry, key)| gives(&format!("{}{key} = true\n", entry.example)) == Some(true))
        .map(|(entry, key)| format!("kind = \"{}\", {key} = true", entry.name))
        .collect()
}

/// The options of a plugin that are on or off.
fn switches(entry: &PluginEntry) -> Vec<String> {
    let schema = entry.schema();
    let options = schema.get("properties").and_then(|options| options.as_object()).into_iter().flatten();
    options.filter(|(_, schema)| schema["type"] == "boolean").map(|(key, _)| key.clone()).collect()
}

/// A policy as an error or nothing.
pub(super) fn check(
    policy: &Policy,
    given: &[Property],
    key_exchange: &str,
    registry: &Registry,
) -> Result<(), ProfileError> {
    let mut problems = Problems::default();
    policy.check(given, key_exchange, registry, &mut problems);
    problems.finish(Some(())).map(|((), _)| ())
}
