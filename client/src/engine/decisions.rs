//! What the user decides about peers: verified or not, which key a name is, who is blocked, what is agreed to.

use chat_core::api::command::{AcceptKey, AcceptKind, Confirm, Verification, Verify};
use chat_core::api::snapshot::Held;
use chat_core::api::{CommandError, Destination, ErrorKind, Reply};
use chat_core::ids::{PeerId, SessionId};
use chat_core::safety::{SafetyNumber, qr_content};

use super::Engine;
use super::answer::Answer;
use super::commands::Target;
use crate::store::{DeliveryState, StoreError};

/// What a step gives, or why the command is refused.
type Found<T> = Result<T, CommandError>;

fn not_allowed(why: impl std::fmt::Display) -> CommandError {
    CommandError::new(ErrorKind::NotAllowed, why)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Engine {
    /// A peer, and no room. The relay is asked for a peer id that is not known.
    fn peer_of(&mut self, to: &Destination) -> Found<PeerId> {
        let unknown = self.look_for(to);
        match self.target(to) {
            Ok(Target::Peer(peer)) => Ok(peer),
            Ok(Target::Room(room)) => {
                let room = self.conversation_name(room);
                Err(CommandError::new(ErrorKind::BadParams, format!("{room} is no peer")))
            }
            Err(mut error) => {
                if unknown {
                    error.message.push_str("; the relay is asked, so try again in a moment");
                }
                Err(error)
            }
        }
    }

    /// `peer.verify`
    pub(super) fn verify(&mut self, verify: &Verify) -> Answer<Reply> {
        let peer = self.peer_of(&verify.peer)?;
        let Some(contact) = self.contacts.get(&peer) else { return Err(not_allowed("nobody").into()) };
        let me = self.config.identity.public();
        let number = SafetyNumber::of(&me, &contact.bundle.key);
        let qr = hex(&qr_content(me.peer_id(), peer));
        if let Some(confirm) = &verify.confirm {
            let verified = self.compared(confirm, &number, &qr)?;
            if !verified && self.is_pinned(peer) {
                let why = "the profile pins this key; take its [[pin]] out of the profile";
                return Err(not_allowed(why).into());
            }
            self.set_verified(peer, verified)?;
        }
        let Some(contact) = self.contacts.get(&peer) else { return Err(not_allowed("nobody").into()) };
        Ok(Reply::Verification(Verification {
            peer_id: peer,
            nick: contact.row.name.clone(),
            verified: self.is_verified(contact),
            safety_number: number.digits().to_owned(),
            qr,
        }))
    }

    /// What the comparison gave.
    fn compared(&self, confirm: &Confirm, number: &SafetyNumber, qr: &str) -> Found<bool> {
        let said = match confirm {
            Confirm::Is(same) => return Ok(*same),
            Confirm::Said(said) => said.trim(),
        };
        match said {
            "yes" => return Ok(true),
            "no" => return Ok(false),
            _ => {}
        }
        let same = match said.parse::<SafetyNumber>() {
            Ok(other) => other == *number,
            Err(_) if said.len() == qr.len() && said.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                said.eq_ignore_ascii_case(qr)
            }
            Err(_) => {
                let message = "confirm: yes, no, the 60 digits, or what the QR code holds, in hex";
                return Err(CommandError::new(ErrorKind::BadParams, message));
            }
        };
        let differs = "this is not the number of both keys: perhaps somebody is in between, or it is a peer's you did not \
                       mean; nothing was changed";
        if same { Ok(true) } else { Err(CommandError::new(ErrorKind::Mismatch, differs)) }
    }

    fn set_verified(&mut self, peer: PeerId, verified: bool) -> Result<(), StoreError> {
        let Some(contact) = self.contacts.get_mut(&peer) else { return Ok(()) };
        if contact.row.verified == verified {
            return Ok(());
        }
        contact.row.verified = verified;
        self.store.put_contact(&contact.row, None)?;
        let was_shut_out = self.config.rules.verified_peers && verified;
        self.decided(peer)?;
        // Its messages were taken without a receipt: they are asked for again.
        if was_shut_out { self.renew_as_decided(peer) } else { Ok(()) }
    }

    /// Something about a peer is otherwise now: what waits for it, and what is shown of it.
    fn decided(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.refresh_peers();
        self.refresh_name_of(peer)?;
        let online = self.contacts.get(&peer).is_some_and(|contact| contact.online);
        self.tell_presence(peer, online);
        self.reconsider(peer)
    }

    /// `peer.accept_key`
    pub(super) fn accept_key(&mut self, accept: &AcceptKey) -> Answer<Reply> {
        // Several may claim a name; whom it is shown for now is meant.
        let shown = |name: &str| self.contacts.values().find(|contact| contact.row.name == name);
        let shown = match &accept.peer {
            Destination::Nick(name) => shown(name).map(|contact| contact.row.peer),
            _ => None,
        };
        let peer = shown.map_or_else(|| self.peer_of(&accept.peer), Ok)?;
        match self.what_is_open(peer, accept.kind)? {
            AcceptKind::Downgrade => {
                self.agree_to_downgrade(peer)?;
                self.decided(peer)?;
                self.renew_as_decided(peer)?;
                let said =
                    format!("what {} is told is protected by this stack from now on", self.name_of(peer));
                Ok(Reply::Decided { said })
            }
            AcceptKind::Key => self.name_is(peer),
        }
    }

    fn what_is_open(&self, peer: PeerId, wanted: Option<AcceptKind>) -> Found<AcceptKind> {
        let Some(contact) = self.contacts.get(&peer) else { return Err(not_allowed("nobody")) };
        let (name, nick) = (&contact.row.name, &contact.row.nick);
        let downgrade = self.hold(contact) == Some(Held::Downgrade);
        let is_open = !self.is_decided(contact) && self.has_namesake(contact);
        let key = contact.row.rival.is_some() || name != nick || is_open;
        match (wanted, key, downgrade) {
            (Some(AcceptKind::Downgrade) | None, false, true) | (Some(AcceptKind::Downgrade), true, true) => {
                Ok(AcceptKind::Downgrade)
            }
            (Some(AcceptKind::Key), true, _) | (None, true, false) => Ok(AcceptKind::Key),
            (None, true, true) => {
                let message = format!("say which: `key` for the name {nick}, or `downgrade`");
                Err(CommandError::new(ErrorKind::BadParams, message))
            }
            (_, _, _) => Err(not_allowed(format!("there is nothing to decide about {name}"))),
        }
    }

    /// The name that several claim is this key's.
    fn name_is(&mut self, peer: PeerId) -> Answer<Reply> {
        let Some(contact) = self.contacts.get(&peer) else { return Err(not_allowed("nobody").into()) };
        let nick = contact.row.nick.clone();
        if contact.row.name == nick {
            self.keep_name(peer)?;
            let said = format!("{nick} is {peer}, as before");
            return Ok(Reply::Decided { said });
        }
        if nick == self.config.nick.as_str() {
            return Err(not_allowed(format!("{nick} is your own name")).into());
        }
        if self.is_pinned_to_another(&nick, peer) {
            return Err(not_allowed(format!("the profile pins {nick} to another key")).into());
        }
        self.move_name(&nick, peer)?;
        Ok(Reply::Decided { said: format!("{nick} is {peer} from now on, unverified") })
    }

    /// Who has the name keeps it; whoever claims it from now on is told of, and holds up nothing.
    fn keep_name(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let Some(contact) = self.contacts.get_mut(&peer) else { return Ok(()) };
        (contact.row.rival, contact.row.settled) = (None, true);
        self.store.put_contact(&contact.row, None)?;
        self.decided(peer)
    }

    fn move_name(&mut self, nick: &str, to: PeerId) -> Result<(), StoreError> {
        let before = self.contacts.values().find(|contact| contact.row.name == nick).map(|it| it.row.peer);
        self.store.give_name(nick, to)?;
        self.former_names.insert(nick.to_owned(), to);
        if let Some(before) = before {
            let name = self.free_name(before, nick);
            self.rename(before, name)?;
            self.give_up(before, nick, to)?;
        }
        let digits = self.name_of(to);
        self.store.put_former_name(&digits, to)?;
        self.former_names.insert(digits, to);
        self.rename(to, nick.to_owned())?;
        self.unmark(to)?;
        // The user has said whose it is: who claims it from now on, or had it before, changes nothing.
        if let Some(contact) = self.contacts.get_mut(&to) {
            contact.row.settled = true;
            self.store.put_contact(&contact.row, None)?;
        }
        if let Some(before) = before {
            self.decided(before)?;
        }
        self.decided(to)
    }

    /// A name that moves takes no trust with it, and leaves none behind.
    fn unmark(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let Some(contact) = self.contacts.get_mut(&peer) else { return Ok(()) };
        (contact.row.verified, contact.row.rival, contact.row.settled) = (false, None, false);
        self.store.put_contact(&contact.row, None)
    }

    /// What was meant for whoever has the name, and did not arrive at who had it, fails: the user sends it again, to
    /// whom he means.
    fn give_up(&mut self, before: PeerId, nick: &str, to: PeerId) -> Result<(), StoreError> {
        self.unmark(before)?;
        let (me, direct) = (self.config.identity.peer_id(), self.direct(before));
        let reason = format!("{nick} is another key now ({}); send it again there", to.short());
        for delivery in self.store.open_deliveries_of_others(before, SessionId::default())? {
            let row = self.store.message(me, delivery.message)?;
            if row.is_some_and(|row| row.conversation == direct) {
                let failed = DeliveryState::Failed;
                self.store.set_delivery_state(delivery.message, before, failed, Some(&reason))?;
                self.store.drop_delivery_envelope(delivery.message, before)?;
                self.touched.insert(delivery.message);
            }
        }
        Ok(())
    }

    /// `peer.block`, `peer.unblock`
    pub(super) fn block(&mut self, whom: &Destination, blocked: bool) -> Answer<Reply> {
        let peer = self.peer_of(whom)?;
        let Some(contact) = self.contacts.get_mut(&peer) else { return Err(not_allowed("nobody").into()) };
        let changed = contact.row.blocked != blocked;
        contact.row.blocked = blocked;
        let name = contact.row.name.clone();
        if changed {
            self.store.put_contact(&contact.row, None)?;
            self.decided(peer)?;
        }
        // What it has said meanwhile was not taken, so it still has it.
        if changed && !blocked {
            self.renew_as_decided(peer)?;
        }
        let said = match blocked {
            true => format!("{name} is blocked: neither heard nor answered; /unblock {name} ends that"),
            false => format!("{name} is heard again"),
        };
        Ok(Reply::Decided { said })
    }
}
