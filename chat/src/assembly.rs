//! From a profile and its plugins to the parts of a node. Nothing has begun yet.

use std::sync::Arc;
use std::time::Duration;

use chat_core::api::{StackView, TransportView};
use chat_core::profile::{Padding, Property, Stack, TransportEntry};
use chat_core::transport::Address;
use chat_core::{Frontend, Identity, Profile, System};
use chat_relay::exit::Failure;
use chat_relay::limits;
use client::{ClientConfig, Rules, StorePlace, Vault};

use crate::home::Home;
use crate::host::{Place, Way, mailbox_in};

/// Longest wait between two attempts to reach the relay. A host that left is replaced within a second or two,
/// so people on one machine never wait longer.
const MAX_BACKOFF_LOCAL: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The parts of a node.
pub(crate) struct Node {
    /// How it reaches its relay, or is it.
    pub(crate) place: Place,
    /// Its engine.
    pub(crate) client: ClientConfig,
    /// Its frontend.
    pub(crate) frontend: Box<dyn Frontend>,
}

pub(crate) fn assemble(
    profile: &Profile,
    stack: Stack,
    home: &Home,
    identity: Identity,
    vault: &Vault,
) -> Result<Node, Failure> {
    let Stack { transports, key_exchange, cipher, frontend, .. } = stack;
    let way = |(transport, entry): (_, &TransportEntry)| Way {
        transport: Arc::from(transport),
        name: entry.options.kind().to_owned(),
        address: entry.address.clone(),
    };
    let ways: Vec<Way> = transports.into_iter().zip(&profile.transports).map(way).collect();
    let view = |(number, way): (usize, &Way)| TransportView {
        kind: way.name.clone(),
        address: way.address.place.clone(),
        in_use: number == 0,
    };
    let transports: Vec<TransportView> = ways.iter().enumerate().map(view).collect();
    let max_backoff = match ways.iter().all(|way| is_local(&way.address)) {
        true => MAX_BACKOFF_LOCAL,
        false => MAX_BACKOFF,
    };
    let (relay, limits) = limits(&profile.relay);
    let database = home.mailbox()?;
    let place = Place {
        ways,
        host: profile.topology.host,
        identity: identity.clone(),
        folder: database.parent().unwrap_or(&database).to_owned(),
        mailbox: mailbox_in(database, limits),
        relay,
        interactive: frontend.interactive(),
        environment: Arc::new(System),
    };
    let view = StackView {
        transport: transports.first().map(|first| first.kind.clone()).unwrap_or_default(),
        transports,
        key_exchange: profile.key_exchange.kind().to_owned(),
        cipher: profile.cipher.kind().to_owned(),
        frontend: profile.frontend.kind().to_owned(),
        properties: key_exchange.properties(),
    };
    let client = ClientConfig {
        identity,
        nick: home.nick.clone(),
        rooms: profile.topology.rooms.clone(),
        closed_rooms_only: profile.policy.requires(Property::ClosedRooms),
        key_exchange: Arc::from(key_exchange),
        key_exchange_name: view.key_exchange.clone(),
        cipher: Arc::from(cipher),
        stack: view,
        rules: Rules {
            pins: profile.pins.clone(),
            verified_peers: profile.policy.requires(Property::VerifiedPeers),
            padding: profile.padding == Padding::Buckets,
            read_receipts: profile.privacy.read_receipts,
            typing: profile.privacy.typing,
        },
        config_text: profile.show_with_nick(Some(&home.nick)),
        store: StorePlace::File(home.store()?),
        store_key: vault.key().clone(),
        history: profile.store.history,
        max_backoff,
    };
    Ok(Node { place, client, frontend })
}

fn is_local(address: &Address) -> bool {
    address.host_port().is_ok_and(|(host, _)| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}
