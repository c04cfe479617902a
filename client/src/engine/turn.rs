//! A turn: everything that waits is done, committed at once, and only then does anything leave.

use chat_core::api::event::AlarmKind;
use chat_core::api::handle::Request;
use chat_core::api::{Command, CommandError, ErrorKind, Event, LinkState, Reply};
use chat_core::error::CryptoError;
use chat_core::key_exchange::{NewBundle, OneTimePair};
use chat_core::wire::{FromRelay, ToRelay};
use tokio::sync::oneshot;

use super::{Engine, LinkInfo, Moment};
use crate::store::StoreError;

/// What happens to the engine.
pub(crate) enum Input {
    /// A frontend asks for something.
    Command(Request),
    /// There is a link.
    LinkUp(LinkInfo),
    /// There is a link in place of the one before, which is given up.
    LinkMoved(LinkInfo),
    /// Somebody who is not the relay answers where it should be; in words.
    Impostor(String),
    /// There is no link (any more).
    LinkDown { reason: String },
    /// The relay is being dialed.
    Dialing,
    /// A record of the relay.
    Record(FromRelay),
    /// The key exchange has made keys.
    Keys(Result<NewBundle, CryptoError>),
    /// The key exchange has made one-time keys.
    OneTimeKeys(Result<Vec<OneTimePair>, CryptoError>),
    /// Time has passed.
    Tick,
}

type Answer = (oneshot::Sender<Result<Reply, CommandError>>, Result<Reply, CommandError>);

/// What a turn gives, to be let out after its commit.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) records: Vec<ToRelay>,
    pub(crate) events: Vec<Event>,
    pub(crate) answers: Vec<Answer>,
    /// The link is of no use: close it, for this reason, and dial again.
    pub(crate) drop_link: Option<String>,
    /// New keys are wanted; answered by [`Input::Keys`].
    pub(crate) want_keys: bool,
    /// So many one-time keys are wanted; answered by [`Input::OneTimeKeys`].
    pub(crate) want_one_time_keys: Option<usize>,
    /// The user wishes to leave.
    pub(crate) stop: bool,
    /// The store is not what was written, in these words: nothing may run on it.
    pub(crate) damaged: Option<String>,
}

impl Engine {
    /// One turn: everything in `inputs`, one commit, and what may leave after it.
    pub(crate) fn turn(&mut self, at: Moment, inputs: Vec<Input>) -> Turn {
        let (now, jumped) = self.clock.read(at);
        (self.now, self.wall, self.up) = (now, at.wall, at.up);
        self.has_jumped |= jumped;
        self.out = Turn::default();
        self.backlog.begin_turn();
        match self.steps(inputs).and_then(|()| self.store.commit()) {
            Ok(()) => {
                self.has_jumped = false;
                self.scrub();
                std::mem::take(&mut self.out)
            }
            Err(error) => self.undo(&error),
        }
    }

