//! Attacks through the saved state, and what saving must keep.

use std::sync::Arc;

use chat_core::cipher::{AeadKey, Cipher};
use chat_core::{CryptoError, Entropy as _, SavedSession, Session, Step};
use zeroize::Zeroizing;

use super::{Scene, TestEntropy, saved};

/// Both ends restart after every single step of a conversation.
pub fn sessions_survive_being_saved_at_every_point(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let (mut alice_saved, mut bob_saved) = (saved(&mut *alice), saved(&mut *bob));
    let restart = |session: &mut Box<dyn Session>, saved: &mut SavedSession| {
        saved.apply(session.save());
        *session = scene.restore(saved).unwrap();
    };
    for round in 0..6_u8 {
        let out = scene.seal(&mut *alice, &[round, 1]);
        restart(&mut alice, &mut alice_saved);
        let back = scene.seal(&mut *bob, &[round, 2]);
        restart(&mut bob, &mut bob_saved);
        scene.opens(&mut *bob, &out, &[round, 1]);
        restart(&mut bob, &mut bob_saved);
        scene.opens(&mut *alice, &back, &[round, 2]);
        restart(&mut alice, &mut alice_saved);
        assert_eq!(scene.open(&mut *bob, &out), Err(CryptoError::Duplicate));
    }
}

/// A session that did nothing has nothing to save; one that did saves little.
pub fn only_changes_are_saved(scene: &Scene) {
    let (mut alice, _) = scene.sessions();
    saved(&mut *alice);
    assert_eq!(alice.save(), chat_core::StateChange::default());
    scene.seal(&mut *alice, &[0; 10_000]);
    let change = alice.save();
    assert!(change.put.is_empty() && change.delete.is_empty());
    assert!(change.main.is_some_and(|main| main.len() < 512));
    assert_eq!(alice.save(), chat_core::StateChange::default());
}

/// After every kind of refusal the session does to the byte what its untouched twin does.
pub fn a_refusal_leaves_the_state_unchanged_to_the_byte(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let early: Vec<_> = (0..3).map(|_| scene.seal(&mut *alice, b"early")).collect();
    scene.opens(&mut *bob, &early[2], b"early");
    scene.opens(&mut *bob, &early[0], b"early");
    let before = saved(&mut *bob);

    let mut damaged = early[1].clone();
    *damaged.last_mut().unwrap() ^= 1;
    let own = scene.seal(&mut *scene.restore(&before).unwrap(), b"own");
    let mut far = early[1].clone();
    far[..8].copy_from_slice(&u64::MAX.to_be_bytes());
    for bad in [&damaged, &own, &far, &early[0], &early[2], &vec![], &vec![0; 40]] {
        assert!(scene.open(&mut *bob, bad).is_err());
    }
    assert_eq!(bob.save(), chat_core::StateChange::default());

    let mut twin = scene.restore(&before).unwrap();
    let again = |session: &mut dyn Session| {
        scene.opens(session, &early[1], b"early");
        let mut entropy = TestEntropy::new(7);
        let frame = session.seal(b"same", &mut Step { now: scene.now, entropy: &mut entropy }).unwrap();
        (frame, saved(session))
    };
    assert!(again(&mut *bob) == again(&mut *twin));
}

/// A state is cloned, as by a backup; both copies seal under the same number: the key streams differ.
pub fn clones_of_a_state_never_share_a_key(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let copy = saved(&mut *alice);
    let (text, other) = ([0x00; 64], [0xff; 64]);
    let frame = scene.seal(&mut *scene.restore(&copy).unwrap(), &text);
    let cloned = scene.seal(&mut *scene.restore(&copy).unwrap(), &other);
    assert_eq!(frame[..8], cloned[..8], "the same sequence number");
    assert_ne!(frame[8..24], cloned[8..24], "another salt");
    let shared = frame[24..88].iter().zip(&cloned[24..88]).filter(|(a, b)| **a ^ **b == 0xff).count();
    assert!(shared < 16, "{shared} of 64 bytes of key stream are the same");
    // The receiver takes whichever comes first; the other is a duplicate, never a mix-up.
    scene.opens(&mut *bob, &cloned, &other);
    assert_eq!(scene.open(&mut *bob, &frame), Err(CryptoError::Duplicate));
}

/// Cut, extended, of another version, of another cipher, with rows that don't belong, or garbage.
pub fn a_damaged_or_foreign_state_is_refused(scene: &Scene) {
    let (mut alice, _) = scene.sessions();
    let good = saved(&mut *alice);
    assert!(scene.restore(&good).is_ok());
    let refused = |main: Vec<u8>| {
        let bad = SavedSession { main: Zeroizing::new(main), ..SavedSession::default() };
        matches!(scene.restore(&bad).err(), Some(CryptoError::Malformed(_)))
    };
    for len in 0..good.main.len() {
        assert!(refused(good.main[..len].to_vec()), "length {len}");
    }
    assert!(refused([&good.main[..], &[0]].concat()));
    assert!(refused(vec![0xff; 100_000]));
    // The version is the first field, behind the head of the array.
    let mut newer = good.main.to_vec();
    newer[1] += 1;
    assert!(refused(newer));
    let mut entropy = scene.entropy();
    for len in 0..300 {
        let mut garbage = vec![0; len];
        entropy.fill(&mut garbage).unwrap();
        assert!(refused(garbage));
    }
    let mut with_row = good.clone();
    with_row.rows.insert(vec![1], Zeroizing::new(vec![2]));
    assert!(scene.restore(&with_row).is_err());

    let mut cx = scene.context([0; 32], &mut entropy);
    cx.cipher = Arc::new(OtherName(Arc::clone(&scene.cipher)));
    assert!(matches!(scene.exchange.restore(&good, &mut cx).err(), Some(CryptoError::Malformed(_))));
}

/// A cipher under another name.
struct OtherName(Arc<dyn Cipher>);

impl Cipher for OtherName {
    fn name(&self) -> &'static str {
        "another-cipher"
    }
    fn key_len(&self) -> usize {
        self.0.key_len()
    }
    fn message_limit(&self) -> u64 {
        self.0.message_limit()
    }
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
        self.0.key(key)
    }
}
