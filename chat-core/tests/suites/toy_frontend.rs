//! A correct frontend without a screen or a stream, and the many ways in which it can be wrong.

use std::sync::Arc;
use std::time::Duration;

use chat_core::api::command::{History, InRoom};
use chat_core::api::event::Alarm;
use chat_core::api::table::{self, Line};
use chat_core::api::{
    ClientHandle, CommandError, Destination, EventId, EventReader, MessageState, MessageView, Reply, Snapshot,
};
use chat_core::frontend::Lagged;
use chat_core::nick::RoomName;
use chat_core::testing::frontend::{Answered, Follower, Screen, Seat, Subject, Unknown};
use chat_core::testing::{Must as _, Violation};
use chat_core::{Command, Event, Frontend, FrontendError, Plugin, ProfileError};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    StartsEmpty,
    StartsWithoutGaps,
    MissesFailures,
    SwallowsAlarms,
    AlarmsWithoutWords,
    NeverAsksForHistory,
    IgnoresThatItLags,
    TrustsEventsAfterALag,
    DrawsWhatItGets,
    DrawsNothing,
    StripsWhatItKeeps,
    CollapsesBlanks,
    AsksTwice,
    TakesAnswersInOrder,
    SwallowsRefusals,
    RefusesWithoutWords,
    RefusesEverAfter,
    IgnoresTheEnd,
    WaitsForAnswersAtTheEnd,
    FailsWithoutAnswers,
    LeavesRoomsWhenItGoes,
}

pub(crate) fn toy(fault: Fault) -> Subject {
    Subject::of::<ToyFrontend>(move |client| sit_down(client, fault))
}

pub(crate) fn sit_down(client: ClientHandle, fault: Fault) -> Result<Box<dyn Seat>, Violation> {
    Ok(Box::new(Toy::start(client, fault)?))
}

/// Asked for, and not answered.
struct Open {
    number: u64,
    answer: oneshot::Receiver<Result<Reply, CommandError>>,
}

/// The frontend, and whoever looks at it.
struct Toy {
    fault: Fault,
    client: ClientHandle,
    events: EventReader,
    follower: Follower,
    asked: u64,
    open: Vec<Open>,
    refused: Option<String>,
}

impl Toy {
    fn start(client: ClientHandle, fault: Fault) -> Result<Self, Violation> {
        let mut snapshot = Snapshot::clone(&client.snapshot());
        let events = client.events_since(snapshot.event).ok_or_else(|| Violation::new("too slow"))?;
        for conversation in &mut snapshot.conversations {
            let conversation = Arc::make_mut(conversation);
            if fault == Fault::StartsEmpty {
                conversation.messages.clear();
            }
            for message in &mut conversation.messages {
                let gap_before = message.gap_before && fault != Fault::StartsWithoutGaps;
                *message = Arc::new(MessageView { gap_before, ..MessageView::clone(message) });
            }
        }
        let follower = Follower::of(&snapshot)?;
        Ok(Self { fault, client, events, follower, asked: 0, open: Vec::new(), refused: None })
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Takes in all that was told.
    fn listen(&mut self) -> Result<(), Violation> {
        while let Some(next) = self.events.try_next() {
            match next {
                Ok(told) => self.hear(told.id, &told.event)?,
                Err(Lagged::Behind { .. }) => self.lag()?,
                Err(Lagged::Stopped) => break,
            }
        }
        Ok(())
    }

    fn lag(&mut self) -> Result<(), Violation> {
        let snapshot = self.client.snapshot();
        if self.is(Fault::TrustsEventsAfterALag) {
            for message in snapshot.conversations.iter().flat_map(|view| &view.messages) {
                self.learn(message)?;
            }
        } else if !self.is(Fault::IgnoresThatItLags) {
            let snapshot = serde_json::to_value(&*snapshot).must("writing a snapshot")?;
            self.follower.begin_anew(&snapshot)?;
        }
        Ok(())
    }

    fn hear(&mut self, id: EventId, event: &Event) -> Result<(), Violation> {
        let altered = match event {
            Event::MessageStatus(status)
                if status.state == MessageState::Failed && self.is(Fault::MissesFailures) =>
            {
                return Ok(());
            }
            Event::Alarm(_) if self.is(Fault::SwallowsAlarms) => return Ok(()),
            Event::Alarm(alarm) if self.is(Fault::AlarmsWithoutWords) => {
                Event::Alarm(Alarm { detail: String::new(), ..alarm.clone() })
            }
            Event::MessageNew(new) if self.is(Fault::StripsWhatItKeeps) => {
                let mut new = new.clone();
                new.message.text.retain(|c| !c.is_control() || "\n\t".contains(c));
                Event::MessageNew(new)
            }
            event => event.clone(),
        };
        match self.follower.follow(id, &altered)? {
            Some(unknown) => self.find(unknown),
            None => Ok(()),
        }
    }

    /// One's own message, of which events don't bring the text.
    fn find(&mut self, unknown: Unknown) -> Result<(), Violation> {
        let messages: Vec<MessageView> = if self.is(Fault::NeverAsksForHistory) {
            let snapshot = self.client.snapshot();
            let all = snapshot.conversations.iter().flat_map(|view| &view.messages);
            all.map(|message| MessageView::clone(message)).collect()
        } else {
            let with = Destination::Conversation(unknown.conversation);
            let history = History { with, before: None, limit: Some(1000) };
            match self.client.run_blocking(Command::History(history)) {
                Ok(Reply::History { messages, .. }) => messages,
                // The room was left by now.
                _ => Vec::new(),
            }
        };
        match messages.iter().find(|message| message.id == unknown.message) {
            Some(message) => self.learn(message),
            None => Ok(()),
        }
    }

    fn learn(&mut self, message: &MessageView) -> Result<(), Violation> {
        self.follower.learn(&serde_json::to_value(message).must("writing a message")?)
    }

    fn leaves(&self) -> bool {
        self.client.stopping().is_some() && !self.is(Fault::IgnoresTheEnd)
    }
}

/// What does nothing but stand there.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() || c == ' '
}

