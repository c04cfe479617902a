//! What the fuzz targets found in this crate, smallest form first.

use chat_core::Address;
use chat_core::profile::{Inputs, Options, Profile};
use chat_core::wire::{Envelope, FromRelay, ToRelay};
use serde::Deserialize;

/// `relay_record`, `crash-77881d21`: each opened array of a field that is skipped took up to 48 bytes of memory, so
/// that a record of 2 MiB took 48 MiB.
#[test]
fn a_skipped_field_cannot_nest_without_end() {
    for opened in [0x81, 0x9f, 0xbf, 0xa1] {
        // [10, [field 0 of `Moving`, which has none: …]]
        let record = [&[0x82, 10, 0x81][..], &vec![opened; 2 << 20]].concat();
        let error = FromRelay::decode(&record).unwrap_err().to_string();
        assert!(error.contains("nested too deep"), "{error}");
        assert!(ToRelay::decode(&record).is_err() && Envelope::decode(&record).is_err());
    }
    // A break where none belongs, which `minicbor` skips.
    for begin in [&[0x82, 10, 0x81, 0x9f, 0x82, 1, 0xff, 0xff][..], &[0x82, 10, 0x9f, 1, 0xc1, 0xff]] {
        let hidden = [begin, &vec![0x9f; 2 << 20]].concat();
        assert!(FromRelay::decode(&hidden).is_err_and(|error| error.to_string().contains("well formed")));
    }
    let skipped = [0x82, 10, 0x81, 0x82, 1, 0x9f, 0x61, b'x', 0xff];
    assert_eq!(
        FromRelay::decode(&skipped),
        Ok(FromRelay::Moving),
        "what nests a little is skipped as before"
    );
}

/// `words`: brackets passed as a part of the host.
#[test]
fn a_bracket_is_no_part_of_a_host() {
    for bad in ["[[]:5", "[]]:5", "a]:5", "[a]b]:5"] {
        assert!(Address::new(bad).host_port().is_err(), "{bad}");
    }
    assert!(Address::new("[::1]:5").host_port().is_ok());
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {}

/// `profile`, slow: serde stops at the first key it doesn't know, so each cost a pass over all the others; a megabyte
/// of them took an hour.
#[test]
fn a_flood_of_unknown_options_is_not_read_to_its_end() {
    let many: String = (0..20_000).map(|number| format!("k{number}=1\n")).collect();
    let options = Options::parse_table(&format!("[transport]\nkind = \"x\"\n{many}"), "transport").unwrap();
    let error = options.parse::<Strict>().unwrap_err();
    assert!((50..100).contains(&error.errors().len()), "{}", error.errors().len());
}

/// `profile`, slow: every character of a line was held against every secret in it.
#[test]
fn a_line_of_secrets_is_shown_in_one_pass() {
    let many: Vec<String> = (0..40_000).map(|number| format!("token{number}=\"hunter2\"")).collect();
    let text = format!("x = {{ {} }}\n", many.join(","));
    let shown = Profile::load(&Inputs::new("p.toml", text)).unwrap_err().to_string();
    assert!(shown.contains("token0=***,token1=***") && !shown.contains("hunter2"), "{shown}");
}

/// `words`: what a choice may be was answered with what was typed, whatever it does to a screen, and however long.
#[test]
fn a_value_that_is_none_of_a_choice_is_repeated_short_and_harmless() {
    let long = "x".repeat(10_000);
    for kind in ["\u{15}\u{1b}[2Jkey", "\u{202e}yek", &long] {
        let error =
            chat_core::api::table::parse_line(&format!("/accept bob {kind}")).unwrap_err().to_string();
        assert!(error.contains("/accept PEER [KIND]"), "{error}");
        assert!(error.chars().count() < 400, "{} characters", error.chars().count());
        assert!(!error.chars().any(chat_core::nick::is_unsafe_to_show), "{error:?}");
    }
}
