//! Trust: verified keys, names that move by the user alone, pins, blocks, downgrades, a policy of verified peers.

use chat_core::api::command::{AcceptKey, AcceptKind, Confirm, MarkRead, OfPeer, Verification, Verify};
use chat_core::api::snapshot::Held;
use chat_core::api::{Command, CommandError, Destination, ErrorKind, Event, MessageState, PeerView, Reply};
use chat_core::ids::{MessageId, PeerId};
use chat_core::nick::Nick;
use chat_core::profile::Pin;

use super::world::World;
use crate::config::Rules;
use crate::engine::MINUTE_MS;

fn to(whom: &str) -> Destination {
    Destination::try_from(whom.to_owned()).unwrap()
}

fn verify(world: &mut World, whom: &str, confirm: Option<Confirm>) -> Result<Verification, CommandError> {
    match world.run("alice", Command::Verify(Verify { peer: to(whom), confirm }))? {
        Reply::Verification(verification) => Ok(verification),
        other => panic!("{other:?}"),
    }
}

fn accept(world: &mut World, whom: &str, kind: Option<AcceptKind>) -> Result<String, CommandError> {
    match world.run("alice", Command::AcceptKey(AcceptKey { peer: to(whom), kind }))? {
        Reply::Decided { said } => Ok(said),
        other => panic!("{other:?}"),
    }
}

fn said(text: &str) -> Option<Confirm> {
    Some(Confirm::Said(text.to_owned()))
}

fn view(world: &mut World, peer: PeerId) -> PeerView {
    world.snapshot("alice").peer(peer).map(|peer| (**peer).clone()).unwrap()
}

/// The state of one of alice's messages, and what stands beside it.
fn told(world: &mut World, id: MessageId) -> (MessageState, Option<String>) {
    let life = world.person("alice").events.iter().rev().find_map(|event| match event {
        Event::MessageStatus(status) if status.id == id => Some((status.state, status.reason.clone())),
        _ => None,
    });
    life.unwrap()
}

fn alarms(world: &mut World, kind: &str) -> usize {
    world.alarms("alice").iter().filter(|alarm| alarm.starts_with(kind)).count()
}

/// bob goes, and somebody with another key is bob. Gives both ids, and what the newcomer is called.
fn bob_comes_back(world: &mut World) -> (PeerId, PeerId, String) {
    world.disconnect("bob");
    world.add("new bob", "bob", 77, "aes-256-gcm");
    world.settle();
    world.pass(6_000);
    let (old, new) = (world.id("bob"), world.id("new bob"));
    (old, new, format!("bob·{}", new.short()))
}

#[test]
fn both_ends_compare_one_number_and_the_mark_is_of_the_key() {
    let mut world = World::of(&["alice", "bob"]);
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let first = verify(&mut world, "bob", None).unwrap();
    assert!(!first.verified && first.peer_id == bob && first.safety_number.len() == 60);
    let theirs = world.run("bob", Command::Verify(Verify { peer: to("alice"), confirm: None }));
    let Ok(Reply::Verification(theirs)) = theirs else { panic!() };
    assert_eq!((&theirs.safety_number, &theirs.qr), (&first.safety_number, &first.qr));
    assert!(
        first.qr.starts_with("01")
            && first.qr.contains(&alice.to_string())
            && first.qr.contains(&bob.to_string())
    );

    let wrong = first.safety_number.replace('1', "2");
    assert_eq!(verify(&mut world, "bob", said(&wrong)).unwrap_err().kind, ErrorKind::Mismatch);
    assert_eq!(verify(&mut world, "bob", said(&"ab".repeat(65))).unwrap_err().kind, ErrorKind::Mismatch);
    assert_eq!(verify(&mut world, "bob", said("maybe")).unwrap_err().kind, ErrorKind::BadParams);
    assert!(!view(&mut world, bob).verified);
    for yes in
        [said(&first.safety_number), said(&first.qr.to_uppercase()), said("yes"), Some(Confirm::Is(true))]
    {
        assert!(verify(&mut world, "bob", yes).unwrap().verified);
        assert!(verify(&mut world, "bob", None).unwrap().verified);
        world.crash("alice");
        world.connect("alice");
        assert!(view(&mut world, bob).verified, "it is durable");
        assert!(!verify(&mut world, "bob", said("no")).unwrap().verified);
    }
    assert!(verify(&mut world, "bob", said("yes")).unwrap().verified);
    // Whatever its owner calls himself, it is his key.
    world.person("bob").rename("robert");
    world.crash("bob");
    world.connect("bob");
    world.settle();
    assert!(verify(&mut world, "robert", None).unwrap().verified);
    let id = world.send("bob", "alice", "hello");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered);
    let snapshot = world.snapshot("alice");
    let message = snapshot.conversations.iter().flat_map(|it| &it.messages).find(|it| it.id == id).unwrap();
    assert!(message.from.verified);
}

