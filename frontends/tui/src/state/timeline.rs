//! One conversation's lines in order: messages by their place in history, system lines where they came in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chat_core::api::event::{MessageGap, MessageStatus};
use chat_core::api::snapshot::RECENT_MESSAGES;
use chat_core::api::{ConversationView, Delivery, MessageView};
use chat_core::{MessageId, PeerId, Timestamp};

/// Entries kept while the newest are shown; older ones can be had again from history.
const KEPT_FOLLOWING: usize = 1_000;
/// Entries kept while the user reads further up.
const KEPT_READING: usize = 50_000;
/// Bytes of text kept beyond what the snapshot holds anyway.
const KEPT_TEXT_BYTES: usize = 64 << 20;
/// Room that is left for new messages while the user reads further up: nothing older is fetched into it.
const ROOM_FOR_NEW: usize = 10_000;
/// How many older messages are fetched at once.
pub(crate) const PAGE: u32 = 200;
/// System lines kept in a conversation.
const KEPT_SYSTEM_LINES: usize = 500;

/// Where an entry stands: after everything with a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    position: i64,
    /// 0 for a message; system lines stand after the message that was the last when they came.
    after: u64,
    id: MessageId,
}

impl Place {
    /// Before everything.
    pub(crate) const FIRST: Self = Self { position: i64::MIN, after: 0, id: MessageId([0; 16]) };

    fn of(message: &MessageView) -> Self {
        Self { position: message.position, after: 0, id: message.id }
    }
}

/// How a system line is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Something happened, or a command's answer.
    Info,
    /// Something the user should look at.
    Alarm,
}

/// What a system line is about. A new line replaces the one before about the same, so that a peer who
/// comes and goes, or is refused, again and again can't push the conversation off the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Whether a peer is there.
    Presence(PeerId),
    /// The link to the relay.
    Link,
    /// What the link is over.
    Transport,
    /// Refusals of one kind.
    Alarm(&'static str, Option<PeerId>),
    /// Events that were missed.
    Lag,
    /// A QR code; said anew, the old one goes.
    Picture,
    /// A line of its own.
    None,
}

/// A line that the program says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemLine {
    /// When.
    pub(crate) at: Timestamp,
    /// How it is marked.
    pub(crate) severity: Severity,
    /// What it is about.
    pub(crate) topic: Topic,
    /// How many lines about the same it stands for.
    pub(crate) times: u32,
    /// The text; clean, may have several lines.
    pub(crate) text: String,
}

/// A line of the conversation.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// Somebody said something.
    Message(Arc<MessageView>),
    /// The program says something.
    System(Arc<SystemLine>),
}

