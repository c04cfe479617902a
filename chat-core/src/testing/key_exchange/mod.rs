//! The suite for a [`KeyExchange`] and the [`Session`](crate::Session)s it begins.

use std::sync::Arc;

use crate::cipher::Cipher;
use crate::key_exchange::{KeyExchange, NewBundle};
use crate::plugin::Plugin;

use super::declared::Declared;
use super::entropy::TestEntropy;
use super::rule::{Must as _, Rule, Violation};
use super::test_cipher::TestCipher;

pub mod bundles;
pub mod declaration;
mod end;
pub mod first_message;
pub mod frames;
pub mod keys;
pub mod life;
pub mod one_time;
pub mod order;
pub mod properties;
mod scene;
pub mod state;
pub mod theft;
mod watched;

pub use end::{End, round_trip};
pub use scene::{FirstFlight, NOW, Party, Scene, bundle_context};
pub use theft::Thief;

/// Sessions open frames in any order if no more than this many are on the way.
pub const REORDER: usize = 1000;

/// Runs every rule of [`RULES`](crate::testing::key_exchange::RULES) as a test, on one key exchange.
///
/// ```ignore
/// chat_core::key_exchange_suite!(MyExchange);                        // as its EXAMPLE makes it
/// chat_core::key_exchange_suite!(
///     MyExchange,
///     options: "[key_exchange]\nkind = \"mine\"\nrounds = 1\n",       // with other options
///     ciphers: [SomeCipher, OtherCipher],                            // with more ciphers
/// );
/// chat_core::key_exchange_suite!("[key_exchange]\nkind = \"mine\"\n"); // a linked plugin
/// chat_core::key_exchange_suite!(MyExchange, thief: undo_windows);   // whose state refuses to be edited
/// ```
///
/// Every rule is tried with a cipher of the suite's own, so none is needed, and with each of those given.
/// Bundles are made once for all rules, from the same randomness in every run.
#[macro_export]
macro_rules! key_exchange_suite {
    ($options:literal $(, ciphers: [$($cipher:ty),* $(,)?])? $(, thief: $thief:expr)? $(,)?) => {
        $crate::key_exchange_suite!(@
            $crate::testing::key_exchange::KeyExchangePlugin::linked($options),
            [$($($cipher),*)?] [$($thief)?]
        );
    };
    ($plugin:ty $(, ciphers: [$($cipher:ty),* $(,)?])? $(, thief: $thief:expr)? $(,)?) => {
        $crate::key_exchange_suite!(@
            $crate::testing::key_exchange::KeyExchangePlugin::of::<$plugin>(
                <$plugin as $crate::Plugin<dyn $crate::KeyExchange>>::EXAMPLE
            ),
            [$($($cipher),*)?] [$($thief)?]
        );
    };
    (
        $plugin:ty,
        options: $options:expr $(, ciphers: [$($cipher:ty),* $(,)?])? $(, thief: $thief:expr)? $(,)?
    ) => {
        $crate::key_exchange_suite!(@
            $crate::testing::key_exchange::KeyExchangePlugin::of::<$plugin>($options),
            [$($($cipher),*)?] [$($thief)?]
        );
    };
    (@ $make:expr, [$($cipher:ty),*] [$($thief:expr)?]) => {
        fn key_exchange_under_test() -> ::std::result::Result<
            &'static $crate::testing::key_exchange::KeyExchangePlugin,
            $crate::testing::Violation,
        > {
            static PLUGIN: ::std::sync::OnceLock<::std::result::Result<
                $crate::testing::key_exchange::KeyExchangePlugin,
                $crate::testing::Violation,
            >> = ::std::sync::OnceLock::new();
            let made = PLUGIN.get_or_init(|| {
                $make
                    $(.and_then(|plugin| plugin.with::<$cipher>()))*
                    $(.map(|plugin| plugin.with_thief($thief)))?
            });
            made.as_ref().map_err(::std::clone::Clone::clone)
        }
        $crate::__key_exchange_rules!(
            __rule_tests (key_exchange_under_test, $crate::testing::key_exchange::RULES)
        );
    };
}

/// The list of rules, for the table and for the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __key_exchange_rules {
    ($then:ident $pass:tt) => {
        $crate::$then! { $pass
            [itself] declaration::{
                is_registered_and_its_example_builds,
                unknown_options_are_refused,
                what_it_says_of_itself_is_well_formed
            }
            [in_one_scene] bundles::{
                bundles_are_new_and_small_and_keep_their_secret,
                a_bundle_without_randomness_is_an_entropy_error,
                the_same_randomness_gives_the_same_bundle,
                a_malformed_bundle_is_refused
            }
            [in_one_scene] one_time::{
                one_time_keys_are_new_and_as_many_as_asked_for,
                one_time_keys_count_and_are_needed,
                a_one_time_key_that_is_not_used_is_refused,
                a_first_flight_with_a_one_time_key_ends_with_it
            }
            [in_each_scene] first_message::{
                every_flipped_bit_of_a_first_message_is_refused,
                every_other_length_of_a_first_message_is_refused,
                a_first_message_in_another_encoding_is_refused,
                a_first_message_under_another_binding_is_refused,
                a_first_message_claimed_by_another_is_refused,
                a_first_message_made_in_anothers_name_is_refused,
                a_first_message_for_other_keys_opens_nothing,
                a_reflected_first_message_is_refused,
                two_handshakes_share_nothing,
                a_handshake_without_randomness_is_an_entropy_error,
                rubbish_as_a_first_message_is_refused
            }
            [in_each_scene] frames::{
                messages_of_all_sizes_go_both_ways,
                every_flipped_bit_of_a_frame_is_refused,
                every_other_length_of_a_frame_is_refused,
                a_replayed_frame_is_a_duplicate,
                a_reflected_frame_is_refused,
                a_frame_shows_nothing_of_its_plaintext,
                rubbish_as_a_frame_is_refused
            }
            [in_each_scene] order::{
                frames_open_in_any_order,
                a_frame_far_ahead_opens_or_is_called_so,
                late_frames_open_after_later_turns
            }
            [in_each_scene] state::{
                sessions_survive_restarts_and_crashes_at_any_point,
                a_refusal_leaves_the_state_unchanged_to_the_byte,
                only_changes_are_saved_and_they_are_small,
                a_damaged_saved_state_is_refused,
                a_state_of_another_cipher_opens_nothing
            }
            [in_each_scene] keys::{
                copies_of_a_state_never_share_a_key,
                the_cipher_of_the_profile_protects_every_frame,
                a_step_without_randomness_changes_nothing,
                the_same_randomness_gives_the_same_frames
            }
            [in_each_scene] life::{
                renewal_is_due_by_age_and_not_at_first,
                the_end_of_sealing_is_announced,
                clocks_that_jump_break_nothing,
                sessions_may_move_between_threads
            }
            [in_each_scene] theft::{forward_secrecy_is_claimed_truly}
            [in_each_scene] properties::{
                healing_is_claimed_truly,
                nothing_secret_is_logged
            }
        }
    };
}

