//! What every [`Transport`](crate::Transport) must hold, bare or secure, ours or a stranger's.
//!
//! A crate runs all of it by one line in its tests, with a place where nobody listens:
//!
//! ```ignore
//! chat_core::transport_suite!(MyTransport, at: "127.0.0.1:0");
//! ```
//!
//! Rules about who is at the other end are for secure links: on a bare one they say so and pass. A bare transport is
//! run through the suite a second time with the layer that secures it, as one transport made of both
//! (`transport_noise::OverNoise`). What a link does not have (datagrams, streams) is said on standard error, and not tried.
//!
//! Rules about strangers need the bytes below the transport, for which it names its [`Wire`]. A peer that vanishes is one
//! whose bytes somebody between no longer passes on: what the system itself would notice, as by TCP's keepalive, is not tried.
//!
//! What the suite can't see: whether a link is sealed. It has both ends and not the wire between them, so a transport that
//! says `Secure` and sends everything in the clear, or delivers what was altered on the way, keeps every rule. Nor can it
//! see through a transport whose own `dial` or `listen` refuses a liar where its other end would have believed one. Who
//! secures links itself needs tests of its own for that, with a wire to look at and to tamper with. Ours have them:
//!
//! - Noise, which secures `tcp`, `memory` and every other bare transport: `transports/noise/tests/suite` (nothing said is on
//!   the wire, changed frames are refused, any byte of the handshake) and the units beside `messages.rs` and `handshake.rs`;
//! - `udp-arq`: `src/tests/handshakes.rs` (nothing said is on the wire), `src/tests/hostile.rs` and `src/protect`;
//! - the built programs: `tests/privacy` searches what they really sent, and finds a transport that only says it is secure.
//!
//! No rule measures a time. One that waits for what must come gives up after a minute; one that waits for
//! what must *not* come waits for half a second in which nothing moves, and on virtual time not at all.

mod bench;
mod cancel;
mod closing;
mod datagrams;
mod declaration;
mod delivery;
mod frames;
mod identity;
mod listening;
mod many_streams;
mod pressure;
mod strangers;
mod stream_ends;
mod streams;
mod subject;
mod tap;
mod wire;

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;

use tokio::runtime::Builder;

use super::rule::{Must as _, Rule, Violation};
use bench::Bench;
pub use subject::Subject;
#[cfg(unix)]
pub use wire::UnixWire;
pub use wire::{Line, Lines, TcpWire, UdpWire, Wire};

/// Runs every rule of [`RULES`](crate::testing::transport::RULES) as a test, on one transport.
///
/// `at` is where it may listen: a place where nobody does, whenever it is evaluated (port 0, or a new name). `wire` is what
/// is below it ([`Wire`]), so that strangers can be tried: who say rubbish, stop in the middle of a handshake,
/// or vanish. Without it these rules say that nobody tried, and pass.
///
/// ```ignore
/// chat_core::transport_suite!(MyTransport, at: "127.0.0.1:0", wire: TcpWire);
/// chat_core::transport_suite!(MyTransport, at: "127.0.0.1:0");               // as its EXAMPLE makes it
/// chat_core::transport_suite!(MyTransport, options: "[transport]\nkind = \"mine\"\n", at: fresh_path());
/// chat_core::transport_suite!(subject: Subject::new(|| Box::new(Mine::over(other())), || "mine:0".into()));
/// ```
#[macro_export]
macro_rules! transport_suite {
    (subject: $subject:expr) => {
        fn transport_under_test() -> ::std::result::Result<
            $crate::testing::transport::Subject,
            $crate::testing::Violation,
        > {
            Ok($subject)
        }
        $crate::__transport_rules!(__rule_tests (transport_under_test, $crate::testing::transport::RULES));
    };
    ($plugin:ty, options: $options:expr, at: $place:expr $(, wire: $wire:expr)?) => {
        $crate::transport_suite!(subject: $crate::testing::transport::Subject::of::<$plugin>(
            $options, || ::std::string::ToString::to_string(&$place)
        )$(.with_wire($wire))?);
    };
    ($plugin:ty, at: $place:expr $(, wire: $wire:expr)?) => {
        $crate::transport_suite!(
            $plugin,
            options: <$plugin as $crate::Plugin<dyn $crate::Transport>>::EXAMPLE,
            at: $place $(, wire: $wire)?
        );
    };
}

