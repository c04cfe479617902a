//! The cipher suite.

use std::collections::BTreeMap;

use chat_core::testing::TestCipher;
use chat_core::testing::cipher::{CipherPlugin, RULES};
use chat_core::{Cipher, Plugin, ProfileError};

use crate::toy_cipher::{Fault, Options, ToyCipher};
use crate::{broken, check_each, each_rule_has_its_own_fault, expect};

/// The macro, in all its forms.
mod by_type {
    chat_core::cipher_suite!(crate::toy_cipher::ToyCipher);
}
mod by_type_and_options {
    chat_core::cipher_suite!(crate::toy_cipher::ToyCipher, options: "[cipher]\nkind = \"toy-cipher\"\n");
}
mod by_profile {
    chat_core::cipher_suite!("[cipher]\nkind = \"toy-cipher\"\nfault = \"nothing\"\n");
}
/// What key exchanges are tested with is a cipher as any other.
mod the_test_cipher {
    chat_core::cipher_suite!(super::Registered);
}

struct Registered;
impl Plugin<dyn Cipher> for Registered {
    const NAME: &'static str = "test-cipher";
    const SUMMARY: &'static str = "the cipher of the suites";
    const EXAMPLE: &'static str = "[cipher]\nkind = \"test-cipher\"\n";
    type Options = Options;
    fn build(_: Options) -> Result<Box<dyn Cipher>, ProfileError> {
        Ok(Box::new(TestCipher::default()))
    }
}
chat_core::register!(dyn Cipher, Registered);

/// Each fault of the toy, and the rules that tell.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::Nothing, &[]),
    (Fault::TakesAnyKeyLength, &["only_the_stated_key_length_is_taken"]),
    (Fault::LosesLongMessages, &["messages_of_every_length_open_again"]),
    (Fault::AddsAByte, &["the_overhead_is_the_tag"]),
    (Fault::LooksAtTheCapacity, &["sealing_works_in_any_buffer"]),
    (Fault::SealsTwoWays, &["sealing_is_deterministic"]),
    (Fault::LocksAfterRefusals, &["uses_of_a_key_leave_no_trace"]),
    (Fault::BoundToItsThread, &["a_key_serves_many_threads"]),
    (Fault::IgnoresABitOfTheTag, &["every_flipped_bit_of_the_ciphertext_is_refused"]),
    (Fault::IgnoresAad, &["other_associated_data_is_refused"]),
    (Fault::IgnoresLongAad, &["other_associated_data_is_refused"]),
    (Fault::IgnoresALongTail, &["every_flipped_bit_of_the_ciphertext_is_refused"]),
    (Fault::GluesAadAndText, &["other_associated_data_is_refused"]),
    (Fault::SeqNotInTheTag, &["another_sequence_number_is_refused"]),
    (Fault::KeyNotWhollyInTheTag, &["another_key_is_refused"]),
    (Fault::OpensShortBuffers, &["every_truncation_is_refused"]),
    (Fault::IgnoresATrailingZero, &["every_extension_is_refused"]),
    (
        Fault::TellsRefusalsApart,
        &[
            "another_key_is_refused",
            "another_sequence_number_is_refused",
            "every_flipped_bit_of_the_ciphertext_is_refused",
            "other_associated_data_is_refused",
        ],
    ),
    (Fault::LeavesPlaintext, &["a_refused_open_leaves_no_plaintext"]),
    (Fault::PanicsOnRubbish, &["random_bytes_are_refused"]),
    (Fault::LeavesTheEndInClear, &["nothing_of_the_plaintext_shows"]),
    (Fault::NumbersOverlap, &["sequence_numbers_share_no_key_stream"]),
    (Fault::NumbersWrap, &["sequence_numbers_share_no_key_stream"]),
    (Fault::KeyNotWhollyInTheStream, &["keys_share_no_key_stream"]),
    (Fault::TagOfTwelveBytes, &["every_byte_of_the_tag_counts"]),
    (Fault::LogsItsKey, &["nothing_secret_is_logged"]),
    (Fault::LogsPlaintext, &["nothing_secret_is_logged"]),
    (Fault::NoLimit, &["the_message_limit_holds"]),
    (Fault::LimitSpoilsTheBuffer, &["the_message_limit_holds"]),
    (Fault::OverflowsAtTheEnd, &["the_ends_of_the_sequence_numbers_are_safe"]),
];

