//! Two sessions, of either key exchange with each cipher, through any schedule: frames are sealed, lost, reordered,
//! doubled, damaged and turned around; either end is saved and brought back, or goes back to an old copy.
//!
//! - With static keys, a genuine frame opens to what was sealed, unless it, or one of the same number from a copy of
//!   its sender, was opened before, or it is behind the window; then it is refused. So each opens at most once.
//! - With the ratchet too each opens at most once, to what was sealed. It opens for certain as long as no end went back
//!   to an old copy, no clock jumped, and no more are missing than may be.
//! - Nothing else opens.
//! - What was refused changed nothing: there is nothing to save, and in the end each session does to the byte what
//!   one does that is brought back from its saved state.
//! - Copies never seal under the same salt.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};

use chat_core::{Cipher, CryptoError, Entropy, SavedSession, Session, StateChange, Step, Timestamp};
use static_session::WINDOW;

use crate::alloc::bounded;
use crate::parties::{Dry, Exchange, NOW, Seeded, ciphers, exchanges};
use crate::script::Script;
use crate::targets::first_message::RATCHET;

/// Frames that are kept for later, each way.
const KEPT: usize = 64;
/// Frames sealed in one run.
const MAX_SEALED: usize = 4000;
const MAX_COPIES: usize = 8;
/// As many may be missing with the ratchet.
const MAX_MISSING: u64 = key_exchange_x25519_ratchet::MAX_MISSING as u64;

/// A key exchange with a cipher, and what both ends of a fresh handshake have stored.
struct Pairing {
    exchange: &'static Exchange,
    cipher: Arc<dyn Cipher>,
    saved: [SavedSession; 2],
    ratchet: bool,
    /// Where the salt stands in a frame.
    salt_at: usize,
}

fn pairings() -> &'static Vec<Pairing> {
    static PAIRINGS: OnceLock<Vec<Pairing>> = OnceLock::new();
    PAIRINGS.get_or_init(|| {
        let pairs = exchanges().iter().enumerate().flat_map(|each| ciphers().map(|cipher| (each, cipher)));
        pairs
            .map(|((which, exchange), cipher)| {
                let ratchet = which == RATCHET;
                let (first, mut alice) = exchange.initiate(&cipher, &exchange.bundles[1].payload).unwrap();
                let mut bob = exchange.accept(&cipher, &first).unwrap();
                if ratchet {
                    // Whoever accepted has nothing to seal with before the first frame.
                    let frame = alice.seal(b"", &mut Step { now: NOW, entropy: &mut Seeded(31) }).unwrap();
                    bob.open(&frame, &mut Step { now: NOW, entropy: &mut Seeded(32) }).unwrap();
                }
                let saved = [&mut alice, &mut bob].map(|session| {
                    let mut saved = SavedSession::default();
                    saved.apply(session.save());
                    saved
                });
                Pairing { exchange, cipher, saved, ratchet, salt_at: if ratchet { 40 } else { 8 } }
            })
            .collect()
    })
}

/// What an end must remember; saved and brought back with it.
#[derive(Clone, Default)]
struct Memory {
    /// How many it has sealed, which is the number of the next; with the ratchet, frames are told apart by the seed.
    sealed: u64,
    opened: BTreeSet<u64>,
}

struct End {
    session: Box<dyn Session>,
    saved: SavedSession,
    memory: Memory,
    copies: Vec<(SavedSession, Memory)>,
}

struct Frame {
    number: u64,
    text: Vec<u8>,
    sealed: Vec<u8>,
}

struct World {
    pairing: &'static Pairing,
    ends: [End; 2],
    /// By who sealed them.
    frames: [Vec<Frame>; 2],
    salts: HashSet<Vec<u8>>,
    seed: u64,
    now: Timestamp,
    sealed: usize,
    /// No end went back to an old copy, and no clock jumped.
    straight: bool,
}

pub fn prepare() {
    pairings();
}

pub fn run(data: &[u8]) {
    // 64 frames each way of at most 1300 bytes, 4000 salts, eight copies a side, of 2000 rows each with the ratchet.
    let ratchet = pairing_of(&mut Script::new(data)).ratchet;
    bounded(if ratchet { 24 << 20 } else { 2 << 20 }, || play(data));
}

