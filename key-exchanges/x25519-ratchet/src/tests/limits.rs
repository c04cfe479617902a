//! Each limit, at it and beyond it.

use super::*;
use crate::keys::COUNT_END;
use crate::session::{MAX_MISSING, RENEWAL_MESSAGES};
use crate::skipped::{MAX_STORED, MAX_STORED_MS};

const FAR: Option<CryptoError> = Some(CryptoError::TooFarAhead);

fn cipher() -> Arc<dyn Cipher> {
    ciphers()[1].clone()
}

/// Alice and Bob with one round trip behind them.
fn talking() -> (End, End) {
    let (mut alice, mut bob) = pair(1, &cipher());
    round_trip(&mut alice, &mut bob);
    (alice, bob)
}

fn text(number: usize) -> [u8; 8] {
    (number as u64).to_be_bytes()
}

fn seal_many(end: &mut End, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| end.seal(&text(number))).collect()
}

/// A state that must not change.
fn state(end: &End) -> (Zeroizing<Vec<u8>>, usize) {
    (end.session.state.encode().unwrap(), end.session.skipped.len())
}

#[test]
fn a_thousand_may_be_missing_in_a_chain_and_no_more() {
    let (mut alice, mut bob) = talking();
    let max = MAX_MISSING as usize;
    // As the first frame of a chain that is new to Bob, and within one.
    let frames = seal_many(&mut alice, 2 * max + 4);
    for (out_of_reach, last) in [(max + 1, max), (2 * max + 2, 2 * max + 1)] {
        let before = state(&bob);
        bob.session.save();
        assert_eq!(bob.open(&frames[out_of_reach]).err(), FAR, "{out_of_reach}");
        assert_eq!(state(&bob), before);
        assert_eq!(bob.session.save(), StateChange::default(), "nothing to save");
        bob.opens(&frames[last], &text(last));
        assert_eq!(bob.session.skipped.len(), before.1 + max);
    }
    // Whoever was too far ahead is within reach now.
    bob.opens(&frames[2 * max + 2], &text(2 * max + 2));
    bob.opens(&frames[max + 1], &text(max + 1));
}

/// A chain that is over: a thousand of its end are kept, or none.
#[test]
fn of_a_chain_that_is_over_a_thousand_are_kept_or_none() {
    for (missing, kept) in [(MAX_MISSING as usize, true), (MAX_MISSING as usize + 1, false)] {
        let (mut alice, mut bob) = talking();
        let frames = seal_many(&mut alice, missing + 1);
        bob.opens(&frames[0], &text(0));
        round_trip(&mut bob, &mut alice);
        bob.opens(&alice.seal(b"next chain"), b"next chain");
        assert_eq!(bob.session.skipped.len(), if kept { missing } else { 0 });
        let before = state(&bob);
        for number in [1, missing / 2, MAX_MISSING as usize] {
            let opened = bob.open(&frames[number]);
            let expected = if kept { Ok(text(number).to_vec()) } else { Err(CryptoError::Forged) };
            assert_eq!(opened.map(|text| text.to_vec()), expected);
        }
        assert_eq!(state(&bob) == before, !kept);
        round_trip(&mut alice, &mut bob);
        round_trip(&mut bob, &mut alice);
    }
}

#[test]
fn two_thousand_keys_are_stored_and_the_oldest_goes_first() {
    let (mut alice, mut bob) = talking();
    let mut saved = SavedSession::default();
    let frames = seal_many(&mut alice, 2010);
    // 0 to 999, then 1001 to 2000.
    bob.opens(&frames[1000], &text(1000));
    bob.opens(&frames[2001], &text(2001));
    assert_eq!(bob.session.skipped.len(), MAX_STORED);
    saved.apply(bob.session.save());
    // 2002 and 2003 take the places of 0 and 1, also in the store.
    bob.opens(&frames[2004], &text(2004));
    saved.apply(bob.session.save());
    assert_eq!((bob.session.skipped.len(), saved.rows.len()), (MAX_STORED, MAX_STORED));
    let mut restored = bob.restored(&saved);
    for end in [&mut bob, &mut restored] {
        let before = state(end);
        for (number, error) in [
            (0, CryptoError::TooOld),
            (1, CryptoError::TooOld),
            (1000, CryptoError::Duplicate),
            (2004, CryptoError::Duplicate),
        ] {
            assert_eq!(end.open(&frames[number]).err(), Some(error), "{number}");
            assert_eq!(state(end), before);
        }
        for number in [2, 999, 1001, 2000, 2002, 2003, 2005] {
            end.opens(&frames[number], &text(number));
        }
    }
}