#[test]
fn each_fault_is_told_by_its_rules_and_by_no_other() {
    check_each(FAULTS, |(fault, names)| {
        let plugin = CipherPlugin { cipher: Box::new(ToyCipher { fault: *fault }), ..toy() };
        expect(RULES, &plugin, &format!("{fault:?}"), names)
    });
}

fn toy() -> CipherPlugin {
    CipherPlugin::of::<ToyCipher>(ToyCipher::EXAMPLE).unwrap()
}

/// A toy whose declaration is wrong.
macro_rules! misdeclared {
    ($plugin:ident, $name:literal, $summary:literal, $example:literal, $options:ty) => {
        struct $plugin;
        impl Plugin<dyn Cipher> for $plugin {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            const EXAMPLE: &'static str = $example;
            type Options = $options;
            fn build(_: $options) -> Result<Box<dyn Cipher>, ProfileError> {
                Ok(Box::new(ToyCipher { fault: Fault::Nothing }))
            }
        }
    };
}

const TOY: &str = "[cipher]\nkind = \"toy-cipher\"\n";
misdeclared!(NotRegistered, "toy-cipher", "its own words", "[cipher]\nkind = \"toy-cipher\"\n", Options);
misdeclared!(OtherExample, "toy-cipher", "HMAC as key stream and tag", "[cipher]\nkind = \"toy\"\n", Options);
misdeclared!(
    AnyOptions,
    "toy-cipher",
    "HMAC as key stream and tag",
    "[cipher]\nkind = \"toy-cipher\"\n",
    BTreeMap<String, serde_json::Value>
);
misdeclared!(TwoLines, "test-cipher", "two\nlines", "[cipher]\nkind = \"test-cipher\"\n", Options);

const DECLARATIONS: &[(&str, &[&str])] = &[
    ("not registered", &["is_registered_and_its_example_builds"]),
    ("any options", &["unknown_options_are_refused"]),
    ("another name", &["name_and_summary_are_well_formed"]),
];

#[test]
fn declarations_that_are_wrong_are_told() {
    let check = |plugin: Result<CipherPlugin, _>, names: &[&str]| {
        assert_eq!(expect(RULES, &plugin.unwrap(), "the declaration", names), Ok(()));
    };
    let [not_registered, any_options, another_name] = DECLARATIONS else { panic!("three faults") };
    check(CipherPlugin::of::<NotRegistered>(TOY), not_registered.1);
    check(CipherPlugin::of::<OtherExample>(TOY), not_registered.1);
    check(CipherPlugin::of::<AnyOptions>(TOY), any_options.1);
    // The cipher derives keys under another name than the profile's.
    let named_otherwise =
        CipherPlugin { cipher: toy().cipher, ..CipherPlugin::of::<Registered>(Registered::EXAMPLE).unwrap() };
    check(Ok(named_otherwise), another_name.1);
    let two_lines = CipherPlugin::of::<TwoLines>(TwoLines::EXAMPLE).unwrap();
    assert!(broken(RULES, &two_lines, &[]).contains(another_name.1[0]));
    assert!(CipherPlugin::linked("[cipher]\nkind = \"no-such\"\n").is_err());
}

#[test]
fn every_rule_is_needed() {
    let faults: Vec<_> = FAULTS
        .iter()
        .map(|(_, names)| ((), *names))
        .chain(DECLARATIONS.iter().map(|(_, n)| ((), *n)))
        .collect();
    each_rule_has_its_own_fault(RULES, &faults);
}
