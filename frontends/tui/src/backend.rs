//! Keeps the screen right on terminals that draw a grapheme wider or narrower than it was counted. They
//! disagree about flags, families, skin tones and new emoji; what spills over the counted cells would stay
//! there after the grapheme is gone, since `ratatui` writes only cells that changed.
//!
//! So a row with such a grapheme, now or before, is painted whole whenever it changes: blanks under the
//! grapheme first, and everything behind it at a place of its own.

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell, CellWidth};
use ratatui::layout::{Position, Rect, Size};

/// A backend that repaints rows with graphemes of disputed width.
pub(crate) struct Repainting<B> {
    inner: B,
    /// What is on the screen.
    shown: Buffer,
    /// Which rows have a grapheme of disputed width.
    disputed: Vec<bool>,
}

/// Whether terminals disagree about the cells this takes: clusters of several code points, and emoji.
fn is_disputed(symbol: &str) -> bool {
    let mut chars = symbol.chars();
    match (chars.next(), chars.next()) {
        (Some(_), Some(_)) => true,
        (Some(c), None) => {
            c >= '\u{1F000}' || (('\u{2300}'..='\u{2BFF}').contains(&c) && symbol.cell_width() > 1)
        }
        (None, _) => false,
    }
}

impl<B: Backend> Repainting<B> {
    /// Around a backend.
    ///
    /// # Errors
    /// If the size of the screen can't be had.
    pub(crate) fn new(inner: B) -> Result<Self, B::Error> {
        let mut backend = Self { inner, shown: Buffer::empty(Rect::ZERO), disputed: Vec::new() };
        backend.forget()?;
        Ok(backend)
    }

    /// The screen is empty, and may have another size.
    fn forget(&mut self) -> Result<(), B::Error> {
        let size = self.inner.size()?;
        self.shown = Buffer::empty(Rect::new(0, 0, size.width, size.height));
        self.disputed = vec![false; usize::from(size.height)];
        Ok(())
    }

    fn row_is_disputed(&self, y: u16) -> bool {
        let area = self.shown.area;
        (0..area.width).any(|x| self.shown.cell((x, y)).is_some_and(|cell| is_disputed(cell.symbol())))
    }

    fn paint_row(&mut self, y: u16) -> Result<(), B::Error> {
        let blank = Cell::EMPTY;
        let mut run = Vec::new();
        let mut x = 0;
        while let Some(cell) = self.shown.cell((x, y)) {
            let wide = cell.symbol().cell_width().max(1);
            if is_disputed(cell.symbol()) {
                // Each call begins by moving the cursor.
                self.inner.draw(run.drain(..))?;
                self.inner.draw((x..x.saturating_add(wide)).map(|x| (x, y, &blank)))?;
                self.inner.draw([(x, y, cell)].into_iter())?;
            } else {
                run.push((x, y, cell));
            }
            x = x.saturating_add(wide);
        }
        self.inner.draw(run.into_iter())
    }
}

