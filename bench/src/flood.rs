//! A peer that writes at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Fault;
use crate::node::{Node, send_request, text, write};
use crate::process::Running;

/// How often a handful of messages is written.
const STEP: Duration = Duration::from_millis(5);

/// A flood that runs until it is ended.
pub(crate) struct Flood {
    ended: Arc<AtomicBool>,
    began: Instant,
    writing: JoinHandle<Result<usize, Fault>>,
    reading: JoinHandle<usize>,
    process: Running,
}

/// What a flood was.
pub(crate) struct Flooded {
    /// Messages a second that were written.
    pub(crate) sent: f64,
    /// Messages a second whose receipts came back meanwhile.
    pub(crate) delivered: f64,
}

impl Flood {
    /// Lets `node` write to `to`, so many messages a second.
    pub(crate) fn begin(node: Node, to: &str, per_second: f64) -> Result<Self, Fault> {
        let ended = Arc::new(AtomicBool::new(false));
        let Node { mut input, lines, process, .. } = node;
        let began = Instant::now();
        let (to, stop) = (to.to_owned(), Arc::clone(&ended));
        let writing = thread::Builder::new().spawn(move || {
            let mut sent = 0;
            while !stop.load(Ordering::Acquire) {
                let due = (began.elapsed().as_secs_f64() * per_second) as usize;
                while sent < due && !stop.load(Ordering::Acquire) {
                    match write(&mut input, &send_request(sent as u64, &to, &text(sent))) {
                        Ok(()) => sent += 1,
                        // It was ended while the program did not read.
                        Err(_) if stop.load(Ordering::Acquire) => {}
                        Err(fault) => return Err(fault),
                    }
                }
                thread::sleep(STEP);
            }
            Ok(sent)
        })?;
        let stop = Arc::clone(&ended);
        let reading = thread::Builder::new().spawn(move || {
            let mut delivered = 0;
            while !stop.load(Ordering::Acquire) {
                let Ok(line) = lines.next(Instant::now() + Duration::from_millis(100), "news") else {
                    continue;
                };
                let status = line.notification("msg.status");
                delivered += usize::from(status.is_some_and(|status| status["state"] == "delivered"));
            }
            delivered
        })?;
        Ok(Self { ended, began, writing, reading, process })
    }

    /// Ends it, and the program that did it.
    pub(crate) fn end(mut self) -> Result<Flooded, Fault> {
        self.ended.store(true, Ordering::Release);
        let seconds = self.began.elapsed().as_secs_f64();
        self.process.kill();
        let gone = |_| Fault::from("a thread of the flood failed");
        let delivered = self.reading.join().map_err(gone)?;
        let sent = self.writing.join().map_err(gone)??;
        Ok(Flooded { sent: sent as f64 / seconds, delivered: delivered as f64 / seconds })
    }
}
