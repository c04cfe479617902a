//! The time of trouble: messages, weather, and faults of machines, each when its time has come.

use std::sync::PoisonError;
use std::time::Duration;

use impair::Impairment;
use tokio::time::{Instant, sleep_until};

use super::schedule::Due;
use super::{World, watched};
use crate::disk::{DiskError, Operation};
use crate::net::{Ending, Net};
use crate::person::Person;
use crate::plan::{Fault, Hosting, usize_of};
use crate::post::NUMBER;

/// How long a program stays down, at most.
const DOWN_MS: u64 = 8_000;
/// How long a path stays cut, at most.
const CUT_MS: u64 = 30_000;
/// How many changes of a disk may pass before the power goes in the middle of one.
const CHANGES: u64 = 60;

impl World {
    /// Waits for the next thing and lets it happen.
    pub(super) async fn trouble(&mut self, until: Instant) {
        if self.schedule.is_empty() {
            self.begin_trouble();
        }
        let next = self.schedule.next_at().map_or(until, |at| at.min(until));
        let downs = std::sync::Arc::clone(&self.downs);
        tokio::select! {
            biased;
            () = downs.news.notified() => {}
            () = sleep_until(next) => {}
        }
        self.take_down().await;
        while let Some(due) = self.schedule.pop(Instant::now()) {
            self.happen(due).await;
            self.take_down().await;
        }
        self.look();
        if Instant::now() >= until {
            self.schedule.clear();
        }
    }

    fn begin_trouble(&mut self) {
        self.plan_in(self.plan.send_every_ms, Due::Say);
        if self.plan.rooms_every_ms > 0 {
            self.plan_in(self.plan.rooms_every_ms, Due::Room);
        }
        if self.plan.fault_every_ms > 0 && !self.plan.faults.is_empty() {
            self.plan_in(self.plan.fault_every_ms, Due::Fault);
        }
        let post = Net::address(NUMBER);
        let people: Vec<_> = self.people.iter().map(|person| person.address).collect();
        for person in people {
            for (from, to) in [(person, post), (post, person)] {
                self.plan_in(self.plan.weather.change_every_ms, Due::Weather(from, to));
            }
        }
    }

    /// Plans something for a time from now that has this mean.
    fn plan_in(&mut self, mean_ms: u64, due: Due) {
        let wait = Duration::from_millis(1 + self.rng.below(2 * mean_ms));
        self.schedule.plan(Instant::now() + wait, due);
    }

    async fn happen(&mut self, due: Due) {
        match due {
            Due::Say => {
                self.say();
                self.plan_in(self.plan.send_every_ms, Due::Say);
            }
            Due::Room => {
                self.act_in_room();
                self.plan_in(self.plan.rooms_every_ms, Due::Room);
            }
            Due::Weather(from, to) => {
                let path = self.plan.weather.draw(&mut self.rng);
                self.net.set(from, to, &path);
                self.plan_in(self.plan.weather.change_every_ms, Due::Weather(from, to));
            }
            Due::Fault => {
                let which = usize_of(self.rng.below(self.plan.faults.len() as u64));
                let fault = self.plan.faults[which];
                self.fault(fault).await;
                self.plan_in(self.plan.fault_every_ms, Due::Fault);
            }
            Due::Start(who) => self.start(who).await,
        }
    }

