//! Streams and datagrams for links that have none: carried over the link's frames, by the core.
//!
//! [`complete`] is put over every link where it is made, at both of its ends. The bytes are in `WIRE.md` §10.
//!
//! - **Chat first.** A frame of the link's own never waits behind more than one piece (16 KiB) of a stream, or one datagram:
//!   the next of these is handed to the transport when the one before is flushed and no such frame waits. Streams take turns,
//!   a piece each. What opens, ends and feeds streams is a few bytes, and goes at once. What the transport or the system itself
//!   queues is theirs.
//! - **Free if unused.** A link on which nobody opens a stream or sends a datagram carries the same bytes as without
//!   this; a frame that begins with `c5` costs one byte more. No task, no timer.
//! - **Bounded.** Each end may have [`MAX_STREAMS`] streams of its own open, and each direction of a stream has a window of
//!   [`WINDOW_BYTES`]; datagrams wait in short queues, and the oldest give way. What a reader leaves unread takes nothing
//!   from another stream or from the link.
//! - **Refused if nobody is there.** An end that drops its [`Streams`] takes no further ones: they are refused, each with
//!   a few bytes. Datagrams for which there is no [`Datagrams`] are dropped.
//! - A peer that breaks a rule, or claims more than its limits, ends the link with an error that says so.
//!
//! Whoever reads or writes anything of the link drives all of it; so somebody must, and a program always waits for the next
//! frame of a link. If nobody takes the link's own frames, 256 KiB of them are kept, then streams wait, too. Closing the
//! link's sink ends this direction of its streams and datagrams with it; dropping its source ends the other.

mod ends;
mod inside;
mod over;
mod own;
mod queue;
mod shared;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use super::Link;
use crate::error::LinkError;
use ends::{EmulatedDatagrams, EmulatedStreams};
pub use over::Complete;
use own::{MainSink, MainSource};
use shared::Shared;

/// Version of what is said; both ends speak the lower one of theirs.
pub const VERSION: u8 = 1;
/// Streams that an end may have opened and that have not ended.
pub const MAX_STREAMS: usize = 16;
/// What one direction of a stream may hold that came and was not read: its bytes, and 64 for each piece.
pub const WINDOW_BYTES: u32 = 256 << 10;
/// Longest piece of a stream's frame.
pub const CHUNK_BYTES: usize = 16 << 10;
/// Longest datagram: as where QUIC has them, so that nobody has to care.
pub const MAX_DATAGRAM_BYTES: usize = 1150;
/// Datagrams that wait to be sent, and that wait to be taken.
const MAX_DATAGRAMS_OUT: usize = 64;
const MAX_DATAGRAMS_IN: usize = 256;

/// What the other end said breaks a rule, in these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed(&'static str);

impl From<Malformed> for LinkError {
    fn from(Malformed(what): Malformed) -> Self {
        let text = format!("the other end broke the rules of streams: {what}");
        Self::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, text))
    }
}

/// Adds what the link lacks: streams, datagrams, or both, marked as emulated. A link that has them stays as it is.
pub fn complete(link: Link) -> Link {
    let Link { peer, sink, source, datagrams, streams, stats } = link;
    if datagrams.is_some() && streams.is_some() {
        return Link { peer, sink, source, datagrams, streams, stats };
    }
    let shared = Shared::new(sink, source);
    // Those that the transport has itself are dropped here, and so nobody can use these beside them.
    let mine = (EmulatedDatagrams::new(&shared), EmulatedStreams::new(&shared));
    Link {
        peer,
        sink: Box::pin(MainSink::new(&shared)),
        source: Box::pin(MainSource::new(&shared)),
        datagrams: datagrams.or_else(|| Some(Arc::new(mine.0))),
        streams: streams.or_else(|| Some(Arc::new(mine.1))),
        stats,
    }
}
