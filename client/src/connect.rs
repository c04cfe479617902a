//! How the engine gets a link without knowing any network.

use async_trait::async_trait;
use chat_core::Link;
use tokio::sync::{mpsc, oneshot};

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

    /// A link by another transport than the one in use, which does not answer. Asked for only if the link in use came with
    /// [`Connected::choice`]; given up after ten seconds. Cancel safe. What it makes is dropped if the one in use answers
    /// after all. Without a list of transports there is none, ever.
    ///
    /// # Errors
    /// [`ConnectError::Retry`] if no other works either: the one in use is kept, and it is asked again after a while.
    async fn another(&self) -> Result<Connected, ConnectError> {
        std::future::pending().await
    }
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
    /// Which of several transports it is over; none if there is no choice.
    pub choice: Option<Choice>,
}

/// A link is over one of several transports.
pub struct Choice {
    /// Its number in the profile's list, from 0.
    pub number: usize,
    /// Why this one and no other, if something is known against one; for people.
    pub reason: Option<String>,
    /// What is found out about the others while the link is in use; the sender stops looking when this is dropped.
    pub news: mpsc::Receiver<News>,
    /// To be called when the link is taken into use: one that was made may be dropped instead.
    pub taken: Box<dyn FnOnce() + Send>,
}

/// What is found out about the transports that are not in use.
pub enum News {
    /// One that stands before the one in use works again. The link in use is to be given up for this one.
    Better(Box<Connected>),
    /// Somebody answers there who is not the relay: it is not used, and the user should know. In words.
    Impostor(String),
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
