//! Operations in every order, by honest members and by ones who were removed.

use chat_core::Identity;
use chat_core::wire::membership::{Operation, SignedOperation};

use super::*;

fn person(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

fn id(n: u8) -> PeerId {
    person(n).peer_id()
}

fn signed(by: u8, room: ConversationId, parents: Vec<OperationId>, change: Change) -> VerifiedOperation {
    let author = *person(by).public().as_bytes();
    let operation = Operation { room, author, parents, change };
    SignedOperation::sign(&operation, &person(by)).verify().unwrap()
}

fn create(by: u8) -> VerifiedOperation {
    let change = Change::Create { name: RoomName::new("#den").unwrap(), nonce: [by; 16] };
    signed(by, ConversationId::default(), vec![], change)
}

fn admit(peer: u8) -> Change {
    Change::Admit { peer: id(peer) }
}

fn remove(peer: u8) -> Change {
    Change::Remove { peer: id(peer) }
}

/// Whether it was taken and new.
fn offer(log: &mut Log, operation: &VerifiedOperation) -> bool {
    log.insert(operation.clone()) == Ok(true)
}

/// What somebody knows, and says upon it.
struct Seat {
    log: Log,
    me: u8,
}

impl Seat {
    /// Takes everything another knows.
    fn hear(&mut self, other: &Self) {
        other.log.from(0).for_each(|operation| {
            offer(&mut self.log, operation);
        });
    }

    fn says(&mut self, change: Change) -> Result<bool, NotTaken> {
        self.log.insert(signed(self.me, self.log.room(), self.log.parents(), change))
    }

    fn members(&self) -> Vec<PeerId> {
        self.log.members().collect()
    }
}

fn sorted(people: &[u8]) -> Vec<PeerId> {
    let mut ids: Vec<PeerId> = people.iter().map(|&n| id(n)).collect();
    ids.sort();
    ids
}

/// 1 makes a room and admits the others in order; each knows all of it.
fn room(members: u8) -> Vec<Seat> {
    let mut first = Seat { log: Log::begin(create(1)).unwrap(), me: 1 };
    for n in 2..=members {
        assert_eq!(first.says(admit(n)), Ok(true));
    }
    let mut seats: Vec<Seat> =
        (1..=members).map(|me| Seat { log: Log::begin(create(1)).unwrap(), me }).collect();
    seats.iter_mut().for_each(|seat| seat.hear(&first));
    seats
}

fn meet(seats: &mut [Seat]) {
    let all: Vec<VerifiedOperation> =
        seats.iter().flat_map(|seat| seat.log.from(0).cloned().collect::<Vec<_>>()).collect();
    for seat in seats.iter_mut() {
        // As often as there may be something behind its parents.
        for _ in 0..all.len() {
            let before = seat.log.len();
            all.iter().for_each(|operation| {
                offer(&mut seat.log, operation);
            });
            if seat.log.len() == before {
                break;
            }
        }
    }
    let (first, others) = seats.split_first().unwrap();
    for other in others {
        assert_eq!((first.members(), first.log.hash()), (other.members(), other.log.hash()));
    }
}

#[test]
fn any_member_admits_and_only_members_say_anything() {
    let mut seats = room(2);
    assert_eq!(seats[1].says(admit(3)), Ok(true));
    assert_eq!(seats[1].says(admit(3)), Err(NotTaken::Nothing));
    assert_eq!(seats[1].says(remove(4)), Err(NotTaken::Nothing));
    let log = &mut seats[1].log;
    let (room, parents) = (log.room(), log.parents());
    assert_eq!(log.insert(signed(4, room, parents.clone(), admit(5))), Err(NotTaken::NoRight));
    let elsewhere = signed(1, ConversationId([1; 16]), parents, admit(5));
    assert_eq!(log.insert(elsewhere), Err(NotTaken::Elsewhere));
    assert_eq!(log.insert(create(2)), Err(NotTaken::Elsewhere));
    assert_eq!(log.insert(create(1)), Ok(false));
    let orphan = signed(1, room, vec![OperationId([9; 32])], admit(5));
    assert_eq!(log.insert(orphan), Err(NotTaken::Orphan));
    assert_eq!(seats[1].members(), sorted(&[1, 2, 3]));
}

#[test]
fn who_was_there_before_removes_who_came_later() {
    let mut seats = room(3);
    assert_eq!(seats[2].says(remove(1)), Err(NotTaken::NoRight));
    assert_eq!(seats[2].says(remove(2)), Err(NotTaken::NoRight));
    assert_eq!(seats[1].says(remove(3)), Ok(true));
    let (one, two) = (id(1), id(2));
    assert!(seats[0].log.may_remove(one, two) && !seats[0].log.may_remove(two, one));
    assert!(seats[0].log.may_remove(two, two) && !seats[1].log.may_remove(two, id(3)));
    // Who comes back has come later than all who stayed.
    assert_eq!(seats[0].says(remove(2)), Ok(true));
    assert_eq!(seats[0].says(admit(2)), Ok(true));
    meet(&mut seats);
    // The removal by 2 was not known to the removal of 2: what the removed one said meanwhile is void.
    assert_eq!(seats[0].members(), sorted(&[1, 2, 3]));
    assert!(seats[2].log.may_remove(id(3), two));
}

#[test]
fn a_removal_wins_over_what_did_not_know_of_it() {
    let mut seats = room(4);
    // 1 removes 4, while 2 admits 5, 4 admits 6, and 3 leaves and is admitted by 2 at once.
    assert_eq!(seats[0].says(remove(4)), Ok(true));
    assert_eq!(seats[1].says(admit(5)), Ok(true));
    assert_eq!(seats[3].says(admit(6)), Ok(true));
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1, 2, 3, 5]));
    // An admission counts only if it knew of the removal.
    let parents = seats[3].log.parents();
    assert_eq!(seats[0].says(remove(5)), Ok(true));
    let unaware = signed(2, seats[0].log.room(), parents, remove(3));
    assert_eq!(seats[0].log.insert(unaware), Ok(true));
    assert_eq!(seats[1].says(remove(5)), Ok(true));
    assert_eq!(seats[1].says(admit(5)), Ok(true));
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1, 2]));
    assert_eq!(seats[0].says(admit(5)), Ok(true));
    meet(&mut seats);
    assert_eq!(seats[3].members(), sorted(&[1, 2, 5]));
}

