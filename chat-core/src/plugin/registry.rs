//! The plugins of a program: found, checked, built.

use std::collections::BTreeMap;
use std::fmt;

use super::{Kind, PluginEntry, PluginKind};
use crate::CORE_VERSION;
use crate::error::ProfileError;
use crate::profile::Options;

/// Plugins of the project, so that "not built into this program" can be told from "no such thing".
const KNOWN: &[(PluginKind, &str)] = &[
    (PluginKind::Transport, "memory"),
    (PluginKind::Transport, "tcp"),
    (PluginKind::Transport, "tls"),
    (PluginKind::Transport, "quic"),
    (PluginKind::Transport, "udp-arq"),
    (PluginKind::KeyExchange, "rsa-hybrid"),
    (PluginKind::KeyExchange, "x25519"),
    (PluginKind::KeyExchange, "x25519-ratchet"),
    (PluginKind::Cipher, "aes-256-gcm"),
    (PluginKind::Cipher, "chacha20-poly1305"),
    (PluginKind::Cipher, "xchacha20-poly1305"),
    (PluginKind::Cipher, "aes-128-cbc-hmac-sha256"),
    (PluginKind::Frontend, "jsonrpc"),
    (PluginKind::Frontend, "tui"),
    (PluginKind::Frontend, "egui"),
];

/// The names of the project's plugins of one kind, built in or not.
pub(crate) fn known_names(kind: PluginKind) -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter(move |(known, _)| *known == kind).map(|(_, name)| *name)
}

/// Why the linked plugins can't be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two crates claim one name.
    #[error(
        "two plugins are called {kind} `{name}`: one of crate `{first}`, one of crate `{second}`; link only one of them"
    )]
    Duplicate {
        /// The kind.
        kind: PluginKind,
        /// The name.
        name: &'static str,
        /// One crate.
        first: &'static str,
        /// The other crate.
        second: &'static str,
    },
    /// A plugin that was built against another core.
    #[error(
        "the {kind} `{name}` of crate `{krate}` was built against chat-core {found}, this program has {CORE_VERSION}; build it against the same version"
    )]
    OtherCore {
        /// The kind.
        kind: PluginKind,
        /// The name.
        name: &'static str,
        /// Its crate.
        krate: &'static str,
        /// The version it was built against.
        found: &'static str,
    },
}

/// Why a plugin that a profile names can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSuchPlugin {
    /// The kind that was looked for.
    pub kind: PluginKind,
    /// The name that was given.
    pub name: String,
    /// What is linked of this kind.
    pub accepted: Vec<&'static str>,
    /// The same name, but of another kind.
    pub is_a: Option<PluginKind>,
    /// A plugin of the project that this program was built without.
    pub not_built_in: bool,
}

impl fmt::Display for NoSuchPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, .. } = self;
        match self.is_a {
            Some(other) => write!(f, "`{name}` is a {other}, not a {kind}"),
            None if self.not_built_in => {
                write!(f, "the {kind} `{name}` is known, but not built into this program")
            }
            None => write!(f, "there is no {kind} `{name}`"),
        }
    }
}

/// The plugins of this program, checked.
#[derive(Debug)]
pub struct Registry {
    entries: BTreeMap<(PluginKind, &'static str), &'static PluginEntry>,
}

impl Registry {
    /// Everything that is linked into the program.
    ///
    /// # Errors
    /// [`RegistryError`] if two plugins share a name, or one was built against another core.
    pub fn linked() -> Result<Self, RegistryError> {
        Self::from_entries(inventory::iter::<PluginEntry>())
    }

    /// A registry of given entries.
    ///
    /// # Errors
    /// As [`Registry::linked`].
    pub fn from_entries(
        entries: impl IntoIterator<Item = &'static PluginEntry>,
    ) -> Result<Self, RegistryError> {
        let mut checked = BTreeMap::new();
        for entry in entries {
            let &PluginEntry { kind, name, krate, core_version, .. } = entry;
            if core_version != CORE_VERSION {
                return Err(RegistryError::OtherCore { kind, name, krate, found: core_version });
            }
            if let Some(first) = checked.insert((kind, name), entry) {
                return Err(RegistryError::Duplicate { kind, name, first: first.krate, second: krate });
            }
        }
        Ok(Self { entries: checked })
    }

    /// All plugins, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &'static PluginEntry> + '_ {
        self.entries.values().copied()
    }

