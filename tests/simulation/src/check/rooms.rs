//! What must hold of closed rooms. P4: nobody reads what was written by somebody who did not have it on its list, and nobody
//! is on a list whom no member put there. P2: all come to be of one mind, a removal by who made the room is for good, and what
//! a member writes reaches the members.

use chat_core::api::MessageState;

use super::{Final, Found, brief, has_arrived};
use crate::record::{Answer, Place, Record, Said, Shown};
use crate::rooms::{Room, What, Wish};

pub(super) fn check(record: &Record, people: &[Final], found: &mut Found) {
    for (n, room) in record.rooms.iter().enumerate() {
        readers(record, people, n, found);
        reached(record, people, n, found);
        lists(room, people, found);
        if let Some(why) = room.disagreement() {
            found.push(("P2", format!("members of room {n} are not of one mind: {why}")));
        }
        outcomes(room, people, found);
    }
}

fn said_in(record: &Record, n: usize) -> impl Iterator<Item = &Said> {
    record.said.iter().filter(move |said| said.place == Place::Room(n))
}

/// The message in somebody's history.
fn copy<'p>(people: &'p [Final], who: usize, said: &Said) -> Option<&'p Shown> {
    people[who].at(said.place).iter().find(|shown| shown.text == said.text)
}

/// Who has it was on its author's list when it was written.
fn readers(record: &Record, people: &[Final], n: usize, found: &mut Found) {
    let room = &record.rooms[n];
    for said in said_in(record, n) {
        let others = (0..people.len()).filter(|&reader| reader != said.by);
        for reader in others.filter(|&reader| copy(people, reader, said).is_some()) {
            if !room.may_read(said.by, reader, said.at, said.until) {
                let (author, reader) = (people[said.by].name, people[reader].name);
                let text = brief(&said.text);
                found.push(("P4", format!("{reader} reads {author}'s {text}, who did not write to it")));
            }
        }
    }
}

/// What a member wrote is with the members, as far as nobody was seen to go meanwhile, and its state says so.
fn reached(record: &Record, people: &[Final], n: usize, found: &mut Found) {
    let room = &record.rooms[n];
    for said in said_in(record, n) {
        let Some(own) = copy(people, said.by, said) else { continue };
        let (author, text) = (people[said.by].name, brief(&said.text));
        for (reader, person) in people.iter().enumerate().filter(|(reader, _)| *reader != said.by) {
            if !room.must_reach(said.by, reader, said.at) {
                continue;
            }
            match copy(people, reader, said) {
                None => found.push(("P2", format!("{author}'s {text} has not reached {}", person.name))),
                Some(it) if it.gap_before => {
                    found.push(("P2", format!("{} is shown a gap before {author}'s {text}", person.name)));
                }
                Some(_) => {}
            }
        }
        let (state, of) = own.delivery.unwrap_or((MessageState::Failed, 0));
        let was_out = room.within(said.by, said.at, u64::MAX).any(|members| !members.contains(&said.by));
        let ended = has_arrived(state) || (state == MessageState::Failed && was_out);
        if !ended && !is_alone(state, of) {
            found.push(("P2", format!("{author}'s {text} is {state:?} although all is well again")));
        }
        let have = (0..people.len()).filter(|&it| it != said.by && copy(people, it, said).is_some()).count();
        if has_arrived(state) && have < of as usize {
            let what = format!("{author}'s {text} is shown as delivered to {of}, and {have} have it");
            found.push(("P1", what));
        }
    }
}

/// Written to nobody, or to nobody who is left: then there is nothing more to come.
pub(super) fn is_alone(state: MessageState, of: u32) -> bool {
    of == 0 && state >= MessageState::Stored
}

/// Who is on a list made the room or was admitted by somebody.
fn lists(room: &Room, people: &[Final], found: &mut Found) {
    for (who, views) in room.views.iter().enumerate() {
        for view in views {
            for &member in view.members.iter().filter(|&&member| member != room.creator) {
                let admits = |it: &Wish| it.what == What::Admit(member) && it.may_count() && it.at <= view.at;
                if !room.wishes.iter().any(admits) {
                    let (who, member) = (people[who].name, people[member].name);
                    found.push((
                        "P4",
                        format!("{who} is shown {member} in a room to which nobody admitted it"),
                    ));
                }
            }
        }
    }
}

/// Whoever made the room can be removed by nobody, and is the most senior. So what it wished has come to pass, unless it
/// left, or somebody wished the contrary.
fn outcomes(room: &Room, people: &[Final], found: &mut Found) {
    let left = |it: &Wish| it.what == What::Remove(room.creator) && it.by == room.creator && it.may_count();
    if room.wishes.iter().any(left) {
        return;
    }
    let done = |wish: &&Wish| wish.by == room.creator && matches!(wish.answer, Answer::Done);
    for wish in room.wishes.iter().filter(done) {
        let other =
            |it: &Wish, contrary: What, from: u64| it.what == contrary && it.may_count() && it.until >= from;
        match wish.what {
            What::Remove(gone) if !room.wishes.iter().any(|it| other(it, What::Admit(gone), wish.at)) => {
                let still = (0..people.len()).filter(|&who| room.members(who).contains(&gone));
                found.extend(still.map(|who| {
                    let (who, gone) = (people[who].name, people[gone].name);
                    ("P4", format!("{who} still has {gone} in a room of which its creator removed it"))
                }));
            }
            What::Admit(come)
                if !room.members(come).contains(&come)
                    && !room.wishes.iter().any(|it| other(it, What::Remove(come), 0)) =>
            {
                let come = people[come].name;
                found.push(("P2", format!("{come} is not in a room to which its creator admitted it")));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
