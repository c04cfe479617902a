//! Measures the built program from outside, as processes, each figure beside a floor taken in the same run.
//! See `BENCHMARKS.md` for what was found and how to repeat it.

mod cold_build;
mod echo;
mod flood;
mod floor;
mod idle;
mod lab;
mod latency;
mod mailbox;
mod node;
mod process;
mod program;
mod report;
mod screen;
mod start;
mod stats;
mod strangers;
mod svg;
mod throughput;
mod transports;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use program::Program;
use report::Table;
use transports::Stack;

/// Why something could not be measured.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Measures the release build of `chat` and prints Markdown tables.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// A profile; may be repeated. By default those that are shipped.
    #[arg(long, value_name = "PROFILE", default_values = ["udp-rsa.toml", "tcp-x25519.toml"])]
    profile: Vec<String>,
    /// How often each figure is taken; tables show medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// One JSON object a table instead of Markdown.
    #[arg(long)]
    json: bool,
    /// Measures this program instead of building one.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Where the transports are drawn; by default docs/transports.svg of this workspace.
    #[arg(long, value_name = "PATH")]
    svg: Option<PathBuf>,
    /// Only these of the transports and libraries, for a look at them with `perf`; nothing is drawn. May be repeated.
    #[arg(long, value_name = "STACK")]
    stack: Vec<Stack>,
    /// Be the other end of a measurement of transports.
    #[arg(long, hide = true, value_name = "STACK")]
    serve: Option<Stack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// From the start of the process to `ready`, and to the link to the relay.
    Start,
    /// From sending a message to its receipt.
    Latency,
    /// Messages a second, one way.
    Throughput,
    /// Processor and memory of programs with nothing to do.
    Idle,
    /// Memory of a relay to which crowds of strangers come.
    Strangers,
    /// From a key press to its echo on the screen, quiet and while a peer floods.
    Echo,
    /// Envelopes made durable by the relay's mailbox, beside redis-server and nats-server if they are installed.
    Mailbox,
    /// Our transports beside the bare libraries beneath them; also drawn.
    Transports,
    /// Cold builds and sizes. Takes minutes.
    Build,
    /// Everything, the cold builds last.
    All,
}

/// What every measurement gets.
pub(crate) struct Plan {
    program: Program,
    profiles: Vec<String>,
    rounds: u32,
    /// None if nothing is to be drawn.
    svg: Option<PathBuf>,
    stacks: Vec<Stack>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // With standard error closed there is nobody to tell.
            writeln!(std::io::stderr(), "chat-bench: {fault}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    if let Some(stack) = args.serve {
        return transports::serve(stack);
    }
    let program = match &args.program {
        Some(path) => Program::given(path)?,
        // It is libraries that are measured.
        None if matches!(args.what, What::Mailbox | What::Transports) => {
            Program::given(&std::env::current_exe()?)?
        }
        None => Program::build()?,
    };
    let drawn = || args.svg.clone().unwrap_or_else(|| program::workspace().join("docs/transports.svg"));
    let (svg, stacks) = match &args.stack[..] {
        [] => (Some(drawn()), Stack::ALL.to_vec()),
        some => (None, some.to_vec()),
    };
    let plan = Plan { program, profiles: args.profile.clone(), rounds: args.rounds, svg, stacks };
    type Measure = fn(&Plan) -> Result<Vec<Table>, Fault>;
    let all: [(What, Measure); 9] = [
        (What::Start, |plan| start::measure(plan).map(one)),
        (What::Latency, |plan| latency::measure(plan).map(one)),
        (What::Throughput, |plan| throughput::measure(plan).map(one)),
        (What::Idle, |plan| idle::measure(plan).map(one)),
        (What::Strangers, |plan| strangers::measure(plan).map(one)),
        (What::Echo, |plan| echo::measure(plan).map(one)),
        (What::Mailbox, |plan| mailbox::measure(plan).map(one)),
        (What::Transports, transports::measure),
        (What::Build, |plan| cold_build::measure(plan).map(one)),
    ];
    for (what, measure) in all {
        if args.what == what || args.what == What::All {
            let before = program::machine();
            for table in measure(&plan)? {
                show(&table.note(before.clone()), args.json)?;
            }
        }
    }
    Ok(())
}

fn one(table: Table) -> Vec<Table> {
    vec![table]
}

fn show(table: &Table, json: bool) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", table.json())?
    } else {
        writeln!(out, "{table}")?
    }
    Ok(out.flush()?)
}
