//! An engine that is played: it publishes what the script says, and answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::script::Step;
use super::world::World;
use crate::api::command::{Command, CommandError, ErrorKind, Reply};
use crate::api::handle::{self, EngineSide, Request};
use crate::api::{ClientHandle, Event, EventId, StopReason};
use crate::testing::rule::{Must as _, Violation};

/// Only so that a defect does not hang the tests.
pub(super) const HANGS: Duration = Duration::from_secs(60);
/// Commands that may wait for the rule to answer them.
const MOST_HELD: usize = 1024;
const EPOCH: u32 = 0xc0ff_ee00;

/// The engine's side of a frontend.
pub(super) struct Stage {
    client: ClientHandle,
    side: EngineSide,
    world: Arc<Mutex<World>>,
    held: mpsc::Receiver<Request>,
    /// Dropped, the thread that takes requests ends.
    _open: watch::Sender<()>,
    runtime: tokio::runtime::Runtime,
    pub(super) at: EventId,
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub(super) fn new() -> Result<Self, Violation> {
        let at = EventId { epoch: EPOCH, n: 0 };
        let world = World::new()?;
        let (client, mut side) = handle::channel(world.snapshot(at));
        // The engine's side goes on to publish; requests are taken elsewhere.
        let (_, none) = mpsc::channel(1);
        let requests = std::mem::replace(&mut side.requests, none);
        let (world, (hold, held)) = (Arc::new(Mutex::new(world)), mpsc::channel(MOST_HELD));
        let (open, closed) = watch::channel(());
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build();
        let (serving, answering) = (runtime().must("making a runtime")?, Arc::clone(&world));
        let serve = move || serving.block_on(serve(requests, &answering, hold, closed));
        std::thread::Builder::new().name("stage".into()).spawn(serve).must("starting a thread")?;
        let runtime = runtime().must("making a runtime")?;
        Ok(Self { client, side, world, held, _open: open, runtime, at })
    }

    pub(super) fn client(&self) -> ClientHandle {
        self.client.clone()
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Publishes what comes of a change to the world.
    pub(super) fn publish(
        &mut self,
        change: impl FnOnce(&mut World) -> Result<Vec<Event>, Violation>,
    ) -> Result<(), Violation> {
        let mut world = lock(&self.world);
        let events = change(&mut world)?;
        self.at.n += events.len() as u64;
        self.side.publish(events, |event| world.snapshot(event));
        Ok(())
    }

    /// Plays a step of the script.
    pub(super) fn play(&mut self, step: &Step) -> Result<(), Violation> {
        self.publish(step.play)
    }

    /// The next command that the rule has to answer.
    pub(super) fn request(&mut self) -> Result<Request, Violation> {
        let next = async { tokio::time::timeout(HANGS, self.held.recv()).await };
        let next = self.runtime.block_on(next);
        next.map_err(|_| Violation::new("no command came to the engine"))?
            .ok_or_else(|| Violation::new("the engine's queue has ended"))
    }

    /// A command that came without being asked for.
    pub(super) fn other_request(&mut self) -> Option<Command> {
        self.held.try_recv().ok().map(|request| request.command)
    }

    /// Tells every frontend to end.
    pub(super) fn stop(&self) {
        self.side.stop(StopReason { exit_code: 0, message: None });
    }
}

/// Takes requests as an engine does, at once: what a frontend asks for by itself is answered, the rest is the rule's.
async fn serve(
    mut requests: mpsc::Receiver<Request>,
    world: &Mutex<World>,
    hold: mpsc::Sender<Request>,
    mut closed: watch::Receiver<()>,
) {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            // Never changed, so it is an error: the stage is gone.
            _ = closed.changed() => return,
        };
        let Some(request) = request else { return };
        let answer = match &request.command {
            Command::History(asked) => lock(world)
                .history(asked)
                .ok_or_else(|| CommandError::new(ErrorKind::NotFound, "no such conversation")),
            // Nothing else comes of it: what is unread is the script's to say.
            Command::MarkRead(_) | Command::SetTyping(_) => Ok(Reply::Done {}),
            _ => {
                if hold.send(request).await.is_err() {
                    return;
                }
                continue;
            }
        };
        // Who asked may have gone.
        drop(request.reply.send(answer));
    }
}