    async fn fault(&mut self, fault: Fault) {
        let who = usize_of(self.rng.below(self.people.len() as u64));
        let changes = 1 + self.rng.below(CHANGES);
        let disk_error = if self.rng.chance(1, 2) { DiskError::Io } else { DiskError::Full };
        let operation = if self.rng.chance(1, 2) { Operation::Write } else { Operation::Sync };
        let post = self.people.len();
        let hosts = match self.plan.hosting {
            Hosting::Apart => None,
            Hosting::Auto => self.people.iter().position(Person::is_host),
        };
        // The relay's machine, which may be that of one of them.
        let relay = match hosts {
            Some(host) => &self.people[host].disk,
            None => &self.post.disk,
        };
        match fault {
            Fault::KillClient => self.people[who].disk.kill(),
            Fault::PowerClient => self.people[who].disk.crash(),
            Fault::CommitClient => self.people[who].disk.crash_at(changes),
            Fault::DiskClient => self.people[who].disk.fail_next(operation, disk_error),
            // Between two hosts there is no relay that could have a fault.
            Fault::KillRelay
            | Fault::PowerRelay
            | Fault::CommitRelay
            | Fault::DiskRelay
            | Fault::ReplaceRelay
                if hosts.is_none() && self.plan.hosting == Hosting::Auto => {}
            Fault::KillRelay => relay.kill(),
            Fault::PowerRelay => relay.crash(),
            Fault::CommitRelay => relay.crash_at(changes),
            Fault::DiskRelay => relay.fail_next(operation, disk_error),
            Fault::Leave => self.leave(who).await,
            Fault::ReplaceRelay => {
                if let Some(host) = hosts {
                    return self.leave(host).await;
                }
                let disk = watched(&mut self.rng, &self.downs, post);
                self.post.replace(disk).await;
                self.start(post).await;
            }
            Fault::Clock => {
                let most = i64::try_from(self.plan.skew_ms).unwrap_or(0);
                let skew = i64::try_from(self.rng.below(2 * self.plan.skew_ms + 1)).unwrap_or(0) - most;
                self.people[who].machine.set_skew_ms(skew);
            }
            Fault::Cut => self.cut(who, true, true),
            Fault::CutOneWay => {
                let up = self.rng.chance(1, 2);
                self.cut(who, up, !up);
            }
        }
    }

    /// Somebody leaves in good order.
    async fn leave(&mut self, who: usize) {
        self.look();
        self.people[who].leave(Duration::from_secs(2)).await;
        self.record.gone(who);
    }

    /// Cuts somebody's path to the relay until its next weather.
    fn cut(&mut self, who: usize, up: bool, down: bool) {
        let (person, post) = (self.people[who].address, Net::address(NUMBER));
        let until = Instant::now() + Duration::from_millis(1 + self.rng.below(CUT_MS));
        for (cut, from, to) in [(up, person, post), (down, post, person)] {
            if cut {
                self.net.set(from, to, &Impairment::CUT);
                self.schedule.plan(until, Due::Weather(from, to));
            }
        }
    }

    /// Machines whose disks went down are down, and start again after a while.
    pub(super) async fn take_down(&mut self) {
        let downs = std::mem::take(&mut *self.downs.who.lock().unwrap_or_else(PoisonError::into_inner));
        for who in downs {
            self.look();
            // A disk does not say whether it lost power, or only its process; its files do.
            let how = if self.rng.chance(1, 2) { Ending::Power } else { Ending::Process };
            match self.people.get_mut(who) {
                Some(person) => {
                    person.end(how);
                    self.record.gone(who);
                }
                None if self.post.disk.is_down() => self.post.end(how).await,
                // That of a relay which was replaced.
                None => continue,
            }
            self.plan_in(DOWN_MS / 2, Due::Start(who));
        }
    }

    /// Starts somebody's program, and takes what it shows first.
    pub(super) fn start_person(&mut self, who: usize) -> Result<(), client::StartError> {
        let person = &mut self.people[who];
        person.start()?;
        if let Some(running) = &person.running {
            self.record.started(who, person.name, &running.handle.snapshot());
        }
        Ok(())
    }

    /// Starts a program again, on what its disk holds.
    pub(super) async fn start(&mut self, who: usize) {
        let failed = match self.people.get(who) {
            Some(person) if person.running.is_some() => return,
            Some(person) => {
                let name = person.name;
                self.start_person(who).err().map(|error| format!("{name}: {error}"))
            }
            None if self.post.running.is_some() => return,
            None => self.post.start().await.err().map(|error| format!("the relay: {error:?}")),
        };
        let Some(failed) = failed else { return };
        let disk = self.people.get(who).map_or(&self.post.disk, |person| &person.disk);
        if disk.counters().failures > 0 && !disk.is_down() {
            // A fault that was ordered has hit the start: the next one must succeed.
            disk.forget_faults();
            self.plan_in(DOWN_MS / 2, Due::Start(who));
            return;
        }
        if !disk.is_down() {
            self.record.violated("P9", format!("does not start again: {failed}"));
        }
    }
}
