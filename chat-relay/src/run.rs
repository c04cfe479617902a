use std::sync::Arc;

use chat_core::entropy::OsEntropy;
use chat_core::profile::RelaySection;
use chat_core::transport::ReceiveMemory;
use chat_core::{Identity, LinkError, Registry, Transport};
use relay::host::{Host, HostError, Listen};
use relay::{MailboxLimits, RelayConfig, Secure};

use crate::args::RelayArgs;
use crate::exit::{Code, Failure, print};
use crate::hop::Noise;
use crate::{files, folder, logging, profiles, signals};

/// Runs the relay of a profile until a signal ends it, with whatever transports are linked into the program.
///
/// # Errors
/// [`Failure`] with its exit code.
pub fn run(args: &RelayArgs) -> Result<(), Failure> {
    let registry = Registry::linked().map_err(|e| Failure::new(Code::Usage, e))?;
    let mut inputs = profiles::inputs(&args.config, &args.set)?;
    if !args.listen.is_empty() {
        // A list of strings is written the same in JSON and in TOML.
        inputs = inputs.set(format!("relay.listen={}", serde_json::Value::from(args.listen.as_slice())));
    }
    let profile = profiles::load(&inputs.for_relay(&registry))?;
    let folder = folder::relay(args.data_dir.as_deref())?;
    logging::to_stderr(profile.log.level)?;
    let mut listen = Vec::new();
    for entry in &profile.relay.listen {
        let transport = registry.build::<dyn Transport>(&entry.options)?;
        let (kind, address) = (entry.options.kind().to_owned(), entry.address.clone());
        listen.push(Listen { kind, transport, address });
    }
    let (mut config, limits) = limits(&profile.relay);
    files::provide(&mut config, listen.len());
    // What waits to be sent has the other half.
    ReceiveMemory::limit(usize::try_from(profile.relay.max_memory_bytes / 2).unwrap_or(usize::MAX));
    let secure = |identity: &Identity| Arc::new(Noise(identity.clone())) as Arc<dyn Secure>;
    let host = Host {
        data_dir: &folder,
        key_file: profile.identity.key_file.as_deref(),
        listen,
        secure: &secure,
        config,
        limits,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("no threads for the network: {e}")))?;
    let mut printed = Ok(());
    let served = runtime.block_on(async {
        let mut signals =
            signals::listen().map_err(|e| Failure::failed(format!("signals can't be heard: {e}")))?;
        let stop = async {
            signals.recv().await;
            tracing::info!("the relay is closing");
        };
        host.run(&mut OsEntropy, |ready| printed = print(ready.line()), stop).await.map_err(failure)
    });
    served?;
    printed
}

/// The limits of a relay, as its profile says.
pub fn limits(section: &RelaySection) -> (RelayConfig, MailboxLimits) {
    let config = RelayConfig {
        max_clients: section.max_clients as usize,
        links_per_address: section.max_links_per_address as usize,
        new_peers_per_minute: section.new_peers_per_minute,
        new_peers_burst: section.new_peers_per_minute.saturating_mul(5),
        new_members_per_minute: section.new_members_per_minute,
        new_members_burst: section.new_members_per_minute.saturating_mul(10),
        one_time_keys_per_minute: section.one_time_keys_per_minute,
        one_time_keys_burst: section.one_time_keys_per_minute.saturating_mul(7),
        memory_bytes: usize::try_from(section.max_memory_bytes / 2).unwrap_or(usize::MAX),
        ..RelayConfig::default()
    };
    let limits = MailboxLimits {
        mailbox_bytes: section.max_mailbox_bytes,
        one_time_keys: section.max_one_time_keys,
        ..MailboxLimits::default()
    };
    (config, limits)
}

fn failure(error: HostError) -> Failure {
    match &error {
        HostError::Listen { source: LinkError::AddressInUse { .. }, .. } => Failure::failed(format!(
            "{error}; choose another address with --listen, relay.listen or topology.relay"
        )),
        HostError::Listen { source: LinkError::Resolve { .. }, .. } => Failure::new(
            Code::Unreachable,
            format!("{error}; check the address (--listen, relay.listen or topology.relay) and the network"),
        ),
        _ => Failure::failed(error),
    }
}
