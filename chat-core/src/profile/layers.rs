//! The layers of a profile, each read into a tree of its own, laid over each other.
//! Later ones win: defaults < file < environment < `--set` < flags.

use std::ffi::OsString;
use std::ops::Range;
use std::sync::Arc;

use super::assemble::Check;
use super::diagnostics::{Diagnostic, Problems, did_you_mean};
use super::masks::{self, Mask};
use super::nesting::MAX_DEPTH;
use super::options::{ADDRESS_KEY, KIND_KEY};
use super::parse;
use super::policy::Property;
use super::source::{Origin, Place, Source};
use super::spec::{self, Content};
use super::transports;
use super::tree::{Node, Table, Value};
use crate::plugin::{PluginKind, Registry};

/// The prefix of the environment variables that speak to a profile.
pub const ENVIRONMENT_PREFIX: &str = "CHAT_";

/// The texts a profile is made of. Nothing is read from the system: the caller hands in the environment.
///
/// ```
/// use chat_core::profile::{Inputs, Profile};
/// let text = "schema_version = 1\n[topology]\nrelay = \"127.0.0.1:1\"\n[transport]\nkind = \"tcp\"\n\
///     [key_exchange]\nkind = \"x25519\"\n[cipher]\nkind = \"chacha20-poly1305\"\n[frontend]\nkind = \"tui\"\n";
/// let inputs = Inputs::new("my.toml", text)
///     .environment([("CHAT_TOPOLOGY__HOST", "never"), ("PATH", "/bin")])
///     .set("topology.relay=127.0.0.1:2")
///     .flag("--nick", "identity.nick", "alice");
/// let (profile, warnings) = Profile::load(&inputs)?;
/// assert_eq!(profile.topology.relay.place, "127.0.0.1:2");
/// assert!(warnings.is_empty());
/// # Ok::<(), chat_core::ProfileError>(())
/// ```
#[derive(Clone, Default)]
pub struct Inputs<'a> {
    name: String,
    bytes: Vec<u8>,
    environment: Vec<(OsString, OsString)>,
    sets: Vec<String>,
    flags: Vec<(&'static str, &'static str, String)>,
    pub(super) check: Option<Check<'a>>,
}

