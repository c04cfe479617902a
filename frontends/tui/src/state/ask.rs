//! Commands to the engine, and what their answers do.

use std::sync::Arc;

use chat_core::api::command::{History, MarkRead, Verification};
use chat_core::api::{
    Command, CommandError, ConversationKind, ConversationView, Destination, LinkState, PeerView, Reply,
    StackView, Trust,
};
use chat_core::transport::LinkFigures;
use chat_core::{ConversationId, MessageId};

use super::timeline::{PAGE, Scroll, Severity, Topic};
use super::{Effect, Older, State, Token};
use crate::text;

/// What was asked, to know what to do with the answer.
#[derive(Debug)]
pub(super) enum Asked {
    /// The user typed it.
    Line {
        /// Where.
        tab: Option<ConversationId>,
        /// What, to give it back if it is refused.
        line: String,
        /// A conversation to show once it is done.
        opens: Option<Destination>,
    },
    /// Messages before one.
    Older {
        /// Where.
        conversation: ConversationId,
        /// Before which.
        before: MessageId,
    },
    /// Messages were marked as read.
    Read(ConversationId),
}

impl State {
    pub(super) fn submit(&mut self, command: Command, asked: Asked) {
        self.next_token += 1;
        self.asked.insert(self.next_token, asked);
        self.effects.push(Effect::Submit(self.next_token, command));
    }

    /// Runs a slash command.
    pub(super) fn run(&mut self, line: String, command: Command) {
        let opens = match &command {
            Command::Shutdown => return self.effects.push(Effect::Quit),
            Command::History(history) => match self.tab_of(&history.with) {
                Some(tab) => return self.show_history(tab, history.limit),
                None => Some(history.with.clone()),
            },
            Command::Send(send) => Some(send.to.clone()),
            Command::Join(join) => Some(Destination::Room(join.room.clone())),
            _ => None,
        };
        let tab = self.tab().and_then(|tab| tab.id);
        self.submit(command, Asked::Line { tab, line, opens });
    }

    /// `/history`: shows the oldest messages that are here, and asks for more.
    fn show_history(&mut self, tab: usize, limit: Option<u32>) {
        self.show(tab);
        self.act(crate::input::keys::Action::Scroll(crate::input::keys::Step::Top));
        self.ask_before(true, limit.unwrap_or(PAGE));
    }

    /// Asks for what is missing on the screen.
    pub(super) fn ask_older(&mut self) {
        let at_top = self.arranged.as_ref().is_some_and(|arranged| arranged.seen.at_top);
        self.ask_before(at_top, PAGE);
    }

    fn ask_before(&mut self, at_top: bool, limit: u32) {
        let Some(tab) = self.tabs.get_mut(self.current).filter(|tab| tab.older == Older::Idle) else {
            return;
        };
        if let Some((conversation, before)) = tab.id.zip(tab.timeline.missing_before(at_top)) {
            tab.older = Older::Asked;
            let with = Destination::Conversation(conversation);
            let history = History { with, before: Some(before), limit: Some(limit) };
            self.submit(Command::History(history), Asked::Older { conversation, before });
        }
    }

    /// Marks what is on the screen as read: all of the conversation, if its newest message is seen.
    pub(super) fn mark_read(&mut self) {
        let Some(tab) = self.tabs.get_mut(self.current) else { return };
        let unread = tab.view.as_ref().is_some_and(|view| view.unread > 0);
        if !unread || tab.timeline.scroll != Scroll::Bottom || tab.marked.1 {
            return;
        }
        let newest = tab.timeline.newest_first().next().map(|message| message.id);
        if let Some(conversation) = tab.id
            && newest.is_some()
            && tab.marked.0 != newest
        {
            tab.marked = (newest, true);
            let with = Destination::Conversation(conversation);
            self.submit(Command::MarkRead(MarkRead { with, up_to: newest }), Asked::Read(conversation));
        }
    }

    /// The engine answered a command.
    pub(crate) fn answer(&mut self, token: Token, answer: Result<Reply, CommandError>) {
        match self.asked.remove(&token) {
            Some(Asked::Line { tab, line, opens }) => self.line_answered(tab, line, opens, answer),
            Some(Asked::Older { conversation, before }) => self.older_answered(conversation, before, answer),
            Some(Asked::Read(conversation)) => {
                if let Some(tab) = self.tab_with(Some(conversation)).and_then(|tab| self.tabs.get_mut(tab)) {
                    tab.marked.1 = false;
                }
            }
            None => {}
        }
    }