#[test]
fn keys_are_stored_for_seven_days() {
    for jump in [MAX_STORED_MS as i64, -(MAX_STORED_MS as i64)] {
        let (mut alice, mut bob) = talking();
        let frames = seal_many(&mut alice, 4);
        let mut saved = SavedSession::default();
        saved.apply(bob.session.save());
        bob.opens(&frames[3], &text(3));
        saved.apply(bob.session.save());
        assert_eq!(saved.rows.len(), 3);

        bob.now = Timestamp(NOW.0.saturating_add_signed(jump - jump.signum()));
        bob.opens(&frames[0], &text(0));
        bob.now = Timestamp(NOW.0.saturating_add_signed(jump));
        let before = state(&bob);
        assert_eq!(bob.open(&frames[1]).err(), Some(CryptoError::TooOld));
        assert_eq!(state(&bob), before);
        // The next step that succeeds erases them.
        bob.opens(&alice.seal(b"next"), b"next");
        saved.apply(bob.session.save());
        assert_eq!((bob.session.skipped.len(), saved.rows.len()), (0, 0));
        assert_eq!(bob.open(&frames[1]).err(), Some(CryptoError::TooOld));
        assert_eq!(bob.restored(&saved).open(&frames[2]).err(), Some(CryptoError::TooOld));
    }
}

/// Nor does it take a step: in a session that was replaced, or rests, there is none.
#[test]
fn keys_expire_without_a_step() {
    for jump in [MAX_STORED_MS as i64, -(MAX_STORED_MS as i64)] {
        let (mut alice, mut bob) = talking();
        let frames = seal_many(&mut alice, 4);
        bob.opens(&frames[3], &text(3));
        let mut saved = SavedSession::default();
        saved.apply(bob.session.save());
        let mut bob = bob.restored(&saved);
        let at = |jump: i64| Timestamp(NOW.0.saturating_add_signed(jump));
        assert!(!bob.session.expire(at(jump - jump.signum())));
        assert_eq!(bob.session.save(), StateChange::default());
        bob.opens(&frames[0], &text(0));
        assert!(bob.session.expire(at(jump)) && !bob.session.expire(at(jump)));
        saved.apply(bob.session.save());
        assert_eq!((bob.session.skipped.len(), saved.rows.len()), (0, 0));
        for bob in [&mut bob.restored(&saved), &mut bob] {
            assert_eq!(bob.open(&frames[1]).err(), Some(CryptoError::TooOld));
            bob.opens(&alice.seal(b"next"), b"next");
        }
    }
}

#[test]
fn the_last_number_is_sealed_and_opened_and_none_after_it() {
    let (mut alice, mut bob) = talking();
    bob.opens(&alice.seal(b"in this chain"), b"in this chain");
    let last = COUNT_END - 2;
    let at_the_end = |chain: &mut Option<crate::keys::Chain>| *chain = Some(chain.as_ref().unwrap().at(last));
    at_the_end(&mut alice.session.state.sending);
    at_the_end(&mut bob.session.state.receiving);
    let frame = alice.seal(b"the last");
    assert_eq!(frame[36..40], last.to_be_bytes());
    let before = state(&alice);
    assert!(matches!(alice.try_seal(b"one more"), Err(CryptoError::Exhausted(_))));
    assert_eq!(state(&alice), before);
    assert!(alice.session.needs_renewal(NOW));
    bob.opens(&frame, b"the last");
    assert_eq!(bob.open(&frame).err(), Some(CryptoError::Duplicate));
    // An answer begins another chain, whose header counts all of these.
    let saved = alice.saved();
    alice = alice.restored(&saved);
    alice.opens(&bob.seal(b"answer"), b"answer");
    let frame = alice.seal(b"from 0 again");
    assert_eq!(frame[32..40], [&(COUNT_END - 1).to_be_bytes()[..], &[0; 4]].concat());
    bob.opens(&frame, b"from 0 again");
}

