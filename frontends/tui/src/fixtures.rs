//! A small world for tests: people, conversations with their whole history, snapshots of them.

use std::sync::Arc;

use chat_core::api::command::Reply;
use chat_core::api::event::{EventId, MessageNew};
use chat_core::api::snapshot::{Author, RECENT_MESSAGES};
use chat_core::api::{
    ConversationKind, ConversationView, Counts, Delivery, Destination, Event, LinkState, LinkView,
    MessageState, MessageView, Numbered, PeerView, Snapshot, StackView, Trust,
};
use chat_core::nick::Nick;
use chat_core::{ConversationId, MessageId, PeerId, Timestamp};

use crate::clock::Clock;
use crate::input::keys::Action;
use crate::state::{Effect, News, Settings, State};

pub(crate) const ME: PeerId = PeerId([1; 32]);
pub(crate) const BOB: PeerId = PeerId([2; 32]);
pub(crate) const CAROL: PeerId = PeerId([3; 32]);
pub(crate) const LOBBY: ConversationId = ConversationId([10; 16]);
pub(crate) const WITH_BOB: ConversationId = ConversationId([11; 16]);
/// 2023-11-14 22:13:20 UTC.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

/// What there is.
pub(crate) struct World {
    pub(crate) histories: Vec<(ConversationView, Vec<Arc<MessageView>>)>,
    pub(crate) peers: Vec<PeerView>,
    pub(crate) link: LinkView,
    sent: u64,
    events: u64,
}

fn peer(peer_id: PeerId, nick: &str) -> PeerView {
    let trust = Trust::Unverified;
    let (verified, pinned, held, last_seen, problem) = (false, false, None, None, None);
    PeerView { peer_id, nick: nick.into(), trust, verified, pinned, held, online: true, last_seen, problem }
}

fn conversation(id: ConversationId, with: ConversationKind, name: &str) -> ConversationView {
    ConversationView { id, with, name: name.into(), unread: 0, messages: vec![], has_older: false }
}

impl World {
    /// Alice, in `#lobby` with Bob and Carol, and in a conversation with Bob.
    pub(crate) fn new() -> Self {
        let room = "#lobby".parse().unwrap();
        let lobby = ConversationKind::OpenRoom { room, members: vec![ME, BOB, CAROL] };
        let direct = ConversationKind::Direct { peer: BOB };
        Self {
            histories: vec![
                (conversation(LOBBY, lobby, "#lobby"), vec![]),
                (conversation(WITH_BOB, direct, "bob"), vec![]),
            ],
            peers: vec![peer(ME, "alice"), peer(BOB, "bob"), peer(CAROL, "carol")],
            link: LinkView {
                state: LinkState::Up,
                relay: "127.0.0.1:12345".into(),
                relay_fingerprint: None,
                hosting: false,
                listen: vec![],
                figures: Default::default(),
            },
            sent: 0,
            events: 0,
        }
    }

    pub(crate) fn history(&mut self, id: ConversationId) -> &mut (ConversationView, Vec<Arc<MessageView>>) {
        self.histories.iter_mut().find(|(view, _)| view.id == id).unwrap()
    }

    /// The room is a closed one, made by Bob.
    pub(crate) fn close_lobby(&mut self, members: &[PeerId]) {
        let view = &mut self.history(LOBBY).0;
        let room = "#den·0a0a".parse().unwrap();
        view.name = "#den·0a0a".into();
        view.with = ConversationKind::ClosedRoom { room, members: members.to_vec(), creator: BOB };
    }

