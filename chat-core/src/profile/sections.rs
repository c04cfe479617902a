//! From the checked tree to the typed profile. What [`super::validate`] has reported is passed over here in
//! silence; what only the types know (an address, a name) is reported here.

use std::path::PathBuf;

use crate::LinkError;
use crate::nick::{NameError, Nick, RoomName};
use crate::plugin::PluginKind;
use crate::transport::Address;

use super::diagnostics::{Diagnostic, Problems};
use super::listen;
use super::masks::without_userinfo;
use super::options::Options;
use super::source::Place;
use super::transports::Transports;
use super::tree::{Node, Table};
use super::{
    Access, Host, IdentitySection, Listen, LogLevel, LogSection, Padding, Pin, Policy, Privacy, Property,
    RelaySection,
};

/// Transports of the project whose addresses are `host:port`; what a stranger's reads is its own business.
const HOST_PORT_TRANSPORTS: &[&str] = &["tcp", "tls", "quic", "udp-arq"];

/// A table of the tree by its name, to take values from.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    table: Option<&'a Table>,
}

impl<'a> Section<'a> {
    pub(super) fn of(tree: &'a Table, name: &str) -> Self {
        Self { table: tree.node(name).and_then(Node::table) }
    }

    pub(super) fn node(self, key: &str) -> Option<&'a Node> {
        self.table.and_then(|table| table.node(key))
    }

    /// A text and its place.
    pub(super) fn text(self, key: &str) -> Option<(&'a str, &'a Place)> {
        let node = self.node(key)?;
        node.text().filter(|text| !text.is_empty()).map(|text| (text, &node.place))
    }

    fn texts(self, key: &str) -> impl Iterator<Item = (&'a str, &'a Place)> {
        let items = self.node(key).and_then(Node::array).unwrap_or_default();
        items.iter().filter_map(|item| item.text().map(|text| (text, &item.place)))
    }

    fn integer<T: TryFrom<i128>>(self, key: &str) -> Option<T> {
        match self.node(key)?.value {
            super::tree::Value::Integer(number) => T::try_from(number).ok(),
            _ => None,
        }
    }

    fn flag(self, key: &str) -> Option<bool> {
        match self.node(key)?.value {
            super::tree::Value::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    fn path(self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|(text, _)| PathBuf::from(text))
    }
}

/// A name by its type, or an error at its place.
fn name<T>(
    (text, place): (&str, &Place),
    new: impl Fn(&str) -> Result<T, NameError>,
    problems: &mut Problems,
) -> Option<T> {
    new(text).map_err(|error| problems.push(Diagnostic::error(place, error.to_string()))).ok()
}

pub(super) fn identity(tree: &Table, problems: &mut Problems) -> IdentitySection {
    let section = Section::of(tree, "identity");
    let nick = section.text("nick").and_then(|nick| name(nick, |nick| Nick::new(nick), problems));
    IdentitySection { nick, key_file: section.path("key_file") }
}

pub(super) fn rooms(tree: &Table, problems: &mut Problems) -> Vec<RoomName> {
    let mut rooms: Vec<RoomName> = Vec::new();
    for room in Section::of(tree, "topology").texts("rooms") {
        match name(room, |room| RoomName::new(room), problems) {
            Some(known) if rooms.contains(&known) => {
                problems.push(Diagnostic::error(room.1, format!("`{known}` is in the list twice")));
            }
            Some(new) => rooms.push(new),
            None => {}
        }
    }
    rooms
}

pub(super) fn host(tree: &Table) -> Option<Host> {
    match Section::of(tree, "topology").text("host")?.0 {
        "auto" => Some(Host::Auto),
        "never" => Some(Host::Never),
        _ => None,
    }
}

pub(super) fn policy(tree: &Table, problems: &mut Problems) -> Policy {
    let mut require: Vec<(Property, Place)> = Vec::new();
    for (word, place) in Section::of(tree, "policy").texts("require") {
        let Some(property) = Property::ALL.into_iter().find(|property| property.word() == word) else {
            continue;
        };
        if require.iter().any(|(known, _)| *known == property) {
            problems.push(Diagnostic::warning(place, format!("`{word}` is in the list twice")));
        } else {
            require.push((property, place.clone()));
        }
    }
    Policy { require }
}

pub(super) fn log(tree: &Table) -> Option<LogSection> {
    let section = Section::of(tree, "log");
    let level = match section.text("level")?.0 {
        "off" => LogLevel::Off,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => return None,
    };
    Some(LogSection { level, dir: section.path("dir") })
}

pub(super) fn padding(tree: &Table) -> Option<Padding> {
    match Section::of(tree, "padding").text("kind")?.0 {
        "buckets" => Some(Padding::Buckets),
        "none" => Some(Padding::Off),
        _ => None,
    }
}

pub(super) fn privacy(tree: &Table) -> Option<Privacy> {
    let section = Section::of(tree, "privacy");
    Some(Privacy { read_receipts: section.flag("read_receipts")?, typing: section.flag("typing")? })
}

