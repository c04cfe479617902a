//! Whom nothing is sealed for until the user decides: pins, blocks, downgrades, keys that claim a known name.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::api::Event;
use chat_core::api::event::{AlarmKind, PeerKeyChanged};
use chat_core::api::snapshot::Held;
use chat_core::ids::{PeerId, SessionId};
use chat_core::key_exchange::Properties;
use chat_core::wire::Body;

use super::peers::Contact;
use super::{Engine, MINUTE_MS, Uptime};
use crate::store::{DeliveryRow, StoreError};

/// Somebody who had a name, and is told to be there so soon after another key has claimed it, was there all the time.
const GRACE_MS: u64 = 5_000;
/// Somebody who goes so soon after another key has claimed his name, and was not heard from meanwhile, may have been
/// gone before: a relay notices late that nobody is at the other end.
const STALE_MS: u64 = 5 * MINUTE_MS;

/// Somebody who has changed his stack as this node has shows a bundle of it within this, once he is there: keys of
/// `rsa-hybrid` take a while to make.
const SAME_STACK_MS: u64 = MINUTE_MS;

/// Whether a property is given.
type Gives = fn(&Properties) -> bool;

/// Properties as bits, for the store, with their names for the user.
const PROPERTIES: [(Gives, &str); 4] = [
    (|given| given.forward_secrecy, "forward secrecy"),
    (|given| given.healing, "healing"),
    (|given| given.post_quantum, "post-quantum secrecy"),
    (|given| given.deniable, "deniability"),
];

fn bits(properties: &Properties) -> u8 {
    let given = PROPERTIES.iter().enumerate().filter(|(_, (gives, _))| gives(properties));
    given.fold(0, |bits, (n, _)| bits | 1 << n)
}

/// What this run remembers of trust beside the store.
#[derive(Default)]
pub(crate) struct Watched {
    /// Names that another key claims while who has it seems to be there: since when.
    claims: BTreeMap<PeerId, (PeerId, Uptime)>,
    /// Questions that were put to the user a moment ago.
    asked: BTreeMap<PeerId, Uptime>,
    /// Peers about whom the user was told already, in this run.
    told: BTreeSet<PeerId>,
    /// Peers of whom only a bundle of another stack is known, from before: since when they are there with it.
    old_stacks: BTreeMap<PeerId, Uptime>,
}

impl Watched {
    pub(super) fn old_stack(&mut self, peer: PeerId, now: Uptime) {
        self.old_stacks.entry(peer).or_insert(now);
    }
}

impl Engine {
    /// Whether the user has compared, or the profile pins the key.
    pub(super) fn is_verified(&self, contact: &Contact) -> bool {
        contact.row.verified || self.is_pinned(contact.row.peer)
    }

    pub(super) fn is_pinned(&self, peer: PeerId) -> bool {
        self.config.rules.pins.iter().any(|pin| pin.fingerprint == peer)
    }

    /// Whether the user or the profile has said that the name which a peer has is its own, and nothing is to be decided
    /// about it since.
    pub(super) fn is_decided(&self, contact: &Contact) -> bool {
        contact.row.rival.is_none() && (contact.row.settled || self.is_verified(contact))
    }

    /// Whether another key, which is not blocked, claims a peer's nick.
    pub(super) fn has_namesake(&self, of: &Contact) -> bool {
        let is_other = |it: &Contact| it.row.peer != of.row.peer && !it.row.blocked;
        self.contacts.values().any(|it| is_other(it) && it.row.nick == of.row.nick)
    }

    /// Whether the profile says that a nick is another key's.
    pub(super) fn is_pinned_to_another(&self, nick: &str, peer: PeerId) -> bool {
        self.config.rules.pins.iter().any(|pin| pin.nick.as_str() == nick && pin.fingerprint != peer)
    }

    /// What was had with a peer and is missing now, as bits.
    fn lost(&self, contact: &Contact) -> u8 {
        contact.row.had & !bits(&self.config.stack.properties)
    }

    /// Why nothing is sealed for a peer, if so.
    pub(super) fn hold(&self, contact: &Contact) -> Option<Held> {
        if self.is_pinned_to_another(&contact.row.nick, contact.row.peer) {
            Some(Held::Pinned)
        } else if contact.row.blocked {
            Some(Held::Blocked)
        } else if self.lost(contact) != 0 {
            Some(Held::Downgrade)
        } else if self.config.rules.verified_peers && !self.is_verified(contact) {
            Some(Held::Unverified)
        } else if contact.row.rival.is_some() {
            Some(Held::KeyChanged)
        } else {
            None
        }
    }

