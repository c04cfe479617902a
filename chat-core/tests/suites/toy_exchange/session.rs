//! The Double Ratchet.

use std::sync::{Arc, Mutex};

use chat_core::cipher::{AeadKey, Cipher, TAG_LEN};
use chat_core::key_exchange::{Context, SavedSession, StateChange};
use chat_core::{CryptoError, Entropy as _, OsEntropy, Session, Step, Timestamp};
use zeroize::Zeroizing;

use super::group::{agree, hash, public_of, two_keys};
use super::state::{Memory, Skipped, State};
use super::{Fault, ToyExchange, draw};

const HEADER_LEN: usize = 16;
const SALT_LEN: usize = 16;
const MAX_SKIP: u32 = 1000;
const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;

pub(super) struct ToySession {
    fault: Fault,
    cipher: Arc<dyn Cipher>,
    memory: Memory,
    saved: Option<Memory>,
    turns: Arc<Mutex<Vec<(u64, u64)>>>,
    /// The last frame of one's own and what it said.
    own: Option<(Vec<u8>, Vec<u8>)>,
}

/// What a frame changes.
#[derive(Clone)]
struct Received {
    state: State,
    skipped: Vec<((u64, u32), [u8; 32])>,
    used: Option<(u64, u32)>,
    /// It was opened before.
    seen: bool,
}

/// `ratchet public key u64 ‖ pn u32 ‖ n u32`
#[derive(Clone, Copy)]
struct Header {
    public: u64,
    before: u32,
    number: u32,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_LEN] {
        let parts = [&self.public.to_be_bytes()[..], &self.before.to_be_bytes(), &self.number.to_be_bytes()];
        parts.concat().try_into().unwrap()
    }

    fn of(bytes: &[u8; HEADER_LEN]) -> Self {
        let number = |at| u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
        Self {
            public: u64::from_be_bytes(*bytes.first_chunk().unwrap()),
            before: number(8),
            number: number(12),
        }
    }
}

impl ToySession {
    pub(super) fn initiator(
        exchange: &ToyExchange,
        cx: &mut Context<'_>,
        transcript: [u8; 32],
        session_key: [u8; 32],
        peer_public: u64,
    ) -> Result<Self, CryptoError> {
        let own_secret = draw(cx.entropy, exchange.fault == Fault::EphemeralWithoutEntropy)?;
        let dh = agree(own_secret, peer_public)?;
        let (root, chain) = two_keys(&session_key, &dh.to_be_bytes());
        let state =
            State { sending: Some(chain), ..new_state(cx, transcript, root, own_secret, peer_public) };
        Ok(Self::new(exchange, cx, Memory { state, skipped: Skipped::new() }, None))
    }

    pub(super) fn responder(
        exchange: &ToyExchange,
        cx: &mut Context<'_>,
        transcript: [u8; 32],
        session_key: [u8; 32],
        own_secret: u64,
    ) -> Result<Self, CryptoError> {
        let state = new_state(cx, transcript, session_key, own_secret, 0);
        Ok(Self::new(exchange, cx, Memory { state, skipped: Skipped::new() }, None))
    }

    pub(super) fn restore(
        exchange: &ToyExchange,
        saved: &SavedSession,
        cx: &mut Context<'_>,
    ) -> Result<Self, CryptoError> {
        let mut memory = Memory::of(saved, exchange.fault)?;
        let other = memory.state.cipher != cx.cipher.name();
        if other && exchange.fault != Fault::CipherNameLeftOut {
            return Err(CryptoError::Malformed("saved session of another cipher"));
        }
        if exchange.fault == Fault::AgeSinceTheRestart {
            memory.state.created_ms = cx.now.0;
        }
        let saved = memory.clone();
        Ok(Self::new(exchange, cx, memory, Some(saved)))
    }

    fn new(exchange: &ToyExchange, cx: &Context<'_>, memory: Memory, saved: Option<Memory>) -> Self {
        let (cipher, turns) = (Arc::clone(&cx.cipher), Arc::clone(&exchange.turns));
        Self { fault: exchange.fault, cipher, memory, saved, turns, own: None }
    }

