//! What a node takes from the machine it runs on beside its network and its files: the wall clock, randomness, and
//! threads for work that blocks. Handed in, so that whole nodes can run in one thread on a clock and with randomness
//! that a simulation makes.

use std::io;
use std::pin::Pin;

use crate::entropy::{Entropy, OsEntropy};
use crate::ids::Timestamp;

/// Work that may block its thread, also between its `await`s.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The machine, or a simulated one.
pub trait Environment: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// A source of randomness fit for keys, for one user of it.
    fn entropy(&self) -> Box<dyn Entropy>;

    /// Runs `work` beside the caller, where it may block without holding anybody up. `name` names its thread.
    ///
    /// # Errors
    /// The machine has no thread for it; `work` is dropped.
    fn spawn(&self, name: &'static str, work: Work) -> io::Result<()>;
}

/// The real machine: the system's clock and generator, a thread for each piece of work.
#[derive(Debug, Default, Clone, Copy)]
pub struct System;

impl Environment for System {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn entropy(&self) -> Box<dyn Entropy> {
        Box::new(OsEntropy)
    }

    fn spawn(&self, name: &'static str, work: Work) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let run = move || runtime.block_on(work);
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_has_a_thread_of_its_own_with_a_clock() {
        let here = std::thread::current().id();
        let (tell, told) = oneshot::channel();
        let work = Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let thread = std::thread::current();
            tell.send((thread.id(), thread.name().map(str::to_owned))).unwrap();
        });
        System.spawn("worker", work).unwrap();
        let (there, name) = told.await.unwrap();
        assert_ne!(here, there);
        assert_eq!(name.as_deref(), Some("worker"));
    }
}
