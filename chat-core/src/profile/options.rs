//! The table of a profile that selects and configures one plugin.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_ignored::Path;

use super::de::{Error, Known, Misfit, NodeDe};
use super::diagnostics::{Diagnostic, Problems, ProfileError, did_you_mean};
use super::parse;
use super::secrets;
use super::source::{Origin, Place};
use super::tree::{Node, Table, Value};
use crate::plugin::{NoSuchPlugin, PluginKind};

/// Most values that are looked for that don't fit a plugin's options: each costs a pass over all of them.
const MAX_MISFITS: usize = 50;

/// The key that selects the plugin.
pub(super) const KIND_KEY: &str = "kind";
/// The key of `[transport]` that is the core's, not the plugin's.
pub(super) const ADDRESS_KEY: &str = "address";

/// The table of a profile that selects and configures one plugin. Every value in it knows its place.
#[derive(Clone)]
pub struct Options {
    kind: String,
    kind_place: Place,
    /// The name of the table.
    name: String,
    /// Where the table is, for what is missing in it.
    place: Place,
    /// The plugin's own keys.
    table: Table,
}

/// The values may be secrets, so only the keys are shown.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.table.keys().collect();
        f.debug_struct("Options").field("kind", &self.kind).field("keys", &keys).finish_non_exhaustive()
    }
}

impl Options {
    /// The table `name` of a piece of profile; for examples and tests.
    ///
    /// # Errors
    /// [`ProfileError`] if the text doesn't parse, or has no such table with a `kind`.
    pub fn parse_table(text: &str, name: &str) -> Result<Self, ProfileError> {
        let mut problems = Problems::default();
        let root = parse::document(Origin::File("example".to_owned()), text.as_bytes(), &mut problems);
        let options = root.and_then(|root| {
            let Some(entry) = root.table().and_then(|table| table.get(name)) else {
                problems.push(Diagnostic::error(&root.place, format!("there is no table [{name}]")));
                return None;
            };
            let node = match entry.node.array() {
                Some([only]) => only,
                _ => &entry.node,
            };
            Self::read(name, node, &[], &mut problems)
        });
        problems.finish(options).map(|(options, _)| options)
    }

