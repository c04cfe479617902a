//! `[transport]`, or `[[transport]]`: ways to one relay, in order of preference.

use crate::plugin::PluginKind;
use crate::transport::Address;

use super::TransportEntry;
use super::diagnostics::{Diagnostic, Problems};
use super::options::{ADDRESS_KEY, KIND_KEY, Options};
use super::sections::{Section, check_host_port, read_address};
use super::source::Place;
use super::tree::{Node, Table, Value};

/// Most ways to the relay.
pub(super) const MAX_TRANSPORTS: usize = 8;

/// The table's name.
const NAME: &str = PluginKind::Transport.table();

/// Transports that take a port of TCP, and those that take one of UDP: two of a kind can't listen at one place.
const OVER_TCP: &[&str] = &["tcp", "tls"];
const OVER_UDP: &[&str] = &["udp-arq", "quic"];

/// As much as could be read.
#[derive(Default)]
pub(super) struct Transports {
    /// Of every entry that names a plugin.
    pub(super) options: Vec<Options>,
    /// Of every entry that also has an address.
    entries: Vec<(TransportEntry, Place)>,
    /// How many there are in the profile.
    count: usize,
}

impl Transports {
    /// All entries, if each is sound.
    pub(super) fn complete(self) -> Option<Vec<TransportEntry>> {
        let is_complete = self.count > 0 && self.entries.len() == self.count;
        is_complete.then(|| self.entries.into_iter().map(|(entry, _)| entry).collect())
    }

    /// The entries that are sound.
    pub(super) fn entries(&self) -> impl Iterator<Item = &TransportEntry> {
        self.entries.iter().map(|(entry, _)| entry)
    }
}

/// Reads the table or the list; required. `plugins` are the names that could stand there, `relay` is `topology.relay`.
pub(super) fn read(
    tree: &Table,
    plugins: &[&str],
    relay: Option<&Address>,
    file: &Place,
    problems: &mut Problems,
) -> Transports {
    let mut read = Transports::default();
    let Some(node) = tree.node(NAME) else {
        let error = Diagnostic::error(&file.end_of_text(), format!("the table [{NAME}] is missing"));
        problems.push(error.note(format!("write [{NAME}], and under it: kind = \"…\"")));
        return read;
    };
    let nodes = match node.array() {
        None => std::slice::from_ref(node),
        Some([]) => {
            let error = Diagnostic::error(&node.place, "this list is empty: there is no way to the relay");
            problems.push(error.note(format!("write [[{NAME}]], and under it: kind = \"…\"")));
            return read;
        }
        Some(nodes) if nodes.len() > MAX_TRANSPORTS => {
            let message =
                format!("at most {MAX_TRANSPORTS} transports are accepted, these are {}", nodes.len());
            problems.push(Diagnostic::error(&node.place, message));
            return read;
        }
        Some(nodes) => nodes,
    };
    read.count = nodes.len();
    for node in nodes {
        let Some(options) = Options::read(NAME, node, plugins, problems) else { continue };
        if let Some((address, place)) = address(tree, node, options.kind(), relay, problems) {
            read.entries.push((TransportEntry { options: options.clone(), address }, place));
        }
        read.options.push(options);
    }
    one_relay(tree, &mut read.entries, relay, problems);
    no_two_at_one_place(&read.entries, problems);
    read
}

/// The address of one entry, its own or that of the topology, and where it stands; the kind's place if it has none of
/// its own.
fn address(
    tree: &Table,
    node: &Node,
    kind: &str,
    relay: Option<&Address>,
    problems: &mut Problems,
) -> Option<(Address, Place)> {
    let own = node.table().and_then(|table| table.node(ADDRESS_KEY));
    if let Some(node) = own
        && node.text().is_none()
    {
        let message = format!("expected a string, found {}", node.value.describe());
        problems.push(Diagnostic::error(&node.place, message));
    }
    match own {
        Some(node) => {
            let address = read_address((node.text()?, &node.place), problems)?;
            check_host_port(kind, &address, &node.place, problems);
            Some((address, node.place.clone()))
        }
        None => {
            let (_, at) = Section::of(tree, "topology").text("relay")?;
            check_host_port(kind, relay?, at, problems);
            let chosen = node.table().and_then(|table| table.node(KIND_KEY));
            Some((relay?.clone(), chosen.map_or_else(|| node.place.clone(), |kind| kind.place.clone())))
        }
    }
}

/// All entries lead to one relay. So a pin holds for all of them, wherever it stands, and no two differ.
fn one_relay(
    tree: &Table,
    entries: &mut [(TransportEntry, Place)],
    relay: Option<&Address>,
    problems: &mut Problems,
) {
    let of_topology = Section::of(tree, "topology").text("relay").map(|(_, place)| place.clone());
    let of_topology = relay.and_then(|relay| relay.pin).zip(of_topology);
    let own = entries.iter().filter_map(|(entry, place)| Some((entry.address.pin?, place.clone())));
    let pins: Vec<_> = of_topology.into_iter().chain(own).collect();
    let Some((pin, first)) = pins.first() else { return };
    for (_, place) in pins.iter().filter(|(other, _)| other != pin) {
        let message = "this is another fingerprint than the relay's elsewhere in the profile";
        problems.push(
            Diagnostic::error(place, message)
                .note(format!("the other one stands at {first}"))
                .note("all transports lead to one relay, so one fingerprint holds for all of them"),
        );
    }
    for (entry, _) in entries {
        entry.address.pin = Some(*pin);
    }
}