    pub(super) fn held(&self, peer: PeerId) -> Option<Held> {
        self.contacts.get(&peer).and_then(|contact| self.hold(contact))
    }

    /// Whether this peer gets nothing at all; if another key claims its name, only direct messages wait.
    pub(super) fn is_shut_out(&self, peer: PeerId) -> bool {
        self.held(peer).is_some_and(|held| held != Held::KeyChanged)
    }

    /// Why a body is not sealed for a peer now.
    pub(super) fn withheld(&self, peer: PeerId, body: &Body) -> Option<Held> {
        let held = self.held(peer)?;
        (held != Held::KeyChanged || matches!(body, Body::Text(_))).then_some(held)
    }

    /// Why nothing can be sent to a peer, and what to do about it.
    pub(super) fn problem(&self, contact: &Contact) -> Option<String> {
        contact.row.problem.clone().or_else(|| Some(self.why(contact, self.hold(contact)?)))
    }

    /// The same of what holds it.
    pub(super) fn why(&self, contact: &Contact, held: Held) -> String {
        let (name, nick) = (&contact.row.name, &contact.row.nick);
        match held {
            Held::Pinned => {
                format!("the profile pins the nick {nick} to another key, so this one is refused")
            }
            Held::Blocked => format!("you have blocked {name}; /unblock {name} ends that"),
            Held::Downgrade => format!(
                "{} was had with {name} and is missing now; take back a profile that gives it, or agree: /accept {name} \
                 downgrade",
                self.names_of(self.lost(contact))
            ),
            Held::Unverified => format!(
                "the policy asks for verified peers, and {name} is not: compare with /verify {name}, then /verify {name} yes"
            ),
            Held::KeyChanged => {
                let newcomer = contact.row.rival.map(|rival| self.name_of(rival)).unwrap_or_default();
                format!(
                    "another key claims the name {nick}: /accept {newcomer} gives it the name, /accept {} keeps it",
                    contact.row.peer
                )
            }
        }
    }

    fn names_of(&self, lost: u8) -> String {
        let names = PROPERTIES.iter().enumerate().filter(|(n, _)| lost & 1 << n != 0);
        names.map(|(_, (_, name))| *name).collect::<Vec<_>>().join(", ")
    }

    /// A frame of this peer was opened: what this stack gives was had with it; and it is there.
    pub(super) fn heard_from(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.watched.claims.remove(&peer);
        self.writing.heard_from(peer);
        let now = bits(&self.config.stack.properties);
        match self.contacts.get_mut(&peer) {
            Some(contact) if contact.row.had & now != now => {
                contact.row.had |= now;
                self.store.put_contact(&contact.row, None)
            }
            _ => Ok(()),
        }
    }

    /// What was had is had no more, as the user agrees.
    pub(super) fn agree_to_downgrade(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let now = bits(&self.config.stack.properties);
        self.watched.told.remove(&peer);
        let Some(contact) = self.contacts.get_mut(&peer) else { return Ok(()) };
        contact.row.had &= now;
        self.store.put_contact(&contact.row, None)
    }

    /// Raises the alarm about a downgrade, once a run and peer; the problem stands in the list of peers all the time.
    pub(super) fn tell_of_downgrade(&mut self, peer: PeerId) {
        if self.held(peer) == Some(Held::Downgrade) {
            self.tell_once(peer, AlarmKind::Downgrade);
        }
    }

    /// What such a peer says is not looked at; the user is told once.
    pub(super) fn not_heard(&mut self, peer: PeerId, held: Held) {
        let kind = if held == Held::Downgrade { AlarmKind::Downgrade } else { AlarmKind::Refused };
        self.tell_once(peer, kind);
    }

    pub(super) fn tell_once(&mut self, peer: PeerId, kind: AlarmKind) {
        let Some(contact) = self.contacts.get(&peer) else { return };
        let Some(held) = self.hold(contact) else { return };
        let detail = self.why(contact, held);
        if self.watched.told.insert(peer) {
            self.alarm(kind, Some(peer), detail);
        }
    }

