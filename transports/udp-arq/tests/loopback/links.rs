//! What a link does, as the rest of the program uses it.

use std::time::Duration;

use bytes::Bytes;
use chat_core::transport::Peer;
use chat_core::{Address, LinkError};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::support::*;

#[tokio::test]
async fn frames_of_every_size_go_both_ways_in_order_and_a_close_is_an_end() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    assert_eq!(here.peer, Peer::Key(identity(2).public()));
    assert_eq!(there.peer, Peer::Key(identity(1).public()));
    let sizes = [0, 1, 200, 1200, 70_000, 2 << 20, 0, 5];
    let echo = async {
        while let Some(frame) = there.source.next().await {
            there.sink.send(frame.unwrap()).await.unwrap();
        }
        there.sink.close().await.unwrap();
    };
    let talk = async {
        for (index, len) in sizes.into_iter().enumerate() {
            here.sink.send(frame(index, len)).await.unwrap();
        }
        here.sink.close().await.unwrap();
        let echoed: Vec<_> = here.source.by_ref().map(Result::unwrap).collect().await;
        assert!(
            echoed == sizes.into_iter().enumerate().map(|(index, len)| frame(index, len)).collect::<Vec<_>>()
        );
        assert!(here.source.next().await.is_none());
    };
    within(futures_util::future::join(echo, talk)).await;
    let figures = here.stats.figures();
    assert!(figures.sent_bytes.unwrap() > 2 << 20 && figures.srtt_us.is_some() && figures.mtu == Some(1200));
    assert!(matches!(here.sink.send(Bytes::new()).await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn too_long_a_frame_is_refused_and_the_link_goes_on() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    let refused = here.sink.send(Bytes::from(vec![0; (2 << 20) + 1])).await;
    assert!(matches!(refused, Err(LinkError::FrameTooLarge { len, max }) if len == max + 1));
    here.sink.send(Bytes::from_static(b"fits")).await.unwrap();
    assert_eq!(next(&mut there).await.unwrap().unwrap(), "fits");
}

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
async fn a_reader_that_stops_holds_the_sender_and_nothing_is_lost() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    let mut sent = 0;
    // Until neither queue nor credit has room: a second without room anywhere is long for one machine.
    while let Ok(fed) =
        tokio::time::timeout(Duration::from_secs(1), here.sink.feed(frame(sent, 60_000))).await
    {
        fed.unwrap();
        sent += 1;
        assert!(sent < 1000, "a reader that does not read holds up to 60 MB");
    }
    let read = async {
        for index in 0..sent {
            assert_eq!(there.source.next().await.unwrap().unwrap(), frame(index, 60_000));
        }
    };
    within(futures_util::future::join(read, here.sink.close().map(Result::unwrap))).await;
    assert!(next(&mut there).await.is_none());
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
async fn an_address_in_use_is_said_so_and_port_zero_chooses() {
    let listener = listen().await;
    let taken = listener.address();
    assert_ne!(taken.host_port().unwrap().1, 0);
    let error = transport().listen(&taken, &identity(3)).await.err().unwrap();
    assert!(matches!(&error, LinkError::AddressInUse { address } if *address == taken.place), "{error}");
    drop(listener);
    // The port is free again once the task has seen it.
    within(async {
        while transport().listen(&taken, &identity(3)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
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
async fn a_pin_must_hold() {
    let mut listener = listen().await;
    let mut address = listener.address();
    address.pin = Some(identity(9).peer_id());
    let (transport, me) = (transport(), identity(1));
    let serve = async { listener.next().await.unwrap().handshake().await };
    let dial = async { transport.dial(&address, &me).await.err().unwrap() };
    let error = tokio::select! {
        error = dial => error,
        served = serve => panic!("nobody finished the handshake: {:?}", served.err()),
    };
    assert!(matches!(error, LinkError::WrongPeer { found, .. } if found == identity(2).peer_id()), "{error}");
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
async fn links_outlive_their_listener() {
    let mut listener = listen().await;
    let (mut here, mut there) = linked(listener.as_mut()).await;
    drop(listener);
    here.sink.send(Bytes::from_static(b"still")).await.unwrap();
    assert_eq!(next(&mut there).await.unwrap().unwrap(), "still");
}

#[tokio::test]
async fn a_dial_that_is_dropped_ends() {
    let mut listener = listen().await;
    let (address, transport, me) = (listener.address(), transport(), identity(1));
    let incoming = {
        let dialing = transport.dial(&address, &me);
        let arrived = listener.next();
        tokio::select! {
            _ = dialing => panic!("nobody has answered"),
            incoming = arrived => incoming.unwrap(),
        }
    };
    // The dialer is gone: its socket is closed, and the handshake ends at its deadline.
    assert!(incoming.handshake().await.is_err());
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
