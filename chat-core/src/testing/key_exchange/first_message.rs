//! Attacks on the first message.

use super::End;
use super::scene::{FIRST_TEXT, FirstFlight, Scene};
use crate::error::CryptoError;
use crate::identity::Identity;
use crate::key_exchange::{OwnBundle, PeerBundle};
use crate::testing::bytes::{bits_to_try, crossed, extended, flipped, lengths_to_try, reencoded, spliced};
use crate::testing::entropy::FailingEntropy;
use crate::testing::rule::{Must as _, Violation, ensure};

impl FirstFlight<'_> {
    /// Bob gets something else than what Alice sent, and it begins nothing.
    fn altered(&self, scene: &Scene, first: &[u8], what: &str) -> Result<(), Violation> {
        scene.begins_nothing(scene.accept(first), &self.frame, what)
    }

    /// After all that was tried, the genuine message begins a session.
    fn still_begins(&self, scene: &Scene) -> Result<(), Violation> {
        let bob = scene.accept(&self.first).must("accepting the genuine message")?;
        End::new(scene, bob)?.opens(&self.frame, FIRST_TEXT)
    }
}

/// A message damaged in any bit begins nothing; the genuine one is still accepted and its frames open.
pub fn every_flipped_bit_of_a_first_message_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    let bits = bits_to_try(flight.first.len(), 3000);
    ensure!(bits.len() >= 128, "a first message of {} bytes", flight.first.len());
    for bit in bits {
        flight.altered(scene, &flipped(&flight.first, bit), &format!("bit {bit} flipped"))?;
    }
    flight.still_begins(scene)
}

/// Cut anywhere, longer at either end or inside, twice, or nothing.
pub fn every_other_length_of_a_first_message_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    for len in lengths_to_try(flight.first.len(), 400) {
        let what = format!("{len} of {} bytes", flight.first.len());
        flight.altered(scene, &flight.first[..len], &what)?;
        flight.altered(scene, &flight.first[flight.first.len() - len..], &what)?;
    }
    for longer in extended(&flight.first) {
        let what = format!("{} bytes for {}", longer.len(), flight.first.len());
        flight.altered(scene, &longer, &what)?;
    }
    flight.still_begins(scene)
}

/// The same content in other bytes (CBOR or DER with longer heads, a list without end, one field more, a
/// LEB128 number with an empty group) is a replay that no hash of the bytes would know again.
pub fn a_first_message_in_another_encoding_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    let others = reencoded(&flight.first);
    ensure!(others.len() >= flight.first.len(), "only {} encodings were tried", others.len());
    for other in others {
        flight.altered(scene, &other, &format!("{other:02x?}"))?;
    }
    flight.still_begins(scene)
}

/// Another profile, another bundle, another pair of identities: the core then hands in another binding.
pub fn a_first_message_under_another_binding_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    for bit in 0..256 {
        let mut binding = scene.binding;
        binding[bit / 8] ^= 1 << (bit % 8);
        let accepted = scene.accept_from(&scene.alice, binding, &flight.first);
        scene.begins_nothing(accepted, &flight.frame, format!("the binding with bit {bit} flipped"))?;
    }
    flight.still_begins(scene)
}

/// Mallory hands in Alice's message as his own, even with a binding that fits.
pub fn a_first_message_claimed_by_another_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    for (name, claimant) in [("Mallory", &scene.mallory), ("Bob himself", &scene.bob)] {
        let accepted = scene.accept_from(claimant, scene.binding, &flight.first);
        scene.begins_nothing(accepted, &flight.frame, format!("Alice's message in the name of {name}"))?;
    }
    flight.still_begins(scene)
}

/// Mallory makes a message in Alice's name, with all that anybody can have of her: her payload or his own, his secret,
/// his identity or one that claims her key, for a one-time key of Bob's or for none. A combination that `initiate` itself
/// refuses is none that this rule can try: that nobody can make such a message by a program of his own is then for
/// the exchange's own tests to show.
pub fn a_first_message_made_in_anothers_name_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    let Scene { alice, bob, mallory, .. } = scene;
    let liar = Identity::claiming(alice.identity.public(), &mallory.identity.seed());
    for one_time in std::iter::once(None).chain(bob.one_time.first().map(Some)) {
        let peer = PeerBundle { one_time: one_time.map(|(public, _)| &public[..]), ..bob.seen() };
        let receiver = OwnBundle { one_time: one_time.map(|(_, secret)| &secret[..]), ..bob.own() };
        for (signer, identity) in [("by Mallory", &mallory.identity), ("as if by Alice", &liar)] {
            for (whose, payload) in [("Alice's payload", &alice.payload), ("his own", &mallory.payload)] {
                let made = scene.initiate_as(&OwnBundle { identity, payload, ..mallory.own() }, &peer);
                let is_genuine =
                    (identity.public(), payload) == (mallory.identity.public(), &mallory.payload);
                let (first, session) = match made {
                    Err(error) if is_genuine => return Err(error).must("initiating by Mallory"),
                    Err(_) => continue,
                    Ok(made) => made,
                };
                let mut made = End::new(scene, session)?;
                for nth in 1..=3 {
                    let frame = made.seal(FIRST_TEXT)?;
                    let accepted = scene.accept_as(&receiver, &alice.seen(), &first);
                    let what =
                        format!("a message in Alice's name, signed {signer}, with {whose}, frame {nth}");
                    scene.begins_nothing(accepted, &frame, what)?;
                }
            }
        }
    }
    flight.still_begins(scene)
}