impl<B: Backend> Backend for Repainting<B> {
    type Error = B::Error;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Self::Error>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let changed: Vec<(u16, u16, &Cell)> = content.collect();
        let mut whole: Vec<u16> = Vec::new();
        for &(x, y, cell) in &changed {
            if let Some(shown) = self.shown.cell_mut((x, y)) {
                shown.clone_from(cell);
            }
            // What a wide grapheme covers is not among the changes.
            for covered in x.saturating_add(1)..x.saturating_add(cell.symbol().cell_width()) {
                if let Some(shown) = self.shown.cell_mut((covered, y)) {
                    shown.reset();
                }
            }
            let disputed = self.disputed.get(usize::from(y)).is_some_and(|&before| before);
            if (disputed || is_disputed(cell.symbol())) && whole.last() != Some(&y) {
                whole.push(y);
            }
        }
        let simple = changed.into_iter().filter(|(_, y, _)| !whole.contains(y));
        self.inner.draw(simple)?;
        for y in whole {
            self.paint_row(y)?;
            let is_disputed = self.row_is_disputed(y);
            if let Some(disputed) = self.disputed.get_mut(usize::from(y)) {
                *disputed = is_disputed;
            }
        }
        Ok(())
    }

    fn clear_region(&mut self, clear_type: ClearType) -> Result<(), Self::Error> {
        if clear_type == ClearType::All {
            self.forget()?;
        }
        self.inner.clear_region(clear_type)
    }

    fn clear(&mut self) -> Result<(), Self::Error> {
        self.forget()?;
        self.inner.clear()
    }

    fn hide_cursor(&mut self) -> Result<(), Self::Error> {
        self.inner.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), Self::Error> {
        self.inner.show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Self::Error> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Self::Error> {
        self.inner.set_cursor_position(position)
    }

    fn size(&self) -> Result<Size, Self::Error> {
        self.inner.size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Self::Error> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::style::Style;

    use super::*;

    /// A terminal that gives every code point outside of ASCII two cells, and knows no clusters.
    struct Stubborn {
        screen: TestBackend,
        cells: Rc<RefCell<Vec<Vec<char>>>>,
    }

    impl Backend for Stubborn {
        type Error = <TestBackend as Backend>::Error;
        fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(
            &mut self,
            content: I,
        ) -> Result<(), Self::Error> {
            let mut cursor: Option<(usize, u16, u16)> = None;
            for (x, y, cell) in content {
                // As the crossterm backend: contiguous cells are written without moving.
                let mut at = match cursor {
                    Some((at, last, row)) if row == y && x == last + 1 => at,
                    _ => usize::from(x),
                };
                let row = &mut self.cells.borrow_mut()[usize::from(y)];
                for c in cell.symbol().chars() {
                    for (index, drawn) in
                        [c, '~'].into_iter().take(if c.is_ascii() { 1 } else { 2 }).enumerate()
                    {
                        if let Some(slot) = row.get_mut(at + index) {
                            *slot = drawn;
                        }
                    }
                    at += if c.is_ascii() { 1 } else { 2 };
                }
                cursor = Some((at, x, y));
            }
            Ok(())
        }
        fn hide_cursor(&mut self) -> Result<(), Self::Error> {
            self.screen.hide_cursor()
        }
        fn show_cursor(&mut self) -> Result<(), Self::Error> {
            self.screen.show_cursor()
        }
        fn get_cursor_position(&mut self) -> Result<Position, Self::Error> {
            self.screen.get_cursor_position()
        }
        fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Self::Error> {
            self.screen.set_cursor_position(position)
        }
        fn clear(&mut self) -> Result<(), Self::Error> {
            self.screen.clear()
        }
        fn clear_region(&mut self, clear_type: ClearType) -> Result<(), Self::Error> {
            self.screen.clear_region(clear_type)
        }
        fn size(&self) -> Result<Size, Self::Error> {
            self.screen.size()
        }
        fn window_size(&mut self) -> Result<WindowSize, Self::Error> {
            self.screen.window_size()
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            self.screen.flush()
        }
    }

    #[test]
    fn nothing_is_left_behind_and_nothing_shifted() {
        let cells = Rc::new(RefCell::new(vec![vec![' '; 30]; 2]));
        let stubborn = Stubborn { screen: TestBackend::new(30, 2), cells: Rc::clone(&cells) };
        let mut terminal = Terminal::new(Repainting::new(stubborn).unwrap()).unwrap();
        let mut show = |text: &str| {
            terminal.draw(|frame| frame.buffer_mut().set_string(0, 0, text, Style::new())).unwrap();
            cells.borrow()[0].iter().collect::<String>().trim_end().to_owned()
        };
        for text in ["a 👩‍👩‍👧‍👦 b", "🇩🇪🇫🇷 end", "cafe\u{301} x", "👍🏽"] {
            let shown = show(text);
            let last = text.chars().last().unwrap();
            if last.is_ascii() {
                // What stands behind is where it was counted to be.
                let counted: u16 = unicode_cells(text.strip_suffix(last).unwrap());
                assert_eq!(shown.chars().nth(usize::from(counted)), Some(last), "{shown:?}");
            }
            assert_eq!(show("plain"), "plain", "after {text:?}");
            show(text);
            assert_eq!(show(""), "", "after {text:?}");
        }
    }

    fn unicode_cells(text: &str) -> u16 {
        u16::try_from(crate::text::width(text)).unwrap()
    }

    #[test]
    fn what_is_disputed() {
        for symbol in ["👩‍👩‍👧‍👦", "🇩🇪", "e\u{301}", "🫠", "❤\u{fe0f}", "⭐"] {
            assert!(is_disputed(symbol), "{symbol}");
        }
        for symbol in ["a", "é", "日", "한", "✓", "│", " ", ""] {
            assert!(!is_disputed(symbol), "{symbol}");
        }
    }
}
