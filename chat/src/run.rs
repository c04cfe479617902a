//! A client from start to exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chat_core::api::StopReason;
use chat_core::profile::{Property, Stack};
use chat_core::{ClientHandle, FrontendError, Profile};
use chat_relay::exit::{Code, Failure, say};
use chat_relay::signals;
use client::{Client, Unsent};

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
    let node = match prepare(&profile, stack, &home) {
        Ok(node) => node,
        Err(failure) => {
            home.undo();
            return Err(failure);
        }
    };
    if let Some(guest) = &home.guest {
        say(format!("your data directory is in use by another chat; you are {guest} here"));
    }
    run_node(node, &home)
}

/// What may be refused once the data directory is taken.
fn prepare(profile: &Profile, stack: Stack, home: &Home) -> Result<Node, Failure> {
    if profile.policy.requires(Property::SealedAtRest) {
        home.has_no_mailbox()?;
    }
    let vault = home.vault(&home::lock(profile, home)?)?;
    let identity = home.identity(profile.identity.key_file.as_deref(), &vault)?;
    let node = assemble(profile, stack, home, identity, &vault)?;
    let logs = match &profile.log.dir {
        Some(folder) => folder.clone(),
        None => home.logs()?,
    };
    logging::to_file(&logs, profile.log.level)?;
    Ok(node)
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
    outcome(ended, handle.stopping(), interactive, unsent)
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
    unsent: Unsent,
) -> Result<(), Failure> {
    if let Some(StopReason { exit_code: code @ 1.., message }) = stopped {
        return Err(Failure { code, message: message.unwrap_or_default() });
    }
    match ended {
        Err(_) => return Err(Failure::failed("the frontend failed; the log says where")),
        Ok(Err(error)) => return Err(Failure::failed(error)),
        Ok(Ok(())) => {}
    }
    let left = what_is_left(unsent);
    match left.is_empty() {
        true => Ok(()),
        false if interactive => {
            say(left);
            Ok(())
        }
        false => Err(Failure::new(Code::Unreachable, left)),
    }
}

/// What somebody has yet to do about the messages of this program; empty if nothing.
fn what_is_left(Unsent { no_relay, own_relay }: Unsent) -> String {
    let counted = |n: u64, one: &str, more: &str| match n {
        0 => None,
        1 => Some(format!("1 message {one}")),
        n => Some(format!("{n} messages {more}")),
    };
    let unsent = counted(
        no_relay,
        "has reached no relay; it is kept and sent next time",
        "have reached no relay; they are kept and sent next time",
    );
    let undelivered = counted(
        own_relay,
        "is only with the relay this program hosted; start it again so it arrives",
        "are only with the relay this program hosted; start it again so they arrive",
    );
    unsent.into_iter().chain(undelivered).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted_in_words() {
        assert_eq!(what_is_left(Unsent { no_relay: 0, own_relay: 0 }), "");
        let both = what_is_left(Unsent { no_relay: 1, own_relay: 2 });
        let lines: Vec<&str> = both.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("1 message has reached no relay"), "{both}");
        assert!(lines[1].starts_with("2 messages are only with the relay"), "{both}");
    }

    #[test]
    fn only_a_script_is_told_by_its_exit_code() {
        for unsent in [Unsent { no_relay: 1, own_relay: 0 }, Unsent { no_relay: 0, own_relay: 1 }] {
            assert!(outcome(Ok(Ok(())), None, true, unsent).is_ok());
            assert_eq!(outcome(Ok(Ok(())), None, false, unsent).unwrap_err().code, Code::Unreachable as u8);
        }
    }
}
