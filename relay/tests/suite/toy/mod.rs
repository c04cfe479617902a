//! A mailbox in memory that does everything a mailbox must. And, if it is told to, one thing wrong.

mod core;
mod fault;
mod people;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chat_core::PeerId;
use chat_core::nick::RoomName;
use relay::MailboxLimits;
use relay::mailbox::{Entry, Mailbox, MailboxError, Page, Query, Roster, Write};
use relay::testing::{Shelf, Violation};
use tokio::sync::{mpsc, watch};

use self::core::{Answer, Core, State};
pub(crate) use fault::Fault;

/// Changes that may wait.
const QUEUE: usize = 4;

/// A shelf that keeps what was committed.
pub(crate) struct ToyShelf {
    disk: Arc<Mutex<State>>,
    /// What of it is synced.
    medium: Arc<Mutex<State>>,
    fault: Fault,
    open: Arc<Mutex<bool>>,
}

impl ToyShelf {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { disk: Arc::default(), medium: Arc::default(), fault, open: Arc::default() }
    }
}

impl ToyShelf {
    /// A shelf with nothing but this.
    fn left_by(&self, state: &Mutex<State>) -> Box<dyn Shelf> {
        let left = || Arc::new(Mutex::new(lock(state).clone()));
        Box::new(Self { disk: left(), medium: left(), fault: self.fault, open: Arc::default() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf for ToyShelf {
    fn open(&self, limits: &MailboxLimits) -> Result<Arc<dyn Mailbox>, Violation> {
        if std::mem::replace(&mut *lock(&self.open), true) {
            return Err(Violation::new("it is open"));
        }
        let mut state = lock(&self.disk).clone();
        if self.fault == Fault::NumbersAreCountedFromWhatIsThere {
            state.last = state.log.iter().map(|it| it.n).max().unwrap_or(0);
        }
        let counted = if self.fault == Fault::TotalIsForgottenAtRestart { state.log.len() } else { 0 };
        let core = Core {
            before: state.clone(),
            state,
            limits: limits.clone(),
            fault: self.fault,
            counted,
            disk: Arc::clone(&self.disk),
            medium: Arc::clone(&self.medium),
        };
        let core = Arc::new(Mutex::new(core));
        let (queue, queued) = mpsc::channel(QUEUE);
        let (close, closing) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        tokio::spawn(work(Arc::clone(&core), queued, closing, end, Arc::clone(&self.open)));
        Ok(Arc::new(Toy { core, queue, close, ended, fault: self.fault }))
    }

    fn after_a_kill(&self) -> Option<Box<dyn Shelf>> {
        Some(self.left_by(&self.disk))
    }

    fn after_a_power_cut(&self) -> Option<Box<dyn Shelf>> {
        Some(self.left_by(&self.medium))
    }
}

struct Toy {
    core: Arc<Mutex<Core>>,
    queue: mpsc::Sender<Write>,
    close: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    fault: Fault,
}

async fn work(
    core: Arc<Mutex<Core>>,
    mut queue: mpsc::Receiver<Write>,
    mut closing: watch::Receiver<bool>,
    end: watch::Sender<bool>,
    open: Arc<Mutex<bool>>,
) {
    let fault = lock(&core).fault;
    let mut held: Vec<Answer> = Vec::new();
    loop {
        let change = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => break,
            change = queue.recv() => change,
        };
        let Some(change) = change else { break };
        let is_busy = !queue.is_empty();
        let forgotten = fault == Fault::ForgetsAnAnswer && is_busy && matches!(change, Write::Publish { .. });
        let answer = lock(&core).apply(change);
        if forgotten {
            continue;
        }
        if fault == Fault::AnswersOutOfOrder && held.is_empty() && is_busy {
            held.push(answer);
            continue;
        }
        give(answer, fault, &mut queue);
        for answer in held.drain(..) {
            give(answer, fault, &mut queue);
        }
    }
    queue.close();
    while let Ok(change) = queue.try_recv() {
        // As long as a disk takes.
        tokio::task::yield_now().await;
        match fault {
            Fault::CloseDropsTheQueue => change.fail(MailboxError::Closed),
            _ => give(lock(&core).apply(change), fault, &mut queue),
        }
    }
    let core = lock(&core);
    let mut kept = core.state.clone();
    if fault == Fault::CloseForgetsMembers {
        kept.members.clear();
    }
    if fault == Fault::OneTimeKeysComeBack {
        Core::take_back(&mut kept);
    }
    *lock(&core.disk) = kept.clone();
    *lock(&core.medium) = kept;
    *lock(&open) = false;
    end.send_replace(true);
}

fn give(answer: Answer, fault: Fault, queue: &mut mpsc::Receiver<Write>) {
    // Should it panic, only it is lost.
    if catch_unwind(AssertUnwindSafe(answer)).is_err() && fault == Fault::PanicsSpread {
        while let Ok(change) = queue.try_recv() {
            change.fail(MailboxError::Storage("a panic".into()));
        }
        queue.close();
    }
}

impl Toy {
    fn read<T>(&self, read: impl FnOnce(&Core) -> T) -> Result<T, MailboxError> {
        if *self.close.borrow() && self.fault != Fault::ClosedAnswersReads {
            return Err(MailboxError::Closed);
        }
        Ok(read(&lock(&self.core)))
    }
}

#[async_trait]
impl Mailbox for Toy {
    async fn write(&self, change: Write) {
        if *self.close.borrow() {
            return change.fail(MailboxError::Closed);
        }
        if self.fault == Fault::WriteGoesOnAlone {
            let queue = self.queue.clone();
            return drop(tokio::spawn(async move { queue.send(change).await }).await);
        }
        if let Err(refused) = self.queue.send(change).await {
            refused.0.fail(MailboxError::Closed);
        }
    }

    async fn knows(&self, peer: PeerId) -> Result<bool, MailboxError> {
        self.read(|core| core.knows(peer))
    }

    async fn has_written(&self, peer: PeerId, other: PeerId) -> Result<bool, MailboxError> {
        self.read(|core| core.has_written(peer, other))
    }

    async fn waiting(
        &self,
        peer: PeerId,
        after: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Page, MailboxError> {
        self.read(|core| core.waiting(peer, after, max_items, max_bytes))
    }

    async fn roster(&self, room: RoomName, position: u64, max_bytes: usize) -> Result<Roster, MailboxError> {
        self.read(|core| core.roster(&room, position, max_bytes))
    }

    async fn find(&self, whom: Query, max_bytes: usize) -> Result<Vec<Entry>, MailboxError> {
        self.read(|core| core.find(&whom, max_bytes))
    }

    async fn close(&self) {
        let again = self.close.send_replace(true);
        if !(again && self.fault == Fault::SecondCloseIsQuick) {
            self.ended().await;
        }
    }

    async fn ended(&self) {
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}
