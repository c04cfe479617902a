//! What a link does, as the rest of the program uses it.

use bytes::Bytes;
use chat_core::transport::Peer;
use chat_core::{Address, LinkError};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::support::*;

#[tokio::test]
async fn what_was_sent_before_a_link_is_dropped_arrives() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    for index in 0..300 {
        here.sink.feed(frame(index, 300)).await.unwrap();
    }
    drop(here);
    for index in 0..300 {
        assert_eq!(next(&mut there).await.unwrap().unwrap(), frame(index, 300));
    }
    assert!(next(&mut there).await.is_none());
    // Nobody is there for an answer.
    let refused = within(async {
        loop {
            if let Err(error) = there.sink.send(Bytes::from_static(b"?")).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(refused.await, LinkError::Closed));
}

#[tokio::test]
async fn nobody_at_the_port_is_said_at_once_and_names_the_address() {
    let vacant = listen().await.address();
    // The listener is dropped; its task gives the port back as soon as it runs.
    let refused = within(async {
        loop {
            let LinkError::Unreachable { address, reason } =
                transport().dial(&vacant, &identity(1)).await.err().unwrap()
            else {
                panic!("nobody is there")
            };
            if reason != "no answer in time" {
                return address;
            }
        }
    });
    assert_eq!(refused.await, vacant.place);
}

#[tokio::test]
async fn an_address_of_another_machine_cannot_be_listened_on() {
    let error = transport().listen(&Address::new("192.0.2.1:0"), &identity(1)).await.err().unwrap();
    assert!(matches!(error, LinkError::BadAddress { .. }), "{error}");
}

#[tokio::test]
async fn addresses_that_cannot_be() {
    let me = identity(1);
    for bad in ["nowhere", "host:", "[::1:5"] {
        let error = transport().dial(&Address::new(bad), &me).await.err().unwrap();
        assert!(matches!(error, LinkError::BadAddress { .. }), "{bad}: {error}");
    }
    let error =
        within(transport().dial(&Address::new("no-such-host.invalid:1"), &me).boxed()).await.err().unwrap();
    assert!(matches!(error, LinkError::Resolve { .. } | LinkError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn ipv6_works_where_there_is_any() {
    let Ok(mut listener) = transport().listen(&Address::new("[::1]:0"), &identity(2)).await else { return };
    let (mut here, mut there) = linked(listener.as_mut()).await;
    here.sink.send(Bytes::from_static(b"six")).await.unwrap();
    assert_eq!(next(&mut there).await.unwrap().unwrap(), "six");
}

#[tokio::test]
async fn many_dial_at_once_and_each_has_a_link_of_its_own() {
    let mut listener = listen().await;
    let address = listener.address();
    let dialers = (0..80u8).map(|n| {
        let address = address.clone();
        async move {
            let mut link = secure(transport().dial(&address, &identity(10 + n)).await.unwrap());
            link.sink.send(Bytes::from(vec![n])).await.unwrap();
            assert_eq!(link.source.next().await.unwrap().unwrap(), vec![n]);
            link.sink.close().await.unwrap();
        }
    });
    let serve = async {
        let mut links = tokio::task::JoinSet::new();
        for _ in 0..80 {
            let incoming = listener.next().await.unwrap();
            links.spawn(async move {
                let mut link = secure(incoming.handshake().await.unwrap());
                let greeting = link.source.next().await.unwrap().unwrap();
                assert_eq!(link.peer, Peer::Key(identity(10 + greeting[0]).public()));
                link.sink.send(greeting).await.unwrap();
                assert!(link.source.next().await.is_none());
            });
        }
        while let Some(served) = links.join_next().await {
            served.unwrap();
        }
    };
    within(futures_util::future::join(serve, futures_util::future::join_all(dialers))).await;
}

#[tokio::test]
async fn who_dials_one_of_several_addresses_is_answered_from_there() {
    for (all, dialed) in [("0.0.0.0:0", ["127.0.0.1", "127.0.0.2"]), ("[::]:0", ["[::1]", "127.0.0.2"])] {
        let listener = transport().listen(&Address::new(all), &identity(2)).await;
        // Not every system has IPv6, or 127/8 whole, or one socket for both.
        let Ok(mut listener) = listener else { continue };
        let port = listener.address().host_port().unwrap().1;
        for host in dialed.iter().filter(|_| cfg!(target_os = "linux")) {
            let (transport, me, address) = (transport(), identity(1), Address::new(format!("{host}:{port}")));
            let accepted = async { Ok(accept(listener.as_mut()).await) };
            let both = futures_util::future::try_join(transport.dial(&address, &me), accepted);
            let (here, mut there) = within(both).await.unwrap();
            let mut here = secure(here);
            here.sink.send(frame(1, 300_000)).await.unwrap();
            assert_eq!(next(&mut there).await.unwrap().unwrap(), frame(1, 300_000), "{all} {host}");
            there.sink.send(frame(2, 300_000)).await.unwrap();
            assert_eq!(next(&mut here).await.unwrap().unwrap(), frame(2, 300_000), "{all} {host}");
        }
    }
}

#[tokio::test]
async fn figures_tell_of_the_path() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    here.sink.send(frame(1, 300_000)).await.unwrap();
    assert_eq!(next(&mut there).await.unwrap().unwrap(), frame(1, 300_000));
    there.sink.close().await.unwrap();
    here.sink.close().await.unwrap();
    assert!(next(&mut here).await.is_none());
    let figures = here.stats.figures();
    assert!(figures.srtt_us.is_some() && figures.mtu == Some(1200), "{figures:?}");
}