fn no_two_at_one_place(entries: &[(TransportEntry, Place)], problems: &mut Problems) {
    for (at, (entry, place)) in entries.iter().enumerate() {
        let (kind, where_to) = (entry.options.kind(), &entry.address.place);
        // Of ports that the system chooses, no two are the same.
        let is_taken = |other: &TransportEntry| other.address.place == *where_to && !where_to.ends_with(":0");
        let before = entries.iter().take(at).filter(|(other, _)| is_taken(other));
        let mut kinds = before.map(|(other, _)| other.options.kind());
        let shares = |other: &str| {
            [OVER_TCP, OVER_UDP].iter().any(|kinds| kinds.contains(&kind) && kinds.contains(&other))
        };
        let Some(other) = kinds.find(|other| *other == kind || shares(other)) else { continue };
        let error = match other == kind {
            true => Diagnostic::error(place, format!("`{kind}` is in the list twice with this address")),
            false => {
                let message =
                    format!("`{kind}` and `{other}` can't both be at {where_to}: they share its ports");
                Diagnostic::error(place, message)
            }
        };
        problems.push(error.note("give one of them an `address` of its own"));
    }
}

/// `[[transport]]` with one entry is `[transport]`, so that other layers can change it.
pub(super) fn single(layer: &mut Table) {
    let Some(entry) = layer.get_mut(NAME) else { return };
    let (value, place) = (&mut entry.node.value, &mut entry.node.place);
    if let Value::Array(items) = value
        && let [Node { value: Value::Table(table), place: inner }] = items.as_slice()
    {
        (*value, *place) = (Value::Table(table.clone()), inner.clone());
    }
}

/// What a layer says about single transports of a list below it: `transport.0.kind` is the first one's, and
/// `transport.kind` takes one out of the list and leaves the others out.
pub(super) fn lay_over_list(tree: &mut Table, layer: &mut Table, problems: &mut Problems) {
    let Some(over) = layer.get_mut(NAME).and_then(|entry| table_of(&mut entry.node)) else { return };
    let numbered: Vec<String> = over.keys().filter(|key| is_number(key)).map(str::to_owned).collect();
    let Some(under) = tree.get_mut(NAME).map(|entry| &mut entry.node) else { return };
    for key in numbered {
        let Some(change) = over.remove(&key) else { continue };
        let Some(changed) = nth(under, &key) else {
            let message = format!("there is no transport {key}: the profile has {}", numbers(under));
            let error = Diagnostic::error(&change.key, message);
            problems.push(
                error.note("a whole list is written as in transport=[{kind=\"udp-arq\"},{kind=\"tcp\"}]"),
            );
            continue;
        };
        let Value::Table(change) = change.node.value else {
            let error = Diagnostic::error(&change.key, "a transport of the list is a table");
            problems.push(error.note(format!("as in transport.{key}.kind=tcp")));
            continue;
        };
        if let Some(changed) = table_of(changed) {
            super::layers::drop_options_of_another(PluginKind::Transport, changed, &change, problems);
            changed.overlay(change);
        }
    }
    choose(under, over, problems);
    if over.keys().next().is_none() {
        layer.remove(NAME);
    }
}

/// A key without a number, where there is a list: `kind` chooses one of it.
fn choose(under: &mut Node, over: &mut Table, problems: &mut Problems) {
    let Value::Array(items) = &under.value else { return };
    let Some((key, entry)) = over.iter().next() else { return };
    let Some(kind) = over.node(KIND_KEY) else {
        let message = format!("the profile has a list of {} transports: which one's `{key}`?", items.len());
        let error = Diagnostic::error(&entry.key, message);
        let note = format!("as in transport.0.{key}=…; transport.kind=… leaves all but one out");
        problems.push(error.note(note));
        *over = Table::default();
        return;
    };
    let is_chosen = |item: &&Node| item.table().and_then(|own| own.node(KIND_KEY)?.text()) == kind.text();
    let empty = || Node { value: Value::Table(Table::default()), place: kind.place.clone() };
    *under = items.iter().find(is_chosen).cloned().unwrap_or_else(empty);
}

fn is_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

fn table_of(node: &mut Node) -> Option<&mut Table> {
    match &mut node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// The transport with this number; a table is a list of one.
fn nth<'a>(node: &'a mut Node, number: &str) -> Option<&'a mut Node> {
    let number: usize = number.parse().ok()?;
    match node.array().is_some() {
        true => match &mut node.value {
            Value::Array(items) => items.get_mut(number),
            _ => None,
        },
        false => (number == 0).then_some(node),
    }
}

fn numbers(node: &Node) -> String {
    match node.array().map_or(1, <[Node]>::len) {
        1 => "number 0 alone".to_owned(),
        count => format!("the numbers 0 to {}", count.saturating_sub(1)),
    }
}
