//! The TOML profile that names a stack: transport, key exchange, cipher, frontend.
//!
//! A profile is put together from layers ([`Inputs`]): defaults < file < environment (`CHAT_TOPOLOGY__RELAY`)
//! < `--set a.b=c` < flags. Each value keeps its place in the text it came from, through all layers and into
//! the plugins' own options, so that every error shows a line and a caret, and all errors come at once.
//!
//! | to | use |
//! |---|---|
//! | find a profile by name | [`resolve`], [`user_profile_dir`] |
//! | run one | [`Profile::load`] with [`Inputs::for_client`], then [`Profile::assemble`] |
//! | run a relay on one | [`Profile::load`] with [`Inputs::for_relay`], then build [`RelaySection::listen`] |
//! | check one | [`Profile::load`] with [`Inputs::for_client`]; it has no effects |
//! | explain one | [`Stack::gives`], [`Property::meaning`] |
//! | show the effective one | [`Profile::show`] as TOML, [`Profile::to_json`] |
//! | describe all of them | [`schema`] |
//!
//! No secret is printed. The source line of an error shows keys; a value only if the error is about it and its key is
//! known to hold no secret, and then without what stands before the `@` of an address, unless that is a fingerprint.
//! Values of keys that look like secrets by their name are masked in [`Profile::show`] and in [`Profile::to_json`].

mod assemble;
mod at_rest;
mod closed;
mod de;
mod diagnostics;
mod layers;
mod listen;
mod locate;
mod masks;
mod nesting;
mod options;
mod parse;
mod policy;
mod render;
mod schema;
mod secrets;
mod sections;
mod source;
mod spec;
mod store;
mod transports;
mod tree;
mod validate;

use std::fmt;
use std::path::PathBuf;

pub use assemble::Stack;
pub use diagnostics::{Diagnostic, ProfileError, Severity, Warning};
pub use layers::{ENVIRONMENT_PREFIX, Inputs};
pub use locate::{Found, resolve, user_profile_dir};
pub use options::Options;
pub use parse::MAX_PROFILE_BYTES;
pub use policy::{Policy, Property, given};
pub use schema::schema;
pub use source::{Origin, Place};
pub use store::{Retention, Secret, StoreLock, StoreSection};

use crate::ids::PeerId;
use crate::nick::{Nick, RoomName};
use crate::plugin::PluginKind;
use crate::transport::Address;
use assemble::Chosen;
use diagnostics::Problems;
use tree::Table;

/// A profile that was read and found good, layers and all.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Profile {
    /// `[identity]`
    pub identity: IdentitySection,
    /// `[topology]`
    pub topology: Topology,
    /// `[transport]`, or `[[transport]]` in order of preference; at least one, 8 at most. All lead to one relay: a pin of
    /// one is a pin of all.
    pub transports: Vec<TransportEntry>,
    /// `[key_exchange]`
    pub key_exchange: Options,
    /// `[cipher]`
    pub cipher: Options,
    /// `[frontend]`
    pub frontend: Options,
    /// `[policy]`
    pub policy: Policy,
    /// `[relay]`
    pub relay: RelaySection,
    /// `[log]`
    pub log: LogSection,
    /// `[store]`
    pub store: StoreSection,
    /// `[padding]`
    pub padding: Padding,
    /// `[privacy]`
    pub privacy: Privacy,
    /// `[[pin]]`, no nick and no fingerprint twice.
    pub pins: Vec<Pin>,
    tree: Table,
}

/// `[identity]`
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdentitySection {
    /// What one wants to be called; none = the login name.
    pub nick: Option<Nick>,
    /// The file of the identity key; none = in the data directory. As written: whoever opens it checks that
    /// nobody else can read it. A relative path counts from the working directory.
    pub key_file: Option<PathBuf>,
}

/// `[topology]`: through a relay. `kind = "direct"` is known, but not built in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Topology {
    /// Where the relay is, and who it must be if it is pinned. A transport may have an address of its own:
    /// dial [`TransportEntry::address`].
    pub relay: Address,
    /// Whether to be the relay if nobody is.
    pub host: Host,
    /// The rooms to join, no two the same, 64 at most.
    pub rooms: Vec<RoomName>,
}

/// `topology.host`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Be the relay too, if its address is local and nobody is there yet.
    Auto,
    /// Never.
    Never,
}

/// `[transport]`
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransportEntry {
    /// The plugin and its options.
    pub options: Options,
    /// Where to dial: `address` of the entry, else `topology.relay`; pinned if any address of the profile is.
    pub address: Address,
}

