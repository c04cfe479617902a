//! Peers, by key: the directory's hints verified, names, presence, and one's own keys.

use std::collections::BTreeMap;

use chat_core::api::Event;
use chat_core::api::event::{AlarmKind, PeerEvent};
use chat_core::api::snapshot::Author;
use chat_core::api::{PeerView, Trust};
use chat_core::ids::{PeerId, SessionId, Timestamp};
use chat_core::wire::bundle::{SignedBundle, VerifiedBundle};

use super::clock::JUMP_MS;
use super::{Engine, Renewal};
use crate::store::{ContactRow, StoreError};

/// A peer known here.
pub(crate) struct Contact {
    pub(crate) row: ContactRow,
    pub(crate) bundle: VerifiedBundle,
    pub(crate) online: bool,
}

impl Engine {
    pub(super) fn load_contacts(&mut self) -> Result<(), StoreError> {
        let online: Vec<PeerId> = self.online();
        self.former_names = self.store.former_names()?.into_iter().collect();
        let mut contacts = BTreeMap::new();
        for (row, bundle) in self.store.contacts()? {
            match SignedBundle::verify(&bundle) {
                Ok(bundle) => {
                    let online = online.contains(&row.peer);
                    contacts.insert(row.peer, Contact { row, bundle, online });
                }
                Err(error) => {
                    tracing::error!(peer = %row.peer.short(), %error, "a stored bundle is damaged");
                    // The name stays this peer's, whatever became of its bundle.
                    self.former_names.insert(row.name, row.peer);
                }
            }
        }
        self.directs = contacts.keys().map(|&peer| (self.direct(peer), peer)).collect();
        self.contacts = contacts;
        self.refresh_peers();
        Ok(())
    }

    /// Everybody the relay sees now.
    pub(super) fn online(&self) -> Vec<PeerId> {
        self.contacts.iter().filter(|(_, contact)| contact.online).map(|(id, _)| *id).collect()
    }

    /// What a peer is called here.
    pub(super) fn name_of(&self, peer: PeerId) -> String {
        if peer == self.config.identity.peer_id() {
            return self.config.nick.to_string();
        }
        self.contacts.get(&peer).map_or_else(|| peer.short(), |contact| contact.row.name.clone())
    }

    pub(super) fn author(&self, peer: PeerId) -> Author {
        let contact = self.contacts.get(&peer);
        let verified =
            peer == self.config.identity.peer_id() || contact.is_some_and(|it| self.is_verified(it));
        Author { peer_id: peer, nick: self.name_of(peer), verified }
    }

    pub(super) fn peer_view(&self, contact: &Contact) -> PeerView {
        PeerView {
            peer_id: contact.row.peer,
            nick: contact.row.name.clone(),
            trust: if self.is_verified(contact) { Trust::Verified } else { Trust::Unverified },
            verified: self.is_verified(contact),
            pinned: self.is_pinned(contact.row.peer),
            held: self.hold(contact),
            online: contact.online,
            last_seen: Some(contact.row.last_seen),
            problem: self.problem(contact),
        }
    }

    /// A peer in the relay's directory. The bundle is the peer's own word; the rest is a hint.
    pub(super) fn peer_record(&mut self, bundle: Vec<u8>, online: bool) -> Result<(), StoreError> {
        let verified = match SignedBundle::verify(&bundle) {
            Ok(verified) => verified,
            Err(error) => {
                self.alarm(
                    AlarmKind::Refused,
                    None,
                    format!("the relay gave a bundle that does not verify: {error}"),
                );
                return Ok(());
            }
        };
        let peer = verified.peer_id;
        if peer == self.config.identity.peer_id() {
            return Ok(());
        }
        self.learn_bundle(verified, bundle)?;
        if online {
            self.came(peer)?;
        }
        self.presence(peer, online)?;
        self.tell_of_downgrade(peer);
        if self.renew_when_known.remove(&peer).is_some() {
            self.renew_with(peer, Renewal::OverAny)?;
        }
        self.seal_waiting(peer)
    }

    /// A bundle whose signature was checked: from the directory, or with a first message.
    pub(super) fn learn_bundle(
        &mut self,
        verified: VerifiedBundle,
        signed: Vec<u8>,
    ) -> Result<(), StoreError> {
        let peer = verified.peer_id;
        let problem = self.profile.agree(&verified.bundle.profile).err().map(|mismatch| mismatch.to_string());
        if !self.is_news(&verified, &problem)? {
            return Ok(());
        }
        if let Some(mismatch) = &problem {
            self.alarm(AlarmKind::Downgrade, Some(peer), format!("another stack: {mismatch}"));
        }
        let nick = verified.bundle.nick.to_string();
        let known = self.contacts.get(&peer);
        let renamed = known.is_some_and(|known| known.row.nick != nick);
        let name = match known {
            Some(known) if !renamed => known.row.name.clone(),
            _ => self.free_name(peer, &nick),
        };
        let former = known.filter(|known| known.row.name != name).map(|known| known.row.name.clone());
        let row = ContactRow {
            peer,
            name,
            nick,
            problem,
            sending: known.and_then(|known| known.row.sending),
            // Of the key, whatever it is called.
            verified: known.is_some_and(|known| known.row.verified),
            first_seen: known.map_or(self.now, |known| known.row.first_seen),
            last_seen: self.now,
            blocked: known.is_some_and(|known| known.row.blocked),
            had: known.map_or(0, |known| known.row.had),
            rival: known.and_then(|known| known.row.rival).filter(|_| !renamed),
            settled: known.is_some_and(|known| known.row.settled) && !renamed,
        };
        let (is_new, online) = (known.is_none(), known.is_some_and(|known| known.online));
        let was = former.clone();
        let claim = (is_new || renamed).then(|| (row.name.clone(), row.nick.clone()));
        if let Some(former) = former {
            self.keep_former_name(former, peer)?;
        }
        self.store.put_contact(&row, Some(&signed))?;
        self.contacts.insert(peer, Contact { row, bundle: verified, online });
        self.directs.insert(self.direct(peer), peer);
        self.refresh_peers();
        if let Some((name, nick)) = claim {
            self.tell_of_second_key(peer, &name, nick)?;
        }
        if was.is_some() {
            self.tell_presence_of(peer, online, was);
        }
        if renamed {
            self.reconsider(peer)?;
            self.refresh_name_of(peer)?;
        }
        Ok(())
    }