#[test]
fn a_contact_that_comes_back_with_another_key_gets_nothing_until_the_user_decides() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    verify(&mut world, "bob", said("yes")).unwrap();
    let (old, new, name) = bob_comes_back(&mut world);
    let changed = world.person("alice").events.iter().find_map(|event| match event {
        Event::PeerKeyChanged(changed) => Some(changed.clone()),
        _ => None,
    });
    let changed = changed.unwrap();
    assert_eq!((changed.known, changed.peer_id, changed.held), (old, new, true));
    let sealed = world.relay.record.len();
    let id = world.send("alice", &old.to_string(), "secret");
    world.settle();
    let (state, reason) = told(&mut world, id);
    assert_eq!(state, MessageState::Queued);
    assert!(reason.as_ref().unwrap().contains(&format!("/accept {name}")), "{reason:?}");
    assert_eq!(world.relay.record.len(), sealed, "nothing is sealed for him");
    let shown = view(&mut world, old);
    assert_eq!((shown.held, shown.verified), (Some(Held::KeyChanged), true));
    assert!(!view(&mut world, new).verified);
    // It is not forgotten.
    world.crash("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(world.relay.record.iter().filter(|it| it.message == id).count(), 0);
    assert_eq!(view(&mut world, old).held, Some(Held::KeyChanged));
    // The newcomer is somebody else, to whom one may write as such.
    let other = world.send("alice", &name, "who are you?");
    world.settle();
    assert_eq!(world.state("alice", other), MessageState::Delivered);
    assert_eq!(world.texts("new bob", "alice"), ["who are you?"]);
}

#[test]
fn the_name_moves_by_the_user_alone_and_takes_no_trust_with_it() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    verify(&mut world, "bob", said("yes")).unwrap();
    let (old, new, name) = bob_comes_back(&mut world);
    let id = world.send("alice", &old.to_string(), "secret");
    verify(&mut world, &name, said("yes")).unwrap();
    let said = accept(&mut world, &name, None).unwrap();
    assert!(said.contains(&new.to_string()) && said.contains("unverified"), "{said}");
    let (old_view, new_view) = (view(&mut world, old), view(&mut world, new));
    assert_eq!((new_view.nick.as_str(), new_view.verified, new_view.held), ("bob", false, None));
    assert_eq!(
        (old_view.nick, old_view.verified, old_view.held),
        (format!("bob·{}", old.short()), false, None)
    );
    // What waited has failed visibly, and can be sent again to whom the user means.
    let (state, reason) = told(&mut world, id);
    assert_eq!(state, MessageState::Failed);
    assert!(reason.unwrap().contains("another key now"));
    world.connect("bob");
    for _ in 0..2 {
        world.crash("alice");
        world.connect("alice");
        world.settle();
        assert_eq!(view(&mut world, new).nick, "bob", "also after a restart, with both there");
        assert_eq!(view(&mut world, old).nick, format!("bob·{}", old.short()));
    }
    assert_eq!(accept(&mut world, &new.to_string(), None).unwrap_err().kind, ErrorKind::NotAllowed);
}

#[test]
fn whoever_has_the_name_keeps_it_if_the_user_says_so_and_what_waited_arrives() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    let (old, _, _) = bob_comes_back(&mut world);
    let id = world.send("alice", &old.to_string(), "secret");
    // By the name alone: whom it is shown for now.
    accept(&mut world, "bob", None).unwrap();
    world.connect("bob");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice"), ["before", "secret"]);
    assert_eq!(world.texts("new bob", "alice"), [""; 0]);
    assert_eq!(told(&mut world, id).1, None);
    // A third one holds up nothing any more; he is kept apart, and told of.
    world.disconnect("bob");
    world.add("third", "bob", 78, "aes-256-gcm");
    world.settle();
    let id = world.send("alice", &old.to_string(), "more");
    assert_eq!(told(&mut world, id), (MessageState::Stored, None));
}