fn pairing_of(script: &mut Script<'_>) -> &'static Pairing {
    let pairings = pairings();
    &pairings[usize::from(script.byte()) % pairings.len()]
}

fn play(data: &[u8]) {
    let mut script = Script::new(data);
    let pairing = pairing_of(&mut script);
    let end = |side: usize| End {
        session: pairing.exchange.restore(&pairing.cipher, &pairing.saved[side]).unwrap(),
        saved: pairing.saved[side].clone(),
        memory: Memory::default(),
        copies: Vec::new(),
    };
    let mut world = World {
        pairing,
        ends: [end(0), end(1)],
        frames: [Vec::new(), Vec::new()],
        salts: HashSet::new(),
        seed: 0,
        now: NOW,
        sealed: 0,
        straight: true,
    };
    while !script.is_over() {
        world.step(&mut script);
    }
    world.compare_with_saved(0);
    world.compare_with_saved(1);
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        let op = script.byte();
        let side = usize::from(op >> 7);
        match op & 0x0f {
            0..=3 => self.seal(side, script.short().len() * usize::from(1 + (op >> 4 & 3)), true),
            4 => self.lost(side, script.byte()),
            5..=8 => self.open(side, script),
            9..=10 => self.open_damaged(side, script),
            11 => self.turn_around(side, script),
            12 => self.refuses(side, script.short()),
            13 => self.restart(side),
            14 => self.copy_or_go_back(side, script),
            _ => self.adversity(side, script),
        }
    }

    fn entropy(&mut self) -> Seeded {
        self.seed += 1;
        Seeded(self.seed << 20)
    }

    fn seal(&mut self, side: usize, len: usize, keep: bool) {
        if self.sealed >= MAX_SEALED {
            return;
        }
        self.sealed += 1;
        let mut entropy = self.entropy();
        let mut text = self.seed.to_be_bytes().to_vec();
        text.resize(8 + len, self.seed as u8);
        let end = &mut self.ends[side];
        let sealed = end.session.seal(&text, &mut Step { now: self.now, entropy: &mut entropy }).unwrap();
        let number = if self.pairing.ratchet { self.seed } else { end.memory.sealed };
        end.memory.sealed += 1;
        end.saved.apply(end.session.save());
        assert!(self.salts.insert(sealed[self.pairing.salt_at..][..16].to_vec()), "the same salt twice");
        if keep && self.frames[side].len() < KEPT {
            self.frames[side].push(Frame { number, text, sealed });
        }
    }

    /// Frames that never arrive: few, or enough to move the window.
    fn lost(&mut self, side: usize, count: u8) {
        let count = if count == 255 { WINDOW / 4 } else { u64::from(count / 16) };
        (0..count).for_each(|_| self.seal(side, 0, false));
    }

    /// A frame of the other side comes, maybe once more, maybe late.
    fn open(&mut self, side: usize, script: &mut Script<'_>) {
        let frames = &self.frames[1 - side];
        if frames.is_empty() {
            return;
        }
        let index = match script.byte() {
            255 => frames.len() - 1,
            any => usize::from(any) % frames.len(),
        };
        let (number, text, sealed) =
            (frames[index].number, frames[index].text.clone(), frames[index].sealed.clone());
        if self.pairing.ratchet {
            return self.open_by_ratchet(side, number, text, &sealed);
        }
        let opened = &self.ends[side].memory.opened;
        let next = opened.last().map_or(0, |highest| highest + 1);
        let expected = if next > number + WINDOW {
            Err(CryptoError::TooOld)
        } else if opened.contains(&number) {
            Err(CryptoError::Duplicate)
        } else {
            Ok(text)
        };
        let mut entropy = self.entropy();
        let end = &mut self.ends[side];
        let result = end.session.open(&sealed, &mut Step { now: self.now, entropy: &mut entropy });
        assert_eq!(result.map(|text| text.to_vec()), expected, "frame {number}");
        let change = end.session.save();
        if expected.is_ok() {
            end.memory.opened.insert(number);
            assert!(change != StateChange::default(), "nothing to save after opening a frame");
            end.saved.apply(change);
        } else {
            assert!(change == StateChange::default(), "a refusal changed the state");
        }
    }

    fn open_by_ratchet(&mut self, side: usize, number: u64, text: Vec<u8>, sealed: &[u8]) {
        let mut entropy = self.entropy();
        let certain = self.straight && self.ends[1 - side].memory.sealed <= MAX_MISSING;
        let end = &mut self.ends[side];
        let before = end.memory.opened.contains(&number);
        let result = end.session.open(sealed, &mut Step { now: self.now, entropy: &mut entropy });
        let change = end.session.save();
        match result {
            Ok(opened) => {
                assert!(!before && *opened == text, "frame {number}");
                assert!(change != StateChange::default(), "nothing to save after opening a frame");
                end.memory.opened.insert(number);
                end.saved.apply(change);
            }
            Err(error) => {
                assert!(before || !certain, "frame {number}: {error}");
                assert!(change == StateChange::default(), "a refusal changed the state");
            }
        }
    }

    fn refuses(&mut self, side: usize, sealed: &[u8]) {
        let mut entropy = self.entropy();
        let session = &mut self.ends[side].session;
        let result = session.open(sealed, &mut Step { now: self.now, entropy: &mut entropy });
        assert!(result.is_err(), "something opened that nobody sealed");
        assert!(session.save() == StateChange::default(), "a refusal changed the state");
    }

    fn open_damaged(&mut self, side: usize, script: &mut Script<'_>) {
        let count = self.frames[1 - side].len();
        if count > 0 {
            let frame = &self.frames[1 - side][script.below(count)];
            let damaged = script.damaged(&frame.sealed);
            self.refuses(side, &damaged);
        }
    }

    /// A frame comes back to who sealed it, or to the other end of a session with another cipher or exchange.
    fn turn_around(&mut self, side: usize, script: &mut Script<'_>) {
        let Some(frame) = self.frames[side].last() else { return };
        let sealed = frame.sealed.clone();
        self.refuses(side, &sealed);
        let other = pairing_of(script);
        if !std::ptr::eq(other, self.pairing) {
            let mut session = other.exchange.restore(&other.cipher, &other.saved[1 - side]).unwrap();
            let mut entropy = self.entropy();
            assert!(session.open(&sealed, &mut Step { now: self.now, entropy: &mut entropy }).is_err());
        }
    }

    fn restart(&mut self, side: usize) {
        let end = &mut self.ends[side];
        end.session = self.pairing.exchange.restore(&self.pairing.cipher, &end.saved).unwrap();
    }

    fn copy_or_go_back(&mut self, side: usize, script: &mut Script<'_>) {
        let end = &mut self.ends[side];
        let choice = script.byte();
        if choice & 1 == 0 && end.copies.len() < MAX_COPIES {
            end.copies.push((end.saved.clone(), end.memory.clone()));
        } else if let Some((saved, memory)) = end.copies.get(usize::from(choice >> 1) % MAX_COPIES) {
            (end.saved, end.memory) = (saved.clone(), memory.clone());
            self.straight = false;
            self.restart(side);
        }
    }

    /// No randomness, and a clock that jumps.
    fn adversity(&mut self, side: usize, script: &mut Script<'_>) {
        let session = &mut self.ends[side].session;
        let sealed = session.seal(b"text", &mut Step { now: self.now, entropy: &mut Dry });
        assert_eq!(sealed, Err(CryptoError::Entropy));
        assert!(session.save() == StateChange::default());
        self.now = Timestamp(script.u64());
        self.straight = false;
        session.needs_renewal(self.now);
    }

    /// The session and one brought back from its saved state do the same with everything there is.
    fn compare_with_saved(&mut self, side: usize) {
        let saved = self.ends[side].saved.clone();
        let mut twin = self.pairing.exchange.restore(&self.pairing.cipher, &saved).unwrap();
        let (now, entropy) = (self.now, self.entropy());
        let session = &mut self.ends[side].session;
        let both = |does: &dyn Fn(&mut dyn Session, &mut dyn Entropy) -> Result<Vec<u8>, CryptoError>,
                    session: &mut dyn Session,
                    twin: &mut dyn Session| {
            let (one, other) = (does(session, &mut entropy.clone()), does(twin, &mut entropy.clone()));
            assert!(one == other && session.save() == twin.save(), "the saved state is another one");
        };
        for frame in &self.frames[1 - side] {
            let open = |session: &mut dyn Session, entropy: &mut dyn Entropy| {
                session.open(&frame.sealed, &mut Step { now, entropy }).map(|text| text.to_vec())
            };
            both(&open, session.as_mut(), twin.as_mut());
        }
        let seal = |session: &mut dyn Session, entropy: &mut dyn Entropy| {
            session.seal(b"last", &mut Step { now, entropy })
        };
        both(&seal, session.as_mut(), twin.as_mut());
    }
}
