//! Noise over links in memory.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

mod suite;

use chat_core::profile::Options;
use chat_core::{Address, Registry, Transport};
use transport_memory as _;

fn memory() -> Box<dyn Transport> {
    let options = Options::parse_table("[transport]\nkind = \"memory\"\n", "transport").unwrap();
    Registry::linked().unwrap().build::<dyn Transport>(&options).unwrap()
}

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            suite::$name(&*memory(), &Address::new("noise:0")).await;
        }
    )*};
}

tests! {
    a_drop_is_an_error_not_an_end
    the_pinned_peer_must_answer
    a_handshake_with_any_byte_changed_is_refused
    changed_data_ends_the_link_and_is_not_delivered
    nothing_said_is_on_the_wire
    a_link_cut_short_is_an_error_though_the_transport_closed_well
    who_says_nothing_is_dropped_at_the_deadline
    foreign_first_frames_are_refused_by_name
}
