//! Loops of traffic and `kill -9`: relay, senders, receivers and whoever hosts, one or several, at random moments, again
//! while they start, and looked into while they are cut off.

use std::thread;
use std::time::{Duration, Instant};

use chat_tests::Profile;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::ledger::{Depth, Rule, Tally, Violation};
use crate::news::{Presence, State};
use crate::town::{Hosting, Link, NICKS, Town};
use crate::{Fault, Who};

/// Longest time from the message that was to be waited for to the blow.
const AIM_MS: u64 = 40;
/// Longest time that somebody who was killed stays away.
const AWAY_MS: u64 = 400;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// The stack.
    pub profile: Profile,
    /// The people host; else a process of its own is the relay.
    pub auto: bool,
    /// Loops with the same people and their histories; then others come.
    pub loops: u64,
    /// Messages of a loop.
    pub messages: u64,
    /// Messages that somebody may have on their way.
    pub open: u64,
    /// What is tested.
    pub commit: String,
    /// Draws everything.
    pub seed: u64,
}

/// What a loop came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Outcome {
    pub commit: String,
    pub date: String,
    pub profile: String,
    pub auto: bool,
    pub seed: u64,
    /// Which one of its seed, from 0.
    pub turn: u64,
    /// How many were to be said in it; not noted in the loops of the first day.
    #[serde(default)]
    pub messages: u64,
    pub tally: Tally,
    pub kills: u64,
    /// Those of them that hit a relay: a process of its own, or whoever hosted. All others hit who writes and reads.
    #[serde(default)]
    pub relays: u64,
    pub seconds: u64,
}

impl Outcome {
    /// How many messages were to be said.
    pub fn wanted(&self) -> u64 {
        if self.messages == 0 { self.tally.said } else { self.messages }
    }
}

/// Who is killed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victims {
    Relay,
    Person(Who),
    /// Whoever is the relay just then.
    Host,
    RelayAnd(Who),
    Everybody,
    /// The relay and somebody who stays away until all others have what was shown to be stored.
    Testament(Who),
}

/// A blow.
#[derive(Debug, Clone)]
struct Strike {
    /// When so many answers and deliveries of the loop are there.
    at: u64,
    victims: Victims,
    aim: Duration,
    away: Duration,
    /// Killed again so long after being started, before anything is waited for.
    again: Vec<Duration>,
    /// Looked into while nobody can be reached.
    alone: bool,
}

/// Draws the blows of a loop, in their order.
fn strikes(chance: &mut Chance, options: &Options) -> Vec<Strike> {
    let people = NICKS.len() as u64;
    let mut strikes: Vec<Strike> = (0..chance.within(3, 7))
        .map(|_| {
            let who = chance.below(people) as Who;
            let victims = match (chance.below(10), options.auto) {
                (0..4, false) => Victims::Relay,
                (0..4, true) => Victims::Host,
                (4..7, _) => Victims::Person(who),
                (7, _) => Victims::Everybody,
                (8, false) => Victims::Testament(who),
                (_, false) => Victims::RelayAnd(who),
                (_, true) => Victims::Person(who),
            };
            Strike {
                at: chance.below(2 * options.messages * 19 / 20),
                victims,
                aim: chance.moment(AIM_MS),
                away: chance.moment(AWAY_MS),
                again: (0..chance.below(4).saturating_sub(1)).map(|_| chance.moment(300)).collect(),
                alone: chance.one_in(3),
            }
        })
        .collect();
    strikes.sort_by_key(|strike| strike.at);
    strikes
}

/// Runs all loops of a seed; `after` is told of each. What went wrong, and where everything of it was kept.
pub fn run(options: &Options, mut after: impl FnMut(Outcome)) -> Result<(), String> {
    let mut chance = Chance::of(options.seed, 1);
    let hosting = if options.auto { Hosting::Auto } else { Hosting::Apart { alone: chance.one_in(2) } };
    let mut town = Town::new(NICKS.len(), options.profile, hosting).map_err(|fault| fault.to_string())?;
    town.talk(options.seed, options.open as usize);
    let mut before = Tally::default();
    for turn in 0..options.loops {
        let (began, kills, relays) = (Instant::now(), town.kills, town.relays_killed);
        let mut chance = Chance::of(options.seed, 1000 + turn);
        let last = turn + 1 == options.loops;
        let result =
            settle(&mut town, turn, &mut chance).and_then(|()| one(&mut town, options, &mut chance, last));
        if let Err(fault) = result {
            let what = format!("{fault}; open: {}", town.news.read().ledger.waiting());
            town.news.change(|state| state.ledger.broken(Rule::Stuck, what));
        }
        let tally = town.news.read().ledger.tally;
        after(Outcome {
            commit: options.commit.clone(),
            date: crate::results::date(),
            profile: options.profile.name.to_owned(),
            auto: options.auto,
            seed: options.seed,
            turn,
            messages: options.messages,
            tally: since(before, tally),
            kills: town.kills - kills,
            relays: town.relays_killed - relays,
            seconds: began.elapsed().as_secs(),
        });
        before = tally;
        if tally.broken > 0 {
            return Err(report(options, turn, town));
        }
    }
    Ok(())
}

