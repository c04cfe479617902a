//! What the plugin says of itself.

use super::CipherPlugin;
use crate::testing::rule::{Violation, ensure};

/// The plugin is found by its name, and its `EXAMPLE` selects and builds it.
pub fn is_registered_and_its_example_builds(plugin: &CipherPlugin) -> Result<(), Violation> {
    plugin.declared.is_registered_and_its_example_builds()
}

/// A key in its table that it does not know is an error.
pub fn unknown_options_are_refused(plugin: &CipherPlugin) -> Result<(), Violation> {
    plugin.declared.unknown_options_are_refused()
}

/// The name fits profiles, is the one that goes into key derivation, and the summary is one line.
pub fn name_and_summary_are_well_formed(plugin: &CipherPlugin) -> Result<(), Violation> {
    let (declared, name) = (&plugin.declared, plugin.cipher.name());
    ensure!(name == declared.name, "name() says `{name}`, NAME says `{}`", declared.name);
    declared.words_are_well_formed()
}
