//! Connections that have not said `Hello`, and who has how many of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::origins::Origin;

/// A flood of connections pushes out the oldest of whoever has most of them, so that one who floods is in its own
/// way only; an honest client is done long before.
pub(crate) struct Handshakes {
    max: usize,
    /// A permit each connection that lives: there are never more, and so never more open files.
    places: Arc<Semaphore>,
    /// Oldest first.
    running: VecDeque<(Origin, AbortHandle)>,
}

/// Of a connection that has not said `Hello`; it goes with the connection.
pub(crate) type Place = OwnedSemaphorePermit;

impl Handshakes {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { max, places: Arc::new(Semaphore::new(max)), running: VecDeque::new() }
    }

    /// A place for a newcomer. If there is none, somebody has to go, and has gone with all that was its own when this is
    /// done. Cancel safe, but for who was pushed out. `None` never happens: the semaphore is not closed.
    pub(crate) async fn place(&mut self, origin: Origin) -> Option<Place> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.forget_finished();
        if let Some((_, dropped)) = self.greediest(origin).and_then(|i| self.running.remove(i)) {
            tracing::debug!("too many handshakes at a time; the oldest of whoever has most is dropped");
            dropped.abort();
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// The task of a newcomer, which has its place.
    pub(crate) fn push(&mut self, origin: Origin, task: AbortHandle) {
        if self.running.len() >= self.max {
            self.forget_finished();
        }
        self.running.push_back((origin, task));
    }

    fn forget_finished(&mut self) {
        self.running.retain(|(_, task)| !task.is_finished());
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
            let origin = Origin::of(remote);
            let place = handshakes.place(origin).await.unwrap();
            let task = tokio::spawn(async move {
                let _place = place;
                std::future::pending::<()>().await;
            });
            handshakes.push(origin, task.abort_handle());
            tasks.push(task.abort_handle());
            let alive = tasks.iter().filter(|task| !task.is_finished()).count();
            assert!(alive <= max, "{alive}");
        }
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
