//! Operations of a closed room. The first byte chooses: one of anybody, the inside of one under a good signature, or a
//! script by which five people change a room, hear of each other's changes, and lie about anything they know.
//!
//! What is accepted is canonical CBOR. Whoever hears the same, in whatever order, says the same; what is refused changes
//! nothing; the members of every stage are found again by their hash, or it is left open.
//! Allocated for an operation: 4 bytes for each that came, and 4 KiB.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use chat_core::identity::SignedAs;
use chat_core::nick::RoomName;
use chat_core::wire::membership::{Change, Operation, OperationId, SignedOperation, VerifiedOperation};
use chat_core::{ConversationId, Identity, PeerId};
use client::fuzzing::Room;
use sha2::{Digest as _, Sha256};

use crate::alloc::bounded;
use crate::script::Script;
use crate::{cbor, parties};

/// People in the room, and two whom they may admit.
const PEOPLE: usize = 5;
const ALL: usize = 7;
/// Most operations in a script: each is signed and checked.
const MOST: usize = 32;

pub fn prepare() {
    people();
}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 3 {
        0 => operation(bytes),
        1 => operation(&signed(bytes)),
        _ => script(Script::new(bytes)),
    }
}

fn people() -> &'static [Identity; ALL] {
    static PEOPLE: OnceLock<[Identity; ALL]> = OnceLock::new();
    PEOPLE.get_or_init(|| std::array::from_fn(|n| Identity::from_seed(&[n as u8 + 1; 32])))
}

fn peer(n: usize) -> PeerId {
    people()[n].peer_id()
}

/// Alice's signature over any inside.
pub fn signed(inside: &[u8]) -> Vec<u8> {
    let signature = parties::alice().sign(SignedAs::Membership, &Sha256::digest(inside));
    let mut out = vec![0x82];
    cbor::bytes(&mut out, inside);
    cbor::bytes(&mut out, &signature);
    out
}

fn operation(bytes: &[u8]) {
    let decoded = bounded(4 * bytes.len() + (4 << 10), || SignedOperation::decode(bytes));
    let Ok(signed) = decoded else { return };
    assert_eq!(signed.encode(), bytes);
    assert_eq!(cbor::canonical(bytes).as_deref(), Some(bytes), "a second form was accepted");
    let Ok(verified) = bounded(4 * bytes.len() + (4 << 10), || signed.verify()) else { return };
    assert_eq!(verified.id, signed.id());
    let begins = matches!(verified.change, Change::Create { .. });
    assert_eq!(begins, verified.parents.is_empty());
    assert_eq!(Room::begin(verified).is_some(), begins);
}

fn says(who: usize, room: ConversationId, parents: Vec<OperationId>, change: Change) -> VerifiedOperation {
    let author = *people()[who].public().as_bytes();
    let operation = Operation { room, author, parents, change };
    SignedOperation::sign(&operation, &people()[who]).verify().unwrap()
}

/// The first operation, and a room of it for each.
pub fn create() -> VerifiedOperation {
    let change = Change::Create { name: RoomName::new("#den").unwrap(), nonce: [7; 16] };
    says(0, ConversationId::default(), vec![], change)
}

fn script(mut script: Script<'_>) {
    let mut seats: Vec<Room> = (0..PEOPLE).map(|_| Room::begin(create()).unwrap()).collect();
    let mut made = 0;
    for n in 1..PEOPLE {
        let admit = says(0, seats[0].id(), seats[0].parents(), Change::Admit { peer: peer(n) });
        seats.iter_mut().for_each(|seat| assert_eq!(seat.insert(admit.clone()), Some(true)));
    }
    while !script.is_over() && made < MOST {
        let who = script.below(PEOPLE);
        let what = script.byte();
        let whom = peer(script.below(ALL));
        let change = if what & 1 == 0 { Change::Admit { peer: whom } } else { Change::Remove { peer: whom } };
        match what >> 1 & 3 {
            0 | 1 => {
                let (room, parents) = (seats[who].id(), seats[who].parents());
                made += offer(&mut seats[who], says(who, room, parents, change));
            }
            2 => {
                let known = seats[who].operations();
                let parent = known[script.below(known.len())].id;
                let room = seats[who].id();
                made += offer(&mut seats[who], says(who, room, vec![parent], change));
            }
            _ => {
                let heard = seats[script.below(PEOPLE)].operations();
                for operation in heard {
                    offer(&mut seats[who], operation);
                }
            }
        }
    }
    agree(&mut seats);
}

/// How many were taken: none or one.
fn offer(room: &mut Room, operation: VerifiedOperation) -> usize {
    let (before, hashes) = (room.len(), room.hashes());
    let taken = room.insert(operation);
    let grown = usize::from(taken == Some(true));
    assert_eq!(room.len(), before + grown);
    assert!(grown == 1 || room.hashes() == hashes, "what is refused, or known, changes nothing");
    if grown == 1 {
        let (members, sure) = room.earlier(hashes[0]);
        assert!(members.is_some() || !sure, "there were such members");
    }
    grown
}

/// All hear all, each in another order.
fn agree(seats: &mut [Room]) {
    let mut all: Vec<VerifiedOperation> = Vec::new();
    let mut known = BTreeSet::new();
    for operation in seats.iter().flat_map(Room::operations) {
        if known.insert(operation.id) {
            all.push(operation);
        }
    }
    for (n, seat) in seats.iter_mut().enumerate() {
        let by = n % all.len().max(1);
        all.rotate_left(by);
        if n % 2 == 1 {
            all.reverse();
        }
        // As often as something may stand before what it was made upon.
        while seat.len() < all.len() {
            let before = seat.len();
            for operation in &all {
                offer(seat, operation.clone());
            }
            assert!(seat.len() > before, "what one has taken, all take");
        }
    }
    for seat in seats.iter() {
        assert_eq!((seat.hashes(), seat.members()), (seats[0].hashes(), seats[0].members()));
        for n in 0..ALL {
            assert!(seat.until_removed(peer(n)) <= seat.len());
        }
    }
}
