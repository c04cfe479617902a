//! Whoever is after somebody's mailbox: crowds of identities, of any number of addresses, that are no strangers any more,
//! for they were answered once (a receipt is written, too) or are in a room with their victim.

use chat_core::Identity;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Recipient, ToRelay, WIRE_VERSION};
use relay::{MailboxLimits, RelayConfig};

use crate::support::{Client, Node, envelope, identity, to};

const CROWD: u8 = 24;

/// Each has an address of its own.
async fn arrive(node: &Node, n: u8) -> (Identity, Client) {
    let me = identity(100 + n);
    let mut client = node.raw_from(&format!("192.0.2.{n}:1"), me.public().as_bytes()).await;
    client.send(ToRelay::Hello { version: WIRE_VERSION }).await;
    client.settle().await;
    (me, client)
}

/// Letters of a kilobyte until one is refused; how many were taken.
async fn fill(client: &mut Client, from: &Identity, whom: &Recipient) -> usize {
    for taken in 0..2000 {
        let letter = envelope(from, whom.clone(), 700);
        client.submit(std::slice::from_ref(&letter)).await;
        match client.fate(letter.id).await {
            Ok(()) => {}
            Err(Refusal::MailboxFull) => return taken,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("nothing is ever full")
}

async fn exchange(a: (&Identity, &mut Client), b: (&Identity, &mut Client)) {
    a.1.store(&envelope(a.0, to(b.0), 10)).await;
    b.1.take(1, true).await;
    b.1.store(&envelope(b.0, to(a.0), 10)).await;
    a.1.take(1, true).await;
}

/// His client has answered each of them. While he is away they fill what they can of his mailbox; his friend's letters
/// still come.
#[tokio::test]
async fn a_crowd_that_was_answered_leaves_his_friends_their_room() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { mailbox_bytes: 400_000, contacts_per_peer: 32, ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (alice, bob) = (identity(1), identity(2));
    let (mut a, mut b) = (node.connect(&alice).await, node.connect(&bob).await);
    exchange((&alice, &mut a), (&bob, &mut b)).await;
    let mut crowd = Vec::new();
    for n in 1..=CROWD {
        let (me, mut client) = arrive(&node, n).await;
        exchange((&me, &mut client), (&bob, &mut b)).await;
        crowd.push((me, client));
    }
    drop(b);
    let mut taken = 0;
    for (me, client) in &mut crowd {
        taken += fill(client, me, &to(&bob)).await;
    }
    assert!(taken > 150, "they are many: {taken}");
    let hers = fill(&mut a, &alice, &to(&bob)).await;
    assert!(hers >= 2, "{hers} of hers beside {taken}");
    // They are his when he comes back, behind all of theirs.
    let mut b = node.connect(&bob).await;
    let came = b.take(taken + hers, true).await;
    assert_eq!(came.iter().filter(|item| item.envelope.from == alice.peer_id()).count(), hers);
    node.stop().await;
}

/// More of them were answered than there are places for contacts. Whom he writes to after that is one all the same.
#[tokio::test]
async fn a_crowd_that_was_answered_leaves_new_friends_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { mailbox_bytes: 400_000, contacts_per_peer: 16, ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (alice, bob) = (identity(1), identity(2));
    let mut b = node.connect(&bob).await;
    let mut crowd = Vec::new();
    for n in 1..=CROWD {
        let (me, mut client) = arrive(&node, n).await;
        exchange((&me, &mut client), (&bob, &mut b)).await;
        crowd.push((me, client));
    }
    let mut a = node.connect(&alice).await;
    exchange((&alice, &mut a), (&bob, &mut b)).await;
    drop(b);
    for (me, client) in &mut crowd {
        fill(client, me, &to(&bob)).await;
    }
    assert!(fill(&mut a, &alice, &to(&bob)).await >= 2);
    node.stop().await;
}

/// They write to one another, until the relay holds as much as it takes: that is nobody's mailbox but theirs.
#[tokio::test]
async fn a_crowd_that_fills_the_relay_leaves_everybody_else_their_room() {
    let dir = tempfile::tempdir().unwrap();
    let limits =
        MailboxLimits { stored_bytes: 800_000, max_peers: 64, stored_share: 16, ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (alice, bob) = (identity(1), identity(2));
    let (mut a, mut b) = (node.connect(&alice).await, node.connect(&bob).await);
    exchange((&alice, &mut a), (&bob, &mut b)).await;
    drop(b);
    let mut crowd = Vec::new();
    for n in 1..=CROWD {
        crowd.push(arrive(&node, n).await);
    }
    // No strangers to one another, and none of them reads.
    let mut taken = 0;
    for n in 0..crowd.len() {
        let next = to(&crowd[(n + 1) % crowd.len()].0);
        let (me, client) = &mut crowd[n];
        client.store(&envelope(me, next, 10)).await;
    }
    for n in 0..crowd.len() {
        let before = to(&crowd[(n + crowd.len() - 1) % crowd.len()].0);
        let (me, client) = &mut crowd[n];
        taken += fill(client, me, &before).await;
    }
    assert!(taken > 400, "they are many: {taken}");
    let hers = fill(&mut a, &alice, &to(&bob)).await;
    assert!(hers >= 2, "{hers} of hers beside {taken}");
    node.stop().await;
}