/// E19: two people of one name are two, and nobody waits.
#[test]
fn two_of_one_name_who_are_there_hold_up_nothing() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    world.add("new bob", "bob", 77, "aes-256-gcm");
    world.settle();
    let old = world.id("bob");
    let id = world.send("alice", &old.to_string(), "to the first");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    // He was heard from, so he may go.
    world.disconnect("bob");
    assert_eq!(view(&mut world, old).held, None);
    // alice comes back and hears of a third bob before she hears that the first is there.
    world.disconnect("alice");
    world.connect("bob");
    world.add("third", "bob", 1, "aes-256-gcm");
    let third = world.id("third");
    assert_ne!(third, old);
    world.connect("alice");
    world.settle();
    assert_eq!(view(&mut world, old).held, None);
}

/// A relay notices late that somebody has gone.
#[test]
fn one_who_seemed_to_be_there_and_was_not_is_asked_about_when_he_goes() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    world.add("new bob", "bob", 77, "aes-256-gcm");
    world.settle();
    let old = world.id("bob");
    assert_eq!(view(&mut world, old).held, None);
    world.disconnect("bob");
    assert_eq!(view(&mut world, old).held, Some(Held::KeyChanged));
    let id = world.send("alice", &old.to_string(), "secret");
    assert_eq!(told(&mut world, id).0, MessageState::Queued);
    let asked = |event: &&Event| matches!(event, Event::PeerKeyChanged(changed) if changed.held);
    assert_eq!(world.person("alice").events.iter().filter(asked).count(), 1);
}

fn pinned(nick: &str, fingerprint: PeerId) -> Rules {
    Rules { pins: vec![Pin { nick: Nick::new(nick).unwrap(), fingerprint }], ..Rules::default() }
}

#[test]
fn a_pinned_nick_belongs_to_its_key() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.id("bob");
    world.disconnect("bob");
    world.person("alice").take_profile("x25519", pinned("bob", bob));
    world.crash("alice");
    world.connect("alice");
    let shown = view(&mut world, bob);
    assert!(shown.verified && shown.pinned);
    assert_eq!(verify(&mut world, "bob", said("no")).unwrap_err().kind, ErrorKind::NotAllowed);
    world.add("mallory", "bob", 77, "aes-256-gcm");
    world.settle();
    let mallory = world.id("mallory");
    let name = format!("bob·{}", mallory.short());
    assert_eq!(view(&mut world, mallory).held, Some(Held::Pinned));
    assert_eq!(alarms(&mut world, "Refused"), 1);
    assert_eq!(view(&mut world, bob).held, None, "the pin has decided");
    let refused = world.try_send("alice", &name, "secret").unwrap_err();
    assert!(
        refused.kind == ErrorKind::NotAllowed && refused.message.contains("pins the nick bob"),
        "{refused}"
    );
    let id = world.send("mallory", "alice", "it's me, bob");
    world.settle();
    assert_eq!(world.texts("alice", &name), [""; 0]);
    assert_ne!(world.state("mallory", id), MessageState::Delivered);
    assert_eq!(accept(&mut world, &name, None).unwrap_err().kind, ErrorKind::NotAllowed);
    world.connect("bob");
    let id = world.send("alice", &bob.to_string(), "hello");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

/// Also if somebody else had the name first, and if nobody of the pinned key was ever seen.
#[test]
fn a_pin_takes_a_name_back() {
    let mut world = World::new();
    world.add("alice", "alice", 1, "aes-256-gcm");
    world.add("mallory", "bob", 77, "aes-256-gcm");
    world.settle();
    let (mallory, bob) = (world.id("mallory"), chat_core::identity::Identity::from_seed(&[2; 32]).peer_id());
    assert_eq!(view(&mut world, mallory).nick, "bob");
    world.person("alice").take_profile("x25519", pinned("bob", bob));
    world.crash("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(view(&mut world, mallory).nick, format!("bob·{}", mallory.short()));
    world.add("bob", "bob", 2, "aes-256-gcm");
    world.settle();
    let shown = view(&mut world, bob);
    assert_eq!((shown.nick.as_str(), shown.verified), ("bob", true));
    // A stranger's first message, of whom the directory has said nothing.
    world.quiet = true;
    world.add("eve", "bob", 78, "aes-256-gcm");
    let alice = world.id("alice").to_string();
    world.try_send("eve", &alice, "hello").unwrap_err();
    let id = world.send("eve", &alice, "it's me, bob");
    world.settle();
    assert_ne!(world.state("eve", id), MessageState::Delivered);
}

#[test]
fn who_is_blocked_is_neither_heard_nor_answered_until_unblocked() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    let bob = world.id("bob");
    world.run("alice", Command::Block(OfPeer { peer: to("bob") })).unwrap();
    assert_eq!(world.try_send("alice", "bob", "x").unwrap_err().kind, ErrorKind::NotAllowed);
    let direct = world.send("bob", "alice", "hello?");
    let room = world.send("bob", "#lobby", "hello all");
    world.settle();
    assert_eq!(
        (world.texts("alice", "bob"), world.texts("alice", "#lobby")),
        (vec!["before".to_owned()], vec![])
    );
    assert_eq!(world.state("bob", direct), MessageState::Stored);
    world.crash("alice");
    world.connect("alice");
    assert_eq!(view(&mut world, bob).held, Some(Held::Blocked));
    let mine = world.send("alice", "#lobby", "without him");
    assert_eq!(world.state("alice", mine), MessageState::Stored, "he is no recipient");
    assert_eq!(world.alarms("alice"), [""; 0]);
    world.run("alice", Command::Unblock(OfPeer { peer: to("bob") })).unwrap();
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["before", "hello?"], "he still had it");
    assert_eq!(world.state("bob", direct), MessageState::Delivered);
    assert_eq!(world.state("bob", room), MessageState::Delivered);
}

