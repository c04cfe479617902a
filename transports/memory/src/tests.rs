use std::pin::pin;

use bytes::Bytes;
use chat_core::profile::Options;
use chat_core::transport::{BareLink, HANDSHAKE_DEADLINE};
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

#[tokio::test]
async fn figures_of_one_end_are_those_of_the_other() {
    let (mut a, mut b) = links(&*memory("")).await;
    for len in [0, 1, 1000] {
        a.sink.send(Bytes::from(vec![1; len])).await.unwrap();
        assert_eq!(b.source.next().await.unwrap().unwrap().len(), len);
    }
    let (a, b) = (a.stats.figures(), b.stats.figures());
    assert_eq!((a.sent_bytes, a.received_bytes), (Some(1001), Some(0)));
    assert_eq!((b.sent_bytes, b.received_bytes), (Some(0), Some(1001)));
}

#[tokio::test]
async fn a_drop_is_an_error_at_both_halves() {
    let (mut a, b) = links(&*memory("")).await;
    drop(b);
    assert!(matches!(a.source.next().await, Some(Err(LinkError::Io(_)))));
    assert!(matches!(a.sink.send(Bytes::new()).await, Err(LinkError::Io(_))));
}

#[tokio::test]
async fn a_place_must_have_a_name_and_a_refusal_gives_it() {
    let transport = memory("");
    let listener = transport.listen(&Address::new("taken:0"), &me()).await.unwrap();
    let place = listener.address();
    assert_ne!(place.place, "taken:0");
    let refused = transport.listen(&place, &me()).await.err().unwrap();
    assert!(matches!(refused, LinkError::AddressInUse { address } if address == place.place));
    drop(listener);
    let refused = transport.dial(&place, &me()).await.err().unwrap();
    assert!(matches!(refused, LinkError::Unreachable { address, .. } if address == place.place));
    assert!(matches!(transport.listen(&Address::new(""), &me()).await, Err(LinkError::BadAddress { .. })));
}

#[tokio::test]
async fn a_link_that_nobody_took_ends_with_its_listener() {
    let transport = memory("");
    let listener = transport.listen(&Address::new("brief:0"), &me()).await.unwrap();
    let mut waiting = bare(transport.dial(&listener.address(), &me()).await.unwrap());
    drop(listener);
    assert!(matches!(waiting.source.next().await, Some(Err(LinkError::Io(_)))));
}
