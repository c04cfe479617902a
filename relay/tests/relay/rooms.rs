//! Rooms, presence and the directory.

use crate::mailbox::{DAY, Store};
use crate::support::{Client, Node, bundle, identity, room};
use chat_core::nick::Nick;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{FromRelay, ToRelay};
use chat_core::{Identity, PeerId, Timestamp};
use relay::{MailboxLimits, RelayConfig};

async fn presence(client: &mut Client, of: &Identity) -> bool {
    let of = of.peer_id();
    client
        .wait(|record| match record {
            FromRelay::Presence { peer, online } if *peer == of => Some(*online),
            _ => None,
        })
        .await
}

async fn peer(client: &mut Client) -> (Vec<u8>, bool) {
    client
        .wait(|record| match record {
            FromRelay::Peer { bundle, online } => Some((bundle.clone(), *online)),
            _ => None,
        })
        .await
}

async fn publish(client: &mut Client, me: &Identity, nick: &str, created: u64) -> Vec<u8> {
    let bundle = bundle(me, nick, created);
    client.send(ToRelay::Publish { bundle: bundle.clone() }).await;
    bundle
}

#[tokio::test]
async fn a_joiner_learns_of_the_members_and_they_of_it_before_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let alices = publish(&mut a, &alice, "alice", 1).await;
    assert_eq!(a.join("#lobby").await, [alice.peer_id()]);
    a.settle().await;
    let mut b = node.connect(&bob).await;
    let bobs = publish(&mut b, &bob, "bob", 1).await;
    b.send(ToRelay::Join { room: room("#lobby") }).await;
    let everybody: Vec<PeerId> = vec![alice.peer_id(), bob.peer_id()];
    let list = FromRelay::Room { room: room("#lobby"), members: everybody };
    assert_eq!(b.next().await, Some(FromRelay::Peer { bundle: alices, online: true }));
    assert_eq!(b.next().await, Some(FromRelay::Peer { bundle: bobs.clone(), online: true }));
    assert_eq!(b.next().await, Some(list));
    assert_eq!(a.next().await, Some(FromRelay::Peer { bundle: bobs, online: true }));
    let joined = FromRelay::Members { room: room("#lobby"), members: vec![bob.peer_id()] };
    assert_eq!(a.next().await, Some(joined));
    node.stop().await;
}

#[tokio::test]
async fn presence_goes_to_those_who_share_a_room() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob, carol) = (identity(1), identity(2), identity(3));
    let mut a = node.connect(&alice).await;
    let mut c = node.connect(&carol).await;
    a.join("#one").await;
    a.join("#two").await;
    c.join("#three").await;
    let mut b = node.connect(&bob).await;
    b.join("#one").await;
    b.join("#two").await;
    a.settle().await;
    drop(b);
    assert!(!presence(&mut a, &bob).await);
    let b = node.connect(&bob).await;
    assert!(presence(&mut a, &bob).await, "still a member");
    // A newer link of the same peer is no news.
    let mut newer = node.connect(&bob).await;
    newer.settle().await;
    assert!(a.settle().await.is_empty());
    drop(b);
    newer.settle().await;
    assert!(a.settle().await.is_empty());
    assert!(c.settle().await.is_empty(), "shares no room");
    newer.send(ToRelay::Leave { room: room("#one") }).await;
    newer.settle().await;
    assert!(a.settle().await.is_empty(), "whoever leaves says so itself");
    assert_eq!(a.join("#one").await, [alice.peer_id()]);
    drop(newer);
    assert!(!presence(&mut a, &bob).await, "they still share #two");
    node.stop().await;
}

#[tokio::test]
async fn a_newer_bundle_is_news_and_an_older_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    a.join("#lobby").await;
    b.join("#lobby").await;
    let second = publish(&mut b, &bob, "bob", 2).await;
    assert_eq!(peer(&mut a).await, (second, true));
    publish(&mut b, &bob, "bob", 1).await;
    publish(&mut b, &bob, "bob", 2).await;
    let third = publish(&mut b, &bob, "bob", 3).await;
    assert_eq!(peer(&mut a).await, (third.clone(), true));
    // Found by id and by nick, also when it is gone.
    a.send(ToRelay::Find { peer: Some(bob.peer_id()), nick: None }).await;
    assert_eq!(peer(&mut a).await, (third.clone(), true));
    drop(b);
    assert!(!presence(&mut a, &bob).await);
    let nick = Nick::new("bob").unwrap();
    a.send(ToRelay::Find { peer: None, nick: Some(nick.clone()) }).await;
    assert_eq!(peer(&mut a).await, (third.clone(), false));
    // Somebody else who claims the name is found too, after the one known longer.
    let impostor = identity(7);
    let mut i = node.connect(&impostor).await;
    let claimed = publish(&mut i, &impostor, "bob", 9).await;
    i.settle().await;
    i.send(ToRelay::Join { room: room("#elsewhere") }).await;
    i.room("#elsewhere").await;
    a.send(ToRelay::Find { peer: None, nick: Some(nick) }).await;
    assert_eq!(peer(&mut a).await, (third, false));
    assert_eq!(peer(&mut a).await, (claimed, true));
    for (peer, nick) in [(Some(PeerId([9; 32])), None), (None, Nick::new("nobody").ok()), (None, None)] {
        a.send(ToRelay::Find { peer, nick: nick.clone() }).await;
        a.wait(|record| (*record == FromRelay::Unknown { peer, nick: nick.clone() }).then_some(())).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_bundle_from_the_future_is_refused_by_name_and_the_next_one_taken() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let alice = identity(1);
    let mut a = node.connect(&alice).await;
    publish(&mut a, &alice, "alice", Timestamp::now().plus_ms(20 * 365 * DAY).0).await;
    let refused = |record: &FromRelay| match record {
        FromRelay::Error { why, detail } => Some((*why, detail.contains("future"))),
        _ => None,
    };
    assert_eq!(a.wait(refused).await, (Refusal::Clock, true));
    let today = publish(&mut a, &alice, "alice", Timestamp::now().0).await;
    // What is asked after joining is asked after the commit.
    a.join("#lobby").await;
    a.send(ToRelay::Find { peer: Some(alice.peer_id()), nick: None }).await;
    assert_eq!(peer(&mut a).await.0, today);
    node.stop().await;
}

