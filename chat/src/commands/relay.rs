//! `chat relay`: a blind relay on a profile.

use std::sync::Arc;

use chat_core::{PeerId, Transport};
use relay::{MailboxLimits, Relay, RelayConfig};

use crate::cli::RelayArgs;
use crate::exit::{Failure, print, say};
use crate::host::Noise;
use crate::run::signalled;
use crate::{home, logging, plugins, profiles};

pub(crate) fn run(args: &RelayArgs) -> Result<(), Failure> {
    let registry = plugins::registry()?;
    let inputs = profiles::inputs(&args.config, &args.set)?;
    let profile = profiles::load(&inputs.for_relay(&registry))?;
    let home = home::open_relay(args.data_dir.as_deref())?;
    let identity = home.identity(profile.identity.key_file.as_deref())?;
    logging::to_stderr(profile.log.level)?;
    let limits = MailboxLimits { mailbox_bytes: profile.relay.max_mailbox_bytes, ..MailboxLimits::default() };
    let config = RelayConfig { max_clients: profile.relay.max_clients as usize, ..RelayConfig::default() };
    let relay = Relay::open(config, limits, &home.database("relay.db")?).map_err(Failure::failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("no threads for the network: {e}")))?;
    runtime.block_on(async {
        let secure = Arc::new(Noise(identity.clone()));
        let mut bound = Vec::new();
        let mut serving = tokio::task::JoinSet::new();
        for listen in &profile.relay.listen {
            let transport = registry.build::<dyn Transport>(&listen.options)?;
            let listener = transport.listen(&listen.address, &identity).await.map_err(|error| {
                Failure::failed(format!("{listen}: {error}; choose another address in relay.listen or topology.relay"))
            })?;
            bound.push(format!("{}://{}", listen.options.kind(), listener.address().place));
            let (relay, secure) = (relay.clone(), Arc::clone(&secure));
            serving.spawn(async move { relay.serve(listener, secure).await });
        }
        print(ready_line(&bound, identity.peer_id()))?;
        let ended = tokio::select! {
            signal = signalled() => signal.map_err(|e| Failure::failed(format!("signals can't be heard: {e}"))),
            Some(served) = serving.join_next() => match served {
                Ok(Err(error)) => Err(Failure::failed(format!("a listener ended: {error}"))),
                _ => Err(Failure::failed("a listener ended")),
            },
        };
        say("the relay is closing");
        relay.shutdown().await;
        ended
    })
}

/// What a script waits for before it connects.
fn ready_line(listen: &[String], fingerprint: PeerId) -> String {
    let listen = serde_json::Value::from(listen);
    format!("{{\"ready\":{{\"listen\":{listen},\"fingerprint\":\"{fingerprint}\"}}}}")
}
