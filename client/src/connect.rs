//! How the engine gets a link without knowing any network.

use async_trait::async_trait;
use chat_core::Link;
use tokio::sync::oneshot;

/// Makes authenticated links to the relay, and hosts one if the profile says so.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The relay's address, for people, as the profile says it: `kind://place`.
    fn relay(&self) -> String;

    /// Done once, before anything is dialed: binds listeners if this program is to host. Gives what they listen on.
    ///
    /// # Errors
    /// [`ConnectError::Fatal`] ends the program before it has begun.
    async fn prepare(&self) -> Result<Vec<String>, ConnectError>;

    /// A link to the relay, whoever hosts it now. Given up after thirty seconds. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectError`]
    async fn connect(&self) -> Result<Connected, ConnectError>;
}

/// A link to the relay.
pub struct Connected {
    /// The link.
    pub link: Link,
    /// The relay's address, for people.
    pub relay: String,
    /// Whether this program is the relay as well.
    pub hosting: bool,
    /// What it listens on, if it is.
    pub listen: Vec<String>,
    /// Fires when this link should be given up for a better one (this program has become the relay).
    pub superseded: Option<oneshot::Receiver<()>>,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Worth another attempt after a while.
    #[error("{0}")]
    Retry(String),
    /// Never going to work: the program ends with this exit code and message.
    #[error("{message}")]
    Fatal {
        /// As of the command line.
        exit_code: u8,
        /// What went wrong and what to do.
        message: String,
    },
}
