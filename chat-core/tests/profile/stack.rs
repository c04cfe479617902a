//! Stand-ins for the project's plugins, with options to get wrong, and a profile that names them.

use async_trait::async_trait;
use chat_core::cipher::{AeadKey, Cipher};
use chat_core::frontend::{ClientHandle, Frontend};
use chat_core::key_exchange::{
    Context, KeyExchange, NewBundle, OwnBundle, PeerBundle, Properties, SavedSession, Session,
};
use chat_core::plugin::PluginEntry;
use chat_core::profile::{Host, Inputs, Profile, Property, Warning};
use chat_core::transport::{Address, Dialed, Listener, Transport};
use chat_core::{CryptoError, FrontendError, Identity, LinkError, Plugin, ProfileError, Registry};
use schemars::JsonSchema;
use serde::Deserialize;

/// A profile without a fault; line numbers are counted in it.
pub(crate) const GOOD: &str = r##"schema_version = 1
[identity]
nick = "alice"
[topology]
relay = "127.0.0.1:12345"
[transport]
kind = "udp-arq"
rto_ms = 200
[key_exchange]
kind = "rsa-hybrid"
[cipher]
kind = "aes-256-gcm"
[frontend]
kind = "tui"
[policy]
require = ["end-to-end"]
"##;

pub(crate) type Loaded = Result<(Profile, Vec<Warning>), ProfileError>;

/// Loads a text as `p.toml` with all plugins checked.
pub(crate) fn load(text: impl Into<Vec<u8>>) -> Loaded {
    load_inputs(Inputs::new("p.toml", text))
}

pub(crate) fn load_inputs(inputs: Inputs<'_>) -> Loaded {
    let registry = registry();
    Profile::load(&inputs.for_client(&registry, &[]))
}

pub(crate) fn registry() -> Registry {
    Registry::from_entries(ENTRIES).unwrap()
}

static ENTRIES: &[PluginEntry] = &[
    PluginEntry::new::<dyn Transport, UdpArq>("transport-udp-arq"),
    PluginEntry::new::<dyn Transport, Tcp>("transport-tcp"),
    PluginEntry::new::<dyn Transport, Tls>("transport-tls"),
    PluginEntry::new::<dyn Transport, Quic>("transport-quic"),
    PluginEntry::new::<dyn KeyExchange, RsaHybrid>("key-exchange-rsa-hybrid"),
    PluginEntry::new::<dyn KeyExchange, X25519>("key-exchange-x25519"),
    PluginEntry::new::<dyn KeyExchange, Ratchet>("key-exchange-x25519-ratchet"),
    PluginEntry::new::<dyn Cipher, AesCbc>("cipher-aes-cbc-hmac"),
    PluginEntry::new::<dyn Cipher, Aes>("cipher-aes-gcm"),
    PluginEntry::new::<dyn Cipher, ChaCha>("cipher-chacha20-poly1305"),
    PluginEntry::new::<dyn Cipher, XChaCha>("cipher-chacha20-poly1305"),
    PluginEntry::new::<dyn Frontend, Tui>("frontend-tui"),
    PluginEntry::new::<dyn Frontend, JsonRpc>("frontend-jsonrpc"),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoOptions {}

macro_rules! plugin {
    ($type:ident, $kind:ident, $name:literal, $table:literal) => {
        plugin!($type, $kind, $name, $table, NoOptions, |_| Ok(()));
    };
    ($type:ident, $kind:ident, $name:literal, $table:literal, $options:ty, $check:expr) => {
        pub(crate) struct $type;
        impl Plugin<dyn $kind> for $type {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "a stand-in";
            const EXAMPLE: &'static str = concat!("[", $table, "]\nkind = \"", $name, "\"\n");
            type Options = $options;
            fn build(options: $options) -> Result<Box<dyn $kind>, ProfileError> {
                let check: fn(&$options) -> Result<(), ProfileError> = $check;
                check(&options).map(|()| Box::new(Self) as Box<dyn $kind>)
            }
        }
    };
}

/// Strict by its own word.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UdpArqOptions {
    #[serde(default)]
    rto_ms: Option<u16>,
    #[serde(default)]
    congestion: Option<Congestion>,
    #[serde(default)]
    window: Option<u16>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Congestion {
    NewReno,
    Cubic,
    Fixed(u32),
}

/// Forgot `deny_unknown_fields`, has tables in its table, a secret, and says too much about it.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(default)]
pub(crate) struct TcpOptions {
    nodelay: bool,
    limits: Option<Limits>,
    password: Option<String>,
    proxies: Vec<Limits>,
    label: Label,
    token: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Limits {
    #[serde(default)]
    idle_s: u32,
    #[serde(default)]
    share: f64,
}

#[derive(Deserialize, JsonSchema, Default)]
struct Label(String);

fn check_udp(options: &UdpArqOptions) -> Result<(), ProfileError> {
    match (options.rto_ms.or(options.window), &options.congestion) {
        (Some(0), _) => Err(ProfileError::option("rto_ms", "at least 1")),
        (_, Some(Congestion::Fixed(0))) => Err(ProfileError::option("congestion.fixed", "at least 1")),
        (_, Some(Congestion::NewReno | Congestion::Cubic | Congestion::Fixed(_)) | None) => Ok(()),
    }
}

fn check_tcp(options: &TcpOptions) -> Result<(), ProfileError> {
    let password = options.password.as_deref().unwrap_or("long enough");
    let idle = options.limits.iter().chain(&options.proxies).map(|limits| limits.idle_s).max();
    let shares: f64 = options.limits.iter().chain(&options.proxies).map(|limits| limits.share).sum();
    if password.len() < 8 {
        return Err(ProfileError::option("password", format!("`{password}` is too short")));
    }
    if idle > Some(3600) || shares > 1.0 {
        return Err(ProfileError::option("limits.idle_s", "at most 3600"));
    }
    if options.nodelay && options.label.0 == "slow" || options.token == Some(0) {
        return Err(ProfileError::option("nodelay", "not with this label"));
    }
    Ok(())
}

plugin!(UdpArq, Transport, "udp-arq", "transport", UdpArqOptions, check_udp);
plugin!(Tcp, Transport, "tcp", "transport", TcpOptions, check_tcp);
plugin!(Tls, Transport, "tls", "transport");
plugin!(Quic, Transport, "quic", "transport");
plugin!(RsaHybrid, KeyExchange, "rsa-hybrid", "key_exchange");
plugin!(X25519, KeyExchange, "x25519", "key_exchange");
plugin!(AesCbc, Cipher, "aes-128-cbc-hmac-sha256", "cipher");
plugin!(Aes, Cipher, "aes-256-gcm", "cipher");
plugin!(ChaCha, Cipher, "chacha20-poly1305", "cipher");
plugin!(XChaCha, Cipher, "xchacha20-poly1305", "cipher");
plugin!(Tui, Frontend, "tui", "frontend");
plugin!(JsonRpc, Frontend, "jsonrpc", "frontend");

/// What it gives depends on an option.
pub(crate) struct Ratchet {
    post_quantum: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RatchetOptions {
    #[serde(default)]
    post_quantum: bool,
}

impl Plugin<dyn KeyExchange> for Ratchet {
    const NAME: &'static str = "x25519-ratchet";
    const SUMMARY: &'static str = "a stand-in";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"x25519-ratchet\"\n";
    type Options = RatchetOptions;
    fn build(RatchetOptions { post_quantum }: RatchetOptions) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Self { post_quantum }))
    }
}

