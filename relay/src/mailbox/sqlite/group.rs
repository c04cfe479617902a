//! What one transaction takes from the queue.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, timeout_at};

use super::super::Write;
use super::writer::Writer;
use super::{Order, Queued};

/// Most envelopes in a transaction, unless one change has more.
pub(super) const GROUP_FRAMES: usize = 256;
/// How long an acknowledgement may wait for a transaction of something else.
const ACK_DELAY: Duration = Duration::from_millis(100);
/// Most acknowledgements that wait.
const MAX_ACKS: usize = 4096;

fn frames_of(queued: &Queued) -> usize {
    match &queued.write {
        Write::Store { envelopes, .. } => envelopes.len(),
        _ => 1,
    }
}

/// What comes while a group is applied: who was answered after the last commit is back with the next envelope in less
/// time than that takes, and would else wait for a sync of its own.
pub(super) struct Late {
    frames: usize,
}

impl Late {
    pub(super) fn after(group: &[Queued]) -> Self {
        Self { frames: group.iter().map(frames_of).sum() }
    }

    /// The next, if it is there and the transaction has a place for it. The end of the queue is for [`Writer::gather`] to
    /// see.
    pub(super) fn take(&mut self, orders: &mut Receiver<Order>) -> Option<Queued> {
        if self.frames >= GROUP_FRAMES {
            return None;
        }
        match orders.try_recv() {
            Ok(Order::Write(queued)) => {
                self.frames += frames_of(&queued);
                Some(queued)
            }
            // Whoever sent it sends nothing after it, so that the queue ends here.
            Ok(Order::Close) | Err(_) => None,
        }
    }
}

impl Writer {
    /// Waits for something to do, then takes what else is there. False if it is to close, or nobody can send any more.
    pub(super) async fn gather(&mut self, orders: &mut Receiver<Order>, group: &mut Vec<Queued>) -> bool {
        let deadline = Instant::now() + ACK_DELAY;
        let mut frames = 0;
        while frames < GROUP_FRAMES && self.acks.len() < MAX_ACKS {
            let order = match orders.try_recv() {
                Ok(order) => order,
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) if !group.is_empty() => return true,
                Err(TryRecvError::Empty) if self.acks.is_empty() => match orders.recv().await {
                    Some(order) => order,
                    None => return false,
                },
                Err(TryRecvError::Empty) => match timeout_at(deadline, orders.recv()).await {
                    Ok(Some(order)) => order,
                    Ok(None) => return false,
                    Err(_) => return true,
                },
            };
            match order {
                Order::Write(Queued { write: Write::Ack { peer, through }, .. }) => {
                    let known = self.acks.entry(peer).or_default();
                    *known = through.max(*known);
                }
                Order::Write(queued) => {
                    frames += frames_of(&queued);
                    group.push(queued);
                }
                Order::Close => return false,
            }
        }
        true
    }
}