#[tokio::test]
async fn rooms_and_directory_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (identity(1), identity(2));
    let node = Node::start(dir.path());
    let mut a = node.connect(&alice).await;
    let mut b = node.connect(&bob).await;
    a.join("#lobby").await;
    b.join("#lobby").await;
    let bobs = publish(&mut b, &bob, "bob", 5).await;
    assert_eq!(peer(&mut a).await.0, bobs);
    node.stop().await;

    let node = Node::start(dir.path());
    let mut a = node.connect(&alice).await;
    // A member without asking: it hears of others, and asking again changes nothing.
    let b = node.connect(&bob).await;
    assert!(presence(&mut a, &bob).await);
    drop(b);
    assert!(!presence(&mut a, &bob).await);
    assert_eq!(a.join("#lobby").await, [alice.peer_id(), bob.peer_id()]);
    assert_eq!(peer(&mut a).await, (bobs, false));
    node.stop().await;
}

/// What it costs to join: the members are told of one, and the one gets all of them in pieces.
#[tokio::test]
async fn in_a_large_room_a_joiner_is_one_small_record_to_each_member_and_gets_the_list_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = Store::open(dir.path(), MailboxLimits::default());
    let mut everybody = Vec::new();
    for n in 0..600_u16 {
        let [a, b] = n.to_be_bytes();
        let mut seed = [9; 32];
        (seed[0], seed[1]) = (a, b);
        let me = Identity::from_seed(&seed);
        everybody.push(me.peer_id());
        mailbox.attach(&me, chat_core::Timestamp::now().0).await.unwrap();
        mailbox.join(&me, "#lobby").await;
        if n % 2 == 0 {
            mailbox.publish(&me, "somebody", 1).await;
        }
    }
    relay::Mailbox::close(&mailbox.0).await;
    drop(mailbox);
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = node.connect(&alice).await;
    assert_eq!(list(&mut a, "#lobby").await.0.len(), 601);
    let mut b = node.connect(&bob).await;
    let (members, pieces, bundles) = list(&mut b, "#lobby").await;
    everybody.extend([alice.peer_id(), bob.peer_id()]);
    assert_eq!(members, everybody);
    assert!((3..20).contains(&pieces), "{pieces}");
    assert_eq!(bundles, 300);
    let told = FromRelay::Members { room: room("#lobby"), members: vec![bob.peer_id()] };
    assert_eq!(a.settle().await, [told]);
    node.stop().await;
}

/// Joins, and gives the members that are named up to the last piece, the pieces, and the bundles.
async fn list(client: &mut Client, name: &str) -> (Vec<PeerId>, usize, usize) {
    client.send(ToRelay::Join { room: room(name) }).await;
    let (mut all, mut pieces, mut bundles) = (Vec::new(), 0, 0);
    loop {
        let (members, last) = match client.next().await {
            Some(FromRelay::Members { members, .. }) => (members, false),
            Some(FromRelay::Room { members, .. }) => (members, true),
            Some(FromRelay::Peer { .. }) => {
                bundles += 1;
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert!(members.len() <= 256);
        all.extend(members);
        pieces += 1;
        if last {
            return (all, pieces, bundles);
        }
    }
}

#[tokio::test]
async fn rooms_are_bounded_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { rooms_per_peer: 3, members_per_room: 2, ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let mut clients = Vec::new();
    for seed in 1..=3 {
        clients.push(node.connect(&identity(seed)).await);
    }
    let refused = |why: Refusal| {
        move |record: &FromRelay| match record {
            FromRelay::Error { why: found, .. } => (*found == why).then_some(()),
            _ => None,
        }
    };
    for name in ["#a", "#b", "#c"] {
        clients[0].join(name).await;
    }
    clients[0].send(ToRelay::Join { room: room("#d") }).await;
    clients[0].wait(refused(Refusal::NotAllowed)).await;
    clients[0].send(ToRelay::Leave { room: room("#a") }).await;
    clients[0].join("#d").await;
    clients[1].join("#d").await;
    clients[2].send(ToRelay::Join { room: room("#d") }).await;
    clients[2].wait(refused(Refusal::MailboxFull)).await;
    clients[1].send(ToRelay::Leave { room: room("#d") }).await;
    clients[1].settle().await;
    assert_eq!(clients[2].join("#d").await, [identity(1).peer_id(), identity(3).peer_id()]);
    node.stop().await;
}

/// News that a client doesn't read are dropped, and its rooms listed again: at the end it knows what there is.
#[tokio::test]
async fn who_misses_news_gets_its_rooms_listed_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { control_burst: 10_000, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let alice = identity(1);
    let mut a = node.connect(&alice).await;
    a.join("#lobby").await;
    a.settle().await;
    let mut newest = Vec::new();
    let bob = identity(2);
    let mut b = node.connect(&bob).await;
    b.join("#lobby").await;
    for created in 1..=2000u64 {
        newest = publish(&mut b, &bob, "bob", created).await;
        b.settle().await;
    }
    while peer(&mut a).await.0 != newest {}
    assert!(node.relay.figures().resyncs > 0);
    assert_eq!(a.join("#lobby").await.len(), 2);
    node.stop().await;
}
