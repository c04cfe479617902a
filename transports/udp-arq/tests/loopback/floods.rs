//! Strangers that send as much as they can.

use std::cell::Cell;
use std::net::{Ipv4Addr, UdpSocket};

use bytes::Bytes;
use chat_core::{Address, Listener};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::support::*;

const HELLOS: usize = 50_000;
const NEWCOMERS: u8 = 20;

#[tokio::test]
async fn a_flood_of_garbage_at_the_port_does_not_stop_an_honest_pair() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    let target = listener.address().place;
    let flood = async {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(&target).await.unwrap();
        for round in 0..20_000usize {
            let mut garbage = frame(round.wrapping_mul(0x9e37_79b9_7f4a_7c15), 20 + round % 1300).to_vec();
            garbage[0] = [0x00, 0x41, 0xc1, 0xc2, 0xc3, 0xff][round % 6];
            // A full buffer, or an error that an answer caused, is none of the flood's business.
            drop(socket.send(&garbage).await);
            if round % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let talk = async {
        for index in 0..500 {
            here.sink.send(frame(index, 100)).await.unwrap();
            assert_eq!(there.source.next().await.unwrap().unwrap(), frame(index, 100));
        }
    };
    within(futures_util::future::join(flood, talk)).await;
    assert!(within(listener.next()).now_or_never().is_none(), "no garbage is a plausible hello");
    // And somebody new still comes in.
    let (mut new, mut new_there) = linked(listener.as_mut()).await;
    new.sink.send(Bytes::from_static(b"welcome")).await.unwrap();
    assert_eq!(next(&mut new_there).await.unwrap().unwrap(), "welcome");
}

/// A HELLO as `DESIGN.md` §2 shows it.
fn hello(number: usize, cookie: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc1, 0x41, 0x52, 0x51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32];
    // Almost any number below 2^255 is a public key.
    bytes.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes.resize(47, 9);
    bytes.push(cookie.len() as u8);
    bytes.extend_from_slice(cookie);
    bytes.resize(1200, 0);
    bytes
}

/// Somebody who sends HELLOs and counts what comes back.
struct Stranger {
    socket: UdpSocket,
    last: usize,
    retries: usize,
    bytes: [usize; 2],
}

impl Stranger {
    fn new(number: u8, target: &str) -> Self {
        // Linux has all of 127/8; elsewhere they share an address.
        let own = UdpSocket::bind((Ipv4Addr::new(127, 9, 9, number), 0));
        let socket = own.or_else(|_| UdpSocket::bind("127.0.0.1:0")).unwrap();
        socket.connect(target).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, last: 0, retries: 0, bytes: [0; 2] }
    }

    fn send(&mut self, number: usize, cookie: &[u8]) {
        self.last = number;
        // A full buffer is none of the flood's business.
        self.bytes[0] += self.socket.send(&hello(number, cookie)).unwrap_or(0);
    }

    /// Reads the answers; who owns its address brings the cookies back.
    fn read(&mut self, obeys: bool) {
        let mut answer = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut answer) {
            self.bytes[1] += len;
            if answer[0] != 0xc5 {
                continue;
            }
            assert_eq!(len, 31);
            self.retries += 1;
            if obeys {
                self.send(self.last, &answer[15..31]);
            }
        }
    }
}

/// Lets in whoever comes, and echoes one frame of each.
async fn serve(mut listener: Box<dyn Listener>) {
    let mut served = tokio::task::JoinSet::new();
    loop {
        let incoming = listener.next().await.unwrap();
        served.spawn(async move {
            // The strangers get no further than this.
            let Ok(dialed) = incoming.handshake().await else { return };
            let mut link = secure(dialed);
            while let Some(Ok(frame)) = link.source.next().await {
                link.sink.send(frame).await.unwrap();
            }
        });
        while served.try_join_next().is_some_and(|served| served.is_ok()) {}
    }
}

async fn newcomers(address: &Address) {
    for number in 0..NEWCOMERS {
        let mut link = secure(transport().dial(address, &identity(10 + number)).await.unwrap());
        link.sink.send(Bytes::from(vec![number; 100])).await.unwrap();
        assert_eq!(link.source.next().await.unwrap().unwrap(), vec![number; 100]);
    }
}

/// A flood from so many addresses, as long as newcomers come and a live link talks.
async fn withstand(addresses: u8, obeys: bool) {
    let listener = listen().await;
    let address = listener.address();
    let server = tokio::spawn(serve(listener));
    let mut live = secure(within(transport().dial(&address, &identity(1))).await.unwrap());
    let mut strangers: Vec<_> = (1..=addresses).map(|number| Stranger::new(number, &address.place)).collect();
    let (sent, all_in) = (Cell::new(0), Cell::new(false));
    let flood = async {
        while sent.get() < HELLOS || !all_in.get() {
            for _ in 0..32 {
                let stranger = &mut strangers[sent.get() % usize::from(addresses)];
                stranger.send(sent.get(), &[]);
                sent.set(sent.get() + 1);
            }
            tokio::task::yield_now().await;
            strangers.iter_mut().for_each(|stranger| stranger.read(obeys));
        }
    };
    let come = async {
        newcomers(&address).await;
        all_in.set(true);
    };
    let talk = async {
        for index in 0.. {
            live.sink.send(frame(index, 100)).await.unwrap();
            assert_eq!(live.source.next().await.unwrap().unwrap(), frame(index, 100));
            if sent.get() >= HELLOS && all_in.get() {
                return index;
            }
        }
        0
    };
    let (_, _, talked) = within(futures_util::future::join3(flood, come, talk)).await;
    assert!(talked > 100, "{talked}");
    assert!(strangers.iter().map(|stranger| stranger.retries).sum::<usize>() > 1000);
    assert!(strangers.iter().all(|stranger| stranger.bytes[1] <= stranger.bytes[0]));
    server.abort();
}

#[tokio::test]
async fn hellos_from_many_addresses_keep_nobody_out() {
    withstand(100, false).await;
}

#[tokio::test]
async fn hellos_from_one_address_keep_nobody_out() {
    withstand(1, false).await;
}

#[tokio::test]
async fn strangers_who_bring_their_cookies_back_keep_nobody_out() {
    withstand(3, true).await;
}
