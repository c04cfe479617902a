//! What a crowd of strangers writes into the log: little. Alone in its process, because the log is the process's.

#[cfg(test)]
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "relay/support.rs"]
mod support;

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use chat_core::Identity;
    use relay::{MailboxLimits, RelayConfig};

    use crate::support::Node;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_thousand_strangers_are_few_lines_in_the_log() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
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
        let lines = log.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count();
        // Sixty at once, and twelve and a summary a minute as long as this takes.
        assert!((50..300).contains(&lines), "{lines}");
    }
}