    /// The tab with this id, if it is still there.
    fn tab_with(&self, id: Option<ConversationId>) -> Option<usize> {
        match id {
            None => Some(0),
            Some(id) => self.places.get(&id).copied(),
        }
    }

    fn line_answered(
        &mut self,
        tab: Option<ConversationId>,
        line: String,
        opens: Option<Destination>,
        answer: Result<Reply, CommandError>,
    ) {
        let tab = self.tab_with(tab).unwrap_or(self.current);
        match answer {
            Ok(reply) => {
                let made = match &reply {
                    Reply::Created { conversation_id, .. } => {
                        Some(Destination::Conversation(*conversation_id))
                    }
                    _ => None,
                };
                if let Reply::Verification(verification) = &reply {
                    self.show_verification(tab, verification);
                } else if let Some(text) = self.describe(reply) {
                    self.say(tab, Severity::Info, Topic::None, text);
                }
                let opens = made.or(opens);
                if opens.is_some() {
                    self.opening = opens;
                    self.open();
                }
            }
            Err(error) => {
                self.say(tab, Severity::Alarm, Topic::None, text::one_line(&error.to_string()));
                if let Some(tab) = self.tabs.get_mut(tab).filter(|tab| tab.editor.is_empty()) {
                    tab.editor.set(line);
                }
            }
        }
    }

    /// Shows the conversation that is to be opened, if it is there.
    pub(super) fn open(&mut self) {
        if let Some(tab) = self.opening.as_ref().and_then(|opening| self.tab_of(opening)) {
            self.chosen = true;
            self.show(tab);
        }
    }

    fn older_answered(
        &mut self,
        conversation: ConversationId,
        before: MessageId,
        answer: Result<Reply, CommandError>,
    ) {
        let Some(index) = self.tab_with(Some(conversation)) else { return };
        let Some(tab) = self.tabs.get_mut(index) else { return };
        tab.older = Older::Idle;
        match answer {
            Ok(Reply::History { messages, has_older }) => {
                tab.timeline.add_older(before, messages, has_older);
            }
            Ok(_) => tab.older = Older::Refused,
            Err(error) => {
                tab.older = Older::Refused;
                let text = format!("older messages can't be had: {}", text::one_line(&error.to_string()));
                self.say(index, Severity::Alarm, Topic::None, text);
            }
        }
    }

    /// An answer in words; `None` if there is nothing to say.
    fn describe(&self, reply: Reply) -> Option<String> {
        match reply {
            Reply::Peers { peers } => Some(self.peers(&peers, "nobody is known yet")),
            Reply::Members { members } => Some(self.peers(&members, "nobody is in it")),
            Reply::Rooms { rooms } => {
                Some(list(rooms.iter().map(|room| room_line(room)), "you are in no room"))
            }
            Reply::Found { messages, has_more } => Some(found(&messages, has_more)),
            Reply::Stack { stack, link, state } => Some(stack_lines(&stack, &link, &state)),
            Reply::Config { toml } => Some(toml),
            Reply::Decided { said } => Some(said),
            Reply::History { .. } | Reply::Sent { .. } | Reply::Done {} => None,
            _ => None,
        }
    }

    /// What to compare, as digits and as a picture.
    fn show_verification(&mut self, tab: usize, verification: &Verification) {
        let name = text::name(&verification.nick);
        if verification.verified {
            self.say(tab, Severity::Info, Topic::None, format!("{name} is verified"));
        } else {
            self.say(tab, Severity::Info, Topic::None, format!("{name} is not verified"));
        }
        let digits = verification.safety_number.as_bytes();
        let groups: Vec<&str> =
            digits.chunks(5).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        let number: Vec<String> = groups.chunks(4).map(|row| row.join(" ")).collect();
        let what_to_do = match verification.verified {
            true => format!("/verify {name} no takes it back"),
            false => format!("if {name} has the same number: /verify {name} yes"),
        };
        let text = format!("safety number with {name}:\n{}\n{what_to_do}", number.join("\n"));
        self.say(tab, Severity::Info, Topic::None, text);
        let cells = self.arranged.as_ref().map_or(0, |arranged| {
            usize::from(arranged.measure.width.saturating_sub(arranged.measure.indent(false)))
        });
        let content: Option<Vec<u8>> = (0..verification.qr.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(verification.qr.get(at..at + 2)?, 16).ok())
            .collect();
        let code = content.and_then(|content| qr_code::Code::new(&content).ok());
        match code.filter(|code| code.side() <= cells) {
            Some(code) => {
                let text = format!("the same to scan:\n{}", code.half_blocks().join("\n"));
                self.say(tab, Severity::Info, Topic::Picture, text);
            }
            None => {
                let text = "the screen is too narrow for the QR code".to_owned();
                self.say(tab, Severity::Info, Topic::None, text);
            }
        }
    }

