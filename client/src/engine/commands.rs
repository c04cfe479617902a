//! What frontends ask for, and whom they mean.

use chat_core::api::command::{History, MarkRead, MemberOf};
use chat_core::api::handle::Request;
use chat_core::api::{Command, CommandError, Destination, ErrorKind, Reply};
use chat_core::ids::{ConversationId, PeerId};
use chat_core::wire::ToRelay;
use std::sync::Arc;

use super::Engine;
use super::answer::{Answer, Denied};
use super::peers::Contact;
use crate::store::StoreError;

/// Messages given by `msg.history` if no number is asked for.
const DEFAULT_HISTORY: u32 = 50;
/// And at most.
const MAX_HISTORY: u32 = 1_000;

/// A destination that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Peer(PeerId),
    Room(ConversationId),
}

pub(super) fn not_found(what: impl std::fmt::Display) -> CommandError {
    CommandError::new(ErrorKind::NotFound, what)
}

/// Adds to an error about somebody who is not known yet that the relay is asked.
fn asked(unknown: bool) -> impl Fn(Denied) -> Denied {
    move |mut denied| {
        if let (true, Denied::Command(error)) = (unknown, &mut denied) {
            error.message.push_str("; the relay is asked, so try again in a moment");
        }
        denied
    }
}

/// An error that says by which names each of several can be meant.
fn ambiguous(name: &str, several: &[&Contact]) -> CommandError {
    let with_digits = |contact: &&Contact| match contact.row.name.contains('·') {
        true => contact.row.name.clone(),
        false => format!("{}·{}", contact.row.nick, contact.row.peer.short()),
    };
    let mut names: Vec<String> = several.iter().map(with_digits).collect();
    names.sort_unstable();
    let message = format!(
        "{name} could be {}; say which by peer id, or by the name with its digits; /accept or /verify says whose it is",
        names.join(" or ")
    );
    CommandError::new(ErrorKind::Ambiguous, message)
}

fn done((): ()) -> Reply {
    Reply::Done {}
}

/// Admits or removes somebody, or says why not.
type ChangeOfMember = fn(&mut Engine, &MemberOf) -> Answer<()>;

impl Engine {
    pub(super) fn command(&mut self, request: Request) -> Result<(), StoreError> {
        let Request { command, reply } = request;
        match self.run(command) {
            Ok(done) => {
                self.out.answers.push((reply, Ok(done)));
                Ok(())
            }
            Err(Denied::Command(error)) => {
                self.out.answers.push((reply, Err(error)));
                Ok(())
            }
            Err(Denied::Store(error)) => {
                let message = format!("nothing was changed: {error}");
                self.out.answers.push((reply, Err(CommandError::new(ErrorKind::Store, message))));
                Err(error)
            }
        }
    }

    fn run(&mut self, command: Command) -> Answer<Reply> {
        match command {
            Command::Send(send) => {
                let unknown = self.look_for(&send.to);
                let id = self.send(&send).map_err(asked(unknown))?;
                Ok(Reply::Sent { id })
            }
            Command::Retry(retry) => self.retry(retry.id).map(done),
            Command::History(history) => self.history(&history),
            Command::MarkRead(mark) => self.mark(&mark),
            Command::Search(search) => self.search(&search),
            Command::Delete(delete) => self.delete(&delete),
            Command::DeleteAll(delete) => self.delete_all(&delete),
            Command::Peers => Ok(Reply::Peers { peers: self.peer_views() }),
            Command::Verify(verify) => self.verify(&verify),
            Command::AcceptKey(accept) => self.accept_key(&accept),
            Command::Block(whom) => self.block(&whom.peer, true),
            Command::Unblock(whom) => self.block(&whom.peer, false),
            Command::SetTyping(set) => self.set_typing(&set),
            Command::Rooms => Ok(Reply::Rooms { rooms: self.room_views() }),
            Command::Join(at) => self.join(&at).map(done),
            Command::Leave(at) => self.leave(&at).map(done),
            Command::Create(new) => self.create(&new),
            Command::Admit(of) => self.about_peer(&of, Self::admit),
            Command::Remove(of) => self.about_peer(&of, Self::remove),
            Command::Members(at) => Ok(Reply::Members { members: self.member_views(&at.room)? }),
            Command::Stack => Ok(self.stack()),
            Command::Config => Ok(Reply::Config { toml: self.config.config_text.clone() }),
            Command::Shutdown => {
                self.out.stop = true;
                Ok(Reply::Done {})
            }
            other => {
                Err(CommandError::new(ErrorKind::UnknownCommand, format!("{other:?} is not built in")).into())
            }
        }
    }

    /// Admits or removes somebody, who may have to be looked for.
    fn about_peer(&mut self, of: &MemberOf, change: ChangeOfMember) -> Answer<Reply> {
        let unknown = self.look_for(&of.peer);
        change(self, of).map_err(asked(unknown)).map(done)
    }

    fn stack(&mut self) -> Reply {
        self.read_figures();
        let link = self.views.figures.clone();
        Reply::Stack { stack: Arc::new(self.config.stack.clone()), link }
    }

