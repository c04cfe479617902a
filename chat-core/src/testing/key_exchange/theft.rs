//! Forward secrecy, by stealing all there is.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::end::{End, round_trip};
use super::scene::Scene;
use super::watched::Watched;
use crate::key_exchange::SavedSession;
use crate::testing::bytes::shares_a_run;
use crate::testing::rule::{Must as _, Violation, ensure};

/// All that can be made of a stolen state by undoing what it counts and remembers, its keys untouched. For a plugin
/// whose saved state refuses to be edited, as by a checksum: its author knows how, as a thief would who reads the code.
pub type Thief = fn(&SavedSession) -> Vec<SavedSession>;

/// Of what was recorded, that the thief tries: of the first turn, and of the last.
const TRIED: [usize; 4] = [1, 11, 13, 14];

/// If [`forward_secrecy`](crate::Properties::forward_secrecy) is claimed: who steals the whole state of both
/// ends, and the secrets of their bundles, opens nothing that was opened before.
///
/// The thief runs the plugin's own code on the stolen states: as they are; with each byte of the main record set to
/// zero in turn, without each row and without all of them, so that counters and windows don't stop him; as the
/// plugin's [`Thief`] makes them; and after sealing something himself. And he begins the session again with the stolen
/// bundle. What came before the first answer he may open in that way: a bundle lives longer than a message.
///
/// A refusal proves only something if a key was tried. So for each recorded frame the cipher must have been asked
/// in one of these ways at least; a plugin whose windows can't be undone so must bring a [`Thief`]. What the cipher opens
/// is open, whatever the session says of it.
pub fn forward_secrecy_is_claimed_truly(scene: &Scene) -> Result<(), Violation> {
    if !scene.exchange.properties().forward_secrecy {
        return Ok(());
    }
    let watched = Watched::new(&scene.cipher);
    let scene = &scene.with_cipher(Arc::clone(&watched) as _);
    let flight = scene.first_flight()?;
    let (mut alice, mut bob) = (flight.alice, flight.bob);
    round_trip(&mut bob, &mut alice)?;
    let (mut to_alice, mut to_bob) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        to_bob.extend(talk(&mut alice, &mut bob)?);
        to_alice.extend(talk(&mut bob, &mut alice)?);
    }
    let used = watched.seals();
    for (whose, end, recorded) in [("Alice", &alice, &to_alice), ("Bob", &bob, &to_bob)] {
        steal(scene, &watched, whose, &end.saved, recorded)?;
        let parts: Vec<&[u8]> =
            [&end.saved.main[..]].into_iter().chain(end.saved.rows.values().map(|row| &row[..])).collect();
        let kept = used.iter().any(|seal| parts.iter().any(|part| shares_a_run(part, &seal.key, 16)));
        ensure!(!kept, "{whose}'s state holds the key of a frame that was opened");
    }
    let again = scene.accept(&flight.first);
    if let Ok(session) = again {
        let mut thief = End::new_restored(scene, session, SavedSession::default());
        // In order, as the owner did; before the first answer this may succeed.
        drop(thief.open(&flight.frame));
        for frame in &to_bob {
            thief.open(frame).map(drop).must_fail("a recorded frame, with the secret of Bob's bundle,")?;
        }
    }
    Ok(())
}

/// Five frames, out of order, all opened.
fn talk(from: &mut End<'_>, to: &mut End<'_>) -> Result<Vec<Vec<u8>>, Violation> {
    let frames: Vec<_> = (0..5_u8).map(|i| from.seal(&[i; 20])).collect::<Result<_, _>>()?;
    for i in [0_u8, 3, 1, 2, 4] {
        to.opens(&frames[usize::from(i)], &[i; 20])?;
    }
    from.save();
    to.save();
    Ok(frames)
}

/// Tries what was recorded with everything that can be made of what was stolen.
fn steal(
    scene: &Scene,
    watched: &Watched,
    whose: &str,
    stolen: &SavedSession,
    recorded: &[Vec<u8>],
) -> Result<(), Violation> {
    let mut tried = TRIED.map(|_| false);
    let mut attempt = |thief: &mut End<'_>| {
        for (number, tried) in TRIED.iter().zip(&mut tried) {
            let Some(frame) = recorded.get(*number) else { continue };
            let before = watched.opens();
            let what = format!("a frame recorded before {whose}'s state was stolen");
            thief.open(frame).map(drop).must_fail(what)?;
            let after = watched.opens();
            ensure!(
                after.opened == before.opened,
                "{whose}'s state still opens a frame recorded before it was stolen, only that it is not given out"
            );
            *tried |= after.asked > before.asked;
        }
        Ok(())
    };
    let whole = pieces(stolen).chain(scene.thief.into_iter().flat_map(|thief| thief(stolen)));
    for state in whole {
        let Ok(session) = scene.restore(&state) else { continue };
        let mut thief = End::new_restored(scene, session, state);
        attempt(&mut thief)?;
        // Whoever has received last may wait for nothing before he sent something.
        if thief.seal(b"by a thief").is_ok() {
            attempt(&mut thief)?;
        }
    }
    for state in edited(stolen) {
        let Ok(session) = scene.restore(&state) else { continue };
        attempt(&mut End::new_restored(scene, session, state))?;
    }
    // If it was never asked for what is genuine either, another rule says so.
    let protects = watched.opens().opened > 0;
    let untried: Vec<_> =
        TRIED.iter().zip(tried).filter(|(_, tried)| !tried).map(|(number, _)| number).collect();
    ensure!(
        untried.is_empty() || !protects,
        "with {whose}'s stolen state nobody could try a key on the recorded frames {untried:?}, so that they are \
         refused proves nothing: the suite needs a `thief` that undoes what the state counts and remembers"
    );
    Ok(())
}

/// A stolen state as it is, without each of its rows, and without all of them.
fn pieces(saved: &SavedSession) -> impl Iterator<Item = SavedSession> + '_ {
    let without = |key: &Vec<u8>| {
        let mut fewer = saved.clone();
        fewer.rows.remove(key);
        fewer
    };
    let alone = SavedSession { main: saved.main.clone(), ..SavedSession::default() };
    [saved.clone(), alone].into_iter().chain(saved.rows.keys().map(without))
}

/// A stolen state with each byte of its main record set to zero.
fn edited(saved: &SavedSession) -> impl Iterator<Item = SavedSession> + '_ {
    (0..saved.main.len()).map(|at| {
        let mut main = saved.main.to_vec();
        main[at] = 0;
        SavedSession { main: Zeroizing::new(main), rows: saved.rows.clone() }
    })
}
