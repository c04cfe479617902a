//! How a program is told to end.

/// Done when the program is asked to end: SIGTERM, SIGINT (Ctrl+C), SIGHUP (the terminal is closed).
///
/// # Errors
/// The system lets nobody listen for signals.
#[cfg(unix)]
pub async fn signalled() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Done when Ctrl+C is pressed.
///
/// # Errors
/// The system lets nobody listen for it.
#[cfg(not(unix))]
pub async fn signalled() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
