//! What people write, their keys and their names exist inside their own programs only.

use chat_privacy::Scenario;
use chat_privacy::scenario::Cast;
use chat_tests::{Profile, on_main_profiles};

on_main_profiles!(nothing_is_found_after_a_whole_scenario);

/// A38, A39, B16, C10, C16, C32, D05, E17, P4: everyday life, strangers, a bad wire, somebody who is away, crashes, a lying relay,
/// another host: no text, no key and no name in any log at the level `trace`, on any wire, in the relay's core file and
/// folder, and in what clients leave beside their databases. What is known to the relay by design, and how it is
/// searched, stands in the crate's documentation.
fn nothing_is_found_after_a_whole_scenario(profile: Profile) {
    let mut scenario = Scenario::new(profile, &Cast::default());
    scenario.every_day();
    scenario.strangers_at_the_port();
    scenario.a_stranger_inside();
    scenario.bad_wire();
    scenario.away(true);
    scenario.a_lying_relay();
    scenario.another_host();
    let found = scenario.finish(&["DEBUG", "client::", "alarm", "relay::", "connected peer"]);
    assert!(found.is_empty(), "{} finds, first: {:#?}", found.len(), &found[..found.len().min(10)]);
}
