//! The key exchange suite.

use std::collections::BTreeMap;

use chat_core::testing::check;
use chat_core::testing::key_exchange::{KeyExchangePlugin, RULES};
use chat_core::{KeyExchange, Plugin, ProfileError};

use crate::toy_exchange::{Fault, Options, ToyExchange, undo_windows};
use crate::{check_each, each_rule_has_its_own_fault, expect, expect_some};

/// The macro, in its forms.
mod by_type_with_a_cipher {
    chat_core::key_exchange_suite!(
        crate::toy_exchange::ToyExchange,
        ciphers: [crate::toy_cipher::ToyCipher],
    );
}
mod with_a_thief {
    chat_core::key_exchange_suite!(
        crate::toy_exchange::ToyExchange,
        options: "[key_exchange]\nkind = \"toy-exchange\"\nfault = \"HashedState\"\n",
        thief: crate::toy_exchange::undo_windows,
    );
}
mod by_profile {
    chat_core::key_exchange_suite!("[key_exchange]\nkind = \"toy-exchange\"\nfault = \"Nothing\"\n");
}

const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::Nothing, &[]),
    (Fault::SharedOptionsWithBlanks, &["what_it_says_of_itself_is_well_formed"]),
    (Fault::CaveatWithoutEnd, &["what_it_says_of_itself_is_well_formed"]),
    (Fault::SecretInTheBundle, &["bundles_are_new_and_small_and_keep_their_secret"]),
    (Fault::BundleWithoutEntropy, &["a_bundle_without_randomness_is_an_entropy_error"]),
    (Fault::BundleFromTheSystem, &["the_same_randomness_gives_the_same_bundle"]),
    (Fault::BundleWithTrailingBytes, &["a_malformed_bundle_is_refused"]),
    (
        Fault::OneTimeKeyIgnored,
        &["one_time_keys_count_and_are_needed", "a_first_flight_with_a_one_time_key_ends_with_it"],
    ),
    (Fault::OneTimeKeyTooMany, &["one_time_keys_are_new_and_as_many_as_asked_for"]),
    (Fault::OneTimeKeysWithoutEntropy, &["one_time_keys_are_new_and_as_many_as_asked_for"]),
    (Fault::OneTimeKeysThoughNoneAreUsed, &["one_time_keys_are_new_and_as_many_as_asked_for"]),
    (Fault::UnusedOneTimeKeyIgnored, &["a_one_time_key_that_is_not_used_is_refused"]),
    (Fault::OneTimeKeyKept, &["a_first_flight_with_a_one_time_key_ends_with_it"]),
    (Fault::ErasedOneTimeKeyIsForged, &["one_time_keys_count_and_are_needed"]),
    (Fault::ABitOfTheProofIgnored, &["every_flipped_bit_of_a_first_message_is_refused"]),
    (Fault::FirstWithTrailingBytes, &["every_other_length_of_a_first_message_is_refused"]),
    (Fault::FirstDecodedLoosely, &["a_first_message_in_another_encoding_is_refused"]),
    (Fault::BindingLeftOut, &["a_first_message_under_another_binding_is_refused"]),
    (
        Fault::SenderLeftOut,
        &[
            "a_first_message_claimed_by_another_is_refused",
            "a_first_message_made_in_anothers_name_is_refused",
        ],
    ),
    (Fault::RemembersWhatItAccepted, &["a_first_message_claimed_by_another_is_refused"]),
    (Fault::SenderOnlyNamed, &["a_first_message_made_in_anothers_name_is_refused"]),
    (Fault::AnybodyAccepts, &["a_first_message_for_other_keys_opens_nothing"]),
    (Fault::ReflectionAccepted, &["a_reflected_first_message_is_refused"]),
    (Fault::SameEphemeralAgain, &["two_handshakes_share_nothing"]),
    (Fault::EphemeralWithoutEntropy, &["a_handshake_without_randomness_is_an_entropy_error"]),
    (Fault::PanicsOnOnes, &["rubbish_as_a_first_message_is_refused"]),
    (Fault::NoEmptyMessages, &["messages_of_all_sizes_go_both_ways"]),
    (Fault::BitNotAuthenticated, &["every_flipped_bit_of_a_frame_is_refused"]),
    (Fault::TrailingZeroIgnored, &["every_other_length_of_a_frame_is_refused"]),
    (Fault::ReplayIsForged, &["a_replayed_frame_is_a_duplicate"]),
    (Fault::OpensItsOwn, &["a_reflected_frame_is_refused"]),
    (Fault::Preview, &["a_frame_shows_nothing_of_its_plaintext"]),
    (Fault::PanicsOnTheLastNumber, &["rubbish_as_a_frame_is_refused"]),
    (Fault::LooksAheadFourHundred, &["frames_open_in_any_order"]),
    (Fault::FarIsForged, &["a_frame_far_ahead_opens_or_is_called_so"]),
    (Fault::FewSkippedAtATurn, &["late_frames_open_after_later_turns"]),
    (Fault::SealsAreNotSaved, &["sessions_survive_restarts_and_crashes_at_any_point"]),
    (Fault::CountsRefusals, &["a_refusal_leaves_the_state_unchanged_to_the_byte"]),
    (Fault::AlwaysSaves, &["only_changes_are_saved_and_they_are_small"]),
    (Fault::SavesItsHistory, &["only_changes_are_saved_and_they_are_small"]),
    (Fault::StateWithTrailingBytes, &["a_damaged_saved_state_is_refused"]),
    (Fault::ForeignRowsIgnored, &["a_damaged_saved_state_is_refused"]),
    (Fault::CipherNameLeftOut, &["a_state_of_another_cipher_opens_nothing"]),
    (Fault::SaltIgnored, &["copies_of_a_state_never_share_a_key"]),
    (Fault::BringsItsOwnCipher, &["the_cipher_of_the_profile_protects_every_frame"]),
    (Fault::CipherErrorIgnored, &["the_cipher_of_the_profile_protects_every_frame"]),
    (Fault::SealsWithoutEntropy, &["a_step_without_randomness_changes_nothing"]),
    (Fault::SaltFromTheSystem, &["the_same_randomness_gives_the_same_frames"]),
    (Fault::NeverDue, &["renewal_is_due_by_age_and_not_at_first"]),
    (Fault::YoungUnderAFalseClock, &["renewal_is_due_by_age_and_not_at_first"]),
    (Fault::AgeSinceTheRestart, &["renewal_is_due_by_age_and_not_at_first"]),
    (Fault::EndsWithoutNotice, &["the_end_of_sealing_is_announced"]),
    (Fault::EndMovesOn, &["the_end_of_sealing_is_announced"]),
    (Fault::ClockOverflows, &["clocks_that_jump_break_nothing"]),
    (Fault::BoundToItsThread, &["sessions_may_move_between_threads"]),
    (Fault::ChainDoesNotMove, &["forward_secrecy_is_claimed_truly"]),
    (Fault::HashedState, &["forward_secrecy_is_claimed_truly"]),
    (Fault::HashedStaticState, &["forward_secrecy_is_claimed_truly"]),
    (Fault::HashedStaticStateAndCountInARow, &["forward_secrecy_is_claimed_truly"]),
    (Fault::ChainDoesNotMoveUnderTheWindow, &["forward_secrecy_is_claimed_truly"]),
    (Fault::PairIsDerived, &["healing_is_claimed_truly"]),
    (Fault::LogsAKey, &["nothing_secret_is_logged"]),
];

