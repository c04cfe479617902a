//! The roster of an open room is the relay's word: everything that shows such a room says so. What a lying relay can do
//! with that is shown here as it is, beside what it can't.

use chat_core::api::command::InRoom;
use chat_core::api::event::RoomChanged;
use chat_core::api::{Command, ConversationKind, MessageState};
use chat_core::nick::RoomName;
use chat_core::wire::{Envelope, FromRelay, Recipient};
use chat_core::{Event, MessageId, PeerId};
use chat_hostile::forge::Forger;
use chat_hostile::lie::{self, Honest};
use chat_hostile::scene::identity;
use chat_hostile::{Desk, LOBBY, Scene, Stack};

use crate::support::with_each_key_exchange;

with_each_key_exchange!(
    a_member_is_hidden_from_the_beginning,
    a_known_member_is_hidden,
    a_member_is_added,
    everybody_is_told_another_roster,
    crowds_that_are_not_there,
    one_who_left_is_named_again,
);

fn lobby() -> RoomName {
    RoomName::new(LOBBY).unwrap()
}

/// To whom a message was sealed.
fn recipients(scene: &Scene, id: MessageId) -> Vec<PeerId> {
    let to = |envelope: &Envelope| match envelope.to {
        Recipient::Peer(peer) => peer,
        Recipient::Room(_) => panic!("a copy for each"),
    };
    let mut all: Vec<PeerId> =
        scene.relay.with(|desk| desk.submitted().iter().filter(|it| it.message == id).map(to).collect());
    all.sort();
    all.dedup();
    all
}

fn roster_with(peer: PeerId) -> impl FnMut(&Event) -> Option<RoomChanged> {
    move |event| match event {
        Event::RoomChanged(changed) if changed.members.contains(&peer) => Some(changed.clone()),
        _ => None,
    }
}

/// Known truth: who is hidden from the first moment gets nothing of an open room. It is visible: the sender's roster
/// lacks the name, and the message counts no recipient. P1, P2: nothing claims to be delivered; and once the relay names
/// the member, it gets what is said from then on.
async fn a_member_is_hidden_from_the_beginning(stack: Stack) {
    let mut scene = Scene::empty(stack, Honest).await;
    let bob = scene.id("bob");
    scene.relay.lie(lie::hide(bob));
    scene.add("bob");
    scene["bob"].wait_link_up().await;
    scene.add("alice");
    scene["alice"].wait_link_up().await;
    scene["alice"].wait("the roster", |event| matches!(event, Event::RoomChanged(_)).then_some(())).await;
    let id = scene["alice"].send(LOBBY, "is bob here?").await;
    let status = scene["alice"].wait_state(id, MessageState::Stored).await;
    assert_eq!((status.state, status.counts.map(|counts| counts.of)), (MessageState::Stored, Some(0)));
    assert!(!scene["alice"].members(LOBBY).await.contains(&bob), "as she sees");
    scene.relay.be_honest();
    scene["bob"].restart().await;
    scene["alice"].wait("bob in the roster", roster_with(bob)).await;
    scene["alice"].wait_seen(bob).await;
    let alice = scene.id("alice");
    scene["bob"].wait_seen(alice).await;
    scene.goes_on("alice", "bob").await;
    assert!(!scene["bob"].texts(LOBBY).await.iter().any(|text| text == "is bob here?"));
}

/// P2: a member who is known can't be hidden: only the member itself, or 30 days, ends a membership.
async fn a_known_member_is_hidden(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let bob = scene.id("bob");
    scene.relay.lie(lie::hide(bob));
    scene["alice"].restart().await;
    let id = scene["alice"].send(LOBBY, "bob is here").await;
    scene["bob"].wait_text("bob is here").await;
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    assert!(scene["alice"].members(LOBBY).await.contains(&bob));
    scene.relay.be_honest();
    scene["alice"].restart().await;
    scene.goes_on("alice", "bob").await;
}

/// Known truth: a relay can add whom it likes to an *open* room, and what is said there from then on is sealed for that
/// one too. It is shown: a changed roster that says `open`, and one more recipient. P4: direct messages go to
/// nobody else, and the text is still not the relay's to read.
async fn a_member_is_added(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let mallory = Forger::new(stack, identity("mallory"));
    let (alice, bob) = (scene.id("alice"), scene.id("bob"));
    scene.relay.with(|desk| {
        desk.say(alice, &FromRelay::Peer { bundle: mallory.signed("mallory"), online: true });
        desk.say(alice, &FromRelay::Room { room: lobby(), members: vec![alice, bob, mallory.id()] });
    });
    let changed = scene["alice"].wait("mallory in the roster", roster_with(mallory.id())).await;
    assert!(changed.open, "and that the relay names members stands beside it");
    let shown = scene["alice"].handle().snapshot();
    let shown = shown.conversation(changed.conversation).expect("the room is shown");
    assert!(
        matches!(&shown.with, ConversationKind::OpenRoom { members, .. } if members.contains(&mallory.id()))
    );
    let in_room = scene["alice"].send(LOBBY, "all of you").await;
    let direct = scene["alice"].send("bob", "you alone").await;
    scene["bob"].wait_text("you alone").await;
    let status = scene["alice"].wait_state(in_room, MessageState::Stored).await;
    assert_eq!(status.counts.map(|counts| counts.of), Some(2));
    let mut both = vec![bob, mallory.id()];
    both.sort();
    assert_eq!(recipients(&scene, in_room), both);
    assert_eq!(recipients(&scene, direct), [bob]);
    assert_ne!(
        scene["alice"].state(LOBBY, in_room).await,
        MessageState::Delivered,
        "mallory has not said so"
    );
    assert!(scene.relay.lies() >= 2);
    scene.says("alice", "bob", "and on").await;
    scene.says("bob", "alice", "and on").await;
}

