//! What a program needs around a relay: a data directory that one process owns, an identity in it, listeners,
//! a line that says it is ready, an end in good order. A relay's program is this and a command line.
//!
//! A data directory holds `lock` (locked as long as a process has it), `identity.key` (the 32 bytes of the Ed25519
//! private key, mode 0600) and `relay.db`, the same as in a client that hosts.

mod files;
mod folder;
mod identity;
mod key_file;
mod lock;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_core::identity::Identity;
use chat_core::transport::{Address, Listener, Transport};
use chat_core::{Entropy, LinkError, PeerId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::config::{MailboxLimits, RelayConfig};
use crate::mailbox::MailboxError;
use crate::server::{Relay, Secure};
pub use folder::DataDir;
pub use identity::{existing_identity, existing_peer, peer_of_key_file};
pub use key_file::{IdentityLock, KeyError, KeyProblem};

/// Why a relay could not be hosted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Another process has the data directory.
    #[error("{0} is in use by another process; stop that one or choose another data directory")]
    InUse(PathBuf),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file is there that would be overwritten.
    #[error("{0} is there already; nothing was changed")]
    Exists(PathBuf),
    /// Something else is where a file should be.
    #[error("{path} is {what}, and not a file")]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is, for people.
        what: &'static str,
    },
    /// The identity can't be had of its file. It is left as it is.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no randomness for a new identity.
    #[error("no identity could be made: {0}")]
    Entropy(chat_core::CryptoError),
    /// The mailbox could not be opened.
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
    /// Listening failed.
    #[error("{address}: {source}")]
    Listen {
        /// Where, as `kind://place`.
        address: String,
        /// Why.
        source: LinkError,
    },
}

/// What a relay says on stdout once it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What was really bound, as `kind://place`.
    pub listen: Vec<String>,
    /// The relay's peer id, for pins.
    pub fingerprint: PeerId,
}

impl Ready {
    /// `{"ready":{"listen":["tcp://127.0.0.1:12345"],"fingerprint":"…"}}`, without a line feed.
    pub fn line(&self) -> String {
        let Self { listen, fingerprint } = self;
        let listen = serde_json::Value::from(listen.as_slice());
        format!(r#"{{"ready":{{"listen":{listen},"fingerprint":"{fingerprint}"}}}}"#)
    }
}

/// Where a hosted relay listens, and with what.
pub struct Listen {
    /// The transport's name.
    pub kind: String,
    /// The transport.
    pub transport: Box<dyn Transport>,
    /// The place.
    pub address: Address,
}

/// Everything about a hosted relay.
pub struct Host<'a> {
    /// Where identity and mailbox are.
    pub data_dir: &'a Path,
    /// Where the identity is, if not in the data directory.
    pub key_file: Option<&'a Path>,
    /// At least one.
    pub listen: Vec<Listen>,
    /// Makes links of what the transports give; gets the relay's identity.
    pub secure: &'a (dyn Fn(&Identity) -> Arc<dyn Secure> + Sync),
    /// Limits of the live side.
    pub config: RelayConfig,
    /// Limits of the durable side.
    pub limits: MailboxLimits,
}

impl Host<'_> {
    /// Runs the relay: takes the data directory, opens the mailbox, listens, calls `ready`, serves until `stop` is
    /// done, and drains. Cancel safe in so far as the database survives it.
    ///
    /// # Errors
    /// [`HostError`]; whatever was begun is ended then. If it never served, what it made in the data directory is taken
    /// back.
    pub async fn run(
        self,
        entropy: &mut (dyn Entropy + '_),
        ready: impl FnOnce(&Ready),
        stop: impl Future<Output = ()>,
    ) -> Result<(), HostError> {
        let data_dir = DataDir::open(self.data_dir)?;
        let mut has_served = false;
        let ready = |bound: &Ready| {
            has_served = true;
            ready(bound);
        };
        let served = self.run_in(&data_dir, entropy, ready, stop).await;
        if served.is_err() && !has_served {
            data_dir.undo();
        }
        served
    }

    async fn run_in(
        self,
        data_dir: &DataDir,
        entropy: &mut (dyn Entropy + '_),
        ready: impl FnOnce(&Ready),
        stop: impl Future<Output = ()>,
    ) -> Result<(), HostError> {
        let identity = data_dir.identity(self.key_file, entropy)?;
        let relay = Relay::open(self.config, self.limits, &data_dir.mailbox()?)?;
        let secure = (self.secure)(&identity);
        let served = serve(&relay, self.listen, &identity, &secure, ready, stop).await;
        relay.shutdown().await;
        served
    }
}

async fn serve(
    relay: &Relay,
    listen: Vec<Listen>,
    identity: &Identity,
    secure: &Arc<dyn Secure>,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), HostError> {
    let mut listeners: Vec<(String, Box<dyn Listener>)> = Vec::new();
    for Listen { kind, transport, address } in listen {
        match transport.listen(&address, identity).await {
            Ok(listener) => listeners.push((format!("{kind}://{}", listener.address().place), listener)),
            Err(source) => {
                return Err(HostError::Listen { address: format!("{kind}://{}", address.place), source });
            }
        }
    }
    let bound = listeners.iter().map(|(address, _)| address.clone()).collect();
    ready(&Ready { listen: bound, fingerprint: identity.peer_id() });
    let mut serving: FuturesUnordered<_> = listeners
        .into_iter()
        .map(|(address, listener)| async move {
            let served = relay.serve(listener, Arc::clone(secure)).await;
            served.map_err(|source| HostError::Listen { address, source })
        })
        .collect();
    let failed = async {
        while let Some(served) = serving.next().await {
            served?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        failed = failed => failed,
        () = stop => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line() {
        let ready = Ready { listen: vec!["tcp://127.0.0.1:1".into()], fingerprint: PeerId([0xab; 32]) };
        let expected =
            format!(r#"{{"ready":{{"listen":["tcp://127.0.0.1:1"],"fingerprint":"{}"}}}}"#, "ab".repeat(32));
        assert_eq!(ready.line(), expected);
        let odd = Ready { listen: vec!["x://\"\n".into()], ..ready };
        let parsed: serde_json::Value = odd.line().parse().unwrap();
        assert_eq!(parsed["ready"]["listen"][0], "x://\"\n");
        assert!(!odd.line().contains('\n'));
    }
}