/// The list of rules, for the table and for the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_rules {
    ($then:ident $pass:tt) => {
        $crate::$then! { $pass
            declaration::{
                is_registered_and_its_example_builds,
                unknown_options_are_refused,
                name_and_summary_are_well_formed
            }
            delivery::{
                frames_of_every_size_arrive,
                frames_cross_both_ways_at_once,
                too_long_a_frame_is_refused,
                thousands_of_frames_keep_their_order,
                what_was_flushed_arrives_by_itself,
                figures_only_grow
            }
            pressure::{
                a_reader_that_stops_makes_the_writer_wait,
                reading_lets_the_writer_go_on,
                both_may_write_before_either_reads,
                a_waiting_writer_learns_that_the_reader_is_gone
            }
            cancel::{
                dropping_next_loses_nothing,
                dropping_send_or_flush_tears_nothing,
                dropping_feed_doubles_nothing,
                dropping_close_loses_nothing,
                dropping_listener_next_loses_nobody,
                dropping_dial_leaves_nobody_behind
            }
            closing::{
                a_close_is_an_end_after_every_frame,
                a_close_wakes_a_reader_that_waits,
                a_link_may_be_dropped_once_it_is_closed,
                both_may_close_at_once,
                closing_twice_is_no_error,
                nothing_is_sent_after_a_close,
                closing_one_direction_leaves_the_other,
                a_link_that_is_dropped_is_noticed,
                a_frame_cut_short_is_not_delivered
            }
            listening::{
                each_place_has_its_own_listener,
                a_place_in_use_is_refused,
                a_place_is_free_again_after_its_listener,
                links_outlive_their_listener,
                dialing_nobody_is_told,
                a_stalled_handshake_holds_up_nobody,
                many_links_do_not_mix,
                both_ends_agree_what_the_link_is
            }
            identity::{
                each_end_knows_the_other,
                the_pinned_peer_must_answer,
                who_dials_must_prove_who_it_is,
                who_listens_must_prove_who_it_is
            }
            strangers::{
                strangers_get_no_link_and_hold_up_nobody,
                half_a_handshake_ends_by_its_deadline,
                a_length_over_the_limit_is_not_waited_for,
                a_peer_that_vanishes_is_noticed_or_waited_for
            }
            datagrams::{
                datagrams_arrive_unaltered,
                too_long_a_datagram_is_refused,
                datagrams_nobody_reads_are_dropped,
                datagrams_end_with_their_link
            }
            streams::{
                streams_carry_frames_apart,
                a_full_stream_holds_up_no_other,
                a_stream_ends_by_itself,
                dropping_open_or_accept_loses_no_stream,
                streams_end_with_their_link
            }
            many_streams::{
                frames_of_every_size_pass_a_stream,
                dropping_calls_of_a_stream_tears_nothing,
                a_busy_stream_starves_nobody,
                as_many_streams_as_promised_again_and_again
            }
            stream_ends::{
                closing_one_direction_of_a_stream_leaves_the_other,
                a_stream_that_is_dropped_is_a_cut,
                who_writes_to_a_stream_that_nobody_reads_is_told,
                streams_that_nobody_takes_are_refused
            }
        }
    };
}

/// The table: each rule in a runtime of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_table {
    (() $($module:ident::{$($rule:ident),*})*) => {
        &[$($(Rule::new(stringify!($rule), |subject| {
            run(subject, stringify!($rule), |bench| Box::pin($module::$rule(bench)))
        })),*),*]
    };
}

/// What a transport has to hold.
pub const RULES: &[Rule<Subject>] = __transport_rules!(__transport_table());

type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), Violation>> + 'a>>;

fn run(
    subject: &Subject,
    name: &str,
    rule: impl for<'a> FnOnce(&'a Bench<'a>) -> Verdict<'a>,
) -> Result<(), Violation> {
    let runtime = if subject.is_on_virtual_time() {
        Builder::new_current_thread().enable_all().start_paused(true).build()
    } else {
        // Several, so that what looks and then waits may be overtaken in between.
        Builder::new_multi_thread().worker_threads(2).enable_all().build()
    };
    let runtime = runtime.must("making a runtime")?;
    let bench = Bench::new(subject);
    let verdict = runtime.block_on(rule(&bench));
    for note in bench.into_notes() {
        // Not to the test's output, which is hidden when it passes. If nobody hears it, nothing is lost.
        std::io::stderr().write_all(format!("note: {name}: {note}\n").as_bytes()).ok();
    }
    // What the rule left behind is not waited for.
    runtime.shutdown_background();
    verdict
}
