//! What a relay keeps to itself: its log holds ids and sizes, at every level. Alone in its process, because the
//! log is the process's.

#[cfg(test)]
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "relay/support.rs"]
mod support;

#[cfg(test)]
mod log;

#[cfg(test)]
mod tests {
    use chat_core::nick::Nick;
    use chat_core::wire::{FromRelay, ToRelay};
    use tracing::level_filters::LevelFilter;

    use crate::log::Log;
    use crate::support::{Node, bundle, envelope, identity, room, to};

    #[tokio::test]
    async fn no_name_and_no_content_reaches_the_log() {
        let log = Log::keep(LevelFilter::TRACE);
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(dir.path());
        let (alice, bob) = (identity(1), identity(2));
        let mut a = node.connect(&alice).await;
        let mut b = node.connect(&bob).await;
        a.send(ToRelay::Publish { bundle: bundle(&alice, "wonderland-alice", 1) }).await;
        a.join("#secret-garden").await;
        b.join("#secret-garden").await;
        a.send(ToRelay::Find { peer: None, nick: Nick::new("wonderland-alice").ok() }).await;
        a.wait(|record| matches!(record, FromRelay::Peer { .. }).then_some(())).await;
        let mut letter = envelope(&alice, to(&bob), 0);
        letter.frame = b"rabbit-hole".repeat(10);
        a.store(&letter).await;
        b.take(1, true).await;
        // Also when something is wrong with a record.
        let mut bad = ToRelay::Join { room: room("#secret-garden") }.encode();
        bad.truncate(bad.len() - 1);
        a.send_bytes(bad).await;
        a.last_words().await;
        let mut bad = bundle(&bob, "wonderland-bob", 1);
        bad.pop();
        b.send(ToRelay::Publish { bundle: bad }).await;
        b.settle().await;
        node.stop().await;
        let log = log.text();
        assert!(log.contains("connected") && log.contains(&alice.peer_id().short()), "{log}");
        for name in ["wonderland", "garden", "rabbit", &alice.peer_id().to_string()] {
            assert!(!log.contains(name), "`{name}` in the log:\n{log}");
        }
    }
}
