//! Links from both of their ends.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use chat_core::transport::Link;
use chat_core::{Address, Dialed, Identity, LinkError, Listener, Plugin, Transport};
use futures_util::StreamExt as _;
use transport_udp_arq::{Options, UdpArq};

/// Only so that a defect does not hang the tests.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("it hangs")
}

pub(crate) fn transport() -> Box<dyn Transport> {
    UdpArq::build(Options::default()).unwrap()
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

pub(crate) async fn listen() -> Box<dyn Listener> {
    transport().listen(&Address::new("127.0.0.1:0"), &identity(2)).await.unwrap()
}

pub(crate) fn secure(dialed: Dialed) -> Link {
    match dialed {
        Dialed::Secure(link) => link,
        Dialed::Bare(_) => panic!("this transport secures its links itself"),
    }
}

pub(crate) async fn accept(listener: &mut dyn Listener) -> Link {
    secure(listener.next().await.unwrap().handshake().await.unwrap())
}

/// A link from both of its ends.
pub(crate) async fn linked(listener: &mut dyn Listener) -> (Link, Link) {
    let (transport, me, address) = (transport(), identity(1), listener.address());
    let (dialed, accepted) =
        within(futures_util::future::join(transport.dial(&address, &me), accept(listener))).await;
    (secure(dialed.unwrap()), accepted)
}

pub(crate) fn frame(index: usize, len: usize) -> Bytes {
    let mut bytes = index.to_be_bytes().repeat(len / 8 + 1);
    bytes.truncate(len);
    Bytes::from(bytes)
}

pub(crate) async fn next(link: &mut Link) -> Option<Result<Bytes, LinkError>> {
    within(link.source.next()).await
}