#[test]
fn a_property_that_was_had_and_is_missing_is_refused_until_the_user_agrees() {
    let mut world = World::over("x25519-ratchet", &["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    let bob = world.id("bob");
    for who in ["alice", "bob"] {
        world.disconnect(who);
        world.person(who).take_profile("x25519", Rules::default());
        world.crash(who);
        world.connect(who);
    }
    world.pass(1_000);
    world.settle();
    assert_eq!(alarms(&mut world, "Downgrade: forward secrecy, healing was had with bob"), 1);
    let id = world.send("alice", "bob", "secret");
    let theirs = world.send("bob", "alice", "hello");
    world.settle();
    let (state, reason) = told(&mut world, id);
    assert_eq!(state, MessageState::Queued);
    assert!(reason.as_ref().unwrap().contains("/accept bob downgrade"), "{reason:?}");
    assert_eq!(view(&mut world, bob).held, Some(Held::Downgrade));
    assert_eq!(world.texts("alice", "bob"), ["before", "secret"], "nor is he heard");
    assert!(world.relay.record.iter().all(|it| it.message != id));
    assert_eq!(accept(&mut world, "bob", Some(AcceptKind::Key)).unwrap_err().kind, ErrorKind::NotAllowed);
    accept(&mut world, "bob", Some(AcceptKind::Downgrade)).unwrap();
    // bob decides for himself.
    world.run("bob", Command::AcceptKey(AcceptKey { peer: to("alice"), kind: None })).unwrap();
    world.settle();
    for (who, id) in [("alice", id), ("bob", theirs)] {
        assert_eq!(world.state(who, id), MessageState::Delivered);
    }
    // What was given up is not asked for again; what is had again is.
    assert_eq!(accept(&mut world, "bob", None).unwrap_err().kind, ErrorKind::NotAllowed);
    world.crash("alice");
    world.connect("alice");
    assert_eq!(view(&mut world, bob).held, None);
}

/// Both change, one after the other, and in either order; what was on its way arrives, and nobody is told of anything.
#[test]
fn a_better_stack_is_no_downgrade() {
    for order in [["alice", "bob"], ["bob", "alice"]] {
        let mut world = World::of(&["alice", "bob"]);
        world.send("alice", "bob", "before");
        world.settle();
        for who in order {
            world.disconnect(who);
        }
        let on_its_way = [world.send("alice", "bob", "to bob"), world.send("bob", "alice", "to alice")];
        for who in order {
            world.person(who).take_profile("x25519-ratchet", Rules::default());
            world.crash(who);
            world.connect(who);
            // The other one comes later.
            world.live(90_000);
        }
        let id = world.send("alice", "bob", "after");
        world.live(3 * MINUTE_MS);
        assert_eq!(world.state("alice", id), MessageState::Delivered);
        assert_eq!(world.state("alice", on_its_way[0]), MessageState::Delivered);
        assert_eq!(world.state("bob", on_its_way[1]), MessageState::Delivered);
        for who in order {
            assert_eq!(world.alarms(who), [""; 0], "{who} of {order:?}");
        }
    }
}

/// A first message that waits in the mailbox while both change is of the old stack.
#[test]
fn a_first_message_from_before_both_changed_is_no_downgrade() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("alice");
    let first = world.send("bob", "alice", "first");
    world.disconnect("bob");
    for who in ["alice", "bob"] {
        world.person(who).take_profile("x25519-ratchet", Rules::default());
        world.crash(who);
        world.connect(who);
        world.settle();
    }
    world.live(3 * MINUTE_MS);
    assert_eq!(world.state("bob", first), MessageState::Delivered);
    for who in ["alice", "bob"] {
        assert_eq!(world.alarms(who), [""; 0], "{who}");
    }
}

/// Only alice changes: bob is there all the time, with what he had.
#[test]
fn a_peer_that_did_not_change_as_well_is_told_of() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    world.disconnect("alice");
    world.person("alice").take_profile("x25519-ratchet", Rules::default());
    world.crash("alice");
    world.connect("alice");
    world.live(59_000);
    assert_eq!(alarms(&mut world, "Downgrade: another stack"), 0);
    // bob sees the new keys of alice at once.
    assert_eq!(world.alarms("bob").iter().filter(|it| it.contains("key_exchange.kind")).count(), 1);
    world.live(2 * MINUTE_MS);
    assert_eq!(alarms(&mut world, "Downgrade: another stack: key_exchange.kind"), 1);
    let error = world.try_send("alice", "bob", "hello").unwrap_err();
    assert!(error.message.contains("key_exchange.kind"), "{error}");
}

