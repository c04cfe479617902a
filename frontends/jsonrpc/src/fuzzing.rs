//! A conversation without threads and without an engine, for the fuzz targets.

use std::sync::Arc;

use chat_core::api::{Reply, Snapshot};

use crate::desk::Desk;
use crate::lines::LineSplitter;
use crate::methods::{Action, Hello, resolve};
use crate::protocol::Outcome;

/// Everything that is answered to these chunks of input, if the engine says yes to every command.
pub fn converse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, now: &Arc<Snapshot>) -> Vec<u8> {
    let (mut lines, mut desk, mut out) = (LineSplitter::default(), Desk::default(), Vec::new());
    for chunk in chunks {
        lines.push(chunk);
        answer(&mut lines, &mut desk, now, &mut out);
    }
    lines.finish();
    answer(&mut lines, &mut desk, now, &mut out);
    out
}

fn answer(lines: &mut LineSplitter, desk: &mut Desk, now: &Arc<Snapshot>, out: &mut Vec<u8>) {
    while let Some(line) = lines.next_line() {
        desk.take(&line);
        while let Some((ticket, call)) = desk.next() {
            let outcome = match call.and_then(|call| resolve(call, &|| Arc::clone(now))) {
                Ok(Action::Engine(_)) => Outcome::Reply(Reply::Done {}),
                Ok(Action::Hello(params)) => Outcome::of(&Hello::new(now, params.since.is_some())),
                Ok(Action::Done(outcome)) => outcome,
                Err(error) => Outcome::Error(error),
            };
            desk.finish(ticket, outcome);
            out.append(&mut desk.take_out());
        }
    }
}