    /// Somebody says something, a minute after the last thing that was said.
    pub(crate) fn say(&mut self, conversation: ConversationId, from: PeerId, text: &str) -> MessageView {
        self.sent += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.sent.to_be_bytes());
        let author = self.peers.iter().find(|peer| peer.peer_id == from).unwrap();
        let (nick, verified) = (author.nick.clone(), author.verified);
        let delivery = Delivery { state: MessageState::Queued, reason: None, counts: None };
        let message = MessageView {
            id: MessageId(id),
            address: Destination::Conversation(conversation),
            conversation,
            position: i64::try_from(self.sent).unwrap() * 1000,
            from: Author { peer_id: from, nick, verified },
            delivery: (from == ME).then_some(delivery),
            text: text.into(),
            sent_at: START.plus_ms(self.sent * 100),
            gap_before: false,
        };
        let (view, history) = self.history(conversation);
        history.push(Arc::new(message.clone()));
        view.unread += u32::from(from != ME);
        message
    }

    /// Sets how far a message has come.
    pub(crate) fn deliver(&mut self, id: MessageId, state: MessageState, counts: Option<Counts>) {
        let reason = (state == MessageState::Failed).then(|| "no such peer".to_owned());
        for message in self.histories.iter_mut().flat_map(|(_, history)| history) {
            if message.id == id {
                Arc::make_mut(message).delivery = Some(Delivery { state, reason: reason.clone(), counts });
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let conversations = self.histories.iter().map(|(view, history)| {
            let from = history.len().saturating_sub(RECENT_MESSAGES);
            let mut view = view.clone();
            view.messages = history[from..].to_vec();
            view.has_older = from > 0;
            Arc::new(view)
        });
        let stack = StackView {
            transport: "udp-arq".into(),
            transports: Vec::new(),
            key_exchange: "rsa-hybrid".into(),
            cipher: "aes-256-gcm".into(),
            frontend: "tui".into(),
            properties: Default::default(),
        };
        Arc::new(Snapshot {
            event: EventId { epoch: 7, n: self.events },
            peer_id: ME,
            nick: Nick::new("alice").unwrap(),
            link: self.link.clone(),
            stack: Arc::new(stack),
            conversations: conversations.collect(),
            peers: self.peers.iter().cloned().map(Arc::new).collect(),
        })
    }

    /// What the engine answers to `msg.history`.
    pub(crate) fn older(&self, id: ConversationId, before: MessageId, limit: usize) -> Reply {
        let history = &self.histories.iter().find(|(view, _)| view.id == id).unwrap().1;
        let end = history.iter().position(|message| message.id == before).unwrap();
        let from = end.saturating_sub(limit);
        let messages = history[from..end].iter().map(|message| MessageView::clone(message)).collect();
        Reply::History { messages, has_older: from > 0 }
    }

    pub(crate) fn news(&mut self, events: Vec<Event>) -> News {
        let events = events.into_iter().map(|event| {
            self.events += 1;
            Arc::new(Numbered { id: EventId { epoch: 7, n: self.events }, event })
        });
        let events = events.collect();
        News { events, dropped: 0, snapshot: self.snapshot() }
    }

    /// A state that shows this world on a screen of this size.
    pub(crate) fn state(&self, width: u16, height: u16) -> State {
        self.state_with(width, height, Settings { timestamps: true, bell: false })
    }

    pub(crate) fn state_with(&self, width: u16, height: u16, settings: Settings) -> State {
        let mut state = State::new(self.snapshot(), settings, Clock::utc(), START);
        state.arrange(width, height);
        state
    }
}

/// The event of a message.
pub(crate) fn new_message(message: MessageView) -> Event {
    Event::MessageNew(MessageNew { message, conversation_name: String::new(), late: false })
}

/// Types a text and presses Enter.
pub(crate) fn enter(state: &mut State, text: &str) -> Vec<Effect> {
    for c in text.chars() {
        state.act(if c == '\n' { Action::Newline } else { Action::Insert(c) });
    }
    state.act(Action::Enter);
    let mut effects = state.take_effects();
    effects.retain(|effect| !matches!(effect, crate::state::Effect::Typing(..)));
    effects
}

/// The rows of what was said that are on the screen, each with its gutter.
pub(crate) fn seen(state: &State) -> Vec<String> {
    let rows = &state.arranged().unwrap().seen.rows;
    let row = |seen: &crate::state::pane::SeenRow| {
        let (part, row) = seen.laid.row(seen.row).unwrap();
        format!("{}|{}{}", part.gutter(row.is_first), row.head, row.body)
    };
    rows.iter().map(row).collect()
}
