//! One seed from beginning to end: everybody meets, things go wrong, all is well again, and everything is checked.

mod faults;
mod rooms;
mod schedule;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_core::api::LinkState;
use chat_core::api::command::{Command, Destination, Send};
use chat_core::api::handle::Lagged;
use impair::Impairment;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::check::{Final, brief, check, is_settled};
use crate::disk::Disk;
use crate::machine::Machine;
use crate::net::{Ending, Net};
use crate::panics;
use crate::person::{LOBBY, Person};
use crate::plan::{Hosting, NAMES, Plan, usize_of};
use crate::post::{NUMBER, Post};
use crate::record::{Answer, Histories, Place, Record, Said, Violation};
use crate::rng::Rng;
use crate::rooms::{Members, Room};
use schedule::Schedule;

/// How long everybody may take to meet on a network without faults.
const MEETING: Duration = Duration::from_secs(60);
/// How long everything may take to arrive once all is well again.
const HEALING: Duration = Duration::from_secs(15 * 60);
/// The same, where there were closed rooms: who was long away is told again after a pause that doubles, up to an hour.
const ROOM_HEALING: Duration = Duration::from_secs(150 * 60);
/// After this a hole in a conversation is shown.
const HOLD: Duration = Duration::from_secs(40);
/// Most violations that are told of one seed.
const MAX_VIOLATIONS: usize = 8;
/// A path in order.
const WELL: Impairment = Impairment { delay: Duration::from_millis(5), ..Impairment::NONE };

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// What the seed stood for.
    pub plan: Plan,
    /// What must not have happened, the first of it; empty if all is well.
    pub violations: Vec<Violation>,
    /// Everything that happened, as one number.
    pub trace: u64,
    /// Figures of the run.
    pub figures: Figures,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Texts that were committed.
    pub messages: u64,
    /// Messages of others that were shown.
    pub received: u64,
    /// Datagrams and segments that arrived.
    pub packets: u64,
    /// Times a program was started.
    pub starts: u64,
    /// Power cuts and kills of disks.
    pub crashes: u64,
    /// How often somebody else became the relay, the first one included.
    pub hosts: u64,
    /// How long it took until all had arrived after the trouble.
    pub healing: Duration,
}

/// Something that is broken on purpose, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Disks say that they have synced, and have not.
    LyingDisks,
    /// A task panics that nobody waits for.
    Panic,
}

/// Runs a plan. Everything in it happens in this thread, on a clock of its own.
pub fn run(plan: Plan) -> Outcome {
    run_with(plan, None)
}

/// The same with something broken on purpose.
pub fn run_with(plan: Plan, sabotage: Option<Sabotage>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap_or_else(|error| panic!("a runtime without IO needs nothing: {error}"));
    panics::begin();
    let mut outcome = runtime.block_on(async {
        let mut world = World::new(plan);
        if sabotage == Some(Sabotage::Panic) {
            drop(tokio::spawn(async { panic!("by order") }));
        }
        if sabotage == Some(Sabotage::LyingDisks) {
            world.people.iter().for_each(|person| person.disk.set_lying(true));
        }
        let healing = world.live().await;
        world.outcome(healing)
    });
    // What a node left behind ends with its runtime.
    drop(runtime);
    let panicked = panics::end().into_iter().map(|what| Violation { promise: "P10", what });
    outcome.violations.splice(0..0, panicked);
    outcome.violations.truncate(MAX_VIOLATIONS);
    outcome
}

/// Who went down: people by their index, the relay last.
#[derive(Default)]
struct Downs {
    who: Mutex<Vec<usize>>,
    news: Notify,
}

/// Worlds of this process so far: links in memory are found by a name that no two relays may have.
static WORLDS: AtomicU64 = AtomicU64::new(0);

