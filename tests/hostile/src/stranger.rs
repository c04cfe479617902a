//! An authenticated client that speaks records as it likes: a real identity, a real hop, and no engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_core::transport::{FrameSink, FrameSource};
use chat_core::wire::relay::{Delivery, Refusal};
use chat_core::wire::{Envelope, FromRelay, ToRelay, WIRE_VERSION};
use chat_core::{Address, EnvelopeId, Identity, LinkError, PeerId, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;

/// How long the relay may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with a link.
pub struct Stranger {
    /// Who it is.
    pub identity: Identity,
    sink: FrameSink,
    source: FrameSource,
    /// Records that came while another was waited for.
    early: Vec<FromRelay>,
}

impl Stranger {
    /// Has a link, and has said nothing.
    ///
    /// # Errors
    /// The relay does not let it in.
    pub async fn dial(
        transport: &dyn Transport,
        to: &Address,
        identity: &Identity,
    ) -> Result<Self, LinkError> {
        let link =
            timeout(PATIENCE, transport_noise::dial(transport, to, identity)).await.expect("an answer")?;
        Ok(Self { identity: identity.clone(), sink: link.sink, source: link.source, early: Vec::new() })
    }

    /// Was welcomed.
    pub async fn welcomed(transport: &dyn Transport, to: &Address, identity: &Identity) -> Self {
        let mut stranger = Self::dial(transport, to, identity).await.expect("a link");
        stranger.say(&ToRelay::Hello { version: WIRE_VERSION }).await;
        stranger.wait(|record| matches!(record, FromRelay::Welcome { .. }).then_some(())).await;
        stranger
    }

    /// Its peer id.
    pub fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Says a record.
    pub async fn say(&mut self, record: &ToRelay) {
        assert!(self.say_bytes(record.encode()).await, "the relay takes no more");
    }

    /// Says anything that fits into a frame; whether the link took it.
    pub async fn say_bytes(&mut self, frame: Vec<u8>) -> bool {
        timeout(PATIENCE, self.sink.send(frame.into())).await.is_ok_and(|sent| sent.is_ok())
    }

    /// Waits for a record that `wanted` takes; others stay for later.
    pub async fn wait<T>(&mut self, mut wanted: impl FnMut(&FromRelay) -> Option<T>) -> T {
        if let Some(found) = self.early.iter().position(|record| wanted(record).is_some()) {
            return wanted(&self.early.remove(found)).expect("it was wanted before");
        }
        loop {
            let record = self.next().await.expect("the link has ended");
            match wanted(&record) {
                Some(found) => return found,
                None => self.early.push(record),
            }
        }
    }

    /// Waits for the next deliveries, and reads nothing behind them: whoever calls this seldom reads slowly.
    pub async fn deliveries(&mut self) -> Vec<Delivery> {
        self.wait(|record| match record {
            FromRelay::Deliver { items } => Some(items.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until everything said before was read and answered; what came.
    pub async fn settle(&mut self) -> Vec<FromRelay> {
        static LAST: AtomicU64 = AtomicU64::new(1 << 40);
        let n = LAST.fetch_add(1, Ordering::Relaxed);
        self.say(&ToRelay::Ping { n }).await;
        self.wait(|record| (*record == FromRelay::Pong { n }).then_some(())).await;
        std::mem::take(&mut self.early)
    }

    /// Submits one envelope; what became of it.
    ///
    /// # Errors
    /// The relay's refusal.
    pub async fn submit(&mut self, envelope: Envelope) -> Result<(), Refusal> {
        let sent = envelope.id;
        self.say(&ToRelay::Submit { envelopes: vec![envelope] }).await;
        self.fate(sent).await
    }

    /// What became of an envelope.
    ///
    /// # Errors
    /// The relay's refusal.
    pub async fn fate(&mut self, sent: EnvelopeId) -> Result<(), Refusal> {
        self.wait(|record| match record {
            FromRelay::Stored { ids } if ids.contains(&sent) => Some(Ok(())),
            FromRelay::Refused { id, why } if *id == sent => Some(Err(*why)),
            _ => None,
        })
        .await
    }

    /// Waits for the answer to a record that must be refused.
    pub async fn refusal(&mut self) -> Refusal {
        self.wait(|record| match record {
            FromRelay::Error { why, .. } => Some(*why),
            _ => None,
        })
        .await
    }

    /// Reads until the link ends; everything that came.
    pub async fn last_words(mut self) -> Vec<FromRelay> {
        while let Some(record) = self.next().await {
            self.early.push(record);
        }
        self.early
    }

    async fn next(&mut self) -> Option<FromRelay> {
        let frame = timeout(PATIENCE, self.source.next()).await.expect("the relay says nothing")?.ok()?;
        Some(FromRelay::decode(&frame).expect("a record"))
    }
}
