//! `relay.listen`: where a relay listens. An entry is a text, `transport://host:port`, or a table like `[transport]` with
//! options of its own.

use std::net::IpAddr;

use crate::plugin::PluginKind;
use crate::transport::Address;

use super::Listen;
use super::diagnostics::{Diagnostic, Problems};
use super::options::{ADDRESS_KEY, KIND_KEY, Options};
use super::sections::{check_host_port, said};
use super::source::Place;
use super::transports::Transports;
use super::tree::{Node, Table, Value};

/// What an entry may be, for whoever wrote something else.
const ACCEPTED: &str =
    "accepted: \"transport://host:port\", or a table with `kind`, `address` and the transport's options";

/// The types alone; what is in the entries is judged by [`entries`].
pub(super) fn shape(node: &Node, max: usize, problems: &mut Problems) {
    let found = node.value.describe();
    let Some(items) = node.array() else {
        let error = Diagnostic::error(&node.place, format!("expected a list, found {found}"));
        problems.push(match node.value {
            Value::Table(_) => error.note("write [[relay.listen]] for each listener"),
            _ => error.note("as in [\"tcp://0.0.0.0:12346\"]"),
        });
        return;
    };
    if items.len() > max {
        let message = format!("at most {max} listeners are accepted, these are {}", items.len());
        problems.push(Diagnostic::error(&node.place, message));
    }
    for item in items.iter().filter(|item| item.text().is_none() && item.table().is_none()) {
        let message = format!("expected a string or a table, found {}", item.value.describe());
        problems.push(Diagnostic::error(&item.place, message).note(ACCEPTED));
    }
}

/// The entries that can be read. A text takes the options of the `[transport]` of its kind, of several the one at its
/// address or the first; a table has its own.
pub(super) fn entries(
    node: &Node,
    transports: &Transports,
    plugins: &[&str],
    problems: &mut Problems,
) -> Vec<Listen> {
    let items = node.array().unwrap_or_default();
    if node.array().is_some() && items.is_empty() {
        let error = Diagnostic::error(&node.place, "a relay listens at one address at least");
        problems.push(error.note("without `listen` it listens where the profile's clients dial"));
    }
    let mut listen: Vec<(Listen, &Place)> = Vec::new();
    for item in items {
        let read = match item.table() {
            Some(table) => of_table(item, table, plugins, problems),
            None => item.text().and_then(|text| of_text(text, &item.place, transports, problems)),
        };
        let Some((new, place)) = read else { continue };
        check_host_port(new.options.kind(), &new.address, place, problems);
        if let Some(error) = listen.iter().find_map(|(known, at)| clash(known, at, &new, place)) {
            problems.push(error);
        }
        listen.push((new, place));
    }
    listen.into_iter().map(|(listen, _)| listen).collect()
}

fn of_text<'a>(
    text: &str,
    place: &'a Place,
    transports: &Transports,
    problems: &mut Problems,
) -> Option<(Listen, &'a Place)> {
    let error = |message: &str| {
        Diagnostic::error(place, message).note("accepted: transport://host:port, as in tcp://0.0.0.0:12346")
    };
    let Some((kind, address)) = text.split_once("://") else {
        problems.push(error("the transport is missing"));
        return None;
    };
    let address = read_address(address).map_err(|why| problems.push(error(&why))).ok()?;
    let own = || transports.entries().filter(|entry| entry.options.kind() == kind);
    let at_its_place = own().find(|entry| entry.address.place == address.place);
    let options = match at_its_place.or_else(|| own().next()) {
        Some(entry) => entry.options.clone(),
        None => Options::bare(PluginKind::Transport.table(), kind, place),
    };
    Some((Listen { options, address }, place))
}

/// Where the listener listens is `address`, as it is where a client dials in `[transport]`; here it must be said.
fn of_table<'a>(
    node: &'a Node,
    table: &'a Table,
    plugins: &[&str],
    problems: &mut Problems,
) -> Option<(Listen, &'a Place)> {
    let address = table.node(ADDRESS_KEY);
    if address.is_none() {
        let error = Diagnostic::error(&node.place, "`address` is missing for this listener");
        problems.push(error.note("as in: address = \"0.0.0.0:12346\""));
    }
    if table.node(KIND_KEY).is_none() {
        let error = Diagnostic::error(&node.place, "`kind` is missing for this listener");
        problems.push(error.accepted("", plugins.iter().copied()));
        return None;
    }
    let options = Options::read(PluginKind::Transport.table(), node, plugins, problems)?;
    options.warn_of_inline_secrets(problems);
    let read = address.and_then(|address| {
        let Some(text) = address.text() else {
            let message = format!("expected a string, found {}", address.value.describe());
            problems.push(Diagnostic::error(&address.place, message));
            return None;
        };
        let error =
            |why: String| Diagnostic::error(&address.place, why).note("accepted: host:port, [v6]:port");
        let read = read_address(text).map_err(|why| problems.push(error(why))).ok()?;
        Some((read, &address.place))
    });
    let Some((address, place)) = read else {
        // The profile is refused by now; whatever else is wrong with the options is to be said with it.
        let nowhere = Address::new("nowhere:0");
        return Some((Listen { options, address: nowhere }, &node.place));
    };
    Some((Listen { options, address }, place))
}

fn read_address(text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(said)?;
    match address.pin {
        Some(_) => Err("one listens without a fingerprint: it is the node's own".to_owned()),
        None => Ok(address),
    }
}

/// Of which ports a transport of the project takes one; what a stranger's does is its own business.
fn ports(listen: &Listen) -> Option<(&'static str, String, u16)> {
    let ports = match listen.options.kind() {
        "tcp" | "tls" => "TCP",
        "quic" | "udp-arq" => "UDP",
        _ => return None,
    };
    let (host, port) = listen.address.host_port().ok()?;
    Some((ports, host, port))
}

/// Why two listeners can't be at the same time, if that is sure without asking the system: port 0 is another each time, and
/// what a name leads to is not known here.
fn clash(known: &Listen, at: &Place, new: &Listen, place: &Place) -> Option<Diagnostic> {
    let (Some((ports, known_host, known_port)), Some((new_ports, new_host, port))) =
        (ports(known), ports(new))
    else {
        let is_same = known.to_string() == new.to_string();
        return is_same.then(|| Diagnostic::error(place, "this is in the list twice"));
    };
    if (ports, known_port) != (new_ports, port) || port == 0 || !overlap(&known_host, &new_host) {
        return None;
    }
    let message = match known.to_string() == new.to_string() {
        true => "this is in the list twice".to_owned(),
        false => format!("{ports} port {port} is taken by `{known}` in line {} already", at.line()),
    };
    let note =
        "tcp and tls share the TCP ports, udp-arq and quic the UDP ports: give each of a pair its own port";
    Some(Diagnostic::error(place, message).note(note))
}

/// Whether both hosts are one, or one of them is all addresses of the other's family.
fn overlap(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()),
        (Err(_), Err(_)) => a.eq_ignore_ascii_case(b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn hosts_overlap_if_one_is_the_other_or_all_of_its_family() {
        for (a, b, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("::", "::1", true),
            ("Relay.example", "relay.example", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0", "::1", false),
            ("127.0.0.1", "localhost", false),
        ] {
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
