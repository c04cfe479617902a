//! Hostile peers for tests, against clients and relays in this process or as built programs.
//!
//! | room | what is in it |
//! |---|---|
//! | [`raw`] | a peer that sends any bytes at any step of a handshake, stalls, floods, reads slowly or never |
//! | [`mangle`] | what can be done to bytes |
//! | [`stranger`] | an authenticated client that speaks records as it likes |
//! | [`forge`] | bundles, sessions and envelopes of one's own making |
//! | [`relay`], [`lie`], [`desk`] | a relay that speaks the real protocol and lies; the ways to lie; what is true |
//! | [`person`], [`scene`] | honest clients, and a scene of them around a lying relay |
//! | [`stack`], [`clock`] | what they are made of |
//!
//! Each test says which promise it attacks, shows that the attack took place, and that the honest go on afterwards.
//!
//! # What is done, by which test, and what comes of it
//!
//! `lied_to` is the built program over real sockets, on tcp and udp-arq, with x25519 and rsa-hybrid each; `lying_relay` is the real
//! engine on a paused clock, where minutes and months pass, with both key exchanges where these take part; `raw_peers` and
//! `hostile_client` attack built relays on tcp and udp-arq.
//!
//! | attack | here | test | result |
//! |---|---|---|---|
//! | any bytes at any step of the hop's handshake, at a relay | [`raw::TcpPeer::at`], [`raw::UdpPeer::at`] with [`mangle`] | `raw_peers`: `anything_at_any_step` (tcp, udp) | nobody is let in; on udp the genuine message behind it counts |
//! | … at a client | [`raw::TcpServer::answer`], [`raw::UdpServer::answer`] | `raw_peers`: `any_answer_to_a_client_on_tcp`, `…_on_udp` | tcp: an error, and the client has not said who it is; udp: ignored |
//! | … of the end-to-end handshake, and of bundles | [`forge::edited`], [`mangle::alterations`] | `lying_relay`: `any_byte_of_a_first_message`, `edited_bundles`; `lied_to`: `a_bundle_is_edited` | alarm `tampered`, `refused`; the genuine is taken |
//! | anything behind the handshake | [`raw::TcpPeer::sealed_bytes`], [`raw::UdpPeer::sealed`], [`raw::chunk`] | `raw_peers`: `anything_after_the_handshake` | its own link ends, no other |
//! | stalls | [`raw::TcpPeer::at`], [`raw::TcpServer::stall`], [`raw::UdpServer::answer`], [`lie::stall`] | `raw_peers`: `anything_at_any_step`, `who_stalls_at_any_step`; `lying_relay`: `it_never_welcomes`, `it_answers_nothing_that_matters` | given up at the handshake's deadline, or as *silent*; what was sent arrives later |
//! | floods | [`Stranger`], [`Desk::say`], [`raw::UdpPeer`] | `hostile_client`: `rooms_without_end`, `a_mailbox_that_nobody_reads`; `lying_relay`: `a_flood_of_what_nobody_can_open`, `a_directory_of_strangers`, `crowds_that_are_not_there` | refusals with a code; alarms are counted; memory is bounded |
//! | reads slowly, or never | [`Stranger::deliveries`], [`LyingRelay::be_deaf`] | `hostile_client`: `who_reads_slowly`; `raw_peers`: `who_asks_and_never_reads` (tcp, udp); `lying_relay`: `it_reads_nothing` | nobody else notices; all of it arrives in order |
//! | replays recordings | `chat_tests::Recorder` | `raw_peers`: `said_again_to_the_relay`, `said_again_to_a_client` | nobody comes in; no link |
//! | replays envelopes | [`Desk::hand`] | `lying_relay`: `said_again_under_other_ids`, `a_first_message_said_again`; `lied_to`: `are_altered_and_said_again` | alarm `replayed`, shown once |
//! | flips bits | [`mangle::flips`], `Recorder::meddling` | `lying_relay`: `any_byte_of_a_frame`, `records_with_any_byte_changed`; `lied_to`: `are_altered_and_said_again`; `chat-tests`: `bad_wire` | alarm `tampered`; on the hop not noticed by anybody but the link |
//! | swaps keys | [`lie::on_bundles`], [`Forger`](forge::Forger) | `lied_to`: `a_key_is_swapped`; `lying_relay`: `another_key_under_a_known_name` | `peer.key_changed`, the name is ambiguous, nothing is sealed for it |
//! | … at first contact | | `lying_relay`: `another_key_at_first_contact` | **known truth**: shown as *unverified*; only comparing fingerprints tells |
//! | drops | [`lie::drop_envelopes`] | `lied_to`: `are_dropped`; `lying_relay`: `one_is_dropped`, `one_is_dropped_for_ever`, `receipts_are_swallowed` | not `delivered`; a gap; `failed` after 30 days |
//! | duplicates | [`lie::repeat_envelopes`] | `lied_to`: `are_doubled`; `lying_relay`: `all_are_doubled` | shown once, no alarm |
//! | reorders, holds back | [`lie::hold_envelopes`] | `lied_to`: `are_turned_around`; `lying_relay`: `all_are_turned_around`, `one_is_held_back` | shown in order, or late in its place |
//! | mixes recipients, reflects | [`Desk::hand`] | `lied_to`: `are_given_to_others`; `lying_relay`: `one_is_given_to_somebody_else`, `one_is_reflected` | alarm `tampered`, not shown |
//! | relabels direct as room, and back | [`Desk::hand`] | `lied_to`: `are_relabelled`; `lying_relay`: `fields_and_places`, `spliced_sessions` | alarm `tampered`, not shown |
//! | hides a member | [`lie::hide`] | `lied_to`: `lack_a_member`; `lying_relay`: `a_known_member_is_hidden` | it gets everything all the same |
//! | … from the first moment | | `lying_relay`: `a_member_is_hidden_from_the_beginning` | **known truth** of open rooms: the roster shown lacks it, and counts do |
//! | shows members different rosters | [`lie::on_rosters`] | `lied_to`: `differ`; `lying_relay`: `everybody_is_told_another_roster`, `a_member_is_added` | **known truth** of open rooms: each sees the roster it was told, marked *open* |
//! | gives a room's message to some | [`lie::drop_envelopes`] | `lied_to`: `reach_one_and_not_the_other` | not `delivered` until all have it |
//! | says `stored` and stores nothing | [`lie::store_nothing`] | `lied_to`: `stored_is_its_word`; `lying_relay`: `stored_without_storing` | **known truth**: `stored` is its word; never `delivered`, sent again later |
//! | speaks in others' names | [`Forger`](forge::Forger), [`forge::Talk`] | `hostile_client`: `in_others_names`, `a_session_used_for_nonsense`; `lying_relay`: `in_the_name_of_another`, `things_nobody_says` | refused by the relay; alarm `tampered` at clients |

pub mod clock;
pub mod desk;
pub mod forge;
pub mod lie;
pub mod mangle;
pub mod person;
pub mod raw;
pub mod relay;
pub mod scene;
pub mod stack;
pub mod stranger;

pub use clock::Clock;
pub use desk::Desk;
pub use person::{LOBBY, Person};
pub use relay::LyingRelay;
pub use scene::Scene;
pub use stack::{RATCHET, RSA, Stack, X25519};
pub use stranger::Stranger;
