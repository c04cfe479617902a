//! Cold builds, and how large the program is.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::program::cargo;
use crate::report::{Cell, Table, figure};
use crate::{Fault, Plan};

/// Longest time of one build.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

pub(crate) fn measure(plan: &Plan) -> Result<Table, Fault> {
    let columns = ["cold build", "wall s", "CPU s", "program MiB"];
    let mut table = Table::new("cold build, crates already downloaded", &columns);
    for (package, release) in [("chat-core", false), ("chat-core", true), ("chat", false), ("chat", true)] {
        let folder = plan.program.folder()?;
        let mut command = cargo();
        command.args(["build", "--locked", "--offline", "--quiet", "-p", package]);
        command.args(release.then_some("--release")).env("CARGO_TARGET_DIR", folder.path());
        let (began, cpu_before) = (Instant::now(), children_cpu()?);
        let mut child = crate::process::Running::new(command.stdout(Stdio::null()).spawn()?);
        if !child.wait(PATIENCE)?.success() {
            return Err(format!("{package} does not build").into());
        }
        let (wall, cpu) = (began.elapsed(), children_cpu()?.saturating_sub(cpu_before));
        let profile = if release { "release" } else { "debug" };
        let size = match package {
            "chat" => figure(fs::metadata(folder.path().join(profile).join("chat"))?.len() as f64 / MIB, 1),
            _ => Cell::Nothing,
        };
        let name = format!("{package}, {profile}");
        table.row([name.into(), figure(wall.as_secs_f64(), 1), figure(cpu.as_secs_f64(), 1), size]);
    }
    Ok(table.note("Each once. CPU: user and system time of cargo and all it ran."))
}

const MIB: f64 = 1024.0 * 1024.0;
/// Linux counts these times in hundredths of a second on every platform (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time of the children that have ended, and of theirs.
fn children_cpu() -> Result<Duration, Fault> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    Ok(TICK * parse_children_ticks(&stat).ok_or("the system does not say what children have used")?)
}

/// Fields 16 and 17 of proc_pid_stat(5), after the name in parentheses, which may hold anything.
fn parse_children_ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(13);
    let (user, system) = (times.next()?.parse::<u32>().ok()?, times.next()?.parse::<u32>().ok()?);
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_children_are_found_behind_any_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 130 7 20 0";
        assert_eq!(parse_children_ticks(stat), Some(137));
        assert_eq!(parse_children_ticks("42 (x) S 1"), None);
        assert!(children_cpu().is_ok());
    }
}
