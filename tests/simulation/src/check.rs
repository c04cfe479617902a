//! What must hold when all is over: P1 (what was shown as delivered is in the peer's history, once), P2 (everything
//! that was committed arrived), P3 (in the order it was said), P4 (nobody reads what was not for them), P5 (nothing that
//! nobody said).

mod rooms;

use std::collections::{BTreeMap, BTreeSet};

use chat_core::api::MessageState;
use chat_core::{MessageId, PeerId};

use crate::record::{Answer, Histories, Place, Record, Said, Shown};

/// One person at the end.
pub struct Final {
    /// What it is called.
    pub name: &'static str,
    /// Who it is.
    pub id: PeerId,
    /// All it has.
    pub histories: Histories,
}

impl Final {
    fn at(&self, place: Place) -> &[Shown] {
        self.histories.get(&place).map_or(&[], Vec::as_slice)
    }
}

/// The recipients have it. In the order of states, what was given up comes behind these.
fn has_arrived(state: MessageState) -> bool {
    matches!(state, MessageState::Delivered | MessageState::Read)
}

/// Whether everything of one's own has arrived. Cheap enough to be asked again and again.
pub fn is_settled(people: &[Final]) -> bool {
    people.iter().flat_map(|person| &person.histories).all(|(place, history)| {
        let mut own = history.iter().filter_map(|shown| shown.delivery);
        // Who is removed from a room is told that what it wrote was not read.
        let ends = |state| matches!(place, Place::Room(_)) && state == MessageState::Failed;
        own.all(|(state, of)| has_arrived(state) || ends(state) || rooms::is_alone(state, of))
    })
}

/// Checks everything, into the record.
pub fn check(record: &mut Record, people: &[Final]) {
    let mut found = Vec::new();
    own_messages(record, people, &mut found);
    others_messages(record, people, &mut found);
    shown_states(record, people, &mut found);
    rooms::check(record, people, &mut found);
    for (promise, what) in found {
        record.violated(promise, what);
    }
}

