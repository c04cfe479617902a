//! Which key does what. The list in `help` is the one users see.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Type a character.
    Insert(char),
    /// Begin a new line in the input.
    Newline,
    /// Send the input.
    Enter,
    /// Change or move in the input.
    Edit(Edit),
    /// Complete the word before the cursor; again for the next candidate.
    Complete {
        /// The candidate before instead.
        backwards: bool,
    },
    /// Move in what was said.
    Scroll(Step),
    /// Show another conversation.
    Switch(Switch),
    /// Leave if the input is empty, else delete a character.
    DeleteOrQuit,
    /// Leave.
    Quit,
    /// Draw everything anew.
    Redraw,
}

/// Changes and moves in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Edit {
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    /// To the start of the line; at an empty input to the oldest message.
    Home,
    /// To the end of the line; at an empty input to the newest message.
    End,
    LineStart,
    LineEnd,
    KillToStart,
    KillToEnd,
    KillWord,
    /// A line up; on the first line, to the input before.
    Up,
    /// A line down; on the last line, to the next input.
    Down,
}

/// Moves in what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Step {
    PageUp,
    PageDown,
    LineUp,
    LineDown,
    Top,
    Bottom,
}

/// Which conversation to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Switch {
    Next,
    Previous,
    /// By its number in the tab bar; 0 is the status tab.
    Number(usize),
}

/// The keys, and what the marks mean, for `/help`.
pub(crate) const HELP: &[&str] = &[
    "Enter sends, Alt-Enter or Ctrl-J begins a new line, Tab completes",
    "Alt-0 … Alt-9, Ctrl-N, Ctrl-P, Alt-Left, Alt-Right show another conversation",
    "PageUp, PageDown, Shift-Up, Shift-Down scroll; Ctrl-Home goes to the oldest, Esc to the newest message",
    "Up, Down bring back what you typed; Ctrl-L draws the screen anew; Ctrl-C or /exit leaves",
    "",
    "… kept here   › sent   ✓ on the relay's disk   ✓✓ delivered, in another colour once read   ✗ failed",
    "in a room all members must have come so far; delivered 2/7 or read 2/7: so far 2 of 7 members have",
    "~ before a message: the key of its author is not verified; /verify NICK shows what to compare",
    "/retry alone tries the last message again that failed here",
];

/// What a key event asks for, if anything.
pub(crate) fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let modifiers = key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
    if modifiers == KeyModifiers::CONTROL {
        control(key.code)
    } else if modifiers == KeyModifiers::ALT {
        alt(key.code)
    } else if !modifiers.is_empty() && !cfg!(windows) {
        // Control and Alt together; on Windows that is AltGr, which types.
        None
    } else {
        plain(key.code, key.modifiers.contains(KeyModifiers::SHIFT))
    }
}

fn plain(code: KeyCode, shift: bool) -> Option<Action> {
    Some(match code {
        KeyCode::Char(c) => Action::Insert(c),
        KeyCode::Enter if shift => Action::Newline,
        KeyCode::Enter => Action::Enter,
        KeyCode::Tab => Action::Complete { backwards: shift },
        KeyCode::BackTab => Action::Complete { backwards: true },
        KeyCode::Backspace => Action::Edit(Edit::Backspace),
        KeyCode::Delete => Action::Edit(Edit::Delete),
        KeyCode::Left => Action::Edit(Edit::Left),
        KeyCode::Right => Action::Edit(Edit::Right),
        KeyCode::Home => Action::Edit(Edit::Home),
        KeyCode::End => Action::Edit(Edit::End),
        KeyCode::Up if shift => Action::Scroll(Step::LineUp),
        KeyCode::Down if shift => Action::Scroll(Step::LineDown),
        KeyCode::Up => Action::Edit(Edit::Up),
        KeyCode::Down => Action::Edit(Edit::Down),
        KeyCode::PageUp => Action::Scroll(Step::PageUp),
        KeyCode::PageDown => Action::Scroll(Step::PageDown),
        KeyCode::Esc => Action::Scroll(Step::Bottom),
        _ => return None,
    })
}

fn control(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char('c') => Action::Quit,
        KeyCode::Char('d') => Action::DeleteOrQuit,
        KeyCode::Char('j') | KeyCode::Enter => Action::Newline,
        // What some terminals send for Backspace.
        KeyCode::Char('h') | KeyCode::Backspace => Action::Edit(Edit::Backspace),
        KeyCode::Char('a') => Action::Edit(Edit::LineStart),
        KeyCode::Char('e') => Action::Edit(Edit::LineEnd),
        KeyCode::Char('u') => Action::Edit(Edit::KillToStart),
        KeyCode::Char('k') => Action::Edit(Edit::KillToEnd),
        KeyCode::Char('w') => Action::Edit(Edit::KillWord),
        KeyCode::Char('b') => Action::Edit(Edit::Left),
        KeyCode::Char('f') => Action::Edit(Edit::Right),
        KeyCode::Left => Action::Edit(Edit::WordLeft),
        KeyCode::Right => Action::Edit(Edit::WordRight),
        KeyCode::Char('n') => Action::Switch(Switch::Next),
        KeyCode::Char('p') => Action::Switch(Switch::Previous),
        KeyCode::Char('l') => Action::Redraw,
        KeyCode::Home => Action::Scroll(Step::Top),
        KeyCode::End => Action::Scroll(Step::Bottom),
        _ => return None,
    })
}

fn alt(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Enter => Action::Newline,
        KeyCode::Left => Action::Switch(Switch::Previous),
        KeyCode::Right => Action::Switch(Switch::Next),
        KeyCode::Char('b') => Action::Edit(Edit::WordLeft),
        KeyCode::Char('f') => Action::Edit(Edit::WordRight),
        KeyCode::Backspace => Action::Edit(Edit::KillWord),
        KeyCode::Char(c) => Action::Switch(Switch::Number(usize::try_from(c.to_digit(10)?).ok()?)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_they_do() {
        let none = KeyModifiers::NONE;
        for (code, modifiers, expected) in [
            (KeyCode::Char('x'), none, Some(Action::Insert('x'))),
            (KeyCode::Char('X'), KeyModifiers::SHIFT, Some(Action::Insert('X'))),
            (KeyCode::Enter, none, Some(Action::Enter)),
            (KeyCode::Enter, KeyModifiers::ALT, Some(Action::Newline)),
            (KeyCode::Char('j'), KeyModifiers::CONTROL, Some(Action::Newline)),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Action::Quit)),
            (KeyCode::Char('d'), KeyModifiers::CONTROL, Some(Action::DeleteOrQuit)),
            (KeyCode::Char('3'), KeyModifiers::ALT, Some(Action::Switch(Switch::Number(3)))),
            (KeyCode::Char('n'), KeyModifiers::CONTROL, Some(Action::Switch(Switch::Next))),
            (KeyCode::Left, KeyModifiers::ALT, Some(Action::Switch(Switch::Previous))),
            (KeyCode::PageUp, none, Some(Action::Scroll(Step::PageUp))),
            (KeyCode::BackTab, KeyModifiers::SHIFT, Some(Action::Complete { backwards: true })),
            (KeyCode::Char('z'), KeyModifiers::CONTROL, None),
            (KeyCode::F(5), none, None),
        ] {
            assert_eq!(action(KeyEvent::new(code, modifiers)), expected, "{code:?} {modifiers:?}");
        }
        let mut release = KeyEvent::new(KeyCode::Char('x'), none);
        release.kind = KeyEventKind::Release;
        assert_eq!(action(release), None);
    }
}
