//! The attacks. The talk that is attacked goes both ways and turns several times, so every kind of frame is in it.

use chat_core::testing::key_exchange::{End, FirstFlight, Scene};
use chat_evidence::stacks::{self, Stack};
use chat_evidence::verdict::{Verdict, judge};

/// A frame of the talk, and what it says.
struct Said {
    frame: Vec<u8>,
    text: Vec<u8>,
}

fn talk<'a>(scene: &'a Scene, mut each: impl FnMut(&mut End<'a>, &Said)) {
    let FirstFlight { mut alice, mut bob, .. } = scene.first_flight().unwrap();
    for n in 0..12_u8 {
        let (from, at) = if n % 4 < 2 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let text = vec![n; usize::from(n) * 7 + 1];
        let frame = from.seal(&text).unwrap();
        from.save();
        let one = Said { frame, text };
        each(at, &one);
        at.opens(&one.frame, &one.text).unwrap();
        at.save();
    }
}

fn on(stacks: Vec<Stack>, attack: impl Fn(&Scene) -> Verdict) -> Vec<(String, Verdict)> {
    stacks.into_iter().map(|stack| (stack.name, attack(&stack.scene))).collect()
}

/// Every bit of every frame, before the genuine one arrives; what is refused must have changed nothing: the
/// genuine frame opens, and the state is the same to the byte.
fn flip_every_bit(scene: &Scene) -> Verdict {
    let mut verdict = Verdict::default();
    talk(scene, |at, said| {
        let before = at.saved.clone();
        for bit in 0..said.frame.len() * 8 {
            let mut flipped = said.frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            verdict.count(at.open(&flipped).is_ok());
        }
        at.save();
        verdict.count(at.saved != before);
    });
    verdict
}

/// C29.
#[test]
fn a_flipped_bit_is_refused_and_changes_nothing() {
    let controls = on(vec![stacks::without_tag()], flip_every_bit);
    judge("Every bit of every frame is flipped", &on(stacks::every(), flip_every_bit), &controls);
}

/// The whole talk again: at once, after a restart, and sent back to who said it.
fn replay_everything(scene: &Scene) -> Verdict {
    let mut verdict = Verdict::default();
    let FirstFlight { mut alice, mut bob, frame, .. } = scene.first_flight().unwrap();
    let mut heard = [Vec::new(), vec![frame]];
    for n in 0..24_u8 {
        let (from, at, heard_by_it) = match n % 4 < 2 {
            true => (&mut alice, &mut bob, &mut heard[1]),
            false => (&mut bob, &mut alice, &mut heard[0]),
        };
        let frame = from.seal(&[n]).unwrap();
        at.opens(&frame, &[n]).unwrap();
        heard_by_it.push(frame);
        for end in [&mut alice, &mut bob] {
            end.save();
        }
        let ends = [&mut alice, &mut bob];
        for (end, (own, other)) in ends.into_iter().zip([(0, 1), (1, 0)]) {
            if n % 8 == 7 {
                end.restart().unwrap();
            }
            for frame in heard[own].iter().chain(&heard[other]) {
                verdict.count(end.open(frame).is_ok());
            }
        }
    }
    // And the talk goes on.
    let frame = alice.seal(b"next").unwrap();
    bob.opens(&frame, b"next").unwrap();
    verdict
}

#[test]
fn a_replayed_or_reflected_talk_is_refused() {
    let controls = on(stacks::controls(), replay_everything);
    judge("The whole talk is replayed and reflected", &on(stacks::every(), replay_everything), &controls);
}

/// Whether two frames of texts of the same length were sealed with the same keystream, or, of the same text, show the
/// same ciphertext.
fn share_a_keystream(one: (&[u8], &[u8]), other: (&[u8], &[u8])) -> bool {
    /// As long as this, nothing is alike by chance.
    const RUN: usize = 8;
    let ((frame, text), (other_frame, other_text)) = (one, other);
    let mixed = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    let (frames, texts) = (mixed(frame, other_frame), mixed(text, other_text));
    // A header may be alike, and is in front; with equal texts all that is alike behind it is ciphertext.
    let sealed = &frames[frames.len() - text.len()..];
    if text == other_text {
        return sealed.windows(RUN).any(|run| run.iter().all(|byte| *byte == 0));
    }
    frames.windows(RUN).any(|run| texts.windows(RUN).any(|text| run == text))
}

/// A snapshot of one end is started twice, as with a virtual machine or a restored backup, at several points of the
/// talk, and both copies say something.
fn clone_the_state(scene: &Scene) -> Verdict {
    let mut verdict = Verdict::default();
    let texts = [
        vec![0; 96],
        (0..96_u8).map(|n| n.wrapping_mul(37).wrapping_add(11)).collect::<Vec<u8>>(),
        vec![0; 96],
    ];
    talk(scene, |at, _| {
        let mut frames = Vec::new();
        for _ in 0..2 {
            let mut copy = at.copy().unwrap();
            let mut sealed = |text: &Vec<u8>| copy.seal(text).map(|frame| (frame, text.clone()));
            // An end that was asked to seal before it may says so.
            frames.extend(texts.iter().filter_map(|text| sealed(text).ok()));
        }
        for (n, one) in frames.iter().enumerate() {
            for other in &frames[..n] {
                verdict.count(share_a_keystream((&one.0, &one.1), (&other.0, &other.1)));
            }
        }
    });
    verdict
}

#[test]
fn two_states_of_one_snapshot_never_share_a_keystream() {
    let controls = on(stacks::controls(), clone_the_state);
    judge("One state is started twice", &on(stacks::every(), clone_the_state), &controls);
}
