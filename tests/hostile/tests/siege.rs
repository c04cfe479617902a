//! How many strangers at once: slow ones who say a byte at a time, silent ones who say nothing or the beginning of something,
//! while honest people come and chat.
//!
//! The ordinary tests take a few hundred of them. All of them, with figures, which no test judges:
//!
//! ```sh
//! cargo test --release -p chat-hostile --test siege -- --ignored --nocapture
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chat_core::{Address, Identity, Plugin as _};
use chat_tests::memory::{figures, processor_time_in};
use chat_tests::profiles::TCP_X25519;
use chat_tests::{Besieged, Exit, Network, Node, Profile};
use socket2::{Domain, Socket, Type};
use transport_quic::{Quic, QuicOptions};

const TCP: Profile = TCP_X25519;
const TLS: Profile = Profile { transport: "tls", sets: &["transport.kind=tls"], ..TCP_X25519 };
const QUIC: Profile =
    Profile { transport: "quic", network: Network::Udp, sets: &["transport.kind=quic"], ..TCP_X25519 };
const UDP_ARQ: Profile =
    Profile { transport: "udp-arq", network: Network::Udp, sets: &["transport.kind=udp-arq"], ..TCP_X25519 };

/// How many strangers, and how much the honest say meanwhile.
#[derive(Clone, Copy)]
struct Size {
    /// They say a byte each in a round, or the beginning again, and come again when they are hung up on.
    slow: usize,
    /// They say nothing more after they have come.
    silent: usize,
    texts: usize,
}

const FEW: Size = Size { slow: 200, silent: 500, texts: 20 };
const ALL: Size = Size { slow: 2000, silent: 10_000, texts: 300 };

/// Pause between two rounds of the slow, and of the silent, who come so many at a time.
const ROUND: Duration = Duration::from_millis(500);
const PIECE: (usize, Duration) = (100, Duration::from_millis(50));
/// Shortest first datagram of either transport.
const MIN_FIRST: usize = 1200;
/// So many first packets of QUIC are made: the library takes two of one connection for one.
const INITIALS: usize = 400;
/// How long a connection may take to be made by the system.
const CONNECT: Duration = Duration::from_millis(300);

#[test]
fn some_on_tcp() {
    siege(TCP, FEW);
}

#[test]
fn some_on_tls() {
    siege(TLS, FEW);
}

#[test]
fn some_on_quic() {
    siege(QUIC, FEW);
}

#[test]
fn some_on_udp_arq() {
    siege(UDP_ARQ, FEW);
}

#[test]
#[ignore = "measures; minutes"]
fn two_thousand_slow_and_ten_thousand_silent() {
    println!(
        "| transport | slow | silent | connect, ms | chat p50, ms | chat p99, ms | RSS before, MiB | under siege | after | \
         files after | CPU after, % | bytes answered a byte |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for profile in [TCP, TLS, QUIC, UDP_ARQ] {
        println!("{}", siege(profile, ALL));
    }
}

/// A stranger's sockets come from many addresses of this machine, so that there are ports enough.
fn source(n: usize) -> SocketAddr {
    let [.., a, b] = (n % 60_000).to_be_bytes();
    (Ipv4Addr::new(127, 200, a, b.max(1)), 0).into()
}

/// What some strangers do, until they are told to stop.
struct Work {
    relay: SocketAddr,
    /// What honest clients say first, at least one; no two that come at about the same time say the same.
    beginnings: Arc<[Vec<u8>]>,
    count: usize,
    stop: Arc<AtomicBool>,
    came: Arc<AtomicUsize>,
    /// Bytes that silent senders of datagrams have sent, and got.
    sent: Arc<AtomicUsize>,
    got: Arc<AtomicUsize>,
}

type Task = fn(&Work);

