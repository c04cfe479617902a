//! Bits flipped, pieces cut off and put on, fields exchanged, sealed things put elsewhere.

use chat_core::api::event::AlarmKind;
use chat_core::nick::RoomName;
use chat_core::wire::envelope::{direct_conversation, open_room_conversation};
use chat_core::wire::{Envelope, Handshake};
use chat_core::{MessageId, PeerId, SessionId};
use chat_hostile::lie::Honest;
use chat_hostile::mangle;
use chat_hostile::{LOBBY, Scene, Stack};

use crate::support::{caught, fresh_id, sent, with_each_key_exchange};

with_each_key_exchange!(
    any_byte_of_a_frame,
    any_byte_of_a_first_message,
    fields_and_places,
    spliced_sessions,
);

/// Hands altered envelopes to bob, and one that was not altered; that is shown, and nothing before it.
async fn only_the_genuine_is_taken(scene: &mut Scene, altered: Vec<Envelope>, genuine: Envelope, text: &str) {
    let bob = scene.id("bob");
    assert!(!altered.is_empty());
    for envelope in altered {
        assert!(envelope != genuine);
        scene.relay.with(|desk| desk.hand(bob, Envelope { id: fresh_id(), ..envelope }));
    }
    scene["bob"].wait_alarm(AlarmKind::Tampered, "").await;
    scene.relay.with(|desk| desk.hand(bob, genuine));
    scene["bob"].wait_text(text).await;
    assert_eq!(scene["bob"].new_texts(), [text]);
    let suppressed =
        |more: &str| more.strip_prefix("and ").and_then(|it| it.split(' ').next()?.parse::<usize>().ok());
    let alarms = scene["bob"].alarms();
    assert!(alarms.iter().map(|it| suppressed(&it.detail).unwrap_or(1)).sum::<usize>() > 0);
    scene.goes_on("alice", "bob").await;
}

/// P5: any byte of a sealed frame.
async fn any_byte_of_a_frame(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob"]).await;
    let (_, genuine) = caught(&mut scene, "alice", "bob", "untouched").await;
    assert_eq!(genuine.handshake, None, "both ends have the session");
    let altered =
        mangle::alterations(&genuine.frame).into_iter().map(|frame| Envelope { frame, ..genuine.clone() });
    only_the_genuine_is_taken(&mut scene, altered.collect(), genuine.clone(), "untouched").await;
}

/// P5, P8: any byte of a first message: bundle, hash and what the key exchange made. The session's id is the relay's
/// to make up, so it is made to fit.
async fn any_byte_of_a_first_message(stack: Stack) {
    let mut scene = Scene::empty(stack, Honest).await;
    ["alice", "bob"].into_iter().for_each(|nick| scene.add(nick));
    let bob = scene.id("bob");
    scene["alice"].wait_seen(bob).await;
    let (_, genuine) = caught(&mut scene, "alice", "bob", "untouched").await;
    let handshake = genuine.handshake.clone().expect("it begins a session");
    let altered = mangle::alterations(&handshake).into_iter().flat_map(|handshake| {
        let session = Handshake::session_id(&handshake);
        let fits = Envelope { session, handshake: Some(handshake), ..genuine.clone() };
        [Envelope { session: genuine.session, ..fits.clone() }, fits]
    });
    only_the_genuine_is_taken(&mut scene, altered.collect(), genuine.clone(), "untouched").await;
}

/// P5: a direct message with a room's label, under another message's id, from somebody else, of another session; and a
/// room's message with the label of a direct one.
async fn fields_and_places(stack: Stack) {
    let mut scene = Scene::of(stack, &["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|nick| scene.id(nick));
    let lobby = open_room_conversation(&RoomName::new(LOBBY).unwrap());
    let of_carol = scene.says("carol", "bob", "carol's").await;
    let of_carol = sent(&scene, of_carol);
    let altered = |it: &Envelope, conversations: &[_]| {
        let mut all: Vec<Envelope> = Vec::new();
        all.extend(conversations.iter().map(|&conversation| Envelope { conversation, ..it.clone() }));
        all.push(Envelope { message: MessageId([7; 16]), ..it.clone() });
        all.push(Envelope { message: of_carol.message, ..it.clone() });
        all.push(Envelope { from: carol, ..it.clone() });
        all.push(Envelope { from: PeerId([9; 32]), ..it.clone() });
        all.push(Envelope { from: bob, ..it.clone() });
        all.push(Envelope { session: of_carol.session, ..it.clone() });
        all.push(Envelope { session: SessionId([9; 16]), ..it.clone() });
        all.push(Envelope { from: carol, session: of_carol.session, ..it.clone() });
        all.push(Envelope { frame: of_carol.frame.clone(), ..it.clone() });
        all
    };
    scene.forget();
    let (_, direct) = caught(&mut scene, "alice", "bob", "for bob").await;
    let elsewhere = [lobby, direct_conversation(alice, carol), direct_conversation(bob, carol)];
    let all = altered(&direct, &elsewhere);
    only_the_genuine_is_taken(&mut scene, all, direct, "for bob").await;
    scene.forget();
    let (_, in_room) = caught(&mut scene, "alice", LOBBY, "for all").await;
    let in_room = Envelope { to: chat_core::wire::Recipient::Peer(bob), ..in_room };
    let all = altered(&in_room, &[direct_conversation(alice, bob), direct_conversation(bob, carol)]);
    only_the_genuine_is_taken(&mut scene, all, in_room, "for all").await;
}

/// P5: the handshake of one session in front of the frame of another, both of the same two people.
async fn spliced_sessions(stack: Stack) {
    let mut scene = Scene::empty(stack, Honest).await;
    ["alice", "bob"].into_iter().for_each(|nick| scene.add(nick));
    let [alice, bob] = ["alice", "bob"].map(|nick| scene.id(nick));
    scene["alice"].wait_seen(bob).await;
    scene["bob"].wait_seen(alice).await;
    // Both begin at once, so there are two sessions.
    let (_, there) = caught(&mut scene, "alice", "bob", "there").await;
    let (_, back) = caught(&mut scene, "bob", "alice", "back").await;
    let splice = |handshake: &Envelope, frame: &Envelope| Envelope {
        session: handshake.session,
        handshake: handshake.handshake.clone(),
        ..frame.clone()
    };
    let altered = vec![splice(&back, &there), Envelope { frame: back.frame.clone(), ..there.clone() }];
    let alice_has_hers = back.clone();
    scene.relay.with(|desk| desk.hand(alice, alice_has_hers));
    scene["alice"].wait_text("back").await;
    only_the_genuine_is_taken(&mut scene, altered, there, "there").await;
}
