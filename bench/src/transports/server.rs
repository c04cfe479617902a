//! The other end, in a process of its own, so that its processor time and memory are its own.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::pipe::{Frame, Pipe};
use super::stack::Stack;
use crate::Fault;
use crate::node::Lines;
use crate::process::Running;

/// What the first byte of a frame asks for: the same back,
pub(crate) const ECHO: u8 = b'E';
/// nothing but to be counted,
pub(crate) const BULK: u8 = b'B';
/// how many bytes were counted since this was asked.
pub(crate) const TOTAL: u8 = b'T';

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running one.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Running,
}

impl Server {
    /// Starts this program again, to serve.
    pub(crate) fn start(stack: Stack) -> Result<Self, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve", &stack.argument()]);
        // It ends when its standard input does, so it never outlives this process.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no pipe")?;
        let process = Running::new(child);
        let lines = Lines::of(output)?;
        let address = lines.find(Instant::now() + PATIENCE, "the address of the server", |line| {
            line.value.as_str()?.parse().ok()
        })?;
        Ok(Self { address, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// What that program does: says where it listens, and serves until its standard input ends.
pub(crate) fn serve(stack: Stack) -> Result<(), Fault> {
    std::thread::Builder::new().spawn(|| {
        // However it ends, nobody is there any more.
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        std::process::exit(0);
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut listening = stack.listen().await?;
        let mut out = std::io::stdout();
        writeln!(out, "\"{}\"", listening.address()?)?;
        out.flush()?;
        loop {
            let arrival = listening.next().await?;
            tokio::spawn(async move {
                match arrival.handshake().await {
                    // A client leaves without a word, with some stacks that is an error.
                    Ok(pipe) => drop(answer(pipe).await),
                    // With standard error closed there is nobody to tell.
                    Err(error) => drop(writeln!(std::io::stderr(), "{}: {error}", stack.label())),
                }
            });
        }
    })
}

async fn answer(mut pipe: Pipe) -> Result<(), Fault> {
    let (mut echo, mut bytes) = ((0, Frame::new(&[])), 0_u64);
    while let Some(head) = pipe.recv().await? {
        match head.first[0] {
            ECHO => {
                if echo.0 != head.len {
                    echo = (head.len, Frame::new(&vec![ECHO; head.len]));
                }
                pipe.send(&echo.1).await?;
            }
            TOTAL => {
                let total = [&[TOTAL][..], &std::mem::take(&mut bytes).to_be_bytes()].concat();
                pipe.send(&Frame::new(&total)).await?;
            }
            _ => bytes += head.len as u64,
        }
    }
    Ok(())
}
