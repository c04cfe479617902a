//! How long a session lives, and where.

use std::sync::Arc;
use std::thread;

use super::end::round_trip;
use super::scene::Scene;
use crate::cipher::Cipher;
use crate::error::CryptoError;
use crate::ids::Timestamp;
use crate::testing::rule::{Must as _, Violation, ensure};
use crate::testing::test_cipher::TestCipher;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// As long as the keys of a bundle are kept.
const LONGEST_DAYS: u64 = 30;

/// No new session is due within the hour; the age is that of the handshake, also after a restart. A session
/// that does not heal by itself is due within 30 days, also if it began under a clock that ran far ahead:
/// once that is put right, nobody knows how old the session is.
pub fn renewal_is_due_by_age_and_not_at_first(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    round_trip(&mut alice, &mut bob)?;
    for end in [&mut alice, &mut bob] {
        for early in [scene.now, scene.now.plus_ms(HOUR_MS)] {
            ensure!(!end.session.needs_renewal(early), "a session is due for renewal at once");
        }
        let mut due_before = false;
        for days in [1, 6, 7, 8, LONGEST_DAYS, 365] {
            let later = Scene { now: scene.now.plus_ms(days * DAY_MS), ..scene.clone() };
            let due = end.session.needs_renewal(later.now);
            ensure!(due || !due_before, "renewal is due and then, after {days} days, is not");
            due_before = due;
            let restored = later.restore(&end.saved).must("restoring")?;
            ensure!(restored.needs_renewal(later.now) == due, "a restart changes when renewal is due");
            let must = days >= LONGEST_DAYS && !scene.exchange.properties().healing;
            ensure!(due || !must, "after {days} days renewal is not due");
        }
    }
    let ahead = Scene { now: scene.now.plus_ms(365 * DAY_MS), ..scene.clone() };
    let (alice, bob) = ahead.sessions()?;
    let for_ever = [&alice, &bob].into_iter().any(|end| !end.session.needs_renewal(scene.now));
    let must = !scene.exchange.properties().healing;
    ensure!(
        !(must && for_ever),
        "begun under a clock that ran a year ahead, a session is not due for a year"
    );
    Ok(())
}

/// If a session comes to its end, by the cipher's limit or its own, it said in time that renewal is due; at
/// the end it is [`CryptoError::Exhausted`], nothing changes, and what the peer sealed still opens.
pub fn the_end_of_sealing_is_announced(scene: &Scene) -> Result<(), Violation> {
    const LIMIT: usize = 40;
    let cipher = TestCipher { message_limit: LIMIT as u64, ..TestCipher::default() };
    let scene = &scene.with_cipher(Arc::new(cipher) as Arc<dyn Cipher>);
    let (mut alice, mut bob) = scene.sessions()?;
    let mut due_at = None;
    for sealed in 0..LIMIT * 4 {
        if due_at.is_none() && alice.session.needs_renewal(scene.now) {
            due_at = Some(sealed);
        }
        alice.save();
        let before = alice.saved.clone();
        match alice.session.seal(b"one more", &mut scene.step(&mut scene.entropy())) {
            Ok(frame) => bob.opens(&frame, b"one more")?,
            Err(error) => {
                ensure!(matches!(error, CryptoError::Exhausted(_)), "the end of sealing is {error:?}");
                ensure!(due_at.is_some(), "sealing ended after {sealed} frames without notice");
                let notice = sealed - due_at.unwrap_or(sealed);
                ensure!(notice >= LIMIT / 8, "sealing ended {notice} frames after the notice");
                alice.save();
                ensure!(alice.saved == before, "a seal that was refused changed the state");
                return alice.opens(&bob.seal(b"answer")?, b"answer");
            }
        }
    }
    Ok(())
}

/// A clock that stands at zero, or at its end, or jumps back: frames in order open, nothing overflows.
pub fn clocks_that_jump_break_nothing(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    for now in [Timestamp(0), Timestamp(u64::MAX), scene.now, Timestamp(1), Timestamp(u64::MAX)] {
        let at = Scene { now, ..scene.clone() };
        let (mut alice_then, mut bob_then) =
            at.sessions().map_err(|e| e.under(format!("begun at {now:?}")))?;
        round_trip(&mut alice_then, &mut bob_then)?;
        for (from, to) in [(0, 1), (1, 0), (0, 1)] {
            let ends = [&mut alice, &mut bob];
            let frame = ends[from].session.seal(b"tick", &mut at.step(&mut at.entropy()));
            let frame = frame.must(format!("sealing at {now:?}"))?;
            let opened = ends[to].session.open(&frame, &mut at.step(&mut at.entropy()));
            let opened = opened.must(format!("opening at {now:?}"))?;
            ensure!(*opened == b"tick", "a frame opens to something else at {now:?}");
            for then in [Timestamp(0), scene.now, Timestamp(u64::MAX)] {
                // The answer is another rule's; here it must be an answer.
                let _due: bool =
                    ends[from].session.needs_renewal(then) | alice_then.session.needs_renewal(then);
            }
        }
    }
    Ok(())
}

/// An exchange is shared between threads, and a session moves from one to another.
pub fn sessions_may_move_between_threads(scene: &Scene) -> Result<(), Violation> {
    let (first, alice) = scene.initiate().must("initiating")?;
    let (exchange, cipher) = (Arc::clone(&scene.exchange), Arc::clone(&scene.cipher));
    let parties = [scene.alice.clone(), scene.bob.clone(), scene.mallory.clone()];
    let elsewhere = thread::spawn(move || {
        let scene = Scene::of(exchange, cipher, parties);
        scene.seeds.set(1 << 32);
        let bob = scene.accept(&first).must("accepting on another thread")?;
        let (mut alice, mut bob) = (super::End::new(&scene, alice)?, super::End::new(&scene, bob)?);
        round_trip(&mut alice, &mut bob)?;
        alice.restart()?;
        Ok::<_, Violation>((alice.session, bob.session))
    });
    let joined = elsewhere.join().map_err(|_| Violation::new("panicked on another thread"))?;
    let (alice, bob) = joined?;
    let (mut alice, mut bob) = (restored(scene, alice), restored(scene, bob));
    round_trip(&mut bob, &mut alice).map(drop)
}

fn restored(scene: &Scene, session: Box<dyn crate::Session>) -> super::End<'_> {
    super::End::new_restored(scene, session, crate::SavedSession::default())
}
