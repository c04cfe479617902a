//! What an engine knows, made up: people, conversations with all that was ever said, the link.

use std::sync::Arc;

use crate::api::command::{History, Reply};
use crate::api::event::{
    Alarm, AlarmKind, ConversationRead, LinkDown, LinkUp, MessageGap, MessageNew, MessageStatus, PeerEvent,
    PeerKeyChanged, RoomChanged,
};
use crate::api::snapshot::{Author, RECENT_MESSAGES};
use crate::api::{
    ConversationKind, ConversationView, Counts, Delivery, Destination, Event, EventId, LinkState, LinkView,
    MessageState, MessageView, PeerView, Snapshot, StackView, Trust,
};
use crate::ids::{ConversationId, MessageId, PeerId, Timestamp};
use crate::nick::Nick;
use crate::testing::rule::{Must as _, Violation};

use super::screen::{Conversation, Message, Screen};

/// Oneself.
pub(super) const ALICE: PeerId = PeerId([1; 32]);
pub(super) const BOB: PeerId = PeerId([2; 32]);
pub(super) const CAROL: PeerId = PeerId([3; 32]);
pub(super) const DAVE: PeerId = PeerId([4; 32]);
pub(super) const LOBBY: ConversationId = ConversationId([10; 16]);
pub(super) const DEV: ConversationId = ConversationId([11; 16]);
pub(super) const WITH_BOB: ConversationId = ConversationId([12; 16]);
/// 2023-11-14 22:13:20 UTC.
const START: Timestamp = Timestamp(1_700_000_000_000);
/// Between two messages, so that a late one has a place.
const STEP: i64 = 1000;

struct Told {
    view: ConversationView,
    history: Vec<Arc<MessageView>>,
}

pub(super) struct World {
    nick: Nick,
    conversations: Vec<Told>,
    peers: Vec<PeerView>,
    link: LinkView,
    said: u64,
    pub(super) alarms: Vec<String>,
}

fn peer(peer_id: PeerId, nick: &str) -> PeerView {
    let (trust, last_seen, problem) = (Trust::Unverified, None, None);
    let (verified, pinned, held) = (false, false, None);
    let (nick, online) = (nick.into(), peer_id == ALICE);
    PeerView { peer_id, nick, trust, verified, pinned, held, online, last_seen, problem }
}

fn missing(what: &str) -> Violation {
    Violation::new(format!("the script speaks of {what} that is not there"))
}

impl World {
    /// Alice in `#lobby` with Bob and Carol, where nobody has said anything.
    pub(super) fn new() -> Result<Self, Violation> {
        let mut world = Self {
            nick: Nick::new("alice").must("a nick")?,
            conversations: Vec::new(),
            peers: vec![peer(ALICE, "alice"), peer(BOB, "bob"), peer(CAROL, "carol")],
            link: LinkView {
                state: LinkState::Down { reason: "not tried yet".into() },
                relay: "127.0.0.1:12345".into(),
                relay_fingerprint: None,
                hosting: false,
                listen: vec![],
                figures: Default::default(),
            },
            said: 0,
            alarms: Vec::new(),
        };
        world.open(LOBBY, room("#lobby", vec![ALICE, BOB, CAROL])?, "#lobby");
        Ok(world)
    }

    fn open(&mut self, id: ConversationId, with: ConversationKind, name: &str) {
        let (name, messages) = (name.to_owned(), vec![]);
        let view = ConversationView { id, with, name, unread: 0, messages, has_older: false };
        self.conversations.push(Told { view, history: vec![] });
    }

    fn told(&mut self, id: ConversationId) -> Result<&mut Told, Violation> {
        let told = self.conversations.iter_mut().find(|told| told.view.id == id);
        told.ok_or_else(|| missing("a conversation"))
    }

    fn address(&mut self, id: ConversationId) -> Result<Destination, Violation> {
        Ok(match &self.told(id)?.view.with {
            ConversationKind::Direct { peer } => Destination::Peer(*peer),
            ConversationKind::OpenRoom { room, .. } | ConversationKind::ClosedRoom { room, .. } => {
                Destination::Room(room.clone())
            }
        })
    }

    fn view(&mut self, id: ConversationId, from: PeerId, text: &str) -> Result<MessageView, Violation> {
        self.said += 1;
        let mut message = [0; 16];
        for (slot, byte) in message.iter_mut().zip(self.said.to_be_bytes()) {
            *slot = byte;
        }
        let author = self.peers.iter().find(|peer| peer.peer_id == from).ok_or_else(|| missing("a peer"))?;
        let delivery = Delivery { state: MessageState::Queued, reason: None, counts: None };
        Ok(MessageView {
            id: MessageId(message),
            from: Author { peer_id: from, nick: author.nick.clone(), verified: author.verified },
            address: self.address(id)?,
            conversation: id,
            position: i64::try_from(self.said).unwrap_or_default() * STEP,
            delivery: (from == ALICE).then_some(delivery),
            text: text.into(),
            sent_at: START.plus_ms(self.said * 1000),
            gap_before: false,
        })
    }