#[test]
fn who_was_removed_can_date_nothing_back() {
    let mut seats = room(4);
    let early = seats[2].log.parents();
    let room = seats[0].log.room();
    assert_eq!(seats[0].says(remove(3)), Ok(true));
    let after = seats[0].log.parents();
    for (parents, change) in
        [(early.clone(), admit(9)), (early.clone(), remove(4)), (early, remove(3)), (after, admit(9))]
    {
        offer(&mut seats[0].log, &signed(3, room, parents, change));
        assert_eq!(seats[0].members(), sorted(&[1, 2, 4]));
    }
    // Nor can a friend who is removed, too, keep a door open: what 3 admits is void, and so is what 9 does then.
    let door = signed(3, room, seats[3].log.parents(), admit(9));
    assert_eq!(seats[3].log.insert(door), Ok(true));
    seats[3].me = 9;
    assert_eq!(seats[3].says(admit(10)), Ok(true));
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1, 2, 4]));
}

/// 1 and 2 made the room; 1 admits 3 and 4, and 4 admits 5 and removes it, while 2, who hears of none of it, admits 5.
fn admitted_twice() -> Vec<Seat> {
    let mut seats = room(2);
    for peer in [3, 4] {
        assert_eq!(seats[0].says(admit(peer)), Ok(true));
    }
    let mut four = Seat { log: Log::begin(create(1)).unwrap(), me: 4 };
    four.hear(&seats[0]);
    assert_eq!((four.says(admit(5)), four.says(remove(5))), (Ok(true), Ok(true)));
    assert_eq!(seats[1].says(admit(5)), Ok(true));
    seats.push(four);
    seats
}

