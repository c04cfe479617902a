//! From the start of a process to `ready`, with an identity that exists.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::lab::{Lab, PATIENCE, short};
use crate::node::Node;
use crate::process::Running;
use crate::report::{Cell, Table, figure};
use crate::stats::{Samples, over_rounds};
use crate::{Fault, Plan};

/// Starts of a round, of each kind.
const STARTS: usize = 10;
/// A program that does nothing: what the system takes to start and end a process.
const NOTHING: &str = "/bin/true";

/// One round, in milliseconds.
#[derive(Default)]
struct Round {
    ready: Samples,
    linked: Samples,
}

impl Round {
    fn add(&mut self, command: Command) -> Result<(), Fault> {
        let node = Node::start(command)?;
        let deadline = Instant::now() + PATIENCE;
        for (wanted, samples) in [("ready", &mut self.ready), ("link.up", &mut self.linked)] {
            let at = node.lines.find(deadline, wanted, |line| line.notification(wanted).map(|_| line.at))?;
            samples.push_ms(at - node.started);
        }
        node.leave()
    }
}

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let labs = plan.profiles.iter().map(|profile| Lab::open(&plan.program, profile));
    let labs = labs.collect::<Result<Vec<_>, _>>()?;
    for lab in &labs {
        let (alice, bob) = lab.couple()?;
        alice.leave()?;
        bob.leave()?;
    }
    let mut floors = Vec::new();
    let mut joins: Vec<Vec<Round>> = labs.iter().map(|_| Vec::new()).collect();
    let mut hosts: Vec<Vec<Round>> = labs.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        let mut floor = Samples::default();
        let mut joining: Vec<Round> = labs.iter().map(|_| Round::default()).collect();
        let mut hosting: Vec<Round> = labs.iter().map(|_| Round::default()).collect();
        for _ in 0..STARTS {
            floor.push_ms(nothing()?);
            for (lab, round) in labs.iter().zip(&mut joining) {
                round.add(lab.client("alice", "jsonrpc"))?;
            }
            for (lab, round) in labs.iter().zip(&mut hosting) {
                round.add(lab.host("alice", "jsonrpc"))?;
            }
        }
        floors.push(floor);
        joins.iter_mut().zip(joining).for_each(|(rounds, round)| rounds.push(round));
        hosts.iter_mut().zip(hosting).for_each(|(rounds, round)| rounds.push(round));
    }
    let floor = over_rounds(&floors, Samples::median);
    let columns = ["start, ms", "ready p50", "ready max", "linked p50", "ready × floor"];
    let mut table = Table::new("start of the program with an existing identity, jsonrpc", &columns);
    table.row([
        format!("floor: {NOTHING}, start to end").into(),
        figure(floor, 1),
        figure(over_rounds(&floors, Samples::max), 1),
        Cell::Nothing,
        figure(1.0, 1),
    ]);
    for (kind, all) in [("joins a relay", &joins), ("hosts the relay", &hosts)] {
        for (lab, rounds) in labs.iter().zip(all) {
            let ready = over_rounds(rounds, |round| round.ready.median());
            table.row([
                format!("{}, {kind}", short(&lab.profile)).into(),
                figure(ready, 1),
                figure(over_rounds(rounds, |round| round.ready.max()), 1),
                figure(over_rounds(rounds, |round| round.linked.median()), 1),
                figure(ready / floor, 1),
            ]);
        }
    }
    Ok(table.note(format!("Medians of {} rounds of {STARTS} starts.", plan.rounds)))
}

fn nothing() -> Result<std::time::Duration, Fault> {
    let mut command = Command::new(NOTHING);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let mut child = Running::new(command.spawn()?);
    child.wait(PATIENCE)?;
    Ok(began.elapsed())
}
