//! What is in the memory of a process, and how much of it there is. Linux only: elsewhere nothing is known.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use crate::files::find;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What a process takes.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Memory in use now, in bytes.
    pub resident: u64,
    /// The most address space it ever had, in bytes: also what was set aside and never touched.
    pub peak_virtual: u64,
    /// Open files and sockets.
    pub files: usize,
}

/// What a process takes now; nothing where the system does not say.
pub fn figures(pid: u32) -> Option<Figures> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Figures { resident: bytes("VmRSS:")?, peak_virtual: bytes("VmPeak:")?, files })
}

/// Processor time that a process has used, all its threads together; nothing where the system does not say.
pub fn processor_time(pid: u32) -> Option<Duration> {
    /// `USER_HZ`, which is the same on every Linux.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have anything in it: utime and stime are the 14th and the 15th field of all.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let used = ticks()? + ticks()?;
    Some(Duration::from_millis(used * 1000 / TICKS_PER_SECOND))
}

/// Processor time that a process uses while this window passes, which is waited for: what is looked for is that nothing
/// happens.
pub fn processor_time_in(pid: u32, window: Duration) -> Option<Duration> {
    let before = processor_time(pid)?;
    std::thread::sleep(window);
    Some(processor_time(pid)?.saturating_sub(before))
}

/// Which of the needles are in the writable memory of a process, or why that can't be known here. Pages that
/// the system does not give are passed over, but some must be readable.
pub fn scan(pid: u32, needles: &[&[u8]]) -> Result<Vec<bool>, String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|error| error.to_string())?;
    let mut memory = File::open(format!("/proc/{pid}/mem")).map_err(|error| error.to_string())?;
    let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(1);
    let mut found = vec![false; needles.len()];
    let mut seen = 0;
    for (start, end) in maps.lines().filter_map(writable) {
        let mut at = start;
        while at < end {
            let piece = read(&mut memory, at, (end - at).min(PIECE_BYTES as u64));
            seen += piece.len();
            for (found, needle) in found.iter_mut().zip(needles) {
                *found |= find(&piece, needle).is_some();
            }
            // The next piece begins within this one, lest a needle lies across the border.
            at += (PIECE_BYTES - longest) as u64;
        }
    }
    if seen == 0 { Err("none of its memory can be read".into()) } else { Ok(found) }
}

/// Start and end of a mapping that the process can write to.
fn writable(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |digits| u64::from_str_radix(digits, 16).ok();
    fields.next()?.starts_with("rw").then_some((hex(start)?, hex(end)?))
}

fn read(memory: &mut File, at: u64, len: u64) -> Vec<u8> {
    let mut piece = Vec::new();
    // A page that was given back meanwhile ends the piece.
    if memory.seek(SeekFrom::Start(at)).is_ok() {
        memory.take(len).read_to_end(&mut piece).ok();
    }
    piece
}