type Found = Vec<(&'static str, String)>;

/// Where `reader` sees what was said: whom it was said to, or who said it, or the room.
fn seen_at(said: &Said, reader: usize) -> Option<Place> {
    match said.place {
        Place::Lobby | Place::Room(_) => Some(said.place),
        Place::To(to) if to == reader => Some(Place::To(said.by)),
        Place::To(to) if said.by == reader => Some(Place::To(to)),
        Place::To(_) => None,
    }
}

/// What somebody said is in its own history, once and in order, and has arrived.
fn own_messages(record: &Record, people: &[Final], found: &mut Found) {
    for (index, person) in people.iter().enumerate() {
        for place in places(record, people.len(), index) {
            let mine: Vec<&Shown> = person.at(place).iter().filter(|shown| shown.by == person.id).collect();
            let said = record.said.iter().filter(|said| said.by == index && said.place == place);
            let texts: Vec<&str> = mine.iter().map(|shown| shown.text.as_str()).collect();
            in_order(person.name, person.name, place, said.clone(), &texts, found);
            for said in said {
                let there = mine.iter().find(|shown| shown.text == said.text);
                match (&said.answer, there) {
                    (Answer::Committed(_), None) => found.push((
                        "P2",
                        format!("{} committed {} and has lost it", person.name, brief(&said.text)),
                    )),
                    (Answer::Refused, Some(_)) => found.push((
                        "P2",
                        format!("{} was refused {}, but has it", person.name, brief(&said.text)),
                    )),
                    _ => {}
                }
            }
            for shown in mine.into_iter().filter(|_| !matches!(place, Place::Room(_))) {
                arrived(people, index, place, shown, found);
            }
        }
    }
}

/// A message of one's own is in the history of everybody it was for, and is shown to be.
fn arrived(people: &[Final], by: usize, place: Place, shown: &Shown, found: &mut Found) {
    let (name, text) = (people[by].name, brief(&shown.text));
    let has = |reader: usize| {
        let there = if place == Place::Lobby { Place::Lobby } else { Place::To(by) };
        people[reader].at(there).iter().filter(|it| it.id == shown.id).count()
    };
    let readers: Vec<usize> = match place {
        Place::Lobby => (0..people.len()).filter(|&reader| reader != by).collect(),
        Place::To(to) => vec![to],
        Place::Room(_) => vec![],
    };
    let (state, of) = shown.delivery.unwrap_or((MessageState::Failed, 0));
    // The thirty days after which a message may be given up never pass here.
    if !has_arrived(state) {
        found.push(("P2", format!("{name}'s {text} is {state:?} although all is well again")));
    }
    let expected = if place == Place::Lobby { of as usize } else { 1 };
    let arrived = readers.iter().filter(|&&reader| has(reader) > 0).count();
    if has_arrived(state) && arrived < expected {
        let missing: Vec<_> =
            readers.iter().filter(|&&reader| has(reader) == 0).map(|&reader| people[reader].name).collect();
        found.push(("P1", format!("{name}'s {text} is shown as delivered, but {missing:?} have it not")));
    }
    if place == Place::Lobby && expected != readers.len() {
        found.push(("P2", format!("{name}'s {text} went to {expected} of {}", readers.len())));
    }
}

/// Others' messages in somebody's history: once, in order, as they were said.
fn others_messages(record: &Record, people: &[Final], found: &mut Found) {
    for (index, person) in people.iter().enumerate() {
        for place in places(record, people.len(), index) {
            for (other, author) in people.iter().enumerate().filter(|(other, _)| *other != index) {
                let theirs: Vec<&Shown> =
                    person.at(place).iter().filter(|shown| shown.by == author.id).collect();
                let texts: Vec<&str> = theirs.iter().map(|shown| shown.text.as_str()).collect();
                let said =
                    record.said.iter().filter(|said| said.by == other && seen_at(said, index) == Some(place));
                in_order(person.name, author.name, place, said, &texts, found);
                let committed: BTreeSet<MessageId> =
                    author.histories.values().flatten().map(|shown| shown.id).collect();
                for shown in &theirs {
                    if !committed.contains(&shown.id) {
                        let text = brief(&shown.text);
                        found.push((
                            "P1",
                            format!("{} has {text}, which {} has not", person.name, author.name),
                        ));
                    }
                    if shown.gap_before && !matches!(place, Place::Room(_)) {
                        found.push((
                            "P2",
                            format!("{} is shown a gap before {}", person.name, brief(&shown.text)),
                        ));
                    }
                }
            }
            let strangers =
                person.at(place).iter().filter(|shown| people.iter().all(|person| person.id != shown.by));
            found.extend(
                strangers
                    .map(|shown| ("P5", format!("{} has {} of nobody", person.name, brief(&shown.text)))),
            );
        }
    }
}

/// `texts`, as somebody sees them, are among what was `said`, each once, in that order.
fn in_order<'a>(
    reader: &str,
    author: &str,
    place: Place,
    said: impl Iterator<Item = &'a Said>,
    texts: &[&str],
    found: &mut Found,
) {
    let order: BTreeMap<&str, usize> = said.enumerate().map(|(n, said)| (said.text.as_str(), n)).collect();
    let mut last = None;
    for text in texts {
        let n = order.get(text);
        let text = brief(text);
        match n {
            None => found.push(("P5", format!("{reader} has {text}, which {author} did not say there"))),
            Some(&n) if last == Some(n) => {
                found.push(("P1", format!("{reader} has {author}'s {text} twice at {place:?}")));
            }
            Some(&n) if last > Some(n) => {
                found.push(("P3", format!("{reader} has {author}'s {text} out of order at {place:?}")));
            }
            Some(&n) => last = Some(n),
        }
    }
}

/// No state is less now than what was shown before.
fn shown_states(record: &Record, people: &[Final], found: &mut Found) {
    for (&(who, id), &state) in &record.shown {
        let person = &people[who];
        let now = person.histories.values().flatten().find(|shown| shown.id == id);
        match now.and_then(|shown| shown.delivery) {
            None => found.push(("P2", format!("{} was shown {id} {state:?}, and has it not", person.name))),
            Some((now, _)) if goes_back(state, now) => {
                found.push(("P1", format!("{} was shown {id} {state:?}, and now {now:?}", person.name)));
            }
            Some(_) => {}
        }
    }
}

/// Whether a message that was shown in one state may not be in the other later: what was given up may arrive all the
/// same, what has arrived is never given up.
pub(crate) fn goes_back(before: MessageState, now: MessageState) -> bool {
    match (before, now) {
        (MessageState::Failed, _) => false,
        (before, MessageState::Failed) => has_arrived(before),
        (before, now) => now < before,
    }
}

fn places(record: &Record, people: usize, index: usize) -> impl Iterator<Item = Place> {
    let rooms = (0..record.rooms.len()).map(Place::Room);
    let others = (0..people).filter(move |&other| other != index).map(Place::To);
    std::iter::once(Place::Lobby).chain(others).chain(rooms)
}

