//! The search is able to find: with a plugin that leaks, the same scenario, as far as it is needed, gives it away. Each
//! searched place has its leak.

use std::collections::BTreeSet;
use std::path::Path;

use chat_privacy::scenario::{Cast, NICKS};
use chat_privacy::{Found, Place, Scenario};
use chat_tests::files::spellings;
use chat_tests::profiles::TCP_X25519;

/// What is found with these changes to the profile.
fn found(sets: &[&str], transport: Option<&'static str>) -> Vec<Found> {
    let program = Some(Path::new(env!("CARGO_BIN_EXE_leaky-chat")).to_owned());
    let sets = sets.iter().map(|&set| set.to_owned()).collect();
    let mut scenario = Scenario::new(TCP_X25519, &Cast { program, sets, transport });
    scenario.every_day();
    scenario.away(false);
    scenario.finish(&["relay::", "connected peer"])
}

/// The places where something was found whose description begins so.
fn places(found: &[Found], what: &str) -> BTreeSet<Place> {
    found.iter().filter(|found| found.what.starts_with(what)).map(|found| found.place).collect()
}

/// With the same program and none of its plugins in use nothing is found.
#[test]
fn no_leak() {
    assert_eq!(found(&[], None), []);
}

/// Log, and a client's folder: a cipher that tells texts.
#[test]
fn a_text_in_the_log_and_in_a_file() {
    let found = found(&["cipher.kind=telling"], None);
    assert_eq!(places(&found, "the text"), BTreeSet::from([Place::Log, Place::Files]), "{found:#?}");
    assert_eq!(places(&found, "the nick"), BTreeSet::new(), "{found:#?}");
}

/// Log, and the temporary folder: a key exchange that tells keys. In the log each spelling is found.
#[test]
fn a_key_in_the_log_and_in_a_file() {
    let found = found(&["key_exchange.kind=telling"], None);
    for nick in NICKS {
        let key = format!("{nick}'s bundle key");
        let how: BTreeSet<_> = found.iter().filter(|it| it.what == key && it.place == Place::Log).collect();
        let how: BTreeSet<_> = how.into_iter().map(|found| found.how).collect();
        // All but the one that no text can hold.
        let all = spellings(&[200; 32]).into_iter().map(|(how, _)| how).filter(|how| *how != "as it is");
        assert!(how.is_superset(&all.collect()), "{how:?}");
    }
    // The one who wrote it last.
    assert!(places(&found, "").contains(&Place::Files), "{found:#?}");
    assert_eq!(places(&found, "the text"), BTreeSet::new(), "{found:#?}");
}

/// Pieces are enough: a cipher that tells how a text begins, a key exchange that tells halves of keys.
#[test]
fn a_part_of_a_text_and_half_a_key() {
    let found = found(&["cipher.kind=hinting", "key_exchange.kind=hinting"], None);
    assert_eq!(places(&found, "the text"), BTreeSet::from([Place::Log]), "{found:#?}");
    let keys = NICKS.map(|nick| places(&found, &format!("{nick}'s bundle key")));
    assert!(keys.iter().all(|places| places.contains(&Place::Log)), "{found:#?}");
    // The one who wrote it last.
    assert!(keys.iter().any(|places| places.contains(&Place::Files)), "{found:#?}");
    assert_eq!(places(&found, "the nick"), BTreeSet::new(), "{found:#?}");
}

/// Wire: a transport that only says that it is secure. Names are on it, and what stands beside sealed texts; with a cipher
/// that seals nothing, texts too. Core file and folder of the relay then hold them as well.
#[test]
fn names_and_texts_on_the_wire_in_the_core_file_and_at_the_relay() {
    let transport = "transport.kind=open";
    let found_on_wire = found(&[transport], Some("open"));
    assert_eq!(places(&found_on_wire, "the nick"), BTreeSet::from([Place::Wire]), "{found_on_wire:#?}");
    assert_eq!(places(&found_on_wire, "the text"), BTreeSet::new(), "{found_on_wire:#?}");
    let found = found(&[transport, "cipher.kind=open"], Some("open"));
    let mut expected = BTreeSet::from([Place::Wire, Place::RelayFiles]);
    if can_dump() {
        expected.insert(Place::Core);
    }
    assert_eq!(places(&found, "the text"), expected, "{found:#?}");
}

/// Where no core file can be written, which is said, none is searched.
fn can_dump() -> bool {
    let folder = std::env::temp_dir().join(format!("chat-core-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let core = chat_privacy::core_file::core_of(std::process::id(), &folder);
    std::fs::remove_dir_all(&folder).expect("it is removed");
    core.is_some()
}