    /// The plugin of this kind and name.
    ///
    /// # Errors
    /// [`NoSuchPlugin`] says what there is instead.
    pub fn find(&self, kind: PluginKind, name: &str) -> Result<&'static PluginEntry, NoSuchPlugin> {
        let found = self.iter().find(|entry| entry.kind == kind && entry.name == name);
        found.ok_or_else(|| NoSuchPlugin {
            kind,
            name: name.to_owned(),
            accepted: self.iter().filter(|entry| entry.kind == kind).map(|entry| entry.name).collect(),
            is_a: self.iter().find(|entry| entry.name == name).map(|entry| entry.kind),
            not_built_in: KNOWN.contains(&(kind, name)),
        })
    }

    /// Builds the plugin that `options` select by their `kind`.
    ///
    /// # Errors
    /// [`ProfileError`] with the place in the profile: no such plugin, or options it refuses.
    pub fn build<K: Kind + ?Sized>(&self, options: &Options) -> Result<Box<K>, ProfileError> {
        let entry = self.find(K::KIND, options.kind()).map_err(|missing| options.no_such_plugin(&missing))?;
        match K::builder((entry.builder)()) {
            Some(build) => build(options),
            // `find` matched the kind, and `PluginEntry::new` takes kind and builder from one `K`.
            None => Err(ProfileError::option("kind", format!("`{}` is not a {}", entry.name, K::KIND))),
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::cipher::{AeadKey, Cipher};
    use crate::error::CryptoError;
    use crate::plugin::Plugin;

    struct Fake;
    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct FakeOptions {
        #[serde(default)]
        rounds: u32,
    }
    impl Plugin<dyn Cipher> for Fake {
        const NAME: &'static str = "fake";
        const SUMMARY: &'static str = "for tests";
        const EXAMPLE: &'static str = "[cipher]\nkind = \"fake\"\nrounds = 3\n";
        type Options = FakeOptions;
        fn build(options: FakeOptions) -> Result<Box<dyn Cipher>, ProfileError> {
            if options.rounds > 9 {
                return Err(ProfileError::option("rounds", "at most 9"));
            }
            Ok(Box::new(Self))
        }
    }
    impl Cipher for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }
        fn key_len(&self) -> usize {
            0
        }
        fn message_limit(&self) -> u64 {
            0
        }
        fn key(&self, _: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
            Err(CryptoError::Malformed("key"))
        }
    }

    static ONE: PluginEntry = PluginEntry::new::<dyn Cipher, Fake>("one");
    static TWO: PluginEntry = PluginEntry::new::<dyn Cipher, Fake>("two");
    static OLD: PluginEntry =
        PluginEntry { core_version: "0.0.1", ..PluginEntry::new::<dyn Cipher, Fake>("old") };

    #[test]
    fn a_name_claimed_twice_is_fatal_and_names_both_crates() {
        let error = Registry::from_entries([&ONE, &TWO]).unwrap_err();
        assert!(error.to_string().contains("`one`") && error.to_string().contains("`two`"), "{error}");
    }

    #[test]
    fn a_plugin_built_against_another_core_is_fatal() {
        let error = Registry::from_entries([&OLD]).unwrap_err();
        assert!(matches!(error, RegistryError::OtherCore { krate: "old", found: "0.0.1", .. }), "{error}");
    }

    #[test]
    fn missing_wrong_kind_and_not_built_in_are_told_apart() {
        let registry = Registry::from_entries([&ONE]).unwrap();
        assert!(registry.find(PluginKind::Cipher, "fake").is_ok());
        let missing = registry.find(PluginKind::Cipher, "fakee").unwrap_err();
        assert_eq!(
            (missing.accepted.as_slice(), missing.is_a, missing.not_built_in),
            (&["fake"][..], None, false)
        );
        assert_eq!(registry.find(PluginKind::Transport, "fake").unwrap_err().is_a, Some(PluginKind::Cipher));
        assert!(registry.find(PluginKind::Transport, "quic").unwrap_err().not_built_in);
    }

    #[test]
    fn the_example_builds_and_a_refused_option_is_an_error() {
        let registry = Registry::from_entries([&ONE]).unwrap();
        let options = Options::parse_table(ONE.example, "cipher").unwrap();
        assert!(registry.build::<dyn Cipher>(&options).is_ok());
        let options = Options::parse_table("[cipher]\nkind = \"fake\"\nrounds = 10\n", "cipher").unwrap();
        let error = registry.build::<dyn Cipher>(&options).err().unwrap();
        assert!(error.to_string().contains("at most 9"), "{error}");
    }
}