impl Entry {
    /// When it was said.
    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Message(message) => message.sent_at,
            Self::System(line) => line.at,
        }
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.text.len(),
            Self::System(line) => line.text.len(),
        }
    }

    /// Whether both are the very same, not only equal.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message(a), Self::Message(b)) => Arc::ptr_eq(a, b),
            (Self::System(a), Self::System(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// What the screen shows of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scroll {
    /// The newest lines; new ones come in.
    Bottom,
    /// From this row of this entry on; new lines don't move it.
    At {
        /// The entry at the top.
        top: Place,
        /// The first of its rows that is seen.
        row: usize,
        /// The last entry when the user left the bottom; what stands behind it is new.
        tail: Place,
        /// How many messages came in behind it.
        new: u32,
    },
}

/// The lines of one conversation.
#[derive(Debug)]
pub(crate) struct Timeline {
    entries: BTreeMap<Place, Entry>,
    places: HashMap<MessageId, Place>,
    text_bytes: usize,
    system_lines: usize,
    system_count: u64,
    /// Changed since the last snapshot was merged, so an unchanged snapshot has to be merged again.
    touched: bool,
    /// Whether history holds messages before the first one here.
    pub(crate) has_older: bool,
    /// The message before which some are missing here that history holds: the frontend fell behind.
    hole: Option<MessageId>,
    /// What is on the screen.
    pub(crate) scroll: Scroll,
}

impl Timeline {
    /// Without anything.
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            places: HashMap::new(),
            text_bytes: 0,
            system_lines: 0,
            system_count: 0,
            touched: true,
            has_older: false,
            hole: None,
            scroll: Scroll::Bottom,
        }
    }

    /// The lines in order.
    pub(crate) fn entries(&self) -> &BTreeMap<Place, Entry> {
        &self.entries
    }

    /// A message by its id.
    pub(crate) fn message(&self, id: MessageId) -> Option<&Arc<MessageView>> {
        match self.entries.get(self.places.get(&id)?)? {
            Entry::Message(message) => Some(message),
            Entry::System(_) => None,
        }
    }

    /// The messages from the newest to the oldest.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Arc<MessageView>> {
        self.entries.values().rev().filter_map(|entry| match entry {
            Entry::Message(message) => Some(message),
            Entry::System(_) => None,
        })
    }

    /// Whether a snapshot has to be merged although it didn't change.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Takes over what a snapshot says about this conversation: its messages are the truth.
    pub(crate) fn merge(&mut self, view: &ConversationView) {
        let empty = self.places.is_empty();
        let joined = empty || view.messages.iter().any(|message| self.places.contains_key(&message.id));
        if !joined && view.has_older && !view.messages.is_empty() {
            self.break_before(view);
        }
        if self.places.is_empty() {
            self.has_older = view.has_older;
        }
        for message in &view.messages {
            self.put(Arc::clone(message));
        }
        self.touched = false;
        self.trim();
    }

    /// The snapshot's messages don't reach back to the ones known here.
    fn break_before(&mut self, view: &ConversationView) {
        if matches!(self.scroll, Scroll::At { .. }) && self.hole.is_none() {
            self.hole = view.messages.first().map(|message| message.id);
        } else {
            self.forget();
        }
    }

    /// Drops every message, to begin anew with those of a snapshot.
    fn forget(&mut self) {
        self.entries.retain(|_, entry| matches!(entry, Entry::System(_)));
        self.places.clear();
        self.text_bytes = self.entries.values().map(Entry::text_bytes).sum();
        self.hole = None;
        self.scroll = Scroll::Bottom;
        self.touched = true;
    }

    /// Takes in a message that an event brought; what a snapshot said before is newer. Only where nothing is between it and
    /// what is here: what stands further up comes with history, and what is new only if the events brought it `all`.
    pub(crate) fn add(&mut self, message: &MessageView, all: bool) {
        let place = Place::of(message);
        let mut messages = self.entries.keys().filter(|place| place.after == 0);
        let is_before = self.has_older && messages.next().is_some_and(|first| place < *first);
        let is_behind = messages.next_back().is_none_or(|last| place > *last);
        if !self.places.contains_key(&message.id) && !is_before && (all || !is_behind) {
            self.touched = true;
            self.put(Arc::new(message.clone()));
            self.trim();
        }
    }

    fn put(&mut self, message: Arc<MessageView>) {
        let place = Place::of(&message);
        if let Some(old) = self.places.get(&message.id).copied() {
            if let Some(Entry::Message(known)) = self.entries.get(&old)
                && Arc::ptr_eq(known, &message)
            {
                return;
            }
            self.remove(old);
        } else if let Scroll::At { tail, new, .. } = &mut self.scroll
            && place > *tail
        {
            *new += 1;
        }
        self.text_bytes += message.text.len();
        self.places.insert(message.id, place);
        self.entries.insert(place, Entry::Message(message));
    }

    fn remove(&mut self, place: Place) {
        match self.entries.remove(&place) {
            Some(entry @ Entry::System(_)) => {
                self.text_bytes -= entry.text_bytes();
                self.system_lines -= 1;
            }
            Some(entry @ Entry::Message(_)) => {
                self.text_bytes -= entry.text_bytes();
                self.places.remove(&place.id);
            }
            None => {}
        }
    }

    /// A message of one's own has come further.
    pub(crate) fn set_status(&mut self, status: &MessageStatus) {
        let MessageStatus { id, state, reason, counts, .. } = status;
        self.change(*id, |message| {
            message.delivery = Some(Delivery { state: *state, reason: reason.clone(), counts: *counts });
        });
    }

    /// Something is missing before a message, or is no more.
    pub(crate) fn set_gap(&mut self, gap: &MessageGap) {
        self.change(gap.before, |message| message.gap_before = !gap.filled);
    }

    /// Messages are gone.
    pub(crate) fn delete(&mut self, ids: &[MessageId]) {
        for id in ids {
            if let Some(place) = self.places.get(id).copied() {
                self.touched = true;
                self.remove(place);
            }
        }
    }

    fn change(&mut self, id: MessageId, change: impl FnOnce(&mut MessageView)) {
        if let Some(message) = self.message(id) {
            let mut changed = MessageView::clone(message);
            change(&mut changed);
            self.touched = true;
            self.put(Arc::new(changed));
        }
    }

    /// Adds a line of the program after everything else.
    pub(crate) fn say(&mut self, mut line: SystemLine) {
        if let Some((place, before)) = self.last_about(line.topic) {
            line.times = line.times.saturating_add(before);
            self.remove(place);
        }
        let last = self.entries.keys().next_back().map_or(Place::FIRST.position, |place| place.position);
        self.system_count += 1;
        let place = Place { position: last, after: self.system_count, id: MessageId::default() };
        self.text_bytes += line.text.len();
        self.system_lines += 1;
        self.entries.insert(place, Entry::System(Arc::new(line)));
        if self.system_lines > KEPT_SYSTEM_LINES {
            let oldest = self.entries.iter().find(|(_, entry)| matches!(entry, Entry::System(_)));
            if let Some(place) = oldest.map(|(place, _)| *place) {
                self.remove(place);
            }
        }
        self.trim();
    }

    /// The line about `topic` among the system lines at the end, and for how many it stands.
    fn last_about(&self, topic: Topic) -> Option<(Place, u32)> {
        if topic == Topic::None {
            return None;
        }
        let end = self.entries.iter().rev().map_while(|(place, entry)| match entry {
            Entry::System(line) => Some((*place, line)),
            Entry::Message(_) => None,
        });
        end.take(50).find(|(_, line)| line.topic == topic).map(|(place, line)| (place, line.times))
    }

    fn trim(&mut self) {
        let kept = match self.scroll {
            Scroll::Bottom => KEPT_FOLLOWING,
            Scroll::At { .. } => KEPT_READING,
        };
        // What a snapshot holds would only come back.
        while self.places.len() > RECENT_MESSAGES
            && (self.entries.len() > kept || self.text_bytes > KEPT_TEXT_BYTES)
        {
            let Some(first) = self.entries.keys().next().copied() else { return };
            if first.after == 0 {
                self.has_older = true;
                self.hole = self.hole.filter(|id| *id != first.id);
            }
            self.remove(first);
        }
    }

    /// Goes back to the newest lines. What a hole parts from them is dropped: then the timeline is touched,
    /// and the snapshot has to be merged again.
    pub(crate) fn follow(&mut self) {
        if self.hole.is_some() {
            self.forget();
        }
        self.scroll = Scroll::Bottom;
        self.trim();
    }

    /// Before which message history should be asked for more: a hole first, then the beginning if it is `wanted`.
    pub(crate) fn missing_before(&self, wanted: bool) -> Option<MessageId> {
        let most = match self.scroll {
            Scroll::Bottom => KEPT_FOLLOWING - PAGE as usize,
            Scroll::At { .. } => KEPT_READING - ROOM_FOR_NEW,
        };
        let room = self.entries.len() <= most && self.text_bytes <= KEPT_TEXT_BYTES / 2;
        if self.hole.is_some() || !room || !wanted || !self.has_older {
            return self.hole;
        }
        self.newest_first().last().map(|message| message.id)
    }

    /// Takes in what history holds before a message.
    pub(crate) fn add_older(&mut self, before: MessageId, messages: Vec<MessageView>, has_older: bool) {
        if !self.places.contains_key(&before) {
            return;
        }
        let fills_hole = self.hole == Some(before);
        let joined = messages.iter().any(|message| self.places.contains_key(&message.id));
        let first = messages.first().map(|message| message.id);
        let known = self.places.len();
        for message in messages {
            if !self.places.contains_key(&message.id) {
                self.put(Arc::new(message));
            }
        }
        if fills_hole {
            self.hole = first.filter(|_| !joined && has_older);
        } else {
            self.has_older = has_older && self.places.len() > known;
        }
        self.trim();
    }
}