/// `[[pin]]`: a nick has one key, and a key one nick.
pub(super) fn pins(tree: &Table, problems: &mut Problems) -> Vec<Pin> {
    let mut pins: Vec<Pin> = Vec::new();
    let items = tree.node("pin").and_then(Node::array).unwrap_or_default();
    for table in items.iter().filter_map(Node::table) {
        let section = Section { table: Some(table) };
        let nick = section.text("nick").and_then(|nick| name(nick, |nick| Nick::new(nick), problems));
        let fingerprint = section.text("fingerprint").and_then(|(text, place)| {
            let error = || {
                Diagnostic::error(place, "a fingerprint has 64 hex digits, as `chat identity show` prints")
            };
            text.parse().map_err(|_| problems.push(error())).ok()
        });
        let (Some(nick), Some(fingerprint)) = (nick, fingerprint) else { continue };
        let known = pins.iter().any(|pin| pin.nick == nick || pin.fingerprint == fingerprint);
        if let (true, Some((_, place))) = (known, section.text("nick")) {
            problems.push(Diagnostic::error(place, "this nick or this fingerprint is pinned twice"));
        }
        pins.push(Pin { nick, fingerprint });
    }
    pins
}

/// The address of the relay; required.
pub(super) fn relay_address(tree: &Table, file: &Place, problems: &mut Problems) -> Option<Address> {
    let section = Section::of(tree, "topology");
    if section.node("relay").is_none() {
        // A table that is there only by default is missing in the file.
        let own = tree.node("topology").filter(|node| *node.place.origin() != super::Origin::Default);
        let place = own.map_or_else(|| file.end_of_text(), |node| node.place.clone());
        let error = Diagnostic::error(&place, "`relay` is missing in [topology]");
        problems
            .push(error.note("as in: relay = \"127.0.0.1:12345\", or \"FINGERPRINT@host:port\" to pin it"));
        return None;
    }
    section.text("relay").and_then(|address| read_address(address, problems))
}

pub(super) fn read_address((text, place): (&str, &Place), problems: &mut Problems) -> Option<Address> {
    let error =
        |reason| Diagnostic::error(place, said(reason)).note("accepted: host:port, or FINGERPRINT@host:port");
    text.parse().map_err(|reason| problems.push(error(reason))).ok()
}

/// What is wrong with an address, without what may be a password in it.
pub(super) fn said(error: LinkError) -> String {
    match error {
        LinkError::BadAddress { address, reason } => {
            LinkError::BadAddress { address: without_userinfo(&address), reason }.to_string()
        }
        other => other.to_string(),
    }
}

/// Whether the built-in transport `kind` can read the address.
pub(super) fn check_host_port(kind: &str, address: &Address, place: &Place, problems: &mut Problems) {
    if HOST_PORT_TRANSPORTS.contains(&kind)
        && let Err(reason) = address.host_port()
    {
        problems.push(Diagnostic::error(place, said(reason)).note("accepted: host:port, [v6]:port"));
    }
}

/// The one table of a plugin kind; required.
pub(super) fn plugin(
    tree: &Table,
    kind: PluginKind,
    plugins: &[&str],
    file: &Place,
    problems: &mut Problems,
) -> Option<Options> {
    let name = kind.table();
    let Some(node) = tree.node(name) else {
        let error = Diagnostic::error(&file.end_of_text(), format!("the table [{name}] is missing"));
        problems.push(error.note(format!("write [{name}], and under it: kind = \"…\"")));
        return None;
    };
    let Some(entries) = node.array() else { return Options::read(name, node, plugins, problems) };
    let second = entries.get(1).filter(|entry| entry.table().is_some());
    let place = second.map_or(&node.place, |entry| &entry.place);
    problems.push(Diagnostic::error(place, format!("one table [{name}] is expected here, not a list")));
    None
}

/// `[relay]`, listening by default where the profile's clients dial. `plugins` are the transports that may listen.
pub(super) fn relay(
    tree: &Table,
    transports: &Transports,
    plugins: &[&str],
    problems: &mut Problems,
) -> Option<RelaySection> {
    let section = Section::of(tree, "relay");
    let listen = match section.node("listen") {
        Some(node) => listen::entries(node, transports, plugins, problems),
        None => {
            let at_the_profile = transports.entries().map(|entry| Listen {
                options: entry.options.clone(),
                address: Address::new(entry.address.place.clone()),
            });
            at_the_profile.into_iter().collect()
        }
    };
    Some(RelaySection {
        listen,
        access: (section.text("access")?.0 == "open").then_some(Access::Open)?,
        max_clients: section.integer("max_clients")?,
        max_links_per_address: section.integer("max_links_per_address")?,
        new_peers_per_minute: section.integer("new_peers_per_minute")?,
        new_members_per_minute: section.integer("new_members_per_minute")?,
        one_time_keys_per_minute: section.integer("one_time_keys_per_minute")?,
        max_one_time_keys: section.integer("max_one_time_keys")?,
        max_memory_bytes: section.integer("max_memory_bytes")?,
        max_mailbox_bytes: section.integer("max_mailbox_bytes")?,
    })
}
