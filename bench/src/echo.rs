//! From a key press to its echo on the screen of the `tui`, quiet and while a peer floods the room that is shown.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::flood::{Flood, Flooded};
use crate::lab::{Lab, PATIENCE, short};
use crate::node::Node;
use crate::report::{Cell, Table, figure};
use crate::screen::Screen;
use crate::stats::{Samples, over_rounds};
use crate::{Fault, Plan};

/// Key presses of a round.
const KEYS: usize = 200;
/// Messages a second of the flood.
const FLOOD: f64 = 1_000.0;
/// What an echo should take at most.
const GOAL_MS: f64 = 10.0;
/// Before the first key: until the flood is in full flow, or the screen quiet.
const SETTLE: Duration = Duration::from_secs(1);
/// Letters that neither a message nor the screen itself has.
const LETTERS: &str = "бгджзийклпфцчшщъыьэюя";

/// One round: echoes in milliseconds.
#[derive(Default)]
struct Round {
    /// Of a program that only copies its input, on another terminal, key by key in turn with the others.
    bare: Samples,
    echo: Samples,
    flood: Option<Flooded>,
}

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let columns = [
        "echo, ms",
        "p50",
        "p95",
        "max",
        "within 10 ms, %",
        "p50 × floor",
        "flood, messages/s",
        "delivered/s",
    ];
    let mut table = Table::new("key press to echo, tui on a terminal of 80 × 24", &columns);
    for profile in &plan.profiles {
        let lab = Lab::open(&plan.program, profile)?;
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..plan.rounds {
            for (is_flooded, rounds) in [false, true].into_iter().zip(&mut rounds) {
                rounds.push(round(&lab, is_flooded)?);
            }
        }
        for (name, rounds) in ["quiet", "flooded"].into_iter().zip(&rounds) {
            let name = format!("{}, {name}", short(profile));
            row(&mut table, &format!("floor beside {name}"), rounds, |round| &round.bare);
            row(&mut table, &name, rounds, |round| &round.echo);
        }
    }
    let note = format!(
        "Medians of {} rounds of {KEYS} keys; floor: `cat` on a terminal in raw mode, key by key in turn.",
        plan.rounds
    );
    Ok(table.note(note))
}

fn row(table: &mut Table, name: &str, rounds: &[Round], samples: fn(&Round) -> &Samples) {
    let over = |of: &dyn Fn(&Samples) -> f64| over_rounds(rounds, |round| of(samples(round)));
    let rate = |of: fn(&Flooded) -> f64| {
        let rates: Vec<f64> = rounds.iter().filter_map(|round| round.flood.as_ref().map(of)).collect();
        if rates.is_empty() { Cell::Nothing } else { figure(over_rounds(&rates, |rate| *rate), 0) }
    };
    table.row([
        name.into(),
        figure(over(&Samples::median), 2),
        figure(over(&|it| it.percentile(95)), 2),
        figure(over(&Samples::max), 2),
        figure(over(&|it| it.percent_within(GOAL_MS)), 1),
        figure(over_rounds(rounds, |round| samples(round).median() / round.bare.median()), 1),
        rate(|flood| flood.sent),
        rate(|flood| flood.delivered),
    ]);
}

fn round(lab: &Lab, is_flooded: bool) -> Result<Round, Fault> {
    let mut bare = Command::new("sh");
    bare.args(["-c", "stty raw -echo; echo begin; exec cat"]);
    let mut bare = Screen::start(bare)?;
    bare.shows("begin", Instant::now() + PATIENCE)?;
    let alice = Node::start(lab.client("alice", "jsonrpc"))?;
    let mut tui = Screen::start(lab.client("bob", "tui"))?;
    lab.meet(&alice, "bob")?;
    let flood = match is_flooded {
        true => Some(Flood::begin(alice, "#lobby", FLOOD)?),
        false => None,
    };
    tui.watch(SETTLE);
    let mut round = Round::default();
    for (n, letter) in LETTERS.chars().cycle().take(KEYS).enumerate() {
        bare.watch(Duration::ZERO);
        round.bare.push_ms(bare.echo(letter)?);
        round.echo.push_ms(tui.echo(letter)?);
        // The input line stays short, and the next letter is another one.
        tui.press("\x7f")?;
        // In no step with anything that repeats.
        tui.watch(Duration::from_micros(20_000 + (n as u64 * 7_919) % 20_000));
    }
    round.flood = flood.map(Flood::end).transpose()?;
    Ok(round)
}
