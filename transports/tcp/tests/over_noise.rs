//! Noise over TCP: what holds over any bare transport.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

#[path = "../../noise/tests/suite/mod.rs"]
mod suite;

use chat_core::{Address, Plugin as _};
use transport_tcp::{Tcp, TcpOptions};

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let tcp = Tcp::build(TcpOptions::default()).unwrap();
            suite::$name(&*tcp, &Address::new("127.0.0.1:0")).await;
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
    foreign_first_frames_are_refused_by_name
}

/// The clock jumps to the deadline when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_dropped_at_the_deadline() {
    let tcp = Tcp::build(TcpOptions::default()).unwrap();
    suite::who_says_nothing_is_dropped_at_the_deadline(&*tcp, &Address::new("127.0.0.1:0")).await;
}
