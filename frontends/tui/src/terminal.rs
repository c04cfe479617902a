//! The terminal: taken over at the start, given back whatever happens.

use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use chat_core::FrontendError;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{cursor, execute};

type Hook = Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Whether there is a terminal to draw on.
///
/// # Errors
/// [`FrontendError::Unavailable`] says what is missing and what to use instead.
pub(crate) fn require() -> Result<(), FrontendError> {
    let term = std::env::var("TERM").ok();
    check(io::stdin().is_terminal(), io::stdout().is_terminal(), term.as_deref())
}

fn check(stdin: bool, stdout: bool, term: Option<&str>) -> Result<(), FrontendError> {
    let missing = match (stdin, stdout, term) {
        (false, _, _) => "standard input is not a terminal",
        (_, false, _) => "standard output is not a terminal",
        (_, _, Some("dumb")) => "this terminal (TERM=dumb) can't be drawn on",
        _ => return Ok(()),
    };
    let message = format!("the tui needs a terminal, but {missing}; for programs use --frontend jsonrpc");
    Err(FrontendError::Unavailable(message))
}

/// The terminal in raw mode, on its second screen. Dropping it, or a panic of the thread that made it,
/// gives the terminal back as it was.
pub(crate) struct Guard {
    active: Arc<AtomicBool>,
    hook_before: Hook,
}

impl Guard {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If the terminal refuses; it is as before then.
    pub(crate) fn enter() -> io::Result<Self> {
        let active = Arc::new(AtomicBool::new(true));
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&active);
        let hook_before = set_hook(Arc::clone(&active));
        // From here on dropping the guard undoes whatever was done.
        let guard = Self { active, hook_before };
        take()?;
        Ok(guard)
    }

    /// Where to draw. Nothing arrives on the terminal after it was given back.
    pub(crate) fn writer(&self) -> ScreenWriter {
        ScreenWriter { frame: Vec::new(), active: Arc::clone(&self.active) }
    }
}

/// The terminal as it is taken now, for [`give_back`].
static TAKEN: Mutex<Weak<AtomicBool>> = Mutex::new(Weak::new());

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    // A grapheme that a terminal draws too wide is cut at the edge instead of spilling into the next row.
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, DisableLineWrap)
}

/// Whether the terminal was given back for a while only.
static LENT: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back until [`take_again`].
#[cfg(unix)]
pub(crate) fn lend() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    if let Some(active) = taken.filter(|active| active.load(Ordering::SeqCst)) {
        let _alone = io::stdout().lock();
        LENT.store(true, Ordering::SeqCst);
        restore(&active);
    }
}

/// Takes the terminal again, in the mode that the shell may have changed meanwhile; whether it is ours now. One that was
/// given back for good is left alone.
///
/// # Errors
/// If the terminal refuses, or is gone.
#[cfg(unix)]
pub(crate) fn take_again() -> io::Result<bool> {
    let Some(active) = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).upgrade() else {
        return Ok(false);
    };
    // No frame meanwhile, and no giving back for good.
    let _alone = io::stdout().lock();
    if !LENT.swap(false, Ordering::SeqCst) && !active.load(Ordering::SeqCst) {
        return Ok(false);
    }
    // Raw mode is not set twice: stopped by force, the program does not know that the shell has ended it.
    disable_raw_mode()?;
    take()?;
    active.store(true, Ordering::SeqCst);
    Ok(true)
}

/// Gives the terminal back from whatever thread, if it is taken: for a program that ends without its screen's thread.
pub(crate) fn give_back() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    if let Some(active) = taken {
        restore_for_good(&active);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore_for_good(&self.active);
        // While panicking the hook can't be changed; with the terminal given back ours only passes on.
        if !thread::panicking() {
            let before = Arc::clone(&self.hook_before);
            panic::set_hook(Box::new(move |info| before(info)));
        }
    }
}

/// Gives the terminal back; it is not taken again.
fn restore_for_good(active: &AtomicBool) {
    let _alone = io::stdout().lock();
    LENT.store(false, Ordering::SeqCst);
    restore(active);
}