/// 5 was in it before 4 was: so 4 has no say about it, and whoever has removes it.
#[test]
fn a_removal_ends_no_admission_that_is_senior_to_its_author() {
    let mut seats = admitted_twice();
    let unaware = seats[1].log.parents();
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1, 2, 3, 4, 5]));
    assert_eq!(seats[0].log.removed_in_vain(id(5)), Some(id(4)));
    assert_eq!(seats[2].says(remove(5)), Err(NotTaken::NoRight));
    assert_eq!(seats[1].says(remove(5)), Ok(true));
    meet(&mut seats);
    // Whatever it builds upon, and by whichever admission it acts.
    let room = seats[0].log.room();
    for (parents, change) in [(unaware.clone(), admit(9)), (unaware, remove(4))] {
        offer(&mut seats[0].log, &signed(5, room, parents, change));
        assert_eq!(seats[0].members(), sorted(&[1, 2, 3, 4]));
    }
    assert_eq!(seats[0].log.removed_in_vain(id(5)), None);
}

/// 4 admits and removes 2 upon what it says it knew before it heard that 2 was there.
#[test]
fn nobody_who_came_later_removes_who_was_there_by_admitting_it_again() {
    let mut first = Seat { log: Log::begin(create(1)).unwrap(), me: 1 };
    assert_eq!(first.says(admit(3)), Ok(true));
    let without_two = first.log.parents();
    assert_eq!((first.says(admit(2)), first.says(admit(5))), (Ok(true), Ok(true)));
    let mut three = Seat { log: Log::begin(create(1)).unwrap(), me: 3 };
    first.log.from(1).take(1).for_each(|operation| assert!(offer(&mut three.log, operation)));
    assert_eq!(three.log.parents(), without_two);
    // Junior to 2, and to 5.
    for peer in [6, 7, 4] {
        assert_eq!(three.says(admit(peer)), Ok(true));
    }
    three.me = 4;
    assert_eq!((three.says(admit(2)), three.says(remove(2))), (Ok(true), Ok(true)));
    let mut seats = [first, three];
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1, 2, 3, 4, 5, 6, 7]));
}

/// What is known of a removal may be said to be void by a removal of its author that is void itself.
#[test]
fn a_removal_that_looked_void_counts_when_it_is_not() {
    let mut seats = room(4);
    let early = seats[0].log.parents();
    // 3 removes 4; 2 removes 3 without knowing it; and 1 removes 2 without knowing that.
    assert_eq!(seats[2].says(remove(4)), Ok(true));
    assert_eq!(seats[1].says(remove(3)), Ok(true));
    let cut = signed(1, seats[0].log.room(), early, remove(2));
    let (two, three) = (seats.remove(1), seats.remove(1));
    let four = &mut seats[1];
    four.hear(&two);
    four.hear(&three);
    assert!(four.log.is_member(id(4)), "as far as it has heard");
    assert_eq!(four.says(admit(9)), Ok(true));
    assert!(offer(&mut seats[0].log, &cut));
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1, 3]));
}

/// Somebody who has left has a copy of what it knew before.
#[test]
fn who_has_left_can_date_nothing_back() {
    let mut seats = room(3);
    let (room, early) = (seats[1].log.room(), seats[1].log.parents());
    for _ in 0..4 {
        assert_eq!((seats[1].says(admit(8)), seats[1].says(remove(8))), (Ok(true), Ok(true)));
    }
    assert_eq!(seats[1].says(remove(2)), Ok(true));
    meet(&mut seats);
    for change in [admit(9), remove(3)] {
        offer(&mut seats[0].log, &signed(2, room, early.clone(), change));
        assert_eq!(seats[0].members(), sorted(&[1, 3]));
    }
}

#[test]
fn a_creator_who_leaves_stays_out_and_the_room_goes_on() {
    let mut seats = room(3);
    assert_eq!(seats[0].says(remove(1)), Ok(true));
    assert_eq!(seats[0].says(admit(1)), Err(NotTaken::NoRight));
    meet(&mut seats);
    assert_eq!(seats[1].says(remove(3)), Ok(true));
    assert_eq!(seats[1].says(admit(1)), Ok(true));
    assert_eq!(seats[1].members(), sorted(&[1, 2]));
    assert!(!seats[1].log.may_remove(id(1), id(2)));
}

