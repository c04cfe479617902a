//! A small world: snapshots, messages and one event of each kind.

use std::sync::Arc;

use chat_core::api::event::{
    Alarm, AlarmKind, ConversationRead, LinkDown, LinkUp, MessageDeleted, MessageGap, MessageNew,
    MessageStatus, PeerEvent, PeerKeyChanged, Ready, RoomChanged, StackChanged, Typing,
};
use chat_core::api::snapshot::Author;
use chat_core::api::{
    ConversationKind, ConversationView, Counts, Delivery, Destination, Event, EventId, Held, LinkState,
    LinkView, MessageState, MessageView, PeerView, Snapshot, StackView, TransportView, Trust,
};
use chat_core::nick::Nick;
use chat_core::room::RoomAddress;
use chat_core::transport::LinkFigures;
use chat_core::{ConversationId, MessageId, PeerId, Timestamp};

pub(crate) const EPOCH: u32 = 0xc0ff_ee00;
pub(crate) const ALICE: PeerId = PeerId([0xa1; 32]);
pub(crate) const BOB: PeerId = PeerId([0xb0; 32]);
pub(crate) const LOBBY: ConversationId = ConversationId([0x10; 16]);

pub(crate) fn event_id(n: u64) -> EventId {
    EventId { epoch: EPOCH, n }
}

pub(crate) fn message_id(n: u8) -> MessageId {
    MessageId([n; 16])
}

fn address() -> Destination {
    Destination::Room(room())
}

pub(crate) fn message(n: u8, text: &str, state: Option<MessageState>) -> MessageView {
    let own = state.is_some();
    let counts = Some(Counts { stored: 1, delivered: 1, read: 0, of: 2 });
    MessageView {
        id: message_id(n),
        address: address(),
        conversation: LOBBY,
        position: i64::from(n),
        from: Author { peer_id: if own { ALICE } else { BOB }, nick: "bob·7f3a".into(), verified: own },
        delivery: state.map(|state| Delivery { state, reason: None, counts }),
        text: text.into(),
        sent_at: Timestamp(1_700_000_000_000),
        gap_before: false,
    }
}

pub(crate) fn lobby(messages: Vec<MessageView>) -> ConversationView {
    ConversationView {
        id: LOBBY,
        with: ConversationKind::OpenRoom { room: room(), members: vec![ALICE, BOB] },
        name: "#lobby".into(),
        unread: 0,
        messages: messages.into_iter().map(Arc::new).collect(),
        has_older: false,
    }
}

pub(crate) fn den() -> ConversationView {
    let room = "#den·2020".parse().unwrap();
    let with = ConversationKind::ClosedRoom { room, members: vec![ALICE, BOB], creator: BOB };
    ConversationView { with, name: "#den·2020".into(), ..lobby(vec![]) }
}

pub(crate) fn room() -> RoomAddress {
    "#lobby".parse().unwrap()
}

pub(crate) fn bob() -> PeerView {
    PeerView {
        peer_id: BOB,
        nick: "bob".into(),
        trust: Trust::Verified,
        verified: true,
        pinned: false,
        held: Some(Held::KeyChanged),
        online: true,
        last_seen: Some(Timestamp(5)),
        problem: Some("another stack".into()),
    }
}

fn transport() -> TransportView {
    TransportView { kind: "memory".into(), address: "1".into(), in_use: true }
}

pub(crate) fn stack() -> StackView {
    StackView {
        transport: "memory".into(),
        transports: vec![transport()],
        key_exchange: "x25519".into(),
        cipher: "aes-256-gcm".into(),
        frontend: "jsonrpc".into(),
        properties: Default::default(),
    }
}

