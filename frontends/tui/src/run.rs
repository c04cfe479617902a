//! The loop: waits, takes in what came, does what the state asks for, draws.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use chat_core::api::command::SetTyping;
use chat_core::api::handle::{KEPT_EVENTS, NewsGuard};
use chat_core::api::{Command, CommandError, Destination, ErrorKind, Reply};
use chat_core::frontend::{ClientHandle, EventReader, Lagged};
use chat_core::{FrontendError, Timestamp};
use crossterm::event::Event;
use ratatui::Terminal;
use ratatui::backend::Backend;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::input::keys;
use crate::state::{Effect, News, Settings, State, Token};
use crate::view::{self, theme::Theme};
use crate::wake::{Wakes, Woken};

/// Shortest time between two frames that only news ask for. A key is answered at once.
const FRAME: Duration = Duration::from_millis(16);
/// How long to sleep before looking whether the terminal is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);

type Answer = oneshot::Receiver<Result<Reply, CommandError>>;

/// What else a terminal can do.
#[derive(Clone, Copy)]
pub(crate) struct Outside {
    /// Rings its bell.
    pub(crate) ring: fn() -> io::Result<()>,
    /// Fails if it is gone.
    pub(crate) probe: fn() -> io::Result<()>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Stay,
    Leave,
}

/// The screen at work.
pub(crate) struct Screen<'a, B: Backend> {
    terminal: &'a mut Terminal<B>,
    client: &'a ClientHandle,
    events: EventReader,
    wakes: Wakes,
    /// Keeps the engine ringing as long as the screen is there.
    _news: NewsGuard,
    answers: Vec<(Token, Answer)>,
    state: State,
    theme: Theme,
    outside: Outside,
    dirty: bool,
    drawn: Instant,
    frames: u64,
}

fn failed<E: std::error::Error + Send + Sync + 'static>(error: E) -> FrontendError {
    FrontendError::Io(io::Error::other(error))
}

