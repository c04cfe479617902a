//! The ratchet against itself, through schedules made by chance: frames are lost, overtaken, doubled and damaged, ends
//! come back from what they saved, or crash before they saved. Of every step it is known what must come of it.

#![allow(clippy::print_stdout, reason = "what was seen is there to be read")]

use super::*;

/// How many schedules, unless the environment says otherwise: `RATCHET_SCHEDULES=1000000`.
const SCHEDULES: u64 = 2_000;
const STEPS: usize = 40;

/// A frame that was sent.
struct Sent {
    to: usize,
    frame: Vec<u8>,
    text: Vec<u8>,
    opened: bool,
}

/// An end, and what it saved.
struct Kept {
    end: End,
    saved: SavedSession,
    heard: bool,
}

impl Kept {
    fn new(end: End, heard: bool) -> Self {
        let mut kept = Self { end, saved: SavedSession::default(), heard };
        kept.save();
        kept
    }

    fn save(&mut self) {
        self.saved.apply(self.end.session.save());
    }

    fn restart(&mut self) {
        self.end = self.end.restored(&self.saved);
    }

    /// All of the state as it is in memory, to the byte.
    fn now(&self) -> (Zeroizing<Vec<u8>>, usize) {
        (self.end.session.state.encode().unwrap(), self.end.session.skipped.len())
    }
}

/// What happened, so that a schedule in which nothing happens is noticed.
#[derive(Default, Clone, Copy)]
struct Tally {
    opened: u64,
    late: u64,
    turns: u64,
    refused: u64,
    lost: u64,
    crashes: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.late += other.late;
        self.turns += other.turns;
        self.refused += other.refused;
        self.lost += other.lost;
        self.crashes += other.crashes;
    }
}

struct Schedule {
    ends: [Kept; 2],
    sent: Vec<Sent>,
    random: TestEntropy,
    tally: Tally,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let (alice, bob) = pair(seed, &ciphers()[(seed % 4) as usize]);
        let ends = [Kept::new(alice, true), Kept::new(bob, false)];
        Self { ends, sent: Vec::new(), random: TestEntropy::new(seed ^ (3 << 56)), tally: Tally::default() }
    }

    fn run(mut self) -> Tally {
        for step in 0..STEPS {
            match self.random.below(20) {
                0..7 => self.seal(step),
                7..13 => self.deliver(),
                13..15 => self.replay(),
                15..17 => self.flip(),
                17 => self.lose(),
                18 => self.ends[self.random.below(2)].restart(),
                _ => self.crash(),
            }
        }
        // Whatever is left arrives, in any order.
        while self.sent.iter().any(|sent| !sent.opened) {
            self.deliver();
        }
        self.tally
    }

    fn seal(&mut self, step: usize) {
        let from = self.random.below(2);
        let from = if self.ends[from].heard { from } else { 1 - from };
        let text = vec![step as u8; 1 + self.random.below(40)];
        let end = &mut self.ends[from];
        self.tally.turns += u64::from(end.end.session.state.sending.is_none());
        let frame = end.end.seal(&text);
        end.save();
        self.sent.push(Sent { to: 1 - from, frame, text, opened: false });
    }

    /// One of the frames that are on their way.
    fn underway(&mut self) -> Option<usize> {
        let underway: Vec<_> = (0..self.sent.len()).filter(|at| !self.sent[*at].opened).collect();
        underway.get(self.random.below(underway.len())).copied()
    }

    fn deliver(&mut self) {
        let Some(at) = self.underway() else { return };
        let Sent { to, frame, text, opened } = &mut self.sent[at];
        let kept = &mut self.ends[*to];
        let stored = kept.end.session.skipped.len();
        kept.end.opens(frame, text);
        self.tally.late += u64::from(kept.end.session.skipped.len() < stored);
        kept.save();
        (*opened, kept.heard) = (true, true);
        self.tally.opened += 1;
    }

    /// A frame that was opened comes again.
    fn replay(&mut self) {
        let opened: Vec<_> = (0..self.sent.len()).filter(|at| self.sent[*at].opened).collect();
        let Some(at) = opened.get(self.random.below(opened.len())) else { return };
        let frame = self.sent[*at].frame.clone();
        self.refuse(self.sent[*at].to, &frame);
        // And goes back to who sent it.
        self.refuse(1 - self.sent[*at].to, &frame);
    }

    fn flip(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let sent = &self.sent[self.random.below(self.sent.len())];
        let (to, mut frame) = (sent.to, sent.frame.clone());
        let bit = self.random.below(frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        self.refuse(to, &frame);
    }

    fn refuse(&mut self, to: usize, frame: &[u8]) {
        let kept = &mut self.ends[to];
        let before = kept.now();
        assert!(kept.end.open(frame).is_err());
        assert_eq!(kept.now(), before);
        assert_eq!(kept.end.session.save(), StateChange::default());
        self.tally.refused += 1;
    }

    fn lose(&mut self) {
        let Some(at) = self.underway() else { return };
        // The first frame of all makes Bob able to answer; the rest of the schedule would be one-sided without.
        if self.ends[1].heard {
            self.sent.remove(at);
            self.tally.lost += 1;
        }
    }

    /// A step that is not saved before the end comes back: it has not happened.
    fn crash(&mut self) {
        let who = self.random.below(2);
        match self.underway() {
            Some(at) if self.sent[at].to == who => {
                let Sent { frame, text, .. } = &self.sent[at];
                self.ends[who].end.opens(frame, text);
            }
            _ if self.ends[who].heard => drop(self.ends[who].end.seal(b"never leaves")),
            _ => {}
        }
        self.ends[who].restart();
        self.tally.crashes += 1;
    }
}

fn run(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut total = Tally::default();
    seeds.for_each(|seed| {
        // The seed of a schedule that fails is in the message of the panic.
        let outcome = std::panic::catch_unwind(|| Schedule::new(seed).run());
        total.add(&outcome.unwrap_or_else(|_| panic!("schedule {seed}")));
    });
    total
}

/// C05.
#[test]
fn whatever_happens_every_frame_opens_once_and_nothing_else_does() {
    let asked = std::env::var("RATCHET_SCHEDULES").ok();
    let count = asked.map_or(SCHEDULES, |count| count.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let begin = |first| scope.spawn(move || run((first..count).step_by(threads as usize)));
        let running: Vec<_> = (0..threads).map(begin).collect();
        running.into_iter().for_each(|thread| total.add(&thread.join().unwrap()));
    });
    let Tally { opened, late, turns, refused, lost, crashes } = total;
    println!(
        "{count} schedules: {opened} frames opened, {late} of them late, {turns} turns; {refused} refused, {lost} lost, \
         {crashes} crashes"
    );
    let each_schedule = [(opened, 8), (late, 1), (turns, 2), (refused, 3), (crashes, 1)];
    assert!(each_schedule.iter().all(|(seen, least)| *seen >= least * count) && lost >= count / 2);
}
