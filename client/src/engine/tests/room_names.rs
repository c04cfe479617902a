//! Names of rooms: strangers take none from anybody, and a room that was left keeps none.

use chat_core::api::command::{NewRoom, Search};
use chat_core::api::{Command, ConversationKind, Destination, ErrorKind, Event, MessageState, Reply};
use chat_core::ids::ConversationId;
use chat_core::nick::RoomName;
use chat_core::room::RoomAddress;
use chat_core::wire::envelope::open_room_conversation;

use super::closed_rooms::at;
use super::world::World;

const NAME: &str = "#general";

fn name() -> RoomName {
    RoomName::new(NAME).unwrap()
}

fn open() -> ConversationId {
    open_room_conversation(&name())
}

/// The name with the first digits of a room's id.
fn digits(id: ConversationId) -> String {
    RoomAddress::with_digits(name(), id, 4).to_string()
}

impl World {
    /// What somebody calls a room that he is in.
    fn called(&mut self, who: &str, room: ConversationId) -> Option<String> {
        self.snapshot(who).conversation(room).map(|view| view.name.clone())
    }

    /// Somebody makes a closed room and brings alice into it.
    fn bring(&mut self, who: &str, room: &str) -> ConversationId {
        let (address, id) = self.create(who, room);
        self.admit(who, &address, "alice").unwrap();
        self.settle();
        id
    }

    fn join(&mut self, who: &str, room: &str) -> Result<Reply, chat_core::api::CommandError> {
        let done = self.run(who, Command::Join(at(room)));
        self.settle();
        done
    }

    /// What alice writes to the name is read in the open room, by bob, and not by mallory.
    fn writes_to_the_open_one(&mut self, text: &str) {
        let id = self.send("alice", NAME, text);
        self.settle();
        assert_eq!(self.state("alice", id), MessageState::Delivered);
        assert_eq!(self.texts("bob", NAME).last().unwrap(), text);
        let mallorys = self.snapshot("mallory").conversations;
        let closed = |kind: &ConversationKind| matches!(kind, ConversationKind::ClosedRoom { .. });
        assert!(mallorys.iter().filter(|view| closed(&view.with)).all(|view| view.messages.is_empty()));
    }
}

fn people() -> World {
    let mut world = World::of(&["alice", "bob", "mallory"]);
    world.join("bob", NAME).unwrap();
    world
}

/// The profile of somebody, from its next start on.
fn with_profile(world: &mut World, who: &str, rooms: &[&str]) {
    let rooms = rooms.iter().map(|room| RoomName::new(*room).unwrap()).collect();
    world.person(who).take_rooms(rooms);
    world.crash(who);
    world.connect(who);
    world.settle();
}

#[test]
fn a_name_of_the_profile_is_the_open_rooms_whatever_came_first() {
    let mut world = people();
    let mallorys = world.bring("mallory", NAME);
    assert_eq!(world.called("alice", mallorys).unwrap(), NAME, "nobody else is called so");
    with_profile(&mut world, "alice", &["#lobby", NAME]);
    assert_eq!(world.called("alice", mallorys).unwrap(), digits(mallorys));
    world.writes_to_the_open_one("from the profile");
    // Left, it is hers all the same: others get digits, and it comes back at the next start.
    world.run("alice", Command::Leave(at(NAME))).unwrap();
    world.settle();
    let again = world.bring("mallory", NAME);
    assert_eq!(world.called("alice", again).unwrap(), digits(again));
    let (own, _) = world.create("alice", NAME);
    assert_ne!(own, NAME);
    assert_eq!(world.try_send("alice", NAME, "anybody?").unwrap_err().kind, ErrorKind::NotFound);
    for _ in 0..2 {
        world.crash("alice");
        world.connect("alice");
        world.settle();
        world.writes_to_the_open_one("after a start");
    }
}

#[test]
fn a_room_of_a_stranger_makes_way_for_the_open_one_that_is_joined() {
    let mut world = people();
    let mallorys = world.bring("mallory", NAME);
    world.join("alice", NAME).unwrap();
    assert_eq!(world.called("alice", open()).unwrap(), NAME);
    assert_eq!(world.called("alice", mallorys).unwrap(), digits(mallorys));
    let told = |event: &Event| matches!(event, Event::RoomChanged(it) if it.conversation == mallorys && it.room.plain().is_none());
    assert!(world.person("alice").events.iter().any(told));
    world.writes_to_the_open_one("to the open one");
    assert_eq!(world.members("alice", &digits(mallorys)), ["alice", "mallory"]);
    world.crash("alice");
    world.connect("alice");
    world.settle();
    world.writes_to_the_open_one("after a start");
}

#[test]
fn in_the_other_order_the_stranger_gets_digits_too() {
    let mut world = people();
    world.join("alice", NAME).unwrap();
    let mallorys = world.bring("mallory", NAME);
    assert_eq!(world.called("alice", mallorys).unwrap(), digits(mallorys));
    // What was left is nobody's but its own.
    world.run("alice", Command::Leave(at(NAME))).unwrap();
    let again = world.bring("mallory", NAME);
    assert_eq!(world.called("alice", again).unwrap(), digits(again));
    let error = world.try_send("alice", NAME, "hello?").unwrap_err();
    assert!(
        error.kind == ErrorKind::NotFound && error.message.contains("you have left #general; /join"),
        "{error}"
    );
    world.join("alice", NAME).unwrap();
    world.writes_to_the_open_one("back again");
}

