//! The transport suite.

use std::fmt;

use chat_core::Plugin as _;
use chat_core::testing::transport::{RULES, Subject};

use crate::toy_bytes::{self, Slip};
use crate::toy_transport::{Careless, Fault, Good, Unregistered, Wordless, toy};
use crate::{check_each, each_rule_has_its_own_fault, expect};

/// The macro, in all its forms. A real clock also suits a transport that would do with a virtual one.
mod by_type {
    chat_core::transport_suite!(crate::toy_transport::Good, at: "toy:0");
}
mod by_type_and_options {
    chat_core::transport_suite!(
        crate::toy_transport::Good,
        options: "[transport]\nkind = \"toy-transport\"\n",
        at: format!("{}:0", "toy")
    );
}
mod by_subject {
    use crate::toy_transport::{Fault, toy};
    chat_core::transport_suite!(subject: toy(Fault::Nothing, false));
}
mod bare {
    use crate::toy_transport::{Fault, toy};
    chat_core::transport_suite!(subject: toy(Fault::Nothing, true));
}

/// Beside the native ones of the toy, those that the core emulates: over the toy's bytes, which have none.
mod completed {
    use crate::toy_bytes::completed;

    chat_core::transport_suite!(subject: completed());
}

mod over_bytes {
    use crate::toy_bytes::{Slip, toy};
    chat_core::transport_suite!(subject: toy(Slip::Nothing, true));
}
mod over_bytes_without_a_wire {
    use crate::toy_bytes::{Slip, toy};
    chat_core::transport_suite!(subject: toy(Slip::Nothing, false));
}

/// A transport that may be wrong.
#[derive(Clone, Copy)]
enum Wrong {
    Secure(Fault),
    Bare(Fault),
    Bytes(Slip),
    Declared(&'static str, fn() -> Subject),
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secure(fault) => write!(f, "a link with {fault:?}"),
            Self::Bare(fault) => write!(f, "a bare link with {fault:?}"),
            Self::Bytes(slip) => write!(f, "a link over bytes with {slip:?}"),
            Self::Declared(name, _) => f.write_str(name),
        }
    }
}

impl Wrong {
    fn subject(self) -> Subject {
        match self {
            Self::Secure(fault) => toy(fault, false),
            Self::Bare(fault) => toy(fault, true),
            Self::Bytes(slip) => toy_bytes::toy(slip, true),
            Self::Declared(_, subject) => subject(),
        }
    }
}

macro_rules! declared {
    ($plugin:ident) => {
        Wrong::Declared(stringify!($plugin), || {
            Subject::of::<$plugin>($plugin::EXAMPLE, || "toy:0".into()).on_virtual_time()
        })
    };
}

