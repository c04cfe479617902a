//! Being the relay, if nobody is.

use std::sync::Arc;
use std::time::Duration;

use chat_core::profile::Host;
use chat_core::{Address, LinkError, Listener};
use relay::Relay;
use tokio::sync::oneshot;

use super::{Hop, Hosted, Hosting, Obstacle, Place, Shared};

/// How often a client that may host looks whether the host is gone; jittered by half.
const PROBE_MS: u64 = 800;

impl Shared {
    fn may_host(&self) -> bool {
        let Place { host, ways, identity, .. } = &self.place;
        let is_own = |pin| pin == identity.peer_id();
        *host == Host::Auto && ways.iter().all(|way| way.address.pin.is_none_or(is_own))
    }

    /// Becomes the relay if the address can be bound; if there are several, all of them: whoever comes may come by any, and
    /// with the relay elsewhere by one of them nobody is it here. Cancel safe.
    pub(super) async fn try_host(self: &Arc<Self>) -> Result<Hosting, Obstacle> {
        let _one_at_a_time = self.hosting.lock().await;
        if let Some(hosted) = self.state().hosted.clone() {
            return Ok(Hosting::Yes(hosted));
        }
        if !self.may_host() {
            return Ok(Hosting::No);
        }
        let Place { ways, identity, .. } = &self.place;
        let mut listeners = Vec::new();
        for way in ways {
            let unpinned = Address::new(way.address.place.clone());
            match way.transport.listen(&unpinned, identity).await {
                Ok(listener) => listeners.push(listener),
                Err(LinkError::AddressInUse { .. }) => return Ok(Hosting::Taken),
                Err(error @ LinkError::BadAddress { .. }) => {
                    tracing::debug!(%error, "this machine can't host at the relay's address");
                    return Ok(Hosting::No);
                }
                Err(error) => return Err(Obstacle::Listen(error)),
            }
        }
        let own = |place| Address { place, pin: Some(identity.peer_id()) };
        let addresses = listeners.iter().map(|listener| own(listener.address().place)).collect();
        let hosted = Arc::new(Hosted { relay: self.open_relay().await?, addresses });
        {
            let mut state = self.state();
            if state.ended {
                return Ok(Hosting::No);
            }
            state.hosted = Some(Arc::clone(&hosted));
        }
        for listener in listeners {
            tokio::spawn(Arc::clone(self).serve(Arc::clone(&hosted), listener));
        }
        tracing::info!("this program is the relay now");
        Ok(Hosting::Yes(hosted))
    }

    async fn open_relay(&self) -> Result<Relay, Obstacle> {
        let Place { relay, mailbox, environment, .. } = &self.place;
        let (mut relay, open) = (relay.clone(), Arc::clone(mailbox));
        chat_relay::files::provide(&mut relay, self.place.ways.len());
        let (tell, told) = oneshot::channel();
        // Whoever asked may be gone.
        let opening = environment.spawn("mailbox-opening", Box::pin(async move { drop(tell.send(open())) }));
        let opened = match opening {
            Ok(()) => told.await.unwrap_or_else(|_| Err("opening it failed".to_owned())),
            Err(error) => Err(format!("there is no thread for it: {error}")),
        };
        match opened {
            Ok(mailbox) => Ok(Relay::new_in(relay, mailbox, Arc::clone(environment))),
            Err(reason) => {
                tracing::error!(reason, "the relay's mailbox can't be opened, so this program does not host");
                Err(Obstacle::Mailbox { reason })
            }
        }
    }

    /// Serves until the relay is shut down. If listening ends by itself, this program is no longer the relay: the
    /// address and the mailbox are given free, for the next attempt or for somebody else.
    async fn serve(self: Arc<Self>, hosted: Arc<Hosted>, listener: Box<dyn Listener>) {
        let Place { identity, environment, .. } = &self.place;
        let secure = Arc::new(Hop { identity: identity.clone(), environment: Arc::clone(environment) });
        let Err(error) = hosted.relay.serve(listener, secure).await else { return };
        tracing::error!(%error, "the relay of this program stopped listening");
        let _one_at_a_time = self.hosting.lock().await;
        let ours = {
            let mut state = self.state();
            state.hosted.take_if(|now| Arc::ptr_eq(now, &hosted)).is_some()
        };
        if ours {
            hosted.relay.shutdown().await;
        }
    }

    pub(super) fn listen_lines(&self, hosted: &Hosted) -> Vec<String> {
        let ways = self.place.ways.iter().zip(&hosted.addresses);
        ways.map(|(way, address)| way.line_at(address)).collect()
    }

    /// Asks again and again whether the host is gone; says so once this program has taken its place.
    pub(super) async fn watch(self: Arc<Self>, mut superseded: oneshot::Sender<()>) {
        loop {
            let byte = self.place.environment.entropy().bytes::<1>().map_or(128, |[byte]| u64::from(byte));
            let wait = Duration::from_millis(PROBE_MS / 2 + PROBE_MS * byte / 255);
            tokio::select! {
                () = superseded.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match self.try_host().await {
                Ok(Hosting::Taken) => {}
                // Out of files, a resolver that is away, a mailbox not yet closed: it may pass.
                Err(obstacle) => tracing::debug!(%obstacle, "this program can't take the host's place now"),
                Ok(Hosting::Yes(_)) => {
                    if superseded.send(()).is_err() {
                        tracing::debug!("the link had ended by itself");
                    }
                    return;
                }
                Ok(Hosting::No) => return,
            }
        }
    }
}
