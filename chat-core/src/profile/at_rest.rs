//! `sealed-at-rest`: what takes the property away although `[store]` names a passphrase or a key file.
//!
//! A relay's mailbox can't be sealed under the key of its program's user: it is written while he is away, and read by the
//! relay alone. It lies in the clear: who writes to whom, when, under which names, in which open rooms. A client that is the
//! relay too keeps it in its data directory, so one that must be sealed is never a relay.

use super::diagnostics::{Diagnostic, Problems};
use super::source::Origin;
use super::tree::{Node, Table, Value};
use super::{Host, IdentitySection, Policy, Property, StoreSection};

/// Whether all that the program writes on this machine is sealed. An identity key of the profile's own is never written,
/// and lies where it lies in the clear.
pub(super) fn is_sealed(store: &StoreSection, identity: &IdentitySection, host: Option<Host>) -> bool {
    store.is_sealed() && identity.key_file.is_none() && host == Some(Host::Never)
}

fn host(tree: &mut Table) -> Option<&mut Node> {
    let Value::Table(topology) = &mut tree.get_mut("topology")?.node.value else { return None };
    Some(&mut topology.get_mut("host")?.node)
}

/// A program whose profile requires the property is no relay, whatever `topology.host` says; who says it himself is told.
pub(super) fn check(tree: &mut Table, policy: &Policy, problems: &mut Problems) {
    let required = policy.require.iter().find(|(property, _)| *property == Property::SealedAtRest);
    let (Some((_, required)), Some(host)) = (required, host(tree)) else { return };
    if host.text() != Some("auto") {
        return;
    }
    let node = Node { value: Value::String("never".to_owned()), place: required.clone() };
    let said = std::mem::replace(host, node);
    if *said.place.origin() != Origin::Default {
        let message = "this program will not be the relay: the policy requires `sealed-at-rest`";
        problems.push(
            Diagnostic::warning(&said.place, message)
                .note(
                    "the mailbox of a relay lies in the clear: who writes to whom, when, in which open rooms",
                )
                .note("write `host = \"never\"`, and have a relay run elsewhere (chat relay)"),
        );
    }
}
