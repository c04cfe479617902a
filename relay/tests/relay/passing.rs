//! What is only of the moment: passed on to whoever is here and knows the sender, bounded, and never stored.

use chat_core::Identity;
use chat_core::wire::relay::MAX_PASSED_BYTES;
use chat_core::wire::{Envelope, FromRelay, Recipient, ToRelay};
use relay::{MailboxLimits, RelayConfig};

use crate::support::{Client, Node, envelope, identity, room, to};

async fn pass(client: &mut Client, envelope: &Envelope) {
    client.send(ToRelay::Pass { envelope: envelope.clone() }).await;
}

fn passed(records: Vec<FromRelay>) -> Vec<Envelope> {
    let envelope = |record| match record {
        FromRelay::Passed { envelope } => Some(envelope),
        _ => None,
    };
    records.into_iter().filter_map(envelope).collect()
}

/// What `to` was passed on of what `from` has sent before this.
async fn arrived(from: &mut Client, to: &mut Client) -> Vec<Envelope> {
    let answers = settled(from).await;
    assert!(
        !answers.iter().any(|record| matches!(record, FromRelay::Refused { .. } | FromRelay::Stored { .. }))
    );
    passed(settled(to).await)
}

/// What came; an answer may come before what was passed on, and not before what was when it was asked for.
async fn settled(client: &mut Client) -> Vec<FromRelay> {
    let mut came = client.settle().await;
    came.extend(client.settle().await);
    came
}

async fn in_a_room(node: &Node, me: &Identity, name: &str) -> Client {
    let mut client = node.connect(me).await;
    client.join(name).await;
    client
}

#[tokio::test]
async fn it_reaches_who_is_here_unchanged_and_nothing_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = in_a_room(&node, &alice, "#lobby").await;
    let mut b = in_a_room(&node, &bob, "#lobby").await;
    let typing = envelope(&alice, to(&bob), 100);
    pass(&mut a, &typing).await;
    assert_eq!(arrived(&mut a, &mut b).await, [typing]);
    // To somebody who is not here it is lost, and so is what was passed on when its reader is back.
    drop(b);
    a.wait(|record| matches!(record, FromRelay::Presence { online: false, .. }).then_some(())).await;
    pass(&mut a, &envelope(&alice, to(&bob), 100)).await;
    a.settle().await;
    let figures = node.relay.figures();
    assert_eq!((figures.submitted, figures.stored), (0, 0));
    let mut b = node.connect(&bob).await;
    let letter = envelope(&alice, to(&bob), 10);
    a.store(&letter).await;
    assert_eq!(b.take(1, true).await[0].envelope, letter, "the first that comes");
    assert!(passed(settled(&mut b).await).is_empty());
    node.stop().await;
}

/// Identities cost nothing: who has nothing to do with a peer can't disturb it.
#[tokio::test]
async fn strangers_are_not_passed_on_until_they_were_written_to() {
    let dir = tempfile::tempdir().unwrap();
    // So long is a refusal remembered: no test waits for it here, whoever asks is new.
    let node = Node::start(dir.path());
    let (alice, bob) = (identity(1), identity(2));
    let mut b = in_a_room(&node, &bob, "#bobs").await;
    let mut a = in_a_room(&node, &alice, "#alices").await;
    let mut control = in_a_room(&node, &identity(3), "#bobs").await;
    // That she has written to him is no reason; only he can say so.
    a.store(&envelope(&alice, to(&bob), 10)).await;
    b.take(1, true).await;
    for _ in 0..5 {
        pass(&mut a, &envelope(&alice, to(&bob), 10)).await;
    }
    assert!(arrived(&mut a, &mut b).await.is_empty());
    let of_a_member = envelope(&identity(3), to(&bob), 10);
    pass(&mut control, &of_a_member).await;
    assert_eq!(arrived(&mut control, &mut b).await, [of_a_member], "it would come");
    b.store(&envelope(&bob, to(&alice), 10)).await;
    a.take(1, true).await;
    drop(a);
    let mut a = node.connect(&alice).await;
    let welcome = envelope(&alice, to(&bob), 10);
    pass(&mut a, &welcome).await;
    assert_eq!(arrived(&mut a, &mut b).await, [welcome]);
    // Not both ways: she may be passed on to him, and he to her, for both have written.
    let back = envelope(&bob, to(&alice), 10);
    pass(&mut b, &back).await;
    assert_eq!(arrived(&mut b, &mut a).await, [back]);
    node.stop().await;
}