impl Work {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Connects from the `n`-th address; `None` if the system's queue is full.
    fn connect(&self, n: usize) -> Option<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&source(n).into()).expect("an address of this machine");
        socket.connect_timeout(&self.relay.into(), CONNECT).ok()?;
        self.came.fetch_add(1, Ordering::Relaxed);
        socket.set_nonblocking(true).expect("an option");
        Some(socket.into())
    }

    fn bind(&self, n: usize) -> UdpSocket {
        let socket = UdpSocket::bind(source(n)).expect("an address of this machine");
        socket.connect(self.relay).expect("the relay's address");
        socket
    }

    /// What the `n`-th says first.
    fn beginning(&self, n: usize) -> &[u8] {
        &self.beginnings[n % self.beginnings.len()]
    }

    /// The same, or a part of it, or nothing.
    fn part(&self, n: usize) -> &[u8] {
        let whole = self.beginning(n);
        &whole[..n * 7 % (whole.len() + 1)]
    }

    /// Each once, so many at a time; they are kept until it is over.
    fn come<T>(&self, mut comes: impl FnMut(usize) -> Option<T>) -> Vec<T> {
        let mut kept = Vec::new();
        for n in 0..self.count {
            kept.extend(comes(n));
            if n % PIECE.0 == PIECE.0 - 1 {
                std::thread::sleep(PIECE.1);
            }
        }
        while !self.is_over() {
            std::thread::sleep(PIECE.1);
        }
        kept
    }

    /// A byte of each in a round; who was hung up on comes again.
    fn slow_streams(&self) {
        let mut all: Vec<Option<(TcpStream, usize)>> = (0..self.count).map(|_| None).collect();
        while !self.is_over() {
            for (n, slot) in all.iter_mut().enumerate() {
                if let Some((stream, said)) = slot {
                    let whole = self.beginning(n);
                    let byte = &whole[*said % whole.len()..][..1];
                    let wrote = stream.write(byte).is_ok() && !is_closed(stream);
                    *said += 1;
                    if wrote {
                        continue;
                    }
                }
                *slot = self.connect(n).map(|stream| (stream, 0));
            }
            std::thread::sleep(ROUND);
        }
    }

    fn silent_streams(&self) {
        self.come(|n| {
            let mut stream = self.connect(self.count + n)?;
            stream.write_all(self.part(n)).ok();
            Some(stream)
        });
    }

    /// The beginning again and again, and a byte.
    fn slow_datagrams(&self) {
        let all: Vec<UdpSocket> = (0..self.count).map(|n| self.bind(n)).collect();
        self.came.fetch_add(all.len(), Ordering::Relaxed);
        while !self.is_over() {
            for (n, socket) in all.iter().enumerate() {
                let whole = self.beginning(n);
                socket.send(whole).ok();
                socket.send(&whole[n % whole.len()..][..1]).ok();
            }
            std::thread::sleep(ROUND);
        }
    }

    fn silent_datagrams(&self) {
        let all = self.come(|n| {
            let socket = self.bind(self.count + n);
            self.sent.fetch_add(socket.send(self.beginning(n)).unwrap_or(0), Ordering::Relaxed);
            self.came.fetch_add(1, Ordering::Relaxed);
            Some(socket)
        });
        let mut buffer = vec![0; 65_536];
        for socket in all {
            socket.set_nonblocking(true).expect("an option");
            let got: usize = std::iter::from_fn(|| socket.recv(&mut buffer).ok()).sum();
            assert!(got <= 3 * MIN_FIRST, "{got} bytes in answer");
            self.got.fetch_add(got, Ordering::Relaxed);
        }
    }
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 256]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// All of them, each kind in a thread of its own.
struct Strangers {
    stop: Arc<AtomicBool>,
    /// How often somebody has come.
    came: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    got: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Strangers {
    /// Sets them on, and waits until as many have come as there are.
    fn come(network: Network, relay: SocketAddr, beginnings: &Arc<[Vec<u8>]>, size: Size) -> Self {
        let mut strangers = Self {
            stop: Arc::default(),
            came: Arc::default(),
            sent: Arc::default(),
            got: Arc::default(),
            threads: Vec::new(),
        };
        let kinds: [(usize, Task); 2] = match network {
            Network::Tcp => [(size.slow, Work::slow_streams), (size.silent, Work::silent_streams)],
            Network::Udp => [(size.slow, Work::slow_datagrams), (size.silent, Work::silent_datagrams)],
        };
        for (count, work) in kinds {
            let task = Work {
                relay,
                beginnings: Arc::clone(beginnings),
                count,
                stop: Arc::clone(&strangers.stop),
                came: Arc::clone(&strangers.came),
                sent: Arc::clone(&strangers.sent),
                got: Arc::clone(&strangers.got),
            };
            strangers.threads.push(std::thread::spawn(move || work(&task)));
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while strangers.came.load(Ordering::Relaxed) < size.slow + size.silent {
            assert!(Instant::now() < deadline, "strangers can't come so fast");
            std::thread::sleep(PIECE.1);
        }
        strangers
    }

    /// How often they came, and what a datagram that nobody goes on with was worth: bytes in answer for each that was sent.
    fn go(self) -> (usize, f64) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no stranger panics");
        }
        let [came, sent, got] = [self.came, self.sent, self.got].map(|count| count.load(Ordering::Relaxed));
        (came, got as f64 / sent.max(1) as f64)
    }
}

