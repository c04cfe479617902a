//! What is saved, what it is good for, and what a refusal does to it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::end::{End, round_trip};
use super::scene::{FIRST_TEXT, Scene};
use super::watched::Renamed;
use crate::key_exchange::{SavedSession, StateChange};
use crate::testing::bytes::{bits_to_try, extended, flipped, lengths_to_try};
use crate::testing::entropy::TestEntropy;
use crate::testing::rule::{Must as _, Violation, ensure};

/// What one step in order may write to the store.
const MAX_STEP_BYTES: usize = 4 << 10;

/// A frame on its way.
struct Sent {
    to: usize,
    frame: Vec<u8>,
    text: Vec<u8>,
    opened: bool,
}

/// A conversation by chance, which knows what must come of each step.
struct Schedule<'a> {
    /// Alice and Bob.
    ends: [End<'a>; 2],
    sent: Vec<Sent>,
    random: TestEntropy,
    /// Whether a step may be undone by a crash before it is saved.
    lossy: bool,
}

impl<'a> Schedule<'a> {
    fn new(scene: &'a Scene, seed: u64, lossy: bool) -> Result<Self, Violation> {
        let (alice, bob) = scene.sessions()?;
        Ok(Self { ends: [alice, bob], sent: Vec::new(), random: TestEntropy::new(seed), lossy })
    }

    /// So many steps, then everything arrives.
    fn run(mut self, steps: usize) -> Result<(), Violation> {
        for step in 0..steps {
            let outcome = match self.random.below(10) {
                0..4 => self.seal(step),
                4..8 => self.deliver(),
                8 => self.replay(),
                _ => self.restart(),
            };
            outcome.map_err(|violation| violation.under(format!("step {step}")))?;
        }
        for at in 0..self.sent.len() {
            self.open(at).map_err(|violation| violation.under("a frame at the end"))?;
        }
        let [alice, bob] = &mut self.ends;
        round_trip(alice, bob).map(drop)
    }

    /// Whether this step is lost.
    fn lost(&mut self) -> bool {
        self.lossy && self.random.below(3) == 0
    }

    fn seal(&mut self, step: usize) -> Result<(), Violation> {
        let (from, text) = (self.random.below(2), step.to_be_bytes().to_vec());
        let frame = self.ends[from].seal(&text)?;
        if self.lost() {
            // Bytes leave after the commit, so nobody has seen this frame.
            return self.ends[from].crash();
        }
        self.ends[from].save();
        self.sent.push(Sent { to: 1 - from, frame, text, opened: false });
        Ok(())
    }

    /// One of the last frames, so that at most as many are skipped.
    fn recent(&mut self) -> Option<usize> {
        let back = self.random.below(self.sent.len().min(12)) + 1;
        self.sent.len().checked_sub(back)
    }

    fn deliver(&mut self) -> Result<(), Violation> {
        let Some(at) = self.recent() else { return Ok(()) };
        if !self.sent[at].opened && self.lost() {
            let Sent { to, frame, text, .. } = &self.sent[at];
            self.ends[*to].opens(frame, text)?;
            self.ends[*to].crash()?;
        }
        self.open(at)
    }

    fn replay(&mut self) -> Result<(), Violation> {
        match self.sent.len() {
            0 => Ok(()),
            sent => {
                let at = self.random.below(sent);
                if self.sent[at].opened { self.open(at) } else { Ok(()) }
            }
        }
    }