/// Known truth: in an open room each member may be told another roster. Each sees the one it was told; nothing is shown to
/// anybody that its roster doesn't say. (In a closed room the hash of the roster in each message would tell.)
async fn everybody_is_told_another_roster(stack: Stack) {
    let mut scene = Scene::empty(stack, Honest).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|nick| scene.id(nick));
    // alice and carol don't hear of each other; bob hears of both.
    scene.relay.lie(lie::on_rosters(move |to, members| match to {
        _ if to == alice => members.into_iter().filter(|it| *it != carol).collect(),
        _ if to == carol => members.into_iter().filter(|it| *it != alice).collect(),
        _ => members,
    }));
    ["alice", "bob", "carol"].into_iter().for_each(|nick| scene.add(nick));
    for (nick, other) in [("alice", bob), ("bob", alice), ("bob", carol), ("carol", bob)] {
        scene[nick].wait_seen(other).await;
        scene[nick].wait("a member", roster_with(other)).await;
    }
    for nick in ["alice", "bob", "carol"] {
        let id = scene[nick].send(LOBBY, &format!("{nick} here")).await;
        scene[nick].wait_state(id, MessageState::Delivered).await;
    }
    for nick in ["alice", "carol"] {
        scene["bob"].wait_text(&format!("{nick} here")).await;
        scene[nick].wait_text("bob here").await;
    }
    assert!(!scene["alice"].members(LOBBY).await.contains(&carol));
    assert!(!scene["carol"].members(LOBBY).await.contains(&alice));
    assert!(!scene["carol"].texts(LOBBY).await.contains(&"alice here".to_owned()));
    assert!(!scene["alice"].texts(LOBBY).await.contains(&"carol here".to_owned()));
    scene.relay.be_honest();
    scene["alice"].restart().await;
    scene["carol"].wait("alice in the roster", roster_with(alice)).await;
    scene["alice"].wait("carol in the roster", roster_with(carol)).await;
    scene.goes_on("alice", "carol").await;
    scene.goes_on("alice", "bob").await;
}

/// P7: ten thousand members whom nobody knows, again and again, and in rooms nobody is in: nothing is sealed for them,
/// and nobody waits for them.
async fn crowds_that_are_not_there(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let alice = scene.id("alice");
    let somebody = |n: u32| {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        PeerId(id)
    };
    let nobody = RoomName::new("#nobody").unwrap();
    scene.relay.with(|desk| {
        for round in 0..3 {
            let members = (0..20_000).map(|n| somebody(round * 20_000 + n)).collect();
            desk.say(alice, &FromRelay::Room { room: lobby(), members });
            desk.say(alice, &FromRelay::Room { room: nobody.clone(), members: vec![somebody(round)] });
        }
    });
    let told = scene["alice"].wait("the crowd", roster_with(somebody(1))).await;
    assert!(told.members.len() <= 10_001, "a bound on what is believed: {}", told.members.len());
    let shown = scene["alice"].handle().snapshot();
    assert_eq!(shown.conversations.iter().filter(|it| it.name.starts_with('#')).count(), 1);
    scene.goes_on("alice", "bob").await;
    let all = scene.relay.with(|desk| desk.submitted().to_vec());
    assert!(!all.iter().any(|it| matches!(it.to, Recipient::Peer(peer) if peer.0[4..] == [7; 28])));
}

/// P1, P2: carol has left; the relay says she is still there. What is sealed for her she does not take, says so, and nobody
/// waits for her.
async fn one_who_left_is_named_again(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|nick| scene.id(nick));
    scene["carol"].run(Command::Leave(InRoom { room: lobby().into() })).await.unwrap();
    let without = move |event: &Event| {
        matches!(event, Event::RoomChanged(changed) if !changed.members.contains(&carol)).then_some(())
    };
    scene["alice"].wait("carol to be gone", without).await;
    scene.forget();
    scene
        .relay
        .with(|desk| desk.say(alice, &FromRelay::Room { room: lobby(), members: vec![alice, bob, carol] }));
    scene["alice"].wait("carol again", roster_with(carol)).await;
    let id = scene["alice"].send(LOBBY, "those who are here").await;
    let status = scene["alice"].wait_state(id, MessageState::Delivered).await;
    assert_eq!(status.state, MessageState::Delivered);
    let mut sealed_for = vec![bob, carol];
    sealed_for.sort();
    assert_eq!(recipients(&scene, id), sealed_for, "the lie worked so far");
    scene.says("alice", "carol", "fence").await;
    let texts = scene["carol"].new_texts();
    assert!(!texts.contains(&"those who are here".to_owned()), "{texts:?}");
    scene.relay.with(Desk::catch_up);
    scene.goes_on("alice", "bob").await;
}
