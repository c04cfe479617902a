//! Everything the screen shows, as plain data. Snapshots, events, answers and keys go in; what is to be
//! done comes out as [`Effect`]s. Nothing here waits, draws or reads a clock.

mod act;
mod ask;
pub(crate) mod lines;
mod news;
mod notices;
pub(crate) mod pane;
pub(crate) mod timeline;
mod typing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chat_core::api::event::Event;
use chat_core::api::{Command, ConversationKind, ConversationView, Destination, Snapshot};
use chat_core::{ConversationId, MessageId, PeerId, Timestamp};

use crate::clock::Clock;
use crate::input::complete::Completion;
use crate::input::editor::{Editor, EditorRows};
use crate::input::history::History;
use ask::Asked;
use lines::{Layouts, Measure};
use pane::{Pane, Seen};
use timeline::{Scroll, Severity, SystemLine, Timeline, Topic};

pub(crate) use news::News;

/// The smallest screen that is usable.
pub(crate) const SMALLEST: (u16, u16) = (40, 10);
/// Cells of the prompt before the input.
pub(crate) const PROMPT_CELLS: u16 = 2;
/// Most rows of the input that are shown.
const INPUT_ROWS: u16 = 6;

/// A name for a command, to know its answer by.
pub(crate) type Token = u64;

/// Something the state can't do itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Give a command to the engine, and the answer to [`State::answer`].
    Submit(Token, Command),
    /// Tell the engine that the user writes in a conversation, or no longer does; nobody waits for its answer.
    Typing(ConversationId, bool),
    /// Leave.
    Quit,
    /// Ring the terminal's bell.
    Bell,
    /// Draw everything anew.
    Redraw,
}

/// What the user set in the profile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Whether rows begin with the time.
    pub(crate) timestamps: bool,
    /// Whether a message rings the bell.
    pub(crate) bell: bool,
}

/// Asking for older messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Older {
    Idle,
    Asked,
    /// Not asked again before the user scrolls.
    Refused,
}

/// One conversation, or the status tab, which has none.
#[derive(Debug)]
pub(crate) struct Tab {
    /// `None` for the status tab.
    pub(crate) id: Option<ConversationId>,
    /// What the last snapshot says of it.
    pub(crate) view: Option<Arc<ConversationView>>,
    /// What is said in it.
    pub(crate) timeline: Timeline,
    /// What is being typed to it.
    pub(crate) editor: Editor,
    older: Older,
    /// The last message that was marked as read, and whether the answer is awaited.
    marked: (Option<MessageId>, bool),
}

impl Tab {
    fn new(id: Option<ConversationId>) -> Self {
        Self {
            id,
            view: None,
            timeline: Timeline::new(),
            editor: Editor::default(),
            older: Older::Idle,
            marked: (None, false),
        }
    }

    /// Goes back to the newest lines.
    fn follow(&mut self) {
        self.timeline.follow();
        self.merge_if_touched();
    }

    fn merge_if_touched(&mut self) {
        if let Some(view) = self.view.as_ref().filter(|_| self.timeline.is_touched()) {
            self.timeline.merge(view);
        }
    }
}

/// What is on the screen, for a screen of one size.
#[derive(Debug)]
pub(crate) struct Arranged {
    /// Columns and rows of the screen.
    pub(crate) size: (u16, u16),
    /// What was said, and how it is measured.
    pub(crate) seen: Seen,
    /// How rows are measured.
    pub(crate) measure: Measure,
    /// Rows of the screen for it.
    pub(crate) pane_rows: u16,
    /// How many new messages are out of sight below, if the user scrolled up.
    pub(crate) below: Option<u32>,
    /// The input.
    pub(crate) input: EditorRows,
    /// Rows of the screen for it.
    pub(crate) input_rows: u16,
    /// The first of its rows that is seen.
    pub(crate) input_top: usize,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct State {
    snapshot: Arc<Snapshot>,
    /// The status tab, then the conversations in the order in which they appeared, so that their numbers stay.
    tabs: Vec<Tab>,
    places: HashMap<ConversationId, usize>,
    current: usize,
    /// Whether the user chose what to see.
    chosen: bool,
    /// To be shown as soon as it is there.
    opening: Option<Destination>,
    history: History,
    completion: Option<Completion>,
    asked: HashMap<Token, Asked>,
    next_token: Token,
    layouts: Layouts,
    arranged: Option<Arranged>,
    settings: Settings,
    now: Timestamp,
    /// Who writes where, with names.
    writers: BTreeMap<(ConversationId, PeerId), String>,
    /// Where it was said last that the user writes, and when.
    said_typing: Option<(ConversationId, Timestamp)>,
    effects: Vec<Effect>,
}

impl State {
    /// What a snapshot shows.
    pub(crate) fn new(snapshot: Arc<Snapshot>, settings: Settings, clock: Clock, now: Timestamp) -> Self {
        let measure = Measure { width: 80, timestamps: settings.timestamps };
        let mut state = Self {
            snapshot: Arc::clone(&snapshot),
            tabs: vec![Tab::new(None)],
            places: HashMap::new(),
            current: 0,
            chosen: false,
            opening: None,
            history: History::default(),
            completion: None,
            asked: HashMap::new(),
            next_token: 0,
            layouts: Layouts::new(clock, measure),
            arranged: None,
            settings,
            now,
            writers: BTreeMap::new(),
            said_typing: None,
            effects: Vec::new(),
        };
        state.greet();
        state.take_snapshot(snapshot);
        state
    }