/// The beginning of a text: a number that no other has.
pub(crate) fn brief(text: &str) -> String {
    text.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use chat_core::api::command::Reply;
    use tokio::sync::oneshot;

    use super::*;

    const ALICE: PeerId = PeerId([1; 32]);
    const BOB: PeerId = PeerId([2; 32]);

    fn id(n: u8) -> MessageId {
        MessageId([n; 16])
    }

    fn shown(n: u8, by: PeerId, delivery: Option<(MessageState, u32)>) -> Shown {
        Shown { id: id(n), by, text: format!("{n} text"), delivery, gap_before: false }
    }

    /// alice said 1 and 2 to bob, who has both.
    fn well() -> (Record, Vec<Final>) {
        let mut record = Record::new("relay".to_owned(), vec![ALICE, BOB]);
        for n in [1, 2] {
            let (_, receiver) = oneshot::channel::<Result<Reply, _>>();
            record.say(0, Place::To(1), format!("{n} text"), receiver);
            record.said[usize::from(n) - 1].answer = Answer::Committed(id(n));
            record.shown.insert((0, id(n)), MessageState::Delivered);
        }
        let delivered = Some((MessageState::Delivered, 1));
        let mine = vec![shown(1, ALICE, delivered), shown(2, ALICE, delivered)];
        let theirs = vec![shown(1, ALICE, None), shown(2, ALICE, None)];
        let person = |name, id, place, shown| Final { name, id, histories: [(place, shown)].into() };
        let people =
            vec![person("alice", ALICE, Place::To(1), mine), person("bob", BOB, Place::To(0), theirs)];
        (record, people)
    }

    fn found(change: impl FnOnce(&mut Record, &mut Vec<Shown>, &mut Vec<Shown>)) -> Vec<&'static str> {
        let (mut record, mut people) = well();
        let mut mine = people[0].histories.remove(&Place::To(1)).unwrap();
        let mut theirs = people[1].histories.remove(&Place::To(0)).unwrap();
        change(&mut record, &mut mine, &mut theirs);
        people[0].histories.insert(Place::To(1), mine);
        people[1].histories.insert(Place::To(0), theirs);
        check(&mut record, &people);
        let mut found: Vec<_> = record.violations.iter().map(|violation| violation.promise).collect();
        found.dedup();
        found
    }

    #[test]
    fn what_is_well_breaks_nothing() {
        assert_eq!(found(|_, _, _| ()), [""; 0]);
    }

    #[test]
    fn every_breach_is_found() {
        assert_eq!(found(|_, _, theirs| drop(theirs.remove(0))), ["P1"], "delivered and not there");
        assert_eq!(found(|_, _, theirs| theirs.insert(1, theirs[0].clone())), ["P1"], "doubled");
        assert_eq!(found(|_, _, theirs| theirs.swap(0, 1)), ["P3"], "out of order");
        assert_eq!(found(|_, _, theirs| theirs[1].text.push('!')), ["P5"], "changed");
        assert_eq!(found(|_, _, theirs| theirs[1].by = PeerId([9; 32])), ["P5"], "nobody's");
        assert_eq!(found(|_, _, theirs| theirs[1].gap_before = true), ["P2"], "a gap");
        let states = |state| {
            move |_: &mut Record, mine: &mut Vec<Shown>, _: &mut Vec<Shown>| {
                mine[0].delivery = Some((state, 1));
            }
        };
        assert_eq!(found(states(MessageState::Stored)), ["P2", "P1"], "went back, and never arrived");
        assert_eq!(found(states(MessageState::Failed)), ["P2", "P1"], "given up, and had arrived");
        let given_up = found(|record, mine, theirs| {
            record.shown.clear();
            mine.iter_mut().for_each(|shown| shown.delivery = Some((MessageState::Failed, 1)));
            theirs.clear();
        });
        assert_eq!(given_up, ["P2"], "given up");
        let read = found(|_, mine, theirs| {
            mine[0].delivery = Some((MessageState::Read, 1));
            theirs.remove(0);
        });
        assert_eq!(read, ["P1"], "read and not there");
        let lost = found(|record, mine, _| {
            record.shown.clear();
            mine.remove(0);
        });
        assert_eq!(lost, ["P2", "P1"], "committed, and gone at its author's");
        let refused = found(|record, _, _| record.said[0].answer = Answer::Refused);
        assert_eq!(refused, ["P2"], "refused, and there all the same");
    }
}
