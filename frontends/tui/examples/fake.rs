//! The terminal frontend on a made-up engine: `cargo run -p frontend-tui --example fake`.
//!
//! Bob repeats what is said to him, and does more on some words: `flood 5000` (a thousand messages a second),
//! `hostile`, `emoji`, `long`, `gap`, `alarm`, `key`, `away`, `down`, `fail`. SIGTERM and SIGHUP stop the engine
//! as they do in the real program.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chat_core::api::event::*;
use chat_core::api::handle::{Request, channel};
use chat_core::api::snapshot::{Author, RECENT_MESSAGES};
use chat_core::api::*;
use chat_core::nick::Nick;
use chat_core::room::RoomAddress;
use chat_core::{ConversationId, FrontendError, MessageId, PeerId, Plugin, Timestamp};
use frontend_tui::{Options, Tui};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

const ME: PeerId = PeerId([0x1a; 32]);
const BOB: PeerId = PeerId([0x2b; 32]);
const CAROL: PeerId = PeerId([0x3c; 32]);
const LOBBY: ConversationId = ConversationId([1; 16]);
const WITH_BOB: ConversationId = ConversationId([2; 16]);

/// What the engine knows.
struct World {
    engine: EngineSide,
    /// What never changes.
    first: Snapshot,
    views: Vec<ConversationView>,
    histories: HashMap<ConversationId, Vec<Arc<MessageView>>>,
    peers: Vec<PeerView>,
    link: LinkView,
    sent: u64,
    /// Messages on their way: how far they are and what they will come to.
    travelling: Vec<(ConversationId, MessageId, MessageState)>,
    /// How many messages Bob still has to send.
    flood: u64,
}

fn peer(peer_id: PeerId, nick: &str, trust: Trust) -> PeerView {
    let (verified, pinned, held) = (trust == Trust::Verified, false, None);
    let (nick, last_seen, problem) = (nick.into(), None, None);
    PeerView { peer_id, nick, trust, verified, pinned, held, online: true, last_seen, problem }
}

fn nick(name: &str) -> Result<Nick, FrontendError> {
    Nick::new(name).map_err(|e| FrontendError::Unavailable(e.to_string()))
}

fn first_snapshot() -> Result<Snapshot, FrontendError> {
    let stack = StackView {
        transport: "udp-arq".into(),
        transports: Vec::new(),
        key_exchange: "rsa-hybrid".into(),
        cipher: "aes-256-gcm".into(),
        frontend: "tui".into(),
        properties: Default::default(),
    };
    let link = LinkView {
        state: LinkState::Up,
        relay: "127.0.0.1:12345".into(),
        relay_fingerprint: None,
        hosting: true,
        listen: vec!["udp-arq://127.0.0.1:12345".into()],
        figures: Default::default(),
    };
    Ok(Snapshot {
        event: EventId { epoch: 1, n: 0 },
        peer_id: ME,
        nick: nick("alice")?,
        link,
        stack: Arc::new(stack),
        conversations: vec![],
        peers: vec![],
    })
}

impl World {
    fn new(engine: EngineSide, first: Snapshot, room: RoomAddress) -> Self {
        let view = |id, with, name: &str| ConversationView {
            id,
            with,
            name: name.into(),
            unread: 0,
            messages: vec![],
            has_older: false,
        };
        let lobby = ConversationKind::OpenRoom { room, members: vec![ME, BOB, CAROL] };
        Self {
            engine,
            views: vec![
                view(LOBBY, lobby, "#lobby"),
                view(WITH_BOB, ConversationKind::Direct { peer: BOB }, "bob"),
            ],
            histories: HashMap::from([(LOBBY, vec![]), (WITH_BOB, vec![])]),
            peers: vec![
                peer(ME, "alice", Trust::Verified),
                peer(BOB, "bob", Trust::Unverified),
                peer(CAROL, "carol", Trust::Verified),
            ],
            link: first.link.clone(),
            first,
            sent: 0,
            travelling: vec![],
            flood: 0,
        }
    }

    fn publish(&self, events: Vec<Event>) {
        self.engine.publish(events, |event| {
            let conversations = self.views.iter().map(|view| {
                let history = self.histories.get(&view.id).map_or(&[][..], Vec::as_slice);
                let from = history.len().saturating_sub(RECENT_MESSAGES);
                let messages = history.get(from..).unwrap_or_default().to_vec();
                Arc::new(ConversationView { messages, has_older: from > 0, ..view.clone() })
            });
            let conversations = conversations.collect();
            let peers = self.peers.iter().cloned().map(Arc::new).collect();
            Snapshot { event, conversations, peers, link: self.link.clone(), ..self.first.clone() }
        });
    }