/// Faults that many rules see; these among them.
const COARSE: &[(Fault, &[&str])] = &[
    (
        Fault::MovesOnBeforeTheTag,
        &[
            "every_flipped_bit_of_a_frame_is_refused",
            "every_other_length_of_a_frame_is_refused",
            "a_refusal_leaves_the_state_unchanged_to_the_byte",
            "the_cipher_of_the_profile_protects_every_frame",
        ],
    ),
    (Fault::SkippedKeysKept, &["a_replayed_frame_is_a_duplicate", "forward_secrecy_is_claimed_truly"]),
    (Fault::TurnsOnceOnly, &["sessions_survive_restarts_and_crashes_at_any_point"]),
];

fn toy(fault: Fault) -> KeyExchangePlugin {
    let options = format!("{}fault = \"{fault:?}\"\n", ToyExchange::EXAMPLE);
    KeyExchangePlugin::of::<ToyExchange>(&options).unwrap()
}

#[test]
fn each_fault_is_told_by_its_rules_and_by_no_other() {
    check_each(FAULTS, |(fault, names)| expect(RULES, &toy(*fault), &format!("{fault:?}"), names));
}

#[test]
fn coarse_faults_are_told_by_many() {
    check_each(COARSE, |(fault, names)| expect_some(RULES, &toy(*fault), &format!("{fault:?}"), names));
}