#[test]
fn a_former_member_learns_of_its_removal_and_of_nothing_later() {
    let mut seats = room(3);
    assert_eq!(seats[0].says(remove(3)), Ok(true));
    let known = seats[0].log.until_out(id(3)).len();
    assert_eq!(seats[0].says(admit(7)), Ok(true));
    let told = seats[0].log.until_out(id(3));
    assert_eq!(told.len(), known);
    assert!(told.iter().any(|it| it.change == remove(3)) && !told.iter().any(|it| it.change == admit(7)));
    assert_eq!(seats[0].log.until_out(id(8)), Vec::<&VerifiedOperation>::new());
}

/// 2 was removed and admits 3 without knowing it: nobody has removed 3, and what it is told shows that it is none.
#[test]
fn who_was_admitted_for_nothing_can_see_why() {
    let mut seats = room(2);
    assert_eq!(seats[0].says(remove(2)), Ok(true));
    assert_eq!(seats[1].says(admit(3)), Ok(true));
    meet(&mut seats);
    assert_eq!(seats[0].members(), sorted(&[1]));
    assert_eq!(seats[0].says(admit(7)), Ok(true));
    let mut third = Seat { log: Log::begin(create(1)).unwrap(), me: 3 };
    for operation in seats[0].log.until_out(id(3)) {
        offer(&mut third.log, operation);
    }
    assert_eq!(third.members(), sorted(&[1]));
    assert!(third.log.from(0).all(|it| it.change != admit(7)), "and nothing later");
}

#[test]
fn nobody_can_fill_the_log_against_the_creator() {
    let mut seats = room(2);
    let mut full = false;
    for n in 0..MAX_OPERATIONS {
        let change = if n % 2 == 0 { admit(3) } else { remove(3) };
        full |= matches!(seats[1].says(change), Err(NotTaken::Full | NotTaken::Share));
    }
    assert!(full && seats[1].log.len() < MAX_OPERATIONS);
    let two = &seats.pop().unwrap();
    seats[0].hear(two);
    assert_eq!(seats[0].says(remove(2)), Ok(true));
    assert!(!seats[0].log.is_member(id(2)));
}

/// What 3 can do with any number of identities of its own, as long as anything of it is taken: each admits and removes.
fn fill(seat: &mut Seat) {
    let mut taken = true;
    while taken {
        taken = false;
        for me in [3, 30, 31, 32, 33] {
            seat.me = me;
            for puppet in (30..40).filter(|&puppet| puppet != me) {
                taken |= seat.says(admit(puppet)) == Ok(true);
                taken |= seat.says(remove(puppet)) == Ok(true);
                taken |= seat.says(admit(puppet)) == Ok(true);
            }
        }
    }
}

#[test]
fn nobody_can_fill_the_log_against_whoever_is_senior() {
    for creator_leaves in [false, true] {
        let mut seats = room(3);
        fill(&mut seats[2]);
        assert!(seats[2].log.len() > 100, "{}", seats[2].log.len());
        let three = seats.pop().unwrap();
        seats.iter_mut().for_each(|seat| seat.hear(&three));
        if creator_leaves {
            assert_eq!(seats[0].says(remove(1)), Ok(true));
        }
        meet(&mut seats);
        assert_eq!(seats[1].says(remove(3)), Ok(true));
        // And its creatures, and there is something left to begin anew with.
        let creatures: Vec<u8> = (30..40).filter(|&n| seats[1].log.is_member(id(n))).collect();
        for creature in creatures {
            assert_eq!(seats[1].says(remove(creature)), Ok(true), "{creature}");
        }
        assert_eq!(seats[1].says(admit(4)), Ok(true));
        meet(&mut seats);
        assert_eq!(seats[0].log.is_member(id(1)), !creator_leaves);
        assert!(!seats[0].log.is_member(id(3)) && seats[0].log.is_member(id(4)));
    }
}

