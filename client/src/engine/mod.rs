//! The state and its turns. Sans-IO: inputs with the time go in, records, events and answers come out,
//! after the commit.

mod accept;
mod clock;
mod commands;
mod crowd;
mod decisions;
mod gaps;
mod history;
mod housekeeping;
mod inbound;
mod keys;
mod link;
mod one_time;
mod outbound;
mod peers;
mod rates;
mod refusal;
mod restored;
mod rooms;
mod sessions;
mod status;
mod submit;
mod trust;
mod typing;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use chat_core::api::event::AlarmKind;
use chat_core::api::handle::Request;
use chat_core::api::{Command, CommandError, ErrorKind, Event, LinkState, Reply};
use chat_core::entropy::Entropy;
use chat_core::error::CryptoError;
use chat_core::ids::{ConversationId, MessageId, PeerId, SessionId, Timestamp};
use chat_core::key_exchange::{NewBundle, OneTimePair};
use chat_core::transport::LinkStats;
use chat_core::wire::{FromRelay, StackProfile, ToRelay, WIRE_VERSION};
use tokio::sync::oneshot;

use crate::config::ClientConfig;
use crate::search::Index;
use crate::store::{Store, StoreError};
use crate::watch::Watch;
use clock::Clock;
pub(crate) use clock::{Moment, Uptime};
use keys::OwnKeys;
use one_time::{Asked, Stock};
use peers::Contact;
use rates::Rates;
pub(crate) use refusal::{Fault, Refused, Renewal};
use rooms::{Doubt, Room};
use sessions::Live;
use submit::Submission;
use trust::Watched;
use typing::Writing;
use views::Views;

/// Minutes, hours and days in milliseconds.
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

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

/// The link as the engine sees it.
pub(crate) struct LinkInfo {
    pub(crate) relay: String,
    pub(crate) fingerprint: Option<PeerId>,
    pub(crate) hosting: bool,
    pub(crate) listen: Vec<String>,
    pub(crate) stats: Arc<dyn LinkStats>,
    /// Which transport of the profile's list it is over, and why; none if there is no choice.
    pub(crate) choice: Option<(usize, Option<String>)>,
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

pub(crate) struct Engine {
    config: ClientConfig,
    profile: StackProfile,
    store: Store,
    entropy: Box<dyn Entropy>,
    /// Knows which plugin's code runs.
    watch: Arc<Watch>,
    clock: Clock,
    /// The date of this turn, as far as the wall clock is believed.
    now: Timestamp,
    /// What the wall clock shows in this turn, for people.
    wall: Timestamp,
    /// How long this run has lasted; what is waited for goes by this.
    up: Uptime,
    /// The wall clock has jumped, and what follows from it is still to be done.
    has_jumped: bool,
    /// Since when in this run the wall clock is not believed as far as ages go.
    doubt_since: Option<Uptime>,
    contacts: BTreeMap<PeerId, Contact>,
    /// Whom a direct conversation is with.
    directs: BTreeMap<ConversationId, PeerId>,
    /// Names that peers had before: nobody else gets them.
    former_names: BTreeMap<String, PeerId>,
    /// When bundle and rooms are told to the relay again, because it could not take them.
    announce_at: Option<Uptime>,
    announce_wait_ms: u64,
    /// What the relay said in place of a welcome.
    link_refused: Option<String>,
    rooms: BTreeMap<ConversationId, Room>,
    /// Who seems to know other members of a closed room.
    doubts: BTreeMap<(ConversationId, PeerId), Doubt>,
    live: BTreeMap<SessionId, Live>,
    keys: Option<OwnKeys>,
    keys_wanted: bool,
    last_keys_wanted: Option<Uptime>,
    /// One's own one-time keys at the relay.
    stock: Stock,
    /// Peers whose one-time keys were asked for.
    asked: BTreeMap<PeerId, Asked>,
    /// Renewals that wait for a one-time key, or for a relay that may have one.
    renewals_waiting: BTreeMap<PeerId, Renewal>,
    /// Peers with whom there is no session yet since a backup was put back.
    lost_sessions: BTreeSet<PeerId>,
    /// Keys were erased of which older copies may lie in the store's log.
    has_erased_keys: bool,
    /// Sessions have moved on, and their states from before lie in the store's log until the next tick.
    has_moved_sessions: bool,
    /// A backup was put back: so many sessions are to be renewed, and the user is still to be told.
    restored: Option<u64>,
    rates: Rates,
    /// Peers to renew with as soon as the directory knows them.
    renew_when_known: BTreeSet<PeerId>,
    link: Option<LinkInfo>,
    link_state: LinkState,
    /// Why the relay was lost or not reached the last time.
    down_reason: Option<String>,
    welcomed: bool,
    /// The user knows that the relay's clock and this one don't agree.
    told_of_clock: bool,
    /// Peers that were there on the link before, and of whom the present one has said nothing yet; until then it may.
    unconfirmed: BTreeSet<PeerId>,
    confirm_until: Option<Uptime>,
    relay: String,
    listen: Vec<String>,
    submission: Submission,
    sends_until_count: u32,
    open_deliveries: u64,
    /// Texts of this turn whose receipts are owed.
    receipts: BTreeMap<PeerId, BTreeSet<MessageId>>,
    /// Messages of one's own whose state may have changed in this turn.
    touched: BTreeSet<MessageId>,
    /// Alarms raised since the last tick.
    alarms: u32,
    watched: Watched,
    writing: Writing,
    views: Views,
    /// History, to be searched; read bit by bit.
    index: Index,
    /// When this run began.
    began: Timestamp,
    out: Turn,
    last_housekeeping: Option<Uptime>,
    last_nudge: Uptime,
}

impl Engine {
    /// Opens the store and reads the state.
    pub(crate) fn new(
        config: ClientConfig,
        store: Store,
        entropy: Box<dyn Entropy>,
        at: Moment,
    ) -> Result<Self, StoreError> {
        let profile = StackProfile {
            wire_version: WIRE_VERSION,
            key_exchange: config.key_exchange_name.clone(),
            key_exchange_options: config.key_exchange.shared_options(),
            cipher: config.cipher.name().to_owned(),
        };
        let mut engine = Self {
            config,
            profile,
            store,
            entropy,
            watch: Arc::default(),
            clock: Clock::new(at),
            now: at.wall,
            wall: at.wall,
            up: at.up,
            has_jumped: false,
            doubt_since: None,
            contacts: BTreeMap::new(),
            directs: BTreeMap::new(),
            rooms: BTreeMap::new(),
            doubts: BTreeMap::new(),
            live: BTreeMap::new(),
            keys: None,
            keys_wanted: false,
            last_keys_wanted: None,
            stock: Stock::default(),
            asked: BTreeMap::new(),
            renewals_waiting: BTreeMap::new(),
            lost_sessions: BTreeSet::new(),
            has_erased_keys: false,
            has_moved_sessions: false,
            restored: None,
            rates: Rates::default(),
            renew_when_known: BTreeSet::new(),
            link: None,
            link_state: LinkState::Connecting,
            down_reason: None,
            welcomed: false,
            told_of_clock: false,
            unconfirmed: BTreeSet::new(),
            confirm_until: None,
            relay: String::new(),
            listen: Vec::new(),
            submission: Submission::default(),
            sends_until_count: 0,
            open_deliveries: 0,
            receipts: BTreeMap::new(),
            touched: BTreeSet::new(),
            alarms: 0,
            former_names: BTreeMap::new(),
            announce_at: None,
            announce_wait_ms: link::ANNOUNCE_AGAIN_MS,
            link_refused: None,
            watched: Watched::default(),
            writing: Writing::default(),
            views: Views::default(),
            index: Index::default(),
            began: at.wall,
            out: Turn::default(),
            last_housekeeping: None,
            last_nudge: at.up,
        };
        engine.store.begin()?;
        engine.store.belongs_to(engine.config.identity.peer_id())?;
        engine.restored = engine.store.begin_anew()?;
        engine.has_erased_keys = engine.restored.is_some();
        if engine.restored.is_some() {
            engine.store.doubt_closed_rooms(engine.config.identity.peer_id())?;
        }
        engine.join_profile_rooms()?;
        engine.store.commit()?;
        engine.reload()?;
        engine.store.begin()?;
        engine.settle_trust()?;
        engine.store.commit()?;
        engine.load_views()?;
        // Nobody looks yet; the snapshot has it all.
        engine.out = Turn::default();
        engine.touched.clear();
        Ok(engine)
    }

