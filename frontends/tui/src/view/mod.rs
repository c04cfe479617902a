//! The screen: tabs, what was said, the status line, the input. Text from outside never stands left of
//! text of the program in a row that has fixed columns, so a terminal that draws a grapheme wider than
//! expected can shift nothing but that text.

mod bars;
pub(crate) mod theme;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::state::lines::GUTTER_CELLS;
use crate::state::pane::SeenRow;
use crate::state::{Arranged, PROMPT_CELLS, SMALLEST, State};
use crate::text;
use theme::Theme;

/// Draws the state as [`State::arrange`] left it.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let area = frame.area();
    let arranged = state.arranged().filter(|arranged| arranged.size == (area.width, area.height));
    let Some(arranged) = arranged else { return draw_too_small(frame, area) };
    let buffer = frame.buffer_mut();
    bars::draw_tabs(buffer, Rect { height: 1, ..area }, state, theme);
    let mut below = area.y + 1;
    let pane = Rect { y: below, height: arranged.pane_rows, ..area };
    draw_pane(buffer, pane, arranged, theme);
    below += arranged.pane_rows;
    if let Some(new) = arranged.below {
        bars::draw_below(buffer, Rect { y: below, height: 1, ..area }, new, theme);
        below += 1;
    }
    bars::draw_status(buffer, Rect { y: below, height: 1, ..area }, state, theme);
    let input = Rect { y: below + 1, height: arranged.input_rows, ..area };
    let cursor = draw_input(buffer, input, arranged, state, theme);
    frame.set_cursor_position(cursor);
}

fn draw_too_small(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = SMALLEST;
    let message = format!("terminal too small: it has {}x{}, ", area.width, area.height);
    let message = format!("{message}{width}x{height} are needed");
    let rows = text::wrap(&message, area.width, area.width);
    for (y, (start, end)) in (area.top()..area.bottom()).zip(rows) {
        let row = message.get(start as usize..end as usize).unwrap_or_default();
        put(frame.buffer_mut(), Rect { y, height: 1, ..area }, row, Style::new());
    }
}

/// Puts a text into a row, as much of it as fits; gives how many cells it took.
fn put(buffer: &mut Buffer, row: Rect, text: &str, style: Style) -> u16 {
    if row.is_empty() {
        return 0;
    }
    let (end, _) = buffer.set_stringn(row.x, row.y, text, usize::from(row.width), style);
    end - row.x
}

/// What is right of the first `cells` of a row.
fn behind(row: Rect, cells: u16) -> Rect {
    let cells = cells.min(row.width);
    Rect { x: row.x + cells, width: row.width - cells, ..row }
}

fn draw_pane(buffer: &mut Buffer, area: Rect, arranged: &Arranged, theme: Theme) {
    let rows = &arranged.seen.rows;
    let used = u16::try_from(rows.len()).unwrap_or(area.height).min(area.height);
    // The newest row stands just above the status line.
    let top = area.bottom() - used;
    for (y, seen) in (top..area.bottom()).zip(rows) {
        draw_row(buffer, Rect { y, height: 1, ..area }, seen, arranged, theme);
    }
}

fn draw_row(buffer: &mut Buffer, row: Rect, seen: &SeenRow, arranged: &Arranged, theme: Theme) {
    let Some((part, line)) = seen.laid.row(seen.row) else { return };
    let gutter = Rect { width: 2.min(row.width), ..row };
    put(buffer, gutter, part.gutter(line.is_first), theme.gutter(part.tone));
    if line.is_first && arranged.measure.timestamps {
        put(buffer, behind(row, GUTTER_CELLS), &part.time, theme.dim());
    }
    let body = behind(row, arranged.measure.indent(line.is_first));
    let cells = put(buffer, body, line.head, theme.head(part.tone));
    put(buffer, behind(body, cells), line.body, theme.body(part.tone));
}

fn draw_input(buffer: &mut Buffer, area: Rect, arranged: &Arranged, state: &State, theme: Theme) -> Position {
    let typed = state.tab().map(|tab| tab.editor.text()).unwrap_or_default();
    let Arranged { input, input_top, .. } = arranged;
    let rows = input.rows.iter().enumerate().skip(*input_top);
    for (y, (index, &(start, end))) in (area.top()..area.bottom()).zip(rows) {
        let row = Rect { y, height: 1, ..area };
        let prompt = if index == 0 && input.from_start { ">" } else { "." };
        put(buffer, row, prompt, theme.dim());
        let text = typed.get(start as usize..end as usize).unwrap_or_default();
        put(buffer, behind(row, PROMPT_CELLS), &text::clean(text), Style::new());
    }
    let y = area.y + u16::try_from(input.cursor.0.saturating_sub(*input_top)).unwrap_or(0);
    let x = area.x + PROMPT_CELLS + input.cursor.1;
    Position { x: x.min(area.right().saturating_sub(1)), y: y.min(area.bottom().saturating_sub(1)) }
}

#[cfg(test)]
mod tests;
