//! A client from start to exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chat_core::api::StopReason;
use chat_core::{ClientHandle, FrontendError};
use chat_relay::exit::{Code, Failure, say};
use chat_relay::signals;
use client::Client;

use crate::assembly::{Node, assemble};
use crate::cli::RunArgs;
use crate::home::Home;
use crate::host::Network;
use crate::{home, leave, logging, plugins, profiles};

/// How long what is queued may take to leave at the end.
const FAREWELL: Duration = Duration::from_secs(3);

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
    stack.frontend.require().map_err(Failure::failed)?;
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
    run_node(assemble(&profile, stack, &home, identity)?, &home)
}

/// Runs a node until its user leaves.
fn run_node(node: Node, home: &Home) -> Result<(), Failure> {
    let network = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("network")
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("no threads for the network: {e}")))?;
    let signals = {
        let _on_network = network.enter();
        signals::listen().map_err(|e| Failure::failed(format!("signals can't be heard: {e}")))?
    };
    let Node { place, client, frontend } = node;
    let interactive = frontend.interactive();
    let links = Network::new(place, network.handle().clone());
    let (client, handle) =
        Client::start(client, Arc::new(links.clone())).map_err(|e| store_failure(&e, home))?;
    network.spawn(leave::on_signals(signals, handle.clone(), leave::at_once));
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
        _ => Err(Failure::new(
            Code::Unreachable,
            format!("{unsent} messages have reached no relay; they are kept"),
        )),
    }
}
