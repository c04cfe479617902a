//! A relay has no service that takes streams or datagrams: it refuses them, and neither they nor rubbish in their place cost
//! anybody anything.

use std::sync::Arc;

use bytes::Bytes;
use chat_core::transport::{FrameSink, FrameSource, Link, NoStats, Peer, Streams, emulated};
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;

use crate::support::{Node, PATIENCE, identity};

/// A client of another make, that has streams and datagrams to use.
async fn linked(node: &Node, seed: u8) -> Link {
    let me = identity(seed);
    let client = node.raw(me.public().as_bytes()).await;
    let (sink, source, stats) = (client.sink, client.source, Arc::new(NoStats));
    let peer = Peer::Key(me.public());
    emulated::complete(Link { peer, sink, source, datagrams: None, streams: None, stats })
}

async fn says(sink: &mut FrameSink, record: ToRelay) {
    timeout(PATIENCE, sink.send(record.encode().into())).await.unwrap().unwrap();
}

async fn hears(source: &mut FrameSource) -> Option<FromRelay> {
    let frame = timeout(PATIENCE, source.next()).await.unwrap()?.ok()?;
    Some(FromRelay::decode(&frame).unwrap())
}

async fn is_refused(streams: &dyn Streams) {
    let (mut sink, mut source) = timeout(PATIENCE, streams.open()).await.unwrap().unwrap();
    let send = async {
        // Until it is refused: some of it may have been taken before.
        while sink.send(Bytes::from(vec![7; 100_000])).await.is_ok() {}
    };
    let told = async {
        let error = source.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("takes no streams"), "{error}");
    };
    timeout(PATIENCE, async { tokio::join!(send, told) }).await.unwrap();
}

#[tokio::test]
async fn streams_and_datagrams_are_refused_and_the_link_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let Link { mut sink, mut source, datagrams, streams, .. } = linked(&node, 1).await;
    let (datagrams, streams) = (datagrams.unwrap(), streams.unwrap());
    // Also before the first record.
    is_refused(&*streams).await;
    says(&mut sink, ToRelay::Hello { version: WIRE_VERSION }).await;
    assert!(matches!(hears(&mut source).await, Some(FromRelay::Welcome { .. })));
    let before = node.relay.figures().memory_bytes;
    for n in 0..100 {
        is_refused(&*streams).await;
        for _ in 0..100 {
            datagrams.send(Bytes::from(vec![1; datagrams.max_len()])).unwrap();
        }
        says(&mut sink, ToRelay::Ping { n }).await;
        assert_eq!(hears(&mut source).await, Some(FromRelay::Pong { n }));
    }
    let figures = node.relay.figures();
    assert!(figures.memory_bytes <= before + 10_000, "{before}, then {}", figures.memory_bytes);
    assert_eq!(figures.protocol_errors, 0);
    drop((sink, source, streams, datagrams));
    node.stop().await;
}

#[tokio::test]
async fn rubbish_in_the_place_of_streams_ends_the_link_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let mut bystander = node.connect(&identity(9)).await;
    let hello = [0xc5, 1, 1];
    let opens = |count: u8| (0..count).map(|n| vec![0xc5, 2, 0, 0, 0, n]);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("a mark and nothing else", vec![vec![0xc5]]),
        ("an unknown kind", vec![hello.to_vec(), vec![0xc5, 0x7f]]),
        ("no greeting", opens(1).collect()),
        ("two greetings", vec![hello.to_vec(), hello.to_vec()]),
        ("data of a stream that is not open", vec![hello.to_vec(), vec![0xc5, 3, 0, 0, 0, 0, 1, 9]]),
        ("more streams than there may be", [hello.to_vec()].into_iter().chain(opens(17)).collect()),
    ];
    for (seed, (what, frames)) in (1..).zip(cases) {
        let mut client = node.connect(&identity(seed)).await;
        for frame in frames {
            // The relay may have hung up by the last.
            if client.sink.send(frame.into()).await.is_err() {
                break;
            }
        }
        // What its opening was answered by, and nothing of the relay's own.
        while let Some(Ok(answer)) = timeout(PATIENCE, client.source.next()).await.unwrap() {
            assert_eq!(answer[0], 0xc5, "{what}");
        }
    }
    assert!(bystander.settle().await.is_empty());
    node.stop().await;
}
