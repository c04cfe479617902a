//! How a program is told to end.

use tokio::sync::mpsc;

/// Signals that may wait to be looked at; more say nothing new.
const WAITING: usize = 2;

/// Listens from now on for SIGTERM, SIGINT (Ctrl+C), SIGQUIT (which by default would leave a terminal as it is) and
/// SIGHUP (the terminal is closed), and gives one `()` for each, as long as the runtime lives. To be called on a tokio runtime, before anybody is told that the program is ready.
///
/// # Errors
/// The system lets nobody listen for signals.
#[cfg(unix)]
pub fn listen() -> std::io::Result<mpsc::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let (told, signals) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
            if let Err(mpsc::error::TrySendError::Closed(())) = told.try_send(()) {
                return;
            }
        }
    });
    Ok(signals)
}

/// One `()` for each Ctrl+C.
///
/// # Errors
/// None here; without signals the program runs until it is killed, which its stores survive.
#[cfg(not(unix))]
pub fn listen() -> std::io::Result<mpsc::Receiver<()>> {
    let (told, signals) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if let Err(mpsc::error::TrySendError::Closed(())) = told.try_send(()) {
                return;
            }
        }
        // Whoever waits for a signal waits on: there is none.
        told.closed().await;
    });
    Ok(signals)
}