/// 2 has let 3 in, which fills what it can: 2 can remove it, not only others can.
#[test]
fn whoever_let_somebody_in_can_remove_it() {
    let mut seats = room(2);
    assert_eq!(seats[1].says(admit(3)), Ok(true));
    fill(&mut seats[1]);
    seats[1].me = 2;
    assert_eq!(seats[1].says(remove(3)), Ok(true));
}

/// Somebody says very much at once, all of it upon the same: the others take of it what leaves them something.
#[test]
fn what_is_said_at_once_fills_nothing_either() {
    let mut seats = room(3);
    let (room, parents) = (seats[0].log.room(), seats[0].log.parents());
    let first = signed(3, room, parents.clone(), admit(200));
    assert!(offer(&mut seats[0].log, &first));
    let mut refused = 0;
    for upon in [parents, vec![first.id]] {
        for peer in (4..250).filter(|&peer| peer != 200) {
            let fork = signed(3, room, upon.clone(), admit(peer));
            refused += usize::from(seats[0].log.insert(fork) == Err(NotTaken::Full));
        }
    }
    assert!(refused > 50, "{refused}");
    seats[0].me = 2;
    assert_eq!(seats[0].says(remove(3)), Ok(true));
    // What the removal does not name is beside it, and void.
    let named = chat_core::wire::membership::MAX_PARENTS;
    assert!(!seats[0].log.is_member(id(3)) && seats[0].members().len() <= 2 + named + 1);
}

/// A room that grows by itself: each brings in some, who bring in others.
#[test]
fn an_honest_room_never_feels_it() {
    let mut seat = room(1).pop().unwrap();
    for n in 2..=200_u8 {
        seat.me = n / 2;
        assert_eq!(seat.says(admit(n)), Ok(true), "{n}");
    }
    for n in (2..=200_u8).rev() {
        seat.me = n;
        assert_eq!(seat.says(remove(n)), Ok(true), "{n} goes");
    }
}

fn were(log: &Log, people: &[u8]) -> Earlier {
    log.earlier(roster_hash(log.room(), sorted(people)))
}

#[test]
fn earlier_members_are_recognized() {
    let mut seats = room(3);
    assert_eq!(seats[0].says(remove(2)), Ok(true));
    let log = &seats[0].log;
    for people in [&[1, 3][..], &[1, 2, 3], &[1, 2], &[1]] {
        assert_eq!(were(log, people), Earlier::Were(sorted(people).into_iter().collect()), "{people:?}");
    }
    for people in [&[1, 2, 3, 4][..], &[2, 3], &[]] {
        assert_eq!(were(log, people), Earlier::Never, "{people:?}");
    }
}

/// Two said something at once: whoever has heard only one of them has members that are no stage of one's own way.
#[test]
fn members_on_another_way_are_recognized() {
    let mut seats = room(3);
    assert_eq!(seats[0].says(admit(4)), Ok(true));
    assert_eq!(seats[1].says(admit(5)), Ok(true));
    assert_eq!(seats[1].says(remove(3)), Ok(true));
    meet(&mut seats);
    for people in [&[1, 2, 3, 4][..], &[1, 2, 3, 5], &[1, 2, 5], &[1, 2, 4, 5], &[1, 2, 3, 4, 5]] {
        for seat in &seats {
            assert_eq!(were(&seat.log, people), Earlier::Were(sorted(people).into_iter().collect()));
        }
    }
    // Nobody removes 3 before 5 was admitted.
    assert_eq!(were(&seats[0].log, &[1, 2, 4]), Earlier::Never);
}