impl<'a> Inputs<'a> {
    /// A profile's bytes under the name that errors show.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into(), ..Self::default() }
    }

    /// The environment; variables without the prefix `CHAT_` are passed over. `CHAT_TOPOLOGY__RELAY` is
    /// `topology.relay`. A value is read as TOML if it can be, else as text.
    #[must_use]
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(
            variables.filter(|(name, _)| name.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes())),
        );
        self.environment.sort();
        self
    }

    /// One `--set a.b=c`; of two for the same key the later wins.
    #[must_use]
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.sets.push(assignment.into());
        self
    }

    /// A flag that stands for a key, such as `("--nick", "identity.nick", nick)`. The value is text.
    #[must_use]
    pub fn flag(mut self, name: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((name, key, value.into()));
        self
    }

    /// Also builds every plugin of the stack and checks the policy, so that all errors come at once. Pure.
    /// `program_gives` is what the program itself adds to the properties of the key exchange.
    #[must_use]
    pub fn for_client(mut self, registry: &'a Registry, program_gives: &[Property]) -> Self {
        self.check = Some(Check::Client { registry, program_gives: program_gives.to_vec() });
        self
    }

    /// Also builds the transports, but no other plugin: a relay may not have them. Pure.
    #[must_use]
    pub fn for_relay(mut self, registry: &'a Registry) -> Self {
        self.check = Some(Check::Relay { registry });
        self
    }

    /// All layers in one tree, and the file's place; `None` if the file can't be read.
    pub(super) fn merged(&self, problems: &mut Problems) -> Option<(Table, Place)> {
        let file = parse::document(Origin::File(self.name.clone()), &self.bytes, problems);
        let environment = self.environment_layer(problems);
        let sets = self.set_layer(problems);
        let flags = self.flag_layer(problems);
        let Node { value: Value::Table(file), place } = file? else { return None };
        let mut tree = parse::defaults(problems);
        for mut layer in [file, environment, sets, flags] {
            transports::single(&mut layer);
            transports::lay_over_list(&mut tree, &mut layer, problems);
            drop_options_of_the_plugin_that_was(&mut tree, &layer, problems);
            tree.overlay(layer);
        }
        Some((tree, place))
    }

    fn environment_layer(&self, problems: &mut Problems) -> Table {
        let mut layer = Table::default();
        for (name, value) in &self.environment {
            let shown = name.to_string_lossy().into_owned();
            let origin = Origin::Environment(shown.clone());
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                let source = Source { origin, text: String::new(), masks: vec![] };
                let place = Place::new(&Arc::new(source), 0..0);
                problems.push(Diagnostic::error(&place, "the name or the value is not text in UTF-8"));
                continue;
            };
            let path = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or_default().to_ascii_lowercase();
            let segments = segments(&path, "__", ENVIRONMENT_PREFIX.len());
            let assignment = Assignment::new(origin, &format!("{name}="), value, &segments);
            if !names_a_key(&assignment, problems) {
                continue;
            }
            let node = parse::word(&assignment.source, assignment.value(), problems);
            assignment.put(&mut layer, node, false, problems);
        }
        layer
    }

    fn set_layer(&self, problems: &mut Problems) -> Table {
        let mut layer = Table::default();
        for text in &self.sets {
            let Some((path, value)) = text.split_once('=') else {
                let masks = masks::of_broken_text(text);
                let source = Arc::new(Source { origin: Origin::Set, text: text.clone(), masks });
                let place = Place::new(&source, 0..text.len());
                problems.push(Diagnostic::error(&place, "expected `table.key=value`"));
                continue;
            };
            let segments = segments(path, ".", 0);
            let assignment = Assignment::new(Origin::Set, &format!("{path}="), value, &segments);
            let node = parse::word(&assignment.source, assignment.value(), problems);
            assignment.put(&mut layer, node, true, problems);
        }
        layer
    }

    fn flag_layer(&self, problems: &mut Problems) -> Table {
        let mut layer = Table::default();
        for (name, key, value) in &self.flags {
            // The key is the program's, not the user's, so its segments have no place of their own.
            let path: Vec<_> = key.split('.').map(|segment| (segment.to_owned(), 0..name.len())).collect();
            let origin = Origin::Flag((*name).to_owned());
            let assignment = Assignment::new(origin, &format!("{name} "), value, &path);
            let node = parse::verbatim(Place::new(&assignment.source, assignment.value()));
            assignment.put(&mut layer, node, true, problems);
        }
        layer
    }
}

/// The parts of a dotted path with their bytes in a text where the path begins at `offset`.
fn segments(path: &str, separator: &str, offset: usize) -> Vec<(String, Range<usize>)> {
    let mut at = offset;
    let part = |part: &str| {
        let span = at..at + part.len();
        at = span.end + separator.len();
        (part.trim().to_owned(), span)
    };
    path.split(separator).map(part).collect()
}

/// One variable or argument: a path, and a value that stands at the end of its text.
struct Assignment {
    source: Arc<Source>,
    path: Vec<(String, Place)>,
    value_start: usize,
}

impl Assignment {
    fn new(origin: Origin, before: &str, value: &str, path: &[(String, Range<usize>)]) -> Self {
        let text = format!("{before}{value}");
        let known = path.first().is_some_and(|(table, _)| spec::table(table).is_some());
        let masks = match origin {
            // A variable of some other program: nobody knows what it holds.
            Origin::Environment(_) if !known => vec![Mask::always(before.len()..text.len())],
            _ => masks::of_word(&text, before.len(), path.iter().map(|(name, _)| name.as_str())),
        };
        let source = Arc::new(Source { origin, text, masks });
        let path =
            path.iter().map(|(name, span)| (name.clone(), Place::new(&source, span.clone()))).collect();
        Self { source, path, value_start: before.len() }
    }

