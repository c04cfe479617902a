//! Sealing and opening.

use std::fmt;
use std::sync::Arc;

use chat_core::cipher::{Cipher, TAG_LEN};
use chat_core::{Context, CryptoError, SavedSession, Session, StateChange, Step, Timestamp};
use x25519_agreement::{Agreed, KEY_LEN, SecretKey};
use zeroize::Zeroizing;

use crate::frame::{Frame, HEADER_LEN, Header};
use crate::keys::{COUNT_END, Chain, MessageKey, SALT_LEN};
use crate::skipped::{Found, Place, Skipped};
use crate::state::State;

/// Most messages of a chain that may be missing before one that arrives.
pub const MAX_MISSING: u32 = 1000;
/// A new session is due after so many messages in a sending chain.
pub const RENEWAL_MESSAGES: u32 = 1 << 20;

/// A session by the Double Ratchet; see the crate's page.
pub struct RatchetSession {
    pub(crate) state: State,
    /// The public half of one's own ratchet key, while there is one and a chain to send with it.
    own_public: [u8; KEY_LEN],
    pub(crate) skipped: Skipped,
    cipher: Arc<dyn Cipher>,
    /// Whether the state differs from what was saved last.
    changed: bool,
}

impl RatchetSession {
    /// The end that sent the first message, to the owner of `peer_bundle_key` (`BK_B`).
    ///
    /// # Errors
    /// [`CryptoError::Entropy`]; a key of low order.
    pub fn initiator(
        agreed: &Agreed,
        peer_bundle_key: [u8; KEY_LEN],
        cx: &mut Context<'_>,
    ) -> Result<Self, CryptoError> {
        let state = State::initiator(agreed, peer_bundle_key, cx)?;
        Self::new(state, Skipped::default(), cx, true)
    }

    /// The end that accepted it.
    ///
    /// # Errors
    /// None with the key lengths of this crate.
    pub fn responder(
        agreed: &Agreed,
        own_bundle_key: &SecretKey,
        cx: &Context<'_>,
    ) -> Result<Self, CryptoError> {
        Self::new(State::responder(agreed, own_bundle_key, cx), Skipped::default(), cx, true)
    }

    /// A session as it was saved.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if [`Session::save`] can't have made it, with this cipher and version.
    pub fn restore(saved: &SavedSession, cx: &Context<'_>) -> Result<Self, CryptoError> {
        Self::new(State::decode(saved, cx)?, Skipped::restore(saved)?, cx, false)
    }

    fn new(state: State, skipped: Skipped, cx: &Context<'_>, changed: bool) -> Result<Self, CryptoError> {
        // Needed only in headers; the responder's bundle key never stands in one.
        let sends = state.own()?.filter(|_| state.sending.is_some());
        let own_public = sends.map(|own| own.public()).unwrap_or_default();
        Ok(Self { state, own_public, skipped, cipher: Arc::clone(&cx.cipher), changed })
    }

    /// `lp(TH) ‖ header`
    fn associated_data(&self, header: Header) -> [u8; 4 + 32 + HEADER_LEN] {
        let mut data = [0; 4 + 32 + HEADER_LEN];
        let (length, rest) = data.split_at_mut(4);
        let (transcript, end) = rest.split_at_mut(32);
        length.copy_from_slice(&32_u32.to_be_bytes());
        transcript.copy_from_slice(&self.state.transcript);
        end.copy_from_slice(&header.to_bytes());
        data
    }

    /// The text of a frame, if `key` is its key.
    fn text(&self, frame: &Frame<'_>, key: &MessageKey) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let mut body = Zeroizing::new(frame.body.to_vec());
        let key = key.salted(frame.salt, &*self.cipher)?;
        key.open(0, &self.associated_data(frame.header), &mut body)?;
        Ok(body)
    }

    /// Where a frame leads that is not one of those that were skipped. Nothing is decided yet: its header may be forged.
    fn follow(&self, header: &Header) -> Result<Ahead, CryptoError> {
        let turns = self.state.peer_public != Some(header.public);
        let received = match (&self.state.receiving, turns) {
            (Some(chain), false) => chain.count,
            // The peer's bundle key is not a key it sends with.
            (None, false) => return Err(CryptoError::Forged),
            (_, true) => 0,
        };
        let missing = match header.number.checked_sub(received) {
            Some(missing) => missing,
            None if header.number < self.state.given_up => return Err(CryptoError::TooOld),
            None => return Err(CryptoError::Duplicate),
        };
        if missing > MAX_MISSING {
            return Err(CryptoError::TooFarAhead);
        }
        let turned = turns.then(|| self.state.turned(header.public)).transpose()?;
        let receiving = &turned.as_ref().unwrap_or(&self.state).receiving;
        let from = receiving.as_ref().ok_or(CryptoError::Forged)?.clone();
        let mut chain = from.clone();
        chain.advance_to(header.number)?;
        let (key, after) = chain.step()?;
        Ok(Ahead { turned, from, key, after })
    }

    /// The keys of what a genuine frame left behind: of the chain before, and of its own.
    fn left_behind(
        &self,
        header: &Header,
        ahead: &Ahead,
    ) -> Result<Vec<(Place, Box<MessageKey>)>, CryptoError> {
        let mut keys = Vec::new();
        if let (true, Some(public), Some(chain)) =
            (ahead.turned.is_some(), self.state.peer_public, &self.state.receiving)
            && header.previous.saturating_sub(chain.count) <= MAX_MISSING
        {
            collect(&mut keys, public, chain, header.previous)?;
        }
        collect(&mut keys, header.public, &ahead.from, header.number)?;
        Ok(keys)
    }

