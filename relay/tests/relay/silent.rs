//! Who has never said nor had anything gives way: a crowd of strangers keeps nobody out of a room.

use chat_core::wire::{FromRelay, ToRelay};
use chat_core::{Identity, PeerId};
use relay::mailbox::{Joined, Published};
use relay::{MailboxLimits, RelayConfig};

use crate::mailbox::{DAY, Store, numbers};
use crate::support::{Node, bundle, envelope, identity, room, to};

fn ids(people: &[&Identity]) -> Vec<PeerId> {
    people.iter().map(|me| me.peer_id()).collect()
}

#[tokio::test]
async fn in_a_full_room_silent_members_give_way_the_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { members_per_room: 8, ..MailboxLimits::default() };
    let mailbox = Store::open(dir.path(), limits);
    let people: Vec<Identity> = (1..=8).map(identity).collect();
    let [unnamed, named, older, connected, writer, reader, nameless_writer, other] = &people[..] else {
        panic!()
    };
    let seen = |me: &Identity| if me.peer_id() == older.peer_id() { 10 } else { 20 };
    for me in &people {
        mailbox.attach(me, seen(me)).await.unwrap();
        mailbox.join(me, "#lobby").await;
        if ![unnamed, nameless_writer].iter().any(|nameless| nameless.peer_id() == me.peer_id()) {
            assert_eq!(mailbox.publish(me, "somebody", 1).await, Published::New);
        }
    }
    let letters = [envelope(writer, to(reader), 1), envelope(writer, to(other), 1)];
    let n = numbers(&mailbox.store(writer, &letters, 21).await);
    numbers(&mailbox.store(nameless_writer, &[envelope(nameless_writer, to(other), 1)], 21).await);
    mailbox.ack(reader, n[0], 21).await;
    let online = [connected.peer_id()];
    let mut expected: Vec<PeerId> = people.iter().map(Identity::peer_id).collect();
    for (newcomer, leaver) in [(11, unnamed), (12, older), (13, named), (14, other)] {
        let me = identity(newcomer);
        mailbox.attach(&me, 30).await.unwrap();
        assert!(matches!(mailbox.join_among(&me, "#lobby", &online).await, Joined::New { .. }));
        // Who came now is not silent.
        numbers(&mailbox.store(&me, &[envelope(&me, to(other), 1)], 31).await);
        mailbox.publish(&me, "newcomer", 1).await;
        expected.retain(|peer| *peer != leaver.peer_id());
        expected.push(me.peer_id());
        assert_eq!(mailbox.members("#lobby").await, expected, "{newcomer}");
    }
    // The last to go is who writes, but has no bundle, so that nobody can answer.
    let me = identity(15);
    mailbox.attach(&me, 30).await.unwrap();
    assert!(matches!(mailbox.join_among(&me, "#lobby", &online).await, Joined::New { .. }));
    expected.retain(|peer| *peer != nameless_writer.peer_id());
    expected.push(me.peer_id());
    assert_eq!(mailbox.members("#lobby").await, expected);
    // What waits for somebody waits, member or not.
    assert_eq!(mailbox.waiting(other).await.len(), 6);
    let online = [connected.peer_id(), me.peer_id()];
    mailbox.attach(&identity(16), 30).await.unwrap();
    assert_eq!(mailbox.join_among(&identity(16), "#lobby", &online).await, Joined::RoomFull);
    use relay::Mailbox;
    mailbox.0.close().await;
}