    fn value(&self) -> Range<usize> {
        self.value_start..self.source.text.len()
    }

    fn put(&self, layer: &mut Table, node: Node, replace: bool, problems: &mut Problems) {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if let Some((_, place)) = self.path.iter().find(|(name, _)| !is_name(name)) {
            problems
                .push(Diagnostic::error(place, "expected the name of a key").note("as in topology.relay"));
        } else if self.path.len() > MAX_DEPTH {
            let place = Place::new(&self.source, 0..self.value_start);
            problems.push(Diagnostic::error(&place, format!("nested deeper than {MAX_DEPTH} levels")));
        } else if let Err(other) = layer.insert_at(&self.path, node, replace) {
            let place = Place::new(&self.source, 0..self.value_start);
            let message = format!("contradicts {}, which sets the same key", other.origin());
            problems.push(Diagnostic::error(&place, message));
        }
    }
}

/// Whether a variable speaks of a profile. One without `__` may be another program's; it is passed over with
/// a warning, unless it looks like a misspelt key: then passing over it could drop a policy.
fn names_a_key(assignment: &Assignment, problems: &mut Problems) -> bool {
    let [(name, place)] = assignment.path.as_slice() else { return true };
    if name == spec::SCHEMA_VERSION_KEY || spec::table(name).is_some() {
        return true;
    }
    let known: Vec<(String, String)> = spec::TABLES
        .iter()
        .flat_map(|table| {
            let plugin = matches!(table.content, Content::Plugin(_)).then_some("kind");
            let keys = table.keys().map(|key| key.name).chain(plugin);
            keys.map(move |key| (format!("{}_{key}", table.name), format!("{}__{key}", table.name)))
        })
        .collect();
    let meant = did_you_mean(name, known.iter().map(|(plain, _)| plain.as_str()))
        .or_else(|| known.iter().find(|(plain, _)| plain == name).map(|(plain, _)| plain.as_str()));
    let variable = known.iter().find(|(plain, _)| Some(plain.as_str()) == meant);
    problems.push(match variable {
        Some((_, variable)) => Diagnostic::error(place, "this variable names no key of the profile")
            .note(format!("did you mean `{ENVIRONMENT_PREFIX}{}`?", variable.to_ascii_uppercase())),
        None => Diagnostic::warning(place, "this variable names no key of the profile and is passed over"),
    });
    false
}

/// When a layer chooses another plugin, what lower layers said to the one before does not apply to it.
fn drop_options_of_the_plugin_that_was(tree: &mut Table, layer: &Table, problems: &mut Problems) {
    for table in spec::TABLES {
        let Content::Plugin(kind) = table.content else { continue };
        let over = layer.node(table.name).and_then(Node::table);
        let under = tree.get_mut(table.name).map(|entry| &mut entry.node.value);
        if let (Some(over), Some(Value::Table(under))) = (over, under) {
            drop_options_of_another(kind, under, over, problems);
        }
    }
}

/// As above, for one table.
pub(super) fn drop_options_of_another(
    kind: PluginKind,
    under: &mut Table,
    over: &Table,
    problems: &mut Problems,
) {
    let Some(new) = over.node(KIND_KEY) else { return };
    let Some(old) = under.node(KIND_KEY).and_then(Node::text).map(str::to_owned) else { return };
    if new.text().is_none_or(|new| new == old) {
        return;
    }
    let is_common = |key: &str| key == KIND_KEY || (kind == PluginKind::Transport && key == ADDRESS_KEY);
    let dropped: Vec<String> = under.keys().filter(|key| !is_common(key)).map(str::to_owned).collect();
    for key in dropped {
        if let Some(entry) = under.remove(&key) {
            let origin = new.place.origin();
            let message = format!("`{key}` is an option of `{old}` and is left out: {origin} chose another");
            problems.push(Diagnostic::warning(&entry.key, message));
        }
    }
}