macro_rules! transport {
    ($($type:ident)*) => {$(
        #[async_trait]
        impl Transport for $type {
            async fn dial(&self, _: &Address, _: &Identity) -> Result<Dialed, LinkError> {
                Err(LinkError::Closed)
            }
            async fn listen(&self, _: &Address, _: &Identity) -> Result<Box<dyn Listener>, LinkError> {
                Err(LinkError::Closed)
            }
        }
    )*};
}
transport!(UdpArq Tcp Tls Quic);

macro_rules! cipher {
    ($($type:ident)*) => {$(
        impl Cipher for $type {
            fn name(&self) -> &'static str { <Self as Plugin<dyn Cipher>>::NAME }
            fn key_len(&self) -> usize { 32 }
            fn message_limit(&self) -> u64 { 1 }
            fn key(&self, _: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> { Err(CryptoError::Malformed("key")) }
        }
    )*};
}
cipher!(AesCbc Aes ChaCha XChaCha);

macro_rules! frontend {
    ($($type:ident)*) => {$(
        impl Frontend for $type {
            fn run(self: Box<Self>, _: ClientHandle) -> Result<(), FrontendError> { Ok(()) }
        }
    )*};
}
frontend!(Tui JsonRpc);

const NOTHING: Properties =
    Properties { forward_secrecy: false, healing: false, post_quantum: false, deniable: false };
const DENIABLE: Properties = Properties { deniable: true, ..NOTHING };
const RATCHET: Properties = Properties { forward_secrecy: true, healing: true, ..DENIABLE };

macro_rules! key_exchange {
    ($($type:ident = $properties:expr;)*) => {$(
        impl KeyExchange for $type {
            fn properties(&self) -> Properties { let of: fn(&Self) -> Properties = $properties; of(self) }
            fn new_bundle(&self, _: &mut Context<'_>) -> Result<NewBundle, CryptoError> { Err(CryptoError::Entropy) }
            fn initiate(&self, _: &OwnBundle<'_>, _: &PeerBundle<'_>, _: &mut Context<'_>)
                -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> { Err(CryptoError::Entropy) }
            fn accept(&self, _: &OwnBundle<'_>, _: &PeerBundle<'_>, _: &[u8], _: &mut Context<'_>)
                -> Result<Box<dyn Session>, CryptoError> { Err(CryptoError::Entropy) }
            fn restore(&self, _: &SavedSession, _: &mut Context<'_>)
                -> Result<Box<dyn Session>, CryptoError> { Err(CryptoError::Entropy) }
        }
    )*};
}
key_exchange!(
    RsaHybrid = |_| NOTHING;
    X25519 = |_| DENIABLE;
    Ratchet = |this| Properties { post_quantum: this.post_quantum, ..RATCHET };
);

#[test]
fn the_good_profile_is_good() {
    let (profile, warnings) = load(GOOD).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(profile.identity.nick.as_ref().unwrap().as_str(), "alice");
    let registry = registry();
    let stack = profile.assemble(&registry, &[Property::ClosedRooms]).unwrap();
    // Open rooms may be joined, as nothing forbids it.
    assert_eq!(stack.gives, [Property::EndToEnd]);
    assert_eq!((stack.transports.len(), stack.cipher.name()), (1, "aes-256-gcm"));
}

#[test]
fn closed_rooms_are_given_where_they_are_required() {
    let requiring = |text: &str| {
        let text = text.replace("require = [\"end-to-end\"]", "require = [\"closed-rooms\"]");
        let registry = registry();
        let loaded =
            Profile::load(&Inputs::new("p.toml", text).for_client(&registry, &[Property::ClosedRooms]));
        loaded.map(|(profile, _)| {
            let stack = profile.assemble(&registry, &[Property::ClosedRooms]).unwrap();
            (profile, stack.gives)
        })
    };
    let without = GOOD.lines().filter(|line| !line.starts_with("rooms")).collect::<Vec<_>>().join("\n");
    let (profile, gives) = requiring(&without).unwrap();
    assert_eq!(gives, [Property::EndToEnd, Property::ClosedRooms]);
    assert!(profile.topology.rooms.is_empty(), "not even the program's own room");
    let shown = profile.show();
    assert!(requiring(&shown).is_ok(), "{shown}");
    let open = without.replacen("[topology]", "[topology]\nrooms = [\"#lobby\", \"#b\"]", 1);
    let error = requiring(&open).unwrap_err();
    assert_eq!(error.errors().len(), 2, "{error}");
    assert!(error.to_string().contains("this room is open"), "{error}");
}

/// The mailbox of a relay lies in the clear, and so does an identity that the profile brings.
#[test]
fn what_must_be_sealed_at_rest_is_no_relay() {
    let registry = registry();
    let load = |topology: &str, identity: &str, require: &str| {
        let text = GOOD
            .replace("[topology]", &format!("[topology]\n{topology}"))
            .replace("[identity]", &format!("[identity]\n{identity}"))
            .replace("end-to-end", require);
        let text = format!("{text}[store]\npassphrase = {{ env = \"X\" }}\n");
        let loaded = Profile::load(&Inputs::new("p.toml", text).for_client(&registry, &[]));
        loaded.map(|(profile, warnings)| {
            let stack = profile.assemble(&registry, &[]).unwrap();
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            (profile.topology.host, stack.gives.contains(&Property::SealedAtRest), warnings, profile.show())
        })
    };
    // Who does not ask for it may be the relay, and is not told that all is sealed.
    let (host, is_given, warnings, _) = load("host = \"auto\"", "", "end-to-end").unwrap();
    assert_eq!((host, is_given, warnings.len()), (Host::Auto, false, 0));
    let (host, is_given, ..) = load("host = \"never\"", "", "end-to-end").unwrap();
    assert_eq!((host, is_given), (Host::Never, true));
    // Who asks is no relay; and is told, if he wanted to be one.
    for (topology, warned) in [("", 0), ("host = \"never\"", 0), ("host = \"auto\"", 1)] {
        let (host, is_given, warnings, shown) = load(topology, "", "sealed-at-rest").unwrap();
        assert_eq!((host, is_given, warnings.len()), (Host::Never, true, warned), "{topology}: {warnings:?}");
        assert!(shown.contains("host = \"never\""), "{shown}");
    }
    let (.., warnings, _) = load("host = \"auto\"", "", "sealed-at-rest").unwrap();
    assert!(
        warnings[0].contains("will not be the relay") && warnings[0].contains("p.toml:6"),
        "{warnings:?}"
    );
    let key_file = "key_file = \"/k\"";
    let (_, is_given, ..) = load("host = \"never\"", key_file, "end-to-end").unwrap();
    assert!(!is_given);
    let error = load("host = \"never\"", key_file, "sealed-at-rest").unwrap_err().to_string();
    assert!(error.contains("identity.key_file"), "{error}");
}