#[tokio::test]
async fn what_is_forged_too_long_or_for_a_room_is_dropped_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let (alice, bob, mallory) = (identity(1), identity(2), identity(3));
    let mut m = in_a_room(&node, &mallory, "#lobby").await;
    let mut b = in_a_room(&node, &bob, "#lobby").await;
    pass(&mut m, &envelope(&alice, to(&bob), 10)).await;
    pass(&mut m, &envelope(&mallory, Recipient::Room(room("#lobby")), 10)).await;
    let record = |len| ToRelay::Pass { envelope: envelope(&mallory, to(&bob), len) }.encode().len();
    let longest = MAX_PASSED_BYTES - (record(4000) - 4000);
    pass(&mut m, &envelope(&mallory, to(&bob), longest + 1)).await;
    assert!(arrived(&mut m, &mut b).await.is_empty());
    let fits = envelope(&mallory, to(&bob), longest);
    pass(&mut m, &fits).await;
    assert_eq!(arrived(&mut m, &mut b).await, [fits]);
    node.stop().await;
}

/// Of many senders together a peer gets what it may have, and each sender may send what it may submit.
#[tokio::test]
async fn how_much_of_it_comes_is_bounded_at_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig {
        passed_rate: 0,
        passed_burst: 30,
        submit_rate: 0,
        submit_burst: 20,
        ..RelayConfig::default()
    };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let (bob, carl) = (identity(1), identity(2));
    let mut b = in_a_room(&node, &bob, "#lobby").await;
    let mut c = in_a_room(&node, &carl, "#lobby").await;
    let mut came = Vec::new();
    for seed in 10..13 {
        let sender = identity(seed);
        let mut s = in_a_room(&node, &sender, "#lobby").await;
        let mut count = 0;
        for _ in 0..50 {
            pass(&mut s, &envelope(&sender, to(&bob), 10)).await;
            count += arrived(&mut s, &mut b).await.len();
        }
        came.push(count);
        // Its letters come out of the same purse.
        let letter = envelope(&sender, to(&carl), 10);
        s.submit(std::slice::from_ref(&letter)).await;
        assert!(s.fate(letter.id).await.is_err());
    }
    assert_eq!(came, [20, 10, 0]);
    assert!(passed(settled(&mut c).await).is_empty());
    node.stop().await;
}

/// Who does not read is passed on what its queue takes, and loses the rest; its letters and everybody else are as ever.
#[tokio::test]
async fn who_does_not_read_takes_no_memory_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = RelayConfig { passed_rate: 1 << 20, passed_burst: 1 << 20, ..RelayConfig::default() };
    let node = Node::start_with(dir.path(), config, MailboxLimits::default());
    let (alice, bob) = (identity(1), identity(2));
    let mut a = in_a_room(&node, &alice, "#lobby").await;
    let mut b = in_a_room(&node, &bob, "#lobby").await;
    b.settle().await;
    let before = node.relay.figures().memory_bytes;
    for _ in 0..500 {
        pass(&mut a, &envelope(&alice, to(&bob), 3000)).await;
    }
    a.settle().await;
    let held = node.relay.figures().memory_bytes.saturating_sub(before);
    assert!(held < 128 << 10, "{held} bytes are held for 1.5 MB");
    let letter = envelope(&alice, to(&bob), 10);
    a.store(&letter).await;
    assert_eq!(b.take(1, true).await[0].envelope, letter);
    let came = passed(settled(&mut b).await).len();
    assert!((1..100).contains(&came), "{came}");
    node.stop().await;
}