    fn greet(&mut self) {
        let Snapshot { nick, peer_id, .. } = &*self.snapshot;
        let text = format!("you are {nick}; your fingerprint is {peer_id}");
        self.say(0, Severity::Info, Topic::None, text);
        let text = "type a text and press Enter; /help lists commands and keys".to_owned();
        self.say(0, Severity::Info, Topic::None, text);
    }

    /// Sets what time it is, for what comes next.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes what is to be done.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The last snapshot.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// All tabs, the status tab first.
    pub(crate) fn tabs(&self) -> &[Tab] {
        &self.tabs
    }

    /// Which tab is shown.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// The tab that is shown.
    pub(crate) fn tab(&self) -> Option<&Tab> {
        self.tabs.get(self.current)
    }

    fn tab_mut(&mut self) -> Option<&mut Tab> {
        self.tabs.get_mut(self.current)
    }

    /// What [`State::arrange`] found; `None` if the screen is too small.
    pub(crate) fn arranged(&self) -> Option<&Arranged> {
        self.arranged.as_ref()
    }

    /// The tab of a conversation.
    fn tab_of(&self, destination: &Destination) -> Option<usize> {
        let with = |tab: &Tab| {
            let Some(view) = &tab.view else { return false };
            match (destination, &view.with) {
                (Destination::Conversation(id), _) => view.id == *id,
                (Destination::Room(name), with) => with.room().is_some_and(|(room, _)| room == name),
                (Destination::Peer(id), ConversationKind::Direct { peer }) => peer == id,
                (Destination::Nick(nick), ConversationKind::Direct { .. }) => view.name == *nick,
                _ => false,
            }
        };
        self.tabs.iter().position(with)
    }

    /// Adds a line of the program to a tab. `text` may have several lines; they are made inert here.
    fn say(&mut self, tab: usize, severity: Severity, topic: Topic, text: String) {
        let line = SystemLine { at: self.now, severity, topic, times: 1, text };
        if let Some(tab) = self.tabs.get_mut(tab) {
            let text = crate::text::clean(&line.text).into_owned();
            tab.timeline.say(SystemLine { text, ..line });
        }
    }

    fn show(&mut self, tab: usize) {
        if tab < self.tabs.len() {
            self.current = tab;
            // A refusal to mark as read is tried again with the next visit.
            self.tabs.iter_mut().for_each(|tab| tab.marked.0 = None);
            self.opening = None;
            self.completion = None;
            self.history.leave();
        }
    }

    /// Finds out what is seen on a screen of this size, and asks for what is missing in it.
    pub(crate) fn arrange(&mut self, width: u16, height: u16) {
        if width < SMALLEST.0 || height < SMALLEST.1 {
            self.arranged = None;
            return;
        }
        let measure = Measure { width, timestamps: self.settings.timestamps };
        if self.layouts.measure() != measure {
            self.layouts.reset(measure);
        }
        let Some(tab) = self.tabs.get_mut(self.current) else { return };
        let most = usize::from(INPUT_ROWS.min(height / 3));
        let input = tab.editor.rows(width - PROMPT_CELLS, most);
        let shown = input.rows.len().min(most);
        let input_rows = u16::try_from(shown).unwrap_or(1);
        let rows = height - 2 - input_rows;
        let (seen, pane_rows) = see(tab, &mut self.layouts, rows);
        let below = match tab.timeline.scroll {
            Scroll::Bottom => None,
            Scroll::At { new, .. } => Some(new),
        };
        let input_top = (input.cursor.0 + 1).saturating_sub(shown);
        let size = (width, height);
        self.arranged =
            Some(Arranged { size, seen, measure, pane_rows, below, input, input_rows, input_top });
        self.ask_older();
        self.mark_read();
    }

    /// Something of one's own, or of somebody else?
    fn is_from_others(&self, event: &Event) -> bool {
        matches!(event, Event::MessageNew(new) if new.message.from.peer_id != self.snapshot.peer_id)
    }
}

/// The rows on the screen, and how many there is room for: one less while the user has scrolled up.
fn see(tab: &mut Tab, layouts: &mut Layouts, rows: u16) -> (Seen, u16) {
    for _ in 0..2 {
        let scrolled = tab.timeline.scroll != Scroll::Bottom;
        let pane_rows = rows - u16::from(scrolled);
        let height = usize::from(pane_rows);
        let seen = Pane { timeline: &mut tab.timeline, layouts, height }.see();
        if scrolled == (tab.timeline.scroll != Scroll::Bottom) {
            return (seen, pane_rows);
        }
        // The newest rows came into sight.
        tab.merge_if_touched();
    }
    (Seen::default(), rows)
}

#[cfg(test)]
mod tests;
