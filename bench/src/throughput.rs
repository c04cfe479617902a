//! Messages a second one way, as many in flight as the program takes.

use std::thread;
use std::time::{Duration, Instant};

use crate::floor;
use crate::lab::{Lab, PATIENCE, short};
use crate::node::{Node, number, send_request, text, write};
use crate::process::Usage;
use crate::report::{Table, figure};
use crate::stats::over_rounds;
use crate::{Fault, Plan};

/// Messages of a round.
const MESSAGES: usize = 3_000;
/// Between two rounds: a relay takes bursts and refills its allowance meanwhile, so that the program is measured and
/// not the limit.
const REST: Duration = Duration::from_secs(1);

struct Round {
    /// Messages a second that bob has, and whose receipts alice has.
    arrived: f64,
    receipts: f64,
    /// The same of the floor, just before.
    floor: f64,
    /// Processor time a message in µs: alice, relay, bob.
    cpu_us: [f64; 3],
}

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let labs = plan.profiles.iter().map(|profile| Lab::open(&plan.program, profile));
    let labs = labs.collect::<Result<Vec<_>, _>>()?;
    let mut couples = labs.iter().map(Lab::couple).collect::<Result<Vec<_>, _>>()?;
    let mut rounds: Vec<Vec<Round>> = labs.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for ((lab, couple), rounds) in labs.iter().zip(&mut couples).zip(&mut rounds) {
            thread::sleep(REST);
            let folder = plan.program.folder()?;
            let floor = floor::stream(folder.path(), MESSAGES / floor::BATCH)?;
            rounds.push(round(lab, couple, floor)?);
        }
    }
    for (alice, bob) in couples {
        alice.leave()?;
        bob.leave()?;
    }
    let note = format!(
        "Medians of {} rounds of {MESSAGES} messages; ratios are of the same round. Floor: the same way with nothing but \
         SQLite and TCP, {} messages in a synced commit, nothing sealed, no receipts.",
        plan.rounds,
        floor::BATCH
    );
    Ok(table(plan, &rounds).note(note))
}

fn table(plan: &Plan, rounds: &[Vec<Round>]) -> Table {
    let columns = [
        "one way",
        "messages/s at bob",
        "receipts/s at alice",
        "floor, messages/s",
        "× floor",
        "alice CPU µs/message",
        "relay CPU µs/message",
        "bob CPU µs/message",
    ];
    let mut table = Table::new("messages a second, one way", &columns);
    for (profile, rounds) in plan.profiles.iter().zip(rounds) {
        let [alice, relay, bob] = [0, 1, 2].map(|who| over_rounds(rounds, |round| round.cpu_us[who]));
        table.row([
            short(profile).into(),
            figure(over_rounds(rounds, |round| round.arrived), 0),
            figure(over_rounds(rounds, |round| round.receipts), 0),
            figure(over_rounds(rounds, |round| round.floor), 0),
            figure(over_rounds(rounds, |round| round.arrived / round.floor), 2),
            figure(alice, 0),
            figure(relay, 0),
            figure(bob, 0),
        ]);
    }
    table
}

fn round(lab: &Lab, (alice, bob): &mut (Node, Node), floor: f64) -> Result<Round, Fault> {
    // What was left over from before is not of this round.
    while alice.lines.try_next().is_some() || bob.lines.try_next().is_some() {}
    let pids = [alice.pid(), lab.relay_pid(), bob.pid()];
    let looks = || pids.into_iter().map(Usage::of).collect::<Result<Vec<_>, _>>();
    let requests: Vec<Vec<u8>> = (0..MESSAGES).map(|n| send_request(n as u64, "bob", &text(n))).collect();
    let before = looks()?;
    let began = Instant::now();
    let deadline = began + 2 * PATIENCE;
    let Node { input, lines, process, .. } = alice;
    let (receipts, arrived) = thread::scope(|scope| {
        let receipts = scope.spawn(move || {
            let mut missing = MESSAGES;
            lines.find(deadline, "all receipts", |line| {
                missing -= usize::from(line.notification("msg.status")?["state"] == "delivered");
                (missing == 0).then_some(line.at)
            })
        });
        let writing = scope.spawn(|| requests.iter().try_for_each(|request| write(input, request)));
        let arrived = bob.lines.find(deadline, "the last message", |line| {
            (number(line.notification("msg.new")?)? == MESSAGES - 1).then_some(line.at)
        });
        let gone = |_| Fault::from("a thread of the measurement failed");
        let receipts = receipts.join().map_err(gone)?;
        if arrived.is_err() || receipts.is_err() {
            // A program that no longer reads would hold up the thread that writes for ever.
            process.kill();
        }
        writing.join().map_err(gone)??;
        Ok::<_, Fault>((receipts?, arrived?))
    })?;
    let cpu_us: Vec<f64> = looks()?
        .iter()
        .zip(&before)
        .map(|(now, before)| now.since(before).cpu.as_secs_f64() * 1e6 / MESSAGES as f64)
        .collect();
    let rate = |at: Instant| MESSAGES as f64 / (at - began).as_secs_f64();
    let cpu_us = <[f64; 3]>::try_from(cpu_us).map_err(|_| "a process is missing")?;
    Ok(Round { arrived: rate(arrived), receipts: rate(receipts), floor, cpu_us })
}
