//! What a profile may say: one list of tables and keys. The checks, the did-you-mean, the order of
//! `config show` and the JSON schema are all made from it.

use crate::plugin::PluginKind;
use crate::transport::MAX_FRAME_BYTES;

use super::policy::Property;

/// The version of the profile's format that this program reads.
pub(super) const SCHEMA_VERSION: i128 = 1;
/// The one key outside of all tables.
pub(super) const SCHEMA_VERSION_KEY: &str = "schema_version";

/// The program's own values: the lowest layer. A key without a default is not in it.
pub(super) const DEFAULTS: &str = r##"
[topology]
kind = "relay"
host = "auto"
rooms = ["#lobby"]
[policy]
require = []
[relay]
access = "open"
max_clients = 10000
max_links_per_address = 64
new_peers_per_minute = 30
new_members_per_minute = 60
one_time_keys_per_minute = 30
max_one_time_keys = 128
max_memory_bytes = 536870912
max_mailbox_bytes = 67108864
[log]
level = "info"
[padding]
kind = "buckets"
[privacy]
read_receipts = true
typing = true
[store]
history = "forever"
"##;

/// A table of the profile.
pub(super) struct TableSpec {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) content: Content,
}

/// What is in a table.
pub(super) enum Content {
    /// These keys.
    Keys(&'static [KeySpec]),
    /// A list of tables with these keys, so many at most: `[[name]]`.
    List(&'static [KeySpec], usize),
    /// The choice of a plugin, with the plugin's own keys.
    Plugin(PluginKind),
    /// A table of the design that this program can't honour yet.
    Later,
}

/// A key of a table.
pub(super) struct KeySpec {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) summary: &'static str,
}

/// The values a key takes.
pub(super) enum Shape {
    /// Text that is not empty.
    Text,
    /// One of these words.
    Choice(&'static [Word]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A list of texts, so many at most.
    Texts { max: usize },
    /// Where a relay listens, at so many places at most; judged by [`super::listen`].
    Listeners { max: usize },
    /// A whole number, bounds included.
    Integer { min: u64, max: u64 },
    /// A secret, or where it is; judged by [`super::store`].
    Secret,
    /// How long history is kept; judged by [`super::store`].
    Retention,
    /// `true` or `false`.
    Flag,
    /// A key of the design that this program can't honour yet.
    Later,
}

/// A word that a choice accepts; or knows, but can't honour yet.
pub(super) struct Word {
    pub(super) word: &'static str,
    pub(super) built_in: bool,
}

const fn word(word: &'static str) -> Word {
    Word { word, built_in: true }
}

const fn later(word: &'static str) -> Word {
    Word { word, built_in: false }
}

const fn key(name: &'static str, shape: Shape, summary: &'static str) -> KeySpec {
    KeySpec { name, shape, summary }
}

const IDENTITY: &[KeySpec] = &[
    key("nick", Shape::Text, "The name one shows to others; default: the login name."),
    key(
        "key_file",
        Shape::Text,
        "The file of the node's identity key, readable by its owner only; default: in the data directory. A relative path counts from the directory the program is started in.",
    ),
];

const TOPOLOGY: &[KeySpec] = &[
    key(
        "kind",
        Shape::Choice(&[word("relay"), later("direct")]),
        "How peers reach each other: `relay` = through a blind relay that stores and forwards.",
    ),
    key("relay", Shape::Text, "Where the relay is: `host:port`, or `FINGERPRINT@host:port` to pin it."),
    key(
        "host",
        Shape::Choice(&[word("auto"), word("never")]),
        "`auto` = be the relay too if the address is local and nobody is there yet.",
    ),
    key("rooms", Shape::Texts { max: 64 }, "Rooms to join at the start, each beginning with `#`."),
    key("listen", Shape::Later, "For kind = \"direct\"."),
    key("peers", Shape::Later, "For kind = \"direct\"."),
];

const POLICY: &[KeySpec] = &[key(
    "require",
    Shape::Choices(&Property::WORDS),
    "Properties without which the profile is refused, by check and by run.",
)];

/// The longest frames of a few clients.
const MIN_MEMORY_BYTES: u64 = 8 * MAX_FRAME_BYTES as u64;
/// One frame must fit.
const MIN_MAILBOX_BYTES: u64 = MAX_FRAME_BYTES as u64;

const RELAY: &[KeySpec] = &[
    key(
        "listen",
        Shape::Listeners { max: 16 },
        "Where the relay listens: each as `transport://host:port`, or a table with `kind`, `address` and options of its own; default: the transport and address of the profile.",
    ),
    key(
        "access",
        Shape::Choice(&[word("open"), later("accounts")]),
        "Whom the relay serves: `open` = whoever connects.",
    ),
    key("max_clients", Shape::Integer { min: 1, max: 1_000_000 }, "Most clients connected at once."),
    key(
        "max_links_per_address",
        Shape::Integer { min: 1, max: 1_000_000 },
        "Most links of one network address (IPv4 address, IPv6 network of 64 bits) at once; this machine may have 32 times as many.",
    ),
    key(
        "new_peers_per_minute",
        Shape::Integer { min: 1, max: 1_000_000 },
        "Peers never seen before that one network address may bring in a minute, and 5 times as many at once; this machine 32 times as many.",
    ),
    key(
        "new_members_per_minute",
        Shape::Integer { min: 1, max: 1_000_000 },
        "New memberships of rooms from one network address in a minute, and 10 times as many at once; this machine 32 times as many.",
    ),
    key(
        "one_time_keys_per_minute",
        Shape::Integer { min: 1, max: 1_000_000 },
        "One-time keys of others that one network address is given in a minute, and 7 times as many at once; this machine 32 times as many.",
    ),
    key(
        "max_one_time_keys",
        Shape::Integer { min: 1, max: 10_000 },
        "Most one-time keys kept for one peer; over it, its oldest are forgotten.",
    ),
    key(
        "max_memory_bytes",
        Shape::Integer { min: MIN_MEMORY_BYTES, max: 1 << 40 },
        "Most bytes of memory for what waits to be sent to all clients together, one half, and for long frames that are coming in, the other.",
    ),
    key(
        "max_mailbox_bytes",
        Shape::Integer { min: MIN_MAILBOX_BYTES, max: 1 << 40 },
        "Most bytes kept for one recipient who is away.",
    ),
];

const LOG: &[KeySpec] = &[
    key(
        "level",
        Shape::Choice(&[
            word("off"),
            word("error"),
            word("warn"),
            word("info"),
            word("debug"),
            word("trace"),
        ]),
        "How much is logged. No level logs plaintext, keys or names.",
    ),
    key("dir", Shape::Text, "The folder of the log files; default: in the data directory."),
];

const STORE: &[KeySpec] = &[
    key(
        "passphrase",
        Shape::Secret,
        "Seals the data directory: { env = \"VARIABLE\" }, { file = \"path\" }, { command = [\"program\"] }, or the passphrase itself.",
    ),
    key(
        "key_file",
        Shape::Text,
        "Seals the data directory, in place of a passphrase: a file of 32 random bytes outside of it, readable by its owner only. Made at the first start if it is not there.",
    ),
    key(
        "history",
        Shape::Retention,
        "How long messages are kept: \"forever\", { days = 30 }, or \"off\" = as long as the program runs.",
    ),
];

const PADDING: &[KeySpec] = &[key(
    "kind",
    Shape::Choice(&[word("buckets"), word("none")]),
    "`buckets` = messages are padded to a few lengths; `none` = the length of a message shows on the wire.",
)];

const PRIVACY: &[KeySpec] = &[
    key("read_receipts", Shape::Flag, "Whether others are told that their messages were read."),
    key("typing", Shape::Flag, "Whether others are told that one writes."),
];

/// Most pins.
const MAX_PINS: usize = 1024;
const PIN: &[KeySpec] = &[
    key("nick", Shape::Text, "The nick."),
    key("fingerprint", Shape::Text, "The fingerprint of the key that has it: 64 hex digits."),
];

const fn keys(name: &'static str, keys: &'static [KeySpec], summary: &'static str) -> TableSpec {
    TableSpec { name, summary, content: Content::Keys(keys) }
}

const fn plugin(name: &'static str, kind: PluginKind, summary: &'static str) -> TableSpec {
    TableSpec { name, summary, content: Content::Plugin(kind) }
}

const fn not_yet(name: &'static str, summary: &'static str) -> TableSpec {
    TableSpec { name, summary, content: Content::Later }
}

/// All tables, in the order in which they are shown.
pub(super) const TABLES: &[TableSpec] = &[
    keys("identity", IDENTITY, "Who one is."),
    keys("topology", TOPOLOGY, "How peers reach each other."),
    plugin("transport", PluginKind::Transport, "What carries frames to the next node."),
    plugin("key_exchange", PluginKind::KeyExchange, "How two peers agree on a session, end to end."),
    plugin("cipher", PluginKind::Cipher, "What seals the messages, end to end."),
    plugin("frontend", PluginKind::Frontend, "What a person or a program sits in front of."),
    keys("policy", POLICY, "What the stack must give."),
    keys("relay", RELAY, "How to be a relay."),
    keys("log", LOG, "Logging."),
    keys("store", STORE, "What lies on the disk."),
    keys("padding", PADDING, "Padding of messages to a few lengths."),
    keys("privacy", PRIVACY, "What others are told beside what one says."),
    TableSpec {
        name: "pin",
        summary: "Fingerprints that nicks must have: whoever claims one of the nicks with another key is refused.",
        content: Content::List(PIN, MAX_PINS),
    },
    not_yet("discovery", "Finding peers in the local network."),
    not_yet("files", "Sending files."),
    not_yet("calls", "Voice and video."),
    not_yet("group", "Group encryption; rooms are pairwise until then."),
    not_yet("services", "Other services."),
];

/// The table of this name.
pub(super) fn table(name: &str) -> Option<&'static TableSpec> {
    TABLES.iter().find(|table| table.name == name)
}

impl TableSpec {
    /// The keys a profile may use now; none for a plugin's table.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static KeySpec> + use<> {
        let keys = match self.content {
            Content::Keys(keys) | Content::List(keys, _) => keys,
            Content::Plugin(_) | Content::Later => &[],
        };
        keys.iter().filter(|key| !matches!(key.shape, Shape::Later))
    }

    /// The key of this name, also one for later.
    pub(super) fn key(&self, name: &str) -> Option<&'static KeySpec> {
        match self.content {
            Content::Keys(keys) | Content::List(keys, _) => keys.iter().find(|key| key.name == name),
            Content::Plugin(_) | Content::Later => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_the_profile_would_be_masked_and_no_name_is_there_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for table in TABLES {
            assert!(seen.insert(table.name.to_owned()), "{}", table.name);
            if let Content::Keys(keys) | Content::List(keys, _) = table.content {
                for key in keys {
                    let is_secret = matches!(key.shape, Shape::Secret);
                    assert_eq!(super::super::secrets::is_secret(key.name), is_secret, "{}", key.name);
                    assert!(seen.insert(format!("{}.{}", table.name, key.name)), "{}", key.name);
                }
            }
        }
        assert!(seen.len() > 20);
    }
}
