//! What wakes the screen's thread: one bounded channel, fed by the thread that reads keys, and rung by the
//! engine. Nothing polls; an idle screen sleeps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use crossterm::event::{self, Event};

/// Keys that may wait. The thread that reads them stops at this, and the terminal holds what comes after.
const WAITING: usize = 1024;
/// How often the thread that reads keys looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Why the screen's thread wakes.
#[derive(Debug)]
pub(crate) enum Woken {
    /// A key, a paste, another size.
    Input(Event),
    /// The terminal was given back and taken again: draw everything anew.
    Retaken,
    /// No more input will come.
    InputEnded(io::Error),
    /// The engine has something to tell; see [`Bell::was_rung`].
    News,
}

/// Rung when the engine has something to tell. Ringing never waits, and twice is as good as once.
#[derive(Debug)]
pub(crate) struct Bell {
    sender: SyncSender<Woken>,
    rung: AtomicBool,
}

impl Bell {
    /// Wakes the screen's thread.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) && self.sender.try_send(Woken::News).is_err() {
            // A full channel wakes as well, and an ended one needs nobody.
            tracing::trace!("the screen is behind, or gone");
        }
    }

    /// Whether it was rung since the last time.
    pub(crate) fn was_rung(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// The screen's end of the channel.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// What woke it.
    pub(crate) receiver: Receiver<Woken>,
    /// Where the engine rings.
    pub(crate) bell: Arc<Bell>,
}

impl Wakes {
    /// A channel, and where input goes in.
    pub(crate) fn new() -> (Self, SyncSender<Woken>) {
        let (sender, receiver) = sync_channel(WAITING);
        let bell = Arc::new(Bell { sender: sender.clone(), rung: AtomicBool::new(false) });
        (Self { receiver, bell }, sender)
    }

    /// For answers that are awaited.
    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.bell))
    }
}

/// The thread that reads keys. Dropping this tells it to end; it is not waited for longer than it takes to
/// look, so a terminal that hangs can't hold up the program.
pub(crate) struct InputThread {
    wanted: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl InputThread {
    /// Starts to read keys.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(to: SyncSender<Woken>) -> io::Result<Self> {
        let wanted = Arc::new(AtomicBool::new(true));
        let (end, ended) = sync_channel::<()>(1);
        let still_wanted = Arc::clone(&wanted);
        thread::Builder::new().name("tui-input".to_owned()).spawn(move || {
            read(&to, &still_wanted);
            drop(end);
        })?;
        Ok(Self { wanted, ended })
    }
}

impl Drop for InputThread {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Release);
        // Whoever reads the terminal next should not share keys with this thread.
        if self.ended.recv_timeout(2 * LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::debug!("the thread that reads keys did not end in time");
        }
    }
}

fn read(to: &SyncSender<Woken>, wanted: &AtomicBool) {
    while wanted.load(Ordering::Acquire) {
        let woken = match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let (woken, is_last) = match woken {
            Ok(event) => (Woken::Input(event), false),
            Err(error) => (Woken::InputEnded(error), true),
        };
        if to.send(woken).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rings_wake_once_and_a_full_channel_loses_none() {
        let (wakes, sender) = Wakes::new();
        for _ in 0..3 * WAITING {
            wakes.bell.ring();
        }
        assert_eq!(wakes.receiver.try_iter().count(), 1);
        assert!(wakes.bell.was_rung() && !wakes.bell.was_rung());
        while sender.try_send(Woken::News).is_ok() {}
        wakes.waker().wake();
        assert_eq!(wakes.receiver.try_iter().count(), WAITING);
        assert!(wakes.bell.was_rung());
        drop(wakes.receiver);
        wakes.bell.ring();
    }
}
