//! Attacks on the frames of a session.

use super::end::round_trip;
use super::scene::Scene;
use crate::testing::bytes::{bits_to_try, crossed, extended, flipped, lengths_to_try, shares_a_run, spliced};
use crate::testing::entropy::TestEntropy;
use crate::testing::rule::{Violation, ensure};

const TEXT: &[u8] = b"attack at dawn";

/// Both ways, from nothing to 64 KiB, at once and with two peers.
pub fn messages_of_all_sizes_go_both_ways(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let carol = Scene { alice: scene.mallory.clone(), ..scene.clone() };
    let (mut mallory, mut bob_too) = carol.sessions()?;
    for len in [0, 1, 15, 16, 17, 255, 256, 1000, 65_535, 65_536] {
        let text = vec![0x5a; len];
        let (out, back) = (alice.seal(&text)?, bob.seal(&text)?);
        ensure!(out != back, "both ends seal the same bytes");
        bob.opens(&out, &text)?;
        alice.opens(&back, &text)?;
        let text = &text[..len.min(100)];
        bob_too.opens(&mallory.seal(text)?, text)?;
    }
    Ok(())
}

/// All bits of a short frame, and a sample of those of a long one, and of both the other way; and frames put
/// together from two.
pub fn every_flipped_bit_of_a_frame_is_refused(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let long = TestEntropy::new(20).take(3000);
    let mut tried = 0;
    for (text, all, some) in [(TEXT, 2000, 200), (&long, 60, 60)] {
        let (out, back) = (alice.seal(text)?, bob.seal(text)?);
        for (end, frame, most) in [(&mut bob, out, all), (&mut alice, back, some)] {
            for bit in bits_to_try(frame.len(), most) {
                end.refuses(&flipped(&frame, bit), format!("a frame with bit {bit} flipped"))?;
                tried += 1;
            }
            end.opens(&frame, text)?;
        }
    }
    ensure!(tried >= 700, "only {tried} bits were tried");
    let (one, other) = (alice.seal(TEXT)?, alice.seal(b"attack at dusk")?);
    for crossed in crossed(&one, &other, 100) {
        bob.refuses(&crossed, "a frame put together from two")?;
    }
    bob.opens(&other, b"attack at dusk")?;
    bob.opens(&one, TEXT)
}

/// Cut anywhere, longer at either end or inside, twice, or nothing.
pub fn every_other_length_of_a_frame_is_refused(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let frame = alice.seal(TEXT)?;
    for len in lengths_to_try(frame.len(), 300) {
        let what = format!("{len} of {} bytes", frame.len());
        bob.refuses(&frame[..len], &what)?;
        bob.refuses(&frame[frame.len() - len..], &what)?;
    }
    for longer in extended(&frame) {
        bob.refuses(&longer, format!("{} bytes for {}", longer.len(), frame.len()))?;
    }
    bob.opens(&frame, TEXT)
}

/// A frame opens once, also after newer ones, after a restart, and after an answer. As long as nobody
/// answered, it is called [`Duplicate`](crate::CryptoError::Duplicate) or
/// [`TooOld`](crate::CryptoError::TooOld), which raises another alarm than a forgery.
pub fn a_replayed_frame_is_a_duplicate(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let frames: Vec<_> = (0..6_u8).map(|i| alice.seal(&[i])).collect::<Result<_, _>>()?;
    for i in [0_u8, 4, 2, 1, 5, 3] {
        let frame = &frames[usize::from(i)];
        bob.opens(frame, &[i])?;
        bob.refuses_as_seen(frame, format!("frame {i} for the second time"))?;
    }
    bob.restart()?;
    for (i, frame) in frames.iter().enumerate() {
        bob.refuses_as_seen(frame, format!("frame {i} once more after a restart"))?;
    }
    for _ in 0..2 {
        round_trip(&mut bob, &mut alice)?;
        round_trip(&mut alice, &mut bob)?;
        for (i, frame) in frames.iter().enumerate() {
            bob.refuses(frame, format!("frame {i} once more after an answer"))?;
        }
    }
    bob.opens(&alice.seal(b"next")?, b"next")
}

/// What one sealed does not open for oneself, now or later.
pub fn a_reflected_frame_is_refused(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    for _ in 0..3 {
        let (out, back) = (alice.seal(b"out")?, bob.seal(b"back")?);
        alice.refuses(&out, "Alice's frame, sent back to her,")?;
        bob.refuses(&back, "Bob's frame, sent back to him,")?;
        alice.opens(&back, b"back")?;
        bob.opens(&out, b"out")?;
        alice.refuses(&out, "Alice's frame, sent back to her,")?;
        bob.refuses(&back, "Bob's frame, sent back to him,")?;
    }
    Ok(())
}

/// Nothing of a message stands in the clear, and the length of a frame tells the length of the message and
/// nothing else.
pub fn a_frame_shows_nothing_of_its_plaintext(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    for len in [8, 64, 500, 3000] {
        let text = TestEntropy::new(len as u64).take(len);
        for end in [&mut alice, &mut bob] {
            let frames = [end.seal(&text)?, end.seal(&vec![0; len])?];
            let [frame, of_zeros] = &frames;
            ensure!(!shares_a_run(frame, &text, 8), "{len} bytes sealed show some of themselves");
            ensure!(frame.len() == of_zeros.len(), "the length of a frame depends on what {len} bytes say");
        }
    }
    Ok(())
}

/// Random bytes of all lengths, and genuine frames with extreme values in every place: counters at their end,
/// lengths of gigabytes, keys of all zeros.
pub fn rubbish_as_a_frame_is_refused(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let mut entropy = scene.entropy();
    for len in (0..200).chain([5000, 100_000]) {
        bob.refuses(&entropy.take(len), format!("{len} random bytes"))?;
        bob.refuses(&vec![0xff; len], format!("{len} ones"))?;
    }
    let frame = alice.seal(TEXT)?;
    for spliced in spliced(&frame, 200) {
        bob.refuses(&spliced, "a frame with extreme values in it")?;
    }
    bob.opens(&frame, TEXT)
}