/// `[relay]`
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RelaySection {
    /// Where to listen, at least one; by default where the profile's clients dial.
    pub listen: Vec<Listen>,
    /// Whom to serve.
    pub access: Access,
    /// Most clients at once, 1 to 1 000 000.
    pub max_clients: u32,
    /// Most links of one network address at once, 1 to 1 000 000.
    pub max_links_per_address: u32,
    /// Peers never seen before that one network address may bring in a minute, 1 to 1 000 000.
    pub new_peers_per_minute: u32,
    /// New memberships of rooms from one network address in a minute, 1 to 1 000 000.
    pub new_members_per_minute: u32,
    /// One-time keys of others that one network address is given in a minute, 1 to 1 000 000.
    pub one_time_keys_per_minute: u32,
    /// Most one-time keys kept for one peer, 1 to 10 000.
    pub max_one_time_keys: u32,
    /// Most bytes of memory for what waits to be sent, one half, and for long frames that come in, the other; 16 MiB to 1 TiB.
    pub max_memory_bytes: u64,
    /// Most bytes kept for one recipient who is away, 2 MiB (one frame) to 1 TiB.
    pub max_mailbox_bytes: u64,
}

/// An entry of `relay.listen`. Displays as `udp-arq://127.0.0.1:12345`, whichever way it is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listen {
    /// The transport. Of a table: its own options. Of a text: those of `[transport]` if it is the same one, else none.
    pub options: Options,
    /// Where; never pinned.
    pub address: Address,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.options.kind(), self.address)
    }
}

/// `relay.access`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Whoever connects.
    Open,
}

/// `padding.kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// To a few lengths.
    Buckets,
    /// Not at all.
    Off,
}

/// `[privacy]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Privacy {
    /// Whether others are told that their messages were read.
    pub read_receipts: bool,
    /// Whether others are told that one writes.
    pub typing: bool,
}

/// An entry of `[[pin]]`: whoever claims the nick must have this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The nick.
    pub nick: Nick,
    /// The key's fingerprint.
    pub fingerprint: PeerId,
}

/// `[log]`
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogSection {
    /// How much.
    pub level: LogLevel,
    /// Where; none = in the data directory.
    pub dir: Option<PathBuf>,
}

/// `log.level`, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What is strange.
    Warn,
    /// What happened.
    Info,
    /// For whoever looks for an error.
    Debug,
    /// Everything.
    Trace,
}

impl Profile {
    /// Reads a profile and its layers. Pure: no file, variable or network is touched, whatever is in it.
    ///
    /// # Errors
    /// Everything that is wrong, at once; exit code 2.
    pub fn load(inputs: &Inputs<'_>) -> Result<(Self, Vec<Warning>), ProfileError> {
        let mut problems = Problems::default();
        let profile = read(inputs, &mut problems);
        problems.finish(profile)
    }
}

fn read(inputs: &Inputs<'_>, problems: &mut Problems) -> Option<Profile> {
    let (mut tree, file) = inputs.merged(problems)?;
    if !validate::version(&tree, &file, problems) {
        return None;
    }
    validate::tables(&tree, problems);

    let relay_address = sections::relay_address(&tree, &file, problems);
    let names = |kind| inputs.check.as_ref().map(|check| check.names(kind)).unwrap_or_default();
    let names_of_transports = names(PluginKind::Transport);
    let transports = transports::read(&tree, &names_of_transports, relay_address.as_ref(), &file, problems);
    let mut plugin = |kind| sections::plugin(&tree, kind, &names(kind), &file, problems);
    let key_exchange = plugin(PluginKind::KeyExchange);
    let cipher = plugin(PluginKind::Cipher);
    let frontend = plugin(PluginKind::Frontend);
    let relay = sections::relay(&tree, &transports, &names_of_transports, problems);
    let policy = sections::policy(&tree, problems);
    closed::check(&mut tree, &policy, problems);
    at_rest::check(&mut tree, &policy, problems);
    let identity = sections::identity(&tree, problems);
    let rooms = sections::rooms(&tree, problems);
    let store = store::store(&tree, problems);
    let pins = sections::pins(&tree, problems);
    let padding = sections::padding(&tree);

    let chosen = Chosen {
        transports: transports.options.iter().collect(),
        key_exchange: key_exchange.as_ref(),
        cipher: cipher.as_ref(),
        frontend: frontend.as_ref(),
        listen: relay.as_ref().map_or(&[], |relay| &relay.listen),
        policy: Some(&policy),
        is_sealed: at_rest::is_sealed(&store, &identity, sections::host(&tree)),
        padding,
    };
    let others = [&key_exchange, &cipher, &frontend].into_iter().flatten();
    for options in transports.options.iter().chain(others) {
        options.warn_of_inline_secrets(problems);
    }
    if let Some(check) = &inputs.check {
        chosen.check(check, problems);
    }
    Some(Profile {
        identity,
        topology: Topology { relay: relay_address?, host: sections::host(&tree)?, rooms },
        transports: transports.complete()?,
        key_exchange: key_exchange?,
        cipher: cipher?,
        frontend: frontend?,
        policy,
        relay: relay?,
        log: sections::log(&tree)?,
        store,
        padding: padding?,
        privacy: sections::privacy(&tree)?,
        pins,
        tree,
    })
}