    /// A step has succeeded.
    fn passed(&mut self, now: Timestamp) {
        self.changed = true;
        self.expire(now);
    }

    /// Of the chain that is being received, numbers that can't be told from those that were used.
    fn give_up(&mut self, places: impl IntoIterator<Item = Place>) {
        let of_this_chain = |place: &Place| Some(place.public) == self.state.peer_public;
        let last = places.into_iter().filter(of_this_chain).map(|place| place.number + 1).max();
        self.state.given_up = self.state.given_up.max(last.unwrap_or_default());
    }

    fn open_skipped(
        &mut self,
        frame: &Frame<'_>,
        place: Place,
        now: Timestamp,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, CryptoError> {
        let text = match self.skipped.key(place, now) {
            Found::Nothing => return Ok(None),
            Found::Expired => return Err(CryptoError::TooOld),
            Found::Key(key) => self.text(frame, key)?,
        };
        self.skipped.erase(place);
        self.passed(now);
        Ok(Some(text))
    }
}

/// What opening a frame would lead to.
struct Ahead {
    /// The state after the step, if its sender has a new ratchet key.
    turned: Option<State>,
    /// Its chain, before whatever is skipped.
    from: Chain,
    key: Box<MessageKey>,
    /// Its chain, behind it.
    after: Chain,
}

/// The keys of a chain from where it is until before `end`.
fn collect(
    keys: &mut Vec<(Place, Box<MessageKey>)>,
    public: [u8; KEY_LEN],
    chain: &Chain,
    end: u32,
) -> Result<(), CryptoError> {
    let mut chain = chain.clone();
    while chain.count < end {
        let (key, after) = chain.step()?;
        keys.push((Place { public, number: chain.count }, key));
        chain = after;
    }
    Ok(())
}

impl Session for RatchetSession {
    fn seal(&mut self, plaintext: &[u8], step: &mut Step<'_>) -> Result<Vec<u8>, CryptoError> {
        let turned = match self.state.sending {
            Some(_) => None,
            None => {
                let own = SecretKey::generate(step.entropy)?;
                let own_public = own.public();
                let mut next = self.state.clone();
                next.begin_sending(own)?;
                Some((next, own_public))
            }
        };
        let (state, own_public) =
            turned.as_ref().map_or((&self.state, self.own_public), |(next, public)| (next, *public));
        let chain = state.sending.as_ref().ok_or(CryptoError::Failed("no sending chain"))?;
        // One less than all numbers, so that the count of them all fits into the header of the next chain.
        if chain.count >= COUNT_END - 1 {
            return Err(CryptoError::Exhausted("message numbers of the sending chain"));
        }
        let salt = step.entropy.bytes::<SALT_LEN>()?;
        let header = Header { public: own_public, previous: state.previous, number: chain.count };
        let (key, after) = chain.step()?;
        let key = key.salted(&salt, &*self.cipher)?;
        // Room for tag and padding, so that the plaintext isn't left behind in freed memory by growing.
        let mut body = Zeroizing::new(Vec::with_capacity(plaintext.len().saturating_add(2 * TAG_LEN)));
        body.extend_from_slice(plaintext);
        key.seal(0, &self.associated_data(header), &mut body)?;
        if let Some((next, own_public)) = turned {
            (self.state, self.own_public) = (next, own_public);
        }
        self.state.sending = Some(after);
        self.passed(step.now);
        // Sealed, it is no secret any more: to erase a long one would cost as much as to seal it.
        let sealed = std::mem::take(&mut *body);
        Ok([&header.to_bytes()[..], &salt, &sealed].concat())
    }

    fn open(&mut self, sealed: &[u8], step: &mut Step<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let frame = Frame::parse(sealed)?;
        let header = frame.header;
        let place = Place { public: header.public, number: header.number };
        if let Some(text) = self.open_skipped(&frame, place, step.now)? {
            return Ok(text);
        }
        let ahead = self.follow(&header)?;
        let text = self.text(&frame, &ahead.key)?;
        // It is genuine. The keys it skipped are only now derived: a forged one costs less.
        let left_behind = self.left_behind(&header, &ahead)?;
        if let Some(next) = ahead.turned {
            self.state = next;
        }
        self.state.receiving = Some(ahead.after);
        self.passed(step.now);
        for (place, key) in left_behind {
            let surplus = self.skipped.store(place, key, step.now);
            self.give_up(surplus);
        }
        Ok(text)
    }

    fn needs_renewal(&self, _: Timestamp) -> bool {
        // Not by age: the keys are as old as the peer's last answer.
        self.state.sending.as_ref().is_some_and(|chain| chain.count >= RENEWAL_MESSAGES)
    }

    fn expire(&mut self, now: Timestamp) -> bool {
        let expired = self.skipped.expire(now);
        let has_expired = !expired.is_empty();
        self.changed |= has_expired;
        self.give_up(expired);
        has_expired
    }

    fn save(&mut self) -> StateChange {
        let mut change = StateChange::default();
        if self.changed {
            // Encoding into memory doesn't fail; if it did, all would still count as unsaved.
            change.main = self.state.encode().ok();
        }
        if change.main.is_some() {
            self.changed = false;
            self.skipped.save_into(&mut change);
        }
        change
    }
}

impl fmt::Debug for RatchetSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |chain: &Option<Chain>| chain.as_ref().map_or(0, |chain| chain.count);
        let (sent, received) = (count(&self.state.sending), count(&self.state.receiving));
        write!(f, "RatchetSession({sent} sealed, {received} opened in this turn)")
    }
}