#[tokio::test]
async fn silent_peers_are_forgotten_after_a_day_with_a_bundle_only_where_it_is_crowded() {
    for crowd in ["none", "room", "relay"] {
        let dir = tempfile::tempdir().unwrap();
        let limits = MailboxLimits {
            members_per_room: if crowd == "room" { 11 } else { 10_000 },
            max_peers: if crowd == "relay" { 11 } else { 10_000 },
            sweep_rows: 2,
            ..MailboxLimits::default()
        };
        let mailbox = Store::open(dir.path(), limits);
        let people: Vec<Identity> = (1..=6).map(identity).collect();
        let [unnamed, named, writer, reader, awaited, connected] = &people[..] else { panic!() };
        for me in &people {
            mailbox.attach(me, 10 * DAY).await.unwrap();
            mailbox.join(me, "#lobby").await;
            if me.peer_id() != unnamed.peer_id() {
                mailbox.publish(me, "somebody", 1).await;
            }
        }
        let letters = [envelope(writer, to(reader), 1), envelope(writer, to(awaited), 1)];
        let n = numbers(&mailbox.store(writer, &letters, 10 * DAY).await);
        mailbox.ack(reader, n[0], 10 * DAY).await;
        for now in [10 * DAY, 10 * DAY + DAY, 10 * DAY + DAY + 1, 12 * DAY] {
            mailbox.sweep_all(now, &[connected]).await;
            let left: Vec<&Identity> = match (now <= 11 * DAY, crowd) {
                (true, _) => people.iter().collect(),
                (false, "none") => people.iter().skip(1).collect(),
                (false, _) => people.iter().skip(2).collect(),
            };
            assert_eq!(mailbox.members("#lobby").await, ids(&left), "{crowd} {now}");
        }
        use relay::Mailbox;
        assert!(!mailbox.0.knows(unnamed.peer_id()).await.unwrap());
        assert_eq!(mailbox.0.knows(named.peer_id()).await.unwrap(), crowd == "none");
        assert_eq!(mailbox.waiting(awaited).await.len(), 1);
        // Counted right: there is room for as many again as were forgotten.
        if crowd == "room" {
            for seed in 21..=27 {
                mailbox.attach(&identity(seed), 12 * DAY).await.unwrap();
                assert!(
                    matches!(mailbox.join(&identity(seed), "#lobby").await, Joined::New { .. }),
                    "{seed}"
                );
            }
        }
        mailbox.0.close().await;
    }
}

#[tokio::test]
async fn strangers_who_came_and_went_keep_nobody_out_and_whoever_has_an_id_finds_its_peer() {
    let dir = tempfile::tempdir().unwrap();
    let limits = MailboxLimits { members_per_room: 4, ..MailboxLimits::default() };
    let node = Node::start_with(dir.path(), RelayConfig::default(), limits);
    let (alice, bob, carol) = (identity(1), identity(2), identity(3));
    let mut a = node.connect(&alice).await;
    a.join("#lobby").await;
    let bobs = bundle(&bob, "bob", 1);
    let mut b = node.connect(&bob).await;
    b.send(ToRelay::Publish { bundle: bobs.clone() }).await;
    b.join("#lobby").await;
    let mut strangers = Vec::new();
    for seed in 100..102 {
        let mut stranger = node.connect(&identity(seed)).await;
        stranger.join("#lobby").await;
        strangers.push(stranger);
    }
    // As long as all are there it is full, but that does not hide anybody.
    let mut c = node.connect(&carol).await;
    c.send(ToRelay::Join { room: room("#lobby") }).await;
    c.wait(|record| {
        matches!(record, FromRelay::Error { detail, .. } if detail.contains("full")).then_some(())
    })
    .await;
    c.send(ToRelay::Find { peer: Some(bob.peer_id()), nick: None }).await;
    let found = FromRelay::Peer { bundle: bobs, online: true };
    c.wait(|record| (*record == found).then_some(())).await;
    drop(strangers);
    while node.relay.figures().clients > 3 {
        a.settle().await;
    }
    let mut d = node.connect(&identity(4)).await;
    // Somebody was looked for a moment ago; another room is looked through at once.
    for seed in 200..203 {
        let mut stranger = node.connect(&identity(seed)).await;
        stranger.join("#other").await;
        drop(stranger);
        while node.relay.figures().clients > 4 {
            a.settle().await;
        }
    }
    a.join("#other").await;
    assert_eq!(d.join("#other").await.len(), 4);
    node.stop().await;
}
