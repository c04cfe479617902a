//! Links inside one process, for tests and embedding.
//!
//! A place is any text that is not empty. One that ends in `:0` asks for a number of its own, as port 0 does
//! elsewhere: `listen("test:0")` listens at `test:1`, `test:2` or later, and [`Listener::address`] says where.
//! Places are shared by the whole process, whichever instance of the plugin listens or dials.
//!
//! The link is bare, as that of any transport that leaves protection to the layer above, so everything built
//! on links can be tried without a socket. Each direction is a queue of at most `queue_frames` frames that
//! takes no more once it holds `queue_bytes`, so it never holds more than `queue_bytes` and one frame.

mod pipe;
mod places;

use async_trait::async_trait;
use chat_core::transport::{BareLink, Role};
use chat_core::{Address, Dialed, Identity, Incoming, LinkError, Listener, Plugin, ProfileError, Transport};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::pipe::Capacity;
use crate::places::Place;

const NAME: &str = "memory";
/// Queues are for bridging a moment, not for storing; more than this is a mistake in the profile.
const MAX_QUEUE_FRAMES: usize = 1 << 16;
const MAX_QUEUE_BYTES: usize = 1 << 30;

/// The plugin's keys in `[transport]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryOptions {
    /// Frames that may wait in one direction, 1 to 65536.
    pub queue_frames: usize,
    /// Bytes in one direction from which on no further frame is taken, 1 to 2^30.
    pub queue_bytes: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { queue_frames: 64, queue_bytes: 1 << 20 }
    }
}

/// Carries frames between two parts of one process.
#[derive(Debug, Clone)]
pub struct Memory {
    capacity: Capacity,
}

impl Plugin<dyn Transport> for Memory {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "inside one process, for tests and embedding";
    const EXAMPLE: &'static str =
        "[transport]\nkind = \"memory\"\nqueue_frames = 64\nqueue_bytes = 1048576\n";
    type Options = MemoryOptions;

    fn build(options: MemoryOptions) -> Result<Box<dyn Transport>, ProfileError> {
        let MemoryOptions { queue_frames: frames, queue_bytes: bytes } = options;
        if !(1..=MAX_QUEUE_FRAMES).contains(&frames) {
            return Err(ProfileError::option("queue_frames", format!("from 1 to {MAX_QUEUE_FRAMES}")));
        }
        if !(1..=MAX_QUEUE_BYTES).contains(&bytes) {
            return Err(ProfileError::option("queue_bytes", format!("from 1 to {MAX_QUEUE_BYTES}")));
        }
        Ok(Box::new(Self { capacity: Capacity { frames, bytes } }))
    }
}

#[async_trait]
impl Transport for Memory {
    async fn dial(&self, to: &Address, _: &Identity) -> Result<Dialed, LinkError> {
        let (ours, theirs) = pair(self.capacity);
        places::offer(&to.place, theirs).await?;
        Ok(Dialed::Bare(ours))
    }

    async fn listen(&self, on: &Address, _: &Identity) -> Result<Box<dyn Listener>, LinkError> {
        let (place, offers) = places::take(&on.place)?;
        Ok(Box::new(MemoryListener { place, offers }))
    }
}

/// Both ends of a link, the dialer's first.
fn pair(capacity: Capacity) -> (BareLink, BareLink) {
    let (up, down) = (pipe::pipe(capacity), pipe::pipe(capacity));
    let stats = |sent: &pipe::Figures, received: &pipe::Figures| pipe::stats(sent.clone(), received.clone());
    let (ours, theirs) = (stats(&up.figures, &down.figures), stats(&down.figures, &up.figures));
    let link = |role, sink, source, stats| BareLink { transport: NAME, role, sink, source, stats };
    (link(Role::Initiator, up.sink, down.source, ours), link(Role::Responder, down.sink, up.source, theirs))
}

struct MemoryListener {
    place: Place,
    offers: mpsc::Receiver<BareLink>,
}

#[async_trait]
impl Listener for MemoryListener {
    fn address(&self) -> Address {
        Address::new(self.place.name())
    }

    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError> {
        let link = self.offers.recv().await.ok_or(LinkError::Closed)?;
        Ok(Box::new(Offer { link, place: self.place.name().to_owned() }))
    }
}

struct Offer {
    link: BareLink,
    place: String,
}

#[async_trait]
impl Incoming for Offer {
    fn remote(&self) -> String {
        format!("a dialer of {} in this process", self.place)
    }

    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError> {
        Ok(Dialed::Bare(self.link))
    }
}

#[cfg(test)]
mod tests;

chat_core::register!(dyn Transport, Memory);
