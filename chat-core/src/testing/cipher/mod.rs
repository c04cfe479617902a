//! The suite for a [`Cipher`].

use crate::cipher::{AeadKey, Cipher};
use crate::error::CryptoError;
use crate::plugin::Plugin;

use super::declared::Declared;
use super::entropy::TestEntropy;
use super::rule::{Must as _, Rule, Violation};

pub mod declaration;
pub mod limits;
pub mod secrecy;
pub mod shape;
pub mod tampering;

/// Runs every rule of [`RULES`](crate::testing::cipher::RULES) as a test, on one cipher.
///
/// ```ignore
/// chat_core::cipher_suite!(MyCipher);                                        // as its EXAMPLE makes it
/// chat_core::cipher_suite!(MyCipher, options: "[cipher]\nkind = \"mine\"\n"); // with other options
/// chat_core::cipher_suite!("[cipher]\nkind = \"mine\"\n");                   // a linked plugin
/// ```
#[macro_export]
macro_rules! cipher_suite {
    ($options:literal) => {
        $crate::cipher_suite!(@ $crate::testing::cipher::CipherPlugin::linked($options));
    };
    ($plugin:ty) => {
        $crate::cipher_suite!(@ $crate::testing::cipher::CipherPlugin::of::<$plugin>(
            <$plugin as $crate::Plugin<dyn $crate::Cipher>>::EXAMPLE
        ));
    };
    ($plugin:ty, options: $options:expr) => {
        $crate::cipher_suite!(@ $crate::testing::cipher::CipherPlugin::of::<$plugin>($options));
    };
    (@ $make:expr) => {
        fn cipher_under_test() -> ::std::result::Result<
            $crate::testing::cipher::CipherPlugin,
            $crate::testing::Violation,
        > {
            $make
        }
        $crate::__cipher_rules!(__rule_tests (cipher_under_test, $crate::testing::cipher::RULES));
    };
}

/// The list of rules, for the table and for the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __cipher_rules {
    ($then:ident $pass:tt) => {
        $crate::$then! { $pass
            [itself] declaration::{
                is_registered_and_its_example_builds,
                unknown_options_are_refused,
                name_and_summary_are_well_formed
            }
            [itself] shape::{
                only_the_stated_key_length_is_taken,
                messages_of_every_length_open_again,
                the_overhead_is_the_tag,
                sealing_works_in_any_buffer,
                sealing_is_deterministic,
                uses_of_a_key_leave_no_trace,
                a_key_serves_many_threads
            }
            [itself] tampering::{
                every_flipped_bit_of_the_ciphertext_is_refused,
                other_associated_data_is_refused,
                another_sequence_number_is_refused,
                another_key_is_refused,
                every_truncation_is_refused,
                every_extension_is_refused,
                a_refused_open_leaves_no_plaintext,
                random_bytes_are_refused
            }
            [itself] secrecy::{
                nothing_of_the_plaintext_shows,
                sequence_numbers_share_no_key_stream,
                keys_share_no_key_stream,
                every_byte_of_the_tag_counts,
                nothing_secret_is_logged
            }
            [itself] limits::{
                the_message_limit_holds,
                the_ends_of_the_sequence_numbers_are_safe
            }
        }
    };
}

/// What a cipher has to hold, in the order of the modules' pages.
pub const RULES: &[Rule<CipherPlugin>] = __cipher_rules!(__rule_table(CipherPlugin));

/// A cipher that is put to the test.
pub struct CipherPlugin {
    /// What it says of itself.
    pub declared: Declared<dyn Cipher>,
    /// What it is.
    pub cipher: Box<dyn Cipher>,
}

impl CipherPlugin {
    /// The plugin `P` with the given options, a piece of profile with the table `[cipher]`.
    ///
    /// # Errors
    /// That the plugin can't be built from them.
    pub fn of<P: Plugin<dyn Cipher>>(options: &str) -> Result<Self, Violation> {
        Self::built(Declared::of::<P>(), options)
    }

    /// The linked plugin that the table `[cipher]` of a piece of profile selects.
    ///
    /// # Errors
    /// That there is none, or that it can't be built from these options.
    pub fn linked(options: &str) -> Result<Self, Violation> {
        Self::built(Declared::linked(options)?, options)
    }

    fn built(declared: Declared<dyn Cipher>, options: &str) -> Result<Self, Violation> {
        let cipher = declared.build(options)?;
        Ok(Self { declared, cipher })
    }

    /// Key bytes of the right length, others for another seed.
    fn key_bytes(&self, seed: u64) -> Vec<u8> {
        TestEntropy::new(seed).take(self.cipher.key_len())
    }

    fn key(&self, seed: u64) -> Result<Box<dyn AeadKey>, Violation> {
        self.cipher.key(&self.key_bytes(seed)).must("making a key")
    }
}

/// Text of which no eight bytes repeat, the same for the same length. By SplitMix64: a mebibyte of
/// [`TestEntropy`] takes long in a build without optimisation.
fn text(len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8) as u64).flat_map(|n| {
        let mut word = (len as u64 + 1).wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31).to_be_bytes()
    });
    words.take(len).collect()
}

fn seal(key: &dyn AeadKey, seq: u64, aad: &[u8], text: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut buf = text.to_vec();
    key.seal(seq, aad, &mut buf).must(format!("sealing {} bytes with number {seq}", text.len()))?;
    Ok(buf)
}

fn open(key: &dyn AeadKey, seq: u64, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut buf = sealed.to_vec();
    key.open(seq, aad, &mut buf).map(|()| buf)
}
