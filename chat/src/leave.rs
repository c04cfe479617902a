//! Leaving because a signal says so.

use std::time::Duration;

use chat_core::ClientHandle;
use chat_core::api::Command;
use chat_relay::exit::{Code, say};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One wish to end can come as two signals (`timeout` and a closing terminal signal the process and its group): what
/// follows within this time is the same wish.
const SAME_WISH: Duration = Duration::from_millis(500);

/// Ctrl+C, SIGTERM and a closed terminal end the program the way `/exit` does; a second one calls `at_once`, so that
/// nothing that hangs can keep the program.
pub(crate) async fn on_signals(
    mut signals: mpsc::Receiver<()>,
    handle: ClientHandle,
    at_once: impl FnOnce() + Send,
) {
    if signals.recv().await.is_none() {
        return;
    }
    let wished = Instant::now();
    // Beside this: an engine that hangs must not keep us from the next signal.
    tokio::spawn(async move {
        if handle.run(Command::Shutdown).await.is_err() {
            tracing::debug!("told to end, and ending already");
        }
    });
    while signals.recv().await.is_some() {
        if wished.elapsed() >= SAME_WISH {
            return at_once();
        }
    }
}

/// Ends the program now. The stores survive it, as they survive `kill -9`.
pub(crate) fn at_once() {
    frontend_tui::give_back_terminal();
    say("error: told twice to end, so nothing is waited for; what has reached no relay is kept");
    std::process::exit(i32::from(Code::Failed as u8));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use chat_core::api::event::EventId;
    use chat_core::api::handle::{EngineSide, channel};
    use chat_core::api::{LinkState, LinkView, Snapshot, StackView};
    use chat_core::nick::Nick;
    use chat_core::{PeerId, Reply};
    use tokio::task::JoinHandle;

    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            event: EventId { epoch: 1, n: 0 },
            peer_id: PeerId::default(),
            nick: Nick::new("alice").unwrap(),
            link: LinkView {
                state: LinkState::Connecting,
                relay: String::new(),
                relay_fingerprint: None,
                hosting: false,
                listen: vec![],
                figures: Default::default(),
            },
            stack: Arc::new(StackView {
                transport: String::new(),
                transports: Vec::new(),
                key_exchange: String::new(),
                cipher: String::new(),
                frontend: String::new(),
                properties: Default::default(),
            }),
            conversations: vec![],
            peers: vec![],
        }
    }

    /// Signals, an engine, and whether the program was ended at once.
    fn program() -> (mpsc::Sender<()>, EngineSide, JoinHandle<()>, Arc<AtomicBool>) {
        let (told, signals) = mpsc::channel(2);
        let (handle, engine) = channel(snapshot());
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let at_once = move || end.store(true, Ordering::SeqCst);
        (told, engine, tokio::spawn(on_signals(signals, handle, at_once)), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_a_program_whose_engine_hangs() {
        let (told, _engine, leaving, ended) = program();
        told.send(()).await.unwrap();
        // Both at once are one wish. The clock is the test's own.
        told.send(()).await.unwrap();
        while told.capacity() < told.max_capacity() {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(SAME_WISH).await;
        assert!(!leaving.is_finished() && !ended.load(Ordering::SeqCst));
        told.send(()).await.unwrap();
        leaving.await.unwrap();
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_is_a_wish_to_leave_in_good_order() {
        let (told, mut engine, leaving, ended) = program();
        told.send(()).await.unwrap();
        let request = engine.requests.recv().await.unwrap();
        assert_eq!(request.command, Command::Shutdown);
        drop(request.reply.send(Ok(Reply::Done {})));
        drop(told);
        leaving.await.unwrap();
        assert!(!ended.load(Ordering::SeqCst));
    }
}
