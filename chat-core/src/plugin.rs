//! How a plugin declares itself, how the program finds it, and the guards against finding too few, too
//! many or the wrong ones.
//!
//! ```
//! use chat_core::{Plugin, ProfileError, cipher::{AeadKey, Cipher}, CryptoError};
//!
//! struct Rot13;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Options {}
//!
//! impl Plugin<dyn Cipher> for Rot13 {
//!     const NAME: &'static str = "rot13";
//!     const SUMMARY: &'static str = "letters moved by 13";
//!     const EXAMPLE: &'static str = "[cipher]\nkind = \"rot13\"\n";
//!     type Options = Options;
//!     fn build(_: Options) -> Result<Box<dyn Cipher>, ProfileError> { Ok(Box::new(Self)) }
//! }
//! # impl Cipher for Rot13 {
//! #     fn name(&self) -> &'static str { "rot13" }
//! #     fn key_len(&self) -> usize { 0 }
//! #     fn message_limit(&self) -> u64 { 0 }
//! #     fn key(&self, _: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> { Err(CryptoError::Malformed("key")) }
//! # }
//! chat_core::register!(dyn Cipher, Rot13);
//! ```

mod registry;

use std::fmt;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CORE_VERSION;
use crate::cipher::Cipher;
use crate::error::ProfileError;
use crate::frontend::Frontend;
use crate::key_exchange::KeyExchange;
use crate::profile::Options;
use crate::schema::schema_of;
use crate::service::Service;
use crate::transport::Transport;

pub(crate) use registry::known_names;
pub use registry::{NoSuchPlugin, Registry, RegistryError};

/// What every plugin declares. `K` is the trait object it provides, such as `dyn Transport`.
pub trait Plugin<K: Kind + ?Sized>: 'static {
    /// The word after `kind =` in a profile.
    const NAME: &'static str;
    /// One line for `chat plugins`.
    const SUMMARY: &'static str;
    /// A piece of profile that selects the plugin; it must parse, and a test sees to it.
    const EXAMPLE: &'static str;
    /// The plugin's own keys in its table, beside `kind`.
    type Options: DeserializeOwned + JsonSchema;

    /// Checks the options and makes the plugin. Pure: no socket, file, task or clock.
    ///
    /// # Errors
    /// [`ProfileError::option`] for a value that can't be.
    fn build(options: Self::Options) -> Result<Box<K>, ProfileError>;
}

/// The kinds of plugins there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PluginKind {
    /// [`Transport`]
    Transport,
    /// [`KeyExchange`]
    KeyExchange,
    /// [`Cipher`]
    Cipher,
    /// [`Frontend`]
    Frontend,
    /// [`Service`]
    Service,
}

impl PluginKind {
    /// The table of the profile in which the kind is chosen.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::KeyExchange => "key_exchange",
            Self::Cipher => "cipher",
            Self::Frontend => "frontend",
            Self::Service => "services",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transport => "transport",
            Self::KeyExchange => "key exchange",
            Self::Cipher => "cipher",
            Self::Frontend => "frontend",
            Self::Service => "service",
        })
    }
}

type BuildFn<K> = fn(&Options) -> Result<Box<K>, ProfileError>;

/// A plugin's constructor with its options type forgotten.
#[derive(Clone, Copy)]
pub enum Builder {
    /// Makes a transport.
    Transport(BuildFn<dyn Transport>),
    /// Makes a key exchange.
    KeyExchange(BuildFn<dyn KeyExchange>),
    /// Makes a cipher.
    Cipher(BuildFn<dyn Cipher>),
    /// Makes a frontend.
    Frontend(BuildFn<dyn Frontend>),
    /// Makes a service.
    Service(BuildFn<dyn Service>),
}

mod sealed {
    pub trait Sealed {}
}

/// The trait objects that can be plugins: `dyn Transport`, `dyn KeyExchange`, `dyn Cipher`, `dyn Frontend`, `dyn Service`.
pub trait Kind: sealed::Sealed + 'static {
    /// Which kind it is.
    const KIND: PluginKind;
    /// The constructor of `P`, erased.
    fn erase<P: Plugin<Self>>() -> Builder;
    /// The constructor of this kind, if `builder` is one.
    fn builder(builder: Builder) -> Option<BuildFn<Self>>;
}

fn build_erased<K: Kind + ?Sized, P: Plugin<K>>(options: &Options) -> Result<Box<K>, ProfileError> {
    P::build(options.parse::<P::Options>()?).map_err(|error| options.locate(error))
}

macro_rules! kind {
    ($name:ident) => {
        impl sealed::Sealed for dyn $name {}
        impl Kind for dyn $name {
            const KIND: PluginKind = PluginKind::$name;
            fn erase<P: Plugin<Self>>() -> Builder {
                Builder::$name(build_erased::<Self, P>)
            }
            fn builder(builder: Builder) -> Option<BuildFn<Self>> {
                match builder {
                    Builder::$name(build) => Some(build),
                    _ => None,
                }
            }
        }
    };
}
kind!(Transport);
kind!(KeyExchange);
kind!(Cipher);
kind!(Frontend);
kind!(Service);

/// A registered plugin.
pub struct PluginEntry {
    /// Which trait it provides.
    pub kind: PluginKind,
    /// [`Plugin::NAME`]
    pub name: &'static str,
    /// [`Plugin::SUMMARY`]
    pub summary: &'static str,
    /// [`Plugin::EXAMPLE`]
    pub example: &'static str,
    /// The crate it comes from.
    pub krate: &'static str,
    /// The core it was built against.
    pub core_version: &'static str,
    schema: fn() -> Schema,
    builder: fn() -> Builder,
}

impl PluginEntry {
    /// The entry of `P`; used by [`register!`](crate::register).
    pub const fn new<K: Kind + ?Sized, P: Plugin<K>>(krate: &'static str) -> Self {
        Self {
            kind: K::KIND,
            name: P::NAME,
            summary: P::SUMMARY,
            example: P::EXAMPLE,
            krate,
            core_version: CORE_VERSION,
            schema: schema_of::<P::Options>,
            builder: K::erase::<P>,
        }
    }

    /// The schema of the plugin's options.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }
}

impl fmt::Debug for PluginEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` of {}", self.kind, self.name, self.krate)
    }
}

inventory::collect!(PluginEntry);

/// Registers a plugin: the last line of its crate.
///
/// `register!(dyn Transport, UdpArq);`
#[macro_export]
macro_rules! register {
    (dyn $kind:ident, $plugin:ty) => {
        $crate::__private::inventory::submit! {
            $crate::plugin::PluginEntry::new::<dyn $crate::$kind, $plugin>(env!("CARGO_PKG_NAME"))
        }
    };
}
