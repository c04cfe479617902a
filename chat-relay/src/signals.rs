//! How a program is told to end.

/// Listens from now on for SIGTERM, SIGINT (Ctrl+C) and SIGHUP (the terminal is closed); the future is done when
/// one came. To be called on a tokio runtime, before anybody is told that the program is ready.
///
/// # Errors
/// The system lets nobody listen for signals.
#[cfg(unix)]
pub fn ended() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Done when Ctrl+C is pressed.
///
/// # Errors
/// None here; without signals the program runs until it is killed, which its stores survive.
#[cfg(not(unix))]
pub fn ended() -> std::io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
