//! alice → relay → bob → receipt, one message at a time, three processes on one machine.

use std::time::Instant;

use serde_json::Value;

use crate::floor::Floor;
use crate::lab::{Lab, PATIENCE, short};
use crate::node::{Line, Node, number, send_request, text, write};
use crate::report::{Cell, Table, figure};
use crate::stats::{Samples, over_rounds};
use crate::{Fault, Plan};

/// Turns of a round.
const TURNS: usize = 20;
/// Messages of a turn.
const MESSAGES: usize = 10;
/// Messages before the first round, not measured: every store's log has been full once, as the floor's.
const WARM_UP: usize = 300;

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
        talk(couple, WARM_UP, &mut Round::default())?;
    }
    let mut floors = Vec::new();
    let mut rounds: Vec<Vec<Round>> = labs.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        let folder = plan.program.folder()?;
        let mut floor = Floor::open(folder.path())?;
        let mut bare = Samples::default();
        let mut round: Vec<Round> = labs.iter().map(|_| Round::default()).collect();
        // What the disk is asked by others changes from second to second, so everybody takes short turns.
        for _ in 0..TURNS {
            for _ in 0..MESSAGES {
                bare.push_ms(floor.round_trip()?);
            }
            for (couple, round) in couples.iter_mut().zip(&mut round) {
                talk(couple, MESSAGES, round)?;
            }
        }
        floors.push(bare);
        rounds.iter_mut().zip(round).for_each(|(rounds, round)| rounds.push(round));
    }
    for (alice, bob) in couples {
        alice.leave()?;
        bob.leave()?;
    }
    let note = format!(
        "Medians of {} rounds of {} messages; ratios are of the same round.",
        plan.rounds,
        TURNS * MESSAGES
    );
    Ok(table(plan, &floors, &rounds).note(note))
}

fn table(plan: &Plan, floors: &[Samples], rounds: &[Vec<Round>]) -> Table {
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
    table.row([
        "floor: 5 synced SQLite commits, 4 TCP hops".into(),
        Cell::Nothing,
        Cell::Nothing,
        Cell::Nothing,
        figure(over_rounds(floors, Samples::median), 2),
        figure(over_rounds(floors, |round| round.percentile(99)), 2),
        figure(1.0, 2),
        figure(1.0, 2),
    ]);
    for (profile, rounds) in plan.profiles.iter().zip(rounds) {
        let p50 = |samples: fn(&Round) -> &Samples| figure(over_rounds(rounds, |it| samples(it).median()), 2);
        let pairs: Vec<(&Round, &Samples)> = rounds.iter().zip(floors).collect();
        let ratio = |percent| {
            figure(
                over_rounds(&pairs, |(it, bare)| it.receipt.percentile(percent) / bare.percentile(percent)),
                2,
            )
        };
        table.row([
            short(profile).into(),
            p50(|it| &it.committed),
            p50(|it| &it.stored),
            p50(|it| &it.arrived),
            p50(|it| &it.receipt),
            figure(over_rounds(rounds, |it| it.receipt.percentile(99)), 2),
            ratio(50),
            ratio(99),
        ]);
    }
    table
}

/// Sends messages, each after the receipt of the one before.
fn talk((alice, bob): &mut (Node, Node), count: usize, round: &mut Round) -> Result<(), Fault> {
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
    Ok(())
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