struct World {
    plan: Plan,
    rng: Rng,
    net: Net,
    post: Post,
    people: Vec<Person>,
    record: Record,
    downs: Arc<Downs>,
    schedule: Schedule,
    said: u64,
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed ^ 0x5eed);
        let origin = Instant::now();
        let net = Net::start(rng.next_u64(), origin);
        let machine = |rng: &mut Rng| {
            let skew = i64::try_from(rng.below(2 * plan.skew_ms + 1)).unwrap_or(0);
            Machine::new(origin, rng.next_u64(), skew - i64::try_from(plan.skew_ms).unwrap_or(0))
        };
        let downs = Arc::new(Downs::default());
        let name = format!("simulation-{}-{}", plan.seed, WORLDS.fetch_add(1, Ordering::Relaxed));
        let (clock, disk) = (machine(&mut rng), watched(&mut rng, &downs, plan.people));
        let post = Post::new(clock, disk, plan.stack, net.clone(), &name);
        let mut people = Vec::new();
        for (index, name) in NAMES.iter().enumerate().take(plan.people) {
            let (clock, disk) = (machine(&mut rng), watched(&mut rng, &downs, index));
            let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
            let (stack, relay) = ((plan.stack, plan.hosting), post.dial_address());
            people.push(Person::new(name, number, clock, disk, stack, relay, net.clone()));
        }
        let ids = people.iter().map(Person::id).collect();
        let (record, schedule) = (Record::new(name, ids), Schedule::default());
        Self { plan, rng, net, post, people, record, downs, schedule, said: 0 }
    }

    async fn live(&mut self) -> Duration {
        self.heal_paths();
        self.meet().await;
        let troubled = Instant::now();
        while self.record.violations.is_empty() && troubled.elapsed() < self.plan.duration {
            self.trouble(troubled + self.plan.duration).await;
        }
        let healed = Instant::now();
        let finals = self.heal().await;
        let healing = healed.elapsed();
        self.power_cut_for_all(finals).await;
        healing
    }

    /// Everybody starts and sees everybody.
    async fn meet(&mut self) {
        if self.plan.hosting == Hosting::Apart
            && let Err(error) = self.post.start().await
        {
            self.record.violated("P9", format!("the relay does not start on an empty disk: {error:?}"));
        }
        for index in 0..self.people.len() {
            if let Err(error) = self.start_person(index) {
                let name = self.people[index].name;
                self.record.violated("P9", format!("{name} does not start on an empty disk: {error}"));
            }
        }
        let began = Instant::now();
        while !self.have_met() {
            if began.elapsed() > MEETING {
                self.record.violated("P2", "on a perfect network people do not meet".to_owned());
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.look();
    }

    fn have_met(&self) -> bool {
        self.people.iter().all(|person| {
            let Some(running) = &person.running else { return false };
            let snapshot = running.handle.snapshot();
            let lobby = snapshot.conversations.iter().find(|conversation| conversation.name == LOBBY);
            let members = lobby.and_then(|lobby| lobby.with.room()).map(|(_, members)| members.len());
            snapshot.link.state == LinkState::Up
                && members == Some(self.people.len())
                && snapshot.peers.len() >= self.people.len() - 1
        })
    }

    /// Takes what was shown and answered since the last look.
    fn look(&mut self) {
        for (index, person) in self.people.iter_mut().enumerate() {
            let Some(running) = &mut person.running else { continue };
            loop {
                match running.events.try_next() {
                    Some(Ok(numbered)) => self.record.event(index, person.name, &numbered.event),
                    Some(Err(Lagged::Behind { .. })) => {}
                    Some(Err(Lagged::Stopped)) | None => break,
                }
            }
        }
        let people = &self.people;
        self.record.answers(|who| !people[who].disk.is_down());
    }

    /// Somebody says something.
    fn say(&mut self) {
        let by = usize_of(self.rng.below(self.people.len() as u64));
        let others = self.people.len() - 1;
        let place = match self.rng.below(3) {
            0 => Place::Lobby,
            _ => Place::To((by + 1 + usize_of(self.rng.below(others as u64))) % self.people.len()),
        };
        let to = self.destination(place);
        self.say_at(by, place, to);
    }

    /// How a place is addressed.
    fn destination(&self, place: Place) -> Destination {
        match place {
            Place::Lobby => {
                Destination::try_from(LOBBY.to_owned()).unwrap_or_else(|error| panic!("{error:?}"))
            }
            Place::To(peer) => Destination::Peer(self.people[peer].id()),
            Place::Room(n) => Destination::Conversation(self.record.rooms[n].id),
        }
    }

    fn say_at(&mut self, by: usize, place: Place, to: Destination) {
        let length = usize_of(self.rng.below(self.plan.text_bytes));
        let Some(running) = &self.people[by].running else { return };
        self.said += 1;
        let text = format!("{} {}", self.said, "x".repeat(length));
        let send = Send { to, text: text.clone(), client_id: None };
        // A queue that is full, or a program that ends, takes nothing.
        if let Ok(answer) = running.handle.submit(Command::Send(send)) {
            self.record.say(by, place, text, answer);
        }
    }

    /// All is well again; everything must arrive. What everybody has then.
    async fn heal(&mut self) -> Vec<Final> {
        self.heal_paths();
        for disk in self.people.iter().map(|person| &person.disk).chain([&self.post.disk]) {
            disk.forget_faults();
        }
        self.take_down().await;
        self.start_everybody().await;
        let began = Instant::now();
        for looks in 1_u64.. {
            sleep(Duration::from_secs(5)).await;
            self.look();
            if !self.record.violations.is_empty() || began.elapsed() > self.patience() {
                break;
            }
            // To read everything takes long: as a rule it is done when all that was shown says it is worth it.
            let worth = self.record.looks_settled() || looks.is_multiple_of(6);
            if worth && self.rooms_agree() && is_settled(&self.finals().await) {
                sleep(HOLD).await;
                self.look();
                break;
            }
        }
        let finals = self.finals().await;
        check(&mut self.record, &finals);
        finals
    }

    /// What everybody has, survives.
    async fn power_cut_for_all(&mut self, before: Vec<Final>) {
        let lists = |world: &Self| -> Vec<Vec<Members>> {
            let of = |room: &Room| (0..world.people.len()).map(|who| room.members(who)).collect();
            world.record.rooms.iter().map(of).collect()
        };
        let members = lists(self);
        for person in &mut self.people {
            person.disk.crash();
            person.end(Ending::Power);
        }
        self.downs.who.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.start_everybody().await;
        let after = self.finals().await;
        if lists(self) != members {
            let what = format!("after a power cut members are {:?}, and were {members:?}", lists(self));
            self.record.violated("P9", what);
        }
        for (before, after) in before.iter().zip(&after) {
            let texts = |it: &Final| -> Vec<String> {
                it.histories.values().flatten().map(|shown| brief(&shown.text)).collect()
            };
            let (texts, now) = (texts(before), texts(after));
            if texts != now {
                let lost: Vec<_> = texts.iter().filter(|text| !now.contains(text)).collect();
                let new: Vec<_> = now.iter().filter(|text| !texts.contains(text)).collect();
                let what = format!("{} after a power cut has lost {lost:?} and got {new:?}", before.name);
                self.record.violated("P9", what);
            }
        }
    }

    async fn start_everybody(&mut self) {
        if self.plan.hosting == Hosting::Apart && self.post.running.is_none() {
            self.start(self.people.len()).await;
        }
        for index in 0..self.people.len() {
            // A program that could not make sure who its relay is, as over a network that changes bytes, ends and says so.
            // Its user starts it again.
            if self.people[index].has_ended() {
                self.people[index].leave(Duration::from_secs(1)).await;
            }
            if self.people[index].running.is_none() {
                self.start(index).await;
            }
        }
    }

    /// What everybody has.
    async fn finals(&self) -> Vec<Final> {
        let mut finals = Vec::new();
        for (index, person) in self.people.iter().enumerate() {
            let mut histories = Histories::new();
            if let Some(running) = &person.running {
                let others = (0..self.people.len()).filter(|&other| other != index).map(Place::To);
                let rooms = (0..self.record.rooms.len()).map(Place::Room);
                for place in [Place::Lobby].into_iter().chain(others).chain(rooms) {
                    let to = self.destination(place);
                    if let Ok(shown) = running.history(&to).await {
                        histories.insert(place, shown);
                    }
                }
            }
            finals.push(Final { name: person.name, id: person.id(), histories });
        }
        finals
    }

    fn heal_paths(&self) {
        let post = Net::address(NUMBER);
        for person in &self.people {
            self.net.set(person.address, post, &WELL);
            self.net.set(post, person.address, &WELL);
        }
    }

    fn outcome(self, healing: Duration) -> Outcome {
        let Self { plan, net, post, people, record, .. } = self;
        let committed = |said: &&Said| matches!(said.answer, Answer::Committed(_));
        let disks = || people.iter().map(|person| &person.disk).chain([&post.disk]);
        let figures = Figures {
            messages: record.said.iter().filter(committed).count() as u64,
            received: record.received.len() as u64,
            packets: net.arrived().0,
            starts: people.iter().map(|person| u64::from(person.starts)).sum(),
            crashes: disks().map(|disk| disk.counters().crashes).sum(),
            hosts: record.hosts.len() as u64,
            healing,
        };
        let shown = record.trace();
        let trace = net.trace() ^ shown.rotate_left(32);
        Outcome { plan, violations: record.violations, trace, figures }
    }
}

/// A disk that tells when it goes down.
fn watched(rng: &mut Rng, downs: &Arc<Downs>, who: usize) -> Arc<Disk> {
    let disk = Disk::new(rng.next_u64());
    let downs = Arc::downgrade(downs);
    disk.on_down(move || {
        if let Some(downs) = downs.upgrade() {
            downs.who.lock().unwrap_or_else(PoisonError::into_inner).push(who);
            downs.news.notify_one();
        }
    });
    disk
}
