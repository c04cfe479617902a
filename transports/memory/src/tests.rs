use std::pin::pin;

use bytes::Bytes;
use chat_core::profile::Options;
use chat_core::transport::{BareLink, HANDSHAKE_DEADLINE, MAX_FRAME_BYTES};
use chat_core::{Registry, plugin::PluginKind};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::Instant;

use super::*;

fn me() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn memory(options: &str) -> Box<dyn Transport> {
    let options =
        Options::parse_table(&format!("[transport]\nkind = \"memory\"\n{options}"), "transport").unwrap();
    Registry::linked().unwrap().build::<dyn Transport>(&options).unwrap()
}

fn bare(dialed: Dialed) -> BareLink {
    match dialed {
        Dialed::Bare(link) => link,
        Dialed::Secure(_) => panic!("memory is bare"),
    }
}

async fn links(transport: &dyn Transport) -> (BareLink, BareLink) {
    let mut listener = transport.listen(&Address::new("test:0"), &me()).await.unwrap();
    let ours = bare(transport.dial(&listener.address(), &me()).await.unwrap());
    let theirs = bare(listener.next().await.unwrap().handshake().await.unwrap());
    (ours, theirs)
}

#[test]
fn the_example_builds_and_senseless_options_are_refused() {
    let entry = Registry::linked().unwrap().find(PluginKind::Transport, "memory").unwrap();
    let options = Options::parse_table(entry.example, "transport").unwrap();
    assert!(Registry::linked().unwrap().build::<dyn Transport>(&options).is_ok());
    for (key, value) in [("queue_frames", 0), ("queue_frames", 65_537), ("queue_bytes", 0)] {
        let text = format!("[transport]\nkind = \"memory\"\n{key} = {value}\n");
        let options = Options::parse_table(&text, "transport").unwrap();
        let error = Registry::linked().unwrap().build::<dyn Transport>(&options).err().unwrap();
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[tokio::test]
async fn frames_of_every_size_arrive_in_order_both_ways() {
    let (mut a, mut b) = links(&*memory("")).await;
    for len in [0, 1, 65_535, 65_536, 65_537, 1 << 20, MAX_FRAME_BYTES] {
        let frame = Bytes::from((0..len).map(|i| (i % 251) as u8).collect::<Vec<_>>());
        a.sink.send(frame.clone()).await.unwrap();
        assert_eq!(b.source.next().await.unwrap().unwrap(), frame);
        b.sink.send(frame.clone()).await.unwrap();
        assert_eq!(a.source.next().await.unwrap().unwrap(), frame);
    }
    for i in 0..50_u8 {
        a.sink.feed(Bytes::copy_from_slice(&[i])).await.unwrap();
    }
    for i in 0..50_u8 {
        assert_eq!(b.source.next().await.unwrap().unwrap(), [i][..]);
    }
    let total = |link: &BareLink| link.stats.figures();
    assert_eq!(total(&a).sent_bytes, total(&b).received_bytes);
    assert_eq!(total(&b).sent_bytes, total(&a).received_bytes);
    assert!(total(&a).sent_bytes > total(&b).sent_bytes);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_and_the_link_goes_on() {
    let (mut a, mut b) = links(&*memory("")).await;
    let refused = a.sink.send(Bytes::from(vec![0; MAX_FRAME_BYTES + 1])).await;
    assert!(matches!(refused, Err(LinkError::FrameTooLarge { max: MAX_FRAME_BYTES, .. })));
    a.sink.send(Bytes::from_static(b"small")).await.unwrap();
    assert_eq!(b.source.next().await.unwrap().unwrap(), "small");
}

#[tokio::test]
async fn a_reader_that_stops_makes_the_sink_wait() {
    for (options, frames) in [("queue_frames = 3", 3), ("queue_bytes = 2048", 2)] {
        let (mut a, mut b) = links(&*memory(options)).await;
        let frame = Bytes::from(vec![7; 1024]);
        for _ in 0..frames {
            a.sink.send(frame.clone()).now_or_never().expect("there is room").unwrap();
        }
        {
            let mut waiting = pin!(a.sink.send(frame.clone()));
            assert!((&mut waiting).now_or_never().is_none(), "{options}");
            b.source.next().await.unwrap().unwrap();
            assert!(matches!((&mut waiting).now_or_never(), Some(Ok(()))), "{options}");
        }
        for _ in 0..frames {
            assert_eq!(b.source.next().await.unwrap().unwrap(), frame);
        }
        assert!(b.source.next().now_or_never().is_none(), "nothing is doubled");
    }
}

#[tokio::test]
async fn a_close_is_an_end_and_a_drop_is_an_error() {
    let (mut a, mut b) = links(&*memory("")).await;
    a.sink.send(Bytes::from_static(b"last")).await.unwrap();
    a.sink.close().await.unwrap();
    assert_eq!(b.source.next().await.unwrap().unwrap(), "last");
    assert!(b.source.next().await.is_none());
    assert!(matches!(a.sink.send(Bytes::new()).await, Err(LinkError::Closed)));
    b.sink.send(Bytes::from_static(b"the other way is open")).await.unwrap();
    assert!(a.source.next().await.unwrap().is_ok());
    drop(b);
    assert!(matches!(a.source.next().await, Some(Err(LinkError::Io(_)))));
    assert!(a.source.next().await.is_none());

    let (mut a, b) = links(&*memory("")).await;
    drop(b);
    assert!(matches!(a.sink.send(Bytes::new()).await, Err(LinkError::Io(_))));
}

#[tokio::test]
async fn dropping_next_loses_no_frame() {
    let (mut a, mut b) = links(&*memory("")).await;
    assert!(b.source.next().now_or_never().is_none());
    a.sink.send(Bytes::from_static(b"kept")).await.unwrap();
    assert_eq!(b.source.next().await.unwrap().unwrap(), "kept");
}

#[tokio::test]
async fn a_place_is_taken_once_and_free_again_after_its_listener() {
    let transport = memory("");
    let first = transport.listen(&Address::new("taken:0"), &me()).await.unwrap();
    let second = transport.listen(&Address::new("taken:0"), &me()).await.unwrap();
    let place = first.address();
    assert_ne!(place, second.address());
    assert_ne!(place.place, "taken:0");
    let refused = transport.listen(&place, &me()).await.err().unwrap();
    assert!(matches!(refused, LinkError::AddressInUse { address } if address == place.place));
    assert!(transport.dial(&place, &me()).await.is_ok(), "the refused one took nothing away");
    drop(first);
    let refused = transport.dial(&place, &me()).await.err().unwrap();
    assert!(matches!(refused, LinkError::Unreachable { address, .. } if address == place.place));
    transport.listen(&place, &me()).await.unwrap();
    assert!(matches!(transport.listen(&Address::new(""), &me()).await, Err(LinkError::BadAddress { .. })));
}

#[tokio::test]
async fn a_link_outlives_its_listener_but_one_never_taken_does_not() {
    let transport = memory("");
    let mut listener = transport.listen(&Address::new("brief:0"), &me()).await.unwrap();
    let mut taken = bare(transport.dial(&listener.address(), &me()).await.unwrap());
    let mut other = bare(listener.next().await.unwrap().handshake().await.unwrap());
    let mut waiting = bare(transport.dial(&listener.address(), &me()).await.unwrap());
    drop(listener);
    taken.sink.send(Bytes::from_static(b"still here")).await.unwrap();
    assert_eq!(other.source.next().await.unwrap().unwrap(), "still here");
    assert!(matches!(waiting.source.next().await, Some(Err(LinkError::Io(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_takes_nobody_is_given_up_at_the_deadline() {
    let transport = memory("");
    let listener = transport.listen(&Address::new("idle:0"), &me()).await.unwrap();
    let (began, mut links) = (Instant::now(), Vec::new());
    let refused = loop {
        match transport.dial(&listener.address(), &me()).await {
            Ok(link) => links.push(link),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LinkError::Timeout(_)));
    assert_eq!((links.len(), began.elapsed().as_secs()), (64, HANDSHAKE_DEADLINE.as_secs()));
}