    /// Keeps what should be gone.
    pub(super) fn remember(&mut self, secret: &[u8]) {
        self.memory.state.history.extend_from_slice(secret);
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn message_key(&self, key: &[u8; 32], salt: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        let salt = if self.is(Fault::SaltIgnored) { &[0; SALT_LEN] } else { salt };
        let named = !self.is(Fault::CipherNameLeftOut);
        let name = if named { self.cipher.name() } else { "" };
        let (one, two) = two_keys(key, &[salt, name.as_bytes()].concat());
        if self.is(Fault::LogsAKey) {
            tracing::debug!(key = ?one, "a message key");
        }
        let bytes = [one, two].concat();
        if self.is(Fault::BringsItsOwnCipher) {
            let own = chat_core::testing::TestCipher::default();
            return own.key(&bytes[..own.key_len]);
        }
        self.cipher.key(&bytes[..self.cipher.key_len()])
    }

    fn associated_data(&self, header: Header, salt: &[u8]) -> Vec<u8> {
        let counts = if self.is(Fault::BitNotAuthenticated) { !(1 << 30) } else { u32::MAX };
        let before = header.before & counts;
        [&self.memory.state.transcript[..], &Header { before, ..header }.to_bytes(), salt].concat()
    }

    fn limit(&self) -> u64 {
        match self.fault {
            Fault::EndsWithoutNotice | Fault::EndMovesOn => self.cipher.message_limit().min(1 << 20),
            _ => 1 << 20,
        }
    }

    /// The state in which the next frame is sealed, and its key.
    fn next_sending(&self, step: &mut Step<'_>) -> Result<(State, [u8; 32]), CryptoError> {
        let mut state = self.memory.state.clone();
        if state.sending.is_none() {
            let derived = self.is(Fault::PairIsDerived) && state.turns > 0;
            let drawn = draw(step.entropy, self.is(Fault::SealsWithoutEntropy))?;
            let next = u64::from_be_bytes(*hash(&state.own_secret.to_be_bytes(), &[]).first_chunk().unwrap());
            state.own_secret = if derived { next >> 4 } else { drawn };
            state.turns += 1;
            let (root, chain) =
                two_keys(&state.root, &agree(state.own_secret, state.peer_public)?.to_be_bytes());
            (state.root, state.sending) = (root, Some(chain));
            (state.sent_before, state.sent) = (state.sent, 0);
        }
        let chain = state.sending.unwrap_or_default();
        let key = hash(&chain, &[&[1], &self.counted(state.sent)]);
        if !self.fault.stands_still() {
            state.sending = Some(hash(&chain, &[&[2]]));
        }
        Ok((state, key))
    }

    /// A chain that stands still must tell its keys apart by the number.
    fn counted(&self, number: u32) -> [u8; 4] {
        if self.fault.stands_still() { number.to_be_bytes() } else { [0; 4] }
    }

    /// What would change, and the key, if a frame with this header verifies.
    fn receiving(&self, header: Header) -> Result<(Received, [u8; 32]), CryptoError> {
        let at = (header.public, header.number);
        let mut next =
            Received { state: self.memory.state.clone(), skipped: Vec::new(), used: None, seen: false };
        if let Some(key) = self.memory.skipped.get(&at) {
            next.used = (!self.is(Fault::SkippedKeysKept)).then_some(at);
            return Ok((next, *key));
        }
        if header.public != next.state.peer_public {
            self.turn(&mut next, header)?;
        }
        if header.number < next.state.received {
            if self.is(Fault::ChainDoesNotMoveUnderTheWindow) {
                next.state.received = header.number;
                let key = self.next_key(&mut next.state)?;
                next.seen = true;
                return Ok((next, key));
            }
            let seen = self.is(Fault::ReplayIsForged);
            return Err(if seen { CryptoError::Forged } else { CryptoError::Duplicate });
        }
        let max = if self.is(Fault::LooksAheadFourHundred) { 400 } else { MAX_SKIP };
        if header.number - next.state.received > max {
            let far = self.is(Fault::FarIsForged);
            return Err(if far { CryptoError::Forged } else { CryptoError::TooFarAhead });
        }
        self.skip_to(&mut next, header.number)?;
        let key = self.next_key(&mut next.state)?;
        Ok((next, key))
    }

    /// The next key of the receiving chain.
    fn next_key(&self, state: &mut State) -> Result<[u8; 32], CryptoError> {
        let chain = state.receiving.ok_or(CryptoError::Forged)?;
        let key = hash(&chain, &[&[1], &self.counted(state.received)]);
        if !self.fault.stands_still() {
            state.receiving = Some(hash(&chain, &[&[2]]));
        }
        state.received = state.received.wrapping_add(1);
        Ok(key)
    }

    /// A new public key of the peer: the rest of its old chain is skipped, the sending chain is due for renewal.
    fn turn(&self, next: &mut Received, header: Header) -> Result<(), CryptoError> {
        let few = if self.is(Fault::FewSkippedAtATurn) { 20 } else { MAX_SKIP };
        let missing = header.before.saturating_sub(next.state.received);
        if next.state.receiving.is_some() && missing <= few {
            self.skip_to(next, header.before)?;
        }
        let state = &mut next.state;
        let (root, chain) = two_keys(&state.root, &agree(state.own_secret, header.public)?.to_be_bytes());
        (state.root, state.receiving, state.sending) = (root, Some(chain), None);
        (state.peer_public, state.received) = (header.public, 0);
        Ok(())
    }

    fn skip_to(&self, next: &mut Received, number: u32) -> Result<(), CryptoError> {
        while next.state.received < number {
            let at = (next.state.peer_public, next.state.received);
            let key = self.next_key(&mut next.state)?;
            next.skipped.push((at, key));
        }
        Ok(())
    }

    fn commit(&mut self, next: Received) {
        self.memory.state = next.state;
        self.memory.skipped.extend(next.skipped);
        if let Some(used) = next.used {
            self.memory.skipped.remove(&used);
        }
    }

    /// Notes a turn outside of the state, and refuses it the second time.
    fn turn_once(&self, public: u64) -> Result<(), CryptoError> {
        let (state, mut turns) = (&self.memory.state, self.turns.lock().unwrap());
        let turn = (state.own_secret, public);
        if public != state.peer_public && turns.contains(&turn) {
            return Err(CryptoError::Forged);
        }
        turns.push(turn);
        Ok(())
    }

    fn open_whole(&mut self, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let malformed = CryptoError::Malformed("frame");
        let (header, rest) = frame.split_first_chunk().ok_or(malformed.clone())?;
        let (salt, body) = rest.split_first_chunk::<SALT_LEN>().ok_or(malformed.clone())?;
        if body.len() < TAG_LEN {
            return Err(malformed);
        }
        let header = Header::of(header);
        if self.is(Fault::PanicsOnTheLastNumber) {
            assert!(header.number.checked_add(1).is_some(), "attempt to add with overflow");
        }
        let (next, key) = self.receiving(header)?;
        if self.is(Fault::MovesOnBeforeTheTag) {
            self.commit(next.clone());
        }
        let mut body = Zeroizing::new(body.to_vec());
        let opened =
            self.message_key(&key, salt)?.open(0, &self.associated_data(header, &salt[..]), &mut body);
        opened?;
        if next.seen {
            return Err(CryptoError::Duplicate);
        }
        if self.is(Fault::TurnsOnceOnly) && self.memory.state.turns > 0 {
            self.turn_once(header.public)?;
        }
        self.commit(next);
        Ok(body)
    }
}

fn new_state(
    cx: &Context<'_>,
    transcript: [u8; 32],
    root: [u8; 32],
    own_secret: u64,
    peer_public: u64,
) -> State {
    State {
        version: 1,
        cipher: cx.cipher.name().to_owned(),
        transcript,
        root,
        own_secret,
        peer_public,
        sending: None,
        receiving: None,
        sent: 0,
        sent_before: 0,
        received: 0,
        created_ms: cx.now.0,
        sealed: 0,
        refusals: 0,
        history: Vec::new(),
        turns: 0,
    }
}

impl Session for ToySession {
    fn seal(&mut self, plaintext: &[u8], step: &mut Step<'_>) -> Result<Vec<u8>, CryptoError> {
        if plaintext.is_empty() && self.is(Fault::NoEmptyMessages) {
            return Err(CryptoError::Malformed("nothing to seal"));
        }
        if self.memory.state.sealed >= self.limit() {
            if self.is(Fault::EndMovesOn) {
                self.memory.state.sealed += 1;
            }
            return Err(CryptoError::Exhausted("frames of the session"));
        }
        let (mut state, key) = self.next_sending(step)?;
        let mut salt = [0; SALT_LEN];
        let drawn = match self.fault {
            Fault::SaltFromTheSystem => OsEntropy.fill(&mut salt),
            _ => step.entropy.fill(&mut salt),
        };
        if !self.is(Fault::SealsWithoutEntropy) {
            drawn?;
        }
        if self.is(Fault::Preview) && plaintext.len() > 1000 {
            salt.copy_from_slice(&plaintext[..SALT_LEN]);
        }
        let header =
            Header { public: public_of(state.own_secret), before: state.sent_before, number: state.sent };
        let mut body = plaintext.to_vec();
        let sealed =
            self.message_key(&key, &salt)?.seal(0, &self.associated_data(header, &salt[..]), &mut body);
        if !self.is(Fault::CipherErrorIgnored) {
            sealed?;
        }
        state.sent += 1;
        state.sealed += 1;
        if self.is(Fault::SavesItsHistory) {
            state.history.extend([0; 100]);
        }
        self.memory.state = state;
        let frame = [&header.to_bytes()[..], &salt, &body].concat();
        self.own = Some((frame.clone(), plaintext.to_vec()));
        Ok(frame)
    }

