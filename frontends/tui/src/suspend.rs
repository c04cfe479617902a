//! Being stopped and continued: the terminal is the shell's meanwhile.

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::mpsc::SyncSender;
    use std::thread;

    use signal_hook::consts::{SIGCONT, SIGTSTP};
    use signal_hook::iterator::{Handle, Signals};
    use signal_hook::low_level::emulate_default_handler;

    use crate::terminal;
    use crate::wake::Woken;

    /// A thread that hears SIGTSTP and SIGCONT, until this is dropped. (Ctrl-Z is a key as long as the screen is there.)
    pub(crate) struct Watch(Handle);

    impl Watch {
        /// Begins to listen.
        ///
        /// # Errors
        /// If the system lets nobody listen, or has no thread left.
        pub(crate) fn start(to: SyncSender<Woken>) -> io::Result<Self> {
            let mut signals = Signals::new([SIGTSTP, SIGCONT])?;
            let handle = signals.handle();
            let listen = move || {
                for signal in signals.forever() {
                    let done = if signal == SIGTSTP { stop() } else { go_on(&to) };
                    if let Err(error) = done {
                        tracing::debug!(%error, "the terminal could not be taken again");
                    }
                }
            };
            thread::Builder::new().name("tui-suspend".to_owned()).spawn(listen)?;
            Ok(Self(handle))
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    /// Stops the program, as the signal would have done. Comes back when it is continued.
    fn stop() -> io::Result<()> {
        terminal::lend();
        emulate_default_handler(SIGTSTP)
    }

    fn go_on(to: &SyncSender<Woken>) -> io::Result<()> {
        if terminal::take_again()? && to.send(Woken::Retaken).is_err() {
            tracing::debug!("the screen has ended meanwhile");
        }
        Ok(())
    }
}

#[cfg(unix)]
pub(crate) use unix::Watch;

/// Nothing is stopped there.
#[cfg(not(unix))]
pub(crate) struct Watch;

#[cfg(not(unix))]
impl Watch {
    pub(crate) fn start(_: std::sync::mpsc::SyncSender<crate::wake::Woken>) -> std::io::Result<Self> {
        Ok(Self)
    }
}
