//! The figures as a picture, for the README.

use super::loss::{Delays, LOSSES};
use super::stack::Stack;
use super::work::Found;
use super::{Row, peer_of};
use crate::stats::over_rounds;
use crate::svg::{Anchor, Svg, step};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 830.0;
const MARGIN: f64 = 24.0;
/// Of a panel with bars.
const PANEL: (f64, f64) = (288.0, 196.0);
/// Of a panel with lines.
const WIDE_PANEL: (f64, f64) = (444.0, 290.0);
const GAP: f64 = 24.0;
/// Room for the names of stacks, for a panel's title, and for its axis.
const NAMES: f64 = 56.0;
const HEADING: f64 = 40.0;
const AXIS: f64 = 24.0;
/// Of a bar, and from one transport to the next.
const BAR: f64 = 12.0;
const PITCH: f64 = 32.0;

/// Okabe and Ito's colours, which people of all kinds of sight tell apart; by brightness and marker too. The ground is
/// drawn, so what is read on it is readable wherever the picture stands.
const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.name { font-size: 20px; font-weight: 600 } .panel { font-weight: 600 } .soft { font-size: 11px; fill: #59636e }
.ground { fill: #fff } .grid { stroke: #d1d9e0; fill: none } .peer { fill: #8c959f } .peers { stroke: #8c959f }
.line { fill: none; stroke-width: 2 } .peers { fill: none; stroke-width: 1.5; stroke-dasharray: 4 3 }
.tcp { fill: #0072b2 } .tls { fill: #009e73 } .quic { fill: #d55e00 } .udp-arq { fill: #cc79a7 }
.l-tcp { stroke: #0072b2 } .l-tls { stroke: #009e73 } .l-quic { stroke: #d55e00 } .l-udp-arq { stroke: #cc79a7 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .soft { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #3d444d }
.tcp { fill: #56b4e9 } .l-tcp { stroke: #56b4e9 } .peer { fill: #6e7681 } .peers { stroke: #6e7681 }
}
";

/// What a panel of bars is of.
struct Bars {
    title: &'static str,
    hint: &'static str,
    decimals: usize,
    of: fn(&Found) -> f64,
}

const BARS: [Bars; 5] = [
    Bars { title: "Handshakes a second", hint: "more is better", decimals: 0, of: |found| found.handshakes },
    Bars {
        title: "Round trip, µs (median)", hint: "less is better", decimals: 0, of: |found| found.ping_us
    },
    Bars { title: "Bulk, MB/s", hint: "more is better", decimals: 0, of: |found| found.bulk_mb },
    Bars {
        title: "Processor seconds a GB, both ends",
        hint: "less is better",
        decimals: 1,
        of: |found| found.cpu_s_per_gb,
    },
    Bars {
        title: "KiB an idle link, of 1,000",
        hint: "at the end that listens; less is better",
        decimals: 1,
        of: |found| found.idle_kib,
    },
];

/// One that people use, of ours.
fn is_ours(row: &&Row) -> bool {
    row.stack.peer().is_some() && row.delays.is_some()
}

fn class(stack: Stack) -> String {
    stack.label().to_owned()
}

/// All of it.
pub(crate) fn draw(rows: &[Row], when: &str) -> String {
    let mut svg = Svg::new(
        WIDTH,
        HEIGHT,
        "The four transports beside the bare libraries",
        "Bars: handshakes, round trips, bulk, processor time and memory on loopback. Lines: delays of chat messages by loss. \
         The same figures stand in tables in BENCHMARKS.md.",
        STYLE,
    );
    svg.rect("ground", (0.0, 0.0), (WIDTH, HEIGHT));
    svg.text("name", Anchor::Start, (MARGIN, 36.0), "The four transports beside the bare libraries");
    svg.text("soft", Anchor::Start, (MARGIN, 56.0), &format!("{when} How it was measured: BENCHMARKS.md"));
    let top = 80.0;
    let places = (0..6).map(|n| {
        let (column, line) = (f64::from(n % 3), f64::from(n / 3));
        (MARGIN + column * (PANEL.0 + GAP), top + line * (PANEL.1 + GAP))
    });
    let places: Vec<(f64, f64)> = places.collect();
    for (panel, at) in BARS.iter().zip(&places) {
        bars(&mut svg, *at, panel, rows);
    }
    if let Some(at) = places.last() {
        legend(&mut svg, *at, rows);
    }
    let below = top + 2.0 * (PANEL.1 + GAP);
    lines(&mut svg, (MARGIN, below), "Chat, ms until it is there: median", rows, |delays| delays.p50);
    let right = MARGIN + WIDE_PANEL.0 + GAP;
    lines(&mut svg, (right, below), "Chat, ms until it is there: 99th percentile", rows, |delays| delays.p99);
    svg.finish()
}

/// The number as an axis shows it.
fn tick(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") }
}

fn bars(svg: &mut Svg, (x, y): (f64, f64), panel: &Bars, rows: &[Row]) {
    svg.text("panel", Anchor::Start, (x, y + 12.0), panel.title);
    svg.text("soft", Anchor::Start, (x, y + 28.0), panel.hint);
    let value = |row: &Row| over_rounds(&row.found, panel.of);
    let shown: Vec<(&Row, Option<&Row>)> =
        rows.iter().filter(is_ours).map(|row| (row, peer_of(row, rows))).collect();
    let all = shown.iter().flat_map(|(row, peer)| [Some(*row), *peer]).flatten();
    let step = step(all.map(value).fold(0.0, f64::max));
    let (left, top, bottom) = (x + NAMES, y + HEADING, y + PANEL.1 - AXIS);
    // So that the number behind the longest bar has room.
    let scale = (PANEL.0 - NAMES - 44.0) / (4.0 * step);
    for n in 0..=4 {
        let mark = f64::from(n) * step;
        let at = left + mark * scale;
        svg.line("grid", (at, top), (at, bottom));
        svg.text("soft", Anchor::Middle, (at, bottom + 14.0), &tick(mark));
    }
    for (n, (row, peer)) in shown.iter().enumerate() {
        let at = top + 4.0 + PITCH * n as f64;
        svg.text("", Anchor::End, (left - 6.0, at + BAR + 2.0), row.stack.label());
        let mut bar = |class: &str, at: f64, value: f64| {
            svg.rect(class, (left, at), (value * scale, BAR));
            let number = format!("{value:.*}", panel.decimals);
            svg.text("soft", Anchor::Start, (left + value * scale + 4.0, at + BAR - 2.0), &number);
        };
        bar(&class(row.stack), at, value(row));
        if let Some(peer) = peer {
            bar("peer", at + BAR + 1.0, value(peer));
        }
    }
}

/// A mark of a transport's own shape around a point.
fn marker(svg: &mut Svg, stack: Stack, (x, y): (f64, f64)) {
    let around: &[(f64, f64)] = match stack {
        Stack::Tcp => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
        Stack::Tls => &[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)],
        Stack::Quic => &[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)],
        _ => &[(0.0, 5.0), (5.0, -4.0), (-5.0, -4.0)],
    };
    let points: Vec<(f64, f64)> = around.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
    svg.polygon(&class(stack), &points);
}

fn legend(svg: &mut Svg, (x, y): (f64, f64), rows: &[Row]) {
    svg.text("panel", Anchor::Start, (x, y + 12.0), "What is beside what");
    for (n, row) in rows.iter().filter(is_ours).enumerate() {
        let at = y + HEADING + 4.0 + PITCH * n as f64;
        marker(svg, row.stack, (x + 8.0, at + 6.0));
        let peer = row.stack.peer().map_or("", Stack::label);
        svg.text("", Anchor::Start, (x + 22.0, at + 10.0), row.stack.label());
        svg.rect("peer", (x + 90.0, at), (16.0, BAR));
        svg.text("", Anchor::Start, (x + 114.0, at + 10.0), peer);
    }
}

fn lines(svg: &mut Svg, (x, y): (f64, f64), title: &str, rows: &[Row], of: fn(&Delays) -> f64) {
    svg.text("panel", Anchor::Start, (x, y + 12.0), title);
    let value = |row: &Row, at: usize| {
        row.delays.as_ref().map_or(f64::NAN, |delays| over_rounds(delays, |delays| of(&delays[at])))
    };
    let shown: Vec<&Row> = rows.iter().filter(|row| row.delays.is_some()).collect();
    let all = shown.iter().flat_map(|row| (0..LOSSES.len()).map(|at| value(row, at)));
    let step = step(all.fold(0.0, f64::max));
    let (left, top, bottom) = (x + 40.0, y + HEADING, y + WIDE_PANEL.1 - 2.0 * AXIS);
    let right = x + WIDE_PANEL.0 - 16.0;
    let height = |value: f64| bottom - value / (4.0 * step) * (bottom - top);
    let most = f64::from(LOSSES[LOSSES.len() - 1]);
    let across = |loss: u32| left + 12.0 + f64::from(loss) / most * (right - left - 24.0);
    for n in 0..=4 {
        let mark = f64::from(n) * step;
        svg.line("grid", (left, height(mark)), (right, height(mark)));
        svg.text("soft", Anchor::End, (left - 6.0, height(mark) + 4.0), &tick(mark));
    }
    for loss in LOSSES {
        svg.text("soft", Anchor::Middle, (across(loss), bottom + 16.0), &format!("{loss} %"));
    }
    let axis = "packets lost each way, 25 ms each way; bare libraries dashed";
    svg.text("soft", Anchor::Middle, ((left + right) / 2.0, bottom + 34.0), axis);
    let points = |row: &Row| -> Vec<(f64, f64)> {
        LOSSES.iter().enumerate().map(|(at, loss)| (across(*loss), height(value(row, at)))).collect()
    };
    for row in shown.iter().filter(|row| row.stack.peer().is_none()) {
        svg.path("peers", &points(row));
    }
    for row in shown.iter().copied().filter(is_ours) {
        let points = points(row);
        svg.path(&format!("line l-{}", class(row.stack)), &points);
        points.iter().for_each(|point| marker(svg, row.stack, *point));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_every_peer_and_every_figure_is_in_the_picture() {
        let found = Found {
            handshakes: 1234.0,
            handshake_cpu_us: 1.0,
            ping_us: 56.0,
            ping_cpu_us: 1.0,
            bulk_mb: 789.0,
            cpu_s_per_gb: 8.7,
            idle_kib: 20.5,
        };
        let rows = Stack::ALL.map(|stack| Row {
            stack,
            found: vec![found],
            delays: (stack != Stack::TcpFrames && stack != Stack::TokioSnow)
                .then(|| vec![LOSSES.map(|loss| Delays { p50: 26.0, p99: 30.0 + f64::from(loss) })]),
        });
        let drawn = draw(&rows, "today");
        for stack in
            Stack::ALL.into_iter().filter(|stack| *stack != Stack::TcpFrames && *stack != Stack::TokioTcp)
        {
            assert!(drawn.contains(&format!(">{}</text>", stack.label())), "{}", stack.label());
        }
        for number in ["1234", "56", "789", "8.7", "20.5"] {
            // Four transports and what is beside each.
            assert_eq!(drawn.matches(&format!(">{number}</text>")).count(), 8, "{number}");
        }
        assert_eq!(drawn.matches("class=\"peers\"").count(), 2 * 3);
        assert_eq!(drawn.matches("class=\"line l-").count(), 2 * 4);
        assert!(!drawn.contains("NaN"));
    }
}