    /// The id of the last thing that was said.
    pub(super) fn last(&self) -> MessageId {
        let all = self.conversations.iter().flat_map(|told| &told.history);
        all.max_by_key(|message| message.id).map(|message| message.id).unwrap_or_default()
    }

    /// The id of the first thing that was said there.
    pub(super) fn first(&mut self, id: ConversationId) -> Result<MessageId, Violation> {
        self.told(id)?.history.first().map(|message| message.id).ok_or_else(|| missing("a message"))
    }

    /// Somebody else says something.
    pub(super) fn hear(&mut self, id: ConversationId, from: PeerId, text: &str) -> Result<Event, Violation> {
        let message = self.view(id, from, text)?;
        self.enter(message, false)
    }

    /// Something that was missing before a message comes at last.
    pub(super) fn hear_late(&mut self, before: MessageId, text: &str) -> Result<Vec<Event>, Violation> {
        let after = self.message(before)?.clone();
        let mut message = self.view(after.conversation, after.from.peer_id, text)?;
        message.position = after.position - STEP / 2;
        Ok(vec![self.enter(message, true)?, self.set_gap(before, false)?])
    }

    fn enter(&mut self, message: MessageView, late: bool) -> Result<Event, Violation> {
        let told = self.told(message.conversation)?;
        told.view.unread += 1;
        let place = told.history.partition_point(|other| other.position < message.position);
        told.history.insert(place, Arc::new(message.clone()));
        let conversation_name = told.view.name.clone();
        Ok(Event::MessageNew(MessageNew { message, conversation_name, late }))
    }

    /// Alice says something: it is committed.
    pub(super) fn say(&mut self, id: ConversationId, text: &str) -> Result<Event, Violation> {
        let message = self.view(id, ALICE, text)?;
        let said = message.id;
        self.told(id)?.history.push(Arc::new(message));
        self.come(said, MessageState::Queued, None)
    }

    /// A message of Alice's has come further.
    pub(super) fn come(
        &mut self,
        id: MessageId,
        state: MessageState,
        counts: Option<Counts>,
    ) -> Result<Event, Violation> {
        let reason = (state == MessageState::Failed).then(|| "nobody of that name".to_owned());
        let message = self.message(id)?;
        message.delivery = Some(Delivery { state, reason: reason.clone(), counts });
        let (address, conversation) = (message.address.clone(), message.conversation);
        Ok(Event::MessageStatus(MessageStatus { id, address, conversation, state, reason, counts }))
    }

    fn message(&mut self, id: MessageId) -> Result<&mut MessageView, Violation> {
        let mut all = self.conversations.iter_mut().flat_map(|told| &mut told.history);
        let found = all.find(|message| message.id == id).ok_or_else(|| missing("a message"))?;
        Ok(Arc::make_mut(found))
    }

    /// Something is missing before a message, or is no more.
    pub(super) fn set_gap(&mut self, before: MessageId, is_there: bool) -> Result<Event, Violation> {
        let message = self.message(before)?;
        message.gap_before = is_there;
        let (address, conversation, from) =
            (message.address.clone(), message.conversation, message.from.clone());
        Ok(Event::MessageGap(MessageGap { address, conversation, from, before, filled: !is_there }))
    }

    pub(super) fn read(&mut self, id: ConversationId, unread: u32) -> Result<Event, Violation> {
        self.told(id)?.view.unread = unread;
        let (address, conversation) = (self.address(id)?, id);
        Ok(Event::ConversationRead(ConversationRead { address, conversation, unread }))
    }

    pub(super) fn seen(&mut self, id: PeerId, online: bool) -> Result<Event, Violation> {
        let peer = self.peers.iter_mut().find(|peer| peer.peer_id == id).ok_or_else(|| missing("a peer"))?;
        peer.online = online;
        let event = PeerEvent { peer_id: id, nick: peer.nick.clone(), verified: peer.verified, was: None };
        Ok(if online { Event::PeerSeen(event) } else { Event::PeerLost(event) })
    }

    /// Somebody new, who claims a name that another has.
    pub(super) fn claim(&mut self, id: PeerId, known: PeerId) -> Result<Event, Violation> {
        let claims = self.peers.iter().find(|peer| peer.peer_id == known).ok_or_else(|| missing("a peer"))?;
        let claims = claims.nick.clone();
        let nick = format!("{claims}·{}", id.short());
        self.meet(id, &nick);
        Ok(Event::PeerKeyChanged(PeerKeyChanged {
            claims,
            known,
            peer_id: id,
            nick,
            verified: false,
            held: false,
        }))
    }

