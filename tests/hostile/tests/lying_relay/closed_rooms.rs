//! The roster of a closed room is its members' word. A relay doesn't know that there is one; whatever it does with what it
//! carries, it adds nobody, hides nobody unseen, and brings nobody back.

use chat_core::api::command::{MemberOf, NewRoom};
use chat_core::api::event::AlarmKind;
use chat_core::api::{Command, MessageState, Reply};
use chat_core::wire::body::{ClosedText, RoomLog};
use chat_core::wire::membership::{Change, Operation, SignedOperation, copy_id, log_hash};
use chat_core::wire::{Body, Envelope, FromRelay, Plaintext, Recipient};
use chat_core::{ConversationId, Event, MessageId, PeerId};
use chat_hostile::forge::{Forger, fresh};
use chat_hostile::lie::{self, Honest};
use chat_hostile::scene::identity;
use chat_hostile::{Desk, Scene, Stack};

use crate::support::{fresh_id, with_each_key_exchange};

const DEN: &str = "#den";

with_each_key_exchange!(
    a_joiner_is_injected,
    an_old_admission_is_replayed,
    a_removal_is_withheld_from_one,
    a_member_is_hidden_from_one,
    members_are_shown_different_things,
    the_relay_sees_direct_messages_only,
);

fn of(peer: PeerId) -> MemberOf {
    MemberOf { room: DEN.parse().unwrap(), peer: peer.to_string().try_into().unwrap() }
}

/// alice makes a room and admits the others, who all know of all.
async fn den(scene: &mut Scene, others: &[&str]) -> ConversationId {
    let made =
        scene["alice"].run(Command::Create(NewRoom { room: DEN.to_owned().try_into().unwrap() })).await;
    let Ok(Reply::Created { conversation_id, .. }) = made else { panic!("{made:?}") };
    for other in others {
        let id = scene.id(other);
        scene["alice"].run(Command::Admit(of(id))).await.unwrap();
    }
    let last = scene.id(others[others.len() - 1]);
    for other in others {
        wait_member(scene, other, last, true).await;
    }
    conversation_id
}

/// Waits until somebody is told that another is, or is not, in the room.
async fn wait_member(scene: &mut Scene, who: &str, peer: PeerId, is_in: bool) {
    let told = move |event: &Event| match event {
        Event::RoomChanged(it) if it.room.to_string() == DEN => {
            (it.members.contains(&peer) == is_in).then_some(())
        }
        _ => None,
    };
    scene[who].wait(format!("{DEN} with or without somebody"), told).await;
}

async fn wait_roster_alarm(scene: &mut Scene, who: &str, peer: PeerId) -> String {
    let told = move |event: &Event| match event {
        Event::Alarm(it) if it.kind == AlarmKind::Roster && it.peer_id == Some(peer) => {
            Some(it.detail.clone())
        }
        _ => None,
    };
    scene[who].wait("an alarm about the roster", told).await
}

/// Whether a message was ever sealed for somebody.
fn sealed_for(scene: &Scene, room: ConversationId, message: MessageId, peer: PeerId) -> bool {
    let copy = copy_id(room, message, peer);
    let is_it =
        |it: &Envelope| it.to == Recipient::Peer(peer) && (it.message == copy || it.message == message);
    scene.relay.with(|desk| desk.submitted().iter().any(is_it))
}

/// Everybody reads what one says, and nobody else gets a copy.
async fn talk(scene: &mut Scene, room: ConversationId, who: &str, readers: &[&str], not_for: PeerId) {
    let text = format!("among us {}", fresh_id());
    let id = scene[who].send(DEN, &text).await;
    for reader in readers {
        scene[reader].wait_text(&text).await;
    }
    scene[who].wait_state(id, MessageState::Delivered).await;
    assert!(!sealed_for(scene, room, id, not_for));
}