    fn history(&mut self, history: &History) -> Answer<Reply> {
        let target = self.target(&history.with)?;
        let conversation = self.conversation_of(&target);
        let before = match history.before {
            None => None,
            Some(id) => match self.store.message_in(conversation, id)? {
                Some(row) => Some(row.position),
                None => return Err(not_found("before: there is no such message in this conversation").into()),
            },
        };
        let limit = history.limit.unwrap_or(DEFAULT_HISTORY).min(MAX_HISTORY);
        let (rows, has_older) = self.store.history(conversation, before, limit as usize)?;
        let messages = rows.iter().map(|row| self.message_view(row)).collect::<Result<_, _>>()?;
        Ok(Reply::History { messages, has_older })
    }

    fn mark(&mut self, mark: &MarkRead) -> Answer<Reply> {
        let target = self.target(&mark.with)?;
        let conversation = self.conversation_of(&target);
        let up_to = match mark.up_to {
            None => i64::MAX,
            Some(id) => match self.store.message_in(conversation, id)? {
                Some(row) => row.position,
                None => return Err(not_found("up_to: there is no such message in this conversation").into()),
            },
        };
        self.mark_read(conversation, up_to)?;
        Ok(Reply::Done {})
    }

    /// Whom a destination means.
    pub(super) fn target(&self, to: &Destination) -> Result<Target, CommandError> {
        match to {
            Destination::Room(room) => match self.room_at(room) {
                Some((id, _)) => Ok(Target::Room(id)),
                None => Err(self.no_room(room)),
            },
            Destination::Peer(peer) => self.known(*peer).map(Target::Peer),
            Destination::Nick(nick) => self.by_name(nick).map(Target::Peer),
            Destination::Conversation(id) => self.by_conversation(*id),
        }
    }

    /// How a conversation is addressed.
    pub(super) fn address_of(&self, id: ConversationId) -> Destination {
        match (self.room_of(id), self.directs.get(&id)) {
            (Some(room), _) => Destination::Room(room.address.clone()),
            (None, Some(peer)) => Destination::Peer(*peer),
            (None, None) => Destination::Conversation(id),
        }
    }

    pub(super) fn conversation_of(&self, target: &Target) -> ConversationId {
        match target {
            Target::Peer(peer) => self.direct(*peer),
            Target::Room(room) => *room,
        }
    }

    /// Asks the relay for somebody who is written to by peer id and not known yet: whoever shares no room is found so.
    /// Whether that is so. Each time the user wishes it: whoever was not there a moment ago may have come.
    pub(super) fn look_for(&mut self, to: &Destination) -> bool {
        let Destination::Peer(peer) = to else { return false };
        let unknown = *peer != self.config.identity.peer_id() && !self.contacts.contains_key(peer);
        if unknown && self.welcomed {
            self.out.records.push(ToRelay::Find { peer: Some(*peer), nick: None });
        }
        unknown && self.welcomed
    }

    fn known(&self, peer: PeerId) -> Result<PeerId, CommandError> {
        if peer == self.config.identity.peer_id() {
            return Err(CommandError::new(ErrorKind::NotAllowed, "that is yourself"));
        }
        match self.contacts.contains_key(&peer) {
            true => Ok(peer),
            false => Err(not_found(format!("nobody with the peer id {peer} is known yet"))),
        }
    }

    /// A name as it is shown here, or with digits of the key. Several claims make it ambiguous, until the user (or the
    /// profile) has said whose it is: a stranger must not take a name out of use by calling itself so.
    fn by_name(&self, name: &str) -> Result<PeerId, CommandError> {
        if name == self.config.nick.as_str() {
            return Err(CommandError::new(ErrorKind::NotAllowed, "that is yourself"));
        }
        if let Some(pin) = self.config.rules.pins.iter().find(|pin| pin.nick.as_str() == name) {
            return self.known(pin.fingerprint);
        }
        let contacts = || self.contacts.values();
        let holder = contacts().find(|contact| contact.row.name == name);
        if let Some(holder) = holder.filter(|holder| self.is_decided(holder)) {
            return Ok(holder.row.peer);
        }
        let claims = |contact: &&Contact| contact.row.nick == name && !contact.row.blocked;
        let mut found: Vec<&Contact> =
            holder.into_iter().chain(contacts().filter(claims).filter(|it| it.row.name != name)).collect();
        if let (true, Some((nick, digits))) = (found.is_empty(), name.split_once('·')) {
            let meant = |it: &&Contact| it.row.nick == nick && it.row.peer.to_string().starts_with(digits);
            found.extend(contacts().filter(meant));
        }
        match found.as_slice() {
            [] => {
                let name: String = chat_core::nick::inert(name);
                Err(not_found(format!("nobody called {name} is known yet; /peers lists who is")))
            }
            [one] => Ok(one.row.peer),
            several => Err(ambiguous(name, several)),
        }
    }

    fn by_conversation(&self, id: ConversationId) -> Result<Target, CommandError> {
        if self.room_of(id).is_some() {
            return Ok(Target::Room(id));
        }
        self.directs
            .get(&id)
            .copied()
            .map(Target::Peer)
            .ok_or_else(|| not_found("there is no such conversation"))
    }
}
