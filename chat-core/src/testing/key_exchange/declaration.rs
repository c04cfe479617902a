//! What the plugin says of itself.

use super::KeyExchangePlugin;
use crate::testing::declared::one_line;
use crate::testing::rule::{Violation, ensure};

/// The plugin is found by its name, and its `EXAMPLE` selects and builds it.
pub fn is_registered_and_its_example_builds(plugin: &KeyExchangePlugin) -> Result<(), Violation> {
    plugin.declared.is_registered_and_its_example_builds()
}

/// A key in its table that it does not know is an error.
pub fn unknown_options_are_refused(plugin: &KeyExchangePlugin) -> Result<(), Violation> {
    plugin.declared.unknown_options_are_refused()
}

/// The name fits profiles, the summary is one line, caveats are sentences, and the shared options are
/// `key=value` words, each key once.
pub fn what_it_says_of_itself_is_well_formed(plugin: &KeyExchangePlugin) -> Result<(), Violation> {
    plugin.declared.words_are_well_formed()?;
    for caveat in plugin.exchange.caveats() {
        one_line("a caveat", caveat)?;
        ensure!(caveat.ends_with('.'), "a caveat is not a sentence: {caveat:?}");
    }
    let options = plugin.exchange.shared_options();
    ensure!(options == plugin.exchange.shared_options(), "the shared options change");
    ensure!(options.len() <= 256, "the shared options have {} bytes", options.len());
    let mut keys = Vec::new();
    for word in options.split(' ').filter(|_| !options.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or_default();
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
        ensure!(plain(key) && plain(value), "{word:?} of the shared options is not key=value");
        ensure!(!keys.contains(&key), "{key:?} stands twice in the shared options");
        keys.push(key);
    }
    Ok(())
}
