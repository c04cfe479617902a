//! A disk that fills up in the middle: the relay's, the writer's or the reader's data directory is on a small `tmpfs`, which
//! a ballast leaves little room on. What it holds back is given back later, to a program that is still running or to
//! the next one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::means::mount_tmpfs;
use chat_tests::profiles::TCP_X25519;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::Fault;
use crate::calls::{READER, WRITER, recover};
use crate::ledger::{Depth, Rule};
use crate::news::State;
use crate::report::Report;
use crate::town::{Hosting, Link, Part, Town};

/// All of it; a database and its log have room here as long as there is no ballast.
const SIZE: &str = "size=64m,mode=700";
/// Room that is left at first starts: for nothing, for a key, for half of a database.
const FIRST_ROOMS_KIB: &[u64] = &[0, 4, 8, 16, 32, 64, 128, 256];
/// Messages that everybody writes in a round, their length, and most rounds: more than any room takes.
const MESSAGES: u32 = 20;
const LEN: u32 = 3000;
const ROUNDS: u32 = 200;

/// Who may run out of disk.
pub const VICTIMS: [Part; 3] = [Part::Relay, Part::Person(WRITER), Part::Person(READER)];
/// Room that is left in traffic, in KiB.
pub const ROOMS_KIB: &[u64] = &[4, 16, 40, 64, 100, 256, 700, 1500, 3000];

/// A mounted `tmpfs`, until dropped.
#[derive(Debug)]
pub struct Disk {
    folder: Option<TempDir>,
}

