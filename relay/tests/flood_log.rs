//! What a crowd of strangers writes into the log: little. Alone in its process, because the log is the process's.

#[cfg(test)]
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "relay/support.rs"]
mod support;

#[cfg(test)]
mod log;

#[cfg(test)]
mod tests {
    use chat_core::Identity;
    use relay::{MailboxLimits, RelayConfig};
    use tracing::level_filters::LevelFilter;

    use crate::log::Log;
    use crate::support::Node;

    #[tokio::test]
    async fn a_thousand_strangers_are_few_lines_in_the_log() {
        let log = Log::keep(LevelFilter::INFO);
        let dir = tempfile::tempdir().unwrap();
        let config = RelayConfig { new_peers_burst: 100_000, ..RelayConfig::default() };
        let node = Node::start_with(dir.path(), config, MailboxLimits::default());
        for n in 0..1000_u16 {
            let [a, b] = n.to_be_bytes();
            let mut seed = [7; 32];
            (seed[0], seed[1]) = (a, b);
            let mut client = node.connect(&Identity::from_seed(&seed)).await;
            // Malformed: a line more.
            client.send_bytes(vec![0xff]).await;
            client.last_words().await;
        }
        node.stop().await;
        let lines = log.text().lines().count();
        // Sixty at once, and twelve and a summary a minute as long as this takes.
        assert!((50..300).contains(&lines), "{lines}");
    }
}
