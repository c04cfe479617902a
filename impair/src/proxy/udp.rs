//! UDP: one socket to the target for each address that a client has.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Active, Meter, PAUSE, Shared};
use crate::Line;

/// Most bytes of a packet.
const PACKET_BYTES: usize = 65_536;

/// What the task that hears all clients and the task of one client share.
struct Client {
    number: u64,
    address: SocketAddr,
    /// Its way to the target; none as soon as it is forgotten.
    up: Mutex<Option<Line>>,
    news: Notify,
}

impl Client {
    fn up(&self) -> MutexGuard<'_, Option<Line>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a packet of the client; false if it was forgotten.
    fn push(&self, now: Duration, packet: &[u8]) -> bool {
        let mut up = self.up();
        let Some(line) = up.as_mut() else { return false };
        line.push(now, packet.to_vec());
        self.news.notify_one();
        true
    }

    /// Forgets the client, unless something has come that is not yet passed on.
    fn forget(&self) -> bool {
        let mut up = self.up();
        if up.as_ref().is_some_and(|line| line.under_way() == 0) {
            *up = None;
        }
        up.is_none()
    }
}

pub(super) async fn serve(socket: UdpSocket, to: SocketAddr, shared: Shared) {
    let mut clients =
        Clients { socket: Arc::new(socket), to, shared, known: BTreeMap::new(), tasks: JoinSet::new() };
    let mut buffer = vec![0; PACKET_BYTES];
    loop {
        tokio::select! {
            received = clients.socket.recv_from(&mut buffer) => match received {
                Ok((bytes, from)) => clients.hear(from, &buffer[..bytes]),
                Err(_) => sleep(PAUSE).await,
            },
            Some(ended) = clients.tasks.join_next() => {
                if let Ok(client) = ended {
                    clients.remove(&client);
                }
            }
        }
    }
}

struct Clients {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    shared: Shared,
    known: BTreeMap<SocketAddr, Arc<Client>>,
    tasks: JoinSet<Arc<Client>>,
}

impl Clients {
    fn hear(&mut self, from: SocketAddr, packet: &[u8]) {
        let now = self.shared.clock.now();
        if self.known.get(&from).is_some_and(|client| client.push(now, packet)) {
            return;
        }
        self.known.remove(&from);
        if self.tasks.len() >= self.shared.config.max_clients {
            return self.shared.count(|figures| figures.refused += 1);
        }
        let client = self.add(from);
        // It was made just now, so it is not forgotten.
        client.push(now, packet);
    }

    fn add(&mut self, address: SocketAddr) -> Arc<Client> {
        let shared = &self.shared;
        let number = shared.figures.borrow().clients;
        let (up, down) = shared.config.seeds(number);
        let line = Line::new(shared.config.up.clone(), up);
        let client = Arc::new(Client { number, address, up: Mutex::new(Some(line)), news: Notify::new() });
        let one = One {
            client: Arc::clone(&client),
            active: Active::new(shared),
            socket: Arc::clone(&self.socket),
            down: Line::new(shared.config.down.clone(), down),
            meters: [Meter::up(shared), Meter::down(shared)],
        };
        self.tasks.spawn(one.run(self.to));
        self.known.insert(address, Arc::clone(&client));
        client
    }

    fn remove(&mut self, client: &Client) {
        // Another one may have its address by now.
        if self.known.get(&client.address).is_some_and(|known| known.number == client.number) {
            self.known.remove(&client.address);
        }
    }
}

/// The task of one client.
struct One {
    client: Arc<Client>,
    active: Active,
    /// The socket to the clients.
    socket: Arc<UdpSocket>,
    down: Line,
    meters: [Meter; 2],
}

impl One {
    /// Until the client is forgotten.
    async fn run(mut self, to: SocketAddr) -> Arc<Client> {
        match connect(to).await {
            Ok(target) => self.carry(&target).await,
            Err(_) => {
                self.failed();
                *self.client.up() = None;
            }
        }
        self.client
    }

    async fn carry(&mut self, target: &UdpSocket) {
        let (clock, idle) = (self.active.0.clock, self.active.0.config.idle);
        let mut heard = clock.now();
        let mut buffer = vec![0; PACKET_BYTES];
        loop {
            let next = self.pass_on(target).await;
            tokio::select! {
                received = target.recv(&mut buffer) => match received {
                    Ok(bytes) => {
                        heard = clock.now();
                        self.down.push(heard, buffer[..bytes].to_vec());
                    }
                    // Nobody is there: the system tells of each packet once. What else it may be is not to be asked
                    // for without pause.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.failed(),
                    Err(_) => sleep(PAUSE).await,
                },
                () = self.client.news.notified() => heard = clock.now(),
                () = clock.reach(next) => {}
                () = clock.reach(Some(heard.saturating_add(idle))), if next.is_none() => {
                    if heard.saturating_add(idle) <= clock.now() && self.client.forget() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends what has arrived in both directions; when the next arrives.
    async fn pass_on(&mut self, target: &UdpSocket) -> Option<Duration> {
        let clock = self.active.0.clock;
        loop {
            let now = clock.now();
            let up = self.client.up().as_mut().and_then(|line| line.pop(now));
            let down = self.down.pop(now);
            if up.is_none() && down.is_none() {
                return self.look();
            }
            if let Some(packet) = up {
                self.send(target, &packet).await;
            }
            if let Some(packet) = down
                && self.socket.send_to(&packet, self.client.address).await.is_err()
            {
                self.failed();
            }
        }
    }

    async fn send(&self, target: &UdpSocket, packet: &[u8]) {
        let mut sent = target.send(packet).await;
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // The system tells of an earlier packet, and has not sent this one.
            self.failed();
            sent = target.send(packet).await;
        }
        if sent.is_err() {
            self.failed();
        }
    }

    /// Reports what the lines have done; when the next packet arrives.
    fn look(&mut self) -> Option<Duration> {
        let (up, next_up) = match self.client.up().as_ref() {
            Some(line) => (Some(line.figures()), line.next_at()),
            None => (None, None),
        };
        let [of_up, of_down] = &mut self.meters;
        if let Some(up) = up {
            of_up.report(up);
        }
        of_down.report(self.down.figures());
        [next_up, self.down.next_at()].into_iter().flatten().min()
    }

    fn failed(&self) {
        self.active.0.count(|figures| figures.failed += 1);
    }
}

/// A socket that sends to `to` and hears of it alone.
async fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}