#[test]
fn a_room_of_ones_own_choice_keeps_its_name_and_the_open_one_has_digits() {
    let mut world = people();
    let (own, id) = world.create("alice", NAME);
    assert_eq!(own, NAME);
    // Said of the room that is called so: one is in it.
    world.join("alice", NAME).unwrap();
    assert_eq!((world.called("alice", id).unwrap(), world.called("alice", open())), (NAME.to_owned(), None));
    let mallorys = world.bring("mallory", NAME);
    assert_eq!(world.called("alice", mallorys).unwrap(), digits(mallorys));
    world.join("alice", &digits(open())).unwrap();
    assert_eq!(world.called("alice", open()).unwrap(), digits(open()));
    world.send("alice", &digits(open()), "to all");
    world.settle();
    assert_eq!(world.texts("bob", NAME), ["to all"]);
    // Once it is left, the name is free for whoever asks for it.
    world.run("alice", Command::Leave(at(NAME))).unwrap();
    assert_eq!(world.called("alice", open()).unwrap(), digits(open()), "no name moves by itself");
    world.join("alice", NAME).unwrap();
    assert_eq!(world.called("alice", open()).unwrap(), NAME);
    world.writes_to_the_open_one("by its name");
    assert!(
        world.send("alice", &digits(open()), "by digits") != Default::default(),
        "which go on to mean it"
    );
}

#[test]
fn a_room_of_a_stranger_that_one_writes_in_is_chosen() {
    let mut world = people();
    let mallorys = world.bring("mallory", NAME);
    world.send("alice", NAME, "who are you?");
    world.settle();
    world.join("alice", NAME).unwrap();
    assert_eq!(
        (world.called("alice", mallorys).unwrap(), world.called("alice", open())),
        (NAME.to_owned(), None)
    );
}

#[test]
fn what_a_friend_brings_has_its_name_before_what_a_stranger_brings() {
    let mut world = people();
    let mallorys = world.bring("mallory", NAME);
    world.send("alice", "bob", "make us a room");
    world.settle();
    let bobs = world.bring("bob", NAME);
    assert_eq!(world.called("alice", bobs).unwrap(), NAME);
    assert_eq!(world.called("alice", mallorys).unwrap(), digits(mallorys));
    // And not the other way round, however often.
    let more = world.bring("mallory", NAME);
    assert_eq!(world.called("alice", more).unwrap(), digits(more));
    assert_eq!(world.called("alice", bobs).unwrap(), NAME);
}

/// Left, declined, or removed from: it is the same.
#[test]
fn a_closed_room_that_one_is_not_in_any_more_frees_its_name_and_keeps_its_history() {
    for removed in [false, true] {
        let mut world = people();
        let mallorys = world.bring("mallory", NAME);
        let address = world.called("mallory", mallorys).unwrap();
        world.send("mallory", &address, "an old word");
        world.settle();
        if removed {
            world.remove("mallory", &address, "alice").unwrap();
            world.settle();
        } else {
            world.run("alice", Command::Leave(at(NAME))).unwrap();
        }
        // Nobody wants the name yet.
        assert_eq!(world.all_messages("alice", NAME), [("mallory".to_owned(), "an old word".to_owned())]);
        let error = world.try_send("alice", NAME, "x").unwrap_err();
        assert!(error.message.contains("closed room") && !error.message.contains("/join"), "{error}");
        let new = NewRoom { room: name() };
        let Ok(Reply::Created { room, .. }) = world.run("alice", Command::Create(new)) else { panic!() };
        assert_eq!(room.to_string(), NAME);
        assert!(world.all_messages("alice", NAME).is_empty());
        let old = [("mallory".to_owned(), "an old word".to_owned())];
        assert_eq!(world.all_messages("alice", &digits(mallorys)), old);
        assert_eq!(world.all_messages("alice", &mallorys.to_string()), old);
        let search = Search { query: "word".to_owned(), with: None, limit: None };
        let Ok(Reply::Found { messages, .. }) = world.run("alice", Command::Search(search)) else { panic!() };
        assert_eq!(messages[0].address, Destination::Room(digits(mallorys).parse().unwrap()));
        world.crash("alice");
        assert_eq!(world.all_messages("alice", &digits(mallorys)), old);
    }
}

#[test]
fn after_leaving_a_closed_room_the_open_one_of_its_name_can_be_joined() {
    let mut world = people();
    let mallorys = world.bring("mallory", NAME);
    world.run("alice", Command::Leave(at(NAME))).unwrap();
    world.join("alice", NAME).unwrap();
    world.writes_to_the_open_one("to the open one");
    // Brought back, it is where its digits say.
    world.remove("mallory", &digits(mallorys), "alice").unwrap_err();
    let address = world.called("mallory", mallorys).unwrap();
    world.admit("mallory", &address, "alice").unwrap();
    world.settle();
    assert_eq!(world.called("alice", mallorys).unwrap(), digits(mallorys));
    world.writes_to_the_open_one("still");
}

/// Advice that is followed must not lead into a room that nobody knows of.
#[test]
fn a_slip_of_the_pen_is_not_answered_by_advice_to_join() {
    let mut world = World::of(&["alice", "bob"]);
    world.den(&["alice", "bob"]);
    let commands = [
        Command::Members(at("#dne")),
        Command::Leave(at("#dne")),
        Command::Admit(super::closed_rooms::of("#dne", "bob")),
        Command::Remove(super::closed_rooms::of("#dne", "bob")),
        Command::Join(at("#den·ffff")),
    ];
    let mut said: Vec<_> = commands.map(|command| world.run("alice", command).unwrap_err()).into();
    said.push(world.try_send("alice", "#dne", "psst").unwrap_err());
    for error in said {
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(!error.message.contains("/join"), "{error}");
        assert!(error.message.contains("/rooms") || error.message.contains("you are in #den"), "{error}");
    }
}
