//! What keys do.

use chat_core::MessageId;
use chat_core::api::table::{self, Line};
use chat_core::api::{Command, Destination, MessageState, command};
use chat_core::room::RoomAddress;

use super::ask::Asked;
use super::pane::Pane;
use super::timeline::{Severity, Topic};
use super::{Effect, Older, State, Tab};
use crate::input::complete::{Completion, Sources};
use crate::input::editor::{Editor, TooLong};
use crate::input::keys::{self, Action, Edit, Step, Switch};

impl State {
    /// A key was pressed.
    pub(crate) fn act(&mut self, action: Action) {
        if !matches!(action, Action::Complete { .. }) {
            self.completion = None;
        }
        // A draft that one only looks at is not being written.
        let writes = !matches!(action, Action::Switch(_) | Action::Scroll(_) | Action::Quit | Action::Redraw);
        match action {
            Action::Insert(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Action::Newline => self.insert("\n"),
            Action::Enter => self.enter(),
            Action::Edit(edit) => self.edit(edit),
            Action::Complete { backwards } => self.complete(backwards),
            Action::Scroll(step) => self.scroll(step),
            Action::Switch(switch) => self.switch(switch),
            Action::DeleteOrQuit => match self.tab_mut() {
                Some(tab) if !tab.editor.is_empty() => tab.editor.delete(),
                _ => self.effects.push(Effect::Quit),
            },
            Action::Quit => self.effects.push(Effect::Quit),
            Action::Redraw => self.effects.push(Effect::Redraw),
        }
        self.tell_typing(writes);
    }

    /// Text was pasted.
    pub(crate) fn paste(&mut self, text: &str) {
        self.completion = None;
        self.insert(text);
        self.tell_typing(true);
    }

    fn insert(&mut self, text: &str) {
        if let Some(tab) = self.tab_mut() {
            let result = tab.editor.insert(text);
            self.report(result);
        }
    }

    fn report(&mut self, result: Result<(), TooLong>) {
        if let Err(error) = result {
            self.complain(error.to_string());
        }
    }

    /// Says in the tab that is shown what went wrong.
    pub(super) fn complain(&mut self, text: String) {
        self.say(self.current, Severity::Alarm, Topic::None, text);
    }

    fn edit(&mut self, edit: Edit) {
        let Some(tab) = self.tabs.get_mut(self.current) else { return };
        let editor = &mut tab.editor;
        match edit {
            Edit::Home if editor.is_empty() => self.scroll(Step::Top),
            Edit::End if editor.is_empty() => self.scroll(Step::Bottom),
            Edit::Up => {
                if !editor.up()
                    && let Some(text) = self.history.older(editor.text())
                {
                    editor.set(text);
                }
            }
            Edit::Down => {
                if !editor.down()
                    && let Some(text) = self.history.newer()
                {
                    editor.set(text);
                }
            }
            Edit::Backspace => editor.backspace(),
            Edit::Delete => editor.delete(),
            Edit::Left => editor.left(),
            Edit::Right => editor.right(),
            Edit::WordLeft => editor.word_left(),
            Edit::WordRight => editor.word_right(),
            Edit::Home | Edit::LineStart => editor.home(),
            Edit::End | Edit::LineEnd => editor.end(),
            Edit::KillToStart => editor.kill_to_start(),
            Edit::KillToEnd => editor.kill_to_end(),
            Edit::KillWord => editor.kill_word(),
        }
    }

    fn switch(&mut self, switch: Switch) {
        let count = self.tabs.len();
        let to = match switch {
            Switch::Next => (self.current + 1) % count,
            Switch::Previous => (self.current + count - 1) % count,
            Switch::Number(number) => number,
        };
        self.chosen = true;
        self.show(to);
    }

    fn scroll(&mut self, step: Step) {
        let rows = self.arranged.as_ref().map_or(0, |arranged| usize::from(arranged.pane_rows));
        let Some(tab) = self.tabs.get_mut(self.current) else { return };
        if tab.older == Older::Refused {
            tab.older = Older::Idle;
        }
        let mut pane = Pane { timeline: &mut tab.timeline, layouts: &mut self.layouts, height: rows };
        // One row of the page before stays, for the eye.
        let page = rows.saturating_sub(2).max(1);
        match step {
            Step::PageUp => pane.scroll_up(page),
            Step::LineUp => pane.scroll_up(1),
            Step::PageDown => pane.scroll_down(page),
            Step::LineDown => pane.scroll_down(1),
            Step::Top => pane.scroll_to_top(),
            Step::Bottom => tab.follow(),
        }
        tab.merge_if_touched();
    }

    fn complete(&mut self, backwards: bool) {
        if self.completion.is_none() {
            let sources = self.sources();
            let before = self.tab().map(|tab| tab.editor.before_cursor()).unwrap_or_default();
            self.completion = Completion::begin(before, &sources);
        }
        let Some(completion) = &mut self.completion else { return };
        let start = completion.start;
        let text = completion.step(backwards);
        if let Some(tab) = self.tabs.get_mut(self.current) {
            let result = tab.editor.replace_before_cursor(start, text);
            self.report(result);
        }
    }

    fn sources(&self) -> Sources {
        let me = self.snapshot.peer_id;
        let others = self.snapshot.peers.iter().filter(|peer| peer.peer_id != me);
        let rooms = self.snapshot.conversations.iter().filter(|view| view.name.starts_with('#'));
        let failed = self.tab().into_iter().flat_map(failed);
        Sources {
            peers: others.map(|peer| peer.nick.clone()).collect(),
            rooms: rooms.map(|view| view.name.clone()).collect(),
            failed: failed.take(50).map(|id| id.to_string()).collect(),
        }
    }

    fn enter(&mut self) {
        let text = self.tab().map(|tab| tab.editor.text().to_owned()).unwrap_or_default();
        let line = match self.whole_retry(&text) {
            None => table::parse_line_in(&text, self.room_here().as_ref()),
            Some(Ok(line)) => table::parse_line(&line),
            Some(Err(why)) => return self.complain(why),
        };
        match line {
            Ok(Line::Empty) => {}
            Ok(Line::Text(said)) => self.say_text(text, said),
            Ok(Line::Help(about)) => {
                self.typed(&text);
                self.help(about.as_deref());
            }
            Ok(Line::Command(command)) => {
                self.typed(&text);
                self.run(text, command);
            }
            // The line stays, to be put right.
            Err(error) => self.complain(error.to_string()),
        }
    }

    /// The room of the tab that is shown, if it is one.
    fn room_here(&self) -> Option<RoomAddress> {
        let id = self.tab().and_then(|tab| tab.id)?;
        self.snapshot.conversation(id)?.with.room().map(|(room, _)| room.clone())
    }

    /// `/retry` means the last message that failed here, `/retry 0f3a` the failed one whose id begins so. Gives the line
    /// with the whole id, or what is wrong with it; nothing for any other line.
    fn whole_retry(&self, line: &str) -> Option<Result<String, String>> {
        let typed = line.trim().strip_prefix("/retry")?;
        if !typed.is_empty() && !typed.starts_with(char::is_whitespace) {
            return None;
        }
        let typed = typed.trim().to_ascii_lowercase();
        let here = self.tab().into_iter().flat_map(failed);
        if typed.is_empty() {
            let last = here.map(|id| format!("/retry {id}")).next();
            return Some(last.ok_or_else(|| "no message here has failed".to_owned()));
        }
        if typed.parse::<MessageId>().is_ok() || !typed.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let mut meant: Vec<MessageId> = self.tabs.iter().flat_map(failed).collect();
        meant.retain(|id| id.to_string().starts_with(&typed));
        Some(match meant.as_slice() {
            [] => Err(format!("no message that failed has an id that begins with {typed}")),
            [id] => Ok(format!("/retry {id}")),
            _ => Err(format!(
                "{} messages that failed begin with {typed}: type more, or press Tab",
                meant.len()
            )),
        })
    }

    /// Clears the input and remembers what was in it.
    fn typed(&mut self, text: &str) {
        self.history.push(text);
        if let Some(tab) = self.tab_mut() {
            tab.editor = Editor::default();
            tab.follow();
        }
    }

    fn say_text(&mut self, typed: String, said: String) {
        let Some(id) = self.tab().and_then(|tab| tab.id) else {
            let hint = "nobody listens here: /msg NICK TEXT, /join #ROOM, or Ctrl-N for a conversation";
            return self.complain(hint.to_owned());
        };
        self.typed(&typed);
        let send = command::Send { to: Destination::Conversation(id), text: said, client_id: None };
        self.submit(Command::Send(send), Asked::Line { tab: Some(id), line: typed, opens: None });
    }

    fn help(&mut self, about: Option<&str>) {
        let mut lines = table::help(about);
        if about.is_none() {
            lines.push(String::new());
            lines.extend(keys::HELP.iter().map(|line| (*line).to_owned()));
        }
        self.say(self.current, Severity::Info, Topic::None, lines.join("\n"));
    }
}

/// The messages of a conversation that failed, the newest first.
fn failed(tab: &Tab) -> impl Iterator<Item = MessageId> {
    let has_failed = |delivery: &chat_core::api::Delivery| delivery.state == MessageState::Failed;
    let messages = tab.timeline.newest_first();
    messages
        .filter(move |message| message.delivery.as_ref().is_some_and(has_failed))
        .map(|message| message.id)
}
