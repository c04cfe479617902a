//! Processor and memory of programs with nothing to do.

use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Lab, short};
use crate::node::Node;
use crate::process::{Usage, Used, resident_mib};
use crate::report::{Table, figure};
use crate::screen::Screen;
use crate::stats::over_rounds;
use crate::{Fault, Plan};

/// Before the first look: connecting and meeting are over.
const SETTLE: Duration = Duration::from_secs(3);
/// Between two looks.
const WINDOW: Duration = Duration::from_secs(15);

/// The processes of one profile.
struct Idle {
    lab: Lab,
    jsonrpc: Node,
    tui: Screen,
}

struct Look {
    used: Used,
    seconds: f64,
    resident_mib: f64,
}

impl Idle {
    fn begin(plan: &Plan, profile: &str) -> Result<Self, Fault> {
        let lab = Lab::open(&plan.program, profile)?;
        let jsonrpc = Node::start(lab.client("alice", "jsonrpc"))?;
        let tui = Screen::start(lab.client("bob", "tui"))?;
        lab.meet(&jsonrpc, "bob")?;
        Ok(Self { lab, jsonrpc, tui })
    }

    fn pids(&self) -> [(&'static str, u32); 3] {
        [
            ("client, jsonrpc", self.jsonrpc.pid()),
            ("client, tui", self.tui.pid()),
            ("relay, two clients", self.lab.relay_pid()),
        ]
    }
}

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let idle = plan.profiles.iter().map(|profile| Idle::begin(plan, profile));
    let idle = idle.collect::<Result<Vec<_>, _>>()?;
    let processes: Vec<(String, u32)> = idle
        .iter()
        .flat_map(|idle| {
            let name = short(&idle.lab.profile);
            idle.pids().map(|(who, pid)| (format!("{name}, {who}"), pid))
        })
        .collect();
    thread::sleep(SETTLE);
    let mut looks: Vec<Vec<Look>> = processes.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        let began = Instant::now();
        let before = processes.iter().map(|(_, pid)| Usage::of(*pid)).collect::<Result<Vec<_>, _>>()?;
        thread::sleep(WINDOW);
        for (((_, pid), before), looks) in processes.iter().zip(&before).zip(&mut looks) {
            let used = Usage::of(*pid)?.since(before);
            let seconds = began.elapsed().as_secs_f64();
            looks.push(Look { used, seconds, resident_mib: resident_mib(*pid)? });
        }
    }
    let mut table = Table::new("idle", &["idle", "CPU %", "wakes/s", "RSS MiB"]);
    for ((name, _), looks) in processes.into_iter().zip(&looks) {
        table.row([
            name.into(),
            figure(over_rounds(looks, |look| 100.0 * look.used.cpu.as_secs_f64() / look.seconds), 3),
            figure(over_rounds(looks, |look| look.used.wakes as f64 / look.seconds), 1),
            figure(over_rounds(looks, |look| look.resident_mib), 1),
        ]);
    }
    Ok(table.note(format!("Medians of {} windows of {} s.", plan.rounds, WINDOW.as_secs())))
}