/// What went wrong, for people; keeps everything.
fn report(options: &Options, turn: u64, town: Town) -> String {
    let violations: Vec<String> =
        town.news.read().ledger.violations().iter().map(Violation::to_string).collect();
    let host = if options.auto { "auto" } else { "apart" };
    format!(
        "loop {turn} of seed {} failed:\n  {}\nagain: --seed {} --profile {} --host {host} --loops {} --per-town {} \
         --messages {} --open {}\nkept: {}",
        options.seed,
        violations.join("\n  "),
        options.seed,
        options.profile.name,
        options.loops,
        options.loops,
        options.messages,
        options.open,
        town.keep().display(),
    )
}

fn since(before: Tally, now: Tally) -> Tally {
    Tally {
        said: now.said - before.said,
        committed: now.committed - before.committed,
        refused: now.refused - before.refused,
        delivered: now.delivered - before.delivered,
        told: now.told - before.told,
        gaps: now.gaps - before.gaps,
        overtaken: now.overtaken - before.overtaken,
        revived: now.revived - before.revived,
        lost: now.lost - before.lost,
        doubled: now.doubled - before.doubled,
        broken: now.broken - before.broken,
    }
}

/// The first starts of everybody, with blows in the middle of them, until all know each other.
fn settle(town: &mut Town, turn: u64, chance: &mut Chance) -> Result<(), Fault> {
    if turn > 0 {
        return Ok(());
    }
    town.spawn_relay(None)?;
    if town.has_relay() && chance.one_in(2) {
        pass(chance.moment(100));
        town.kill(&[], true)?;
        town.spawn_relay(None)?;
    }
    if town.has_relay() && !town.relay_ready()? {
        return Err("the relay does not start".into());
    }
    for who in town.people() {
        for _ in 0..chance.below(3) {
            town.spawn(who, Link::Town, None)?;
            pass(chance.moment(400));
            town.kill(&[who], false)?;
        }
        town.start(who)?;
    }
    town.meet()
}

/// One loop: traffic and blows, then nobody is harmed any more and everything has to arrive.
fn one(town: &mut Town, options: &Options, chance: &mut Chance, last: bool) -> Result<(), Fault> {
    let base = town.news.change(|state| {
        let share = options.messages / NICKS.len() as u64;
        let rest = options.messages - share * NICKS.len() as u64;
        for (who, presence) in state.people.iter_mut().enumerate() {
            presence.to_say = share as u32 + if who == 0 { rest as u32 } else { 0 };
        }
        state.ledger.progress()
    });
    for strike in strikes(chance, options) {
        await_all(town, "traffic", |state| state.ledger.progress() - base >= strike.at)?;
        pass(strike.aim);
        deal(town, &strike)?;
    }
    heal(town)?;
    for who in town.people() {
        town.look(who, if last { Depth::Whole } else { Depth::Due })?;
    }
    if last {
        town.news.change(|state| state.ledger.close());
    }
    Ok(())
}

/// The moment of a blow is drawn, also in the middle of a start, where no message tells one moment from another. Nothing
/// is expected to have happened by then.
fn pass(moment: Duration) {
    thread::sleep(moment);
}

/// Waits until everything is said and delivered.
pub fn heal(town: &mut Town) -> Result<(), Fault> {
    await_all(town, "everything to be delivered", |state| {
        state.people.iter().all(Presence::is_quiet) && state.ledger.open() == 0
    })
}

