//! What it costs those who are in a room that somebody joins it: the same, however many they are.

use chat_core::wire::{FromRelay, ToRelay};
use chat_core::{Identity, Timestamp};
use relay::{MailboxLimits, RelayConfig};

use crate::mailbox::Store;
use crate::support::{Client, Node, bundle, database, identity, room};

fn member(n: u16) -> Identity {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    Identity::from_seed(&seed)
}

/// A room of so many who are all here, and have heard of one another.
async fn crowded(dir: &std::path::Path, count: u16) -> (Node, Vec<Client>) {
    let mailbox = Store::open(dir, MailboxLimits::default());
    for n in 0..count {
        mailbox.attach(&member(n), Timestamp::now().0).await.unwrap();
        mailbox.join(&member(n), "#lobby").await;
    }
    relay::Mailbox::close(&mailbox.0).await;
    drop(mailbox);
    assert!(database(dir).exists());
    let node = Node::start_with(dir, RelayConfig::default(), MailboxLimits::default());
    let mut clients = Vec::new();
    for n in 0..count {
        clients.push(node.connect(&member(n)).await);
    }
    // Each hears of those who came after it.
    for (n, client) in clients.iter_mut().enumerate() {
        for _ in n + 1..usize::from(count) {
            client.wait(|record| matches!(record, FromRelay::Presence { .. }).then_some(())).await;
        }
    }
    (node, clients)
}

/// What came, and what is behind the first answer.
async fn all_news(client: &mut Client) -> Vec<FromRelay> {
    let mut news = client.settle().await;
    news.extend(client.settle().await);
    news
}

#[tokio::test]
async fn a_join_is_two_records_to_each_member_and_the_same_in_a_room_of_any_size() {
    let mut told = Vec::new();
    for count in [20, 300] {
        let dir = tempfile::tempdir().unwrap();
        let (node, mut clients) = crowded(dir.path(), count).await;
        let bob = identity(2);
        let mut b = node.connect(&bob).await;
        b.send(ToRelay::Publish { bundle: bundle(&bob, "bob", 1) }).await;
        assert_eq!(b.join("#lobby").await.len() % 256, (usize::from(count) + 1) % 256, "its last piece");
        let mut bytes = Vec::new();
        for client in &mut clients {
            let joined =
                |record: &FromRelay| matches!(record, FromRelay::Members { .. }).then(|| record.clone());
            let last = client.wait(joined).await;
            let mut news = all_news(client).await;
            news.push(last);
            let [FromRelay::Peer { online: true, .. }, FromRelay::Members { room: of, members }] = &news[..]
            else {
                panic!("{news:?}");
            };
            assert_eq!((of, &members[..]), (&room("#lobby"), &[bob.peer_id()][..]));
            bytes.push(news.iter().map(|record| record.encode().len()).sum::<usize>());
        }
        // Once more, which is news to nobody.
        b.join("#lobby").await;
        assert!(all_news(&mut clients[0]).await.is_empty());
        bytes.dedup();
        told.push(bytes);
        node.stop().await;
    }
    assert_eq!(told[0], told[1], "bytes to each member");
    assert!(matches!(told[0][..], [1..600]), "{told:?}");
}
