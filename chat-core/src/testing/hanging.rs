//! A plugin that never returns, for tests of who has to live with it.

use crate::error::CryptoError;
use crate::key_exchange::{
    Context, KeyExchange, NewBundle, OwnBundle, PeerBundle, Properties, SavedSession, Session,
};

/// The key exchange inside, but that beginning a session never returns: it makes keys, and hangs when it is to use
/// somebody's.
pub struct Hanging<E>(pub E);

impl<E: AsRef<dyn KeyExchange> + Send + Sync> KeyExchange for Hanging<E> {
    fn properties(&self) -> Properties {
        self.0.as_ref().properties()
    }

    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        self.0.as_ref().new_bundle(cx)
    }

    fn initiate(
        &self,
        _: &OwnBundle<'_>,
        _: &PeerBundle<'_>,
        _: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        loop {
            std::thread::park();
        }
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        self.0.as_ref().accept(own, peer, first, cx)
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        self.0.as_ref().restore(saved, cx)
    }
}
