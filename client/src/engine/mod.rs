//! The state and its turns. Sans-IO: inputs with the time go in, records, events and answers come out,
//! after the commit.

mod accept;
mod answer;
mod clock;
mod commands;
mod crowd;
mod decisions;
mod expiry;
mod gaps;
mod history;
mod housekeeping;
mod inbound;
mod keys;
mod link;
mod looked_at;
mod one_time;
mod outbound;
mod peers;
mod rates;
mod receipts;
mod refusal;
mod renewals;
mod restored;
mod retry;
mod rooms;
mod sealing;
mod sessions;
mod status;
mod submit;
mod trust;
mod turn;
mod typing;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use chat_core::api::LinkState;
use chat_core::entropy::Entropy;
use chat_core::ids::{ConversationId, MessageId, PeerId, SessionId, Timestamp};
use chat_core::transport::LinkStats;
use chat_core::wire::{StackProfile, WIRE_VERSION};

use crate::config::ClientConfig;
use crate::search::Index;
use crate::store::{Store, StoreError};
use crate::watch::Watch;
use clock::Clock;
pub(crate) use clock::{Moment, Uptime};
use keys::OwnKeys;
use looked_at::LookedAt;
use one_time::{Asked, Stock};
use peers::Contact;
use rates::Rates;
pub(crate) use refusal::{Fault, Refused, Renewal};
use renewals::Postponed;
use rooms::{Doubt, Room};
use sealing::Backlog;
use sessions::Live;
use submit::Submission;
use trust::Watched;
pub(crate) use turn::{Input, Turn};
use typing::Writing;
use views::Views;

/// Minutes, hours and days in milliseconds.
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

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
    /// Renewals that came too soon after the last.
    postponed: Postponed,
    /// Peers with whom there is no session yet since a backup was put back.
    lost_sessions: BTreeSet<PeerId>,
    /// Keys were erased of which older copies may lie in the store's log.
    has_erased_keys: bool,
    /// Sessions have moved on, and their states from before lie in the store's log until the next tick.
    has_moved_sessions: bool,
    /// A backup was put back: so many sessions are to be renewed, and the user is still to be told.
    restored: Option<u64>,
    rates: Rates,
    looked_at: LookedAt,
    /// Peers to renew with as soon as the directory knows them, and since when they are looked for.
    renew_when_known: BTreeMap<PeerId, Uptime>,
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
    /// Whose turn it is to have something sealed.
    backlog: Backlog,
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
    /// Behind which session it is looked on for what has expired.
    expiring: Option<SessionId>,
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
            postponed: Postponed::default(),
            lost_sessions: BTreeSet::new(),
            has_erased_keys: false,
            has_moved_sessions: false,
            restored: None,
            rates: Rates::default(),
            looked_at: LookedAt::default(),
            renew_when_known: BTreeMap::new(),
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
            backlog: Backlog::default(),
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
            expiring: None,
            last_nudge: at.up,
        };
        engine.settle()?;
        Ok(engine)
    }

    /// What a start does before anything else.
    fn settle(&mut self) -> Result<(), StoreError> {
        self.store.begin()?;
        self.store.belongs_to(self.config.identity.peer_id())?;
        self.restored = self.store.begin_anew()?;
        self.has_erased_keys = self.restored.is_some();
        if self.restored.is_some() {
            self.store.doubt_closed_rooms(self.config.identity.peer_id())?;
        }
        self.join_profile_rooms()?;
        self.store.commit()?;
        self.reload()?;
        self.store.begin()?;
        self.settle_trust()?;
        self.store.commit()?;
        self.load_views()?;
        // Nobody looks yet; the snapshot has it all.
        self.out = Turn::default();
        self.touched.clear();
        Ok(())
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

    /// For whoever looks on from outside.
    pub(crate) fn watch(&self) -> Weak<Watch> {
        Arc::downgrade(&self.watch)
    }

    /// The direct conversation with a peer.
    fn direct(&self, peer: PeerId) -> ConversationId {
        chat_core::wire::envelope::direct_conversation(self.config.identity.peer_id(), peer)
    }
}

#[cfg(test)]
mod tests;
