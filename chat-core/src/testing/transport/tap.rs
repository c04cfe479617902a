//! Somebody between two ends: passes bytes on, notes them, slips some in, or stops without a word.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bench::{Bench, End, accept, alice};
use super::wire::{Line, Lines, Wire};
use crate::testing::Violation;
use crate::testing::rule::Must as _;
use crate::transport::Listener;

/// Most bytes that are passed on at once; more than any datagram.
const PIECE: usize = 66_000;

type Pieces = Arc<Mutex<Vec<Vec<u8>>>>;

/// A line between who dials and who listens.
pub(super) struct Tap {
    silent: watch::Sender<bool>,
    /// What came from who dialed, piece by piece.
    from_dialer: Pieces,
    to_listener: Arc<dyn Line>,
    pumps: [JoinHandle<()>; 2],
}

impl Tap {
    /// A link from Alice to who listens, through a tap.
    pub(super) async fn link(
        bench: &Bench<'_>,
        wire: &dyn Wire,
        listener: &mut dyn Listener,
    ) -> Result<(End, End, Self), Violation> {
        let address = listener.address();
        let front = bench.soon("listening by hand", wire.listen(&bench.subject().place())).await?;
        let mut front = front.must("listening by hand")?;
        let before = front.address().must("listening by hand")?;
        let me = alice();
        let tapped = Self::between(&mut *front, wire, &address);
        let accepted = async { accept(listener.next().await?).await };
        let all = async { tokio::join!(bench.dial(&before, &me), accepted, tapped) };
        let (dialed, accepted, tap) =
            bench.soon("a handshake through somebody who passes all on", all).await?;
        let tap = tap.must("passing on")?;
        let mut a = dialed?.must("dialing through somebody who passes all on")?;
        let mut b = accepted.must("accepting through somebody who passes all on")?;
        bench.greet(&mut a, &mut b).await?;
        Ok((a, b, tap))
    }

    async fn between(front: &mut dyn Lines, wire: &dyn Wire, to: &crate::Address) -> io::Result<Self> {
        let near: Arc<dyn Line> = front.next().await?.into();
        let far: Arc<dyn Line> = wire.connect(to).await?.into();
        let (silent, said) = watch::channel(false);
        let from_dialer = Pieces::default();
        let to_listener = Arc::clone(&far);
        let there = pump(Arc::clone(&near), Arc::clone(&far), said.clone(), Some(Arc::clone(&from_dialer)));
        let back = pump(far, near, said, None);
        Ok(Self { silent, from_dialer, to_listener, pumps: [tokio::spawn(there), tokio::spawn(back)] })
    }

    /// From now on nothing is passed on any more, and nobody hangs up.
    pub(super) fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Slips bytes in, towards who listens.
    pub(super) async fn slip_in(&self, bytes: &[u8]) -> io::Result<()> {
        self.to_listener.send(bytes).await
    }

    /// What the dialer has sent until now.
    pub(super) fn recorded(&self) -> Vec<Vec<u8>> {
        self.from_dialer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Hangs up on both sides.
impl Drop for Tap {
    fn drop(&mut self) {
        self.pumps.iter().for_each(JoinHandle::abort);
    }
}

/// Passes bytes on until one side is gone; then hangs up, if nobody has fallen silent. What is not read waits where it is.
async fn pump(
    from: Arc<dyn Line>,
    to: Arc<dyn Line>,
    mut silent: watch::Receiver<bool>,
    notes: Option<Pieces>,
) {
    let mut buf = vec![0; PIECE];
    loop {
        let read = tokio::select! {
            biased;
            // An error is that nobody can tell it any more.
            _ = silent.wait_for(|silent| *silent) => break,
            read = from.recv(&mut buf) => read,
        };
        let Ok(len @ 1..) = read else { return };
        let piece = buf.get(..len).unwrap_or_default();
        if let Some(notes) = &notes {
            notes.lock().unwrap_or_else(PoisonError::into_inner).push(piece.to_vec());
        }
        tokio::select! {
            biased;
            _ = silent.wait_for(|silent| *silent) => break,
            sent = to.send(piece) => if sent.is_err() { return },
        }
    }
    // Holds both lines until the tap is dropped.
    std::future::pending().await
}