    /// Somebody new.
    pub(super) fn meet(&mut self, id: PeerId, nick: &str) {
        self.peers.push(peer(id, nick));
    }

    /// A conversation of two begins.
    pub(super) fn open_direct(&mut self, id: ConversationId, with: PeerId) -> Result<(), Violation> {
        let peer = self.peers.iter().find(|peer| peer.peer_id == with).ok_or_else(|| missing("a peer"))?;
        let name = peer.nick.clone();
        self.open(id, ConversationKind::Direct { peer: with }, &name);
        Ok(())
    }

    /// Who is in a room; nobody when Alice has left it.
    pub(super) fn room(
        &mut self,
        id: ConversationId,
        name: &str,
        members: &[PeerId],
    ) -> Result<Event, Violation> {
        let with = room(name, members.to_vec())?;
        let ConversationKind::OpenRoom { room, members } = with.clone() else {
            return Err(missing("a room"));
        };
        let joined = members.contains(&ALICE);
        match self.told(id) {
            Ok(told) => told.view.with = with,
            Err(_) => self.open(id, with, name),
        }
        if !joined {
            self.conversations.retain(|told| told.view.id != id);
        }
        Ok(Event::RoomChanged(RoomChanged { room, conversation: id, joined, open: true, members, by: None }))
    }

    pub(super) fn link_up(&mut self) -> Event {
        self.link.state = LinkState::Up;
        let (relay, listen) = (self.link.relay.clone(), vec![]);
        Event::LinkUp(LinkUp { relay, fingerprint: Some(BOB), hosting: false, listen })
    }

    pub(super) fn link_down(&mut self, reason: &str) -> Event {
        self.link.state = LinkState::Down { reason: reason.to_owned() };
        Event::LinkDown(LinkDown { relay: self.link.relay.clone(), reason: reason.to_owned() })
    }

    pub(super) fn alarm(&mut self, kind: AlarmKind, peer_id: Option<PeerId>, detail: &str) -> Event {
        self.alarms.push(detail.to_owned());
        Event::Alarm(Alarm { kind, peer_id, detail: detail.to_owned() })
    }

    pub(super) fn snapshot(&self, event: EventId) -> Snapshot {
        let conversations = self.conversations.iter().map(|told| {
            let from = told.history.len().saturating_sub(RECENT_MESSAGES);
            let messages = told.history.get(from..).unwrap_or_default().to_vec();
            Arc::new(ConversationView { messages, has_older: from > 0, ..told.view.clone() })
        });
        let mut conversations: Vec<_> = conversations.collect();
        conversations
            .sort_by_key(|view| (matches!(view.with, ConversationKind::Direct { .. }), view.name.clone()));
        let stack = StackView {
            transport: "udp-arq".into(),
            transports: Vec::new(),
            key_exchange: "rsa-hybrid".into(),
            cipher: "aes-256-gcm".into(),
            frontend: "under-test".into(),
            properties: Default::default(),
        };
        Snapshot {
            event,
            peer_id: ALICE,
            nick: self.nick.clone(),
            link: self.link.clone(),
            stack: Arc::new(stack),
            conversations,
            peers: self.peers.iter().cloned().map(Arc::new).collect(),
        }
    }

    /// Everything there is, with all that was ever said.
    pub(super) fn whole(&self) -> Screen {
        let mut screen = Screen::from(&self.snapshot(EventId { epoch: 0, n: 0 }));
        for told in &self.conversations {
            let messages = told.history.iter().map(|message| Message::from(&**message)).collect();
            let whole = Conversation { messages, ..Conversation::from(&told.view) };
            screen.conversations.insert(told.view.id, whole);
        }
        screen.alarms.clone_from(&self.alarms);
        screen
    }

    /// The engine's answer to `msg.history`.
    pub(super) fn history(&self, asked: &History) -> Option<Reply> {
        let is_it = |view: &ConversationView| match (&asked.with, &view.with) {
            (Destination::Conversation(id), _) => view.id == *id,
            (Destination::Room(name), with) => with.room().is_some_and(|(room, _)| room == name),
            (Destination::Peer(id), ConversationKind::Direct { peer }) => peer == id,
            _ => false,
        };
        let history = &self.conversations.iter().find(|told| is_it(&told.view))?.history;
        let end = match asked.before {
            Some(before) => history.iter().position(|message| message.id == before)?,
            None => history.len(),
        };
        let limit = usize::try_from(asked.limit.unwrap_or(50).min(1000)).unwrap_or_default();
        let from = end.saturating_sub(limit);
        let messages = history.get(from..end)?.iter().map(|message| MessageView::clone(message)).collect();
        Some(Reply::History { messages, has_older: from > 0 })
    }
}

fn room(name: &str, members: Vec<PeerId>) -> Result<ConversationKind, Violation> {
    Ok(ConversationKind::OpenRoom { room: name.parse().must("a room's name")?, members })
}
