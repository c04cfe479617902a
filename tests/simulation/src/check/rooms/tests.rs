//! Each rule with a plan that breaks it.

use chat_core::api::Event;
use chat_core::api::event::{Alarm, AlarmKind};
use chat_core::ids::ConversationId;
use chat_core::{MessageId, PeerId};

use super::*;
use crate::record::Histories;

const IDS: [PeerId; 3] = [PeerId([1; 32]), PeerId([2; 32]), PeerId([3; 32])];
const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const DEN: Place = Place::Room(0);

/// What is changed of a story in which all went well.
struct Story {
    record: Record,
    people: Vec<Final>,
}

impl Story {
    /// alice made a room, admitted bob and carol, wrote 1, removed carol, and wrote 2.
    fn new() -> Self {
        let mut room = Room::new(ConversationId([7; 16]), 0, 3);
        for (at, list) in [(1, vec![0]), (3, vec![0, 1]), (5, vec![0, 1, 2]), (13, vec![0, 1])] {
            room.show(0, at, list.into_iter().collect());
        }
        for (who, at, list) in [
            (1, 4, vec![0, 1]),
            (1, 6, vec![0, 1, 2]),
            (1, 14, vec![0, 1]),
            (2, 7, vec![0, 1, 2]),
            (2, 16, vec![]),
        ] {
            room.show(who, at, list.into_iter().collect());
        }
        for (at, what) in [(2, What::Admit(1)), (4, What::Admit(2)), (12, What::Remove(2))] {
            room.wishes.push(Wish { by: 0, what, at, until: at + 1, answer: Answer::Done });
        }
        let mut record = Record::new("relay".to_owned(), IDS.to_vec());
        record.rooms.push(room);
        for (n, at) in [(1, 10), (2, 15)] {
            let answer = Answer::Committed(MessageId([n; 16]));
            record.said.push(Said {
                by: 0,
                place: DEN,
                text: format!("{n} text"),
                at,
                until: at + 1,
                answer,
            });
        }
        let person = |(name, id): (&'static str, PeerId)| Final {
            name,
            id,
            histories: Histories::from([(DEN, Vec::new())]),
        };
        let mut people: Vec<Final> = NAMES.into_iter().zip(IDS).map(person).collect();
        let copy = |n: u8, delivery| Shown {
            id: MessageId([n; 16]),
            by: IDS[0],
            text: format!("{n} text"),
            delivery,
            gap_before: false,
        };
        for n in [1, 2] {
            let of = if n == 1 { 2 } else { 1 };
            people[0].at_mut().push(copy(n, Some((MessageState::Delivered, of))));
            people[1].at_mut().push(copy(n, None));
        }
        people[2].at_mut().push(copy(1, None));
        Self { record, people }
    }
}

impl Final {
    fn at_mut(&mut self) -> &mut Vec<Shown> {
        self.histories.entry(DEN).or_default()
    }
}

fn found(change: impl FnOnce(&mut Story)) -> Vec<&'static str> {
    let mut story = Story::new();
    change(&mut story);
    super::super::check(&mut story.record, &story.people);
    let mut found: Vec<_> = story.record.violations.iter().map(|it| it.promise).collect();
    found.dedup();
    found
}

#[test]
fn what_is_well_breaks_nothing() {
    assert_eq!(found(|_| ()), [""; 0]);
}

#[test]
fn who_was_removed_and_reads_on_is_found() {
    let reads_on = |story: &mut Story| {
        let copy = story.people[1].at_mut()[1].clone();
        story.people[2].at_mut().push(copy);
    };
    assert_eq!(found(reads_on), ["P4"]);
    let before = |story: &mut Story| story.record.said[0].at = 1;
    assert_eq!(
        found(before),
        [""; 0],
        "it was uncertain for long whether it was said, and carol came meanwhile"
    );
    let never = |story: &mut Story| (story.record.said[0].at, story.record.said[0].until) = (3, 4);
    assert_eq!(found(never), ["P4"], "carol came later");
}

#[test]
fn what_did_not_reach_a_member_is_found() {
    assert_eq!(
        found(|it| drop(it.people[1].at_mut().pop())),
        ["P2", "P1"],
        "not there, and shown as delivered"
    );
    assert_eq!(found(|it| it.people[1].at_mut()[0].gap_before = true), ["P2"], "a gap");
    let copy = |it: &mut Story| it.people[1].at_mut()[1].clone();
    assert_eq!(
        found(|it| {
            let twice = copy(it);
            it.people[1].at_mut().push(twice)
        }),
        ["P1"],
        "twice"
    );
    assert_eq!(found(|it| it.people[1].at_mut().swap(0, 1)), ["P3"], "out of order");
    assert_eq!(found(|it| it.people[1].at_mut()[0].text.push('!')), ["P5", "P2", "P1"], "changed");
    let state = |state, of| move |it: &mut Story| it.people[0].at_mut()[1].delivery = Some((state, of));
    assert_eq!(found(state(MessageState::Stored, 1)), ["P2"], "never arrived");
    assert_eq!(found(state(MessageState::Failed, 1)), ["P2"], "given up by a member");
    assert_eq!(found(state(MessageState::Stored, 0)), [""; 0], "nobody was left");
    let left = |it: &mut Story| {
        state(MessageState::Failed, 1)(it);
        it.people[1].at_mut().pop();
        (0..2)
            .for_each(|who| it.record.rooms[0].show(who, 20, [1].into_iter().filter(|_| who == 1).collect()));
        let leaves = Wish { by: 0, what: What::Remove(0), at: 18, until: 19, answer: Answer::Done };
        it.record.rooms[0].wishes.push(leaves);
    };
    assert_eq!(found(left), [""; 0], "its author left first, and was told");
}

