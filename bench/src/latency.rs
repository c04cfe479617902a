//! alice → relay → bob → receipt, one message at a time, three processes on one machine.

use std::time::Instant;

use serde_json::Value;

use crate::lab::{Lab, PATIENCE, short};
use crate::node::{Line, Node, number, send_request, text, write};
use crate::report::{Cell, Table, figure};
use crate::stats::{Samples, over_rounds};
use crate::{Fault, Plan, floor};

/// Messages of a round.
const MESSAGES: usize = 200;
/// Messages before the first round, not measured.
const WARM_UP: usize = 30;

/// One round of one profile: milliseconds since alice's request was written.
#[derive(Default)]
struct Round {
    /// It is durable at alice, and answered.
    committed: Samples,
    /// alice knows that it is durable at the relay.
    stored: Samples,
    /// bob's frontend has it, and it is durable there.
    arrived: Samples,
    /// alice has the receipt.
    receipt: Samples,
}

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let labs = plan.profiles.iter().map(|profile| Lab::open(&plan.program, profile));
    let labs = labs.collect::<Result<Vec<_>, _>>()?;
    let mut couples = labs.iter().map(Lab::couple).collect::<Result<Vec<_>, _>>()?;
    for couple in &mut couples {
        round(couple, WARM_UP)?;
    }
    let mut floors = Vec::new();
    let mut rounds: Vec<Vec<Round>> = labs.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        let folder = plan.program.folder()?;
        floors.push(floor::round_trips(folder.path(), MESSAGES)?);
        for (couple, rounds) in couples.iter_mut().zip(&mut rounds) {
            rounds.push(round(couple, MESSAGES)?);
        }
    }
    let floor_p50 = over_rounds(&floors, Samples::median);
    let floor_p99 = over_rounds(&floors, |round| round.percentile(99));
    let columns = [
        "latency, ms",
        "committed p50",
        "stored p50",
        "at bob p50",
        "receipt p50",
        "receipt p99",
        "p50 × floor",
        "p99 × floor",
    ];
    let mut table = Table::new("alice → relay → bob → receipt", &columns);
    let nothing = || Cell::Nothing;
    table.row([
        "floor: 5 synced SQLite commits, 4 TCP hops".into(),
        nothing(),
        nothing(),
        nothing(),
        figure(floor_p50, 2),
        figure(floor_p99, 2),
        figure(1.0, 2),
        figure(1.0, 2),
    ]);
    for (lab, rounds) in labs.iter().zip(&rounds) {
        let p50 = over_rounds(rounds, |round| round.receipt.median());
        let p99 = over_rounds(rounds, |round| round.receipt.percentile(99));
        table.row([
            short(&lab.profile).into(),
            figure(over_rounds(rounds, |round| round.committed.median()), 2),
            figure(over_rounds(rounds, |round| round.stored.median()), 2),
            figure(over_rounds(rounds, |round| round.arrived.median()), 2),
            figure(p50, 2),
            figure(p99, 2),
            figure(p50 / floor_p50, 2),
            figure(p99 / floor_p99, 2),
        ]);
    }
    for (alice, bob) in couples {
        alice.leave()?;
        bob.leave()?;
    }
    Ok(table.note(format!("Medians of {} rounds of {MESSAGES} messages.", plan.rounds)))
}

fn round((alice, bob): &mut (Node, Node), count: usize) -> Result<Round, Fault> {
    let mut round = Round::default();
    for n in 0..count {
        let deadline = Instant::now() + PATIENCE;
        let request = send_request(n as u64, "bob", &text(n));
        let began = Instant::now();
        write(&mut alice.input, &request)?;
        let sent = Sent::follow(alice, n, deadline)?;
        let arrived = bob.lines.find(deadline, "the message", |line| {
            (number(line.notification("msg.new")?)? == n).then_some(line.at)
        })?;
        round.committed.push_ms(sent.committed - began);
        round.stored.push_ms(sent.stored - began);
        round.arrived.push_ms(arrived - began);
        round.receipt.push_ms(sent.delivered - began);
    }
    Ok(round)
}

/// When alice knew what of a message.
struct Sent {
    committed: Instant,
    stored: Instant,
    delivered: Instant,
}

impl Sent {
    /// Reads what alice says until the message is delivered. Nothing else is on its way.
    fn follow(alice: &Node, request: usize, deadline: Instant) -> Result<Self, Fault> {
        let (mut committed, mut stored, mut delivered) = (None, None, None);
        loop {
            let line = alice.lines.next(deadline, "the receipt")?;
            if line.value["id"] == request as u64 {
                if line.value["error"] != Value::Null {
                    return Err(format!("a message was not taken: {}", line.value["error"]).into());
                }
                committed = Some(line.at);
            }
            match state(&line) {
                Some("stored") => stored = Some(line.at),
                Some("delivered") => delivered = Some(line.at),
                _ => {}
            }
            if let (Some(committed), Some(delivered)) = (committed, delivered) {
                // The receipt may overtake the relay's word.
                return Ok(Self { committed, stored: stored.unwrap_or(delivered), delivered });
            }
        }
    }
}

fn state(line: &Line) -> Option<&str> {
    line.notification("msg.status")?["state"].as_str()
}
