//! The built program behind a lying relay, over real sockets, on each transport with each key exchange: what `lying_relay`
//! shows of the engine, a user sees. One scenario a stack, as each lie ends with everybody well.

mod envelopes;
mod rooms;
mod scene;
mod words;

use chat_tests::{Profile, on_every_stack};

use crate::scene::Scene;

on_every_stack!(what_a_user_sees);

/// P1, P2, P3, P4, P5, P7, P8: every lie once, each with what comes of it; the crate's documentation has the table.
fn what_a_user_sees(profile: Profile) {
    let mut scene = Scene::new(profile);
    envelopes::are_dropped(&mut scene);
    envelopes::are_doubled(&mut scene);
    envelopes::are_turned_around(&mut scene);
    envelopes::are_altered_and_said_again(&mut scene);
    envelopes::are_relabelled(&mut scene);
    envelopes::are_given_to_others(&mut scene);
    rooms::lack_a_member(&mut scene);
    rooms::differ(&mut scene);
    rooms::reach_one_and_not_the_other(&mut scene);
    words::stored_is_its_word(&mut scene);
    words::a_bundle_is_edited(&mut scene);
    words::a_key_is_swapped(&mut scene);
    words::links_that_end_are_told(&mut scene);
}