    /// Whether a bundle says something new of a peer, or of somebody for whom there is room.
    fn is_news(&mut self, verified: &VerifiedBundle, problem: &Option<String>) -> Result<bool, StoreError> {
        let peer = verified.peer_id;
        let full = !self.contacts.contains_key(&peer) && !self.has_room_for_contact()?;
        match self.contacts.get(&peer) {
            // An older bundle of a known peer, also replayed by the relay, changes nothing.
            Some(known) if self.rank(&known.bundle) > self.rank(verified) => return Ok(false),
            Some(known) if known.bundle.hash == verified.hash && known.row.problem == *problem => {
                return Ok(false);
            }
            // It was made before this node changed its stack, or while its owner had another: he may have changed as well,
            // and not have told the relay yet.
            Some(known) if known.bundle.hash == verified.hash && problem.is_some() => {
                self.watched.old_stack(peer, self.up);
                return Ok(false);
            }
            None if full => {
                tracing::warn!(peer = %peer.short(), "too many peers are known; this one is ignored");
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Which of two bundles of a peer counts: the newer one. One from the future was signed under a wrong clock, or this
    /// node's is wrong; it is used as long as there is no other, else it would stay the newest for years.
    fn rank(&self, bundle: &VerifiedBundle) -> (bool, Timestamp) {
        let created = bundle.bundle.created;
        (created <= self.now.plus_ms(JUMP_MS), created)
    }

    /// The nick itself, or with `·` and digits of the key if somebody else has it or had it: a name never moves by
    /// itself.
    pub(super) fn free_name(&self, peer: PeerId, nick: &str) -> String {
        let taken = |name: &str| {
            name == self.config.nick.as_str()
                || self.former_names.get(name).is_some_and(|owner| *owner != peer)
                || self.contacts.values().any(|contact| contact.row.peer != peer && contact.row.name == name)
        };
        if !taken(nick) {
            return nick.to_owned();
        }
        let id = peer.to_string();
        let suffixes = (4..=id.len()).filter_map(|len| id.get(..len));
        let mut names = suffixes.map(|suffix| format!("{nick}·{suffix}"));
        names.find(|name| !taken(name)).unwrap_or(id.clone())
    }

    /// Somebody new here, or under a new name, claims a name that another key has.
    fn tell_of_second_key(&mut self, newcomer: PeerId, name: &str, nick: String) -> Result<(), StoreError> {
        if self.is_pinned_to_another(&nick, newcomer) {
            self.tell_once(newcomer, AlarmKind::Refused);
        }
        if name == nick {
            return Ok(());
        }
        let holder = self.contacts.values().find(|contact| contact.row.name == nick);
        let pinned = self.config.rules.pins.iter().find(|pin| pin.nick.as_str() == nick);
        let known = match (holder, pinned) {
            _ if nick == self.config.nick.as_str() => Some(self.config.identity.peer_id()),
            (Some(holder), _) => Some(holder.row.peer),
            (None, pin) => pin.map(|pin| pin.fingerprint),
        };
        let Some(known) = known else { return Ok(()) };
        let held = self.is_claimed(known, newcomer)?;
        self.tell_of_claim(nick, known, newcomer, held);
        Ok(())
    }

    pub(super) fn presence(&mut self, peer: PeerId, online: bool) -> Result<(), StoreError> {
        let now = self.now;
        self.unconfirmed.remove(&peer);
        let Some(contact) = self.contacts.get_mut(&peer) else {
            // Whatever became of its bundle on the way: as long as it is not known, nothing that is said in the room
            // would go to it.
            if online && self.rooms.values().any(|room| room.has(peer)) {
                self.ask_for(peer);
            }
            return Ok(());
        };
        let changed = contact.online != online;
        contact.online = online;
        if !changed {
            return Ok(());
        }
        contact.row.last_seen = now;
        let row = contact.row.clone();
        self.tell_presence(peer, online);
        self.store.put_contact(&row, None)?;
        self.refresh_peers();
        self.touch_memberships(peer)
    }

    pub(super) fn tell_presence(&mut self, peer: PeerId, online: bool) {
        self.tell_presence_of(peer, online, None);
    }

    fn tell_presence_of(&mut self, peer: PeerId, online: bool, was: Option<String>) {
        let Author { peer_id, nick, verified } = self.author(peer);
        let event = PeerEvent { peer_id, nick, verified, was };
        self.out.events.push(if online { Event::PeerSeen(event) } else { Event::PeerLost(event) });
    }

    pub(super) fn set_sending(&mut self, peer: PeerId, session: SessionId) -> Result<(), StoreError> {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.row.sending = Some(session);
            self.store.put_contact(&contact.row, None)?;
        }
        Ok(())
    }

    pub(super) fn set_problem(&mut self, peer: PeerId, problem: Option<String>) -> Result<(), StoreError> {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.row.problem = problem;
            self.store.put_contact(&contact.row, None)?;
        }
        self.refresh_peers();
        Ok(())
    }
}