/// P5: mallory, whom the relay puts into every roster of its own and whose bundle it spreads, says with operations and
/// texts of its own making that it is a member. Nobody seals anything for it, nobody shows what it writes.
async fn a_joiner_is_injected(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let [alice, bob] = ["alice", "bob"].map(|nick| scene.id(nick));
    let room = den(&mut scene, &["bob"]).await;
    talk(&mut scene, room, "alice", &["bob"], PeerId([0; 32])).await;
    let mallory = Forger::new(stack, identity("mallory"));
    let me = identity("mallory");
    let theirs = scene.relay.with(|desk| desk.bundle(alice).map(<[u8]>::to_vec)).unwrap();
    scene.relay.with(|desk| {
        desk.say(alice, &FromRelay::Peer { bundle: mallory.signed("mallory"), online: true });
        let members = vec![alice, bob, mallory.id()];
        for name in ["#lobby", DEN] {
            let room = name.to_owned().try_into().unwrap();
            desk.say(alice, &FromRelay::Room { room, members: members.clone() });
        }
    });
    let change = Change::Admit { peer: mallory.id() };
    let parents = vec![chat_core::wire::membership::OperationId([7; 32])];
    let author = *me.public().as_bytes();
    let admit = SignedOperation::sign(&Operation { room, author, parents, change }, &me);
    let log = log_hash(room, [admit.id()]);
    let mut talk_to_alice = mallory.begin(&mallory.signed("mallory"), &theirs);
    let message = MessageId(fresh());
    let text = ClosedText { roster: [0; 16], room, message, text: "I am one of you".into() };
    let plain = talk_to_alice.plaintext(Body::ClosedText(text));
    let plain = Plaintext { message: copy_id(room, message, alice), ..plain };
    let told = talk_to_alice.plaintext(Body::RoomLog(RoomLog { room, log, operations: vec![admit] }));
    let ask = talk_to_alice.plaintext(Body::RoomAsk(chat_core::wire::body::RoomAsk { room, log: [0; 16] }));
    for said in [told, plain, ask] {
        let said = talk_to_alice.seal(&said);
        scene.relay.with(|desk| desk.hand(alice, said));
    }
    let detail = wait_roster_alarm(&mut scene, "alice", mallory.id()).await;
    assert!(detail.contains("without being a member") && detail.contains(DEN), "{detail}");
    assert_eq!(scene["alice"].members(DEN).await.len(), 2);
    assert!(!scene["alice"].texts(DEN).await.contains(&"I am one of you".to_owned()));
    talk(&mut scene, room, "alice", &["bob"], mallory.id()).await;
    talk(&mut scene, room, "bob", &["alice"], mallory.id()).await;
}

/// P5: carol was admitted and removed. The relay gives everybody all it ever carried once more, as new envelopes.
async fn an_old_admission_is_replayed(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let carol = scene.id("carol");
    let room = den(&mut scene, &["bob", "carol"]).await;
    scene["alice"].run(Command::Remove(of(carol))).await.unwrap();
    for who in ["bob", "carol"] {
        wait_member(&mut scene, who, carol, false).await;
    }
    scene.relay.with(|desk| {
        for envelope in desk.submitted().to_vec() {
            let Recipient::Peer(to) = envelope.to else { continue };
            desk.hand(to, Envelope { id: fresh_id(), ..envelope });
        }
    });
    scene.says("alice", "bob", "fence").await;
    for who in ["alice", "bob"] {
        assert!(!scene[who].members(DEN).await.contains(&carol), "{who}");
    }
    talk(&mut scene, room, "alice", &["bob"], carol).await;
    talk(&mut scene, room, "bob", &["alice"], carol).await;
}

