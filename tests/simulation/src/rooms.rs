//! Closed rooms as they were shown: who was a member when, in whose eyes, and who wished to change that.
//!
//! There is no one truth about a room while news travels: everybody acts on what they know. So nothing here says who *is*
//! a member; it says who took whom for one, and rules are about that.

use std::collections::BTreeSet;

use chat_core::ids::ConversationId;

use crate::record::Answer;

/// People, by index.
pub type Members = BTreeSet<usize>;

/// What somebody was shown of a room, from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// When, in the record's count.
    pub at: u64,
    /// Whom; empty for who is not in the room.
    pub members: Members,
}

/// What somebody wished a room to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// That somebody comes in.
    Admit(usize),
    /// That somebody goes: oneself, for who leaves.
    Remove(usize),
}

/// A wish, and what became of it.
#[derive(Debug)]
pub struct Wish {
    /// Whose.
    pub by: usize,
    /// Which.
    pub what: What,
    /// When it was said, in the record's count.
    pub at: u64,
    /// When it was certain, see [`crate::record::Said::until`].
    pub until: u64,
    /// What became of it.
    pub answer: Answer,
}

impl Wish {
    /// Whether the room may have changed by it.
    pub fn may_count(&self) -> bool {
        !matches!(self.answer, Answer::Refused)
    }
}

/// A closed room.
#[derive(Debug)]
pub struct Room {
    /// Its id.
    pub id: ConversationId,
    /// Who made it.
    pub creator: usize,
    /// For each person what was shown to it, in order.
    pub views: Vec<Vec<View>>,
    /// What was wished, in order.
    pub wishes: Vec<Wish>,
}

impl Room {
    /// A room nobody has been shown yet.
    pub fn new(id: ConversationId, creator: usize, people: usize) -> Self {
        Self { id, creator, views: vec![Vec::new(); people], wishes: Vec::new() }
    }

    /// Somebody is shown these members from now on.
    pub fn show(&mut self, who: usize, at: u64, members: Members) {
        if self.last(who) != Some(&members) {
            self.views[who].push(View { at, members });
        }
    }

    /// What somebody was shown last.
    pub fn last(&self, who: usize) -> Option<&Members> {
        self.views[who].last().map(|view| &view.members)
    }

    /// Whom somebody takes for members, itself included; nobody, if it is not in the room.
    pub fn members(&self, who: usize) -> Members {
        self.last(who).cloned().unwrap_or_default()
    }

    /// Everything that somebody was shown in a time, what held at its beginning included.
    pub fn within(&self, who: usize, from: u64, until: u64) -> impl Iterator<Item = &Members> {
        let views = &self.views[who];
        let first = views.partition_point(|view| view.at <= from).saturating_sub(1);
        views.iter().skip(first).take_while(move |view| view.at <= until).map(|view| &view.members)
    }

    /// Whether, from a time on, somebody was always shown both as members. Before `who` was first shown `other` nothing
    /// counts, if it has not come that far.
    fn always_saw(&self, who: usize, other: usize, from: u64) -> bool {
        let both = |members: &Members| members.contains(&who) && members.contains(&other);
        let mut seen = self.within(who, from, u64::MAX).skip_while(|members| !both(members)).peekable();
        let shown_out = self.within(who, 0, from).skip_while(|members| !both(members)).any(|it| !both(it));
        seen.peek().is_some() && seen.all(both) && !shown_out
    }

    /// Whether what `author` wrote at a time has to arrive at `reader`: the one had it on its list, and neither was ever
    /// shown the other, or itself, to have gone.
    pub fn must_reach(&self, author: usize, reader: usize, at: u64) -> bool {
        let listed = self.within(author, at, at).last().is_some_and(|members| members.contains(&reader));
        listed && self.always_saw(author, reader, at) && self.always_saw(reader, author, at)
    }

    /// Whether the author had the reader on its list at some time between.
    pub fn may_read(&self, author: usize, reader: usize, from: u64, until: u64) -> bool {
        let both = |members: &Members| members.contains(&author) && members.contains(&reader);
        self.within(author, from, until).any(both)
    }

    /// Why members are not of one mind, if they are not.
    pub fn disagreement(&self) -> Option<String> {
        let mut inside = (0..self.views.len()).filter(|&who| self.members(who).contains(&who));
        let lists: Vec<(usize, Members)> =
            (0..self.views.len()).map(|who| (who, self.members(who))).collect();
        let first = inside.next()?;
        let members = self.members(first);
        lists.into_iter().find_map(|(who, list)| {
            let wanted = if members.contains(&who) { &members } else { &Members::new() };
            (list != *wanted).then(|| format!("{who} is shown {list:?}, and {first} {members:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(views: &[(usize, u64, &[usize])]) -> Room {
        let mut room = Room::new(ConversationId([1; 16]), 0, 3);
        for (who, at, members) in views {
            room.show(*who, *at, members.iter().copied().collect());
        }
        room
    }

    #[test]
    fn who_may_read_follows_from_the_authors_list() {
        let room = room(&[(0, 1, &[0]), (0, 5, &[0, 1]), (0, 9, &[0])]);
        assert!(!room.may_read(0, 1, 2, 4), "before it was admitted");
        assert!(room.may_read(0, 1, 4, 5) && room.may_read(0, 1, 5, 20) && room.may_read(0, 1, 6, 6));
        assert!(!room.may_read(0, 1, 9, 20), "after it was removed");
        assert!(!room.may_read(0, 2, 0, 20));
    }

    #[test]
    fn who_has_to_get_it_was_never_seen_to_go() {
        let steady: &[(usize, u64, &[usize])] = &[(0, 1, &[0]), (0, 5, &[0, 1]), (1, 7, &[0, 1])];
        assert!(room(steady).must_reach(0, 1, 6), "the news of the admission may come behind it");
        assert!(!room(steady).must_reach(0, 1, 4), "it was not a member then");
        let with = |more: (usize, u64, &'static [usize])| room(&[steady, &[more]].concat());
        assert!(with((1, 8, &[0, 1, 2])).must_reach(0, 1, 6), "others come and go");
        assert!(!with((0, 8, &[0])).must_reach(0, 1, 6), "it was removed later");
        assert!(!with((1, 8, &[])).must_reach(0, 1, 6), "it left");
        let back = room(&[steady, &[(0, 8, &[0]), (0, 9, &[0, 1]), (1, 8, &[]), (1, 9, &[0, 1])]].concat());
        assert!(!back.must_reach(0, 1, 6) && !back.must_reach(0, 1, 9), "it came back");
    }

    #[test]
    fn members_of_one_mind() {
        assert_eq!(room(&[]).disagreement(), None);
        assert_eq!(room(&[(0, 1, &[0, 1]), (1, 2, &[0, 1])]).disagreement(), None);
        assert_eq!(room(&[(0, 1, &[0]), (1, 2, &[0, 1]), (1, 3, &[])]).disagreement(), None);
        assert!(room(&[(0, 1, &[0, 1])]).disagreement().is_some(), "a member that does not know it");
        assert!(room(&[(0, 1, &[0]), (1, 2, &[0, 1])]).disagreement().is_some(), "a list that is too long");
        assert!(room(&[(0, 1, &[0]), (1, 2, &[1])]).disagreement().is_some(), "two rooms of one");
    }
}
