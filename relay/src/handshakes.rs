//! Connections that have not said `Hello`, and who has how many of them.

use std::collections::{HashMap, VecDeque};

use tokio::task::AbortHandle;

use crate::origins::Origin;

/// A flood of connections pushes out the oldest of whoever has most of them, so that one who floods is in its own
/// way only; an honest client is done long before.
pub(crate) struct Handshakes {
    max: usize,
    /// Oldest first.
    running: VecDeque<(Origin, AbortHandle)>,
}

impl Handshakes {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), running: VecDeque::new() }
    }

    /// Whether it took the place of another, whose task will end as soon as it is polled.
    pub(crate) fn push(&mut self, origin: Origin, task: AbortHandle) -> bool {
        if self.running.len() >= self.max {
            self.running.retain(|(_, task)| !task.is_finished());
        }
        let is_full = self.running.len() >= self.max;
        if is_full && let Some((_, dropped)) = self.greediest(origin).and_then(|i| self.running.remove(i)) {
            tracing::debug!("too many handshakes at a time; the oldest of whoever has most is dropped");
            dropped.abort();
        }
        self.running.push_back((origin, task));
        is_full
    }

    /// The oldest of the origin that has most once `newcomer` has one more; of several such, the oldest of all.
    fn greediest(&self, newcomer: Origin) -> Option<usize> {
        let mut counts = HashMap::from([(newcomer, 1_usize)]);
        for (origin, _) in &self.running {
            *counts.entry(*origin).or_default() += 1;
        }
        let count = |i: &usize| self.running.get(*i).and_then(|(origin, _)| counts.get(origin));
        // The first of the largest: `max_by_key` gives the last.
        (0..self.running.len()).rev().max_by_key(count)
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.running.iter().for_each(|(_, task)| task.abort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names the connections that are left, oldest first, after these came from their origins.
    async fn left(max: usize, remotes: &[&str]) -> Vec<usize> {
        let mut handshakes = Handshakes::new(max);
        let mut tasks = Vec::new();
        for remote in remotes {
            let task = tokio::spawn(std::future::pending::<()>());
            handshakes.push(Origin::of(remote), task.abort_handle());
            tasks.push(task.abort_handle());
        }
        assert!(handshakes.running.len() <= max);
        let left =
            |task: &AbortHandle| handshakes.running.iter().any(|(_, running)| running.id() == task.id());
        (0..tasks.len()).filter(|i| tasks.get(*i).is_some_and(left)).collect()
    }

    #[tokio::test]
    async fn a_flood_pushes_out_its_own_and_among_equals_the_oldest_goes() {
        let (a, b, c, d) = ("192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::2]:1");
        assert_eq!(left(3, &[a, b, b, b, b, b]).await, [0, 4, 5]);
        assert_eq!(left(3, &[a, c, d, c, d, c]).await, [0, 4, 5]);
        assert_eq!(left(3, &[a, b, c, "memory"]).await, [1, 2, 3]);
        assert_eq!(left(4, &[a, a, b, b, b]).await, [0, 1, 3, 4], "who adds is the one who has most");
        assert_eq!(left(4, &[b, a, a, a, c]).await, [0, 2, 3, 4]);
        assert_eq!(left(1, &[a, b]).await, [1]);
    }
}
