//! Our transports beside the bare libraries beneath them, all in one run: handshakes, round trips, bulk and memory on
//! loopback, and chat over a network that loses packets.
//!
//! Each server is a process of its own; both processes have one thread. Everybody stands beside the one that he is held
//! against and gets his turn just after it, in every other round before it; ratios are of the same round.

mod loss;
mod picture;
mod pipe;
mod server;
mod stack;
mod work;

pub(crate) use server::serve;
pub(crate) use stack::Stack;

use crate::report::{Cell, Table, figure};
use crate::stats::over_rounds;
use crate::{Fault, Plan, program};
use loss::{Delays, LOSSES};
use work::Found;

/// Of one stack, each round.
pub(crate) struct Row {
    stack: Stack,
    found: Vec<Found>,
    /// None for what is no stack that anybody would use.
    delays: Option<Vec<[Delays; LOSSES.len()]>>,
}

/// A figure of a round.
struct Figure {
    name: &'static str,
    ratio: &'static str,
    decimals: usize,
    of: fn(&Found) -> f64,
}

const EXCHANGES: [Figure; 4] = [
    Figure { name: "handshakes/s", ratio: "handshakes/s × peer", decimals: 0, of: |found| found.handshakes },
    Figure {
        name: "CPU µs of one",
        ratio: "CPU of one × peer",
        decimals: 0,
        of: |found| found.handshake_cpu_us,
    },
    Figure { name: "round trip µs", ratio: "round trip × peer", decimals: 1, of: |found| found.ping_us },
    Figure { name: "its CPU µs", ratio: "its CPU × peer", decimals: 1, of: |found| found.ping_cpu_us },
];

const LOADS: [Figure; 3] = [
    Figure { name: "bulk MB/s", ratio: "bulk × peer", decimals: 0, of: |found| found.bulk_mb },
    Figure { name: "CPU s/GB", ratio: "CPU × peer", decimals: 2, of: |found| found.cpu_s_per_gb },
    Figure { name: "KiB an idle link", ratio: "KiB × peer", decimals: 1, of: |found| found.idle_kib },
];

pub(crate) fn measure(plan: &Plan) -> Result<Vec<Table>, Fault> {
    let before = program::machine();
    let rows = rows(plan)?;
    if let Some(svg) = &plan.svg {
        let drawn = picture::draw(&rows, &before);
        std::fs::write(svg, drawn).map_err(|error| format!("{}: {error}", svg.display()))?;
    }
    let of = format!("Medians of {} rounds.", plan.rounds);
    Ok(vec![
        loopback("transports: handshakes and round trips on loopback", &EXCHANGES, &rows).note(of.clone()),
        loopback("transports: bulk and idle links on loopback", &LOADS, &rows).note(of.clone()),
        chat(&rows).note(of),
    ])
}

fn rows(plan: &Plan) -> Result<Vec<Row>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_used = |stack: &Stack| !matches!(stack, Stack::TcpFrames | Stack::TokioSnow);
    let row = |stack: &Stack| Row { stack: *stack, found: Vec::new(), delays: is_used(stack).then(Vec::new) };
    let mut rows: Vec<Row> = plan.stacks.iter().map(row).collect();
    let chatting: Vec<Stack> = plan.stacks.iter().copied().filter(is_used).collect();
    for round in 0..plan.rounds {
        let mut turns: Vec<&mut Row> = rows.iter_mut().collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for row in turns {
            let found = runtime.block_on(work::measure(row.stack));
            row.found.push(found.map_err(|error| format!("{}: {error}", row.stack.label()))?);
        }
        let delays = runtime.block_on(loss::measure(&chatting, round))?;
        for (of_row, delays) in rows.iter_mut().filter_map(|row| row.delays.as_mut()).zip(delays) {
            of_row.push(delays);
        }
    }
    Ok(rows)
}

fn peer_of<'a>(row: &Row, rows: &'a [Row]) -> Option<&'a Row> {
    rows.iter().find(|other| Some(other.stack) == row.stack.peer())
}

/// The median over the rounds of what is `of` one divided by what is of the other.
fn ratio<T>(ours: &[T], theirs: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let pairs: Vec<(&T, &T)> = ours.iter().zip(theirs).collect();
    over_rounds(&pairs, |(ours, theirs)| of(ours) / of(theirs))
}

fn loopback(title: &'static str, figures: &[Figure], rows: &[Row]) -> Table {
    let columns = figures.iter().flat_map(|figure| [figure.name, figure.ratio]);
    let columns: Vec<&str> = ["stack", "peer"].into_iter().chain(columns).collect();
    let mut table = Table::new(title, &columns);
    for row in rows {
        let peer = peer_of(row, rows);
        let mut cells: Vec<Cell> =
            vec![row.stack.label().into(), peer.map_or(Cell::Nothing, |peer| peer.stack.label().into())];
        for Figure { decimals, of, .. } in figures {
            cells.push(figure(over_rounds(&row.found, of), *decimals));
            cells.push(peer.map_or(Cell::Nothing, |peer| figure(ratio(&row.found, &peer.found, of), 2)));
        }
        table.cells(cells);
    }
    table
}

fn chat(rows: &[Row]) -> Table {
    const COLUMNS: [&str; 3 * LOSSES.len()] = [
        "0 %: p50",
        "0 %: p99",
        "0 %: p99 × peer",
        "1 %: p50",
        "1 %: p99",
        "1 %: p99 × peer",
        "5 %: p50",
        "5 %: p99",
        "5 %: p99 × peer",
        "10 %: p50",
        "10 %: p99",
        "10 %: p99 × peer",
    ];
    let columns: Vec<&str> = ["chat, ms, at a loss of", "peer"].into_iter().chain(COLUMNS).collect();
    let mut table = Table::new("transports: chat over a network that loses packets", &columns);
    for row in rows {
        let Some(delays) = &row.delays else { continue };
        // What is beside plain TCP here carries the same frames the same way: the network alone counts.
        let peer = if row.stack == Stack::Tcp { Some(Stack::TokioTcp) } else { row.stack.peer() };
        let peer = peer.and_then(|peer| rows.iter().find(|row| row.stack == peer));
        let mut cells: Vec<Cell> =
            vec![row.stack.label().into(), peer.map_or(Cell::Nothing, |peer| peer.stack.label().into())];
        for (at, _) in LOSSES.iter().enumerate() {
            cells.push(figure(over_rounds(delays, |delays| delays[at].p50), 1));
            cells.push(figure(over_rounds(delays, |delays| delays[at].p99), 1));
            let theirs = peer.and_then(|peer| peer.delays.as_ref());
            cells.push(
                theirs.map_or(Cell::Nothing, |theirs| {
                    figure(ratio(delays, theirs, |delays| delays[at].p99), 2)
                }),
            );
        }
        table.cells(cells);
    }
    table
}
