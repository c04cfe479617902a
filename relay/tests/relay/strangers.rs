//! Identities cost nothing: what one network address may do with them is bounded, and nobody else pays for it.

use crate::support::{Client, Node, identity, room};
use chat_core::Identity;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
use relay::{MailboxLimits, RelayConfig};

fn is_too_fast(record: &FromRelay) -> bool {
    matches!(record, FromRelay::Error { why: Refusal::TooFast, detail } if detail.contains("network address"))
}

/// Comes from an address; the link, or none if the relay refuses it, which it says.
async fn arrive(node: &Node, remote: &str, me: &Identity) -> Option<Client> {
    let mut client = node.raw_from(remote, me.public().as_bytes()).await;
    client.send(ToRelay::Hello { version: WIRE_VERSION }).await;
    match client.next().await {
        Some(FromRelay::Welcome { .. }) => Some(client),
        Some(refused) => {
            assert!(is_too_fast(&refused), "{refused:?}");
            assert_eq!(client.last_words().await, None, "and nothing else");
            None
        }
        None => panic!("closed without a word"),
    }
}

fn config() -> RelayConfig {
    RelayConfig {
        links_per_address: 3,
        new_peers_per_minute: 0,
        new_peers_burst: 5,
        new_members_per_minute: 0,
        new_members_burst: 4,
        local_factor: 4,
        ..RelayConfig::default()
    }
}

#[tokio::test]
async fn one_address_has_so_many_links_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), config(), MailboxLimits::default());
    let (here, network, other) = ("192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1");
    for remote in [here, network] {
        let me = if remote == here { 1 } else { 11 };
        let mut links = Vec::new();
        for seed in 0..3 {
            links.push(arrive(&node, remote, &identity(me + seed)).await.expect("a place"));
        }
        assert!(arrive(&node, remote, &identity(me)).await.is_none());
        // Another port, or another address of the same network, is the same.
        assert!(
            arrive(&node, &remote.replace("1:1", "1:2").replace("::1]", "::2]"), &identity(me))
                .await
                .is_none()
        );
        // Whoever leaves makes a place.
        let mut left = links.pop().unwrap();
        left.settle().await;
        drop(left);
        while arrive(&node, remote, &identity(me)).await.is_none() {}
        drop(links);
    }
    assert!(arrive(&node, other, &identity(100)).await.is_some(), "nobody else pays for it");
    assert!(node.relay.figures().refused_addresses >= 4);
    node.stop().await;
}

#[tokio::test]
async fn one_address_brings_so_many_new_peers_and_known_ones_always() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), config(), MailboxLimits::default());
    let mut came = Vec::new();
    for seed in 1..=20 {
        if let Some(mut client) = arrive(&node, "192.0.2.1:1", &identity(seed)).await {
            client.settle().await;
            came.push(seed);
        }
    }
    assert_eq!(came, [1, 2, 3, 4, 5]);
    for seed in came {
        while arrive(&node, "192.0.2.1:1", &identity(seed)).await.is_none() {}
    }
    assert!(arrive(&node, "192.0.2.1:1", &identity(6)).await.is_none());
    assert!(arrive(&node, "192.0.2.9:1", &identity(6)).await.is_some(), "another address has its own");
    node.stop().await;
}

#[tokio::test]
async fn one_address_makes_so_many_memberships_and_to_join_again_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), config(), MailboxLimits::default());
    let mut client = arrive(&node, "192.0.2.1:1", &identity(1)).await.unwrap();
    for name in ["#a", "#b", "#c", "#d"] {
        client.join(name).await;
        client.join(name).await;
    }
    client.send(ToRelay::Join { room: room("#e") }).await;
    client.wait(|record| is_too_fast(record).then_some(())).await;
    client.join("#a").await;
    // Its link lives on, and known memberships need no budget on the next one either.
    drop(client);
    let mut client = arrive(&node, "192.0.2.1:1", &identity(1)).await.unwrap();
    client.join("#d").await;
    let mut other = arrive(&node, "192.0.2.2:1", &identity(2)).await.unwrap();
    other.join("#e").await;
    node.stop().await;
}