    fn steps(&mut self, inputs: Vec<Input>) -> Result<(), StoreError> {
        let mut failed = self.store.begin().err();
        self.tell_of_backup();
        if self.has_jumped && failed.is_none() {
            failed = self.clock_jumped().err();
        }
        for input in inputs {
            match &failed {
                Some(error) => {
                    let error = store_failed(error);
                    self.not_reached(input, error);
                }
                None => failed = self.step(input).err(),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.send_receipts()?;
        self.seal_slice()?;
        self.pump()?;
        self.tell_states()
    }

    /// An input behind one that failed: a command gets its answer, and what can't be repeated takes effect all the same.
    fn not_reached(&mut self, input: Input, error: CommandError) {
        match input {
            Input::Command(Request { command, reply }) => {
                self.out.stop |= command == Command::Shutdown;
                self.out.answers.push((reply, Err(error)));
            }
            Input::LinkDown { reason } => self.forget_link(reason),
            Input::Keys(_) => self.keys_wanted = false,
            Input::OneTimeKeys(_) => self.forget_asked(),
            Input::LinkMoved(_) => self.forget_link("a turn could not be committed".to_owned()),
            Input::LinkUp(_) | Input::Impostor(_) | Input::Dialing | Input::Record(_) | Input::Tick => {}
        }
    }

    fn step(&mut self, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Command(request) => self.command(request),
            Input::LinkUp(link) => self.link_up(link),
            Input::LinkMoved(link) => self.link_moved(link),
            Input::Impostor(who) => {
                self.alarm(AlarmKind::Refused, None, who);
                Ok(())
            }
            Input::LinkDown { reason } => self.link_down(reason),
            Input::Dialing => {
                self.link_state = LinkState::Connecting;
                Ok(())
            }
            Input::Record(record) => self.record(record),
            Input::Keys(keys) => self.keys_made(keys),
            Input::OneTimeKeys(keys) => self.one_time_keys_made(keys),
            Input::Tick => self.tick(),
        }
    }

    /// A turn that failed has not happened: nothing of it leaves, and its commands are told so. What came in over the
    /// link was not acknowledged, so the relay gives it again over the next one.
    fn undo(&mut self, error: &StoreError) -> Turn {
        tracing::error!(%error, "the turn could not be committed and is undone");
        let failed = std::mem::take(&mut self.out);
        let answers =
            failed.answers.into_iter().map(|(to, answer)| (to, answer.and(Err(store_failed(error)))));
        // Keys that were wanted or made in this turn are wanted again after a while.
        self.keys_wanted = false;
        self.roll_back();
        Turn {
            damaged: matches!(error, StoreError::Damaged(_)).then(|| error.to_string()),
            answers: answers.collect(),
            events: failed.events.into_iter().filter(|event| matches!(event, Event::LinkDown(_))).collect(),
            drop_link: Some(error.to_string()),
            stop: failed.stop,
            ..Turn::default()
        }
    }

    pub(super) fn roll_back(&mut self) {
        let rolled_back = self.store.roll_back().and_then(|()| self.reload());
        if let Err(error) = rolled_back.and_then(|()| self.line_up()) {
            tracing::error!(%error, "the store can't be read again");
        }
    }

    fn record(&mut self, record: FromRelay) -> Result<(), StoreError> {
        match record {
            FromRelay::Welcome { version, one_time_keys, .. } => self.welcome(version, one_time_keys),
            FromRelay::Stored { ids } => self.stored(&ids),
            FromRelay::Refused { id, why } => self.refused_by_relay(id, why),
            FromRelay::Deliver { items } => self.deliver(items),
            FromRelay::Peer { bundle, online } => self.peer_record(bundle, online),
            FromRelay::Presence { peer, online } => {
                if online {
                    self.came(peer)?
                } else {
                    self.went(peer)?
                }
                self.presence(peer, online)
            }
            FromRelay::Passed { envelope } => self.passed(&envelope),
            FromRelay::Members { room, members } => self.members_record(&room, members, false),
            FromRelay::Room { room, members } => self.members_record(&room, members, true),
            FromRelay::Unknown { peer, .. } => {
                peer.map(|peer| self.renew_when_known.remove(&peer));
                Ok(())
            }
            FromRelay::OneTimeKeysLeft { left } => self.one_time_keys_left(Some(left)),
            FromRelay::OneTimeKey { peer, key } => self.one_time_key(peer, key),
            FromRelay::Pong { .. } => Ok(()),
            FromRelay::Error { why, detail } => {
                self.refused_record(why, &detail);
                Ok(())
            }
            FromRelay::Moving => {
                self.out.drop_link = Some("the relay is closing".to_owned());
                Ok(())
            }
        }
    }

    fn tick(&mut self) -> Result<(), StoreError> {
        // With every message would cost more syncs than the message.
        self.has_erased_keys |= std::mem::take(&mut self.has_moved_sessions);
        self.tell_of_suppressed_alarms();
        self.looked_at.forget_old(self.up);
        if self.announce_at.is_some_and(|at| at <= self.up) {
            self.announce_at = None;
            self.announce();
        }
        self.end_writing(false);
        self.miss_unconfirmed()?;
        self.resume_blocked()?;
        self.release_overdue()?;
        self.nudge_unconfirmed()?;
        self.tell_doubts()?;
        self.tell_of_old_stacks()?;
        self.want_fresh_keys();
        self.read_into_index()?;
        self.store.check_on()?;
        self.wait_for_one_time_keys()?;
        self.renew_postponed()?;
        self.renew_lost_sessions()?;
        self.keep_house()
    }

    /// Keys that were erased in a committed turn are erased from the log as well; if that fails, after the next turn.
    fn scrub(&mut self) {
        if self.has_erased_keys {
            match self.store.scrub() {
                Ok(()) => self.has_erased_keys = false,
                Err(error) => tracing::warn!(%error, "keys that were erased lie in the store's log still"),
            }
        }
    }
}

fn store_failed(error: &StoreError) -> CommandError {
    CommandError::new(ErrorKind::Store, format!("nothing was changed: {error}"))
}