pub(crate) fn snapshot(event: EventId) -> Snapshot {
    let direct = ConversationView {
        id: ConversationId([0x20; 16]),
        with: ConversationKind::Direct { peer: BOB },
        name: "bob".into(),
        ..lobby(vec![message(2, "psst", None)])
    };
    Snapshot {
        event,
        peer_id: ALICE,
        nick: Nick::new("alice").unwrap(),
        link: LinkView {
            state: LinkState::Down { reason: "no route".into() },
            relay: "127.0.0.1:1".into(),
            relay_fingerprint: Some(BOB),
            hosting: true,
            listen: vec!["memory://1".into()],
            figures: LinkFigures { srtt_us: Some(1), ..LinkFigures::default() },
        },
        stack: Arc::new(stack()),
        conversations: vec![
            Arc::new(direct),
            Arc::new(lobby(vec![message(1, "hi", Some(MessageState::Read))])),
        ],
        peers: vec![Arc::new(bob())],
    }
}

pub(crate) fn ready() -> Event {
    Event::Ready(Ready {
        listen: vec!["memory://1".into()],
        peer_id: ALICE,
        fingerprint: ALICE,
        nick: Nick::new("alice").unwrap(),
    })
}

pub(crate) fn link_down(reason: impl ToString) -> Event {
    Event::LinkDown(LinkDown { relay: "127.0.0.1:1".into(), reason: reason.to_string() })
}

pub(crate) fn new_message(n: u8, state: Option<MessageState>) -> Event {
    Event::MessageNew(MessageNew {
        message: message(n, "hello", state),
        conversation_name: "#lobby".into(),
        late: false,
    })
}

pub(crate) fn status(n: u8, state: MessageState) -> Event {
    Event::MessageStatus(MessageStatus {
        id: message_id(n),
        address: address(),
        conversation: LOBBY,
        state,
        reason: (state == MessageState::Failed).then(|| "too old".into()),
        counts: Some(Counts { stored: 1, delivered: 0, read: 0, of: 1 }),
    })
}

/// One event of each kind.
pub(crate) fn events() -> Vec<Event> {
    let peer = || PeerEvent { peer_id: BOB, nick: "bob".into(), verified: true, was: None };
    vec![
        ready(),
        new_message(1, None),
        new_message(2, Some(MessageState::Queued)),
        status(2, MessageState::Failed),
        Event::MessageGap(MessageGap {
            address: address(),
            conversation: LOBBY,
            from: Author { peer_id: BOB, nick: "bob".into(), verified: false },
            before: message_id(1),
            filled: false,
        }),
        Event::MessageDeleted(MessageDeleted {
            address: address(),
            conversation: LOBBY,
            ids: vec![message_id(1)],
        }),
        Event::PeerSeen(peer()),
        Event::PeerLost(peer()),
        Event::PeerKeyChanged(PeerKeyChanged {
            claims: "bob".into(),
            known: BOB,
            peer_id: PeerId([0xb1; 32]),
            nick: "bob·b1b1".into(),
            verified: false,
            held: true,
        }),
        Event::Typing(Typing {
            address: address(),
            conversation: LOBBY,
            from: Author { peer_id: BOB, nick: "bob".into(), verified: false },
            typing: true,
        }),
        Event::RoomChanged(RoomChanged {
            room: room(),
            conversation: LOBBY,
            joined: true,
            open: true,
            members: vec![ALICE, BOB],
            by: None,
        }),
        Event::RoomChanged(RoomChanged {
            room: "#den·2020".parse().unwrap(),
            conversation: ConversationId([0x20; 16]),
            joined: true,
            open: false,
            members: vec![ALICE, BOB],
            by: Some(ALICE),
        }),
        Event::Alarm(Alarm { kind: AlarmKind::Roster, peer_id: Some(BOB), detail: "lacks carol".into() }),
        Event::ConversationRead(ConversationRead { address: address(), conversation: LOBBY, unread: 3 }),
        Event::LinkUp(LinkUp {
            relay: "127.0.0.1:1".into(),
            fingerprint: Some(BOB),
            hosting: false,
            listen: vec![],
        }),
        link_down("gone"),
        Event::StackChanged(StackChanged {
            transport: "memory".into(),
            relay: "memory://1".into(),
            reason: Some("tcp://127.0.0.1:1 gave no answer".into()),
            transports: vec![transport()],
        }),
        Event::Alarm(Alarm { kind: AlarmKind::Downgrade, peer_id: Some(BOB), detail: "cipher".into() }),
    ]
}
