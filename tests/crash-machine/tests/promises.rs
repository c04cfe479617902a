//! The crash machine on the built programs, as much of it as everybody who changes something can wait for: thirty loops of
//! `kill -9`, every kind of failing call at the start and in traffic, a full disk. And the checker, shown to fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: it fails")]

use std::path::Path;

use chat_crash_machine::calls::{self, Case, Moment, READER, WRITER};
use chat_crash_machine::disk;
use chat_crash_machine::kills::{self, Options, heal};
use chat_crash_machine::ledger::{Depth, Rule};
use chat_crash_machine::town::{Hosting, Link, Part, Town};
use chat_tests::Profile;
use chat_tests::means::Means;
use chat_tests::profiles::{TCP_X25519, UDP_RSA};

/// Loops of a town; their histories grow from one to the next.
const LOOPS_PER_TOWN: u64 = 5;
/// Towns of the four kinds of stack: 30 loops together.
const TOWNS: [(Profile, bool, &[u64]); 4] = [
    (TCP_X25519, false, &[101, 102]),
    (TCP_X25519, true, &[103]),
    (UDP_RSA, false, &[104, 105]),
    (UDP_RSA, true, &[106]),
];
/// Which calls fail: early at a start, late in it, and in traffic, as far as there are so many.
const NTHS: [u32; 4] = [2, 5, 12, 30];
/// Room on the disks that fill up: given back to who carries on, and to the next run.
const ROOMS_KIB: [u64; 2] = [40, 300];

fn kills_of(kind: usize) {
    let (profile, auto, seeds) = TOWNS[kind];
    for seed in seeds {
        let options = Options {
            profile,
            auto,
            loops: LOOPS_PER_TOWN,
            messages: 600,
            open: 500,
            commit: String::new(),
            seed: *seed,
        };
        let (mut loops, mut delivered, mut killed) = (0, 0, 0);
        let result = kills::run(&options, |outcome| {
            loops += 1;
            delivered += outcome.tally.delivered;
            killed += outcome.kills;
        });
        assert_eq!(result, Ok(()));
        assert_eq!((loops, delivered), (LOOPS_PER_TOWN, LOOPS_PER_TOWN * options.messages));
        // A blow kills somebody at least, and a loop has three.
        assert!(killed >= 3 * LOOPS_PER_TOWN, "{killed} killed");
    }
}

#[test]
fn kills_over_tcp_beside_a_relay() {
    kills_of(0);
}

#[test]
fn kills_over_tcp_with_whoever_hosts() {
    kills_of(1);
}

#[test]
fn kills_over_udp_beside_a_relay() {
    kills_of(2);
}

#[test]
fn kills_over_udp_with_whoever_hosts() {
    kills_of(3);
}

#[test]
fn the_towns_are_thirty_loops() {
    let towns: usize = TOWNS.iter().map(|(_, _, seeds)| seeds.len()).sum();
    assert_eq!(towns as u64 * LOOPS_PER_TOWN, 30);
}

fn calls_fail(victim: Part) {
    if !Means::Strace.are_there() {
        return;
    }
    let wanted = |case: &&Case| case.victim == victim && !case.onwards;
    let cases: Vec<Case> = calls::cases().iter().filter(wanted).copied().collect();
    let (mut failed, mut delivered) = (0, 0);
    for case in &cases {
        // A start of somebody is like that of the relay: half of them will do.
        let nths = if case.moment == Moment::FirstStart { &NTHS[1..3] } else { &NTHS[..] };
        let report = calls::run(case, nths.iter().copied()).unwrap();
        assert_eq!(report.violations, [""; 0], "{case}; kept: {:?}", report.kept);
        assert!(report.failed > 0 || case.calls.contains("unlink"), "{case}: no call has failed");
        (failed, delivered) = (failed + report.failed, delivered + report.delivered);
    }
    assert!(
        failed as usize > 2 * calls::TROUBLES.len() && delivered > 100,
        "{failed} failed, {delivered} sent"
    );
}

#[test]
fn calls_of_the_relay_fail() {
    calls_fail(Part::Relay);
}

#[test]
fn calls_of_who_writes_fail() {
    calls_fail(Part::Person(WRITER));
}

#[test]
fn calls_of_who_reads_fail() {
    calls_fail(Part::Person(READER));
}

#[test]
fn disks_fill_up() {
    if !Means::Mount.are_there() {
        return;
    }
    for victim in disk::VICTIMS {
        let report = disk::run(victim, &ROOMS_KIB).unwrap();
        assert_eq!(report.violations, [""; 0], "{victim:?}; kept: {:?}", report.kept);
        // Both rooms were too small, or nothing was tested.
        assert!(report.failed as usize >= ROOMS_KIB.len() && report.delivered > 0, "{victim:?}: {report:?}");
    }
}

/// A town of two after some traffic, all of it delivered; and the data directory of one of them as it was before half of
/// it, put back. What that one has forgotten is missed.
fn forgets(victim: Part) -> Vec<Rule> {
    let mut town = Town::new(2, TCP_X25519, Hosting::Apart { alone: true }).unwrap();
    town.talk(5, usize::MAX);
    assert!(town.launch(Part::Relay, Link::Town, None).unwrap());
    let copy = town.folder().join("copy");
    let Part::Person(who) = victim else { panic!("a person") };
    town.start(WRITER).unwrap();
    town.start(READER).unwrap();
    town.meet().unwrap();
    for half in 0..2 {
        town.news.change(|state| state.people.iter_mut().for_each(|presence| presence.to_say = 20));
        heal(&mut town).unwrap();
        town.kill_part(victim).unwrap();
        if half == 0 {
            copy_folder(town.data(victim), &copy);
            town.start(who).unwrap();
        }
    }
    for other in town.people().filter(|other| *other != who) {
        town.look(other, Depth::Due).unwrap();
    }
    assert_eq!(town.news.read().ledger.violations(), [], "before anybody forgets");
    let data = town.data(victim).to_owned();
    std::fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data);
    assert!(town.launch(victim, Link::Nowhere, None).unwrap());
    town.look(who, Depth::Due).unwrap();
    let state = town.news.read();
    state.ledger.violations().iter().map(|violation| violation.rule).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The control: a store that forgets what it had acknowledged is found out, by real programs.
#[test]
fn who_forgets_what_was_delivered_is_found_out() {
    for who in [WRITER, READER] {
        let rules = forgets(Part::Person(who));
        assert!(rules.contains(&Rule::Lost), "{who}: {rules:?}");
    }
}