#[test]
fn a_member_whom_nobody_admitted_is_found() {
    assert_eq!(found(|it| drop(it.record.rooms[0].wishes.remove(1))), ["P4"]);
    assert_eq!(found(|it| it.record.rooms[0].wishes[1].answer = Answer::Refused), ["P4"]);
    assert_eq!(found(|it| it.record.rooms[0].wishes[1].answer = Answer::Unknown), [""; 0]);
    assert_eq!(found(|it| it.record.rooms[0].wishes[1].at = 9), ["P4"], "on the list before");
}

#[test]
fn what_the_creator_wished_and_did_not_come_to_pass_is_found() {
    let stays = |it: &mut Story| {
        for who in 0..3 {
            it.record.rooms[0].show(who, 20, [0, 1, 2].into());
        }
    };
    assert_eq!(found(stays), ["P4"], "carol was removed, and is there");
    let again = |it: &mut Story| {
        stays(it);
        let wish = Wish { by: 1, what: What::Admit(2), at: 17, until: 18, answer: Answer::Done };
        it.record.rooms[0].wishes.push(wish);
    };
    assert_eq!(found(again), [""; 0], "bob has admitted her again");
    let out = |it: &mut Story| {
        it.record.rooms[0].show(0, 20, [0].into());
        it.record.rooms[0].show(1, 20, [].into());
    };
    assert_eq!(found(out), ["P2"], "bob was admitted, and is not there");
}

#[test]
fn members_who_do_not_agree_are_found() {
    assert_eq!(found(|it| it.record.rooms[0].show(1, 20, [0, 1, 2].into())), ["P2", "P4"]);
    assert_eq!(found(|it| it.record.rooms[0].show(2, 20, [0, 1, 2].into())), ["P2", "P4"]);
}

#[test]
fn an_alarm_is_honest_only_while_news_is_on_its_way() {
    let alarm = |detail: &str, from: usize, list: &[usize]| {
        let mut record = Story::new().record;
        record.rooms[0].show(1, 20, list.iter().copied().collect());
        let alarm = Alarm { kind: AlarmKind::Roster, peer_id: Some(IDS[from]), detail: detail.to_owned() };
        record.event(1, "bob", &Event::Alarm(alarm));
        record.violations.iter().map(|it| it.promise).collect::<Vec<_>>()
    };
    let other = "alice wrote to a list of members that lacks dave, who is a member (#den)";
    assert_eq!(alarm(other, 0, &[0, 1]), [""; 0], "alice wrote the first with carol on her list");
    assert_eq!(alarm(other, 2, &[0, 1]), ["P5"], "carol has written nothing");
    let mut record = Story::new().record;
    record.said.remove(0);
    let event = Alarm { kind: AlarmKind::Roster, peer_id: Some(IDS[0]), detail: other.to_owned() };
    record.event(1, "bob", &Event::Alarm(event));
    assert_eq!(record.violations.len(), 1, "what alice wrote was to bob's own list");
    assert_eq!(alarm("alice wished to change the members without a right to it (#den)", 0, &[0, 1]), ["P5"]);
}

#[test]
fn rooms_and_members_of_nobody_are_found() {
    let changed = |members: Vec<PeerId>, id| {
        let mut record = Story::new().record;
        let change = chat_core::api::event::RoomChanged {
            room: "#den".parse().unwrap(),
            conversation: ConversationId([id; 16]),
            joined: true,
            open: false,
            members,
            by: None,
        };
        record.event(1, "bob", &Event::RoomChanged(change));
        record.violations.iter().map(|it| it.promise).collect::<Vec<_>>()
    };
    assert_eq!(changed(vec![IDS[0], IDS[1]], 7), [""; 0]);
    assert_eq!(changed(vec![IDS[0], IDS[1], PeerId([9; 32])], 7), ["P4"], "a stranger");
    assert_eq!(changed(vec![IDS[1]], 8), [""; 0], "a new room");
    assert_eq!(changed(vec![IDS[0], IDS[1]], 8), ["P4"], "a room that alice never was shown");
}