/// Waits for something. Whoever was told that something was not told is asked for it, once there is nothing more to be
/// said by them: asked before, they would lag again.
fn await_all(town: &mut Town, what: &str, mut done: impl FnMut(&mut State) -> bool) -> Result<(), Fault> {
    loop {
        let lagging = town.news.wait(what, |state| {
            if done(state) {
                return Some(None);
            }
            let behind = |presence: &Presence| presence.alive && presence.lagged && presence.is_quiet();
            state.people.iter().position(behind).map(Some)
        })?;
        let Some(who) = lagging else { return Ok(()) };
        town.news.change(|state| state.people[who].lagged = false);
        town.look(who, Depth::Stored)?;
    }
}

fn deal(town: &mut Town, strike: &Strike) -> Result<(), Fault> {
    let apart = town.has_relay();
    let (people, relay): (Vec<Who>, bool) = match strike.victims {
        Victims::Relay => (vec![], true),
        Victims::Person(who) => (vec![who], false),
        Victims::Host => (host(town)?, false),
        Victims::RelayAnd(who) | Victims::Testament(who) => (vec![who], true),
        Victims::Everybody => (town.people().collect(), apart),
    };
    let hosts = people.iter().filter(|who| town.news.read().people[**who].hosting).count();
    town.relays_killed += hosts as u64;
    town.kill(&people, relay)?;
    pass(strike.away);
    if relay {
        for after in &strike.again {
            town.spawn_relay(None)?;
            pass(*after);
            town.kill(&[], true)?;
        }
        town.spawn_relay(None)?;
        if !town.relay_ready()? {
            return Err("the relay does not start again".into());
        }
    }
    if let Victims::Testament(who) = strike.victims {
        bequeathed(town, who)?;
    }
    for who in people {
        if strike.alone {
            look_alone(town, who)?;
        }
        for after in strike.again.iter().filter(|_| !relay) {
            town.spawn(who, Link::Town, None)?;
            pass(*after);
            town.kill(&[who], false)?;
        }
        town.start(who)?;
    }
    Ok(())
}

/// Whoever hosts; waits until somebody does.
fn host(town: &Town) -> Result<Vec<Who>, Fault> {
    town.news.wait("somebody to host", |state| {
        state.people.iter().position(|presence| presence.alive && presence.hosting).map(|who| vec![who])
    })
}

/// What somebody knows by themselves, right after the blow.
pub fn look_alone(town: &mut Town, who: Who) -> Result<(), Fault> {
    town.spawn(who, Link::Nowhere, None)?;
    if !town.ready(who)? {
        return Err(format!("{} does not start again: {}", NICKS[who], town.stderr_of(who)).into());
    }
    town.look(who, Depth::Due)?;
    town.kill(&[who], false)
}

/// What was shown to be stored arrives without its author, who is not there.
pub fn bequeathed(town: &mut Town, author: Who) -> Result<(), Fault> {
    let mut stored = town.news.read().ledger.stored_of(author);
    let arrived = |state: &mut State| {
        while stored.pop_if(|key| state.ledger.has_arrived(*key)).is_some() {}
        stored.is_empty()
    };
    await_all(town, "what was stored to arrive without its author", arrived).inspect_err(|_| {
        let what = format!("what {} was shown to be stored does not arrive", NICKS[author]);
        town.news.change(|state| state.ledger.broken(Rule::Lost, what));
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_tests::profiles::TCP_X25519;

    #[test]
    fn blows_are_the_same_for_a_seed_and_all_kinds_are_dealt() {
        let options = |auto| Options {
            profile: TCP_X25519,
            auto,
            loops: 1,
            messages: 100,
            open: 10,
            commit: String::new(),
            seed: 0,
        };
        let draw = |seed, auto| strikes(&mut Chance::of(seed, 1), &options(auto));
        assert_eq!(format!("{:?}", draw(1, false)), format!("{:?}", draw(1, false)));
        let all = |auto| (0..200).flat_map(|seed| draw(seed, auto)).collect::<Vec<_>>();
        for who in 0..NICKS.len() {
            for victims in [Victims::Person(who), Victims::RelayAnd(who), Victims::Testament(who)] {
                assert!(all(false).iter().any(|strike| strike.victims == victims), "{victims:?}");
            }
        }
        for victims in [Victims::Relay, Victims::Everybody] {
            assert!(all(false).iter().any(|strike| strike.victims == victims), "{victims:?}");
        }
        assert!(all(true).iter().any(|strike| strike.victims == Victims::Host));
        assert!(all(false).iter().any(|strike| strike.alone && !strike.again.is_empty()));
    }
}
