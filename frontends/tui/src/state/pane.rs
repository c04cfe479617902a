//! Which rows of a timeline are on the screen, and moving up and down in them. Only rows that are seen, or
//! passed by, are laid out: the cost does not depend on the length of history.

use std::ops::Bound::{Excluded, Unbounded};
use std::rc::Rc;

use super::lines::{Laid, Layouts};
use super::timeline::{Place, Scroll, Timeline};

/// A row on the screen.
#[derive(Debug, Clone)]
pub(crate) struct SeenRow {
    /// The entry's layout.
    pub(crate) laid: Rc<Laid>,
    /// Which row of it.
    pub(crate) row: usize,
}

/// What is on the screen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From top to bottom; at the bottom of the timeline they stand at the bottom of the screen.
    pub(crate) rows: Vec<SeenRow>,
    /// The first row of the first entry is among them.
    pub(crate) at_top: bool,
}

/// A timeline with what lays it out.
pub(crate) struct Pane<'a> {
    /// The lines.
    pub(crate) timeline: &'a mut Timeline,
    /// Their layouts.
    pub(crate) layouts: &'a mut Layouts,
    /// Rows of the screen.
    pub(crate) height: usize,
}

impl Pane<'_> {
    fn lay(&mut self, place: Place) -> Option<Rc<Laid>> {
        let entries = self.timeline.entries();
        let entry = entries.get(&place)?;
        let before = entries.range(..place).next_back().map(|(_, entry)| entry);
        Some(self.layouts.lay(place, entry, before))
    }

    fn before(&self, place: Place) -> Option<Place> {
        self.timeline.entries().range(..place).next_back().map(|(place, _)| *place)
    }

    fn after(&self, place: Place) -> Option<Place> {
        let range = (Excluded(place), Unbounded);
        self.timeline.entries().range::<Place, _>(range).next().map(|(place, _)| *place)
    }

    fn last(&self) -> Option<Place> {
        self.timeline.entries().keys().next_back().copied()
    }

    /// The first row that is on the screen when it shows the newest rows.
    fn top_of_bottom(&mut self) -> Option<(Place, usize)> {
        self.up_from((self.last()?, usize::MAX), self.height)
    }

    /// The place `rows` above a place; a row beyond its entry's end counts as just behind the entry.
    fn up_from(&mut self, (mut place, row): (Place, usize), rows: usize) -> Option<(Place, usize)> {
        let mut row = row.min(self.lay(place)?.height());
        let mut left = rows;
        while left > row {
            left -= row;
            let Some(before) = self.before(place) else { return Some((place, 0)) };
            place = before;
            row = self.lay(place)?.height();
        }
        Some((place, row - left))
    }

    /// The place `rows` below a place, or `None` beyond the end.
    fn down_from(&mut self, (mut place, row): (Place, usize), rows: usize) -> Option<(Place, usize)> {
        let mut row = row.saturating_add(rows);
        loop {
            let height = self.lay(place)?.height();
            if row < height {
                return Some((place, row));
            }
            row -= height;
            place = self.after(place)?;
        }
    }

    /// The row at the top of the screen.
    fn top(&mut self) -> Option<(Place, usize)> {
        let Scroll::At { top, row, .. } = self.timeline.scroll else { return self.top_of_bottom() };
        // Trimmed or moved, the next one takes its place.
        let Some(&at) = self.timeline.entries().range(top..).next().map(|(place, _)| place) else {
            return self.top_of_bottom();
        };
        let height = self.lay(at)?.height();
        Some((at, if at == top { row.min(height - 1) } else { 0 }))
    }

    fn set_top(&mut self, (top, row): (Place, usize)) {
        let Some(last) = self.last() else { return };
        let (tail, new) = match self.timeline.scroll {
            Scroll::At { tail, new, .. } => (tail, new),
            Scroll::Bottom => (last, 0),
        };
        self.timeline.scroll = Scroll::At { top, row, tail, new };
    }

    /// Shows older rows.
    pub(crate) fn scroll_up(&mut self, rows: usize) {
        let Some(top) = self.top() else { return };
        if let Some(up) = self.up_from(top, rows)
            && up != top
        {
            self.set_top(up);
        }
    }

    /// Shows newer rows; follows the newest if they are reached.
    pub(crate) fn scroll_down(&mut self, rows: usize) {
        if self.timeline.scroll == Scroll::Bottom {
            return;
        }
        let Some(top) = self.top() else { return };
        match self.down_from(top, rows) {
            Some(down) => self.set_top(down),
            None => self.timeline.follow(),
        }
    }

    /// Shows the first rows there are.
    pub(crate) fn scroll_to_top(&mut self) {
        let first = self.timeline.entries().keys().next().copied();
        if let (Some(first), Some(now)) = (first, self.top())
            && now != (first, 0)
        {
            self.set_top((first, 0));
        }
    }

    /// The rows on the screen. Follows the newest rows if they have come into sight.
    pub(crate) fn see(&mut self) -> Seen {
        let mut seen = self.rows_from_top();
        if let Scroll::At { .. } = self.timeline.scroll {
            let beyond = self.top().and_then(|top| self.down_from(top, self.height));
            if beyond.is_none() {
                self.timeline.follow();
                seen = self.rows_from_top();
            }
        }
        self.layouts.sweep();
        seen
    }

    fn rows_from_top(&mut self) -> Seen {
        let mut seen = Seen::default();
        let Some((top, first_row)) = self.top() else { return seen };
        seen.at_top = first_row == 0 && self.before(top).is_none();
        let (mut place, mut row) = (top, first_row);
        while seen.rows.len() < self.height {
            let Some(laid) = self.lay(place) else { break };
            let room = self.height - seen.rows.len();
            let rows = (row..laid.height()).take(room);
            seen.rows.extend(rows.map(|row| SeenRow { laid: Rc::clone(&laid), row }));
            let Some(next) = self.after(place) else { break };
            (place, row) = (next, 0);
        }
        seen
    }
}
