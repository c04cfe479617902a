//! `closed-rooms` in `policy.require`: the profile then joins no open room, and its user can't either.

use super::diagnostics::{Diagnostic, Problems};
use super::source::Origin;
use super::tree::{Node, Table, Value};
use super::{Policy, Property};

fn rooms(tree: &mut Table) -> Option<&mut Vec<Node>> {
    let topology = &mut tree.get_mut("topology")?.node.value;
    let Value::Table(topology) = topology else { return None };
    match &mut topology.get_mut("rooms")?.node.value {
        Value::Array(rooms) => Some(rooms),
        _ => None,
    }
}

/// Takes the program's own rooms out of a profile that requires closed ones, and refuses those that it names itself.
pub(super) fn check(tree: &mut Table, policy: &Policy, problems: &mut Problems) {
    if !policy.requires(Property::ClosedRooms) {
        return;
    }
    let Some(rooms) = rooms(tree) else { return };
    rooms.retain(|room| *room.place.origin() != Origin::Default);
    for room in rooms {
        let message = "this room is open, and the policy requires `closed-rooms`";
        problems.push(
            Diagnostic::error(&room.place, message)
                .note("an open room admits whom the relay admits, who then reads along")
                .note("write `rooms = []`; closed rooms are made with /create and entered by /admit"),
        );
    }
}