    /// Another key claims the name of a known peer. If that peer is not there, it may have come back with a new identity:
    /// direct messages to it wait. Whether that is so. Of somebody with whom the user has nothing to do there is nothing to
    /// decide: a relay can make up any number of pairs.
    pub(super) fn is_claimed(&mut self, known: PeerId, newcomer: PeerId) -> Result<bool, StoreError> {
        let is_pinned = self.is_pinned(known);
        if self.is_stranger(known)? {
            return Ok(false);
        }
        let Some(contact) = self.contacts.get(&known) else { return Ok(false) };
        if contact.row.settled || is_pinned {
            return Ok(false);
        }
        if contact.online {
            self.watched.claims.insert(known, (newcomer, self.up));
            return Ok(false);
        }
        self.watched.asked.insert(known, self.up);
        self.ask_about(known, newcomer)?;
        Ok(true)
    }

    fn ask_about(&mut self, known: PeerId, newcomer: PeerId) -> Result<(), StoreError> {
        let Some(contact) = self.contacts.get_mut(&known) else { return Ok(()) };
        contact.row.rival = Some(newcomer);
        self.store.put_contact(&contact.row, None)?;
        self.refresh_peers();
        self.reconsider(known)
    }

    /// The relay says that a peer is there. If its name was claimed a moment ago, there are two of that name.
    pub(super) fn came(&mut self, peer: PeerId) -> Result<(), StoreError> {
        match self.watched.asked.remove(&peer) {
            Some(at) if self.up.ms_since(at) <= GRACE_MS => {}
            _ => return Ok(()),
        }
        let Some(contact) = self.contacts.get_mut(&peer) else { return Ok(()) };
        let rival = contact.row.rival.take();
        self.store.put_contact(&contact.row, None)?;
        self.watched.claims.extend(rival.map(|rival| (peer, (rival, self.up))));
        self.refresh_peers();
        self.reconsider(peer)
    }

    /// The relay says that a peer has gone. If its name was claimed and it was not heard from since, it may have been gone
    /// before that.
    pub(super) fn went(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let Some((rival, at)) = self.watched.claims.remove(&peer) else { return Ok(()) };
        if self.up.ms_since(at) > STALE_MS || !self.contacts.contains_key(&rival) {
            return Ok(());
        }
        self.ask_about(peer, rival)?;
        let claims = self.contacts.get(&peer).map(|known| known.row.nick.clone()).unwrap_or_default();
        self.tell_of_claim(claims, peer, rival, true);
        Ok(())
    }

    pub(super) fn tell_of_claim(&mut self, claims: String, known: PeerId, newcomer: PeerId, held: bool) {
        let verified = self.contacts.get(&newcomer).is_some_and(|contact| self.is_verified(contact));
        let nick = self.name_of(newcomer);
        let changed = PeerKeyChanged { claims, known, peer_id: newcomer, nick, verified, held };
        self.out.events.push(Event::PeerKeyChanged(changed));
    }

    /// Without a link nobody is known to be there.
    pub(super) fn forget_claims(&mut self) {
        self.watched.claims.clear();
    }

    /// After something has changed that holds a peer, or no longer does: what is on its way to it waits with the reason,
    /// or is sealed.
    pub(super) fn reconsider(&mut self, peer: PeerId) -> Result<(), StoreError> {
        // No session has the id of zeros: these are all that have not arrived.
        for delivery in self.store.open_deliveries_of_others(peer, SessionId::default())? {
            self.reconsider_one(&delivery)?;
        }
        if !self.is_shut_out(peer) {
            self.tell_rooms(peer)?;
        }
        self.seal_waiting(peer)
    }

    fn reconsider_one(&mut self, delivery: &DeliveryRow) -> Result<(), StoreError> {
        let me = self.config.identity.peer_id();
        let Some(row) = self.store.message(me, delivery.message)? else { return Ok(()) };
        let body = if row.in_room { Body::RoomText(String::new()) } else { Body::Text(String::new()) };
        match self.withheld(delivery.peer, &body) {
            Some(held) => {
                self.store.drop_delivery_envelope(delivery.message, delivery.peer)?;
                self.say_why(delivery, Some(held))
            }
            None => self.say_why(delivery, None),
        }
    }

