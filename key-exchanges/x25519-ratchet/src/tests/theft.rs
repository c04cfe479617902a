//! What can be derived from a stolen state, by whoever knows how keys follow from keys. `tests/stolen_state.rs` is the
//! same theft with the plugin's own code.

use std::collections::BTreeSet;

use super::*;
use crate::frame::Frame;
use crate::keys::{Chain, MessageKey, RootKey};
use crate::state::State;
use chat_core::wire::lp;

/// Longer than any chain of the conversation.
const STEPS: u32 = 8;

/// Everything a thief has found, and all that follows from it.
#[derive(Default)]
struct Thief {
    secrets: Vec<SecretKey>,
    roots: Vec<RootKey>,
    chains: Vec<Chain>,
    #[allow(clippy::vec_box, reason = "that is how the session hands them out")]
    keys: Vec<Box<MessageKey>>,
}

impl Thief {
    fn steal(&mut self, end: &mut End, saved: &SavedSession) {
        let mut entropy = TestEntropy::new(0);
        let state = State::decode(saved, &context(&end.cipher, &mut entropy)).unwrap();
        self.secrets.extend(state.own().unwrap());
        self.roots.push(state.root.clone());
        self.chains.extend([&state.sending, &state.receiving].into_iter().flatten().cloned());
        self.keys.extend(saved.rows.values().map(|row| MessageKey::from_bytes(row.first_chunk().unwrap())));
    }

    /// Roots and chains of two turns on, with every ratchet key that was ever in the clear; then the chains' keys.
    fn derive(&mut self, frames: &[&Vec<u8>]) {
        let publics: BTreeSet<[u8; 32]> = frames.iter().map(|frame| *frame.first_chunk().unwrap()).collect();
        let shared = self.secrets.iter().flat_map(|secret| publics.iter().map(|public| secret.agree(public)));
        let shared: Vec<_> = shared.map(Result::unwrap).collect();
        let mut roots = self.roots.clone();
        for _ in 0..2 {
            let turns = roots.iter().flat_map(|root| shared.iter().map(|shared| root.turn(shared).unwrap()));
            let (next, chains): (Vec<_>, Vec<_>) = turns.unzip();
            self.chains.extend(chains);
            roots = next;
        }
        for chain in &self.chains {
            let mut chain = chain.clone();
            for _ in 0..STEPS {
                let (key, after) = chain.step().unwrap();
                self.keys.push(key);
                chain = after;
            }
        }
    }

    fn reads(&self, frame: &[u8], cipher: &dyn Cipher) -> bool {
        let frame = Frame::parse(frame).unwrap();
        let aad = [&lp(&[7; 32])[..], &frame.header.to_bytes()].concat();
        self.keys.iter().any(|key| {
            let key = key.salted(frame.salt, cipher).unwrap();
            key.open(0, &aad, &mut frame.body.to_vec()).is_ok()
        })
    }
}

/// Five messages, of which the fourth stays on the way and the second comes last.
fn talk(from: &mut End, to: &mut End) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut frames: Vec<_> = (0..5_u8).map(|i| from.seal(&[i; 9])).collect();
    for i in [0_u8, 2, 4, 1] {
        to.opens(&frames[usize::from(i)], &[i; 9]);
    }
    let underway = frames.remove(3);
    (frames, underway)
}

#[test]
fn nothing_that_was_opened_follows_from_the_whole_state_of_both_ends() {
    let cipher = ciphers()[1].clone();
    let (mut alice, mut bob) = pair(5, &cipher);
    let mut saved = [SavedSession::default(), SavedSession::default()];
    let (mut opened, mut underway) = (Vec::new(), Vec::new());
    for turn in 0..6 {
        let (from, to) = if turn % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let (frames, late) = talk(from, to);
        opened.extend(frames);
        underway.push(late);
        saved[0].apply(alice.session.save());
        saved[1].apply(bob.session.save());

        let mut thief = Thief::default();
        thief.steal(&mut alice, &saved[0]);
        thief.steal(&mut bob, &saved[1]);
        thief.derive(&opened.iter().chain(&underway).collect::<Vec<_>>());
        let read = opened.iter().filter(|frame| thief.reads(frame, &*cipher)).count();
        assert_eq!(read, 0, "of {} frames, after turn {turn}", opened.len());
        // The thief is not a bad one: what is still on its way he reads, all of it.
        assert!(underway.iter().all(|frame| thief.reads(frame, &*cipher)), "after turn {turn}");
    }
    assert_eq!((opened.len(), underway.len()), (24, 6));
}

#[test]
fn what_is_sealed_after_a_theft_follows_from_it_until_one_round_trip_and_not_after() {
    let cipher = ciphers()[1].clone();
    for bob_asks in [false, true] {
        let (mut alice, mut bob) = pair(6, &cipher);
        round_trip(&mut alice, &mut bob);
        let mut thief = Thief::default();
        let saved = [alice.saved(), bob.saved()];
        thief.steal(&mut alice, &saved[0]);
        thief.steal(&mut bob, &saved[1]);
        let (there, back) = if bob_asks { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
        let first = round_trip(there, back);
        let later = [round_trip(there, back), round_trip(there, back)].concat();
        thief.derive(&first.iter().chain(&later).collect::<Vec<_>>());
        assert!(thief.reads(&first[0], &*cipher), "the question is sealed with what was stolen");
        let read = later.iter().filter(|frame| thief.reads(frame, &*cipher)).count();
        assert_eq!(read, 0, "of {} frames", later.len());
    }
}