/// What a key exchange has to hold, in the order of the modules' pages.
pub const RULES: &[Rule<KeyExchangePlugin>] = __key_exchange_rules!(__rule_table(KeyExchangePlugin));

/// A key exchange that is put to the test.
pub struct KeyExchangePlugin {
    /// What it says of itself.
    pub declared: Declared<dyn KeyExchange>,
    /// What it is.
    pub exchange: Arc<dyn KeyExchange>,
    /// What its sessions are tried with.
    pub ciphers: Vec<Arc<dyn Cipher>>,
    thief: Option<Thief>,
    parties: [Party; 3],
}

/// What Alice's, Bob's and Mallory's bundles are made from.
const BUNDLE_SEEDS: [u64; 3] = [1001, 1002, 1003];

impl KeyExchangePlugin {
    /// The plugin `P` with the given options, a piece of profile with the table `[key_exchange]`.
    ///
    /// # Errors
    /// That the plugin can't be built from them, or makes no bundle.
    pub fn of<P: Plugin<dyn KeyExchange>>(options: &str) -> Result<Self, Violation> {
        Self::built(Declared::of::<P>(), options)
    }

    /// The linked plugin that the table `[key_exchange]` of a piece of profile selects.
    ///
    /// # Errors
    /// That there is none, that it can't be built from these options, or that it makes no bundle.
    pub fn linked(options: &str) -> Result<Self, Violation> {
        Self::built(Declared::linked(options)?, options)
    }

    fn built(declared: Declared<dyn KeyExchange>, options: &str) -> Result<Self, Violation> {
        let exchange: Arc<dyn KeyExchange> = declared.build(options)?.into();
        let cipher: Arc<dyn Cipher> = Arc::new(TestCipher::default());
        let party = |who: u8, seed| {
            let mut made = bundle(&*exchange, &cipher, seed)?;
            let more =
                exchange.one_time_keys(2, &mut bundle_context(&cipher, &mut TestEntropy::new(seed + 10)));
            made.one_time.extend(more.must("making one-time keys")?);
            Ok(Party::new(who, made))
        };
        let [alice, bob, mallory] = BUNDLE_SEEDS;
        let parties = [party(1, alice)?, party(2, bob)?, party(3, mallory)?];
        Ok(Self { declared, exchange, ciphers: vec![cipher], thief: None, parties })
    }

    /// Tried with the cipher `C` too, as its `EXAMPLE` makes it.
    ///
    /// # Errors
    /// That the cipher can't be built.
    pub fn with<C: Plugin<dyn Cipher>>(mut self) -> Result<Self, Violation> {
        self.ciphers.push(Declared::<dyn Cipher>::of::<C>().build(C::EXAMPLE)?.into());
        Ok(self)
    }

    /// With what undoes the windows of a state that refuses to be edited.
    #[must_use]
    pub fn with_thief(self, thief: Thief) -> Self {
        Self { thief: Some(thief), ..self }
    }

    /// A scene with one of the ciphers.
    fn scene(&self, cipher: &Arc<dyn Cipher>) -> Scene {
        let scene = Scene::of(Arc::clone(&self.exchange), Arc::clone(cipher), self.parties.clone());
        Scene { thief: self.thief, ..scene }
    }

    /// The rule with every cipher.
    fn in_each_scene(&self, rule: impl Fn(&Scene) -> Result<(), Violation>) -> Result<(), Violation> {
        let with = |cipher: &Arc<dyn Cipher>| {
            rule(&self.scene(cipher)).map_err(|violation| violation.under(format!("with {}", cipher.name())))
        };
        self.ciphers.iter().try_for_each(with)
    }

    /// The rule with the suite's own cipher, where no cipher makes a difference.
    fn in_one_scene(&self, rule: impl Fn(&Scene) -> Result<(), Violation>) -> Result<(), Violation> {
        let cipher: Arc<dyn Cipher> = Arc::new(TestCipher::default());
        rule(&self.scene(&cipher))
    }
}

fn bundle(exchange: &dyn KeyExchange, cipher: &Arc<dyn Cipher>, seed: u64) -> Result<NewBundle, Violation> {
    exchange.new_bundle(&mut bundle_context(cipher, &mut TestEntropy::new(seed))).must("making a bundle")
}
