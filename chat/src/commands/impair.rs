//! `chat impair`: a bad network between two processes.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use impair::{Blackhole, Impairment, Probability, Proxy, ProxyConfig, ProxyFigures, units};
use serde_json::{Map, Value, json};

use chat_core::Entropy;
use chat_core::entropy::OsEntropy;
use chat_relay::exit::{Code, Failure, print};
use chat_relay::signals;

/// Arguments of the proxy.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImpairArgs {
    /// Where to listen, `udp://HOST:PORT` or `tcp://HOST:PORT`; port 0 lets the system choose.
    #[arg(long, value_name = "KIND://HOST:PORT", value_parser = listen)]
    listen: Listen,
    /// Where to pass on what comes.
    #[arg(long, value_name = "HOST:PORT", value_parser = to)]
    to: String,
    #[command(flatten)]
    impairment: ImpairmentArgs,
    /// Impairs one direction alone: `up`, to the target, or `down`, back from it.
    #[arg(long, value_name = "DIRECTION")]
    only: Option<Direction>,
    /// Where chance comes from: the same seed and the same packets have the same fate. By default another each time.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Args)]
struct ImpairmentArgs {
    /// How likely a packet is lost, such as `30%` or `0.3`. On tcp a lost segment comes one timeout late.
    #[arg(long, value_name = "SHARE")]
    loss: Option<Probability>,
    /// How many packets are lost in a row on average; without, each is lost or not on its own.
    #[arg(long, value_name = "PACKETS", value_parser = units::burst)]
    burst: Option<u32>,
    /// How long every packet takes at least, such as `50ms`.
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    delay: Option<Duration>,
    /// How much longer a packet takes at most; on udp, packets that are closer together overtake each other.
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    jitter: Option<Duration>,
    /// How likely a packet is overtaken by one to three others. Udp only.
    #[arg(long, value_name = "SHARE")]
    reorder: Option<Probability>,
    /// How likely a packet comes twice. Udp only.
    #[arg(long, value_name = "SHARE")]
    duplicate: Option<Probability>,
    /// How likely a bit of a packet is flipped.
    #[arg(long, value_name = "SHARE")]
    corrupt: Option<Probability>,
    /// How much passes in a second, such as `1mbit`; for each client, in each direction.
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    rate: Option<u64>,
    /// How much waits if there is a rate [default: 64KiB]. What has no room is dropped, on tcp it waits at the sender.
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    queue: Option<u64>,
    /// Drops packets that are larger, in bytes. Udp only.
    #[arg(long, value_name = "BYTES", value_parser = units::mtu)]
    mtu: Option<u64>,
    /// Nothing passes for some time out of every period, such as `2s/5s`: open for 3 s, closed for 2 s.
    #[arg(long, value_name = "TIME/TIME")]
    blackhole: Option<Blackhole>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Udp,
    Tcp,
}

#[derive(Debug, Clone)]
struct Listen {
    kind: Kind,
    place: String,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl ImpairmentArgs {
    fn impairment(&self) -> Impairment {
        let none = Impairment::NONE;
        Impairment {
            loss: self.loss.unwrap_or(none.loss),
            burst: self.burst,
            delay: self.delay.unwrap_or(none.delay),
            jitter: self.jitter.unwrap_or(none.jitter),
            reorder: self.reorder.unwrap_or(none.reorder),
            duplicate: self.duplicate.unwrap_or(none.duplicate),
            corrupt: self.corrupt.unwrap_or(none.corrupt),
            rate: self.rate,
            queue: self.queue.unwrap_or(none.queue),
            mtu: self.mtu,
            blackhole: self.blackhole,
        }
    }
}

fn listen(text: &str) -> Result<Listen, &'static str> {
    const ACCEPTED: &str = "accepted: udp://HOST:PORT or tcp://HOST:PORT";
    let (kind, place) = text.split_once("://").ok_or(ACCEPTED)?;
    let kind = [Kind::Udp, Kind::Tcp].into_iter().find(|it| it.name() == kind).ok_or(ACCEPTED)?;
    port(place).ok_or(ACCEPTED)?;
    Ok(Listen { kind, place: place.to_owned() })
}

fn to(text: &str) -> Result<String, &'static str> {
    match port(text) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err("accepted: HOST:PORT, the port not 0"),
    }
}

/// The port of `HOST:PORT`.
fn port(place: &str) -> Option<u16> {
    let (host, port) = place.rsplit_once(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !host.is_empty() && !host.contains('/')).then(|| port.parse().ok())?
}