    fn say(&mut self, conversation: ConversationId, from: PeerId, text: &str) -> Event {
        self.sent += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.sent.to_be_bytes());
        let nick = self.peers.iter().find(|peer| peer.peer_id == from).map(|peer| peer.nick.clone());
        let counts = Counts { of: 2, ..Counts::default() };
        let counts = (conversation == LOBBY).then_some(counts);
        let delivery = Delivery { state: MessageState::Queued, reason: None, counts };
        let message = MessageView {
            id: MessageId(id),
            address: Destination::Conversation(conversation),
            conversation,
            position: i64::try_from(self.sent).unwrap_or(i64::MAX),
            from: Author { peer_id: from, nick: nick.unwrap_or_default(), verified: from != BOB },
            delivery: (from == ME).then_some(delivery),
            text: text.to_owned(),
            sent_at: Timestamp::now(),
            gap_before: text.contains("gap"),
        };
        self.histories.entry(conversation).or_default().push(Arc::new(message.clone()));
        if from != ME {
            self.views.iter_mut().filter(|view| view.id == conversation).for_each(|view| view.unread += 1);
        }
        Event::MessageNew(MessageNew { message, conversation_name: String::new(), late: false })
    }

    /// Every message on its way gets one state further.
    fn travel(&mut self) {
        let mut events = Vec::new();
        for (conversation, id, goal) in std::mem::take(&mut self.travelling) {
            let history = self.histories.entry(conversation).or_default();
            let Some(message) = history.iter_mut().rev().find(|message| message.id == id) else { continue };
            let Some(delivery) = &mut Arc::make_mut(message).delivery else { continue };
            delivery.state = match delivery.state {
                MessageState::Queued => MessageState::Sent,
                MessageState::Sent if goal == MessageState::Failed => MessageState::Failed,
                MessageState::Sent => MessageState::Stored,
                MessageState::Stored => MessageState::Delivered,
                _ => goal,
            };
            let reason =
                (delivery.state == MessageState::Failed).then(|| "over the relay's quota".to_owned());
            delivery.reason.clone_from(&reason);
            let (state, counts) = (delivery.state, delivery.counts);
            events.push(Event::MessageStatus(MessageStatus {
                id,
                address: Destination::Conversation(conversation),
                conversation,
                state,
                reason,
                counts,
            }));
            if state != goal {
                self.travelling.push((conversation, id, goal));
            }
        }
        if !events.is_empty() {
            self.publish(events);
        }
    }

    fn send(&mut self, send: command::Send) -> Result<Reply, CommandError> {
        let conversation = match &send.to {
            Destination::Conversation(id) => *id,
            Destination::Nick(nick) if nick == "bob" => WITH_BOB,
            Destination::Room(room) if room.to_string() == "#lobby" => LOBBY,
            other => return Err(CommandError::new(ErrorKind::NotFound, format!("nobody is called {other}"))),
        };
        let event = self.say(conversation, ME, &send.text);
        let Event::MessageNew(MessageNew { message, .. }) = &event else {
            return Err(CommandError::new(ErrorKind::Store, "not a message"));
        };
        let id = message.id;
        let goal = if send.text == "fail" { MessageState::Failed } else { MessageState::Read };
        self.travelling.push((conversation, id, goal));
        self.publish(vec![event]);
        let events = self.bob_answers(conversation, &send.text);
        self.publish(events);
        Ok(Reply::Sent { id })
    }

    fn bob_answers(&mut self, conversation: ConversationId, text: &str) -> Vec<Event> {
        let bob = || PeerEvent { peer_id: BOB, nick: "bob".into(), verified: false, was: None };
        let said = match text {
            "alarm" => {
                let detail = "a frame did not authenticate".into();
                return vec![Event::Alarm(Alarm { kind: AlarmKind::Tampered, peer_id: Some(BOB), detail })];
            }
            "key" => {
                let (claims, nick) = ("bob".into(), "bob·7f3a".into());
                let (peer_id, verified, held) = (PeerId([0x7f; 32]), false, false);
                let changed = PeerKeyChanged { claims, known: BOB, peer_id, nick, verified, held };
                return vec![Event::PeerKeyChanged(changed)];
            }
            "away" => return vec![Event::PeerLost(bob()), Event::PeerSeen(bob()), Event::PeerLost(bob())],
            "down" => {
                let reason = "nobody answers; next attempt in 5 s".to_owned();
                self.link.state = LinkState::Down { reason: reason.clone() };
                return vec![Event::LinkDown(LinkDown { relay: self.link.relay.clone(), reason })];
            }
            "hostile" => {
                "\x1b[2J\x1b]0;pwned\x07 \u{202e}backwards\n-- 12:00 the relay is evil\n!! 12:00 alarm".into()
            }
            "emoji" => "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ naïve cafe\u{301} 日本語のテキスト 한국어 ".repeat(6),
            "long" => "x".repeat(10_000),
            "gap" => "there was a gap".into(),
            _ => match text.strip_prefix("flood ").and_then(|count| count.parse().ok()) {
                Some(count) => {
                    self.flood = count;
                    return vec![];
                }
                None => format!("you said: {text}"),
            },
        };
        vec![self.say(conversation, BOB, &said)]
    }

    fn answer(&mut self, command: Command) -> Result<Reply, CommandError> {
        match command {
            Command::Send(send) => self.send(send),
            Command::History(command::History { with: Destination::Conversation(id), before, limit }) => {
                let history = self.histories.get(&id).map_or(&[][..], Vec::as_slice);
                let end = history.iter().position(|message| Some(message.id) == before);
                let end = end.unwrap_or(history.len());
                let from = end.saturating_sub(limit.unwrap_or(50) as usize);
                let messages = history.get(from..end).unwrap_or_default();
                let messages = messages.iter().map(|message| MessageView::clone(message)).collect();
                Ok(Reply::History { messages, has_older: from > 0 })
            }
            Command::MarkRead(command::MarkRead { with: Destination::Conversation(id), .. }) => {
                self.views.iter_mut().filter(|view| view.id == id).for_each(|view| view.unread = 0);
                self.publish(vec![Event::ConversationRead(ConversationRead {
                    address: Destination::Conversation(id),
                    conversation: id,
                    unread: 0,
                })]);
                Ok(Reply::Done {})
            }
            Command::Peers => Ok(Reply::Peers { peers: self.peers.iter().cloned().map(Arc::new).collect() }),
            _ => Err(CommandError::new(ErrorKind::NotAllowed, "this engine is made up and can't do that")),
        }
    }

    /// One message of the flood.
    fn flow(&mut self) {
        if self.flood > 0 {
            self.flood -= 1;
            let event = self.say(LOBBY, BOB, &format!("flood, {} to come", self.flood));
            self.publish(vec![event]);
        }
    }

    async fn run(mut self) -> std::io::Result<()> {
        for n in 0..1000 {
            self.say(LOBBY, if n % 3 == 0 { CAROL } else { BOB }, &format!("message {n} of long ago"));
        }
        self.publish(vec![]);
        let mut term = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut step = interval(Duration::from_millis(400));
        let mut flow = interval(Duration::from_millis(1));
        flow.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            let flooding = self.flood > 0;
            tokio::select! {
                request = self.engine.requests.recv() => match request {
                    Some(Request { command: Command::Shutdown, .. }) | None => return Ok(()),
                    Some(Request { command, reply }) => {
                        let answer = self.answer(command);
                        if reply.send(answer).is_err() {
                            return Ok(());
                        }
                    }
                },
                _ = step.tick() => self.travel(),
                _ = flow.tick(), if flooding => self.flow(),
                _ = term.recv() => self.stop(143),
                _ = hangup.recv() => self.stop(129),
            }
            if !flooding && self.flood > 0 {
                flow.reset();
            }
        }
    }

    fn stop(&self, exit_code: u8) {
        self.engine.stop(StopReason { exit_code, message: None });
    }
}

fn run() -> Result<u8, FrontendError> {
    let first = first_snapshot()?;
    let (client, engine) = channel(first.clone());
    let room: RoomAddress = "#lobby"
        .parse()
        .map_err(|e: chat_core::nick::NameError| FrontendError::Unavailable(e.to_string()))?;
    let world = World::new(engine, first, room);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.spawn(async move {
        if let Err(error) = world.run().await {
            tracing::error!(%error, "the made-up engine ended");
        }
    });
    let tui = Tui::build(Options { timestamps: true, bell: false })
        .map_err(|e| FrontendError::Unavailable(e.to_string()))?;
    let result = tui.run(client.clone());
    result.map(|()| client.stopping().map_or(0, |reason| reason.exit_code))
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // `eprintln!` would panic if the terminal is gone.
            let told = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(if told.is_ok() { 1 } else { 129 })
        }
    }
}
