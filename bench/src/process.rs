//! Child processes that never outlive the measurement, and what the system says about them.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Fault;

/// A child that is killed when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end, at most `longest`.
    pub(crate) fn wait(&mut self, longest: Duration) -> Result<ExitStatus, Fault> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            let waited = began.elapsed();
            if waited >= longest {
                return Err(format!("process {} did not end within {longest:?}", self.pid()).into());
            }
            // Exact to a hundredth, and no work while a build takes minutes.
            sleep((waited / 100).clamp(Duration::from_micros(50), Duration::from_millis(100)));
        }
    }

    /// Ends it now.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; there is nothing to be done about a failure here.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process has used so far, thread by thread.
#[derive(Debug, Default)]
pub(crate) struct Usage(BTreeMap<u32, Thread>);

#[derive(Debug, Default, Clone, Copy)]
struct Thread {
    cpu_ns: u64,
    wakes: u64,
}

/// What a process has used between two looks.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    /// How often its threads went to sleep and were woken.
    pub(crate) wakes: u64,
}

impl Usage {
    /// A look at a process. Linux only.
    pub(crate) fn of(pid: u32) -> Result<Self, Fault> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let folder = entry?.path();
            let Some(tid) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            // A thread may end while it is looked at.
            let (Ok(times), Ok(status)) =
                (fs::read_to_string(folder.join("schedstat")), fs::read_to_string(folder.join("status")))
            else {
                continue;
            };
            let cpu_ns = times.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default();
            let wakes = field(&status, "voluntary_ctxt_switches:").unwrap_or_default();
            threads.insert(tid, Thread { cpu_ns, wakes });
        }
        Ok(Self(threads))
    }

    /// What was used since an earlier look, but by threads that have ended since.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let mut used = Used::default();
        for (tid, now) in &self.0 {
            let before = earlier.0.get(tid).copied().unwrap_or_default();
            used.cpu += Duration::from_nanos(now.cpu_ns.saturating_sub(before.cpu_ns));
            used.wakes += now.wakes.saturating_sub(before.wakes);
        }
        used
    }
}

/// Memory of a process that is in RAM, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64, Fault> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = field(&status, "VmRSS:").ok_or("the system does not say how much memory is used")?;
    Ok(kib as f64 / 1024.0)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_the_difference_of_two_looks_also_with_new_threads() {
        let look = |threads: &[(u32, u64, u64)]| {
            Usage(threads.iter().map(|&(tid, cpu_ns, wakes)| (tid, Thread { cpu_ns, wakes })).collect())
        };
        let used = look(&[(1, 500, 7), (3, 40, 2)]).since(&look(&[(1, 200, 5), (2, 900, 9)]));
        assert_eq!((used.cpu.as_nanos(), used.wakes), (340, 4));
        assert_eq!(field("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(field("Name:\tx\n", "VmRSS:"), None);
    }
}