#[test]
fn under_the_policy_nothing_is_sealed_for_whom_was_not_verified() {
    let mut world = World::of(&["bob", "carol"]);
    world.add("alice", "alice", 9, "aes-256-gcm");
    world.settle();
    let early = world.send("alice", "carol", "early");
    world.settle();
    let rules = Rules { verified_peers: true, ..Rules::default() };
    world.person("alice").take_profile("x25519", rules);
    world.crash("alice");
    world.connect("alice");
    world.settle();
    let sealed = world
        .relay
        .record
        .iter()
        .filter(|it| it.from == world.people["alice"].engine.config.identity.peer_id());
    let sealed = sealed.count();
    let refused = world.try_send("alice", "bob", "secret").unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unverified);
    assert!(refused.message.contains("/verify bob"), "{refused}");
    let id = world.send("alice", "#lobby", "anybody?");
    assert_eq!(world.state("alice", id), MessageState::Stored, "to nobody");
    let theirs = world.send("bob", "alice", "hello");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["hello"]);
    let snapshot = world.snapshot("alice");
    let all: Vec<_> = snapshot.conversations.iter().flat_map(|it| &it.messages).collect();
    assert!(all.iter().any(|it| it.text == "hello" && !it.from.verified));
    assert_eq!(world.state("bob", theirs), MessageState::Stored, "not even a receipt");
    let me = world.id("alice");
    assert_eq!(world.relay.record.iter().filter(|it| it.from == me).count(), sealed);
    verify(&mut world, "bob", said("yes")).unwrap();
    world.settle();
    assert_eq!(world.state("bob", theirs), MessageState::Delivered);
    let id = world.send("alice", "bob", "secret");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.state("alice", early), MessageState::Delivered);
}

#[test]
fn read_receipts_can_be_switched_off() {
    let mut world = World::of(&["alice", "bob"]);
    world.person("bob").take_profile("x25519", Rules { read_receipts: false, ..Rules::default() });
    world.crash("bob");
    world.connect("bob");
    let id = world.send("alice", "bob", "hello");
    world.settle();
    world.run("bob", Command::MarkRead(MarkRead { with: to("alice"), up_to: None })).unwrap();
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.snapshot("bob").conversations.iter().map(|view| view.unread).sum::<u32>(), 0);
}

#[test]
fn without_padding_the_length_shows() {
    let mut world = World::of(&["alice", "bob"]);
    let mut lengths = |padding: bool| {
        world.person("alice").take_profile("x25519", Rules { padding, ..Rules::default() });
        world.crash("alice");
        world.connect("alice");
        world.settle();
        ["a", "and longer by some"].map(|text| {
            let id = world.send("alice", "bob", text);
            world.settle();
            assert_eq!(world.state("alice", id), MessageState::Delivered);
            world.relay.record.iter().find(|it| it.message == id).unwrap().frame.len()
        })
    };
    let [short, long] = lengths(true);
    assert_eq!(short, long);
    let [short, long] = lengths(false);
    assert_eq!(short + 17, long);
}
