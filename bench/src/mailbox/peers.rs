//! Two servers that keep messages, if they are installed: what they are told, in their own protocols.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::lab::PATIENCE;
use crate::process::{Running, Usage};

use super::{BOXES, Done, SPAN, WRITERS, payload};

/// A connection to a server.
struct Peer {
    server: Running,
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Peer {
    /// Starts a server with the arguments that `with` gives for a port; none if it is not installed.
    fn start(program: &str, with: impl FnOnce(&mut Command, u16)) -> Result<Option<Self>, Fault> {
        // Free a moment ago.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        with(&mut command, port);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = match quiet.spawn() {
            Ok(child) => Running::new(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let until = Instant::now() + PATIENCE;
        let writer = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(connection) => break connection,
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        };
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        Ok(Some(Self { server, reader: BufReader::new(writer.try_clone()?), writer }))
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err("the server hung up".into());
        }
        Ok(line)
    }

    /// Keeps so many commands in flight: a new one for each answer, and all that are due in one write.
    fn run(
        mut self,
        command: impl Fn(u64, &mut Vec<u8>),
        answer: impl Fn(&mut Self) -> Result<(), Fault>,
    ) -> Result<Done, Fault> {
        let (mut sent, mut answered, mut commands) = (0_u64, 0_u64, Vec::new());
        let (before, began) = (Usage::of(self.server.pid())?, Instant::now());
        while began.elapsed() < SPAN {
            while sent < answered + WRITERS as u64 {
                command(sent, &mut commands);
                sent += 1;
            }
            self.writer.write_all(&commands)?;
            commands.clear();
            loop {
                answer(&mut self)?;
                answered += 1;
                if self.reader.buffer().is_empty() || answered == sent {
                    break;
                }
            }
        }
        let took = began.elapsed().as_secs_f64();
        let used = Usage::of(self.server.pid())?.since(&before);
        let cpu_us = used.cpu.as_secs_f64() * 1e6 / answered as f64;
        Ok(Done { a_second: answered as f64 / took, cpu_us, a_sync: None })
    }
}

/// Redis streams, every write synced before it is answered.
pub(super) fn redis(folder: &Path) -> Result<Option<Done>, Fault> {
    let peer = Peer::start("redis-server", |command, port| {
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        command.args(["--port", &port.to_string(), "--dir"]).arg(folder);
    })?;
    let Some(peer) = peer else { return Ok(None) };
    let command = |n: u64, out: &mut Vec<u8>| {
        let (stream, body) = (format!("q{}", n % BOXES as u64), payload(n));
        out.extend(b"*5\r\n");
        for word in [&b"XADD"[..], stream.as_bytes(), b"*", b"b", &body] {
            out.extend(format!("${}\r\n", word.len()).bytes());
            out.extend(word);
            out.extend(b"\r\n");
        }
    };
    let answer = |peer: &mut Peer| {
        let head = peer.line()?;
        if !head.starts_with('$') {
            return Err(format!("redis-server says {}", head.trim()).into());
        }
        peer.line().map(drop)
    };
    peer.run(command, answer).map(Some)
}

/// JetStream with a file store, which answers before it syncs.
pub(super) fn jetstream(folder: &Path) -> Result<Option<Done>, Fault> {
    let peer = Peer::start("nats-server", |command, port| {
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder);
    })?;
    let Some(mut peer) = peer else { return Ok(None) };
    peer.line()?;
    let stream =
        r#"{"name":"Q","subjects":["q.*"],"retention":"workqueue","storage":"file","num_replicas":1}"#;
    let begin = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB _INBOX.b 1\r\nPUB $JS.API.STREAM.CREATE.Q _INBOX.b {}\r\n{stream}\r\n",
        stream.len()
    );
    peer.writer.write_all(begin.as_bytes())?;
    let answer = |peer: &mut Peer| {
        loop {
            let head = peer.line()?;
            if head.starts_with("PING") {
                peer.writer.write_all(b"PONG\r\n")?;
            } else if head.starts_with("MSG") {
                let len: usize =
                    head.trim_end().rsplit(' ').next().ok_or("a head without length")?.parse()?;
                let mut body = vec![0; len + 2];
                peer.reader.read_exact(&mut body)?;
                let body = String::from_utf8_lossy(&body);
                if body.contains("\"error\"") {
                    return Err(format!("nats-server says {}", body.trim()).into());
                }
                return Ok(());
            } else if head.starts_with("-ERR") {
                return Err(format!("nats-server says {}", head.trim()).into());
            }
        }
    };
    answer(&mut peer)?;
    let command = |n: u64, out: &mut Vec<u8>| {
        let body = payload(n);
        out.extend(format!("PUB q.{} _INBOX.b {}\r\n", n % BOXES as u64, body.len()).bytes());
        out.extend(&body);
        out.extend(b"\r\n");
    };
    peer.run(command, answer).map(Some)
}