impl Seat for Toy {
    fn screen(&mut self, event: EventId) -> Result<Screen, Violation> {
        self.listen()?;
        let missed = self.follower.at() < event && self.fault == Fault::Nothing;
        if missed { Err(Violation::new("an event is missing")) } else { Ok(self.follower.screen().clone()) }
    }

    fn drawn(&mut self) -> Result<Option<String>, Violation> {
        if self.is(Fault::DrawsNothing) {
            return Ok(Some(String::new()));
        }
        let messages = self.follower.screen().conversations.values().flat_map(|shown| &shown.messages);
        let rows = messages.map(|message| {
            let clean = |c| if is_plain(c) || self.is(Fault::DrawsWhatItGets) { c } else { '?' };
            format!("{}  {}\n", message.author, message.text.chars().map(clean).collect::<String>())
        });
        Ok(Some(rows.collect()))
    }

    fn type_line(&mut self, line: &str) -> Result<u64, Violation> {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let typed = if self.is(Fault::CollapsesBlanks) { words.join(" ") } else { line.to_owned() };
        let Line::Command(command) = table::parse_line(&typed).must("reading a line")? else {
            return Err(Violation::new("no command"));
        };
        if self.is(Fault::AsksTwice) && command == Command::Config {
            drop(self.client.submit(command.clone()).must("asking")?);
        }
        let answer = self.client.submit(command).must("asking")?;
        self.asked += 1;
        self.open.push(Open { number: self.asked, answer });
        Ok(self.asked)
    }

    /// The suite has answered before it looks.
    fn answer(&mut self) -> Result<Answered, Violation> {
        for place in 0..self.open.len() {
            let Ok(answer) = self.open[place].answer.try_recv() else { continue };
            let known = if self.is(Fault::TakesAnswersInOrder) { 0 } else { place };
            let to = self.open[known].number;
            self.open.remove(place);
            let words = |error: CommandError| match self.fault {
                Fault::SwallowsRefusals => None,
                Fault::RefusesWithoutWords => Some("error".to_owned()),
                _ => Some(error.to_string()),
            };
            let kept = self.refused.take().filter(|_| self.fault == Fault::RefusesEverAfter);
            self.refused = answer.err().and_then(words).or(kept);
            return Ok(Answered { to, refused: self.refused.clone() });
        }
        Err(Violation::new("nothing was answered"))
    }

    /// It was told before: what it would wait for now, it would wait for for ever.
    fn end(mut self: Box<Self>) -> Result<(), Violation> {
        if !self.leaves() {
            return Err(Violation::new("it goes on"));
        }
        let answers: Vec<_> = self.open.iter_mut().map(|open| open.answer.try_recv()).collect();
        let waits = answers.iter().any(|answer| matches!(answer, Err(TryRecvError::Empty)));
        let alone = answers.iter().any(|answer| matches!(answer, Err(TryRecvError::Closed)));
        if waits && self.is(Fault::WaitsForAnswersAtTheEnd) || alone && self.is(Fault::FailsWithoutAnswers) {
            return Err(Violation::new("it does not end well"));
        }
        Ok(())
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        if self.is(Fault::LeavesRoomsWhenItGoes) {
            let room = RoomName::new("#lobby").unwrap().into();
            // The engine may be gone.
            drop(self.client.submit(Command::Leave(InRoom { room })));
        }
    }
}

/// Registered, and right in every word.
pub(crate) struct ToyFrontend;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {}

impl Plugin<dyn Frontend> for ToyFrontend {
    const NAME: &'static str = "toy-frontend";
    const SUMMARY: &'static str = "waits for the end";
    const EXAMPLE: &'static str = "[frontend]\nkind = \"toy-frontend\"\n";
    type Options = Options;
    fn build(Options {}: Options) -> Result<Box<dyn Frontend>, ProfileError> {
        Ok(Box::new(Self))
    }
}

chat_core::register!(dyn Frontend, ToyFrontend);

impl Frontend for ToyFrontend {
    fn run(self: Box<Self>, client: ClientHandle) -> Result<(), FrontendError> {
        let mut events = client.events();
        while client.stopping().is_none() {
            events.next_blocking(Duration::from_secs(60));
        }
        Ok(())
    }
}

/// A plugin whose declaration is wrong.
macro_rules! misdeclared {
    ($plugin:ident, $name:literal, $summary:literal, $options:ty) => {
        pub(crate) struct $plugin;
        impl Plugin<dyn Frontend> for $plugin {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            const EXAMPLE: &'static str = concat!("[frontend]\nkind = \"", $name, "\"\n");
            type Options = $options;
            fn build(_: $options) -> Result<Box<dyn Frontend>, ProfileError> {
                Ok(Box::new(ToyFrontend))
            }
        }
    };
}

misdeclared!(Unregistered, "unregistered-frontend", "nobody finds it", Options);
misdeclared!(Careless, "careless-frontend", "takes any option", std::collections::BTreeMap<String, serde_json::Value>);
misdeclared!(Wordless, "wordless-frontend", "", Options);
chat_core::register!(dyn Frontend, Careless);
chat_core::register!(dyn Frontend, Wordless);
