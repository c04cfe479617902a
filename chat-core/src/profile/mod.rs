//! The TOML profile that assembles a program.

use serde::de::DeserializeOwned;

use crate::plugin::NoSuchPlugin;

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProfileError {
    message: String,
}

impl ProfileError {
    /// A plugin's refusal of one of its options; the registry adds the place in the profile.
    pub fn option(key: &str, message: impl std::fmt::Display) -> Self {
        Self { message: format!("{key}: {message}") }
    }
}

/// The table of a profile that selects and configures one plugin.
#[derive(Debug, Clone)]
pub struct Options {
    kind: String,
    table: toml::Table,
}

impl Options {
    /// The table `name` of a piece of profile; for examples and tests.
    ///
    /// # Errors
    /// [`ProfileError`] if the text doesn't parse.
    pub fn parse_table(text: &str, name: &str) -> Result<Self, ProfileError> {
        let mut root: toml::Table =
            text.parse().map_err(|e: toml::de::Error| ProfileError { message: e.to_string() })?;
        let Some(toml::Value::Table(mut table)) = root.remove(name) else {
            return Err(ProfileError::option(name, "no such table"));
        };
        let Some(toml::Value::String(kind)) = table.remove("kind") else {
            return Err(ProfileError::option("kind", "missing"));
        };
        Ok(Self { kind, table })
    }

    /// The plugin's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The options as the plugin's own type, strictly: a key it doesn't know is an error.
    ///
    /// # Errors
    /// [`ProfileError`] with the place of every unknown key, or of the value that doesn't fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ProfileError> {
        self.table.clone().try_into().map_err(|e: toml::de::Error| ProfileError { message: e.to_string() })
    }

    /// Adds the place to an error that [`ProfileError::option`] made.
    pub fn locate(&self, error: ProfileError) -> ProfileError {
        error
    }

    /// The error for a `kind` that isn't there.
    pub fn no_such_plugin(&self, missing: &NoSuchPlugin) -> ProfileError {
        ProfileError::option("kind", missing)
    }
}
