//! What every frontend must hold. In front of the screen sits somebody who looks at every tab, and types.

use std::sync::mpsc::SyncSender;

use chat_core::api::{ClientHandle, EventId, LinkState};
use chat_core::testing::frontend::{Answered, Conversation, Message, Screen as Seen, Seat};
use chat_core::testing::{Must as _, Violation};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::backend::TestBackend;

use super::*;
use crate::input::keys::{Action, Switch};
use crate::state::Tab;
use crate::state::timeline::{Entry, Severity, SystemLine, Topic};

const AT_ONCE: Duration = Duration::from_millis(1);
/// Turns after which nothing more is expected: each takes a millisecond at least when nothing happens.
const TURNS: u32 = 60_000;

/// Somebody at a terminal.
struct Person {
    screen: Screen<'static, TestBackend>,
    keys: SyncSender<Woken>,
    /// What was typed and is not answered.
    open: Vec<Token>,
    /// How many alarms of the program's own were there.
    alarms: usize,
}

impl Person {
    /// Terminal and handle live as long as the process, as those of the program do.
    fn sit_down(client: ClientHandle) -> Result<Self, Violation> {
        let terminal = Box::leak(Box::new(Terminal::new(TestBackend::new(120, 50)).must("a terminal")?));
        let client = Box::leak(Box::new(client));
        let (wakes, keys) = Wakes::new();
        let look = (Settings { timestamps: true, bell: false }, Theme { colour: true }, Clock::utc());
        let outside = Outside { ring: || Ok(()), probe: || Ok(()) };
        let mut screen = Screen::new(terminal, client, wakes, look, outside);
        screen.draw().must("drawing")?;
        Ok(Self { screen, keys, open: Vec::new(), alarms: 0 })
    }

    /// Turns until there is something.
    fn until<T>(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> Option<T>) -> Result<T, Violation> {
        for _ in 0..TURNS {
            let flow = self.screen.perform().must("what the state asked for")?;
            if let (Flow::Stay, Some(found)) = (flow, is(self)) {
                return Ok(found);
            }
            self.screen.turn(AT_ONCE).must("a turn")?;
        }
        Err(Violation::new(format!("it never came about: {what}")))
    }

    fn lines(tabs: &[Tab]) -> impl Iterator<Item = &Arc<SystemLine>> {
        let entries = tabs.iter().flat_map(|tab| tab.timeline.entries().values());
        entries.filter_map(|entry| match entry {
            Entry::System(line) => Some(line),
            Entry::Message(_) => None,
        })
    }

    /// What went wrong, as the program says it.
    fn complaints(&self) -> Vec<String> {
        let lines = Self::lines(self.screen.state.tabs());
        let own = lines.filter(|line| line.severity == Severity::Alarm && line.topic == Topic::None);
        own.map(|line| line.text.clone()).collect()
    }

    fn key(&self, code: KeyCode, modifiers: KeyModifiers) -> Result<(), Violation> {
        self.keys.send(Woken::Input(Event::Key(KeyEvent::new(code, modifiers)))).must("pressing a key")
    }
}

fn conversation(tab: &Tab) -> Option<(chat_core::ConversationId, Conversation)> {
    let view = tab.view.as_ref()?;
    let members = view.with.room().map(|(_, members)| members.iter().copied().collect()).unwrap_or_default();
    let mut messages: Vec<_> = tab.timeline.newest_first().map(|message| Message::from(&**message)).collect();
    messages.reverse();
    Some((view.id, Conversation { name: view.name.clone(), members, unread: view.unread, messages }))
}

impl Seat for Person {
    fn screen(&mut self, event: EventId) -> Result<Seen, Violation> {
        self.until("an event", |it| {
            (it.screen.state.snapshot().event >= event && !it.screen.dirty).then_some(())
        })?;
        let state = &self.screen.state;
        let online = state.snapshot().peers.iter().filter(|peer| peer.online);
        let alarms = Self::lines(state.tabs().get(..1).unwrap_or_default());
        let alarms = alarms.filter(|line| matches!(line.topic, Topic::Alarm(..)));
        Ok(Seen {
            link_is_up: state.snapshot().link.state == LinkState::Up,
            conversations: state.tabs().iter().filter_map(conversation).collect(),
            online: online.map(|peer| (peer.peer_id, peer.nick.clone())).collect(),
            alarms: alarms.map(|line| line.text.clone()).collect(),
        })
    }

    fn drawn(&mut self) -> Result<Option<String>, Violation> {
        let (shown, mut drawn) = (self.screen.state.current(), String::new());
        for tab in (0..self.screen.state.tabs().len()).chain([shown]) {
            self.screen.state.act(Action::Switch(Switch::Number(tab)));
            self.screen.draw().must("drawing")?;
            let buffer = self.screen.terminal.backend().buffer();
            for row in buffer.content.chunks(usize::from(buffer.area.width)) {
                drawn.extend(row.iter().map(ratatui::buffer::Cell::symbol));
                drawn.push('\n');
            }
        }
        Ok(Some(drawn))
    }

    fn type_line(&mut self, line: &str) -> Result<u64, Violation> {
        let known: Vec<Token> = self.screen.answers.iter().map(|(token, _)| *token).collect();
        // A line that was refused stands there again.
        self.key(KeyCode::Char('u'), KeyModifiers::CONTROL)?;
        for c in line.chars() {
            self.key(KeyCode::Char(c), KeyModifiers::NONE)?;
        }
        self.key(KeyCode::Enter, KeyModifiers::NONE)?;
        // The first of what is asked for now: what the screen wants to know by itself comes when it is drawn.
        let token = self.until("a command", |it| {
            it.screen.answers.iter().map(|(token, _)| *token).find(|token| !known.contains(token))
        })?;
        self.open.push(token);
        Ok(token)
    }

    fn answer(&mut self) -> Result<Answered, Violation> {
        let to = self.until("an answer", |it| {
            let open = |token: &Token| it.screen.answers.iter().any(|(known, _)| known == token);
            it.open.iter().copied().find(|token| !open(token))
        })?;
        self.open.retain(|token| *token != to);
        let complaints = self.complaints();
        let new = complaints.get(self.alarms..).unwrap_or_default();
        let refused = (!new.is_empty()).then(|| new.join("\n"));
        self.alarms = complaints.len();
        Ok(Answered { to, refused })
    }

    fn end(self: Box<Self>) -> Result<(), Violation> {
        self.screen.run().must("the screen")
    }
}

chat_core::frontend_suite!(crate::Tui, seat: |client| Ok(Box::new(Person::sit_down(client)?)));