impl Disk {
    /// Mounts one. A fault if that is not allowed here.
    pub fn new() -> Result<Self, Fault> {
        let folder = tempfile::Builder::new().prefix("chat-crash-disk-").tempdir()?;
        mount_tmpfs(SIZE, folder.path())?;
        Ok(Self { folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("/"), TempDir::path)
    }

    /// Takes all but so much room.
    fn leave(&self, room_kib: u64) -> Result<(), Fault> {
        self.give_back()?;
        let stat = statvfs(self.path()).map_err(std::io::Error::from)?;
        let ballast = (stat.f_bavail * stat.f_frsize).saturating_sub(room_kib << 10);
        let file = File::create(self.ballast())?;
        if ballast > 0 {
            fallocate(&file, FallocateFlags::empty(), 0, ballast).map_err(std::io::Error::from)?;
        }
        Ok(())
    }

    fn give_back(&self) -> Result<(), Fault> {
        let ballast = self.ballast();
        if ballast.exists() {
            std::fs::remove_file(ballast)?;
        }
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn is_full(&self) -> bool {
        statvfs(self.path()).is_ok_and(|stat| stat.f_bavail == 0)
    }

    /// Stays mounted, for whoever looks into what went wrong. Where.
    fn keep(mut self) -> PathBuf {
        self.folder.take().map(TempDir::keep).unwrap_or_default()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // Lazily: also if somebody is still dying on it. If it fails, the folder can't be removed either, and both
            // are there to be seen.
            Command::new("umount").arg("-l").arg(folder.path()).status().ok();
        }
    }
}

/// First starts and then traffic, with these rooms on the disk of one of them.
pub fn run(victim: Part, rooms_kib: &[u64]) -> Result<Report, Fault> {
    let mut report = Report::default();
    // Dropped behind the town, whose programs are on it.
    let disk = Disk::new()?;
    if victim != Part::Person(READER) {
        first_starts(&disk, victim, &mut report)?;
    }
    if report.violations.is_empty() {
        work(&disk, victim, rooms_kib, &mut report)?;
    }
    if !report.violations.is_empty() {
        report.violations.push(format!("the disk is at {}", disk.keep().display()));
    }
    Ok(report)
}

/// A first start with too little room ends with an error, or not at all; the next one, with enough, gets ready.
fn first_starts(disk: &Disk, victim: Part, report: &mut Report) -> Result<(), Fault> {
    for room in FIRST_ROOMS_KIB {
        let mut town = Town::new(1, TCP_X25519, Hosting::Apart { alone: room % 3 == 0 })?;
        town.move_data(victim, disk.path().join(format!("first-{room}")));
        disk.leave(*room)?;
        town.forgiving = true;
        let ready = town.launch(victim, Link::Nowhere, None)?;
        report.failed += u32::from(!ready || disk.is_full());
        report.ended += u32::from(stop(&mut town, victim)?);
        disk.give_back()?;
        town.forgiving = false;
        if !town.launch(victim, Link::Nowhere, None)? {
            town.gone(victim)?;
        }
        report.close(town, &format!("a first start with {room} KiB"));
        if !report.violations.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The same people and the same data directories, room after room.
fn work(disk: &Disk, victim: Part, rooms_kib: &[u64], report: &mut Report) -> Result<(), Fault> {
    let mut town = Town::new(2, TCP_X25519, Hosting::Apart { alone: true })?;
    town.move_data(victim, disk.path().join("data"));
    town.talk(11, usize::MAX);
    town.news.change(|state| {
        state.ledger.relay_fails = victim == Part::Relay;
        state.people.iter_mut().for_each(|presence| presence.len = Some(LEN));
    });
    town.launch(Part::Relay, Link::Town, None)?;
    town.start(WRITER)?;
    town.start(READER)?;
    town.meet()?;
    let mut which = String::new();
    for (at, room) in rooms_kib.iter().enumerate() {
        which = format!("{room} KiB");
        town.kill_part(victim)?;
        if let Err(fault) = one(&mut town, disk, victim, (at, *room), report) {
            let what = format!("{fault}; open: {}", town.news.read().ledger.waiting());
            town.news.change(|state| state.ledger.broken(Rule::Stuck, what));
        }
        if !town.news.read().ledger.violations().is_empty() {
            break;
        }
    }
    if town.news.read().ledger.violations().is_empty() {
        for who in town.people() {
            town.look(who, Depth::Whole)?;
        }
        town.news.change(|state| state.ledger.close());
    }
    report.close(town, &which);
    Ok(())
}

/// Traffic until the disk is full; then there is room again, for the program that runs or, every other time, for the next
/// one, after one that was started on the full disk.
fn one(
    town: &mut Town,
    disk: &Disk,
    victim: Part,
    (at, room): (usize, u64),
    report: &mut Report,
) -> Result<(), Fault> {
    disk.leave(room)?;
    town.forgiving = true;
    if town.launch(victim, Link::Town, None)? {
        town.news.change(|state| {
            if let Part::Person(who) = victim {
                state.people[who].writing = true;
            }
        });
        traffic(town, disk, victim)?;
    }
    let runs = victim.is_alive(&town.news.read());
    report.failed += u32::from(!runs || disk.is_full());
    let carries_on = at % 2 == 0;
    if carries_on && runs {
        disk.give_back()?;
        town.news.wait("what a full disk kept back", |state| {
            let quiet = state.people.iter().all(|presence| presence.is_quiet());
            (!victim.is_alive(state) || (quiet && state.ledger.open() == 0)).then_some(())
        })?;
    }
    report.ended += u32::from(stop(town, victim)?);
    if !carries_on {
        town.launch(victim, Link::Nowhere, None)?;
        stop(town, victim)?;
    }
    disk.give_back()?;
    town.forgiving = false;
    recover(town, victim, at % 3 == 0)
}

/// Ends the victim if it has not ended by itself; whether it had.
fn stop(town: &mut Town, victim: Part) -> Result<bool, Fault> {
    let ended = !victim.is_alive(&town.news.read());
    if ended {
        town.gone(victim)?
    } else {
        town.kill_part(victim)?
    }
    Ok(ended)
}

/// Everybody writes, round by round, until the disk is full and all is answered, or the victim has ended.
fn traffic(town: &mut Town, disk: &Disk, victim: Part) -> Result<(), Fault> {
    for _ in 0..ROUNDS {
        town.news.change(|state| state.people.iter_mut().for_each(|presence| presence.to_say += MESSAGES));
        let over = town.news.wait("a round on a disk that fills up", |state: &mut State| {
            if !victim.is_alive(state) {
                return Some(true);
            }
            let answered = state.people.iter().all(|presence| presence.is_quiet());
            (answered && (state.ledger.open() == 0 || disk.is_full())).then(|| disk.is_full())
        })?;
        if over {
            return Ok(());
        }
    }
    Err("a disk does not fill up".into())
}
