//! What was typed before.

use std::collections::VecDeque;

/// Inputs kept.
const KEPT: usize = 200;
/// Longer inputs are not worth the memory.
const LONGEST_BYTES: usize = 16 << 10;

/// Inputs that were sent, and where in them the user is.
#[derive(Debug, Default)]
pub(crate) struct History {
    sent: VecDeque<String>,
    /// Index of the input on the screen.
    at: Option<usize>,
    /// What was being typed before the user went back.
    draft: String,
}

impl History {
    /// Remembers an input; one typed twice in a row is kept once.
    pub(crate) fn push(&mut self, text: &str) {
        self.at = None;
        if text.len() > LONGEST_BYTES || self.sent.back().is_some_and(|last| last == text) {
            return;
        }
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(text.to_owned());
    }

    /// The input before the one on the screen.
    pub(crate) fn older(&mut self, current: &str) -> Option<String> {
        let at = self.at.unwrap_or(self.sent.len()).checked_sub(1)?;
        let text = self.sent.get(at)?.clone();
        if self.at.is_none() {
            self.draft = current.to_owned();
        }
        self.at = Some(at);
        Some(text)
    }

    /// The input after the one on the screen, in the end what was being typed.
    pub(crate) fn newer(&mut self) -> Option<String> {
        let at = self.at? + 1;
        self.at = (at < self.sent.len()).then_some(at);
        match self.at {
            Some(at) => self.sent.get(at).cloned(),
            None => Some(std::mem::take(&mut self.draft)),
        }
    }

    /// Forgets where the user was in it.
    pub(crate) fn leave(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_forth_and_the_draft() {
        let mut history = History::default();
        assert_eq!(history.older("draft"), None);
        for text in ["one", "two", "two"] {
            history.push(text);
        }
        assert_eq!(history.older("draft").as_deref(), Some("two"));
        assert_eq!(history.older("two").as_deref(), Some("one"));
        assert_eq!(history.older("one"), None);
        assert_eq!(history.newer().as_deref(), Some("two"));
        assert_eq!(history.newer().as_deref(), Some("draft"));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut history = History::default();
        for n in 0..1000 {
            history.push(&n.to_string());
        }
        history.push(&"x".repeat(LONGEST_BYTES + 1));
        assert_eq!(history.sent.len(), KEPT);
        assert_eq!(history.sent.back().map(String::as_str), Some("999"));
    }
}
