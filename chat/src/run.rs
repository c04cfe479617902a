//! A client from start to exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chat_core::api::{Command, StackView, StopReason};
use chat_core::profile::Stack;
use chat_core::{ClientHandle, FrontendError, Identity, Profile};
use client::{Client, ClientConfig, StorePlace};
use relay::{MailboxLimits, RelayConfig};

use crate::cli::RunArgs;
use crate::home::Home;
use crate::host::{Network, Place};
use crate::{home, logging, plugins, profiles};
use chat_relay::exit::{Code, Failure, say};
use chat_relay::signals;

/// How long what is queued may take to leave at the end.
const FAREWELL: Duration = Duration::from_secs(3);
/// Longest wait between two attempts to reach the relay. A host that left is replaced within a second or two,
/// so people on one machine never wait longer.
const MAX_BACKOFF_LOCAL: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Exit code of a program that ends with messages no relay has.
const UNSENT: u8 = 4;

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let Some(name) = &args.config else {
        return Err(Failure::new(
            Code::Usage,
            "no profile is named: use --config, as in --config udp-rsa.toml",
        ));
    };
    let registry = plugins::registry()?;
    let profile = profiles::client(name, &args.set, args.nick.as_ref(), args.frontend.as_ref(), &registry)?;
    let stack = profile.assemble(&registry, profiles::GIVEN)?;
    let home = home::open_client(args.data_dir.as_deref(), profile.identity.nick.as_ref())?;
    let identity = home.identity(profile.identity.key_file.as_deref())?;
    let logs = match &profile.log.dir {
        Some(folder) => folder.clone(),
        None => home.logs()?,
    };
    logging::to_file(&logs, profile.log.level)?;
    if let Some(guest) = &home.guest {
        say(format!("your data directory is in use by another chat; you are {guest} here"));
    }
    run_stack(&profile, stack, &home, identity)
}

fn run_stack(profile: &Profile, stack: Stack, home: &Home, identity: Identity) -> Result<(), Failure> {
    let network = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("network")
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("no threads for the network: {e}")))?;
    let Stack { transports, key_exchange, cipher, frontend, .. } = stack;
    let (Some(transport), Some(entry)) = (transports.into_iter().next(), profile.transports.first()) else {
        return Err(Failure::failed("the profile has no transport"));
    };
    let transport_name = entry.options.kind().to_owned();
    let place = Place {
        transport: Arc::from(transport),
        transport_name: transport_name.clone(),
        address: entry.address.clone(),
        host: profile.topology.host,
        identity: identity.clone(),
        database: home.mailbox()?,
        relay: RelayConfig { max_clients: profile.relay.max_clients as usize, ..RelayConfig::default() },
        limits: MailboxLimits { mailbox_bytes: profile.relay.max_mailbox_bytes, ..MailboxLimits::default() },
        interactive: frontend.interactive(),
    };
    let is_local = entry.address.place.starts_with("127.") || entry.address.place.starts_with("localhost:");
    let links = Network::new(place, network.handle().clone());
    let key_exchange_name = profile.key_exchange.kind().to_owned();
    let config = ClientConfig {
        identity,
        nick: home.nick.clone(),
        rooms: profile.topology.rooms.clone(),
        stack: StackView {
            transport: transport_name,
            key_exchange: key_exchange_name.clone(),
            cipher: profile.cipher.kind().to_owned(),
            frontend: profile.frontend.kind().to_owned(),
            properties: key_exchange.properties(),
        },
        key_exchange: Arc::from(key_exchange),
        key_exchange_name,
        cipher: Arc::from(cipher),
        config_text: profile.show(),
        store: StorePlace::File(home.store()?),
        max_backoff: if is_local { MAX_BACKOFF_LOCAL } else { MAX_BACKOFF },
    };
    let signal = {
        let _on_network = network.enter();
        signals::ended().map_err(|e| Failure::failed(format!("signals can't be heard: {e}")))?
    };
    let interactive = frontend.interactive();
    let (client, handle) =
        Client::start(config, Arc::new(links.clone())).map_err(|e| store_failure(&e, home))?;
    network.spawn(leave_on(signal, handle.clone()));
    let socket = serve_socket(home, &handle);
    // A frontend that panics takes only itself down: what is queued still leaves, and the store closes.
    let ended = catch_unwind(AssertUnwindSafe(|| frontend.run(handle.clone())));
    drop(socket);
    let unsent = client.finish(FAREWELL);
    links.shut_down();
    network.shutdown_timeout(FAREWELL);
    outcome(ended, handle.stopping(), interactive, unsent.0)
}

/// JSON-RPC for scripts, beside whatever frontend runs. A path that is too long for a socket costs the socket only.
fn serve_socket(home: &Home, handle: &ClientHandle) -> Option<frontend_jsonrpc::SocketServer> {
    let socket = frontend_jsonrpc::serve_socket(&home.path().join("chat.sock"), handle.clone());
    socket.inspect_err(|error| tracing::warn!(%error, "no JSON-RPC socket")).ok()
}

fn store_failure(error: &client::StartError, home: &Home) -> Failure {
    Failure::failed(format!("{error} (in {}); another --data-dir begins anew", home.path().display()))
}

fn outcome(
    ended: std::thread::Result<Result<(), FrontendError>>,
    stopped: Option<StopReason>,
    interactive: bool,
    unsent: u64,
) -> Result<(), Failure> {
    if let Some(StopReason { exit_code: code @ 1.., message }) = stopped {
        return Err(Failure { code, message: message.unwrap_or_default() });
    }
    match ended {
        Err(_) => return Err(Failure::failed("the frontend failed; the log says where")),
        Ok(Err(error)) => return Err(Failure::failed(error)),
        Ok(Ok(())) => {}
    }
    match unsent {
        0 => Ok(()),
        _ if interactive => {
            say(format!("{unsent} of your messages have reached no relay; they are kept and sent next time"));
            Ok(())
        }
        _ => Err(Failure {
            code: UNSENT,
            message: format!("{unsent} messages have reached no relay; they are kept"),
        }),
    }
}

/// Ctrl+C, SIGTERM and a closed terminal end the program the way `/exit` does.
async fn leave_on(signal: impl Future<Output = ()>, handle: ClientHandle) {
    signal.await;
    // A client that is stopping already needs no second word.
    drop(handle.run(Command::Shutdown).await);
}
