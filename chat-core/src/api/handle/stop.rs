//! Telling every frontend to end.

use std::sync::Arc;

use super::{EngineSide, Shared, StopReason};

/// Tells every frontend to end, from beside the engine. Cloning it is cheap.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

impl Stopper {
    /// Tells every frontend to end. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        let mut log = self.shared.log();
        log.stop.get_or_insert(reason);
        let wakers = log.wakers.clone();
        drop(log);
        self.shared.wake(wakers);
    }
}

impl EngineSide {
    /// What tells every frontend to end, for whoever watches the engine.
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: Arc::clone(&self.shared) }
    }

    /// Tells every frontend to end. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        self.stopper().stop(reason);
    }
}

impl Drop for EngineSide {
    /// An engine that is gone, for whatever reason, must not leave a frontend waiting.
    fn drop(&mut self) {
        self.stop(StopReason {
            exit_code: 1,
            message: Some("the client engine ended unexpectedly".to_owned()),
        });
    }
}