/// The relay keeps the removal of carol from bob. When he writes, alice is told who still takes carol for a member; and
/// both are of one mind again without further help.
async fn a_removal_is_withheld_from_one(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|nick| scene.id(nick));
    let room = den(&mut scene, &["bob", "carol"]).await;
    scene.forget();
    scene.relay.lie(lie::drop_envelopes(move |to, it| to == bob && it.from == alice));
    scene["alice"].run(Command::Remove(of(carol))).await.unwrap();
    wait_member(&mut scene, "carol", carol, false).await;
    assert!(scene["bob"].members(DEN).await.contains(&carol));
    scene["bob"].send(DEN, "all three of us").await;
    let detail = wait_roster_alarm(&mut scene, "alice", bob).await;
    assert!(detail.contains("still has carol"), "{detail}");
    scene.relay.be_honest();
    scene.relay.with(Desk::catch_up);
    wait_member(&mut scene, "bob", carol, false).await;
    scene.forget();
    talk(&mut scene, room, "bob", &["alice"], carol).await;
    talk(&mut scene, room, "alice", &["bob"], carol).await;
    assert!(!scene["carol"].told().iter().any(|event| matches!(event, Event::MessageNew(_))));
}

/// The relay keeps carol's admission from bob: what he writes lacks her, alice is told, and it is put right.
async fn a_member_is_hidden_from_one(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|nick| scene.id(nick));
    den(&mut scene, &["bob"]).await;
    scene.forget();
    scene.relay.lie(lie::drop_envelopes(move |to, it| to == bob && it.from == alice));
    scene["alice"].run(Command::Admit(of(carol))).await.unwrap();
    wait_member(&mut scene, "carol", carol, true).await;
    scene["bob"].send(DEN, "we two").await;
    let detail = wait_roster_alarm(&mut scene, "alice", bob).await;
    assert!(detail.contains("lacks carol"), "{detail}");
    scene.relay.be_honest();
    scene.relay.with(Desk::catch_up);
    wait_member(&mut scene, "bob", carol, true).await;
    let id = scene["bob"].send(DEN, "we three").await;
    scene["carol"].wait_text("we three").await;
    scene["bob"].wait_state(id, MessageState::Delivered).await;
    assert!(!scene["carol"].texts(DEN).await.contains(&"we two".to_owned()));
}

/// The relay tells each member other rosters of open rooms, and of one that is called like the closed one, and hides bob
/// from whoever asks. The closed room doesn't change for it.
async fn members_are_shown_different_things(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|nick| scene.id(nick));
    let room = den(&mut scene, &["bob", "carol"]).await;
    scene.relay.lie(lie::hide(bob));
    scene.relay.with(|desk| {
        for (to, members) in [(alice, vec![alice, carol]), (bob, vec![bob]), (carol, vec![])] {
            for name in ["#lobby", DEN] {
                let room = name.to_owned().try_into().unwrap();
                desk.say(to, &FromRelay::Room { room, members: members.clone() });
            }
        }
    });
    let restarted = scene["alice"].restart();
    restarted.await;
    let mut all = vec![alice, bob, carol];
    all.sort();
    for who in ["alice", "bob", "carol"] {
        let mut members = scene[who].members(DEN).await;
        members.sort();
        assert_eq!(members, all, "{who}");
    }
    talk(&mut scene, room, "alice", &["bob", "carol"], PeerId([0; 32])).await;
    scene.relay.lie(Honest);
}

/// P4: neither the name nor the id of the room, nor the same id twice: each envelope is that of a direct message.
async fn the_relay_sees_direct_messages_only(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let before = scene.relay.with(|desk| desk.submitted().len());
    let room = den(&mut scene, &["bob", "carol"]).await;
    let id = scene["alice"].send(DEN, "hush").await;
    scene["alice"].wait_state(id, MessageState::Delivered).await;
    let sent = scene.relay.with(|desk| desk.submitted()[before..].to_vec());
    assert!(sent.len() >= 6, "{}", sent.len());
    for envelope in sent {
        let Recipient::Peer(to) = envelope.to else { panic!("{envelope:?}") };
        let direct = chat_core::wire::envelope::direct_conversation(envelope.from, to);
        assert_eq!(envelope.conversation, direct);
        let bytes = envelope.encode();
        for secret in [&room.0[..], &id.0[..], DEN.as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}
