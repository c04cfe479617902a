//! Keys are made beside the engine: RSA takes its time, and the program is ready meanwhile.

use std::sync::{Arc, Weak};
use std::time::Duration;

use chat_core::Cipher;
use chat_core::environment::Environment;
use chat_core::error::CryptoError;
use chat_core::key_exchange::{Context, KeyExchange};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::engine::Input;

/// What the key exchange is asked for.
pub(super) trait Making: Send + 'static {
    type Keys: Send + 'static;
    fn make(&self, exchange: &dyn KeyExchange, cx: &mut Context<'_>) -> Result<Self::Keys, CryptoError>;
    /// As the engine takes it.
    fn input(keys: Result<Self::Keys, CryptoError>) -> Input;
}

/// A bundle.
pub(super) struct MakeBundle;

impl Making for MakeBundle {
    type Keys = chat_core::key_exchange::NewBundle;
    fn make(&self, exchange: &dyn KeyExchange, cx: &mut Context<'_>) -> Result<Self::Keys, CryptoError> {
        exchange.new_bundle(cx)
    }
    fn input(keys: Result<Self::Keys, CryptoError>) -> Input {
        Input::Keys(keys)
    }
}

/// So many one-time keys.
pub(super) struct MakeOneTimeKeys(pub(super) usize);

impl Making for MakeOneTimeKeys {
    type Keys = Vec<chat_core::key_exchange::OneTimePair>;
    fn make(&self, exchange: &dyn KeyExchange, cx: &mut Context<'_>) -> Result<Self::Keys, CryptoError> {
        exchange.one_time_keys(self.0, cx)
    }
    fn input(keys: Result<Self::Keys, CryptoError>) -> Input {
        Input::OneTimeKeys(keys)
    }
}

/// Who makes keys, one at a time.
pub(super) struct Maker {
    pub(super) exchange: Arc<dyn KeyExchange>,
    pub(super) cipher: Arc<dyn Cipher>,
    pub(super) environment: Arc<dyn Environment>,
    pub(super) made: mpsc::Sender<Input>,
    pub(super) deadline: Duration,
    /// Held by whoever is at it.
    at_it: Weak<()>,
}

impl Maker {
    pub(super) fn new(
        (exchange, cipher): (Arc<dyn KeyExchange>, Arc<dyn Cipher>),
        environment: Arc<dyn Environment>,
        made: mpsc::Sender<Input>,
        deadline: Duration,
    ) -> Self {
        Self { exchange, cipher, environment, made, deadline, at_it: Weak::new() }
    }

    pub(super) fn make<M: Making>(&mut self, making: M) {
        let (exchange, cipher) = (Arc::clone(&self.exchange), Arc::clone(&self.cipher));
        let (environment, deadline) = (Arc::clone(&self.environment), self.deadline);
        let (made, wait) = oneshot::channel();
        // Work that hangs keeps its thread for ever; there is never a second one of its kind.
        let at_it = Arc::new(());
        let hangs = std::mem::replace(&mut self.at_it, Arc::downgrade(&at_it)).upgrade();
        if let Some(hanging) = hangs {
            self.at_it = Arc::downgrade(&hanging);
            let failed = Err(CryptoError::Failed("it has not returned from making the last ones"));
            // The last failure may still be on its way; then that one is told.
            drop(self.made.try_send(M::input(failed)));
            return;
        }
        let work = async move {
            let _at_it = at_it;
            let mut entropy = environment.entropy();
            let mut cx = Context { now: environment.now(), entropy: &mut *entropy, cipher, binding: [0; 32] };
            // Whoever waited may have given up.
            drop(made.send(making.make(&*exchange, &mut cx)));
        };
        let spawned = self.environment.spawn("keys", Box::pin(work));
        let tell = self.made.clone();
        tokio::spawn(async move {
            let keys = match spawned {
                Ok(()) => match timeout(deadline, wait).await {
                    Ok(Ok(keys)) => keys,
                    Ok(Err(_)) => Err(CryptoError::Failed("it panicked while making keys")),
                    Err(_) => Err(CryptoError::Failed("it took too long to make keys")),
                },
                Err(_) => Err(CryptoError::Failed("there is no thread to make keys on")),
            };
            // The engine may have ended meanwhile.
            drop(tell.send(M::input(keys)).await);
        });
    }
}