    /// Writes beside a copy what it waits for; its state stays.
    pub(super) fn say_why(&mut self, delivery: &DeliveryRow, held: Option<Held>) -> Result<(), StoreError> {
        let contact = self.contacts.get(&delivery.peer);
        let reason = held.zip(contact).map(|(held, contact)| format!("waits: {}", self.why(contact, held)));
        if reason != delivery.reason {
            let (message, peer, state) = (delivery.message, delivery.peer, delivery.state);
            self.store.set_delivery_state(message, peer, state, reason.as_deref())?;
            self.touched.insert(message);
        }
        Ok(())
    }

    /// At the start: pinned nicks are their keys', the stack may not be what it was, and what waits waits with its reason.
    pub(super) fn settle_trust(&mut self) -> Result<(), StoreError> {
        self.give_pinned_names()?;
        let me = |contact: &Contact| contact.row.peer;
        let all: Vec<PeerId> = self.contacts.values().map(me).collect();
        for peer in all {
            self.compare_stacks(peer)?;
        }
        for peer in self.store.peers_with_open_deliveries()? {
            self.reconsider(peer)?;
        }
        Ok(())
    }

    /// What was found to be different at another start may be the same now. That a bundle from then is of another stack
    /// says nothing yet: its owner may have changed as well.
    fn compare_stacks(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let Some(contact) = self.contacts.get(&peer) else { return Ok(()) };
        let differs =
            contact.row.problem.as_ref().is_some_and(|why| !why.starts_with(super::sessions::NO_SESSION));
        let agrees = self.profile.agree(&contact.bundle.bundle.profile).is_ok();
        if differs && agrees { self.set_problem(peer, None) } else { Ok(()) }
    }

    /// Whoever is there for so long, and still shows a bundle of another stack, has not changed as this node has.
    pub(super) fn tell_of_old_stacks(&mut self) -> Result<(), StoreError> {
        let (now, linked) = (self.up, self.welcomed);
        let mut overdue = Vec::new();
        self.watched.old_stacks.retain(|peer, since| {
            let Some(contact) = self.contacts.get(peer) else { return false };
            let Err(mismatch) = self.profile.agree(&contact.bundle.bundle.profile) else { return false };
            if !(linked && contact.online) {
                *since = now;
            }
            let is_overdue = now.ms_since(*since) >= SAME_STACK_MS;
            if is_overdue {
                overdue.push((*peer, mismatch));
            }
            !is_overdue
        });
        for (peer, mismatch) in overdue {
            self.alarm(AlarmKind::Downgrade, Some(peer), format!("another stack: {mismatch}"));
            self.set_problem(peer, Some(mismatch.to_string()))?;
        }
        Ok(())
    }

    /// Whoever is pinned is looked for, also if no room is shared.
    pub(super) fn ask_for_pinned(&mut self) {
        let me = self.config.identity.peer_id();
        let pinned: Vec<PeerId> = self.config.rules.pins.iter().map(|pin| pin.fingerprint).collect();
        for peer in pinned.into_iter().filter(|peer| *peer != me) {
            if !self.contacts.contains_key(&peer) {
                self.ask_for(peer);
            }
        }
    }

    fn give_pinned_names(&mut self) -> Result<(), StoreError> {
        for pin in self.config.rules.pins.clone() {
            let nick = pin.nick.to_string();
            self.former_names.insert(nick.clone(), pin.fingerprint);
            let other =
                self.contacts.values().find(|it| it.row.name == nick && it.row.peer != pin.fingerprint);
            if let Some(other) = other.map(|other| other.row.peer) {
                let name = self.free_name(other, &nick);
                self.rename(other, name)?;
            }
            let own = self.contacts.get(&pin.fingerprint).filter(|own| own.row.nick == nick);
            if own.is_some_and(|own| own.row.name != nick) && nick != self.config.nick.as_str() {
                self.rename(pin.fingerprint, nick)?;
            }
        }
        Ok(())
    }

    /// Shows a peer under another name from now on. Two must not have one name, not for a moment.
    pub(super) fn rename(&mut self, peer: PeerId, name: String) -> Result<(), StoreError> {
        let Some(contact) = self.contacts.get_mut(&peer) else { return Ok(()) };
        contact.row.name = name;
        self.store.put_contact(&contact.row, None)?;
        self.refresh_peers();
        Ok(())
    }
}