    fn open(&mut self, frame: &[u8], _: &mut Step<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        if let (true, Some((own, text))) = (self.is(Fault::OpensItsOwn), &self.own)
            && own == frame
        {
            return Ok(Zeroizing::new(text.clone()));
        }
        let mut opened = self.open_whole(frame);
        if let (true, Err(_), [shorter @ .., 0]) = (self.is(Fault::TrailingZeroIgnored), &opened, frame) {
            opened = self.open_whole(shorter);
        }
        if frame.len() < HEADER_LEN && self.is(Fault::CountsRefusals) {
            self.memory.state.refusals += 1;
        }
        opened
    }

    fn needs_renewal(&self, now: Timestamp) -> bool {
        let created = Timestamp(self.memory.state.created_ms);
        let age = match self.fault {
            Fault::ClockOverflows => {
                (now.0.checked_add(1).expect("attempt to add with overflow") - 1).saturating_sub(created.0)
            }
            Fault::NeverDue => 0,
            _ => now.ms_since(created),
        };
        let due_at = if self.is(Fault::EndsWithoutNotice) { u64::MAX } else { self.limit() / 2 };
        age >= WEEK_MS || self.memory.state.sealed >= due_at
    }

    fn save(&mut self) -> StateChange {
        let before = self.saved.clone();
        let mut now = self.memory.clone();
        if let (true, Some(before)) = (self.is(Fault::SealsAreNotSaved), &before) {
            // Only what was received counts as a change.
            if now.state.received == before.state.received && now.skipped == before.skipped {
                now = before.clone();
            }
        }
        let mut changes = now.changes(before.as_ref(), self.fault);
        if self.is(Fault::AlwaysSaves) {
            changes.main = now.changes(None, self.fault).main;
        }
        self.saved = Some(now);
        changes
    }
}