/// A state that can't be edited hides a key that stands still, and one that is erased looks the same: only who
/// knows how to undo its windows tells them apart. So without one the rule is not kept.
#[test]
fn a_state_under_a_checksum_is_only_believed_if_a_thief_has_tried() {
    let broken = |fault, thief: bool| {
        let plugin = toy(fault);
        let plugin = if thief { plugin.with_thief(undo_windows) } else { plugin };
        let told = check(RULES, "forward_secrecy_is_claimed_truly", &plugin);
        told.map_err(|violation| violation.to_string().contains("nobody could try"))
    };
    assert_eq!(broken(Fault::HashedState, false), Err(true));
    assert_eq!(broken(Fault::HashedStaticState, false), Err(true));
    assert_eq!(broken(Fault::HashedState, true), Ok(()));
    assert_eq!(broken(Fault::HashedStaticState, true), Err(false));
    assert_eq!(broken(Fault::HashedStaticStateAndCountInARow, false), Err(false));
}

/// A toy whose declaration is wrong.
macro_rules! misdeclared {
    ($plugin:ident, $summary:literal, $options:ty) => {
        struct $plugin;
        impl Plugin<dyn KeyExchange> for $plugin {
            const NAME: &'static str = "toy-exchange";
            const SUMMARY: &'static str = $summary;
            const EXAMPLE: &'static str = "[key_exchange]\nkind = \"toy-exchange\"\n";
            type Options = $options;
            fn build(_: $options) -> Result<Box<dyn KeyExchange>, ProfileError> {
                ToyExchange::build(Options::default())
            }
        }
    };
}
misdeclared!(NotRegistered, "its own words", Options);
misdeclared!(AnyOptions, "a ratchet in a group for toys", BTreeMap<String, serde_json::Value>);

const DECLARATIONS: &[((), &[&str])] =
    &[((), &["is_registered_and_its_example_builds"]), ((), &["unknown_options_are_refused"])];

#[test]
fn declarations_that_are_wrong_are_told() {
    let subjects = [
        KeyExchangePlugin::of::<NotRegistered>(ToyExchange::EXAMPLE),
        KeyExchangePlugin::of::<AnyOptions>(ToyExchange::EXAMPLE),
    ];
    for (subject, ((), names)) in subjects.into_iter().zip(DECLARATIONS) {
        assert_eq!(expect(RULES, &subject.unwrap(), "the declaration", names), Ok(()));
    }
    assert!(KeyExchangePlugin::linked("[key_exchange]\nkind = \"no-such\"\n").is_err());
}

#[test]
fn every_rule_is_needed() {
    let faults: Vec<_> = FAULTS.iter().map(|(_, names)| ((), *names)).chain(DECLARATIONS.to_vec()).collect();
    each_rule_has_its_own_fault(RULES, &faults);
}