    /// Forgets everything that is not in the store and reads it again: the state before a turn that could not commit.
    fn reload(&mut self) -> Result<(), StoreError> {
        self.live.clear();
        self.receipts.clear();
        self.touched.clear();
        // It may hold what was not committed.
        self.index = Index::default();
        self.submission = Submission::default();
        self.load_contacts()?;
        self.load_rooms()?;
        self.load_keys()?;
        self.lost_sessions = self.store.renewals()?.into_iter().collect();
        self.load_views()
    }

    /// One turn: everything in `inputs`, one commit, and what may leave after it.
    pub(crate) fn turn(&mut self, at: Moment, inputs: Vec<Input>) -> Turn {
        let (now, jumped) = self.clock.read(at);
        (self.now, self.wall, self.up) = (now, at.wall, at.up);
        self.has_jumped |= jumped;
        self.out = Turn::default();
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

    fn roll_back(&mut self) {
        if let Err(error) = self.store.roll_back().and_then(|()| self.reload()) {
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
        self.renew_lost_sessions()?;
        self.keep_house()
    }

    /// When [`Input::Tick`] is due next.
    pub(crate) fn next_tick_ms(&self) -> u64 {
        1_000
    }

    /// Messages of one's own that no relay has yet.
    pub(crate) fn unsent(&self) -> u64 {
        self.store.count_mine_below(crate::store::DeliveryState::Stored as u8).unwrap_or_else(|error| {
            tracing::error!(%error, "what is unsent can't be counted");
            0
        })
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

    /// For whoever looks on from outside.
    pub(crate) fn watch(&self) -> Weak<Watch> {
        Arc::downgrade(&self.watch)
    }

    /// The direct conversation with a peer.
    fn direct(&self, peer: PeerId) -> ConversationId {
        chat_core::wire::envelope::direct_conversation(self.config.identity.peer_id(), peer)
    }
}

fn store_failed(error: &StoreError) -> CommandError {
    CommandError::new(ErrorKind::Store, format!("nothing was changed: {error}"))
}

#[cfg(test)]
mod tests;
