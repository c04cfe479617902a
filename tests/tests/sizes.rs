//! Texts of every length arrive as they were written, to the byte, whatever the network makes pieces of: a byte at a time, all
//! at once, through a path that takes short packets only.
#![cfg(unix)]

use std::process::Command;
use std::sync::Arc;

use chat_tests::means::Means;
use chat_tests::profiles::{QUIC_RATCHET, TCP_X25519, TLS_RSA, UDP_RSA};
use chat_tests::{Direction, Exit, Node, Profile, Recorder, Relay, World, binary, on_profile};

on_profile!(tcp_x25519, super::TCP_X25519, all_lengths, short_lengths, a_byte_at_a_time);
on_profile!(udp_rsa, super::UDP_RSA, all_lengths, short_lengths);
on_profile!(tls_rsa, super::TLS_RSA, all_lengths, short_lengths, a_byte_at_a_time);
on_profile!(quic_ratchet, super::QUIC_RATCHET, all_lengths, short_lengths);

/// Around the lengths at which something begins anew: a datagram, a record, a padding class, the limit.
const LENGTHS: [usize; 18] = [
    1,
    2,
    63,
    64,
    255,
    256,
    1023,
    1199,
    1200,
    1301,
    4096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    300_000,
    1 << 20,
];
/// As many as are bearable a byte at a time, or many times over.
const SHORT: usize = 20_000;

/// A text of so many bytes, of letters that take one to four each; the same in every run (splitmix64).
fn text(len: usize) -> String {
    const LETTERS: [&str; 12] = ["a", " ", "Z", "~", "\n", "\\", "\"", "é", "ß", "日", "本", "😀"];
    let mut state = len as u64;
    let mut text = String::with_capacity(len);
    while text.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let letter = LETTERS[(z >> 40) as usize % LETTERS.len()];
        text.push_str(if text.len() + letter.len() <= len { letter } else { "x" });
    }
    text
}

fn texts(longest: usize) -> Vec<String> {
    LENGTHS.iter().filter(|&&len| len <= longest).map(|&len| text(len)).collect()
}

fn pair(world: &World, profile: Profile, relay: &str) -> [Node; 2] {
    let nodes = ["alice", "bob"].map(|nick| world.node(profile, nick, relay).guest().start());
    nodes[0].meet(&["bob"]);
    nodes[1].meet(&["alice"]);
    nodes
}

/// All of them one way, and what came.
#[track_caller]
fn carry(from: &Node, to: &Node, nick: &str, texts: &[String]) {
    let before = to.texts().len();
    let ids = from.send_all(nick, texts);
    from.wait_states(&ids, &["delivered"]);
    let came = to.wait_texts(before + texts.len()).split_off(before);
    let lengths = |texts: &[String]| texts.iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(lengths(&came), lengths(texts));
    assert!(came == texts, "the lengths are right, and the bytes are not");
}

fn all_lengths(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let [alice, bob] = pair(&world, profile, relay.address());
    let texts = texts(1 << 20);
    assert_eq!(texts.iter().map(String::len).collect::<Vec<_>>(), LENGTHS);
    carry(&alice, &bob, "bob", &texts);
}

/// Both ways as they come; then all at once: who stands still reads what has come meanwhile in one piece.
fn short_lengths(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let [alice, bob] = pair(&world, profile, relay.address());
    let texts = texts(SHORT);
    carry(&alice, &bob, "bob", &texts);
    carry(&bob, &alice, "alice", &texts);
    let before = bob.texts().len();
    bob.process().suspend(true);
    let ids = alice.send_all("bob", &texts);
    alice.wait_states(&ids, &["stored"]);
    bob.process().suspend(false);
    assert!(bob.wait_texts(before + texts.len()).split_off(before) == texts);
    alice.wait_states(&ids, &["delivered"]);
    for node in [&alice, &bob] {
        assert_eq!(node.leave(), Exit::Code(0));
    }
}

/// Each byte is a write of its own, in both directions.
fn a_byte_at_a_time(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let cut = |_: Direction, piece: Vec<u8>| piece.into_iter().map(|byte| vec![byte]).collect();
    let slow = Recorder::meddling(&world, profile.network, relay.address(), Arc::new(cut));
    let [alice, bob] = pair(&world, profile, slow.address());
    carry(&alice, &bob, "bob", &texts(SHORT));
    carry(&bob, &alice, "alice", &texts(SHORT));
}

/// Paths that take no longer packets than this, and the transports that go through them: QUIC demands 1200 bytes and their
/// headers (RFC 9000 §14), as udp-arq does.
const SHORT_PATHS: [(usize, &[&str]); 2] =
    [(576, &["tcp_x25519", "tls_rsa"]), (1280, &["tcp_x25519", "tls_rsa", "udp_rsa", "quic_ratchet"])];

/// Through paths that take short packets only.
#[test]
fn short_lengths_on_paths_of_short_packets() {
    on_paths_of_short_packets("short_lengths");
}

/// The same with all lengths.
#[test]
#[ignore = "a minute"]
fn all_lengths_on_paths_of_short_packets() {
    on_paths_of_short_packets("all_lengths");
}

/// Runs tests of this file in networks that are made for it, with nothing in them but a loopback of that MTU.
fn on_paths_of_short_packets(test: &str) {
    if !Means::Namespace.are_there() {
        return;
    }
    let this = std::env::current_exe().expect("where this is");
    let programs = binary::chat().parent().expect("a folder");
    for (mtu, modules) in SHORT_PATHS {
        let script = format!("ip link set lo mtu {mtu} up && exec \"$0\" \"$@\"");
        let mut there = Command::new("unshare");
        there.args(["--net", "sh", "-c", &script]).arg(&this).arg("--exact");
        there.args(modules.iter().map(|module| format!("{module}::{test}")));
        let ended = there.env("TEST_CHAT_FOLDER", programs).output().expect("unshare runs");
        let said = String::from_utf8_lossy(&ended.stdout);
        let passed = format!("{} passed; 0 failed", modules.len());
        assert!(ended.status.success() && said.contains(&passed), "MTU {mtu}:\n{said}");
    }
}