    fn peers(&self, peers: &[Arc<PeerView>], nobody: &str) -> String {
        let lines = peers.iter().map(|peer| {
            let PeerView { peer_id, nick, trust, pinned, online, problem, .. } = &**peer;
            let is_me = *peer_id == self.snapshot.peer_id;
            let is = match (is_me, online) {
                (true, _) => "you",
                (false, true) => "online",
                (false, false) => "offline",
            };
            let mut line = format!("{}  {is}", text::name(nick));
            if !is_me {
                line.push_str(if *trust == Trust::Verified { ", verified" } else { ", unverified" });
            }
            if *pinned {
                line.push_str(" (pinned)");
            }
            if let Some(problem) = problem {
                line.push_str(&format!(", {}", text::one_line(problem)));
            }
            format!("{line}\n  {peer_id}")
        });
        list(lines, nobody)
    }
}

fn list(lines: impl Iterator<Item = String>, nothing: &str) -> String {
    let text = lines.collect::<Vec<_>>().join("\n");
    if text.is_empty() { nothing.to_owned() } else { text }
}

fn room_line(room: &ConversationView) -> String {
    let kind = if matches!(room.with, ConversationKind::ClosedRoom { .. }) { "closed" } else { "open" };
    format!("{}  {kind}, {} unread", text::name(&room.name), room.unread)
}

/// What a search found: where, who (marked as in the conversation itself), what, and the id that other commands take.
fn found(messages: &[chat_core::api::MessageView], has_more: bool) -> String {
    let lines = messages.iter().map(|message| {
        let place = text::name(&message.address.to_string());
        let who = text::name(&message.from.nick);
        let is_marked = !message.from.verified && message.delivery.is_none();
        let mark = if is_marked { "~" } else { " " };
        format!("{mark} {place}  {who}: {}\n  {}", text::one_line(&message.text), message.id)
    });
    let mut lines = list(lines, "nothing was found");
    if has_more {
        lines.push_str("\nthere are more; say more words");
    }
    lines
}

fn stack_lines(stack: &StackView, link: &LinkFigures, state: &LinkState) -> String {
    let gives = stack.properties;
    let word = |given| if given { "yes" } else { "no" };
    let mut text = stack.line();
    // One that has no alternative stands in the first line.
    for way in stack.transports.iter().filter(|_| stack.transports.len() > 1) {
        let in_use = if way.in_use { ", in use" } else { "" };
        let (kind, address) = (text::one_line(&way.kind), text::one_line(&way.address));
        text.push_str(&format!("\ntransport: {kind}://{address}{in_use}"));
    }
    let properties = [
        ("end-to-end encrypted", true),
        ("forward secrecy", gives.forward_secrecy),
        ("healing", gives.healing),
        ("post-quantum", gives.post_quantum),
        ("deniable", gives.deniable),
    ];
    for (name, given) in properties {
        text.push_str(&format!("\n{name}: {}", word(given)));
    }
    let state = match state {
        LinkState::Connecting => "connecting".to_owned(),
        LinkState::Up => "up".to_owned(),
        LinkState::Down { reason } => format!("down: {}", text::one_line(reason)),
    };
    text.push_str(&format!("\nlink: {state}"));
    let figures = [
        ("round trip, microseconds", link.srtt_us),
        ("packets lost", link.lost_packets),
        ("packets sent again", link.retransmits),
        ("bytes sent", link.sent_bytes),
        ("bytes received", link.received_bytes),
        ("largest packet, bytes", link.mtu.map(u64::from)),
        ("congestion window, bytes", link.cwnd_bytes),
    ];
    for (name, figure) in figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))) {
        text.push_str(&format!("\nlink: {name}: {figure}"));
    }
    text
}