/// Passes on what comes until a signal ends it.
///
/// One JSON line on standard output says that it serves, another one at the end what became of the packets.
pub(crate) fn run(args: &ImpairArgs) -> Result<(), Failure> {
    let impairment = args.impairment.impairment();
    let fits = match args.listen.kind {
        Kind::Udp => impairment.check(),
        Kind::Tcp => impairment.check_for_streams(),
    };
    fits.map_err(|error| Failure::new(Code::Usage, error))?;
    let mut config = ProxyConfig::new(impairment, args.seed.map_or_else(any_seed, Ok)?);
    match args.only {
        Some(Direction::Up) => config.down = Impairment::NONE,
        Some(Direction::Down) => config.up = Impairment::NONE,
        None => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("no threads for the network: {e}")))?;
    runtime.block_on(serve(args, config))
}

async fn serve(args: &ImpairArgs, config: ProxyConfig) -> Result<(), Failure> {
    let mut signals =
        signals::listen().map_err(|e| Failure::failed(format!("signals can't be heard: {e}")))?;
    let Listen { kind, place } = &args.listen;
    let (on, to) = (resolve("--listen", place).await?, resolve("--to", &args.to).await?);
    let mut ready = json!({
        "to": to.to_string(),
        "seed": config.seed,
        "up": config.up.to_string(),
        "down": config.down.to_string(),
    });
    let proxy = match kind {
        Kind::Udp => Proxy::udp(on, to, config).await,
        Kind::Tcp => Proxy::tcp(on, to, config).await,
    };
    let proxy = proxy.map_err(|e| Failure::failed(format!("--listen {}://{place}: {e}", kind.name())))?;
    ready["listen"] = json!([format!("{}://{}", kind.name(), proxy.address())]);
    print(json!({ "ready": ready }))?;
    signals.recv().await;
    print(json!({ "figures": figures(&proxy.stop().await) }))
}

async fn resolve(option: &str, place: &str) -> Result<SocketAddr, Failure> {
    let failure = |why: String| Failure::failed(format!("{option} {place}: {why}"));
    let mut addresses = tokio::net::lookup_host(place).await.map_err(|e| failure(e.to_string()))?;
    addresses.next().ok_or_else(|| failure("this name has no address".to_owned()))
}

/// Short enough to be typed again, and exact in any JSON reader.
fn any_seed() -> Result<u64, Failure> {
    let bytes = <dyn Entropy>::bytes(&mut OsEntropy).map_err(Failure::failed)?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

fn figures(of: &ProxyFigures) -> Value {
    let line = |figures: impair::Figures| {
        let named = figures.named().into_iter().map(|(name, n)| (name.to_owned(), n.into()));
        Value::Object(named.collect::<Map<_, _>>())
    };
    json!({
        "clients": of.clients,
        "refused": of.refused,
        "failed": of.failed,
        "up": line(of.up),
        "down": line(of.down),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: ImpairArgs,
    }

    /// What a simulation prints of a failing seed can be given to the program as it is.
    #[test]
    fn an_impairment_shown_is_the_same_as_options() {
        let texts = [
            "",
            "--loss 30% --burst 3 --delay 50ms --jitter 20ms --reorder 0.5% --duplicate 1% --corrupt 0.0001% \
             --rate 1mbit --queue 128KiB --mtu 1200 --blackhole 2s/5s",
        ];
        for text in texts {
            let line = format!("impair --listen udp://127.0.0.1:0 --to [::1]:1 {text}");
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            assert_eq!(cli.args.impairment.impairment(), text.parse().unwrap());
        }
    }

    #[test]
    fn places_are_read_strictly() {
        for good in ["udp://127.0.0.1:0", "tcp://[::1]:65535", "udp://localhost:80"] {
            assert!(listen(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:0",
            "udp:127.0.0.1:0",
            "udp-arq://a:1",
            "udp://:1",
            "udp://a",
            "udp://a:",
            "udp://a:+1",
            "udp://a:65536",
            "tcp://a/b:1",
            "UDP://a:1",
        ] {
            assert!(listen(bad).is_err(), "{bad}");
        }
        assert_eq!(to("relay.example:12345").as_deref(), Ok("relay.example:12345"));
        for bad in ["relay.example:0", "udp://a:1", "12345", ""] {
            assert!(to(bad).is_err(), "{bad}");
        }
    }
}