/// Each wrong transport, and the rules that tell.
const FAULTS: &[(Wrong, &[&str])] = &[
    (declared!(Good), &[]),
    (declared!(Unregistered), &["is_registered_and_its_example_builds"]),
    (declared!(Careless), &["unknown_options_are_refused"]),
    (declared!(Wordless), &["name_and_summary_are_well_formed"]),
    (Wrong::Secure(Fault::Nothing), &[]),
    (Wrong::Bare(Fault::Nothing), &[]),
    (Wrong::Secure(Fault::ForgetsTheEndOfFullChunks), &["frames_of_every_size_arrive"]),
    (Wrong::Secure(Fault::SharesABuffer), &["frames_cross_both_ways_at_once"]),
    (Wrong::Secure(Fault::TakesAnyLength), &["too_long_a_frame_is_refused"]),
    (Wrong::Secure(Fault::RefusesWithoutReason), &["too_long_a_frame_is_refused"]),
    (Wrong::Secure(Fault::RefusesTooLate), &["too_long_a_frame_is_refused"]),
    (Wrong::Secure(Fault::OrderSlipsOnce), &["thousands_of_frames_keep_their_order"]),
    (Wrong::Secure(Fault::FlushLeavesTheLast), &["what_was_flushed_arrives_by_itself"]),
    (Wrong::Secure(Fault::FiguresShrink), &["figures_only_grow"]),
    (Wrong::Secure(Fault::FiguresStandStill), &["figures_only_grow"]),
    (Wrong::Secure(Fault::SmallFramesAreFree), &["a_reader_that_stops_makes_the_writer_wait"]),
    (Wrong::Secure(Fault::ForgetsTheWriter), &["reading_lets_the_writer_go_on"]),
    (Wrong::Secure(Fault::SharesItsRoom), &["both_may_write_before_either_reads"]),
    (
        Wrong::Secure(Fault::ForgetsTheWriterWhenTheReaderGoes),
        &["a_waiting_writer_learns_that_the_reader_is_gone"],
    ),
    (Wrong::Secure(Fault::NextBeginsAnew), &["dropping_next_loses_nothing"]),
    (Wrong::Secure(Fault::SendGivesUpTheRest), &["dropping_send_or_flush_tears_nothing"]),
    (Wrong::Secure(Fault::FeedDoubles), &["dropping_feed_doubles_nothing"]),
    (Wrong::Secure(Fault::CloseIsDoneWhenAskedAgain), &["dropping_close_loses_nothing"]),
    (Wrong::Secure(Fault::ListenerTakesThenWaits), &["dropping_listener_next_loses_nobody"]),
    (Wrong::Secure(Fault::DialGoesOnAlone), &["dropping_dial_leaves_nobody_behind"]),
    (Wrong::Secure(Fault::EndIsToldOnce), &["a_close_is_an_end_after_every_frame"]),
    (Wrong::Secure(Fault::CloseForgetsTheReader), &["a_close_wakes_a_reader_that_waits"]),
    (Wrong::Secure(Fault::DropTakesBackWhatWasClosed), &["a_link_may_be_dropped_once_it_is_closed"]),
    (Wrong::Secure(Fault::CloseThrowsAway), &["both_may_close_at_once"]),
    (Wrong::Secure(Fault::SecondCloseFails), &["closing_twice_is_no_error"]),
    (Wrong::Secure(Fault::SendsAfterClose), &["nothing_is_sent_after_a_close"]),
    (Wrong::Secure(Fault::CloseStopsTheReader), &["closing_one_direction_leaves_the_other"]),
    (Wrong::Secure(Fault::DropForgetsTheReader), &["a_link_that_is_dropped_is_noticed"]),
    (Wrong::Secure(Fault::DeliversTornFrames), &["a_frame_cut_short_is_not_delivered"]),
    (Wrong::Secure(Fault::CutLooksLikeAClose), &["a_frame_cut_short_is_not_delivered"]),
    // On a bare link the layer above tells a cut from a close.
    (Wrong::Bare(Fault::CutLooksLikeAClose), &[]),
    (Wrong::Secure(Fault::AddressIsWhatWasAskedFor), &["each_place_has_its_own_listener"]),
    (Wrong::Secure(Fault::PlacesAreShared), &["a_place_in_use_is_refused"]),
    (Wrong::Secure(Fault::PlacesAreKept), &["a_place_is_free_again_after_its_listener"]),
    (Wrong::Secure(Fault::ListenerTakesItsLinksAlong), &["links_outlive_their_listener"]),
    (Wrong::Secure(Fault::DialingNobodyWaits), &["dialing_nobody_is_told"]),
    (Wrong::Secure(Fault::DialingNobodyIsAClose), &["dialing_nobody_is_told"]),
    (Wrong::Secure(Fault::NextHandshakes), &["a_stalled_handshake_holds_up_nobody"]),
    (Wrong::Secure(Fault::MixesLinks), &["many_links_do_not_mix"]),
    (Wrong::Bare(Fault::SwapsRoles), &["both_ends_agree_what_the_link_is"]),
    (Wrong::Secure(Fault::DialerNamesItself), &["each_end_knows_the_other"]),
    (
        Wrong::Secure(Fault::RemembersTheFirstPeer),
        &["each_end_knows_the_other", "who_dials_must_prove_who_it_is"],
    ),
    (Wrong::Secure(Fault::IgnoresPins), &["the_pinned_peer_must_answer"]),
    (
        Wrong::Secure(Fault::BelievesEverybody),
        &["who_dials_must_prove_who_it_is", "who_listens_must_prove_who_it_is"],
    ),
    (Wrong::Secure(Fault::BelievesWhoDials), &["who_dials_must_prove_who_it_is"]),
    (Wrong::Secure(Fault::BelievesWhoListens), &["who_listens_must_prove_who_it_is"]),
    // Who is there is then for the layer above to prove.
    (Wrong::Bare(Fault::BelievesEverybody), &[]),
    (Wrong::Bytes(Slip::Nothing), &[]),
    (Wrong::Bytes(Slip::RubbishEndsTheListener), &["strangers_get_no_link_and_hold_up_nobody"]),
    (Wrong::Bytes(Slip::HandshakeWithoutDeadline), &["half_a_handshake_ends_by_its_deadline"]),
    (Wrong::Bytes(Slip::AnyLength), &["a_length_over_the_limit_is_not_waited_for"]),
    (Wrong::Bytes(Slip::NeverNoticesSilence), &["a_peer_that_vanishes_is_noticed_or_waited_for"]),
    (Wrong::Bytes(Slip::SilenceIsAClose), &["a_peer_that_vanishes_is_noticed_or_waited_for"]),
    (Wrong::Secure(Fault::AltersLongDatagrams), &["datagrams_arrive_unaltered"]),
    (Wrong::Secure(Fault::TakesAnyDatagram), &["too_long_a_datagram_is_refused"]),
    (Wrong::Secure(Fault::KeepsEveryDatagram), &["datagrams_nobody_reads_are_dropped"]),
    (Wrong::Secure(Fault::DatagramsHoldUpFrames), &["datagrams_nobody_reads_are_dropped"]),
    (Wrong::Secure(Fault::DatagramsOutliveTheLink), &["datagrams_end_with_their_link"]),
    (Wrong::Secure(Fault::MixesStreams), &["streams_carry_frames_apart"]),
    (Wrong::Secure(Fault::StreamsShareTheirRoom), &["a_full_stream_holds_up_no_other"]),
    (Wrong::Secure(Fault::StreamCloseEndsTheLink), &["a_stream_ends_by_itself"]),
    (Wrong::Secure(Fault::AcceptTakesThenWaits), &["dropping_open_or_accept_loses_no_stream"]),
    (Wrong::Secure(Fault::StreamsOutliveTheLink), &["streams_end_with_their_link"]),
    (Wrong::Secure(Fault::StreamsTakeShortFramesOnly), &["frames_of_every_size_pass_a_stream"]),
    (Wrong::Secure(Fault::StreamNextBeginsAnew), &["dropping_calls_of_a_stream_tears_nothing"]),
    (Wrong::Secure(Fault::BusyStreamGoesFirst), &["a_busy_stream_starves_nobody"]),
    (Wrong::Secure(Fault::StreamsAreCountedForEver), &["as_many_streams_as_promised_again_and_again"]),
    (
        Wrong::Secure(Fault::StreamCloseEndsBothDirections),
        &["closing_one_direction_of_a_stream_leaves_the_other"],
    ),
    (Wrong::Secure(Fault::StreamCutLooksLikeAClose), &["a_stream_that_is_dropped_is_a_cut"]),
    (Wrong::Secure(Fault::StreamWriterIsNotTold), &["who_writes_to_a_stream_that_nobody_reads_is_told"]),
    (Wrong::Secure(Fault::UntakenStreamsHang), &["streams_that_nobody_takes_are_refused"]),
];

#[test]
fn each_fault_is_told_by_its_rules_and_by_no_other() {
    check_each(FAULTS, |(wrong, rules)| expect(RULES, &wrong.subject(), &format!("{wrong:?}"), rules));
}

#[test]
fn each_rule_sees_what_no_other_sees() {
    each_rule_has_its_own_fault(RULES, FAULTS);
}
