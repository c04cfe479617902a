//! The relay alone: transports and the relay, no session code. It runs the relay of a profile and ignores the
//! tables it has no plugins for.
//!
//! One JSON line on standard output says that it serves; messages and the log go to standard error. SIGTERM
//! and SIGINT drain it. Exit codes: 0 done, 1 failed at run time, 2 command line or profile wrong.

mod args;
mod profile;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use chat_core::transport::Dialed;
use chat_core::{Identity, Link, LinkError, OsEntropy};
use clap::Parser;
use relay::host::{Host, HostError, Ready};
use relay::{MailboxLimits, RelayConfig, Secure};
use tracing_subscriber::filter::LevelFilter;

use args::Args;

// `inventory` keeps a plugin only if its crate is used somewhere.
use {transport_tcp as _, transport_udp_arq as _};

/// Why the program did not do what it should, with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn failed(message: impl fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let message = match &error {
            HostError::Listen { source: LinkError::AddressInUse { .. }, .. } => {
                format!("{error}; choose another address with --listen")
            }
            _ => error.to_string(),
        };
        Self { code: 1, message }
    }
}

/// Puts Noise over bare links.
struct Noise(Identity);

#[async_trait]
impl Secure for Noise {
    async fn secure(&self, dialed: Dialed) -> Result<Link, LinkError> {
        match dialed {
            Dialed::Secure(link) => Ok(link),
            Dialed::Bare(bare) => transport_noise::secure(bare, &self.0).await,
        }
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        // Help and version go to standard output and are no failure; clap knows.
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            say(if message.starts_with("error") { message } else { format!("error: {message}") });
            ExitCode::from(code)
        }
    }
}

/// Prints on standard error; a closed one is nobody's fault.
fn say(message: impl fmt::Display) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

fn run(args: &Args) -> Result<(), Failure> {
    let profile::Chosen { listen, section, key_file, level } = profile::choose(args)?;
    let data_dir = args.data_dir.clone().map_or_else(default_data_dir, Ok)?;
    log_to_stderr(level)?;
    let host = Host {
        data_dir: &data_dir,
        key_file: key_file.as_deref(),
        listen,
        secure: &|identity: &Identity| Arc::new(Noise(identity.clone())),
        config: RelayConfig { max_clients: section.max_clients as usize, ..RelayConfig::default() },
        limits: MailboxLimits { mailbox_bytes: section.max_mailbox_bytes, ..MailboxLimits::default() },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("no threads for the network: {e}")))?;
    runtime.block_on(async {
        let signalled = signalled().map_err(|e| Failure::failed(format!("signals can't be heard: {e}")))?;
        host.run(&mut OsEntropy, announce, signalled).await.map_err(Failure::from)
    })
}

/// What a script waits for before it connects. If nobody reads it, nobody waits.
fn announce(ready: &Ready) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{}", ready.line()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "standard output failed");
    }
}

/// Where `chat relay` keeps its things too: `$XDG_DATA_HOME/chat/@relay`, else below `~/.local/share`; relative
/// paths are passed over, as the XDG base directory specification demands.
fn default_data_dir() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|share| share.join("chat").join("@relay"))
        .ok_or_else(|| {
            Failure::failed("there is no home directory; say where to keep things with --data-dir")
        })
}

/// Ids and sizes only, at every level.
fn log_to_stderr(level: LevelFilter) -> Result<(), Failure> {
    let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(std::io::stderr);
    log.try_init().map_err(|e| Failure::failed(format!("the log can't be set up: {e}")))
}

/// Listens for the signals at once, and gives what waits for one of them.
#[cfg(unix)]
fn signalled() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("the relay is closing");
    })
}

#[cfg(not(unix))]
fn signalled() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without signals it runs until it is killed, which its database survives.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