/// Whatever a header says: no overflow, no long work, no change.
#[test]
fn headers_with_counts_at_their_ends_are_refused() {
    let (mut alice, mut bob) = pair(1, &cipher());
    let [_, own] = round_trip(&mut alice, &mut bob);
    let genuine = alice.seal(b"genuine");
    bob.opens(&alice.seal(b"later"), b"later");
    let stranger = SecretKey::from_slice(&[9; 32]).unwrap().public();
    let before = state(&bob);
    let mut seen = 0;
    let key_of = |frame: &[u8]| *frame.first_chunk().unwrap();
    for public in [key_of(&genuine), stranger, key_of(&own), [0; 32], [0xff; 32]] {
        for count in [0_u32, 1, 2, 1001, COUNT_END - 1, COUNT_END, u32::MAX - 1, u32::MAX] {
            for (previous, number) in [(count, 0), (0, count), (count, count), (count, 5)] {
                let head = [&public[..], &previous.to_be_bytes(), &number.to_be_bytes()].concat();
                // The genuine header is among them.
                if head == genuine[..40] {
                    continue;
                }
                let error = bob.open(&[&head[..], &genuine[40..]].concat()).err();
                let counts = previous.max(number) >= COUNT_END;
                let malformed = Some(CryptoError::Malformed("message number"));
                assert!(error.is_some() && (!counts || error == malformed), "{previous} {number}: {error:?}");
                assert_eq!(state(&bob), before);
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "{seen}");
    bob.opens(&genuine, b"genuine");
}

#[test]
fn a_new_session_is_due_after_2_to_the_20_messages_without_answer_and_not_by_age() {
    let (mut alice, mut bob) = talking();
    let later = NOW.plus_ms(365 * 24 * 60 * 60 * 1000);
    assert!(!alice.session.needs_renewal(later) && !bob.session.needs_renewal(later));
    bob.opens(&alice.seal(b"in this chain"), b"in this chain");
    let due = RENEWAL_MESSAGES - 1;
    let advanced = |chain: &mut Option<crate::keys::Chain>| *chain = Some(chain.as_ref().unwrap().at(due));
    advanced(&mut alice.session.state.sending);
    advanced(&mut bob.session.state.receiving);
    assert!(!alice.session.needs_renewal(NOW));
    let frame = alice.seal(b"one more");
    assert!(alice.session.needs_renewal(NOW));
    // An answer is a new chain.
    bob.opens(&frame, b"one more");
    alice.opens(&bob.seal(b"answer"), b"answer");
    assert!(!alice.session.needs_renewal(NOW));
    bob.opens(&alice.seal(b"new chain"), b"new chain");
    assert!(!alice.session.needs_renewal(NOW));
}

/// Saved states that this crate can't have made, though each of their parts is well-formed.
#[test]
fn impossible_states_are_refused() {
    let (mut alice, mut bob) = talking();
    let frames = seal_many(&mut alice, 3);
    bob.opens(&frames[2], &text(2));
    let good = bob.saved();
    let good_rows = good.rows.clone();
    let cipher = cipher();
    let restore = |saved: &SavedSession| {
        RatchetSession::restore(saved, &context(&cipher, &mut TestEntropy::new(0))).map(drop)
    };
    // Bob's first save is everything: the handshake's, and this.
    assert_eq!((restore(&good), good_rows.len()), (Ok(()), 2));
    let malformed = |what| Err(CryptoError::Malformed(what));
    let with = |change: &dyn Fn(&mut crate::state::State)| {
        let mut state = bob.session.state.clone();
        change(&mut state);
        SavedSession { main: state.encode().unwrap(), rows: good_rows.clone() }
    };
    let impossible = [
        with(&|state| state.peer_public = None),
        with(&|state| state.receiving = None),
        with(&|state| state.own_secret = Some([1; 32])),
        with(&|state| state.given_up = 4),
        with(&|state| state.previous = COUNT_END + 1),
        with(&|state| state.receiving = state.receiving.as_ref().map(|chain| chain.at(COUNT_END + 1))),
    ];
    for saved in impossible {
        assert_eq!(restore(&saved), malformed("saved session"));
    }
    let mut newer = good.clone();
    newer.main[1] += 1;
    assert_eq!(restore(&newer), malformed("saved session of another version"));

    let (place, row) = good_rows.first_key_value().unwrap();
    let rows = |rows: Vec<(Vec<u8>, Vec<u8>)>| {
        let rows = rows.into_iter().map(|(place, row)| (place, Zeroizing::new(row)));
        SavedSession { main: good.main.clone(), rows: good_rows.clone().into_iter().chain(rows).collect() }
    };
    let mut far_place = place.clone();
    far_place[32] = 0x80;
    let mut other_place = place.clone();
    other_place[0] ^= 1;
    let mut far_row = row.to_vec();
    far_row[40..].fill(0xff);
    let many = (0..=MAX_STORED as u32).map(|n| {
        let place = [&[3; 32][..], &n.to_be_bytes()].concat();
        (place, [&[4; 40][..], &(100 + u64::from(n)).to_be_bytes()].concat())
    });
    for saved in [
        rows(vec![(far_place, row.to_vec())]),
        // Two in the same place of the order.
        rows(vec![(other_place.clone(), row.to_vec())]),
        rows(vec![(other_place, far_row)]),
        rows(many.collect()),
    ] {
        assert_eq!(restore(&saved), malformed("saved row of a session"));
    }
}