/// Who is handed a message for other keys has nothing of it: Mallory, whom Alice's message does not mean; Bob,
/// for whom Alice was handed Mallory's keys; Bob, who has new keys.
pub fn a_first_message_for_other_keys_opens_nothing(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    let accepted = scene.accept_as(&scene.mallory.own(), &scene.alice.seen(), &flight.first);
    scene.begins_nothing(accepted, &flight.frame, "Bob's message at Mallory's")?;

    let mut renewed = scene.mallory.clone();
    renewed.identity = scene.bob.identity.clone();
    let accepted = scene.accept_as(&renewed.own(), &scene.alice.seen(), &flight.first);
    scene.begins_nothing(accepted, &flight.frame, "a message for keys that Bob has no more")?;

    let substituted = PeerBundle { payload: &scene.mallory.payload, ..scene.bob.seen() };
    let (first, session) = scene.initiate_as(&scene.alice.own(), &substituted).must("initiating")?;
    let frame = End::new(scene, session)?.seal(FIRST_TEXT)?;
    scene.begins_nothing(scene.accept(&first), &frame, "a message for Mallory's keys in Bob's name")?;
    flight.still_begins(scene)
}

/// Alice gets her own message back, as if it were Bob's or her own.
pub fn a_reflected_first_message_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    for (name, sender) in [("Bob", &scene.bob), ("Alice", &scene.alice)] {
        let accepted = scene.accept_as(&scene.alice.own(), &sender.seen(), &flight.first);
        scene.begins_nothing(accepted, &flight.frame, format!("Alice's message back to her from {name}"))?;
    }
    flight.still_begins(scene)
}

/// Two handshakes of the same two peers, and one the other way round, have no message and no key in common, and
/// nothing can be put together from two messages.
pub fn two_handshakes_share_nothing(scene: &Scene) -> Result<(), Violation> {
    let (mut one, mut two) = (scene.first_flight()?, scene.first_flight()?);
    ensure!(one.first != two.first, "two first messages are the same");
    for crossed in crossed(&one.first, &two.first, 400) {
        one.altered(scene, &crossed, "a first message put together from two")?;
        two.altered(scene, &crossed, "a first message put together from two")?;
    }
    let crossed = Scene { alice: scene.bob.clone(), bob: scene.alice.clone(), ..scene.clone() };
    let mut other_way = crossed.first_flight()?;
    ensure!(other_way.first != one.first, "two first messages are the same");
    for round in 0..3_u8 {
        let frames = [one.alice.seal(&[round])?, two.alice.seal(&[round])?, other_way.alice.seal(&[round])?];
        let [first, second, third] = &frames;
        for (end, foreign) in [
            (&mut one.bob, [second, third]),
            (&mut two.bob, [first, third]),
            (&mut one.alice, [second, third]),
            (&mut other_way.bob, [first, second]),
            (&mut other_way.alice, [first, second]),
        ] {
            for frame in foreign {
                end.refuses(frame, "a frame of another session")?;
            }
        }
        one.bob.opens(first, &[round])?;
        two.bob.opens(second, &[round])?;
        other_way.bob.opens(third, &[round])?;
    }
    Ok(())
}

/// Wherever randomness fails, that is the error, on both sides; nothing panics, nothing weaker is used. An
/// exchange may need none to accept.
pub fn a_handshake_without_randomness_is_an_entropy_error(scene: &Scene) -> Result<(), Violation> {
    let told = |draws: usize, error: Option<CryptoError>| match error {
        None => Ok(true),
        Some(CryptoError::Entropy) => Ok(false),
        Some(error) => {
            Err(Violation::new(format!("randomness failing after {draws} draws is reported as {error:?}")))
        }
    };
    let mut succeeded = None;
    for draws in 0..64 {
        let initiated = scene.initiate_with(&mut FailingEntropy::after(draws));
        if told(draws, initiated.err())? {
            succeeded = Some(draws);
            break;
        }
    }
    ensure!(succeeded != Some(0), "initiating takes no randomness");
    ensure!(succeeded.is_some(), "64 draws of randomness are not enough to initiate");
    let flight = scene.first_flight()?;
    for draws in 0..64 {
        let mut entropy = FailingEntropy::after(draws);
        let mut cx = scene.context(scene.binding, &mut entropy);
        let (own, peer) = (scene.bob.own(), scene.alice.seen());
        if told(draws, scene.exchange.accept(&own, &peer, &flight.first, &mut cx).err())? {
            return flight.still_begins(scene);
        }
    }
    Err(Violation::new("64 draws of randomness are not enough to accept"))
}

/// Random bytes of all lengths, and a genuine message with extreme values in every place.
pub fn rubbish_as_a_first_message_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    let mut entropy = scene.entropy();
    for len in (0..200).chain([5000, 100_000]) {
        flight.altered(scene, &entropy.take(len), "random bytes")?;
        flight.altered(scene, &vec![0xff; len], "ones")?;
    }
    for spliced in spliced(&flight.first, 200) {
        flight.altered(scene, &spliced, "a message with extreme values in it")?;
    }
    flight.still_begins(scene)
}
