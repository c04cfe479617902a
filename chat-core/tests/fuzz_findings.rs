//! What the fuzz targets found in this crate, smallest form first.

use chat_core::Address;
use chat_core::wire::{Envelope, FromRelay, ToRelay};

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