#[test]
fn with_too_many_ways_it_is_left_open() {
    let mut seats = room(12);
    for (n, seat) in seats.iter_mut().enumerate() {
        assert_eq!(seat.says(admit(40 + n as u8)), Ok(true));
    }
    meet(&mut seats);
    assert_eq!(were(&seats[0].log, &[99]), Earlier::Unknown);
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// Whoever is no member says anything upon anything. So many lies were taken; none changed who is one.
fn lie_about_anything(seat: &mut Seat, dice: &mut Dice, seed: u64) -> u32 {
    let members = seat.members();
    let mut taken = 0;
    for _ in 0..100 {
        let liar = 2 + dice.roll(6) as u8;
        if members.contains(&id(liar)) {
            continue;
        }
        let known: Vec<OperationId> = seat.log.from(0).map(|it| it.id).collect();
        let parents = BTreeSet::from([0; 2].map(|_| known[dice.roll(known.len())]));
        let peer = 2 + dice.roll(8) as u8;
        let change = if dice.roll(2) == 0 { admit(peer) } else { remove(peer) };
        let lie = signed(liar, seat.log.room(), parents.into_iter().collect(), change);
        taken += u32::from(seat.log.insert(lie).is_ok());
        assert_eq!(seat.members(), members, "seed {seed}: {liar} is no member");
    }
    taken
}

/// What each who is none is told shows it that it is none, and stands by itself.
fn each_can_see_why(seat: &Seat, seed: u64) -> usize {
    let mut told = 0;
    for peer in (2..10).filter(|&peer| !seat.log.is_member(id(peer))) {
        let known = seat.log.until_out(id(peer));
        let mut own = Log::begin(create(1)).unwrap();
        for operation in known.iter().skip(1) {
            assert_eq!(own.insert((*operation).clone()), Ok(true), "seed {seed}: {peer}");
        }
        assert!(!own.is_member(id(peer)), "seed {seed}: {peer} can't see it");
        told += known.len();
    }
    told
}

/// Random histories: whoever is a member by its own view says something, hears another, or, once removed, lies as well as
/// it can from anything it ever knew. All who hear all agree, in whatever order they heard it; and whom the creator
/// removed, and nobody admitted again in the knowledge of it, is out.
#[test]
fn whoever_hears_the_same_says_the_same() {
    let (mut refused, mut void, mut gone, mut lies, mut told) = (0, 0, 0, 0, 0);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut seats = room(5);
        for _ in 0..25 {
            let (at, other) = (dice.roll(5), dice.roll(5));
            let peer = 2 + dice.roll(6) as u8;
            match dice.roll(4) {
                0 | 1 if at != other => {
                    let heard: Vec<VerifiedOperation> = seats[other].log.from(0).cloned().collect();
                    heard.iter().for_each(|operation| {
                        offer(&mut seats[at].log, operation);
                    });
                }
                2 => refused += u32::from(seats[at].says(admit(peer)).is_err()),
                _ => {
                    let everything: Vec<OperationId> = seats[at].log.from(0).map(|it| it.id).collect();
                    let parent = everything[dice.roll(everything.len())];
                    let change = if dice.roll(2) == 0 { admit(peer) } else { remove(peer) };
                    let room = seats[at].log.room();
                    let lie = signed(seats[at].me, room, vec![parent], change);
                    void += u32::from(seats[at].log.insert(lie).is_ok());
                }
            }
        }
        meet(&mut seats);
        let victim = 2 + dice.roll(4) as u8;
        if seats[0].says(remove(victim)).is_err() {
            continue;
        }
        // The victim lies about anything it knew, over and over.
        let at = usize::from(victim) - 1;
        for _ in 0..20 {
            let known: Vec<OperationId> = seats[at].log.from(0).map(|it| it.id).collect();
            let parent = known[dice.roll(known.len())];
            let peer = 2 + dice.roll(6) as u8;
            let change = if dice.roll(3) > 0 { admit(peer) } else { remove(peer) };
            let lie = signed(victim, seats[0].log.room(), vec![parent], change);
            offer(&mut seats[at].log, &lie);
        }
        let before: BTreeSet<PeerId> = seats[0].log.members().collect();
        meet(&mut seats);
        let after: BTreeSet<PeerId> = seats[0].log.members().collect();
        assert_eq!(before, after, "seed {seed}: what the removed one says changes nothing");
        assert!(!seats[0].log.is_member(id(victim)), "seed {seed}");
        gone += 1;
        told += each_can_see_why(&seats[0], seed);
        lies += lie_about_anything(&mut seats[0], &mut dice, seed);
        told += each_can_see_why(&seats[0], seed);
    }
    assert!(refused > 30 && void > 100 && gone > 20 && lies > 100, "{refused} {void} {gone} {lies}");
    assert!(told > 1000, "{told}");
}