    /// Takes a plugin's table apart. Notes what is wrong with it; `plugins` are the names that could stand there.
    pub(super) fn read(name: &str, node: &Node, plugins: &[&str], problems: &mut Problems) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            let error =
                Diagnostic::error(&node.place, format!("expected a table, found {}", node.value.describe()));
            problems.push(error.note(format!("write [{name}], and under it: kind = \"…\"")));
            return None;
        };
        let Some(kind) = table.node(KIND_KEY) else {
            let error = Diagnostic::error(&node.place, format!("`kind` is missing in [{name}]"));
            let error = match plugins {
                [] => error.note("`chat plugins` lists the names"),
                _ => error.accepted("", plugins.iter().copied()),
            };
            problems.push(error);
            return None;
        };
        let Some(word) = kind.text() else {
            let message = format!("expected a string, found {}", kind.value.describe());
            problems.push(Diagnostic::error(&kind.place, message).accepted("", plugins.iter().copied()));
            return None;
        };
        let mut own = table.clone();
        own.remove(KIND_KEY);
        if name == PluginKind::Transport.table() {
            own.remove(ADDRESS_KEY);
        }
        Some(Self {
            kind: word.to_owned(),
            kind_place: kind.place.clone(),
            name: name.to_owned(),
            place: node.place.clone(),
            table: own,
        })
    }

    /// A plugin without options, named at `place`.
    pub(super) fn bare(name: &str, kind: &str, place: &Place) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Self { kind, kind_place: place.clone(), name, place: place.clone(), table: Table::default() }
    }

    /// The plugin's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The names of the options that are given.
    pub fn given(&self) -> impl Iterator<Item = &str> {
        self.table.keys()
    }

    /// Where the plugin is chosen.
    pub fn chosen_at(&self) -> &Place {
        &self.kind_place
    }

    /// A secret that stands in the profile itself is used, but said.
    pub(super) fn warn_of_inline_secrets(&self, problems: &mut Problems) {
        for (name, entry) in secrets::inline(&self.table) {
            let message = format!("`{name}` looks like a secret, and stands in the profile itself");
            problems.push(
                Diagnostic::warning(&entry.key, message).note("whoever can read the profile can read it"),
            );
        }
    }

    /// The options as the plugin's own type, strictly: a key it doesn't know is an error, even if the type
    /// would ignore it. A date arrives as text.
    ///
    /// # Errors
    /// [`ProfileError`] with the place of every unknown key, and of every value that doesn't fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ProfileError> {
        let mut problems = Problems::default();
        let mut table = self.table.clone();
        let (mut reported, mut misfits) = (BTreeSet::new(), 0);
        // Serde stops at the first misfit: the key that has it is taken out, and the rest is tried again.
        loop {
            let root = Node { value: Value::Table(table.clone()), place: self.place.clone() };
            let known = Known::default();
            let mut ignored = BTreeSet::new();
            let parsed = serde_ignored::deserialize(NodeDe { node: &root, known: &known }, |path| {
                ignored.insert(segments(&path));
            });
            for path in ignored {
                if reported.insert(path.clone()) {
                    problems.push(self.ignored(&root, &path, &known));
                }
            }
            match parsed {
                Ok(value) => return problems.finish(Some(value)).map(|(value, _)| value),
                Err(error) => {
                    let top = error.path.first().cloned();
                    let is_consequence = matches!(&error.misfit, Misfit::MissingKey(key)
                        if top.is_none() && self.table.get(key).is_some());
                    if !is_consequence {
                        problems.push(self.misfit(error));
                    }
                    misfits += 1;
                    if misfits == MAX_MISFITS || top.and_then(|key| table.remove(&key)).is_none() {
                        return problems.finish(None).map(|(value, _)| value);
                    }
                }
            }
        }
    }

    fn misfit(&self, error: Error) -> Diagnostic {
        let place = error.place.unwrap_or_else(|| self.place.clone());
        match error.misfit {
            Misfit::UnknownKey { key, accepted } => {
                self.unknown_key(&key, error.path.len() <= 1, accepted, &place)
            }
            Misfit::MissingKey(key) => {
                Diagnostic::error(&place, format!("`{key}` is missing for the {}", self.plugin()))
            }
            Misfit::UnknownWord { word, accepted } => {
                let message = format!("`{word}` is not accepted here");
                let place = place.of_a_word();
                let error = Diagnostic::error(&place, message).accepted(&word, accepted.iter().copied());
                self.withhold(error)
            }
            Misfit::Other(message) => self.withhold(Diagnostic::error(&place, message)),
        }
    }

    /// The error for a key that the type took no notice of.
    fn ignored(&self, root: &Node, path: &[String], known: &Known<'_>) -> Diagnostic {
        let names = || path.iter().map(String::as_str);
        let key = path.last().map_or("", String::as_str);
        let table = root.table();
        let place = table.and_then(|table| table.deepest(names())).map_or(&root.place, |entry| &entry.key);
        let parent_path = names().take(path.len().saturating_sub(1));
        let parent = match table.and_then(|table| table.deepest(parent_path)) {
            Some(entry) => entry.node.table(),
            None => table,
        };
        let accepted = parent.map_or(&[][..], |parent| known.keys(parent));
        self.unknown_key(key, path.len() <= 1, accepted, place)
    }

    fn unknown_key(
        &self,
        key: &str,
        top: bool,
        accepted: &'static [&'static str],
        place: &Place,
    ) -> Diagnostic {
        let error = Diagnostic::error(place, format!("unknown key `{key}` for the {}", self.plugin()));
        let address = (self.name == PluginKind::Transport.table()).then_some(ADDRESS_KEY);
        let common = [KIND_KEY].into_iter().chain(address).filter(|_| top);
        error.accepted(key, common.chain(accepted.iter().copied()))
    }

    fn plugin(&self) -> String {
        format!("{} `{}`", self.name.replace('_', " "), self.kind)
    }

    /// Keeps a secret out of what a plugin said.
    fn withhold(&self, error: Diagnostic) -> Diagnostic {
        let says = |text: &str| secrets::leaks(text, &self.table);
        if says(error.message()) || error.notes().iter().any(|note| says(note)) {
            return error.withheld();
        }
        error
    }

    /// Adds the place to an error that [`ProfileError::option`] made.
    #[must_use]
    pub fn locate(&self, error: ProfileError) -> ProfileError {
        error.map(|error| {
            let Some(option) = error.option.clone() else { return error };
            let place = match self.table.deepest(option.split('.')) {
                _ if option == KIND_KEY => &self.kind_place,
                Some(entry) => &entry.node.place,
                None => &self.place,
            };
            let message = format!("{option}: {}", error.message());
            self.withhold(error.with_message(message).placed(place))
        })
    }

    /// The error for a `kind` that isn't there.
    #[must_use]
    pub fn no_such_plugin(&self, missing: &NoSuchPlugin) -> ProfileError {
        let error = Diagnostic::error(&self.kind_place, missing.to_string());
        let accepted = missing.accepted.iter().copied();
        let error = match missing.is_a {
            Some(other) => error.note(format!("it would stand in [{}]", other.table())),
            None if missing.not_built_in => error,
            // A misspelt name of a plugin that is known but not linked is worth a word too.
            None => match did_you_mean(&missing.name, crate::plugin::known_names(missing.kind)) {
                Some(known) if !missing.accepted.contains(&known) => {
                    error.note(format!("`{known}` is known, but not built into this program"))
                }
                _ => error,
            },
        };
        error.accepted(&missing.name, accepted).into()
    }
}

/// The keys on the way to an ignored value; positions in arrays and wrappers are left out.
fn segments(path: &Path<'_>) -> Vec<String> {
    match path {
        Path::Root => Vec::new(),
        Path::Map { parent, key } => {
            let mut segments = segments(parent);
            segments.push(key.clone());
            segments
        }
        Path::Seq { parent, .. }
        | Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => segments(parent),
    }
}