    /// Opens a frame if it was not, refuses it if it was; either is saved.
    fn open(&mut self, at: usize) -> Result<(), Violation> {
        let Sent { to, frame, text, opened } = &mut self.sent[at];
        let end = &mut self.ends[*to];
        if *opened {
            end.refuses(frame, "a frame for the second time")?;
        } else {
            end.opens(frame, text)?;
            *opened = true;
        }
        end.save();
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Violation> {
        let who = self.random.below(2);
        self.ends[who].restart()
    }
}

/// Both ends come back from the store after any step, and nothing is lost or doubled by it. A crash between
/// a step and its commit undoes the step: what was sealed has not left and is sealed again, what was opened
/// arrives again and opens again.
pub fn sessions_survive_restarts_and_crashes_at_any_point(scene: &Scene) -> Result<(), Violation> {
    for (seed, lossy) in [(0, false), (1, false), (2, true), (3, true), (4, true), (5, true)] {
        let schedule = Schedule::new(scene, seed, lossy)?;
        schedule.run(100).map_err(|violation| violation.under(format!("schedule {seed}")))?;
    }
    Ok(())
}

/// After every kind of refusal the session is what it was, in the store to the byte, and in memory as far as
/// its next steps show.
pub fn a_refusal_leaves_the_state_unchanged_to_the_byte(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let (mut stranger, _) = scene.sessions()?;
    round_trip(&mut alice, &mut bob)?;
    let early: Vec<_> = (0..4).map(|_| alice.seal(b"early")).collect::<Result<_, _>>()?;
    let unseen = bob.copy()?.seal(b"own")?;
    for number in [2, 0] {
        bob.opens(&early[number], b"early")?;
    }
    bob.save();
    let before = bob.saved.clone();
    let genuine = &early[1];
    let tag = |at: usize| flipped(genuine, genuine.len() * 8 - at);
    let mut bad = vec![tag(1), tag(8), tag(128), unseen, stranger.seal(b"early")?];
    bad.extend([early[0].clone(), early[2].clone(), vec![], vec![0; 40], vec![0x11; 400], genuine.repeat(2)]);
    bad.extend(lengths_to_try(genuine.len(), 30).into_iter().map(|len| genuine[..len].to_vec()));
    for bad in bad {
        bob.refuses(&bad, format!("{} bytes that must be refused", bad.len()))?;
        bob.save();
        ensure!(bob.saved == before, "a refusal changed what is saved");
    }

    let mut twin = bob.copy()?;
    let next = alice.seal(b"next")?;
    for end in [&mut bob, &mut twin] {
        end.opens(genuine, b"early")?;
        end.opens(&next, b"next")?;
        end.save();
    }
    ensure!(bob.saved == twin.saved, "after refusals a session goes on otherwise than its copy");
    bob.opens(&early[3], b"early")?;
    round_trip(&mut bob, &mut alice).map(drop)
}

/// A session that did nothing has nothing to save; one that did saves little, however much lies beside it.
pub fn only_changes_are_saved_and_they_are_small(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    for end in [&mut alice, &mut bob] {
        end.save();
        ensure!(end.save() == StateChange::default(), "a session that did nothing has something to save");
        end.restart()?;
        ensure!(end.save() == StateChange::default(), "a restored session has something to save");
    }
    let skipped: Vec<_> = (0..300).map(|_| alice.seal(b"skipped")).collect::<Result<_, _>>()?;
    let size = |change: StateChange| {
        let put = change.put.iter().map(|(key, value)| key.len() + value.len());
        let deleted = change.delete.iter().map(Vec::len);
        change.main.map_or(0, |main| main.len()) + put.chain(deleted).sum::<usize>()
    };
    alice.save();
    bob.opens(&skipped[299], b"skipped")?;
    bob.save();
    for round in 0..50 {
        let frame = alice.seal(&[0x5a; 2000])?;
        bob.opens(&frame, &[0x5a; 2000])?;
        for (what, end) in [("sealing", &mut alice), ("opening", &mut bob)] {
            let len = size(end.save());
            ensure!(len <= MAX_STEP_BYTES, "{what} in order for the {round}th time saves {len} bytes");
        }
    }
    Ok(())
}

/// A saved state that was cut, extended, is rubbish, or has rows that can't be its own is refused; no state
/// makes the plugin panic, then or later.
pub fn a_damaged_saved_state_is_refused(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let skipped = alice.seal(b"skipped")?;
    round_trip(&mut alice, &mut bob)?;
    bob.opens(&alice.seal(b"in order")?, b"in order")?;
    bob.save();
    let next = alice.seal(b"next")?;
    let good = bob.saved.clone();
    let with_main = |main: Vec<u8>| SavedSession { main: Zeroizing::new(main), rows: good.rows.clone() };
    let refused = |bad: SavedSession, what: String| scene.restore(&bad).map(drop).must_fail(what).map(drop);
    for len in 0..good.main.len() {
        refused(with_main(good.main[..len].to_vec()), format!("a state of {len} bytes"))?;
    }
    for longer in extended(&good.main) {
        refused(with_main(longer), "a state with bytes added".to_owned())?;
    }
    for len in (0..100).chain([100_000]) {
        refused(with_main(scene.entropy().take(len)), format!("a state of {len} random bytes"))?;
        refused(with_main(vec![0xff; len]), format!("a state of {len} ones"))?;
    }
    let with_row = |key: &[u8], value: &[u8]| {
        let mut bad = good.clone();
        bad.rows.insert(key.to_vec(), Zeroizing::new(value.to_vec()));
        bad
    };
    refused(with_row(&[1], &[2]), "a state with a foreign row".to_owned())?;
    for (key, value) in &good.rows {
        for len in [0, value.len() / 2, value.len().saturating_sub(1)] {
            refused(with_row(key, &value[..len]), format!("a row cut to {len} bytes"))?;
        }
        refused(with_row(&key[1..], value), "a row under a cut key".to_owned())?;
    }
    for bit in bits_to_try(good.main.len(), 100) {
        // Some of these are states. They may refuse everything, but they must not panic.
        if let Ok(session) = scene.restore(&with_main(flipped(&good.main, bit))) {
            let mut end = End::new_restored(scene, session, good.clone());
            drop((end.open(&skipped), end.open(&next), end.seal(b"text"), end.save()));
            drop((end.session.needs_renewal(scene.now), end.open(&skipped)));
        }
    }
    bob.restart()?;
    bob.opens(&skipped, b"skipped")?;
    bob.opens(&next, b"next")
}

/// The cipher is part of what both ends agreed on, by its name: a state made with one can't be restored with
/// another, or opens nothing.
pub fn a_state_of_another_cipher_opens_nothing(scene: &Scene) -> Result<(), Violation> {
    let mut flight = scene.first_flight()?;
    let renamed = scene.with_cipher(Arc::new(Renamed(Arc::clone(&scene.cipher))));
    let frame = flight.alice.seal(b"next")?;
    renamed.begins_nothing(renamed.restore(&flight.bob.saved), &frame, "a state of another cipher")?;
    renamed.begins_nothing(renamed.accept(&flight.first), &flight.frame, "a handshake for another cipher")?;
    let bob = scene.accept(&flight.first).must("accepting")?;
    End::new(scene, bob)?.opens(&flight.frame, FIRST_TEXT)?;
    flight.bob.opens(&frame, b"next")
}