/// Gives the terminal back, once.
fn restore(active: &AtomicBool) {
    // A frame is written before this, or not at all.
    let mut stdout = io::stdout().lock();
    if !active.swap(false, Ordering::SeqCst) {
        return;
    }
    let written = execute!(stdout, DisableBracketedPaste, EnableLineWrap, LeaveAlternateScreen, cursor::Show);
    // Both are tried; a terminal that is gone needs neither.
    for error in [written.err(), disable_raw_mode().err()].into_iter().flatten() {
        tracing::debug!(%error, "the terminal could not be restored");
    }
}

fn set_hook(active: Arc<AtomicBool>) -> Hook {
    let before: Hook = Arc::from(panic::take_hook());
    let next = Arc::clone(&before);
    let ui = thread::current().id();
    panic::set_hook(Box::new(move |info| {
        match on_panic(thread::current().id() == ui, active.load(Ordering::SeqCst)) {
            OnPanic::RestoreAndReport => {
                restore(&active);
                next(info);
            }
            OnPanic::Report => next(info),
            // The words of a panic may quote what somebody wrote, so they don't go to the log.
            OnPanic::Log => {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                tracing::error!(place, "a thread panicked");
            }
        }
    }));
    before
}

/// What to do about a panic.
#[derive(Debug, PartialEq, Eq)]
enum OnPanic {
    /// The screen's own thread: give the terminal back, then let it be reported there.
    RestoreAndReport,
    /// The terminal is not ours any more.
    Report,
    /// A plugin's or the engine's thread, which its owner contains: nothing may be written over the screen.
    Log,
}

fn on_panic(in_ui_thread: bool, active: bool) -> OnPanic {
    match (in_ui_thread, active) {
        (_, false) => OnPanic::Report,
        (true, true) => OnPanic::RestoreAndReport,
        (false, true) => OnPanic::Log,
    }
}

/// Collects a frame and writes it at once. A frame that is not complete when the terminal is given back is dropped.
pub(crate) struct ScreenWriter {
    frame: Vec<u8>,
    active: Arc<AtomicBool>,
}

impl Write for ScreenWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = std::mem::take(&mut self.frame);
        let mut stdout = io::stdout().lock();
        if frame.is_empty() || !self.active.load(Ordering::SeqCst) {
            return Ok(());
        }
        stdout.write_all(&frame)?;
        stdout.flush()?;
        self.frame = frame;
        self.frame.clear();
        Ok(())
    }
}

/// Rings the bell.
///
/// # Errors
/// If the terminal is gone.
pub(crate) fn ring() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(b"\x07")?;
    stdout.flush()
}

/// Whether the terminal is still there.
///
/// # Errors
/// If it is not.
pub(crate) fn probe() -> io::Result<()> {
    crossterm::terminal::window_size().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_it_says_what_to_use() {
        assert!(check(true, true, Some("xterm-256color")).is_ok());
        assert!(check(true, true, None).is_ok());
        for (stdin, stdout, term) in
            [(false, true, None), (true, false, None), (true, true, Some("dumb")), (false, false, None)]
        {
            let error = check(stdin, stdout, term).unwrap_err();
            assert!(
                matches!(&error, FrontendError::Unavailable(text) if text.contains("--frontend jsonrpc"))
            );
        }
    }

    #[test]
    fn a_panic_elsewhere_does_not_touch_the_screen() {
        assert_eq!(on_panic(true, true), OnPanic::RestoreAndReport);
        assert_eq!(on_panic(false, true), OnPanic::Log);
        assert_eq!(on_panic(false, false), OnPanic::Report);
        assert_eq!(on_panic(true, false), OnPanic::Report);
    }

    #[test]
    fn a_frame_is_dropped_once_the_terminal_is_given_back() {
        let active = Arc::new(AtomicBool::new(false));
        let mut writer = ScreenWriter { frame: Vec::new(), active };
        writer.write_all(b"half a frame").unwrap();
        writer.flush().unwrap();
        assert!(writer.frame.is_empty());
    }
}