impl<'a, B: Backend> Screen<'a, B>
where
    B::Error: Send + Sync + 'static,
{
    /// A screen that shows what the engine knows now.
    pub(crate) fn new(
        terminal: &'a mut Terminal<B>,
        client: &'a ClientHandle,
        wakes: Wakes,
        (settings, theme, clock): (Settings, Theme, Clock),
        outside: Outside,
    ) -> Self {
        let bell = Arc::clone(&wakes.bell);
        let news = client.on_news(Arc::new(move || bell.ring()));
        // Events first: what happens before the snapshot is taken is in both.
        let events = client.events();
        let state = State::new(client.snapshot(), settings, clock, Timestamp::now());
        Self {
            terminal,
            client,
            events,
            wakes,
            _news: news,
            answers: Vec::new(),
            state,
            theme,
            outside,
            dirty: true,
            drawn: Instant::now(),
            frames: 0,
        }
    }

    /// Runs until the user leaves or the engine stops.
    ///
    /// # Errors
    /// If the terminal fails or is gone.
    pub(crate) fn run(mut self) -> Result<(), FrontendError> {
        let ended = self.go_on();
        self.end(ended)
    }

    /// A terminal that hangs up stops the program too, by a signal that may come a moment later: then its failure is no
    /// news, and whoever closes the window has left in good order.
    fn end(self, ended: Result<(), FrontendError>) -> Result<(), FrontendError> {
        tracing::debug!(frames = self.frames, "the screen closes");
        let is_gone = || (self.outside.probe)().is_err();
        if self.client.stopping().is_some() || is_gone() { Ok(()) } else { ended }
    }

    fn go_on(&mut self) -> Result<(), FrontendError> {
        self.draw()?;
        while self.perform()? == Flow::Stay && self.client.stopping().is_none() {
            self.turn(HEARTBEAT)?;
        }
        Ok(())
    }

    /// Waits for something, at most `longest`, and takes in everything that came meanwhile. Keys are drawn at
    /// once; news as soon as the last frame is old enough.
    fn turn(&mut self, longest: Duration) -> Result<(), FrontendError> {
        let wait = if self.dirty { FRAME.saturating_sub(self.drawn.elapsed()) } else { longest };
        let first = match self.wakes.receiver.recv_timeout(wait) {
            Ok(woken) => Some(woken),
            Err(RecvTimeoutError::Timeout) => None,
            Err(error @ RecvTimeoutError::Disconnected) => return Err(failed(error)),
        };
        if first.is_none() && !self.dirty {
            (self.outside.probe)()?;
        }
        self.state.set_now(Timestamp::now());
        let more: Vec<Woken> = self.wakes.receiver.try_iter().take(KEPT_EVENTS).collect();
        let mut typed = false;
        for woken in first.into_iter().chain(more) {
            match woken {
                Woken::Input(event) => typed |= self.input(event),
                Woken::InputEnded(error) => return Err(error.into()),
                Woken::Retaken => {
                    self.clear()?;
                    typed = true;
                }
                Woken::News => {}
            }
        }
        if self.wakes.bell.was_rung() {
            self.take_news();
            self.take_answers();
            self.dirty = true;
        }
        if typed || (self.dirty && self.drawn.elapsed() >= FRAME) {
            self.draw()?;
        }
        Ok(())
    }

    /// Whether the input changes what is seen.
    fn input(&mut self, event: Event) -> bool {
        match event {
            Event::Key(key) => match keys::action(key) {
                Some(action) => self.state.act(action),
                None => return false,
            },
            Event::Paste(text) => self.state.paste(&text),
            Event::Resize(..) => {}
            _ => return false,
        }
        true
    }

    fn take_news(&mut self) {
        let mut events = Vec::new();
        let mut lost = 0;
        loop {
            match self.events.try_next() {
                Some(Ok(event)) => events.push(event),
                Some(Err(Lagged::Behind { dropped })) => lost += dropped,
                Some(Err(Lagged::Stopped)) | None => break,
            }
            if events.len() == KEPT_EVENTS {
                // The rest in the next turn, so that keys come in between.
                self.wakes.bell.ring();
                break;
            }
        }
        self.state.news(News { events, dropped: lost, snapshot: self.client.snapshot() });
    }

    fn take_answers(&mut self) {
        let waker = self.wakes.waker();
        let mut context = Context::from_waker(&waker);
        let state = &mut self.state;
        self.answers.retain_mut(|(token, answer)| match Pin::new(answer).poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                let stopping = |_| Err(CommandError::new(ErrorKind::Stopping, "the program is stopping"));
                state.answer(*token, answer.unwrap_or_else(stopping));
                false
            }
        });
    }

    /// Does what the state asks for.
    fn perform(&mut self) -> Result<Flow, FrontendError> {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Submit(token, command) => self.submit(token, command),
                Effect::Typing(id, typing) => {
                    let to = Destination::Conversation(id);
                    // Of the moment: whoever has no time for it now has no use for it later.
                    if let Err(error) = self.client.submit(Command::SetTyping(SetTyping { to, typing })) {
                        tracing::debug!(%error, "that the user writes was not taken");
                    }
                }
                Effect::Bell => (self.outside.ring)()?,
                Effect::Redraw => {
                    self.clear()?;
                    self.dirty = true;
                }
                Effect::Quit => {
                    // The engine ends after this frontend in any case; this tells it that the user wishes so.
                    if let Err(error) = self.client.submit(Command::Shutdown) {
                        tracing::debug!(%error, "the wish to leave was not taken");
                    }
                    return Ok(Flow::Leave);
                }
            }
        }
        Ok(Flow::Stay)
    }

    fn submit(&mut self, token: Token, command: Command) {
        match self.client.submit(command) {
            Ok(answer) => {
                self.answers.push((token, answer));
                // Polled once, so that the answer rings the bell.
                self.take_answers();
            }
            Err(error) => self.state.answer(token, Err(error)),
        }
        self.dirty = true;
    }

    /// Makes the next frame a whole one. Not by [`Terminal::clear`], which asks the terminal where its cursor is, and fails
    /// if that does not answer.
    fn clear(&mut self) -> Result<(), FrontendError> {
        self.terminal.backend_mut().clear().map_err(failed)?;
        // Of the two frames one was blank already; this forgets the other.
        self.terminal.swap_buffers();
        Ok(())
    }

    fn draw(&mut self) -> Result<(), FrontendError> {
        let (state, theme) = (&mut self.state, self.theme);
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            state.arrange(area.width, area.height);
            view::draw(frame, state, theme);
        });
        drawn.map_err(failed)?;
        self.dirty = false;
        self.drawn = Instant::now();
        self.frames += 1;
        Ok(())
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