/// First packets of so many dialers of QUIC, each genuine.
fn initials(count: usize) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let to = Address::new(nobody.local_addr().expect("an address").to_string());
        let quic = Quic::build(QuicOptions::default()).expect("its defaults are good");
        let (me, mut made, mut buffer) = (Identity::from_seed(&[9; 32]), Vec::new(), vec![0; 65_536]);
        for _ in 0..count {
            let read = tokio::select! {
                _ = quic.dial(&to, &me) => panic!("nobody answers"),
                read = nobody.recv(&mut buffer) => read.expect("a datagram"),
            };
            made.push(buffer[..read].to_vec());
        }
        made
    })
}

/// Two who were here before come again; how long that takes, and each of their texts.
fn honest(pair: &mut [Node; 2], texts: usize) -> (Duration, Vec<Duration>) {
    let began = Instant::now();
    for node in pair.iter_mut() {
        node.restart();
    }
    for node in pair.iter() {
        node.wait_event("link.up", &[]);
    }
    let connected = began.elapsed();
    let mut took = Vec::new();
    for n in 0..texts {
        let (from, to, nick) = match n % 2 {
            0 => (&pair[0], &pair[1], "dave"),
            _ => (&pair[1], &pair[0], "carol"),
        };
        let (text, began) = (format!("text {n}"), Instant::now());
        from.send(nick, &text);
        to.wait_text(&text);
        took.push(began.elapsed());
    }
    took.sort();
    (connected, took)
}

fn leave(pair: &[Node; 2]) {
    for node in pair {
        assert_eq!(node.leave(), Exit::Code(0));
    }
}

/// A table's row.
fn siege(profile: Profile, size: Size) -> String {
    let mut scene = Besieged::new(profile);
    let relay: SocketAddr = scene.relay.address().parse().expect("an address");
    let mut pair = ["carol", "dave"].map(|nick| {
        let node = scene.world.node(profile, nick, scene.relay.address()).guest().start();
        node.meet(&["alice", "bob"]);
        node
    });
    pair[0].meet(&["dave"]);
    leave(&pair);
    let pid = scene.relay.process().pid();
    let resident = || figures(pid).map_or(0.0, |figures| figures.resident as f64 / f64::from(1 << 20));
    let let_in = scene.let_in();
    let beginnings = match profile.transport {
        "quic" => initials(INITIALS.min(size.silent)),
        _ => vec![scene.honest[0].clone()],
    };
    let before = resident();
    let strangers = Strangers::come(profile.network, relay, &beginnings.into(), size);
    let (connected, took) = honest(&mut pair, size.texts);
    scene.honest_pair_chats("under siege");
    let under_siege = resident();
    let (came, answered) = strangers.go();
    assert!(came >= size.slow + size.silent);
    assert_eq!(scene.let_in(), let_in + 2, "nobody else came in");

    leave(&pair);
    // Whoever was about to come in is given up at the handshake's deadline.
    let deadline = Instant::now() + chat_tests::PATIENCE;
    let gone = || figures(pid).is_none_or(|figures| figures.files < 64);
    while !gone() && Instant::now() < deadline {
        std::thread::sleep(PIECE.1);
    }
    assert!(gone(), "connections are kept");
    let busy = processor_time_in(pid, Duration::from_secs(1)).unwrap_or_default();
    let (files, after) = (figures(pid).map_or(0, |figures| figures.files), resident());
    let percentile = |of: usize| took[(took.len() * of / 100).min(took.len() - 1)].as_secs_f64() * 1000.0;
    let row = format!(
        "| {} | {} | {} | {:.0} | {:.1} | {:.1} | {before:.1} | {under_siege:.1} | {after:.1} | {files} | {:.1} | {answered:.2} |",
        profile.transport,
        size.slow,
        size.silent,
        connected.as_secs_f64() * 1000.0,
        percentile(50),
        percentile(99),
        busy.as_secs_f64() * 100.0,
    );
    // That the relay has not grown, is idle, and takes newcomers.
    scene.survived_with("erin");
    row
}
