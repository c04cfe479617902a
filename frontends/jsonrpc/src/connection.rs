//! One conversation in JSON-RPC over a pair of byte streams: the standard ones, or a socket's.
//!
//! A thread reads and a thread writes; between them one task owns the state. What can grow is bounded:
//! commands in flight, bytes to be written, one line being read. When the other side does not read, the
//! task stops taking requests and events (which then are dropped by the engine's own bound, and `lag` says
//! so), never answers.

use std::io::{self, Read, Write};
use std::time::Duration;

use chat_core::api::ClientHandle;
use chat_core::error::FrontendError;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::dialogue::Dialogue;
use crate::pipes::{self, Writer};

/// How long sending what is queued may take after the end of input.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);
/// How long the very last lines may take when everything else took all the time there was.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Owner,
    Guest,
}

/// A connection about to be served.
pub struct Connection {
    client: ClientHandle,
    role: Role,
    flush_within: Duration,
}

impl Connection {
    /// The program's own: it is told everything since the start, beginning with `ready`; at the end of its
    /// input what is queued is sent before it leaves.
    pub fn owner(client: ClientHandle) -> Self {
        Self { client, role: Role::Owner, flush_within: FLUSH_WITHIN }
    }

    /// One beside the program's frontend: it is told what happens from now on, and comes and goes.
    pub fn guest(client: ClientHandle) -> Self {
        Self { role: Role::Guest, ..Self::owner(client) }
    }

    /// How long to wait, after the end of input, for answers and for what is queued to be sent; 5 s unless told.
    #[must_use]
    pub fn flush_within(self, flush_within: Duration) -> Self {
        Self { flush_within, ..self }
    }

    /// Serves until the input ends, the output is closed, `system.shutdown`, or the engine stops. Blocks the
    /// calling thread, which must not be one of an asynchronous runtime. Never waits for a blocked stream:
    /// the threads that read and write may outlive the call.
    ///
    /// # Errors
    /// A stream failed otherwise than by the other side's going.
    pub fn run(
        self,
        read: impl Read + Send + 'static,
        write: impl Write + Send + 'static,
    ) -> Result<(), FrontendError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let input = pipes::read_from(read)?;
        let writer = pipes::write_to(write)?;
        let dialogue = Dialogue::new(self.client, self.role, self.flush_within);
        Ok(runtime.block_on(converse(dialogue, input, writer))?)
    }
}

async fn converse(
    mut dialogue: Dialogue,
    mut input: mpsc::Receiver<io::Result<Vec<u8>>>,
    writer: Writer,
) -> io::Result<()> {
    let client = dialogue.client.clone();
    loop {
        dialogue.advance();
        if dialogue.is_finished() {
            break;
        }
        let room = dialogue.desk.has_room();
        let hears = !dialogue.desk.is_mute();
        let deadline = dialogue.deadline();
        // One of the last two can always be waited for: who hears nothing has a deadline.
        tokio::select! {
            permit = writer.pieces.reserve(), if hears && dialogue.desk.has_out() => match permit {
                Ok(permit) => permit.send(dialogue.desk.take_out()),
                Err(_) => dialogue.output_closed(),
            },
            chunk = input.recv(), if dialogue.reads() => dialogue.input(chunk),
            place = client.reserve(), if dialogue.has_order() => dialogue.submit(place),
            Some(done) = dialogue.pending.next(), if room => dialogue.answered(done),
            news = dialogue.feed.next(), if room && !dialogue.feed.has_stopped() => dialogue.tell(&news),
            news = dialogue.watch.next(), if !dialogue.watch.has_stopped() => dialogue.watched(&news),
            () = writer.pieces.closed(), if hears => dialogue.output_closed(),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
        }
    }
    last_words(dialogue, writer).await
}

/// Writes what is left, as long as there is time.
async fn last_words(mut dialogue: Dialogue, writer: Writer) -> io::Result<()> {
    tracing::debug!(unsent = dialogue.unsent.len(), "the connection ends");
    let now = Instant::now();
    let until = dialogue.deadline().unwrap_or(now).max(now + LAST_WORDS_WITHIN);
    let Writer { pieces, ended } = writer;
    let rest = dialogue.desk.take_out();
    let written = async move {
        if !rest.is_empty() {
            // If the writer has ended before, `ended` tells why.
            pieces.send(rest).await.ok();
        }
        drop(pieces);
        ended.await
    };
    match timeout_at(until, written).await {
        Ok(Ok(Err(error))) => dialogue.fail(error),
        Ok(Ok(Ok(())) | Err(_)) => {}
        Err(_) => tracing::debug!("left without waiting for a reader that does not read"),
    }
    dialogue.failure.map_or(Ok(()), Err)
}
